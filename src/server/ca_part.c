/* The PKI as a part of the server: opened at start, its serving certificate renewed while the server runs. */
#define LOG_PART "server"
#include "server/server_internal.h"

#include "base/log.h"
#include "base/time.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK_EVERY_MS (6 * HOUR_MS)
#define SANS_MAX       (CA_SANS_MAX - 8)

struct ca_part {
    struct server *server;
    struct ca *ca;
    struct loop_timer check;
};

static void check(void *arg)
{
    struct ca_part *p = arg;
    AUTO_ERROR struct error err = { 0 };
    bool changed;
    /* Reads four small files every six hours: short enough for the loop. */
    if (ca_renew(p->ca, &changed, &err) < 0)
        log_error("certificates cannot be renewed; trying again in 6 h", KV_ERR(&err));
    else if (changed)
        log_info("serving certificate renewed");
    if (changed)
        server_reload_tls(p->server);
    loop_timer_start(&p->check, CHECK_EVERY_MS);
}

/* The first address of a CIDR: 10.96.0.0/16 -> 10.96.0.1. */
static void first_address(const char *cidr, char ret[64])
{
    unsigned a, b, c, d;
    if (sscanf(cidr, "%3u.%3u.%3u.%3u", &a, &b, &c, &d) == 4)
        snprintf(ret, 64, "%u.%u.%u.%u", a & 255, b & 255, c & 255, (d & 255) + 1);
    else
        snprintf(ret, 64, "10.96.0.1");
}

int ca_init(struct server *s, struct error *err)
{
    const struct server_config *config = server_config(s);
    AUTO_FREE char *folder = config->data_folder ? xasprintf("%s/pki", config->data_folder) : NULL;
    struct str sans[SANS_MAX + 2];
    size_t count = 0;
    char service_ip[64], listen_ip[ADDRESS_TEXT_SIZE];
    struct address listen;
    first_address(config->service_cidr, service_ip);
    for (size_t i = 0; config->sans && config->sans[i] && count < SANS_MAX; i++)
        sans[count++] = str_of(config->sans[i]);
    if (config->advertise)
        sans[count++] = str_of(config->advertise);
    if (config->listen && address_parse(str_of(config->listen), &listen, NULL) == 0 && !address_is_unix(&listen)) {
        struct str ip = str_of(address_format_ip(&listen, listen_ip));
        if (!str_is(ip, "0.0.0.0") && !str_is(ip, "::"))
            sans[count++] = ip;
    }
    struct ca *ca = ca_open(&(struct ca_options){ .folder = folder,
                                                  .sans = sans,
                                                  .sans_count = count,
                                                  .service_ip = str_of(service_ip),
                                                  .env = server_env(s) },
                            err);
    if (!ca)
        return error_context(err, "keys and certificates");
    struct ca_part *p = xnew(struct ca_part);
    p->server = s;
    p->ca = ca;
    server_part_set(s, SERVER_PART_ca, p);
    loop_timer_init(&p->check, server_loop(s), check, p);
    if (folder)
        loop_timer_start(&p->check, CHECK_EVERY_MS);
    return 0;
}

void ca_done(struct server *s)
{
    struct ca_part *p = server_part(s, SERVER_PART_ca);
    if (!p)
        return;
    loop_timer_stop(&p->check);
    ca_free(p->ca);
    free(p);
    server_part_set(s, SERVER_PART_ca, NULL);
}

struct ca *server_ca(struct server *s)
{
    struct ca_part *p = server_part(s, SERVER_PART_ca);
    return p->ca;
}

struct tls_context *server_tls_context(struct server *s, struct error *err)
{
    const struct ca *ca = server_ca(s);
    AUTO_BUF struct buf chain = BUF_MAX(MIB);
    /* The CA goes along: a joining agent knows only its digest and has to see it. */
    buf_add(&chain, ca_server_certificate_pem(ca));
    buf_add(&chain, ca_certificate_pem(ca));
    return tls_context_new_server(&(struct tls_server_options){ .certificate_pem = buf_str(&chain),
                                                                .key_pem = ca_server_key_pem(ca),
                                                                .client_ca_pem = ca_certificate_pem(ca) },
                                  err);
}
