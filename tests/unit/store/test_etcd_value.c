/* Headers, checksums and revisions of values in etcd. */
#include "store/etcd_value.h"
#include "test.h"

TEST("a value is read back with its place; a flipped bit, another key or a cut is noticed")
{
    for (int migrated = 0; migrated < 2; migrated++) {
        char stored[ETCD_HEADER_MAX + 5];
        size_t n = etcd_header_write(stored, STR("/k"), STR("value"), 7, migrated ? 1234567890123 : 0);
        struct str whole = { stored, n + 5 }, value;
        uint32_t position;
        uint64_t full;

        memcpy(stored + n, "value", 5);
        ASSERT(etcd_header_read(STR("/k"), whole, &position, &full, &value));
        ASSERT_STR(value, "value");
        ASSERT_INT(full, migrated ? 1234567890123 : 0);
        ASSERT_INT(position, migrated ? ETCD_MIGRATED : 7);
        ASSERT(!etcd_header_read(STR("/l"), whole, &position, &full, &value));
        for (size_t cut = 0; cut < whole.n; cut++)
            ASSERT(!etcd_header_read(STR("/k"), str_part(whole, 0, cut), &position, &full, &value));
        for (size_t bit = 0; bit < 8 * whole.n; bit++) {
            stored[bit / 8] = (char)(stored[bit / 8] ^ 1 << bit % 8);
            ASSERT(!etcd_header_read(STR("/k"), whole, &position, &full, &value));
            stored[bit / 8] = (char)(stored[bit / 8] ^ 1 << bit % 8);
        }
    }
}

TEST("a revision is base, transaction and place, and both come back")
{
    int64_t mod;
    uint32_t position;

    ASSERT_INT(etcd_revision(1000, 5, 3), 1000 + 5 * 1024 + 3);
    ASSERT(etcd_revision_split(1000, 1000 + 5 * 1024 + 3, &mod, &position));
    ASSERT_INT(mod, 5);
    ASSERT_INT(position, 3);
    ASSERT(!etcd_revision_split(1000, 1000, &mod, &position));
    ASSERT(!etcd_revision_split(1000, 999, &mod, &position));
}

TEST("places of values order them as etcd compares bytes")
{
    char low[ETCD_PLACE_SIZE], high[ETCD_PLACE_SIZE], stored[ETCD_HEADER_MAX];

    for (uint32_t position = 0; position < 1024; position++) {
        size_t n = etcd_header_write(stored, STR("/k"), STR_NONE, position, 0);

        etcd_place(low, position);
        etcd_place(high, position + 1);
        ASSERT(str_cmp((struct str){ stored, n }, (struct str){ low, ETCD_PLACE_SIZE }) > 0);
        ASSERT(str_cmp((struct str){ stored, n }, (struct str){ high, ETCD_PLACE_SIZE }) < 0);
    }
}

static int decode(struct etcd_decoder *d, int64_t mod, const char *key, struct str stored, bool put,
                  struct etcd_event *ret)
{
    Etcdpb__Event e = ETCDPB__EVENT__INIT;
    Etcdpb__KeyValue kv = ETCDPB__KEY_VALUE__INIT, previous = ETCDPB__KEY_VALUE__INIT;
    AUTO_ERROR struct error err = { 0 };

    e.type = put ? ETCDPB__EVENT__EVENT_TYPE__PUT : ETCDPB__EVENT__EVENT_TYPE__DELETE;
    e.kv = &kv;
    kv.key = previous.key = etcd_bytes(str_of(key));
    kv.mod_revision = kv.create_revision = mod;
    if (put) {
        kv.value = etcd_bytes(stored);
    } else {
        previous.value = etcd_bytes(stored);
        previous.mod_revision = mod - 1;
        e.prev_kv = &previous;
    }
    return etcd_decode(d, &e, ret, &err);
}

TEST("a deletion takes the place after the event before it")
{
    struct etcd_decoder d = { .base = 0, .prefix = STR("klein") };
    char one[ETCD_HEADER_MAX], four[ETCD_HEADER_MAX], old[ETCD_HEADER_MAX];
    struct str stored_one = { one, etcd_header_write(one, STR("/a"), STR_NONE, 1, 0) };
    struct str stored_four = { four, etcd_header_write(four, STR("/d"), STR_NONE, 4, 0) };
    struct str stored_old = { old, etcd_header_write(old, STR("/b"), STR_NONE, 9, 0) };
    struct etcd_event ev;

    ASSERT_INT(decode(&d, 10, "klein/a", stored_one, true, &ev), 0);
    ASSERT_INT(ev.change.revision, 10 * 1024 + 1);
    ASSERT_INT(decode(&d, 10, "klein/b", stored_old, false, &ev), 0);
    ASSERT_INT(ev.change.revision, 10 * 1024 + 2);
    ASSERT_INT(ev.change.previous_revision, 9 * 1024 + 9);
    ASSERT_INT(decode(&d, 10, "klein/d", stored_four, true, &ev), 0);
    ASSERT_INT(ev.change.revision, 10 * 1024 + 4);
    ASSERT_INT(decode(&d, 11, "klein/b", stored_old, false, &ev), 0);
    ASSERT_INT(ev.change.revision, 11 * 1024);
    ASSERT_INT(decode(&d, 10, "klein/a", stored_one, true, &ev), -1); /* backwards */
    ASSERT_INT(decode(&d, 12, "other/a", stored_one, true, &ev), -1);
    ASSERT_INT(decode(&d, 12, "klein/d", stored_one, true, &ev), -1); /* another key's value */
}

TEST("the end of a prefix is the next key that does not have it")
{
    AUTO_BUF struct buf end = BUF_MAX(64);

    etcd_prefix_end(&end, STR("klein/"));
    ASSERT_STR(buf_str(&end), "klein0");
    etcd_prefix_end(&end, STR("a\xff\xff"));
    ASSERT_STR(buf_str(&end), "b");
}
