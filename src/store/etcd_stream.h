/* One watch of etcd over a prefix, on one member: it opens, tells events in order, and ends. Inside of the etcd engine. */
#ifndef STORE_ETCD_STREAM_H
#define STORE_ETCD_STREAM_H

#include "store/etcd_client.h"

struct etcd_stream;
struct etcd_stream_callbacks {
    void (*on_open)(void *arg);
    void (*on_event)(void *arg, const Etcdpb__Event *e); /* memory of the call */
    void (*on_pause)(void *arg);                         /* every event of the last revision told has been told */
    /* Once; the stream is gone. compacted: etcd does not have the changes from the start any more. */
    void (*on_end)(void *arg, bool compacted, const struct error *err);
};
/* Everything from etcd's revision `from` on, with previous values. A member that has not come so far is refused: on_end. */
struct etcd_stream *etcd_stream_open(struct etcd_client *c, size_t endpoint, struct str prefix, int64_t from,
                                     int64_t open_timeout_ms, const struct etcd_stream_callbacks *cb, void *arg);
void etcd_stream_close(struct etcd_stream *s); /* on_end is not called; NULL is fine; also from inside a call-back */

#endif
