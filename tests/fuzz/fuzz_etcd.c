/*
 * What an etcd member may send: messages and the values in them. Nothing crashes; a value that is accepted has the checksum it would be
 * given, and events come out in order.
 */
#include "store/etcd_value.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(struct str key, struct str stored)
{
    char again[ETCD_HEADER_MAX];
    uint32_t position;
    uint64_t full;
    struct str value;
    size_t n;

    if (!etcd_header_read(key, stored, &position, &full, &value))
        return;
    if (position == ETCD_MIGRATED && !full)
        return; /* no revision is 0, and none is written */
    n = etcd_header_write(again, key, value, position, full);
    if (n + value.n != stored.n || memcmp(again, stored.p, n))
        abort();
}

static void check_events(const Etcdpb__WatchResponse *m)
{
    struct etcd_decoder d = { .prefix = STR("klein") };
    struct etcd_event ev;
    int64_t last = 0;

    for (size_t i = 0; i < m->n_events; i++) {
        AUTO_ERROR struct error err = { 0 };

        if (etcd_decode(&d, m->events[i], &ev, &err) < 0) {
            if (err.code == ERR_NONE)
                abort();
            return;
        }
        if (ev.mod < last)
            abort();
        last = ev.mod;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const kinds[] = {
        &etcdpb__watch_response__descriptor, &etcdpb__txn_response__descriptor, &etcdpb__range_response__descriptor,
        &etcdpb__status_response__descriptor, &etcdpb__member_add_response__descriptor
    };
    struct str input = { (const char *)data, size };

    check_value(STR("/k"), input);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        AUTO_ARENA struct arena arena = { 0 };
        AUTO_ERROR struct error err = { 0 };
        ProtobufCMessage *m = etcd_unpack(kinds[i], input, &arena, &err);

        if (!m != (err.code != ERR_NONE))
            abort();
        if (m && i == 0)
            check_events((const Etcdpb__WatchResponse *)m);
    }
    return 0;
}
