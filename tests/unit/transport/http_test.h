/* A server with a few paths, a client, and the ways between them: TLS, plain, unix sockets, memory, in process. */
#ifndef UNIT_TRANSPORT_HTTP_TEST_H
#define UNIT_TRANSPORT_HTTP_TEST_H

#include "../loop/loop_test.h"
#include "../wire/certificates.h"
#include "transport/http_client.h"
#include "transport/http_server.h"

enum way { WAY_TLS_HTTP2, WAY_TLS_HTTP1, WAY_PLAIN, WAY_UNIX, WAY_SIM, WAY_LOCAL, WAY_LOCAL_SIM, WAYS };

static const char *const way_names[] = { "TLS, HTTP/2", "TLS, HTTP/1.1", "plain",          "unix socket",
                                         "simulated",   "local",         "local simulated" };

struct fixture {
    enum way way;
    struct env_sim sim;
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    struct identity ca, server_identity, client_identity;
    struct tls_context *server_tls, *client_tls;
    struct address bound;
    char url[200];
    bool stopped;
};

void fixture_handler(struct http_exchange *x, void *arg);
struct fixture *fixture_new(enum way way, const struct http_server_options *options, http_handler *handler);
void fixture_free(struct fixture *f);

/* What the last fetch got. */
struct answer {
    bool done;
    int status;
    struct buf body, headers;
    enum error_code code;
    char message[300];
};
void answer_done(struct answer *a);
void fetch_start(struct fixture *f, const char *method, const char *target, struct str body, struct answer *ret);
void fetch(struct fixture *f, const char *method, const char *target, struct str body, struct answer *ret);

/* Counters of the handler. */
extern struct handler_state {
    int gone, drained, released, handled;
    bool any_gone, any_drained;
    struct http_exchange *held;
    struct buf upgraded;
} state;

#define EACH_WAY(f, options)                                                                                           \
    for (int way_ = 0; way_ < WAYS; way_++)                                                                            \
        for (struct fixture *f = fixture_new(way_, (options), fixture_handler); f; fixture_free(f), f = NULL)

#endif
