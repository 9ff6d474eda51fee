/* From a SQLite folder into another store, many writes at a time. */
#include "backup/pour.h"

#include "base/map.h"
#include "base/time.h"
#include "store/seed.h"

#include <stdlib.h>

#define ROOT        STR("/registry/")
#define WINDOW      2000 /* writes on their way: below STORE_QUEUE_MAX, enough for full batches */
#define AGAIN_MS    100
#define PATIENCE_MS (2 * MINUTE_MS)

struct entry {
    struct pour *pour;
    char *key, *value;
    size_t key_n, value_n;
};

struct pour {
    struct loop *loop;
    struct store *to;
    char *folder;
    pour_done_fn *done;
    void *arg;
    struct entry *entries;
    size_t count, capacity;
    size_t next, on_the_way, written;
    size_t *again; /* entries that were refused */
    size_t again_count, again_capacity;
    struct loop_timer timer;
    int64_t moved_ms;
    struct map keys;
    struct error err;
    bool working, listing, cancelled;
};

static void pour_free(struct pour *p)
{
    loop_timer_stop(&p->timer);
    for (size_t i = 0; i < p->count; i++) {
        free(p->entries[i].key);
        free(p->entries[i].value);
    }
    free(p->entries);
    free(p->again);
    free(p->folder);
    map_done(&p->keys);
    error_done(&p->err);
    free(p);
}

/* The last answer that is still to come frees it. */
static bool is_over(struct pour *p)
{
    if (p->working || p->listing || p->on_the_way)
        return false;
    if (!p->cancelled && !p->err.code && p->written < p->count)
        return false;
    if (!p->cancelled)
        p->done(p->arg, p->written, p->err.code ? &p->err : NULL);
    pour_free(p);
    return true;
}

/* --- writing ------------------------------------------------------------------------------------------------------- */

static void pump(struct pour *p);

static void on_written(void *arg, uint64_t revision, const struct error *err)
{
    struct entry *e = arg;
    struct pour *p = e->pour;

    (void)revision;
    p->on_the_way--;
    if (!err) {
        p->written++;
        p->moved_ms = loop_now_ms(p->loop);
    } else if (err->code == ERR_UNAVAILABLE || err->code == ERR_TOO_MANY_REQUESTS) {
        /* Nothing was written; and what was written twice would be the same. */
        GROW(p->again, p->again_count, p->again_capacity);
        p->again[p->again_count++] = (size_t)(e - p->entries);
        if (loop_now_ms(p->loop) - p->moved_ms > PATIENCE_MS && !p->err.code)
            fail(&p->err, err->code, "%s", error_text(err));
    } else if (!p->err.code) {
        fail(&p->err, err->code, "write '%.*s': %s", (int)e->key_n, e->key, error_text(err));
    }
    if (!is_over(p) && !loop_timer_running(&p->timer))
        loop_timer_start(&p->timer, p->again_count ? AGAIN_MS : 0);
}

static void write_entry(struct pour *p, struct entry *e)
{
    p->on_the_way++;
    store_write(p->to,
                &(struct store_write){ .type = STORE_PUT,
                                       .key = { e->key, e->key_n },
                                       .value = { e->value, e->value_n },
                                       .expect = STORE_EXPECT_ANY },
                on_written, e);
}

static void pump(struct pour *p)
{
    while (p->on_the_way < WINDOW && !p->err.code && !p->cancelled) {
        if (p->next < p->count)
            write_entry(p, &p->entries[p->next++]);
        else if (p->again_count)
            write_entry(p, &p->entries[p->again[--p->again_count]]);
        else
            break;
    }
}

static void on_timer(void *arg)
{
    pump(arg);
}

/* --- is the other store new? --------------------------------------------------------------------------------------- */

static void on_present(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct pour *p = arg;

    (void)value;
    (void)revision;
    if (!map_has(&p->keys, key) && !p->err.code)
        fail(&p->err, ERR_CONFLICT,
             "the store to fill holds '%.*s', which is not in the state that is moved there: it belongs to another "
             "cluster",
             STR_ARG(key));
}

static void on_listed(void *arg, uint64_t revision, const struct error *err)
{
    struct pour *p = arg;

    (void)revision;
    p->listing = false;
    if (err && !p->err.code)
        fail(&p->err, err->code, "%s", error_text(err));
    if (!is_over(p))
        pump(p);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

static int take_entry(void *arg, struct str key, struct str value, uint64_t revision, struct error *err)
{
    struct pour *p = arg;

    (void)revision;
    (void)err;
    if (!str_starts(key, ROOT))
        return 0;
    GROW(p->entries, p->count, p->capacity);
    p->entries[p->count++] =
        (struct entry){ .pour = p, .key = str_dup(key), .value = str_dup(value), .key_n = key.n, .value_n = value.n };
    return 0;
}

static void read_all(void *arg)
{
    struct pour *p = arg;
    uint64_t revision;

    store_sqlite_dump(p->folder, take_entry, p, &revision, &p->err);
}

static void on_read(void *arg)
{
    struct pour *p = arg;

    p->working = false;
    p->moved_ms = loop_now_ms(p->loop);
    if (is_over(p))
        return;
    for (size_t i = 0; i < p->count; i++)
        map_put(&p->keys, (struct str){ p->entries[i].key, p->entries[i].key_n }, p);
    p->listing = true;
    store_list(p->to, ROOT, on_present, on_listed, p);
}

struct pour *pour_start(struct store *to, const char *folder, pour_done_fn *done, void *arg)
{
    struct pour *p = xnew(struct pour);

    p->loop = to->loop;
    p->to = to;
    p->folder = xstrdup(folder);
    p->done = done;
    p->arg = arg;
    loop_timer_init(&p->timer, p->loop, on_timer, p);
    p->working = true;
    loop_work(p->loop, read_all, on_read, p);
    return p;
}

void pour_cancel(struct pour *p)
{
    if (!p)
        return;
    p->cancelled = true;
    is_over(p);
}
