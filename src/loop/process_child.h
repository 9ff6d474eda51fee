/* The moments between fork and exec. */
#ifndef LOOP_PROCESS_CHILD_H
#define LOOP_PROCESS_CHILD_H

#include "loop/process.h"

/* Starts the program; returns its pid and a pidfd, or -1 with err. Blocks until exec has happened or failed. */
pid_t process_start(const struct process_options *o, int *ret_pidfd, struct error *err);

#endif
