/* The files HAProxy reads. Source of the directives: HAProxy 2.6 configuration manual. */
#include "gateway/config.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/time.h"
#include "wire/pki.h"

#include <stdlib.h>
#include <unistd.h>

#define CONFIG_MAX (64 * MIB)

/*
 * Timeouts: a dead node swallows SYNs, so connecting gives up after 400 ms and the next try goes to another server. A server
 * may think for a minute, as nginx' default. Retries are for requests that certainly or harmlessly did not happen: methods that
 * may be repeated, by RFC 9110, 9.2.2.
 */
static const char head[] =

    "defaults\n"
    "    mode http\n"
    "    timeout connect 400ms\n"
    "    timeout client 75s\n"
    "    timeout http-request 10s\n"
    "    timeout http-keep-alive 75s\n"
    "    timeout server 60s\n"
    "    timeout queue 5s\n"
    "    timeout tunnel 1h\n"
    "    option redispatch 1\n"
    "    option forwardfor\n"
    "    option http-keep-alive\n"
    "    option idle-close-on-response\n"
    "    http-reuse safe\n"
    "    retries 4\n"
    "    retry-on conn-failure empty-response\n"
    "    balance leastconn\n";

static const char routing[] = "    http-request deny deny_status 400 if { req.hdr_cnt(host) gt 1 }\n"
                              "    http-request set-var(txn.host) req.hdr(host),field(1,:),lower\n"
                              "    http-request set-var(txn.wild) req.hdr(host),field(1,:),lower,regsub(^[^.]+,*)\n"
                              "    http-request set-var(txn.path) path\n"
                              "    http-request del-header x-forwarded-proto\n"
                              "    http-request set-header X-Forwarded-Proto http unless { ssl_fc }\n"
                              "    http-request set-header X-Forwarded-Proto https if { ssl_fc }\n";

/* Where to look, in this order; each is tried among exact keys and then by prefix. */
static const char *const hosts[] = { "txn.host", "txn.wild", NULL };

static void add_lookup(struct buf *to, const char *folder, const char *host)
{
    const char *unless = "if !{ var(txn.be) -m found }";

    if (host) {
        buf_addf(to, "    http-request set-var(txn.be) var(%s),concat(,txn.path,),map_str(%s/exact.map) %s\n", host,
                 folder, unless);
        buf_addf(to, "    http-request set-var(txn.be) var(%s),concat(,txn.path,/),map_beg(%s/prefix.map) %s\n", host,
                 folder, unless);
    } else {
        buf_addf(to, "    http-request set-var(txn.be) path,map_str(%s/exact.map) %s\n", folder, unless);
        buf_addf(to, "    http-request set-var(txn.be) path,concat(/),map_beg(%s/prefix.map) %s\n", folder, unless);
    }
}

static void add_frontend(struct buf *to, const struct config_paths *paths)
{
    const char *ip = paths->listen_ip ? paths->listen_ip : "";

    buf_addf(to, "frontend http\n    bind %s:%u\n", ip, paths->http_port);
    buf_addf(
        to,
        "    bind %s:%u ssl crt %s/default.pem crt-list %s/certificates.list alpn h2,http/1.1 ssl-min-ver TLSv1.2\n",
        ip, paths->https_port, paths->folder, paths->folder);
    buf_add_text(to, routing);
    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
        add_lookup(to, paths->folder, hosts[i]);
    buf_add_text(to, "    use_backend %[var(txn.be)] if { var(txn.be) -m found }\n"
                     "    default_backend be_404\n");
}

static void add_backend(struct buf *to, const struct gateway_backend *b)
{
    buf_addf(to, "backend %.*s\n", STR_ARG(b->name));
    buf_add_text(to, "    http-request disable-l7-retry unless METH_GET or { method HEAD OPTIONS PUT DELETE }\n"
                     "    default-server maxconn 2000 pool-max-conn 100 pool-purge-delay 30s\n");
    for (size_t i = 0; i < b->count; i++)
        buf_addf(to, "    server %.*s %.*s\n", STR_ARG(b->servers[i].name), STR_ARG(b->servers[i].address));
}

static void add_all(struct buf *to, const struct gateway_plan *p, const struct config_paths *paths)
{
    buf_addf(to,
             "# Written by klein; changes are lost. What is served comes from Ingress resources.\n"
             "global\n    stats socket %s/runtime.sock mode 600 level admin expose-fd listeners\n"
             "    maxconn 8000\n    nbthread 2\n    hard-stop-after 90s\n    tune.bufsize 32768\n    "
             "tune.ssl.default-dh-param 2048\n",
             paths->folder);
    buf_add_text(to, head);
    add_frontend(to, paths);
    buf_add_text(to, "backend be_404\n    http-request return status 404 content-type text/plain string \"no route for "
                     "this host and path\\n\"\n"
                     "backend be_none\n    http-request return status 503 content-type text/plain string \"the service "
                     "of this route does not exist\\n\"\n");
    for (size_t i = 0; i < p->backends_count; i++)
        add_backend(to, p->backends[i]);
}

void config_structure(const struct gateway_plan *p, const struct config_paths *paths, char ret[SHA256_HEX_SIZE])
{
    AUTO_BUF struct buf text = BUF_MAX(CONFIG_MAX);

    add_frontend(&text, paths);
    for (size_t i = 0; i < p->backends_count; i++)
        buf_addf(&text, "%.*s\n", STR_ARG(p->backends[i]->name));
    for (size_t i = 0; i < p->certificates_count; i++) {
        const struct gateway_certificate *c = p->certificates[i];
        buf_addf(&text, "%.*s\n%.*s\n", STR_ARG(c->name), STR_ARG(c->pem));
        for (size_t k = 0; k < c->count; k++)
            buf_addf(&text, "%.*s ", STR_ARG(c->hosts[k]));
    }
    sha256_hex(buf_str(&text), ret);
    explicit_bzero(text.p, text.n);
}

static int write_file(const struct config_paths *paths, const char *name, const struct buf *text, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", paths->folder, name);

    if (text->full)
        return fail(err, ERR_TOO_LARGE, "'%s' would be larger than %zu bytes", path, (size_t)CONFIG_MAX);
    return file_write(path, buf_str(text), 0600, err);
}

static int write_map(const struct config_paths *paths, const char *name, const struct gateway_route *routes,
                     size_t count, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(CONFIG_MAX);

    for (size_t i = 0; i < count; i++)
        buf_addf(&text, "%.*s %.*s\n", STR_ARG(routes[i].key), STR_ARG(routes[i].backend));
    return write_file(paths, name, &text, err);
}

/* Certificate and key must parse and belong together, or HAProxy would refuse everything for one tenant's mistake. */
static bool is_usable(const struct gateway_certificate *c)
{
    AUTO_SECRET struct secret pem = { 0 };
    struct pki_cert *certificate = pki_cert_read(c->pem, NULL);
    struct pki_key *key;
    char a[44], b[44];
    bool fine = false;

    secret_set(&pem, c->pem);
    key = pki_key_read(&pem, NULL);
    if (certificate && key) {
        struct pki_key *public = pki_key_read_public(c->pem, NULL);
        if (public) {
            pki_key_id(key, a);
            pki_key_id(public, b);
            fine = str_is(str_of(a), b);
        }
        pki_key_free(public);
    }
    pki_cert_free(certificate);
    pki_key_free(key);
    return fine;
}

static int write_certificates(const struct gateway_plan *p, const struct config_paths *paths, struct error *err)
{
    AUTO_BUF struct buf list = BUF_MAX(CONFIG_MAX);

    for (size_t i = 0; i < p->certificates_count; i++) {
        const struct gateway_certificate *c = p->certificates[i];
        AUTO_FREE char *path = xasprintf("%s/certs/%.*s.pem", paths->folder, STR_ARG(c->name));
        if (!is_usable(c))
            continue;
        if (file_write(path, c->pem, 0600, err) < 0)
            return -1;
        buf_addf(&list, "%s", path);
        for (size_t k = 0; k < c->count; k++)
            buf_addf(&list, " %.*s", STR_ARG(c->hosts[k]));
        buf_add_char(&list, '\n');
    }
    return write_file(paths, "certificates.list", &list, err);
}

int config_write(const struct gateway_plan *p, const struct config_paths *paths, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(CONFIG_MAX);
    AUTO_FREE char *certs = xasprintf("%s/certs", paths->folder);

    add_all(&text, p, paths);
    if (file_mkdirs(certs, 0700, err) < 0 || write_map(paths, "exact.map", p->exact, p->exact_count, err) < 0 ||
        write_map(paths, "prefix.map", p->prefix, p->prefix_count, err) < 0 || write_certificates(p, paths, err) < 0)
        return -1;
    return write_file(paths, "haproxy.cfg.new", &text, err);
}

int config_default_certificate(const struct config_paths *paths, int64_t now_ms, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/default.pem", paths->folder);
    AUTO_BUF struct buf old = BUF_MAX(64 * KIB);
    AUTO_BUF struct buf pem = BUF_MAX(64 * KIB);
    AUTO_SECRET struct secret key_pem = { 0 };
    const struct str san = STR("klein.invalid");
    struct pki_key *key;
    struct pki_cert *ca, *certificate;
    bool valid;

    if (file_read(path, &old, NULL) == 0 && (certificate = pki_cert_read(buf_str(&old), NULL))) {
        valid = pki_cert_not_after_ms(certificate) > now_ms + 30 * 24 * HOUR_MS;
        pki_cert_free(certificate);
        if (valid)
            return 0;
    }
    key = pki_key_new(PKI_ECDSA_P256);
    ca = pki_ca_new(key, STR("klein gateway"), now_ms, 365 * 24 * HOUR_MS);
    certificate = pki_sign(ca, key, key,
                           &(struct pki_request){ .common_name = STR("klein gateway"),
                                                  .sans = &san,
                                                  .sans_count = 1,
                                                  .uses = PKI_SERVER,
                                                  .now_ms = now_ms,
                                                  .lifetime_ms = 365 * 24 * HOUR_MS },
                           err);
    if (certificate) {
        pki_cert_pem(certificate, &pem);
        pki_key_pem(key, &key_pem);
        buf_add(&pem, secret_reveal(&key_pem));
    }
    pki_cert_free(ca);
    pki_key_free(key);
    if (!certificate)
        return -1;
    pki_cert_free(certificate);
    int result = file_write(path, buf_str(&pem), 0600, err);
    explicit_bzero(pem.p, pem.n);
    return result;
}
