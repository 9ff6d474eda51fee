/* The files HAProxy reads. Source of the directives: HAProxy 2.6 configuration manual. */
#include "gateway/config.h"

#include "base/file.h"
#include "base/secret.h"
#include "base/time.h"
#include "wire/pki.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIG_MAX (64 * MIB)

/*
 * Timeouts, measured by cutting a zone under load: a dead node swallows SYNs, so connecting gives up after 400 ms and the next try goes to
 * another server. A request that its node's kernel has not confirmed after 500 ms (tcp-ut) never happened there; one that was
 * confirmed is given up when the node stays silent for two seconds (srvtcpka). Both are sent again to another server when the
 * method may be repeated (RFC 9110, 9.2.2). So a server may think for a minute, as nginx' default, and a dead node costs
 * a client half a second.
 *
 * tcp-ut would also end an upload to a server that stops reading for a while (Linux counts a closed window like silence), so requests
 * with a body and upgrades have a backend of their own, without it.
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
    "    option http-keep-alive\n"
    "    option idle-close-on-response\n"
    "    option srvtcpka\n"
    "    srvtcpka-idle 1s\n"
    "    srvtcpka-intvl 1s\n"
    "    srvtcpka-cnt 2\n"
    "    http-reuse safe\n"
    "    retries 6\n"
    "    retry-on conn-failure empty-response\n";

/* leastconn looks at weights only under load; of two servers drawn by weight, the one with fewer connections is as good. */
static const char *balance_of(const struct config_paths *paths)
{
    return paths->zoned ? "    balance random(2)\n" : "    balance leastconn\n";
}

/*
 * What is refused: hosts that are no host names, and paths with dot segments or a zero byte, plain or encoded, which servers behind may
 * resolve to something no rule speaks of. Rules match the decoded path with slashes merged; what is sent on is as it came. Addresses
 * a client claims to come from are taken off.
 */
static const char routing[] = "    http-request deny deny_status 400 if { req.hdr_cnt(host) gt 1 }\n"
                              "    http-request deny deny_status 400 if { req.hdr(host) -m reg [^A-Za-z0-9.:_-] }\n"
                              "    http-request deny deny_status 400 if { path -m sub -i %00 }\n"
                              "    http-request deny deny_status 400 if { path,url_dec -m reg /[.][.]?(/|$) }\n"
                              "    http-request set-var(txn.host) req.hdr(host),field(1,:),lower,regsub([.]$,)\n"
                              "    http-request set-var(txn.wild) var(txn.host),regsub(^[^.]+,*)\n"
                              "    http-request set-var(txn.path) path,url_dec,regsub(//+,/,g)\n"
                              "    http-request del-header x-forwarded- -m beg\n"
                              "    http-request del-header Forwarded\n"
                              "    http-request del-header X-Real-IP\n"
                              "    http-request set-header X-Forwarded-For %[src]\n"
                              "    http-request set-header X-Forwarded-Host %[req.hdr(host)]\n"
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
        buf_addf(to, "    http-request set-var(txn.be) var(txn.path),map_str(%s/exact.map) %s\n", folder, unless);
        buf_addf(to, "    http-request set-var(txn.be) var(txn.path),concat(/),map_beg(%s/prefix.map) %s\n", folder,
                 unless);
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
    buf_add_text(to, "    acl repeatable method GET HEAD OPTIONS DELETE\n"
                     "    acl body req.hdr_val(content-length) gt 0\n"
                     "    acl body req.hdr_cnt(transfer-encoding) gt 0\n"
                     "    acl body req.hdr_cnt(upgrade) gt 0\n"
                     "    use_backend %[var(txn.be),concat(:body)] if { var(txn.be) -m found } !repeatable || "
                     "{ var(txn.be) -m found } body\n"
                     "    use_backend %[var(txn.be)] if { var(txn.be) -m found }\n"
                     "    default_backend be_404\n");
}

/* tcp-ut stands in every line: HAProxy 2.6 does not take it from default-server. */
static void add_backend(struct buf *to, struct str name, const char *suffix, const char *server_options,
                        const struct slot_table *t)
{
    buf_addf(to, "backend %.*s%s\n", STR_ARG(name), suffix);
    buf_add_text(to, "    http-request disable-l7-retry unless METH_GET or { method HEAD OPTIONS PUT DELETE }\n"
                     "    default-server maxconn 2000 pool-max-conn 100 pool-purge-delay 30s\n");
    for (size_t i = 0; t && i < t->count; i++) {
        const struct slot *s = &t->slots[i];
        buf_addf(to, "    server s%zu %s weight %d%s%s\n", i + 1, s->state == SLOT_SERVING ? s->address : "0.0.0.0:1",
                 s->far ? SLOT_WEIGHT_FAR : SLOT_WEIGHT_NEAR, server_options,
                 s->state == SLOT_SERVING ? "" : " disabled");
    }
}

static void add_all(struct buf *to, const struct gateway_plan *p, const struct slots *slots,
                    const struct config_paths *paths)
{
    buf_addf(to,
             "# Written by klein; changes are lost. What is served comes from Ingress resources.\n"
             "global\n    stats socket %s/runtime.sock mode 600 level admin expose-fd listeners\n"
             "    maxconn 8000\n    nbthread 2\n    hard-stop-after 90s\n    tune.bufsize 32768\n    "
             "tune.ssl.default-dh-param 2048\n",
             paths->folder);
    buf_add_text(to, head);
    buf_add_text(to, balance_of(paths));
    add_frontend(to, paths);
    buf_add_text(to, "backend be_404\n    http-request return status 404 content-type text/plain string \"no route for "
                     "this host and path\\n\"\n");
    for (int body = 0; body <= 1; body++)
        buf_addf(to,
                 "backend be_none%s\n    http-request return status 503 content-type text/plain string \"the service "
                 "of this route does not exist\\n\"\n",
                 body ? ":body" : "");
    for (size_t i = 0; i < p->backends_count; i++) {
        struct str name = p->backends[i]->name;
        add_backend(to, name, "", " tcp-ut 500ms", slots_of(slots, name));
        add_backend(to, name, ":body", "", slots_of(slots, name));
    }
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

static int write_map(const struct config_paths *paths, const char *name, const struct gateway_routes *routes,
                     struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(CONFIG_MAX);

    for (size_t i = 0; i < routes->count; i++)
        buf_addf(&text, "%.*s %.*s\n", STR_ARG(routes->items[i].key), STR_ARG(routes->items[i].backend));
    return write_file(paths, name, &text, err);
}

/* Keys of Secrets that are gone do not stay on the disk. */
static void remove_others(const char *folder, const struct map *wanted)
{
    DIR *d = opendir(folder);
    const struct dirent *entry;

    while (d && (entry = readdir(d)))
        if (entry->d_name[0] != '.' && !map_has(wanted, str_of(entry->d_name)))
            unlinkat(dirfd(d), entry->d_name, 0);
    if (d)
        closedir(d);
}

static int write_certificates(const struct gateway_plan *p, const struct config_paths *paths, struct error *err)
{
    AUTO_BUF struct buf list = BUF_MAX(CONFIG_MAX);
    AUTO_FREE char *folder = xasprintf("%s/certs", paths->folder);
    AUTO_MAP struct map wanted = { 0 };

    for (size_t i = 0; i < p->certificates_count; i++) {
        const struct gateway_certificate *c = p->certificates[i];
        AUTO_FREE char *name = xasprintf("%.*s.pem", STR_ARG(c->name));
        AUTO_FREE char *path = xasprintf("%s/%s", folder, name);
        map_put(&wanted, str_of(name), NULL);
        if (file_write(path, c->pem, 0600, err) < 0)
            return -1;
        buf_addf(&list, "%s", path);
        for (size_t k = 0; k < c->count; k++)
            buf_addf(&list, " %.*s", STR_ARG(c->hosts[k]));
        buf_add_char(&list, '\n');
    }
    if (write_file(paths, "certificates.list", &list, err) < 0)
        return -1;
    remove_others(folder, &wanted);
    return 0;
}

int config_write(const struct gateway_plan *p, const struct slots *slots, const struct config_paths *paths,
                 struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(CONFIG_MAX);
    AUTO_FREE char *certs = xasprintf("%s/certs", paths->folder);

    add_all(&text, p, slots, paths);
    if (file_mkdirs(certs, 0700, err) < 0 || write_map(paths, "exact.map", &p->exact, err) < 0 ||
        write_map(paths, "prefix.map", &p->prefix, err) < 0 || write_certificates(p, paths, err) < 0)
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
