/*
 * The tunnel: an agent connects out to the server, and the server calls the agent back over that connection.
 *
 * The agent sends GET path with "Upgrade: klein-tunnel" over HTTPS, authenticated like any request. After 101 the roles
 * turn: on the same bytes the server is the HTTP/2 client and the agent the HTTP/2 server. So logs, exec, attach and
 * proxying need no way into the node's network, and a call is an ordinary http_call with bodies streaming both ways.
 *
 * Liveness: the server sends an HTTP/2 PING every ping_ms and hears the answer (any byte counts). The agent expects
 * to hear something as often and drops a silent connection, then dials again.
 *
 * Server, inside its handler, after authentication and authorization:
 *     struct tunnel *t = tunnel_accept(x, NULL, &callbacks, node);     NULL: not an upgrade, answer 400
 *     http_client_call(tunnel_client(t), &request, ...);
 * Agent:
 *     agent->tunnel = tunnel_agent_new(client, &(struct tunnel_agent_options){ .path = STR("/klein/v1/tunnel/node-a"),
 *                                      .bearer = &token }, handler, handler_arg, &callbacks, agent);
 */
#ifndef TRANSPORT_TUNNEL_H
#define TRANSPORT_TUNNEL_H

#include "transport/http_client.h"
#include "transport/http_server.h"

#define TUNNEL_PROTOCOL  "klein-tunnel"
#define TUNNEL_PING_MS   250
#define TUNNEL_SILENT_MS 1000

/* --- the server's end --- */
struct tunnel;
struct tunnel_options {
    int64_t ping_ms;        /* 0: TUNNEL_PING_MS */
    int64_t silent_ms;      /* 0: TUNNEL_SILENT_MS: on_silent from here on */
    int64_t close_after_ms; /* 0: 30 s of silence close the connection */
};
struct tunnel_callbacks {                                              /* all but on_closed may be NULL */
    void (*on_silent)(struct tunnel *t, int64_t silent_ms, void *arg); /* at every ping while silence lasts */
    void (*on_alive)(struct tunnel *t, void *arg);                     /* heard again after on_silent */
    void (*on_closed)(struct tunnel *t, const struct error *err,
                      void *arg); /* exactly once; then freed with its client */
};
struct tunnel *tunnel_accept(struct http_exchange *x, const struct tunnel_options *options,
                             const struct tunnel_callbacks *cb, void *arg);
struct http_client *tunnel_client(struct tunnel *t);  /* the tunnel's; valid until on_closed; do not free */
int64_t tunnel_heard_ms(const struct tunnel *t);      /* loop time at which the agent was last heard */
int64_t tunnel_round_trip_us(const struct tunnel *t); /* of the last answered ping; 0: none yet */
void tunnel_close(struct tunnel *t);

/* --- the agent's end: dials, and dials again for ever with back-off (50 ms to 2 s, jittered) --- */
struct tunnel_agent;
struct tunnel_agent_options {
    struct str path;
    const struct secret *bearer;        /* copied; NULL when a client certificate identifies */
    int64_t silent_ms;                  /* 0: 2 s without a byte drops the connection */
    int64_t retry_min_ms, retry_max_ms; /* 0: 50 ms, 2 s */
    struct http_limits limits;
};
struct tunnel_agent_callbacks { /* all may be NULL */
    void (*on_up)(struct tunnel_agent *t, void *arg);
    void (*on_down)(struct tunnel_agent *t, const struct error *err,
                    void *arg);                            /* once per on_up, and per failed dial */
    void (*on_contact)(struct tunnel_agent *t, void *arg); /* tunnel_agent_contact_ms() has grown */
};
/* The client (which picks the server) stays the caller's and must outlive the agent. */
struct tunnel_agent *tunnel_agent_new(struct http_client *client, const struct tunnel_agent_options *options,
                                      http_handler *handler, void *handler_arg, const struct tunnel_agent_callbacks *cb,
                                      void *arg);
bool tunnel_agent_is_up(const struct tunnel_agent *t);
/* Loop time at which the last PING was sent that the server answered: it lived then, and what was written to it before has
 * reached it. Asked every TUNNEL_PING_MS. INT64_MIN: never. */
int64_t tunnel_agent_contact_ms(const struct tunnel_agent *t);
void tunnel_agent_set_bearer(struct tunnel_agent *t,
                             const struct secret *bearer); /* rotated token, for the next dial */
void tunnel_agent_free(struct tunnel_agent *t);            /* open exchanges are told by on_gone; NULL is fine */

#endif
