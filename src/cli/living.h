/* Which server runs on a data folder. */
#ifndef CLI_LIVING_H
#define CLI_LIVING_H

#include "base/error.h"

#include <sys/types.h>

pid_t living_pid(const char *data_folder);    /* who holds its lock; 0: nobody */
int living_end(pid_t pid, struct error *err); /* SIGKILL, and waits */

#endif
