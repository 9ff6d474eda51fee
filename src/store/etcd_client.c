/* Calls to the members of an etcd cluster. */
#include "store/etcd_client.h"

#include <stdlib.h>

#define CONNECT_TIMEOUT_MS 1000
/* Servers of gRPC measure the bandwidth with a ping a round trip, and we trust a member of our own cluster. */
#define CONTROL_FRAMES_PER_S 100000

struct endpoint {
    char *url;
    struct http_client *http;
    int silent; /* calls in a row that ended without an answer in their time */
};

struct etcd_client {
    struct loop *loop;
    struct tls_context *tls;
    struct endpoint endpoints[ETCD_ENDPOINTS_MAX];
    size_t count;
    int patience;
};

const struct etcd_method etcd_range = ETCD_METHOD("KV", "Range", range_response);
const struct etcd_method etcd_put = ETCD_METHOD("KV", "Put", put_response);
const struct etcd_method etcd_txn = ETCD_METHOD("KV", "Txn", txn_response);
const struct etcd_method etcd_compact = ETCD_METHOD("KV", "Compact", compaction_response);

/* --- messages --- */

static void *arena_allocate(void *arena, size_t n)
{
    return arena_alloc(arena, n);
}

static void arena_ignore(void *arena, void *p)
{
    (void)arena, (void)p;
}

ProtobufCMessage *etcd_unpack(const ProtobufCMessageDescriptor *d, struct str bytes, struct arena *a, struct error *err)
{
    ProtobufCAllocator allocator = { .alloc = arena_allocate, .free = arena_ignore, .allocator_data = a };
    ProtobufCMessage *m = protobuf_c_message_unpack(d, &allocator, bytes.n, (const uint8_t *)(bytes.p ? bytes.p : ""));

    return m ? m : fail_null(err, ERR_INTERNAL, "etcd: unreadable %s", d->short_name);
}

void etcd_pack(const ProtobufCMessage *m, struct buf *to)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    char *p = buf_reserve(to, n);

    if (p)
        to->n += protobuf_c_message_pack(m, (uint8_t *)p);
}

/* --- endpoints --- */

static struct http_client *connect_to(struct etcd_client *c, struct str url, struct error *err)
{
    return http_client_new(c->loop,
                           &(struct http_client_options){
                               .servers = &url,
                               .servers_count = 1,
                               .tls = c->tls,
                               .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                               .http2_only = true,
                               .flood_per_s = CONTROL_FRAMES_PER_S,
                           },
                           err);
}

static void endpoint_done(struct endpoint *e)
{
    http_client_free(e->http);
    free(e->url);
}

ptrdiff_t etcd_client_find(const struct etcd_client *c, struct str url)
{
    for (size_t i = 0; i < c->count; i++)
        if (str_is(url, c->endpoints[i].url))
            return (ptrdiff_t)i;
    return -1;
}

int etcd_client_set_endpoints(struct etcd_client *c, const struct str *urls, size_t count, struct error *err)
{
    struct endpoint next[ETCD_ENDPOINTS_MAX] = { 0 };
    size_t n = 0;

    if (!count || count > ETCD_ENDPOINTS_MAX)
        return fail(err, ERR_BAD_REQUEST, "%zu etcd endpoints: between 1 and %d are possible", count,
                    ETCD_ENDPOINTS_MAX);
    for (size_t i = 0; i < count; i++) {
        ptrdiff_t old = etcd_client_find(c, urls[i]);
        bool again = false;

        for (size_t k = 0; k < n; k++)
            again = again || str_is(urls[i], next[k].url);
        if (again)
            continue;
        next[n].http = old >= 0 ? c->endpoints[old].http : connect_to(c, urls[i], err);
        if (!next[n].http) {
            for (size_t k = 0; k < n; k++)
                if (etcd_client_find(c, str_of(next[k].url)) < 0)
                    endpoint_done(&next[k]);
                else
                    free(next[k].url);
            return error_context(err, "etcd endpoint");
        }
        next[n++].url = str_dup(urls[i]);
    }
    for (size_t i = 0; i < c->count; i++) {
        for (size_t k = 0; k < n; k++)
            if (next[k].http == c->endpoints[i].http)
                c->endpoints[i].http = NULL;
        endpoint_done(&c->endpoints[i]);
    }
    memcpy(c->endpoints, next, sizeof(next));
    c->count = n;
    return 0;
}

struct etcd_client *etcd_client_new(struct loop *loop, const struct str *endpoints, size_t count,
                                    struct tls_context *tls, struct error *err)
{
    struct etcd_client *c = xnew(struct etcd_client);

    c->loop = loop;
    c->tls = tls ? tls_context_ref(tls) : NULL;
    if (etcd_client_set_endpoints(c, endpoints, count, err) < 0) {
        etcd_client_free(c);
        return NULL;
    }
    return c;
}

void etcd_client_free(struct etcd_client *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++)
        endpoint_done(&c->endpoints[i]);
    tls_context_unref(c->tls);
    free(c);
}

struct freeing {
    size_t left;
    loop_fn *freed;
    void *arg;
};

static void on_freed(void *arg)
{
    struct freeing *f = arg;

    if (--f->left)
        return;
    f->freed(f->arg);
    free(f);
}

void etcd_client_free_then(struct etcd_client *c, loop_fn *freed, void *arg)
{
    struct freeing *f = xnew(struct freeing);

    *f = (struct freeing){ .left = c->count, .freed = freed, .arg = arg };
    for (size_t i = 0; i < c->count; i++)
        http_client_free_then(TAKE(c->endpoints[i].http), on_freed, f);
    etcd_client_free(c);
}

void etcd_client_set_tls(struct etcd_client *c, struct tls_context *tls)
{
    if (tls)
        tls_context_ref(tls);
    tls_context_unref(c->tls);
    c->tls = tls;
    for (size_t i = 0; i < c->count; i++)
        http_client_set_tls(c->endpoints[i].http, tls);
}

size_t etcd_client_count(const struct etcd_client *c)
{
    return c->count;
}

struct str etcd_client_url(const struct etcd_client *c, size_t endpoint)
{
    return str_of(c->endpoints[endpoint % c->count].url);
}

struct http_client *etcd_client_http(struct etcd_client *c, size_t endpoint)
{
    return c->endpoints[endpoint % c->count].http;
}

void etcd_client_set_patience(struct etcd_client *c, int silent_calls_max)
{
    c->patience = silent_calls_max;
}

static void reconnect(struct etcd_client *c, struct endpoint *e)
{
    struct http_client *fresh = connect_to(c, str_of(e->url), NULL);

    e->silent = 0;
    if (!fresh)
        return;
    http_client_free(e->http);
    e->http = fresh;
}

/* A call to this endpoint has ended; the endpoint may be gone meanwhile. */
static void note_silence(struct etcd_client *c, struct str url, bool silent)
{
    ptrdiff_t at = etcd_client_find(c, url);

    if (at < 0 || !c->patience)
        return;
    c->endpoints[at].silent = silent ? c->endpoints[at].silent + 1 : 0;
    if (c->endpoints[at].silent >= c->patience)
        reconnect(c, &c->endpoints[at]);
}

/* --- calls --- */

struct etcd_call {
    struct etcd_client *client;
    struct grpc_call *grpc;
    const struct etcd_method *method;
    etcd_answer_fn *done;
    void *arg;
    struct arena arena;
    ProtobufCMessage *answer;
    struct error error;
    char *url;
};

static void etcd_call_free(struct etcd_call *call)
{
    arena_done(&call->arena);
    error_done(&call->error);
    free(call->url);
    free(call);
}

static void on_message(struct grpc_call *grpc, struct str message, void *arg)
{
    struct etcd_call *call = arg;

    (void)grpc;
    if (!call->answer)
        call->answer = etcd_unpack(call->method->answer, message, &call->arena, &call->error);
}

static void on_done(struct grpc_call *grpc, int status, const struct error *err, void *arg)
{
    struct etcd_call *call = arg;
    AUTO_ERROR struct error failure = { 0 };

    (void)grpc;
    if (err)
        fail(&failure, err->code, "%s: %s", call->url, error_text(err));
    else if (!call->answer)
        fail(&failure, ERR_INTERNAL, "%s: %s", call->url,
             call->error.code ? error_text(&call->error) : "etcd: an answer without a message");
    note_silence(call->client, str_of(call->url), status == GRPC_NO_STATUS && err->code == ERR_TIMEOUT);
    call->done(call->arg, failure.code ? NULL : call->answer, status, failure.code ? &failure : NULL);
    etcd_call_free(call);
}

static const struct grpc_call_callbacks callbacks = { .on_message = on_message, .on_done = on_done };

struct etcd_call *etcd_client_send(struct etcd_client *c, size_t endpoint, const struct etcd_method *method,
                                   struct str packed, int64_t timeout_ms, etcd_answer_fn *done, void *arg)
{
    struct etcd_call *call = xnew(struct etcd_call);

    endpoint %= c->count;
    *call = (struct etcd_call){ .client = c, .method = method, .done = done, .arg = arg };
    call->url = xstrdup(c->endpoints[endpoint].url);
    call->grpc = grpc_call_new(
        c->endpoints[endpoint].http,
        &(struct grpc_call_request){
            .method = method->path, .message = packed, .message_max = ETCD_ANSWER_MAX, .timeout_ms = timeout_ms },
        &callbacks, call);
    return call;
}

struct etcd_call *etcd_client_call(struct etcd_client *c, size_t endpoint, const struct etcd_method *method,
                                   const ProtobufCMessage *request, int64_t timeout_ms, etcd_answer_fn *done, void *arg)
{
    AUTO_BUF struct buf packed = BUF_MAX(SIZE_MAX / 2);

    etcd_pack(request, &packed);
    return etcd_client_send(c, endpoint, method, buf_str(&packed), timeout_ms, done, arg);
}

void etcd_call_cancel(struct etcd_call *call)
{
    if (!call)
        return;
    grpc_call_cancel(call->grpc);
    etcd_call_free(call);
}
