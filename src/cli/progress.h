/* Lines about how far a command is, each with the seconds since it began. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "base/macro.h"

void progress_begin(void);
void progress(const char *format, ...) PRINTF(1, 2);

#endif
