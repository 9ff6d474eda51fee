/* The inside of struct server, for server*.c, request.c and the parts of the core. */
#ifndef SERVER_SERVER_INTERNAL_H
#define SERVER_SERVER_INTERNAL_H

#include "server/request.h"
#include "server/seams.h"

#define REQUESTS_MAX 100000 /* of all sorts, waiting watches included; more get 429 */

struct server {
    struct server_config config;
    struct loop *loop;
    struct env *env;
    struct state *state;
    struct store *store;
    struct servers_local *local; /* what of the store is on this machine */
    struct http_server *http;
    struct address address;
    void *parts[SERVER_PART_COUNT];
    size_t parts_started;
    struct list requests; /* every struct request alive, by core.link */
    size_t requests_count;
    int lock_fd; /* DATA/lock, held while the server lives; 0: none */
    bool ready, stopping;
    uint64_t request_id_prefix, request_id_counter;
    server_done_fn *start_done, *stop_done;
    void *start_arg, *stop_arg;
    struct loop_timer stop_timer;
    struct error start_error;
    int64_t started_wall_ms, stop_started_ms;
};

void server_follow_store(struct server *s); /* right after the open of its store */

/* A request made by the server's own code: local.c fills it, request_start() runs it. */
struct request *request_new(struct server *s, enum request_source source);
void request_start(struct request *r); /* not from inside a phase */

/* Of fresh_phase.c: the outcome of the present phase stands after all; goes on like request_resume(). */
void request_step(struct request *r, enum phase_result result);
/* Of phase_encode.c: r->err is the answer, though the request goes on. */
void encode_late(struct request *r);
void fresh_count(struct server *s, bool refused);

void throttle_release(struct request *r); /* its place among the requests in flight; none: nothing */

/* Parts (parts.def). */
#define SERVER_PART(name, init, done)                                                                                  \
    int init(struct server *s, struct error *err);                                                                     \
    void done(struct server *s);
#include "server/parts.def"
#undef SERVER_PART

#endif
