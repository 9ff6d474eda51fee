/* See service_reserve.h. */
#include "server/admission/service_reserve.h"

#include "base/map.h"
#include "base/time.h"
#include "server/admission/service_range.h"
#include "server/leader.h"
#include "server/raw_keys.h"
#include "server/server_internal.h"

#include <stdlib.h>

#define ROOT          STR("/klein/allocations/")
#define LOOK_EVERY_MS (10 * SECOND_MS)

struct kept { /* one reservation, of this server or another */
    struct arena arena;
    const struct value *wanted; /* array of texts */
    uint64_t revision;
    int64_t seen_ms;
};

struct reserve {
    struct server *server;
    struct map kept;   /* key -> struct kept */
    struct map counts; /* what is wanted -> how often, as a number */
    struct raw_listener *listener;
    struct loop_timer timer;
};

struct taking {
    struct request *r;
    const struct value *wanted;
    struct str key;
    reserve_done_fn *done;
    void *arg;
};

/* --- following ------------------------------------------------------------------------------------------------------------ */

static void count(struct reserve *v, const struct value *wanted, int add)
{
    for (uint32_t i = 0; value_type(wanted) == VALUE_ARRAY && i < wanted->items_count; i++) {
        struct str what = value_to_str(wanted->items[i]);
        uintptr_t n = (uintptr_t)map_get(&v->counts, what) + (uintptr_t)add;
        if (n)
            map_put(&v->counts, what, (void *)n);
        else
            map_del(&v->counts, what);
    }
}

static void forget(struct reserve *v, struct str key)
{
    struct kept *k = map_del(&v->kept, key);
    if (!k)
        return;
    count(v, k->wanted, -1);
    arena_done(&k->arena);
    free(k);
}

static void note(struct reserve *v, const struct raw_value *now)
{
    struct kept *k = xnew(struct kept);
    forget(v, now->key);
    k->wanted = value_get_str(value_parse(&k->arena, arena_str(&k->arena, now->value), NULL, NULL), STR("wanted"));
    k->revision = now->revision;
    k->seen_ms = env_monotonic_ms(v->server->env);
    count(v, k->wanted, 1);
    map_put(&v->kept, now->key, k);
    if (!loop_timer_running(&v->timer))
        loop_timer_start(&v->timer, LOOK_EVERY_MS);
}

static void on_change(void *arg, const struct raw_value *now, bool gone)
{
    if (gone)
        forget(arg, now->key);
    else
        note(arg, now);
}

static bool note_each(void *arg, const struct raw_value *v)
{
    note(arg, v);
    return true;
}

static void drop(struct server *s, struct str key, uint64_t revision)
{
    raw_write(s->state, &(struct raw_write){ .type = STORE_DELETE, .key = key, .expect = revision }, NULL, NULL);
}

/* What a server left behind that died in the middle. */
static void on_timer(void *arg)
{
    struct reserve *v = arg;
    int64_t now = env_monotonic_ms(v->server->env);
    struct str key;
    void *value;
    for (size_t at = 0; map_next(&v->kept, &at, &key, &value);) {
        const struct kept *k = value;
        if (leader_is_me(server_leader(v->server)) && now - k->seen_ms >= RESERVE_KEPT_MS)
            drop(v->server, key, k->revision);
    }
    if (v->kept.count)
        loop_timer_start(&v->timer, LOOK_EVERY_MS);
}

bool reserve_has(const struct reserve *v, struct str what)
{
    return map_has(&v->counts, what);
}

bool reserve_is_busy(const struct reserve *v)
{
    return v->kept.count > 0;
}

/* --- taking --------------------------------------------------------------------------------------------------------------- */

static bool wants(const struct value *wanted, struct str what)
{
    for (uint32_t i = 0; value_type(wanted) == VALUE_ARRAY && i < wanted->items_count; i++)
        if (str_eq(value_to_str(wanted->items[i]), what))
            return true;
    return false;
}

/* Everything written before our reservation is known here. */
static bool is_ours(const struct reserve *v, const struct taking *t, uint64_t revision)
{
    const struct service_range *range = server_service_range(v->server);
    struct str key;
    void *value;
    for (uint32_t i = 0; i < t->wanted->items_count; i++) {
        struct str what = value_to_str(t->wanted->items[i]);
        if (service_range_is_used(range, what))
            return false;
        for (size_t at = 0; map_next(&v->kept, &at, &key, &value);) {
            const struct kept *k = value;
            if (k->revision < revision && wants(k->wanted, what))
                return false;
        }
    }
    return true;
}

static void on_written(void *arg, uint64_t revision, const struct error *err)
{
    struct taking *t = arg;
    struct request *r = t->r;
    bool won = !err && is_ours(server_reserve(r->server), t, revision);
    if (won) {
        r->core.reserved_key = t->key;
        r->core.reserved_revision = revision;
    } else if (!err) {
        drop(r->server, t->key, revision);
    }
    t->done(t->arg, won, err);
}

void reserve_take(struct request *r, const struct value *wanted, reserve_done_fn *done, void *arg)
{
    struct taking *t = arena_new(&r->arena, struct taking);
    AUTO_BUF struct buf text = BUF_MAX(STORE_VALUE_MAX);
    char id[UUID_TEXT_SIZE];
    *t = (struct taking){ .r = r, .wanted = wanted, .done = done, .arg = arg };
    t->key = arena_printf(&r->arena, "%.*s%s", STR_ARG(ROOT), env_uuid(r->server->env, id));
    buf_add_text(&text, "{\"holder\":");
    json_write_str(&text, str_of(r->server->config.name));
    buf_add_text(&text, ",\"wanted\":");
    value_write(&text, wanted);
    buf_add_char(&text, '}');
    raw_write(r->server->state,
              &(struct raw_write){ .type = STORE_PUT,
                                   .key = t->key,
                                   .value = buf_str(&text),
                                   .expect = STORE_EXPECT_ABSENT,
                                   .epoch = r->epoch },
              on_written, t);
}

void reserve_release(struct request *r)
{
    if (!r->core.reserved_revision)
        return;
    drop(r->server, r->core.reserved_key, r->core.reserved_revision);
    r->core.reserved_revision = 0;
}

/* --- the part ------------------------------------------------------------------------------------------------------------- */

struct reserve *server_reserve(struct server *s)
{
    return server_part(s, SERVER_PART_reserve);
}

int reserve_init(struct server *s, struct error *err)
{
    (void)err;
    struct reserve *v = xnew(struct reserve);
    v->server = s;
    loop_timer_init(&v->timer, s->loop, on_timer, v);
    server_part_set(s, SERVER_PART_reserve, v);
    raw_each(s->state, ROOT, note_each, v);
    v->listener = raw_listen(s->state, ROOT, on_change, v);
    return 0;
}

void reserve_done(struct server *s)
{
    struct reserve *v = server_reserve(s);
    struct str key;
    void *value;
    if (!v)
        return;
    raw_unlisten(v->listener);
    loop_timer_stop(&v->timer);
    for (size_t at = 0; map_next(&v->kept, &at, &key, &value);)
        forget(v, key);
    map_done(&v->kept);
    map_done(&v->counts);
    free(v);
    server_part_set(s, SERVER_PART_reserve, NULL);
}
