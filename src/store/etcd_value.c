/* Headers, checksums, positions. */
#include "store/etcd_value.h"

#include "base/codec.h"
#include "store/etcd.h"

#define HEADER_SIZE   8
#define CHECKSUM_AT   4
#define REVISION_SIZE 8

static void put_u64(char *to, uint64_t n, int bytes)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (char)(n >> (8 * (bytes - 1 - i)));
}

static uint64_t get_u64(const char *from, int bytes)
{
    uint64_t n = 0;

    for (int i = 0; i < bytes; i++)
        n = n << 8 | (unsigned char)from[i];
    return n;
}

/* crc32c() starts from the result of the call before, so parts may be chained. */
static uint32_t checksum(struct str key, const char *header, struct str full_revision, struct str value)
{
    uint32_t crc = crc32c(0, key);

    crc = crc32c(crc, (struct str){ header, CHECKSUM_AT });
    crc = crc32c(crc, full_revision);
    return crc32c(crc, value);
}

void etcd_place(char to[ETCD_PLACE_SIZE], uint32_t position)
{
    to[0] = ETCD_FORMAT;
    put_u64(to + 1, position, 2);
}

size_t etcd_header_write(char to[ETCD_HEADER_MAX], struct str key, struct str value, uint32_t position,
                         uint64_t full_revision)
{
    size_t extra = full_revision ? REVISION_SIZE : 0;

    etcd_place(to, full_revision ? ETCD_MIGRATED : position);
    to[3] = 0;
    put_u64(to + HEADER_SIZE, full_revision, REVISION_SIZE);
    put_u64(to + CHECKSUM_AT, checksum(key, to, (struct str){ to + HEADER_SIZE, extra }, value), 4);
    return HEADER_SIZE + extra;
}

bool etcd_header_read(struct str key, struct str stored, uint32_t *ret_position, uint64_t *ret_full_revision,
                      struct str *ret_value)
{
    size_t extra;

    if (stored.n < HEADER_SIZE || stored.p[0] != ETCD_FORMAT || stored.p[3] != 0)
        return false;
    *ret_position = (uint32_t)get_u64(stored.p + 1, 2);
    extra = *ret_position == ETCD_MIGRATED ? REVISION_SIZE : 0;
    if (stored.n < HEADER_SIZE + extra)
        return false;
    *ret_full_revision = extra ? get_u64(stored.p + HEADER_SIZE, REVISION_SIZE) : 0;
    *ret_value = str_from(stored, HEADER_SIZE + extra);
    return get_u64(stored.p + CHECKSUM_AT, 4) ==
           checksum(key, stored.p, str_part(stored, HEADER_SIZE, extra), *ret_value);
}

uint64_t etcd_revision(uint64_t base, int64_t mod, uint32_t position)
{
    return base + (uint64_t)mod * STORE_ETCD_POSITIONS + position;
}

bool etcd_revision_split(uint64_t base, uint64_t revision, int64_t *ret_mod, uint32_t *ret_position)
{
    if (revision < base + STORE_ETCD_POSITIONS)
        return false;
    *ret_mod = (int64_t)((revision - base) / STORE_ETCD_POSITIONS);
    *ret_position = (uint32_t)((revision - base) % STORE_ETCD_POSITIONS);
    return true;
}

void etcd_prefix_end(struct buf *to, struct str prefix)
{
    size_t n = prefix.n;

    while (n && (unsigned char)prefix.p[n - 1] == 0xff)
        n--;
    buf_clear(to);
    buf_add(to, str_part(prefix, 0, n));
    if (n)
        to->p[n - 1]++;
    else
        buf_add_char(to, '\0'); /* everything */
}

enum etcd_key etcd_key_type(struct str key, struct str *ret_server)
{
    *ret_server = STR_NONE;
    if (!str_starts(key, STR("/klein/")))
        return ETCD_KEY_OBJECT;
    if (str_is(key, ETCD_KEY_BASE))
        return ETCD_KEY_IS_BASE;
    if (str_starts(key, STR(ETCD_KEY_SESSION))) {
        *ret_server = str_from(key, sizeof(ETCD_KEY_SESSION) - 1);
        return ETCD_KEY_IS_SESSION;
    }
    if (str_starts(key, STR(ETCD_KEY_BARRIER))) {
        *ret_server = str_from(key, sizeof(ETCD_KEY_BARRIER) - 1);
        return ETCD_KEY_IS_BARRIER;
    }
    return ETCD_KEY_OBJECT;
}

static int damaged(struct str key, int64_t mod, struct error *err)
{
    return fail(err, ERR_INTERNAL, "the value of '%.*s' at etcd's revision %lld has a wrong checksum", STR_ARG(key),
                (long long)mod);
}

int etcd_decode_kv(uint64_t base, struct str prefix, const Etcdpb__KeyValue *kv, struct str *ret_key,
                   struct str *ret_value, uint64_t *ret_revision, struct error *err)
{
    struct str key = etcd_str(kv->key);
    uint32_t position;
    uint64_t full;

    if (!str_starts(key, prefix))
        return fail(err, ERR_INTERNAL, "etcd gave the key '%.*s' that nobody asked for", STR_ARG(key));
    *ret_key = str_from(key, prefix.n);
    if (!etcd_header_read(*ret_key, etcd_str(kv->value), &position, &full, ret_value))
        return damaged(key, kv->mod_revision, err);
    *ret_revision = full ? full : etcd_revision(base, kv->mod_revision, position);
    return 0;
}

int etcd_decode(struct etcd_decoder *d, const Etcdpb__Event *e, struct etcd_event *ret, struct error *err)
{
    const Etcdpb__KeyValue *kv = e->kv;
    struct store_change *c = &ret->change;
    struct str previous_key;
    uint64_t full = 0;
    bool again;

    *ret = (struct etcd_event){ 0 };
    if (!kv || kv->mod_revision < d->mod || !str_starts(etcd_str(kv->key), d->prefix))
        return fail(err, ERR_UNAVAILABLE, "etcd's watch told an event out of order or of a foreign key");
    again = kv->mod_revision == d->mod;
    d->position = again ? d->position + 1 : 0;
    d->mod = ret->mod = kv->mod_revision;
    c->key = str_from(etcd_str(kv->key), d->prefix.n);
    ret->type = etcd_key_type(c->key, &ret->server);
    c->type = e->type == ETCDPB__EVENT__EVENT_TYPE__DELETE ? STORE_DELETE : STORE_PUT;
    if (c->type == STORE_PUT) {
        if (!etcd_header_read(c->key, etcd_str(kv->value), &ret->position, &full, &c->value))
            return damaged(etcd_str(kv->key), kv->mod_revision, err);
        if (!full)
            d->position = ret->position;
    }
    ret->position = d->position;
    c->revision = full ? full : etcd_revision(d->base, d->mod, d->position);
    if (e->prev_kv) {
        if (etcd_decode_kv(d->base, d->prefix, e->prev_kv, &previous_key, &c->previous_value, &c->previous_revision,
                           err) < 0)
            return -1;
    } else {
        ret->previous_gone = c->type == STORE_DELETE || kv->create_revision != kv->mod_revision;
    }
    if (c->type == STORE_DELETE) {
        c->value = c->previous_value;
        c->previous_value = c->value;
    }
    return 0;
}
