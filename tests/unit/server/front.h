/* A whole server in memory and virtual time, called in process: for tests of what stands around the core. */
#ifndef TESTS_SERVER_FRONT_H
#define TESTS_SERVER_FRONT_H

#include "test.h"

#include "loop/sim.h"
#include "server/seams.h"
#include "server/server.h"

#define FRONT_WALL_MS ((int64_t)1800000000000)

struct front {
    struct env_sim sim;
    struct loop *loop;
    struct server *server;
    struct api *admin;
    bool ready, stopped;
    struct error err;      /* of the last call */
    struct object *result; /* of the last call */
};

void front_start(struct front *f, const struct server_config *config); /* NULL: defaults */
void front_stop(struct front *f);
/* A caller with one group besides system:authenticated ("" for none). Free with api->ops->free(). */
struct api *front_api(struct front *f, const char *user, const char *group);
/* Makes the call and waits; 0, or -1 with f->err. The result stands in f->result until the next call. */
int front_call(struct front *f, struct api *api, struct api_call call);
/* Create from JSON; the kind is found by it. subresource may be "". */
int front_create(struct front *f, struct api *api, const char *namespace_, const char *json);
int front_create_in(struct front *f, struct api *api, const struct kind *kind, const char *namespace_, const char *name,
                    const char *subresource, const char *json);
int front_update(struct front *f, struct api *api, const char *subresource, const char *json);
int front_patch(struct front *f, struct api *api, const struct kind *kind, const char *namespace_, const char *name,
                const char *subresource, const char *merge);
int front_delete(struct front *f, struct api *api, const struct kind *kind, const char *namespace_, const char *name);
int front_get(struct front *f, struct api *api, const struct kind *kind, const char *namespace_, const char *name);
/* Text of a path like "spec.clusterIP" in the last result; "" when absent. Lists by number: "spec.ports.0.nodePort". */
struct str front_result(struct front *f, const char *path);
void front_pass(struct front *f, int64_t ms);

#endif
