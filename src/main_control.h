/* What runs beside the API server in its process: controllers and the scheduler, as its clients. */
#ifndef MAIN_CONTROL_H
#define MAIN_CONTROL_H

#include "server/run.h"

struct control_config {
    const char *pod_cidr;
};

/*
 * Caches are filled on every server; controllers and the scheduler run on the one that leads (server/leader.h), from its election until
 * its term ends. Free it before the server is stopped: the lead is given back.
 */
struct control;
struct control *control_new(struct server *s, const struct control_config *config);
void control_free(struct control *c);
bool control_is_acting(const struct control *c);

/* Hooks for server_run(); `config` must outlive it. */
struct server_hooks control_hooks(const struct control_config *config);

#endif
