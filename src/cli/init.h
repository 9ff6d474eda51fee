/* The first process of a namespace that stands for a machine; see init.c. */
#ifndef CLI_INIT_H
#define CLI_INIT_H

#include "base/error.h"

#define INIT_READY_FD 3 /* `klein up` writes one byte here when the links are in place */

/* Never returns while the machine lives; 0 after SIGTERM. */
int init_run(const char *spec_path, struct error *err);

#endif
