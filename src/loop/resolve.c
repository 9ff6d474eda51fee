/* Names to addresses, on a worker. */
#include "loop/stream_internal.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#define ADDRESSES_MAX 16

struct resolve {
    char host[256];
    uint16_t port;
    loop_resolved *done;
    void *arg;
    struct address addresses[ADDRESSES_MAX];
    size_t count;
    struct error err;
};

static void do_resolve(void *arg)
{
    struct resolve *r = arg;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *found = NULL;
    int code;

    if (r->err.code || r->count)
        return;
    code = getaddrinfo(r->host, NULL, &hints, &found);
    if (code) {
        fail(&r->err, ERR_UNAVAILABLE, "look up '%s': %s", r->host, gai_strerror(code));
        return;
    }
    for (struct addrinfo *a = found; a && r->count < ADDRESSES_MAX; a = a->ai_next) {
        struct address *to = &r->addresses[r->count++];

        memcpy(&to->sa, a->ai_addr, a->ai_addrlen);
        to->length = a->ai_addrlen;
        address_set_port(to, r->port);
    }
    freeaddrinfo(found);
}

static void finish(void *arg)
{
    struct resolve *r = arg;

    r->done(r->arg, r->addresses, r->count, r->err.code ? &r->err : NULL);
    error_done(&r->err);
    free(r);
}

void loop_resolve(struct loop *loop, struct str host, uint16_t port, loop_resolved *done, void *arg)
{
    struct resolve *r = xnew(struct resolve);

    r->port = port;
    r->done = done;
    r->arg = arg;
    snprintf(r->host, sizeof(r->host), "%.*s", STR_ARG(str_part(host, 0, sizeof(r->host) - 1)));
    if (address_of_ip(host, port, &r->addresses[0], NULL) == 0)
        r->count = 1;
    else if (str_empty(host) || host.n >= sizeof(r->host))
        fail(&r->err, ERR_BAD_REQUEST, "'%s' is no host name", r->host);
    else if (loop_is_sim(loop))
        fail(&r->err, ERR_UNAVAILABLE, "look up '%s': a simulation knows addresses only", r->host);
    loop_work(loop, do_resolve, finish, r);
}
