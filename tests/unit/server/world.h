/*
 * A server on the memory store and a simulated loop, with a client in the same process: whole requests, no sockets, no waiting.
 *
 *     struct world w;
 *     world_start(&w);
 *     ASSERT_INT(ask(&w, "POST", "/api/v1/namespaces/default/configmaps", "{...}"), 201);
 *     ASSERT_STR(text_at(&w, "metadata.name"), "a");
 *     world_stop(&w);
 */
#ifndef TESTS_SERVER_WORLD_H
#define TESTS_SERVER_WORLD_H

#include "test.h"

#include "loop/sim.h"
#include "object/value.h"
#include "server/server.h"
#include "transport/http_client.h"

struct world {
    struct env_sim sim;
    struct loop *loop;
    bool guest; /* the loop is another's */
    struct server *server;
    struct http_client *client;
    const char *accept, *content_type; /* of the next requests; NULL: JSON */
    struct arena arena;                /* of the last answer */
    int status;
    struct buf body;
    struct value *tree; /* the answer, when it is JSON */
    struct str content_type_in, warning, retry_after, etag;
    bool done;
};

void world_start(struct world *w);
void world_start_with(struct world *w,
                      const struct server_config *config); /* a loop is made when there is none in it */
void world_stop(struct world *w);
void world_advance(struct world *w, int64_t ms);

/* One request; returns the status. The answer stays in the world until the next one. */
int ask(struct world *w, const char *method, const char *target, const char *body);
int askf(struct world *w, const char *method, const char *body, const char *target_format, ...) PRINTF(4, 5);
/* "spec.ports.0.name" in the answer: text of a string, JSON of anything else, "" when absent. */
struct str text_at(struct world *w, const char *path);
int64_t int_at(struct world *w, const char *path);
const char *keep_at(struct world *w, const char *path); /* a copy that lives as long as the test */
/* Create an object without a spec (ConfigMap, Secret) in a collection. */
int make_object(struct world *w, const char *collection, const char *name, const char *labels_json);

/* An open watch: events gather as lines of JSON. */
struct follower {
    struct world *world;
    struct http_call *call;
    struct buf lines;
    int status;
    bool done;
};
void follow(struct world *w, struct follower *f, const char *target);
/* The next event as "TYPE name"; waits; "" when none comes within five seconds of virtual time. */
const char *next_event(struct follower *f);
struct str last_event_json(struct follower *f);
void unfollow(struct follower *f);

#endif
