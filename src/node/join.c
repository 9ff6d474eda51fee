/* Joining a cluster and renewing the certificate. */
#include "node/join.h"

#include "base/file.h"
#include "node/json_out.h"
#include "transport/http_client.h"
#include "wire/pki.h"

#include <stdlib.h>

#define FILE_MAX        (1 * MIB)
#define JOIN_TIMEOUT_MS 15000
#define HASH_LENGTH     64

void identity_done(struct identity *i)
{
    for (size_t k = 0; k < i->servers_count; k++)
        free(i->servers[k]);
    free(i->servers);
    free(i->certificate_pem);
    free(i->ca_pem);
    secret_done(&i->key_pem);
    *i = (struct identity){ 0 };
}

static int read_text(const char *data, const char *name, struct buf *to, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", data, name);
    buf_clear(to);
    return file_read(path, to, err);
}

static int set_certificate(struct identity *i, struct str pem, struct error *err)
{
    struct pki_cert *cert = pki_cert_read(pem, err);
    if (!cert)
        return error_context(err, "the node's certificate");
    i->certificate_pem = str_dup(pem);
    i->not_before_ms = pki_cert_not_before_ms(cert);
    i->not_after_ms = pki_cert_not_after_ms(cert);
    pki_cert_free(cert);
    return 0;
}

static void set_servers(struct identity *i, const struct value *list)
{
    size_t count = value_type(list) == VALUE_ARRAY ? list->items_count : 0;

    i->servers = xcalloc(count + 1, sizeof(char *));
    for (size_t k = 0; k < count; k++)
        i->servers[i->servers_count++] = str_dup(value_to_str(list->items[k]));
}

int identity_load(const char *data, struct identity *ret, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(FILE_MAX);
    AUTO_ARENA struct arena a = { 0 };

    *ret = (struct identity){ 0 };
    if (read_text(data, "node.key", &text, err) < 0)
        return -1;
    secret_set(&ret->key_pem, buf_str(&text));
    explicit_bzero(text.p, text.n);
    if (read_text(data, "node.crt", &text, err) < 0 || set_certificate(ret, buf_str(&text), err) < 0 ||
        read_text(data, "ca.crt", &text, err) < 0)
        goto failed;
    ret->ca_pem = str_dup(buf_str(&text));
    if (read_text(data, "servers.json", &text, err) == 0)
        set_servers(ret, value_parse(&a, buf_str(&text), NULL, NULL));
    return 0;
failed:
    identity_done(ret);
    return -1;
}

static int save(const char *data, const struct identity *i, struct error *err)
{
    AUTO_FREE char *key = xasprintf("%s/node.key", data);
    AUTO_FREE char *certificate = xasprintf("%s/node.crt", data);
    AUTO_FREE char *ca = xasprintf("%s/ca.crt", data);
    AUTO_FREE char *servers = xasprintf("%s/servers.json", data);
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct json_out j = { .to = &text };

    json_array(&j, NULL);
    for (size_t k = 0; k < i->servers_count; k++)
        json_text(&j, NULL, i->servers[k]);
    json_array_end(&j);
    if (file_write(servers, buf_str(&text), 0600, err) < 0 || file_write(ca, str_of(i->ca_pem), 0600, err) < 0 ||
        file_write(certificate, str_of(i->certificate_pem), 0600, err) < 0)
        return -1;
    return file_write(key, secret_reveal(&i->key_pem), 0600, err); /* last: without it the node has not joined */
}

/* TOKENID.TOKENSECRET.CAHASH: the last part pins the CA. */
static int split_token(struct str token, struct str *ret_hash, struct error *err)
{
    ptrdiff_t dot = str_find_last(token, '.');

    if (dot < 0 || token.n - (size_t)dot - 1 != HASH_LENGTH)
        return fail(err, ERR_BAD_REQUEST, "the token is not of the form ID.SECRET.HASH");
    *ret_hash = str_from(token, (size_t)dot + 1);
    return 0;
}

static void write_request(struct buf *to, const struct agent_config *config, struct str csr)
{
    struct json_out j = { .to = to };
    json_object(&j, NULL);
    json_text(&j, "nodeName", config->node_name);
    json_str(&j, "csr", csr);
    if (config->role)
        json_bool(&j, "gateway", true);
    json_object_end(&j);
}

static int read_answer(struct str body, struct pki_key *key, struct identity *ret, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *v = value_parse(&a, body, NULL, err);
    struct str certificate = value_to_str(value_get_str(v, STR("certificate"))),
               ca = value_to_str(value_get_str(v, STR("ca")));

    if (!v || !certificate.n || !ca.n)
        return fail(err, ERR_INTERNAL, "the server's answer to the join is not understood");
    pki_key_pem(key, &ret->key_pem);
    ret->ca_pem = str_dup(ca);
    set_servers(ret, value_get_str(v, STR("servers")));
    return set_certificate(ret, certificate, err);
}

static size_t list_servers(const struct agent_config *config, const struct identity *present, struct str *to,
                           size_t max)
{
    size_t n = 0;
    for (size_t i = 0; present && i < present->servers_count && n < max; i++)
        to[n++] = str_of(present->servers[i]);
    for (size_t i = 0; i < config->servers_count && n < max; i++)
        to[n++] = str_of(config->servers[i]);
    return n;
}

int identity_join(const struct agent_config *config, const struct identity *present, int64_t now_ms,
                  struct identity *ret, struct error *err)
{
    AUTO_BUF struct buf csr = BUF_MAX(16 * KIB);
    AUTO_BUF struct buf request = BUF_MAX(32 * KIB);
    AUTO_BUF struct buf body = BUF_MAX(FILE_MAX);
    AUTO_FREE char *name = xasprintf("system:node:%s", config->node_name);
    AUTO_SECRET struct secret token = { 0 };
    const struct str organization = STR("system:nodes");
    struct str hash = STR_NONE, servers[16];
    int status = 0, result = -1;

    *ret = (struct identity){ 0 };
    if (!present && (!config->token || split_token(str_of(config->token), &hash, err) < 0))
        return config->token ? -1
                             : fail(err, ERR_UNAUTHORIZED,
                                    "this node has not joined a cluster yet: it needs --server and --token");
    struct pki_key *key = pki_key_new(PKI_ECDSA_P256);
    struct pki_request subject = {
        .common_name = str_of(name), .organizations = &organization, .organizations_count = 1, .now_ms = now_ms
    };
    pki_csr_new(key, &subject, &csr);
    write_request(&request, config, buf_str(&csr));
    struct tls_client_options pinned = { .ca_sha256 = hash };
    struct tls_context *tls = present ? identity_tls(present, err) : tls_context_new_client(&pinned, err);
    if (!tls)
        goto done;
    if (!present)
        secret_set(&token, str_part(str_of(config->token), 0,
                                    (size_t)(hash.p - config->token) - 1)); /* ID.SECRET: the hash is for us */
    const struct http_header headers[] = { { STR_INIT("content-type"), STR_INIT("application/json") } };
    struct http_client_options o = { .servers = servers,
                                     .servers_count = list_servers(config, present, servers, ARRAY_SIZE(servers)),
                                     .tls = tls };
    struct http_call_request r = { .method = STR("POST"),
                                   .target = STR("/klein/v1/join"),
                                   .headers = headers,
                                   .headers_count = 1,
                                   .bearer = present ? NULL : &token,
                                   .body = buf_str(&request),
                                   .timeout_ms = JOIN_TIMEOUT_MS,
                                   .total_timeout_ms = JOIN_TIMEOUT_MS };
    if (o.servers_count == 0) {
        fail(err, ERR_BAD_REQUEST, "no server is named");
        goto done;
    }
    if (http_fetch_blocking(&o, &r, &status, &body, err) < 0)
        goto done;
    if (status != 200) {
        AUTO_ARENA struct arena a = { 0 };
        struct value *v = value_parse(&a, buf_str(&body), NULL, NULL);
        struct str message = value_to_str(value_get_str(v, STR("message")));
        enum error_code code = error_code_of_reason(value_to_str(value_get_str(v, STR("reason"))), status);
        fail(err, code, "the server refused the join: %.*s", STR_ARG(message.n ? message : STR("no reason given")));
        goto done;
    }
    if (read_answer(buf_str(&body), key, ret, err) == 0 && save(config->data, ret, err) == 0)
        result = 0;
done:
    if (result < 0)
        identity_done(ret);
    tls_context_unref(tls);
    pki_key_free(key);
    return result;
}

struct tls_context *identity_tls(const struct identity *i, struct error *err)
{
    struct tls_client_options o = { .ca_pem = str_of(i->ca_pem),
                                    .certificate_pem = str_of(i->certificate_pem),
                                    .key_pem = &i->key_pem };
    return tls_context_new_client(&o, err);
}

bool identity_needs_renewal(const struct identity *i, int64_t now_ms)
{
    return now_ms > i->not_after_ms - (i->not_after_ms - i->not_before_ms) / 3;
}
