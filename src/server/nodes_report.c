/* What nodes say of themselves: lines of a status stream, and the same fields in what servers tell each other. */
#include "server/nodes_internal.h"

#include "base/codec.h"

#include <stdlib.h>

#define AGE_MAX_MS ((int64_t)1 << 40)

static void read_peers(struct node_report *r, const struct value *peers)
{
    size_t count = MIN(peers->items_count, (uint32_t)NODES_PEERS_MAX);

    r->peers = arena_alloc_array(&r->arena, count + 1, sizeof(*r->peers));
    for (size_t i = 0; i < count; i++)
        if (value_to_str(peers->items[i]).n)
            r->peers[r->peers_count++] = arena_str(&r->arena, value_to_str(peers->items[i]));
}

static void read_unheard(struct node_report *r, const struct value *unheard, int64_t now_ms)
{
    size_t count = MIN(unheard->members_count, (uint32_t)NODES_PEERS_MAX);

    r->unheard = arena_alloc_array(&r->arena, count + 1, sizeof(*r->unheard));
    for (size_t i = 0; i < count; i++) {
        int64_t age_ms = value_to_int(unheard->members[i].value, 0);
        r->unheard[r->unheard_count++] = (struct judge_unheard){
            .name = arena_str(&r->arena, unheard->members[i].name),
            .heard_ms = now_ms - MIN(MAX(age_ms, (int64_t)0), AGE_MAX_MS),
        };
    }
}

/* Of everything but exact ages, which are always new. */
static uint32_t digest_of(const struct node_report *r)
{
    struct str flags = { (const char[]){ (char)r->has_guard, (char)r->speaks, (char)r->servers_count }, 3 };
    uint32_t crc = crc32c(0, flags);

    for (size_t i = 0; i < r->peers_count; i++)
        crc = crc32c(crc32c(crc, r->peers[i]), STR("p"));
    for (size_t i = 0; i < r->unheard_count; i++) {
        int64_t since = r->unheard[i].heard_ms >> 11; /* heard in between, and unheard again: news of two seconds */
        crc = crc32c(crc32c(crc, r->unheard[i].name), (struct str){ (const char *)&since, sizeof(since) });
    }
    return crc;
}

static bool read_contacts(struct node_report *r, const struct value *line, int64_t now_ms)
{
    const struct value *peers = value_get_str(line, STR("peers")), *unheard = value_get_str(line, STR("unheard"));
    int64_t servers = value_to_int(value_get_str(line, STR("servers")), 0);

    if (value_type(peers) != VALUE_ARRAY)
        return false;
    uint32_t before = r->has_peers ? digest_of(r) : 0;
    bool first = !r->has_peers;
    arena_reset(&r->arena);
    r->peers_count = r->unheard_count = 0;
    r->has_peers = true;
    r->has_guard = value_to_bool(value_get_str(line, STR("fence")), false);
    r->speaks = value_type(unheard) == VALUE_OBJECT;
    r->servers_count = (size_t)MIN(MAX(servers, (int64_t)0), (int64_t)NODES_SERVERS_MAX + 1);
    read_peers(r, peers);
    if (r->speaks)
        read_unheard(r, unheard, now_ms);
    return first || digest_of(r) != before;
}

bool node_report_read(struct node_report *r, const struct value *line, int64_t now_ms, bool *ret_bad)
{
    AUTO_BUF struct buf json = BUF_MAX(NODES_LINE_MAX_BYTES);
    const struct value *applied = value_get_str(line, STR("applied"));

    *ret_bad = value_type(applied) != VALUE_OBJECT;
    if (*ret_bad)
        return false;
    int64_t revision = value_to_int(value_get_str(applied, STR("endpointslices")), 0);
    bool changed = read_contacts(r, line, now_ms);
    value_write(&json, applied);
    if (r->applied_json && str_is(buf_str(&json), r->applied_json))
        return changed;
    r->applied_endpointslices = revision > 0 ? (uint64_t)revision : 0;
    free(r->applied_json);
    r->applied_json = str_dup(buf_str(&json));
    return true;
}

void node_report_write(const struct node_report *r, int64_t now_ms, struct buf *to)
{
    if (!r->has_peers)
        return;
    buf_addf(to, ",\"servers\":%zu,\"fence\":%s,\"peers\":[", r->servers_count, r->has_guard ? "true" : "false");
    for (size_t i = 0; i < r->peers_count; i++) {
        if (i)
            buf_add_char(to, ',');
        json_write_str(to, r->peers[i]);
    }
    buf_add_char(to, ']');
    if (!r->speaks)
        return;
    buf_add_text(to, ",\"unheard\":{");
    for (size_t i = 0; i < r->unheard_count; i++) {
        if (i)
            buf_add_char(to, ',');
        json_write_str(to, r->unheard[i].name);
        buf_addf(to, ":%lld", (long long)MAX(now_ms - r->unheard[i].heard_ms, (int64_t)0));
    }
    buf_add_char(to, '}');
}

void node_report_done(struct node_report *r)
{
    free(r->applied_json);
    arena_done(&r->arena);
    *r = (struct node_report){ 0 };
}
