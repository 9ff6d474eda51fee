/* Calls to a cluster's API as its administrator. */
#include "cli/remote.h"

#include "base/env.h"
#include "base/file.h"
#include "base/time.h"
#include "cli/cluster.h"
#include "object/value.h"
#include "wire/pki.h"

#include <stdlib.h>

static int read_part(const char *folder, const char *file, struct buf *to, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", folder, file);

    return file_read(path, to, err);
}

static int take_pin(struct remote *r, struct str ca_pem, struct error *err)
{
    struct pki_cert *ca = pki_cert_read(ca_pem, err);

    if (!ca)
        return -1;
    pki_cert_public_key_sha256(ca, r->ca_pin);
    pki_cert_free(ca);
    return 0;
}

int remote_open(struct remote *r, const char *server, const char *pki_folder, struct error *err)
{
    return remote_open_any(r, &server, 1, pki_folder, err);
}

int remote_open_cluster(struct remote *r, const struct cluster_record *c, struct error *err)
{
    AUTO_FREE char *pki = cluster_pki_path(c);
    char *urls[CLUSTER_SERVERS_MAX + 1];
    int count = cluster_api_urls(c, urls);
    int result = remote_open_any(r, (const char *const *)urls, count, pki, err);

    while (count)
        free(urls[--count]);
    return result;
}

int remote_open_any(struct remote *r, const char *const *servers, int count, const char *pki_folder, struct error *err)
{
    AUTO_BUF struct buf ca = BUF_MAX(64 * KIB);
    AUTO_BUF struct buf certificate = BUF_MAX(64 * KIB);
    AUTO_BUF struct buf key_text = BUF_MAX(64 * KIB);
    AUTO_SECRET struct secret key = { 0 };

    *r = (struct remote){ 0 };
    if (read_part(pki_folder, "ca.crt", &ca, err) < 0 || read_part(pki_folder, "admin.crt", &certificate, err) < 0 ||
        read_part(pki_folder, "admin.key", &key_text, err) < 0 || take_pin(r, buf_str(&ca), err) < 0)
        return error_context(err, "read the administrator's certificate");
    secret_set(&key, buf_str(&key_text));
    explicit_bzero(key_text.p, key_text.n);
    r->tls = tls_context_new_client(&(struct tls_client_options){ .ca_pem = buf_str(&ca),
                                                                  .certificate_pem = buf_str(&certificate),
                                                                  .key_pem = &key },
                                    err);
    if (!r->tls)
        return -1;
    r->options = (struct http_client_options){ .servers = r->server_texts, .tls = r->tls };
    for (int i = 0; i < count && i < REMOTE_SERVERS_MAX; i++) {
        r->servers[i] = xstrdup(servers[i]);
        r->server_texts[r->options.servers_count++] = str_of(r->servers[i]);
    }
    return 0;
}

void remote_turn(struct remote *r)
{
    size_t count = r->options.servers_count;
    struct str first = r->server_texts[0];

    if (count < 2)
        return;
    memmove(r->server_texts, r->server_texts + 1, (count - 1) * sizeof(first));
    r->server_texts[count - 1] = first;
}

void remote_close(struct remote *r)
{
    tls_context_unref(r->tls);
    for (int i = 0; i < REMOTE_SERVERS_MAX; i++)
        free(r->servers[i]);
    *r = (struct remote){ 0 };
}

static int request(struct remote *r, const char *method, const char *target, struct str body, int64_t timeout_ms,
                   struct buf *ret, struct error *err)
{
    bool patch = str_is(str_of(method), "PATCH");
    struct http_header headers[] = {
        { STR("Accept"), STR("application/json") },
        { STR("Content-Type"), patch ? STR("application/merge-patch+json") : STR("application/json") },
    };
    struct http_call_request call = {
        .method = str_of(method),
        .target = str_of(target),
        .headers = headers,
        .headers_count = body.n ? 2 : 1,
        .body = body,
        .timeout_ms = timeout_ms,
        .total_timeout_ms = timeout_ms,
    };
    int status;

    /* One that cannot be reached leaves time for the others. */
    r->options.connect_timeout_ms = MAX(timeout_ms / (int64_t)MAX(r->options.servers_count, (size_t)1), 50);
    if (http_fetch_blocking(&r->options, &call, &status, ret, err) < 0)
        return -1;
    if (status / 100 == 2)
        return 0;
    struct object *answer = object_parse(buf_str(ret), NULL);
    struct view root = object_root(answer);
    struct str message = view_str(view_get_str(root, STR("message")));
    fail(err, error_code_of_reason(view_str(view_get_str(root, STR("reason"))), status), "%.*s", STR_ARG(message));
    if (!message.n)
        fail(err, error_code_of_reason(STR_NONE, status), "the API server answered %d to %s %s", status, method,
             target);
    object_unref(answer);
    return -1;
}

int remote_call(struct remote *r, const char *method, const char *target, struct str body, int64_t timeout_ms,
                struct object **ret, struct error *err)
{
    AUTO_BUF struct buf answer = BUF_MAX(64 * MIB);

    if (request(r, method, target, body, timeout_ms, &answer, err) < 0)
        return -1;
    if (!ret)
        return 0;
    *ret = object_parse(buf_str(&answer), err);
    return *ret ? 0 : -1;
}

int remote_patch(struct remote *r, const char *target, struct str body, int64_t timeout_ms, struct error *err)
{
    return remote_call(r, "PATCH", target, body, timeout_ms, NULL, err);
}

int remote_fetch(struct remote *r, const char *target, int64_t timeout_ms, struct buf *ret, struct error *err)
{
    return request(r, "GET", target, STR_NONE, timeout_ms, ret, err);
}

/* --- long answers -------------------------------------------------------------------------------------------------- */

struct streaming {
    struct loop *loop;
    struct http_client *client;
    struct http_call *call;
    int (*take)(void *arg, struct str bytes, struct error *err);
    void *arg;
    int status;
    struct buf refusal;
    struct error err;
    bool failed;
};

static void stream_head(struct http_call *call, const struct http_response *head, void *arg)
{
    (void)call;
    ((struct streaming *)arg)->status = head->status;
}

static void stream_body(struct http_call *call, struct str bytes, void *arg)
{
    struct streaming *s = arg;

    if (s->status / 100 != 2) {
        buf_add(&s->refusal, bytes);
    } else if (s->take(s->arg, bytes, &s->err) < 0) {
        s->failed = true;
        http_call_cancel(call);
        loop_stop(s->loop);
    }
}

static void stream_done(struct http_call *call, const struct error *err, void *arg)
{
    struct streaming *s = arg;

    (void)call;
    if (err) {
        s->failed = true;
        fail(&s->err, err->code, "%s", error_text(err));
    } else if (s->status / 100 != 2) {
        struct object *answer = object_parse(buf_str(&s->refusal), NULL);
        struct str message = view_str(view_get_str(object_root(answer), STR("message")));
        s->failed = true;
        fail(&s->err, error_code_of_reason(STR_NONE, s->status), "the API server answered %d: %.*s", s->status,
             STR_ARG(message));
        object_unref(answer);
    }
    loop_stop(s->loop);
}

int remote_stream(struct remote *r, const char *target, int (*take)(void *arg, struct str bytes, struct error *err),
                  void *arg, struct error *err)
{
    static const struct http_call_callbacks callbacks = { .on_head = stream_head,
                                                          .on_body = stream_body,
                                                          .on_done = stream_done };
    struct streaming s = { .take = take, .arg = arg, .refusal = BUF_MAX(MIB) };

    s.loop = loop_new_system(env_system());
    s.client = http_client_new(s.loop, &r->options, err);
    if (s.client) {
        http_client_call(s.client, &(struct http_call_request){ .method = STR("GET"), .target = str_of(target) },
                         &callbacks, &s);
        loop_run(s.loop);
        http_client_free(s.client);
    }
    loop_free(s.loop);
    buf_done(&s.refusal);
    if (s.failed)
        error_move(err, &s.err);
    return s.client && !s.failed ? 0 : -1;
}

static void random_word(char *to, size_t n)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";

    for (size_t i = 0; i < n; i++)
        to[i] = alphabet[env_random_below(env_system(), sizeof(alphabet) - 1)];
    to[n] = '\0';
}

int remote_token_create(struct remote *r, enum remote_token kind, int64_t ttl_s, struct secret *ret, struct error *err)
{
    AUTO_BUF struct buf body = BUF_MAX(4 * KIB);
    AUTO_BUF struct buf token = BUF_MAX(KIB);
    char id[7], word[17], expires[TIME_TEXT_SIZE];

    random_word(id, 6);
    random_word(word, 16);
    time_format(env_wall_ms(env_system()) + ttl_s * SECOND_MS, expires);
    buf_addf(&body,
             "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"type\":\"bootstrap.kubernetes.io/token\","
             "\"metadata\":{\"name\":\"bootstrap-token-%s\",\"namespace\":\"kube-system\"},"
             "\"stringData\":{\"token-id\":\"%s\",\"token-secret\":\"%s\",\"expiration\":\"%s\","
             "\"usage-bootstrap-authentication\":\"true\",\"usage-bootstrap-signing\":\"true\","
             "\"auth-extra-groups\":\"system:bootstrappers:%s\"}}",
             id, id, word, expires, kind == REMOTE_TOKEN_SERVER ? "klein-servers" : "klein-gateways");
    if (remote_call(r, "POST", "/api/v1/namespaces/kube-system/secrets", buf_str(&body), 10 * SECOND_MS, NULL, err) < 0)
        return error_context(err, "make a join token");
    buf_addf(&token, "%s.%s.%s", id, word, r->ca_pin);
    secret_set(ret, buf_str(&token));
    return 0;
}
