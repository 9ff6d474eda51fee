/* Connections to the other servers, as one of them. */
#include "base/time.h"
#include "server/servers_internal.h"

#define LOG_PART "servers"
#include "base/log.h"

#include <stdlib.h>

#define CERTIFICATE_MS (30 * 24 * HOUR_MS)
#define RENEW_MS       (10 * 24 * HOUR_MS) /* a connection keeps the certificate it began with: that must last */

struct peer {
    struct list link;
    char *name, *url;
    struct http_client *client;
};

/* A certificate for this process only, from the authority that every server holds. */
static struct tls_context *own_tls(struct servers *v, struct error *err)
{
    const struct ca *ca = server_ca(v->server);
    AUTO_BUF struct buf certificate = BUF_MAX(64 * KIB);
    AUTO_SECRET struct secret key_pem = { 0 };
    AUTO_FREE char *user = xasprintf(SERVERS_USER_PREFIX "%.*s", STR_ARG(servers_own_name(v->server)));
    const struct str group = STR(SERVERS_GROUP);
    int64_t now_ms = loop_now_ms(v->server->loop);

    if (v->peers_tls && now_ms - v->peers_tls_ms < RENEW_MS)
        return v->peers_tls;
    struct pki_key *key = pki_key_new(PKI_ECDSA_P256);
    int signed_ = ca_sign_client(ca, key, str_of(user), &group, 1, CERTIFICATE_MS, &certificate, err);
    pki_key_pem(key, &key_pem);
    pki_key_free(key);
    if (signed_ < 0)
        return NULL;
    struct tls_client_options o = { .ca_pem = ca_certificate_pem(ca),
                                    .certificate_pem = buf_str(&certificate),
                                    .key_pem = &key_pem };
    tls_context_unref(v->peers_tls);
    v->peers_tls = tls_context_new_client(&o, err);
    v->peers_tls_ms = now_ms;
    list_each (&v->peers, struct peer, link, p)
        if (v->peers_tls)
            http_client_set_tls(p->client, v->peers_tls);
    return v->peers_tls;
}

struct search {
    struct str name;
    char *url;
};

static bool find_url(void *arg, const struct server_entry *e)
{
    struct search *f = arg;

    if (e->own || !str_eq(e->name, f->name))
        return true;
    f->url = str_dup(e->url);
    return false;
}

static void peer_free(struct peer *p)
{
    list_del(&p->link);
    http_client_free(p->client);
    free(p->name);
    free(p->url);
    free(p);
}

struct http_client *servers_reach(struct server *s, struct str name)
{
    AUTO_ERROR struct error err = { 0 };
    struct servers *v = servers_of(s);
    struct search f = { .name = name };
    struct tls_context *tls;

    servers_each(s, find_url, &f);
    AUTO_FREE char *url = f.url;
    list_each (&v->peers, struct peer, link, p)
        if (str_is(name, p->name)) {
            if (url && str_is(str_of(url), p->url) && own_tls(v, NULL))
                return p->client;
            peer_free(p); /* gone, or elsewhere by now */
        }
    if (!url)
        return NULL;
    struct str server = str_of(url);
    struct http_client_options o = {
        .servers = &server, .servers_count = 1, .connect_timeout_ms = SECOND_MS, .ping_interval_ms = SECOND_MS
    };
    tls = own_tls(v, &err);
    o.tls = tls;
    struct http_client *client = tls ? http_client_new(s->loop, &o, &err) : NULL;
    if (!client) {
        log_warn("a server cannot be asked", KV_STR("server", name), KV_ERR(&err));
        return NULL;
    }
    struct peer *p = xnew(struct peer);
    p->name = str_dup(name);
    p->url = TAKE(url);
    p->client = client;
    list_add_tail(&v->peers, &p->link);
    return client;
}

void servers_peers_stop(struct servers *v)
{
    list_each (&v->peers, struct peer, link, p)
        peer_free(p);
    tls_context_unref(v->peers_tls);
    v->peers_tls = NULL;
}
