/*
 * The servers of the cluster as an agent uses them: a tunnel to each, so that every server knows this node at first hand, and one client for the
 * API, which goes to a server that answers, one of the own zone first.
 *
 * The list comes from GET /klein/v1/servers (when a tunnel comes up and every 10 s) and is kept in DATA/servers.json, so that it is there when no
 * server answers. A server that does not know that path (an older version) leaves the list as it is. A server that is new in the list is
 * dialled, one that left is let go; the others notice nothing. While no server of the list can be reached for 3 s, those the agent was
 * started with are tried, too.
 */
#ifndef NODE_SERVERS_H
#define NODE_SERVERS_H

#include "transport/tunnel.h"

#define SERVERS_LIST_MAX   8
#define SERVERS_REFRESH_MS 10000

struct servers;

struct servers_config {
    struct loop *loop;
    struct tls_context *tls;
    const char *node_name, *zone; /* zone may be NULL */
    const char *file;             /* servers.json; NULL: not kept */
    const char *const *stored;    /* what was in it, or what the join answered */
    size_t stored_count;
    const char *const *given; /* --server */
    size_t given_count;
    struct address bind; /* local address; length 0: any */
    http_handler *handler;
    void *handler_arg;
    void (*on_up)(void *arg);      /* a tunnel came up */
    void (*on_change)(void *arg);  /* the list has changed */
    void (*on_contact)(void *arg); /* servers_contact_ms() may have grown */
    void *arg;
};

struct servers *servers_new(const struct servers_config *c, struct error *err);
void servers_start(struct servers *s); /* dial; before it only the API's client works */
void servers_free(struct servers *s);  /* NULL is fine */
struct http_client *servers_client(struct servers *s);
void servers_set_tls(struct servers *s, struct tls_context *tls);
size_t servers_count(const struct servers *s);
size_t servers_urls(const struct servers *s, const char *ret_urls[SERVERS_LIST_MAX]); /* of the list; borrowed */
bool servers_any_up(const struct servers *s);
/* The latest loop time t such that more than half of the servers answered what was sent at or after t. INT64_MIN: never. */
int64_t servers_contact_ms(const struct servers *s);

#endif
