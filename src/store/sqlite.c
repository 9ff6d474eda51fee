/*
 * The store engine on SQLite: a queue, a thread that commits what gathered meanwhile, delivery on the loop.
 *
 * Requests are taken in the order they were made. All of one round share one transaction, so one fsync serves all writers
 * waiting; results go back to the loop as one message per round and are delivered in order. Reads run in the same order
 * between writes, which is why a barrier is simply a request that does nothing.
 */
#define LOG_PART "store"
#include "store/sqlite.h"

#include "base/crash_point.h"
#include "base/log.h"

#include <stdlib.h>
#include <sys/statvfs.h>

enum request_type { REQUEST_WRITE, REQUEST_LIST, REQUEST_HISTORY, REQUEST_BARRIER, REQUEST_COMPACT, REQUEST_CLOSE };

#define COMPACT_ROWS 2000 /* a round: about 10 ms, so that writers do not wait for a long compaction */

struct request {
    struct list link;
    enum request_type type;
    struct store_write write; /* key and guard_key are copies */
    char *key, *guard_key;
    uint64_t revision; /* history: from; compact: up to; on the way back: the result */
    store_done_fn *done;
    store_entry_fn *entry;
    store_change_fn *change;
    void (*closed)(void *arg);
    void *arg;
    /* results, filled by the engine's thread */
    struct owned_change made;
    struct owned_change *changes; /* list and history */
    size_t changes_count, changes_capacity;
    struct error err;
    bool again; /* compaction: more rows are left */
};

struct engine {
    struct store base;
    struct database d; /* the thread's, after open */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct list queue; /* of struct request, under mutex */
    size_t waiting;    /* the loop's */
    bool closing;      /* the loop's */
    bool
        simulated; /* on a simulated loop there is no thread: rounds run on the loop, so that a run repeats from its seed */
    bool posted; /* simulated: a round is due */
    /* what stats shows */
    atomic_uint_fast64_t commits, writes, revision, compacted, disk_bytes, disk_free;
    atomic_bool read_only;
};

struct round { /* one message back to the loop */
    struct engine *e;
    struct list requests;
};

/* --- the engine's thread ---------------------------------------------------------------------------------------- */

static void gather_change(void *arg, const struct store_change *c)
{
    struct request *r = arg;

    GROW(r->changes, r->changes_count, r->changes_capacity);
    struct owned_change *o = &r->changes[r->changes_count++];
    *o = (struct owned_change){ .change = *c, .key = str_dup(c->key), .value = str_dup(c->value) };
    o->change.key.p = o->key;
    o->change.value.p = o->value;
    if (c->previous_value.p) {
        o->previous_value = str_dup(c->previous_value);
        o->change.previous_value.p = o->previous_value;
    }
}

static void gather_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    gather_change(arg, &(struct store_change){ .key = key, .value = value, .revision = revision });
}

/* Is there room for new data? Refuse below the low-water mark, accept again above twice as much. */
static void check_room(struct engine *e)
{
    struct statvfs fs;

    if (statvfs(e->d.folder, &fs) < 0)
        return;
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    bool was = atomic_load(&e->read_only);
    bool now = free_bytes < (was ? 2 : 1) * STORE_LOW_WATER_BYTES;
    atomic_store(&e->disk_free, free_bytes);
    if (now == was)
        return;
    atomic_store(&e->read_only, now);
    if (now) {
        log_warn("the disk of the data folder is almost full: writes are refused until space is free",
                 KV("folder", "%s", e->d.folder), KV("free_bytes", "%llu", (unsigned long long)free_bytes));
    } else {
        log_info("the disk of the data folder has room again: writes are accepted", KV("folder", "%s", e->d.folder));
        database_reserve(&e->d);
    }
}

static int request_execute(struct engine *e, struct request *r)
{
    bool more = false;
    uint64_t have = 0;

    switch (r->type) {
    case REQUEST_WRITE:
        if (r->write.type == STORE_PUT && !r->write.makes_room && atomic_load(&e->read_only))
            return fail(
                &r->err, ERR_UNAVAILABLE,
                "the disk of the data folder is almost full: the change was not made; free space and try again");
        if (database_write(&e->d, &r->write, &r->made, &have, &r->err) < 0) {
            r->revision = have;
            return -1;
        }
        r->revision = r->made.change.revision;
        CRASH_POINT("store.applied");
        return 0;
    case REQUEST_LIST:
        r->changes_count = 0;
        return database_list(&e->d, r->write.key, gather_entry, r, &r->err);
    case REQUEST_HISTORY:
        return database_history(&e->d, r->revision, gather_change, r, &r->err);
    case REQUEST_COMPACT:
        if (database_compact(&e->d, r->revision, COMPACT_ROWS, &more, &r->err) < 0)
            return -1;
        r->again = more;
        CRASH_POINT("store.compaction-batch");
        return 0;
    case REQUEST_BARRIER:
    case REQUEST_CLOSE:
        return 0;
    }
    return 0;
}

static bool is_refusal(const struct request *r)
{
    return r->err.code == ERR_CONFLICT || r->err.code == ERR_ALREADY_EXISTS || r->err.code == ERR_NOT_FOUND ||
           r->err.code == ERR_EXPIRED || r->err.code == ERR_TOO_LARGE;
}

static void forget_changes(struct request *r)
{
    for (size_t i = 0; i < r->changes_count; i++)
        owned_change_done(&r->changes[i]);
    r->changes_count = 0;
}

/*
 * A request of a transaction that could not be made. What it would have changed is not there; what it was shown or refused for
 * may be a change of the same transaction, which never was: it asks again.
 */
static void request_failed(struct request *r, const struct error *cause)
{
    bool judged = !r->err.code || is_refusal(r);

    r->again = false;
    if (r->type == REQUEST_BARRIER || r->type == REQUEST_CLOSE)
        return;
    if (r->type == REQUEST_COMPACT || (r->type == REQUEST_WRITE && r->made.change.revision)) {
        owned_change_done(&r->made);
        if (!r->err.code)
            fail(&r->err, ERR_UNAVAILABLE, "%s", error_text(cause));
    } else if (judged && !MUTANT("sqlite-dirty-reads")) {
        error_done(&r->err);
        forget_changes(r);
        r->again = true;
    }
}

/* The transaction could not be made: nothing of it is on the disk, so every change in it failed. */
static void round_failed(struct engine *e, struct list *requests, const struct error *cause, uint64_t revision,
                         uint64_t compacted)
{
    database_rollback(&e->d);
    e->d.revision = revision;
    e->d.compacted = compacted;
    database_release_reserve(&e->d);
    list_each (requests, struct request, link, r)
        request_failed(r, cause);
}

static void round_execute(struct engine *e, struct list *requests)
{
    uint64_t revision = e->d.revision, compacted = e->d.compacted, writes = 0;
    AUTO_ERROR struct error err = { 0 };
    bool broken = false;

    check_room(e);
    if (database_begin(&e->d, &err) < 0) {
        list_each (requests, struct request, link, r)
            fail(&r->err, ERR_UNAVAILABLE, "%s", error_text(&err));
        return;
    }
    list_each (requests, struct request, link, r) {
        if (broken && (r->type == REQUEST_WRITE || r->type == REQUEST_COMPACT))
            fail(&r->err, ERR_UNAVAILABLE, "%s", error_text(&err));
        if (broken)
            continue; /* what only reads asks again */
        if (request_execute(e, r) == 0) {
            writes += r->type == REQUEST_WRITE;
        } else if (!is_refusal(r) && !atomic_load(&e->read_only)) {
            broken = true;
            fail(&err, ERR_UNAVAILABLE, "%s", error_text(&r->err));
        }
    }
    CRASH_POINT("store.before-commit");
    if (!broken && database_commit(&e->d, &err) < 0)
        broken = true;
    CRASH_POINT("store.after-commit");
    if (broken && MUTANT("sqlite-failed-commit-told-as-done"))
        broken = false;
    if (broken) {
        round_failed(e, requests, &err, revision, compacted);
        return;
    }
    atomic_fetch_add(&e->commits, writes > 0);
    atomic_fetch_add(&e->writes, writes);
    atomic_store(&e->compacted, e->d.compacted);
}

static void round_deliver(void *arg);

/* Move what waits into a round; the queue is not empty and, where there is a thread, locked. Returns whether it is the last. */
static bool round_gather(struct round *round)
{
    bool last = false;
    size_t count = 0;

    list_each (&round->e->queue, struct request, link, r) {
        list_del(&r->link);
        list_add_tail(&round->requests, &r->link);
        last = r->type == REQUEST_CLOSE;
        if (++count == ROUND_REQUESTS_MAX || last)
            break;
    }
    return last;
}

static struct round *round_new(struct engine *e)
{
    struct round *round = xnew(struct round);

    round->e = e;
    list_init(&round->requests);
    return round;
}

static void *engine_thread(void *arg)
{
    struct engine *e = arg;
    bool last = false;

    while (!last) {
        struct round *round = round_new(e);
        pthread_mutex_lock(&e->mutex);
        while (list_empty(&e->queue))
            pthread_cond_wait(&e->wake, &e->mutex);
        last = round_gather(round);
        pthread_mutex_unlock(&e->mutex);
        round_execute(e, &round->requests);
        loop_post(e->base.loop, round_deliver, round);
    }
    return NULL;
}

static void engine_round(void *arg)
{
    struct engine *e = arg;
    struct round *round = round_new(e);

    e->posted = !round_gather(round) && !list_empty(&e->queue);
    round_execute(e, &round->requests);
    loop_post(e->base.loop, round_deliver, round);
    if (e->posted)
        loop_post(e->base.loop, engine_round, e);
}

/* --- the loop ---------------------------------------------------------------------------------------------------- */

static void request_free(struct request *r)
{
    forget_changes(r);
    free(r->changes);
    owned_change_done(&r->made);
    error_done(&r->err);
    free(r->key);
    free(r->guard_key);
    free(r);
}

static void request_push(struct engine *e, struct request *r)
{
    if (e->simulated) {
        list_add_tail(&e->queue, &r->link);
        if (!e->posted)
            loop_post(e->base.loop, engine_round, e);
        e->posted = true;
        return;
    }
    pthread_mutex_lock(&e->mutex);
    list_add_tail(&e->queue, &r->link);
    pthread_cond_signal(&e->wake);
    pthread_mutex_unlock(&e->mutex);
}

static void engine_closed(struct engine *e, struct request *r)
{
    if (!e->simulated)
        pthread_join(e->thread, NULL);
    database_close(&e->d);
    pthread_mutex_destroy(&e->mutex);
    pthread_cond_destroy(&e->wake);
    void (*closed)(void *arg) = r->closed;
    void *arg = r->arg;
    request_free(r);
    free(e);
    if (closed)
        closed(arg);
}

static void request_deliver(struct engine *e, struct request *r)
{
    const struct error *err = r->err.code ? &r->err : NULL;

    if (r->type == REQUEST_WRITE && !err) {
        atomic_store(&e->revision, r->revision);
        CRASH_POINT("store.before-telling");
        if (e->base.on_change)
            e->base.on_change(e->base.on_change_arg, &r->made.change);
        CRASH_POINT("store.before-reply");
    }
    for (size_t i = 0; i < r->changes_count && !err; i++) {
        const struct store_change *c = &r->changes[i].change;
        if (r->type == REQUEST_LIST)
            r->entry(r->arg, c->key, c->value, c->revision);
        else
            r->change(r->arg, c);
    }
    if (r->done)
        r->done(r->arg, r->type == REQUEST_WRITE ? r->revision : err ? 0 : atomic_load(&e->revision), err);
    CRASH_POINT("store.after-reply");
}

static void round_deliver(void *arg)
{
    struct round *round = arg;
    struct engine *e = round->e;

    list_each (&round->requests, struct request, link, r) {
        list_del(&r->link);
        if (r->type == REQUEST_CLOSE) {
            engine_closed(e, r);
            break;
        }
        if (r->again && !e->closing) {
            r->again = false;
            request_push(e, r);
            continue;
        }
        if (r->again && r->type != REQUEST_COMPACT)
            fail(&r->err, ERR_UNAVAILABLE, "the store is closing");
        if (r->type == REQUEST_WRITE)
            e->waiting--;
        request_deliver(e, r);
        request_free(r);
    }
    free(round);
}

static struct request *request_new(enum request_type type, store_done_fn *done, void *arg)
{
    struct request *r = xnew(struct request);

    r->type = type;
    r->done = done;
    r->arg = arg;
    return r;
}

static struct engine *engine_of(struct store *s)
{
    return container_of(s, struct engine, base);
}

/* Answer without the thread, but still not from inside the caller's call. */
static void refuse_deliver(void *arg)
{
    struct request *r = arg;

    r->done(r->arg, 0, &r->err);
    request_free(r);
}

static void sqlite_write(struct store *s, const struct store_write *w, store_done_fn *done, void *arg)
{
    struct engine *e = engine_of(s);
    struct request *r = request_new(REQUEST_WRITE, done, arg);

    r->write = *w;
    r->key = str_dup(w->key);
    r->write.key.p = r->key;
    r->guard_key = str_dup(w->guard_key);
    r->write.guard_key.p = r->guard_key;
    if (w->key.n > STORE_KEY_MAX || w->key.n == 0)
        fail(&r->err, ERR_BAD_REQUEST, "a key may have 1 to %d bytes", STORE_KEY_MAX);
    else if (e->waiting >= STORE_QUEUE_MAX)
        fail(&r->err, ERR_TOO_MANY_REQUESTS, "%d changes are waiting for the disk: try again later", STORE_QUEUE_MAX);
    if (r->err.code) {
        loop_post(s->loop, refuse_deliver, r);
        return;
    }
    e->waiting++;
    request_push(e, r);
}

static void sqlite_list(struct store *s, struct str prefix, store_entry_fn *entry, store_done_fn *done, void *arg)
{
    struct request *r = request_new(REQUEST_LIST, done, arg);

    r->key = str_dup(prefix);
    r->write.key = (struct str){ r->key, prefix.n };
    r->entry = entry;
    request_push(engine_of(s), r);
}

static void sqlite_history(struct store *s, uint64_t from, store_change_fn *change, store_done_fn *done, void *arg)
{
    struct request *r = request_new(REQUEST_HISTORY, done, arg);

    r->revision = from;
    r->change = change;
    request_push(engine_of(s), r);
}

static void sqlite_barrier(struct store *s, store_done_fn *done, void *arg)
{
    request_push(engine_of(s), request_new(REQUEST_BARRIER, done, arg));
}

static void sqlite_compact(struct store *s, uint64_t revision, store_done_fn *done, void *arg)
{
    struct request *r = request_new(REQUEST_COMPACT, done, arg);

    r->revision = revision;
    request_push(engine_of(s), r);
}

static void sqlite_stats(struct store *s, struct store_stats *ret)
{
    struct engine *e = engine_of(s);

    *ret = (struct store_stats){
        .revision = atomic_load(&e->revision),
        .compacted_revision = atomic_load(&e->compacted),
        .commits = atomic_load(&e->commits),
        .writes = atomic_load(&e->writes),
        .fsyncs = counting_vfs_syncs(),
        .disk_free_bytes = atomic_load(&e->disk_free),
        .read_only = atomic_load(&e->read_only),
    };
}

static void sqlite_close(struct store *s, void (*closed)(void *arg), void *arg)
{
    struct request *r = request_new(REQUEST_CLOSE, NULL, arg);

    engine_of(s)->closing = true;
    r->closed = closed;
    request_push(engine_of(s), r);
}

static const struct store_ops sqlite_ops = {
    .write = sqlite_write,
    .list = sqlite_list,
    .history = sqlite_history,
    .barrier = sqlite_barrier,
    .compact = sqlite_compact,
    .stats = sqlite_stats,
    .close = sqlite_close,
};

struct store *store_open_sqlite(struct loop *loop, struct env *env, const char *folder, store_change_fn *on_change,
                                void *arg, struct error *err)
{
    struct engine *e = xnew(struct engine);

    (void)env;
    if (database_open(&e->d, folder, err) < 0) {
        free(e);
        return NULL;
    }
    e->base = (struct store){ .ops = &sqlite_ops, .loop = loop, .on_change = on_change, .on_change_arg = arg };
    list_init(&e->queue);
    pthread_mutex_init(&e->mutex, NULL);
    pthread_cond_init(&e->wake, NULL);
    atomic_store(&e->revision, e->d.revision);
    atomic_store(&e->compacted, e->d.compacted);
    e->simulated = loop_is_sim(loop);
    if (!e->simulated && pthread_create(&e->thread, NULL, engine_thread, e) != 0) {
        database_close(&e->d);
        free(e);
        return fail_null(err, ERR_INTERNAL, "cannot start the store's thread");
    }
    return &e->base;
}
