/* An etcd engine on one real member, and a loop that runs until something is true: what the tests of the engine share. */
#ifndef UNIT_STORE_ETCD_ENGINE_TEST_H
#define UNIT_STORE_ETCD_ENGINE_TEST_H

#include "etcd_cluster.h"
#include "store/etcd.h"
#include "test.h"

#include "base/log.h"

#include <stdio.h>

static struct etcd_cluster cluster;
static struct loop *loop;
static struct loop_timer timer;
static bool timer_over;

struct engine {
    struct store *store;
    size_t changes, progress;
    bool lost, closed;
    enum error_code lost_code;
    uint64_t last;
};

struct answer {
    bool done;
    uint64_t revision;
    enum error_code code;
    char text[300];
    struct buf dump;
};

static inline void on_timer(void *arg)
{
    (void)arg;
    timer_over = true;
    loop_stop(loop);
}

static inline void run_for(int64_t ms)
{
    timer_over = false;
    loop_timer_start(&timer, ms);
    while (!timer_over)
        loop_run(loop);
}

#define RUN_UNTIL(condition)                                                                                           \
    for (int64_t end_ = test_now_ms() + 20000; !(condition); run_for(5))                                               \
        if (test_now_ms() > end_)                                                                                      \
    FAIL("not within 20 s: %s", #condition)

static inline void on_change(void *arg, const struct store_change *c)
{
    struct engine *e = arg;

    e->changes++;
    ASSERT(c->revision > e->last);
    e->last = c->revision;
}

static inline void on_progress(void *arg, uint64_t revision)
{
    struct engine *e = arg;

    ASSERT(revision > e->last);
    e->last = revision;
    e->progress++;
}

static inline void on_lost(void *arg, const struct error *err)
{
    struct engine *e = arg;

    ASSERT(!e->lost);
    e->lost = true;
    e->lost_code = err->code;
}

static inline void on_done(void *arg, uint64_t revision, const struct error *err)
{
    struct answer *a = arg;

    ASSERT(!a->done);
    a->done = true;
    a->revision = revision;
    a->code = err ? err->code : ERR_NONE;
    snprintf(a->text, sizeof(a->text), "%s", err ? error_text(err) : "");
}

static inline void setup(void)
{
    if (!cluster.count)
        etcd_cluster_start(&cluster, 1, test_folder());
    loop = loop_new_system(env_system());
    loop_timer_init(&timer, loop, on_timer, NULL);
}

static inline void on_closed(void *arg)
{
    struct engine *e = arg;

    e->closed = true;
}

static inline void engine_close(struct engine *e)
{
    store_close(e->store, on_closed, e);
    RUN_UNTIL(e->closed);
}

static inline void teardown(void)
{
    etcd_cluster_settle(loop);
    loop_free(loop);
    etcd_cluster_stop(&cluster);
    cluster = (struct etcd_cluster){ 0 };
}

static inline struct store *open_with(struct engine *e, const struct store_etcd_options *more)
{
    struct store_etcd_options o = *more;
    AUTO_ERROR struct error err = { 0 };

    *e = (struct engine){ 0 };
    o.endpoints = cluster.endpoints;
    o.endpoints_count = (size_t)cluster.count;
    if (!o.server.n)
        o.server = STR("server-a");
    e->store = store_open_etcd(loop, env_system(), &o, on_change, e, &err);
    ASSERT_OK(e->store, &err);
    e->store->on_lost = on_lost;
    e->store->on_progress = on_progress;
    e->store->on_lost_arg = e->store->on_progress_arg = e;
    return e->store;
}

static inline struct answer write_as(struct store *s, struct store_write w)
{
    struct answer a = { 0 };

    store_write(s, &w, on_done, &a);
    RUN_UNTIL(a.done);
    return a;
}

static inline struct answer put(struct store *s, const char *key, const char *value, uint64_t expect)
{
    return write_as(
        s, (struct store_write){ .type = STORE_PUT, .key = str_of(key), .value = str_of(value), .expect = expect });
}

static inline void dump_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct answer *a = arg;

    buf_addf(&a->dump, "%.*s=%.*s@%llu ", STR_ARG(key), STR_ARG(value), (unsigned long long)revision);
}

static inline struct answer list_all(struct store *s)
{
    struct answer a = { .dump = BUF_MAX(8 * MIB) };

    store_list(s, STR("/"), dump_entry, on_done, &a);
    RUN_UNTIL(a.done);
    return a;
}

static inline void dump_change(void *arg, const struct store_change *c)
{
    struct answer *a = arg;

    buf_addf(&a->dump, "%.*s=%.*s@%llu ", STR_ARG(c->key), STR_ARG(c->value), (unsigned long long)c->revision);
}

#endif
