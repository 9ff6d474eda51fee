/* What runs beside the API server in its process: controllers and the scheduler, as its clients. */
#ifndef MAIN_CONTROL_H
#define MAIN_CONTROL_H

#include "server/run.h"

struct control_config {
    const char *pod_cidr;
};

/* Hooks for server_run(); `config` must outlive it. */
struct server_hooks control_hooks(const struct control_config *config);

#endif
