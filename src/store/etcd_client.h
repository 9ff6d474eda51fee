/*
 * Calls to the members of an etcd cluster: one connection an endpoint, packed and unpacked messages. Inside of the etcd engine and of
 * etcd_admin; users include store/etcd.h or store/etcd_admin.h.
 *
 * Which endpoint is asked is the caller's decision; so is what a failure means.
 */
#ifndef STORE_ETCD_CLIENT_H
#define STORE_ETCD_CLIENT_H

#include "base/arena.h"
#include "loop/loop.h"
#include "store/etcd.pb-c.h"
#include "transport/grpc_call.h"

#define ETCD_ENDPOINTS_MAX 32
#define ETCD_ANSWER_MAX    (256 * MIB) /* 100 refused writes may be answered with 100 values */

struct etcd_client;
struct etcd_client *etcd_client_new(struct loop *loop, const struct str *endpoints, size_t count,
                                    struct tls_context *tls, struct error *err);
void etcd_client_free(struct etcd_client *c); /* open calls end with ERR_UNAVAILABLE in a later round */
void etcd_client_free_then(struct etcd_client *c, loop_fn *freed, void *arg); /* when every connection is gone */
/* Endpoints that stay keep their connection. */
int etcd_client_set_endpoints(struct etcd_client *c, const struct str *endpoints, size_t count, struct error *err);
void etcd_client_set_tls(struct etcd_client *c, struct tls_context *tls);
size_t etcd_client_count(const struct etcd_client *c);
struct str etcd_client_url(const struct etcd_client *c, size_t endpoint);
/* The endpoint's number, or -1. */
ptrdiff_t etcd_client_find(const struct etcd_client *c, struct str url);
/*
 * After so many calls in a row without an answer in their time the connection is given up, with all that is open on it, and the next
 * call makes a new one: what a cut left behind would else wait for TCP's next try, up to two minutes. 0: never.
 */
void etcd_client_set_patience(struct etcd_client *c, int silent_calls_max);
struct http_client *etcd_client_http(struct etcd_client *c, size_t endpoint);

struct etcd_method {
    const char *path;
    const ProtobufCMessageDescriptor *answer;
};
#define ETCD_METHOD(service, method, answer_)                                                                          \
    {                                                                                                                  \
        "/etcdserverpb." service "/" method, &etcdpb__##answer_##__descriptor                                          \
    }
extern const struct etcd_method etcd_range, etcd_put, etcd_txn, etcd_compact;

/* answer is NULL exactly when err is set; both are valid during the call. status: see transport/grpc_call.h. */
typedef void etcd_answer_fn(void *arg, const ProtobufCMessage *answer, int status, const struct error *err);
struct etcd_call;
struct etcd_call *etcd_client_call(struct etcd_client *c, size_t endpoint, const struct etcd_method *method,
                                   const ProtobufCMessage *request, int64_t timeout_ms, etcd_answer_fn *done,
                                   void *arg);
/* The same with a request that is packed already. */
struct etcd_call *etcd_client_send(struct etcd_client *c, size_t endpoint, const struct etcd_method *method,
                                   struct str packed, int64_t timeout_ms, etcd_answer_fn *done, void *arg);
void etcd_call_cancel(struct etcd_call *call); /* done is not called; NULL is fine */

/* The whole message in memory of `a`, or NULL with err. */
ProtobufCMessage *etcd_unpack(const ProtobufCMessageDescriptor *d, struct str bytes, struct arena *a,
                              struct error *err);
void etcd_pack(const ProtobufCMessage *m, struct buf *to);
static inline ProtobufCBinaryData etcd_bytes(struct str s)
{
    return (ProtobufCBinaryData){ .len = s.n, .data = (uint8_t *)(uintptr_t)s.p };
}
static inline struct str etcd_str(ProtobufCBinaryData b)
{
    return (struct str){ (const char *)b.data, b.len };
}

#endif
