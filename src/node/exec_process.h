/* The command line that runs a program in a running container: `crun exec` with the container's own process settings. */
#ifndef NODE_EXEC_PROCESS_H
#define NODE_EXEC_PROCESS_H

#include "node/runtime.h"

struct exec_process {
    const char *argv[12];
    struct arena arena;
    char *file; /* process.json */
};

/* Reads the container's config.json, so it also works for containers found again after a restart. ERR_NOT_FOUND when not running. */
int exec_process_prepare(const struct runtime *r, struct str id, const struct str *args, size_t count, bool terminal,
                         struct exec_process *ret, struct error *err);
/* Ask for the terminal through this unix socket (crun sends its descriptor). Call before spawning. */
void exec_process_set_console(struct exec_process *x, const char *socket_path);
void exec_process_done(struct exec_process *x); /* the file stays for crun to read */

#endif
