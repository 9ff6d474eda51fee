/*
 * `klein server` as a function: a loop, a server on it, signals that stop it. What else runs in the process (controllers,
 * scheduler) is started by main.c through the hooks, with server_api() as its way to the API.
 */
#ifndef SERVER_RUN_H
#define SERVER_RUN_H

#include "server/server.h"

struct server_hooks {                                               /* both may be NULL */
    int (*started)(struct server *s, void *arg, struct error *err); /* the server listens; -1 with err stops it */
    void (*stopping)(struct server *s, void *arg); /* before anything is closed: free every api, watch and timer here */
    void *arg;
};

/* Runs until SIGTERM or SIGINT and returns 0, or -1 when the server could not start. config->loop is set here. */
int server_run(const struct server_config *config, const struct server_hooks *hooks, struct error *err);

#endif
