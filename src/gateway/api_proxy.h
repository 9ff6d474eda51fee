/*
 * The virtual address of the API: a HAProxy of its own passes connections, unopened, to a server whose /readyz answers.
 *
 * For clients that know one address only (kubectl, CI, people). klein's own agents keep a list of servers and do not need it.
 * It is a process apart from the gateway's, because reloads end long watches after a while, and this one is reloaded only when the list of
 * servers changes. It needs no API to start: the list comes from the agent's settings and later from the servers.
 */
#ifndef GATEWAY_API_PROXY_H
#define GATEWAY_API_PROXY_H

#include "base/buf.h"
#include "loop/loop.h"

#define API_PROXY_SERVERS_MAX 16

struct api_proxy;

struct api_proxy_config {
    const char *folder;  /* configuration and sockets; made with mode 0700 */
    const char *listen;  /* "10.0.0.1:6443" */
    const char *ca_file; /* the cluster's CA, which signed the servers' certificates */
};

/* HAProxy starts with the first call of api_proxy_set_servers(). NULL with err: the address or the folder is of no use. */
struct api_proxy *api_proxy_start(struct loop *loop, const struct api_proxy_config *config, struct error *err);
/* URLs "https://HOST:PORT" with an IP address, in order of preference; others are left out with a warning. Copied. The same list again costs nothing. */
void api_proxy_set_servers(struct api_proxy *p, const char *const *urls, size_t count);
void api_proxy_stop(struct api_proxy *p); /* HAProxy goes on; NULL is fine */

/* For tests: the configuration as text. */
void api_proxy_config_text(struct buf *to, const struct api_proxy_config *config, const char *const *addresses,
                           size_t count);

#endif
