/* Clients on two engines, recorded. */
#include "etcd_load.h"

static uint64_t next_random(struct load *l, uint64_t below)
{
    l->random = l->random * 6364136223846793005u + 1442695040888963407u;
    return (l->random >> 33) % below;
}

static void view_free(struct load_view *v)
{
    if (v)
        free(v->value);
    free(v);
}

static void on_change(void *arg, const struct store_change *c)
{
    struct load_engine *e = arg;
    const char *wrong = history_event(e->watch, c);

    if (wrong)
        FAIL("%s: %s", e->name, wrong);
    if (c->type == STORE_DELETE) {
        view_free(map_del(&e->view, c->key));
        return;
    }
    struct load_view *v = xnew(struct load_view);
    *v = (struct load_view){ .value = str_dup(c->value), .revision = c->revision };
    view_free(map_put(&e->view, c->key, v));
}

static void on_progress(void *arg, uint64_t revision)
{
    struct load_engine *e = arg;

    history_progress(e->watch, revision);
}

static void on_lost(void *arg, const struct error *err)
{
    struct load_engine *e = arg;

    e->lost = true;
    e->lost_code = err->code;
}

/* --- clients --- */

static void client_next(void *arg);

static void client_pause(struct load_client *c, int64_t ms)
{
    c->busy = false;
    if (!c->load->stopping)
        loop_timer_start(&c->again, ms);
}

static void on_written(void *arg, uint64_t revision, const struct error *err)
{
    struct load_client *c = arg;
    struct load *l = c->load;

    if (!err) {
        history_written(c->op, revision);
        l->acknowledged++;
        l->last_ack_ms = test_now_ms();
    } else {
        history_failed(c->op, err->code);
        l->refused += err->code == ERR_UNAVAILABLE;
        l->failed++;
    }
    client_pause(c, err && err->code == ERR_UNAVAILABLE ? 20 : 1);
}

static void on_barrier(void *arg, uint64_t revision, const struct error *err)
{
    struct load_client *c = arg;
    struct load_view *v;

    (void)revision;
    if (err) {
        history_abandon(c->op);
    } else {
        v = map_get(&c->engine->view, str_of(c->key));
        history_read_done(c->op, v ? str_of(v->value) : STR_NONE, 0);
    }
    client_pause(c, 1);
}

static void client_next(void *arg)
{
    struct load_client *c = arg;
    struct load *l = c->load;
    struct store_write *w = &c->write;
    uint64_t choice = next_random(l, 100);
    struct load_view *v;

    if (l->stopping || c->engine->lost)
        return;
    c->busy = true;
    snprintf(c->key, sizeof(c->key), "/k/%d", (int)next_random(l, LOAD_KEYS));
    v = map_get(&c->engine->view, str_of(c->key));
    if (choice < 25) {
        c->op = history_read(l->history, c->name, str_of(c->key));
        store_barrier(c->engine->store, on_barrier, c);
        return;
    }
    snprintf(c->value, sizeof(c->value), "%s-%llu", c->name, (unsigned long long)++l->values);
    *w = (struct store_write){ .type = STORE_PUT,
                               .key = str_of(c->key),
                               .value = str_of(c->value),
                               .expect = v ? v->revision : STORE_EXPECT_ABSENT };
    if (choice < 38) {
        w->expect = STORE_EXPECT_ANY;
    } else if (choice < 50 && v) {
        w->type = STORE_DELETE;
        w->value = STR_NONE;
        if (choice < 43)
            w->expect = STORE_EXPECT_ANY;
    } else if (choice < 65 && v) {
        snprintf(c->last, sizeof(c->last), "%s", v->value);
        w->expect = STORE_EXPECT_VALUE;
        w->expect_value = str_of(c->last);
    } else if (choice < 80) {
        struct load_view *guard = map_get(&c->engine->view, STR("/k/0"));

        w->guard_key = STR("/k/0");
        w->guard_revision = guard ? guard->revision : 0;
    }
    c->op = history_write(l->history, c->name, w);
    store_write(c->engine->store, w, on_written, c);
}

/* --- the loop --- */

static void on_timer(void *arg)
{
    struct load *l = arg;

    l->timer_over = true;
    loop_stop(l->loop);
}

void load_run(struct load *l, int64_t ms)
{
    l->timer_over = false;
    loop_timer_start(&l->timer, ms);
    while (!l->timer_over)
        loop_run(l->loop);
}

void load_run_until_written(struct load *l, size_t more, int64_t deadline_ms)
{
    int64_t end = test_now_ms() + deadline_ms;
    size_t wanted = l->acknowledged + more;

    while (l->acknowledged < wanted) {
        if (test_now_ms() > end)
            FAIL("%zu of %zu writes within %lld ms", more - (wanted - l->acknowledged), more, (long long)deadline_ms);
        load_run(l, 10);
    }
}

struct store *load_open(struct load *l, const char *server, store_change_fn *fn, void *arg)
{
    AUTO_ERROR struct error err = { 0 };
    size_t n = (size_t)l->cluster.count;
    struct str endpoints[ETCD_MEMBERS_MAX];

    /* Each prefers another member, as servers prefer their own: so one watch can be behind another. */
    for (size_t i = 0; i < n; i++)
        endpoints[i] = l->cluster.endpoints[(i + (size_t)server[strlen(server) - 1]) % n];
    struct store *s = store_open_etcd(
        l->loop, env_system(),
        &(struct store_etcd_options){ .endpoints = endpoints, .endpoints_count = n, .server = str_of(server) }, fn, arg,
        &err);

    if (!s)
        FAIL("open: %s", error_text(&err));
    return s;
}

void load_start(struct load *l, int members)
{
    load_start_in(l, members, test_folder());
}

void load_start_in(struct load *l, int members, const char *folder)
{
    memset(l, 0, sizeof(*l));
    etcd_cluster_start(&l->cluster, members, folder);
    l->loop = loop_new_system(env_system());
    l->history = history_new();
    l->random = test_seed();
    loop_timer_init(&l->timer, l->loop, on_timer, l);
    for (int i = 0; i < LOAD_ENGINES; i++) {
        struct load_engine *e = &l->engines[i];

        e->load = l;
        snprintf(e->name, sizeof(e->name), "server-%c", 'a' + i);
        e->watch = history_watch(l->history, e->name, STR_NONE, 0);
        e->store = load_open(l, e->name, on_change, e);
        e->store->on_progress = on_progress;
        e->store->on_lost = on_lost;
        e->store->on_progress_arg = e->store->on_lost_arg = e;
    }
    /* Both are open before the first write: their watches begin at the beginning. */
    for (int i = 0; i < LOAD_ENGINES; i++) {
        struct store_etcd_health health = { 0 };

        for (int64_t end = test_now_ms() + 20000; !health.ready && test_now_ms() < end;) {
            load_run(l, 10);
            store_etcd_health(l->engines[i].store, &health);
        }
        ASSERT(health.ready);
    }
    for (int i = 0; i < LOAD_CLIENTS; i++) {
        struct load_client *c = &l->clients[i];

        c->load = l;
        c->engine = &l->engines[i % LOAD_ENGINES];
        snprintf(c->name, sizeof(c->name), "c%d", i);
        loop_timer_init(&c->again, l->loop, client_next, c);
        loop_timer_start(&c->again, 1);
    }
}

struct ending {
    struct load *load;
    bool done;
    struct history_list *list;
};

static void on_closed(void *arg)
{
    struct ending *e = arg;

    e->done = true;
}

static void on_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct ending *e = arg;

    history_list_entry(e->list, key, value, revision);
}

static void on_listed(void *arg, uint64_t revision, const struct error *err)
{
    struct ending *e = arg;

    if (err)
        FAIL("list: %s", error_text(err));
    history_list_done(e->list, revision);
    e->done = true;
}

static void run_until(struct load *l, bool *done, const char *what)
{
    for (int64_t end = test_now_ms() + 30000; !*done; load_run(l, 10))
        if (test_now_ms() > end)
            FAIL("not within 30 s: %s", what);
}

void load_list(struct load *l)
{
    for (int i = 0; i < LOAD_ENGINES; i++) { /* its barrier makes the watch whole */
        struct ending e = { .load = l };

        if (l->engines[i].lost)
            continue;
        e.list = history_list(l->history, l->engines[i].name, STR("/"));
        store_list(l->engines[i].store, STR("/"), on_entry, on_listed, &e);
        run_until(l, &e.done, "a list");
    }
}

void load_finish(struct load *l)
{
    AUTO_ARENA struct arena arena = { 0 };
    const char *wrong;

    l->stopping = true;
    for (int i = 0; i < LOAD_CLIENTS; i++) {
        struct load_client *c = &l->clients[i];
        int64_t end = test_now_ms() + 30000;

        loop_timer_stop(&c->again);
        for (; c->busy && !c->engine->lost; load_run(l, 10))
            if (test_now_ms() > end)
                FAIL("the end of a %s of %s is not told", c->write.type == STORE_PUT ? "write" : "deletion", c->key);
    }
    load_list(l);
    load_run(l, 100);
    for (int i = 0; i < LOAD_ENGINES; i++) {
        struct ending e = { .load = l };
        struct str key;
        void *value;

        store_close(l->engines[i].store, on_closed, &e);
        run_until(l, &e.done, "close");
        for (size_t k = 0; map_next(&l->engines[i].view, &k, &key, &value);)
            view_free(value);
        map_done(&l->engines[i].view);
    }
    wrong = history_check(l->history, &arena);
    if (wrong)
        FAIL("%s", wrong);
    history_free(l->history);
    etcd_cluster_settle(l->loop);
    loop_free(l->loop);
    etcd_cluster_stop(&l->cluster);
}
