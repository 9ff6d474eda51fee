/* The etcd engine when something is gone: the order, the name, everybody, a connection, the room on the disk. */
#include "etcd_engine_test.h"
#include "loop/stream.h"
#include "store/etcd_admin.h"

#include <signal.h>

TEST("a server that was away too long is told that it lost the order, and nothing else")
{
    struct engine a, b;
    struct str nowhere = STR("http://127.0.0.1:1"), back;
    struct answer compacted = { 0 };

    setup();
    open_with(&a, &(struct store_etcd_options){ .server = STR("server-a") });
    open_with(&b, &(struct store_etcd_options){ .server = STR("server-b") });
    put(a.store, "/k", "1", STORE_EXPECT_ANY);
    RUN_UNTIL(b.changes == 1);
    store_etcd_set_endpoints(a.store, &nowhere, 1);
    struct answer last = put(b.store, "/k", "2", STORE_EXPECT_ANY);
    for (int i = 0; i < 20; i++)
        last = put(b.store, "/k", "3", STORE_EXPECT_ANY);
    store_compact(b.store, last.revision, on_done, &compacted);
    RUN_UNTIL(compacted.done);
    ASSERT_INT(compacted.code, ERR_NONE);
    back = cluster.endpoints[0];
    store_etcd_set_endpoints(a.store, &back, 1);
    RUN_UNTIL(a.lost);
    ASSERT_INT(a.lost_code, ERR_EXPIRED);
    ASSERT_INT(a.changes, 1);
    ASSERT_INT(put(a.store, "/k", "x", STORE_EXPECT_ANY).code, ERR_UNAVAILABLE);
    engine_close(&a);
    engine_close(&b);
    teardown();
}

TEST("a name belongs to the process that opened last; the other one's writes never happen")
{
    struct engine old, new;

    setup();
    open_with(&old, &(struct store_etcd_options){ 0 });
    put(old.store, "/k", "old", STORE_EXPECT_ANY);
    open_with(&new, &(struct store_etcd_options){ 0 });
    ASSERT_INT(put(new.store, "/k", "new", STORE_EXPECT_ANY).code, ERR_NONE);
    RUN_UNTIL(old.lost);
    ASSERT_INT(old.lost_code, ERR_CONFLICT);
    ASSERT_INT(put(old.store, "/k", "old again", STORE_EXPECT_ANY).code, ERR_UNAVAILABLE);
    struct answer a = list_all(new.store);
    ASSERT_CONTAINS(a.dump, "/k=new@");
    buf_done(&a.dump);
    engine_close(&old);
    engine_close(&new);
    teardown();
}

TEST("nobody there: what was never sent is refused after a while, in words that say so")
{
    struct engine e;
    struct answer barrier = { 0 }, listed = { 0 };

    setup();
    etcd_member_kill(&cluster, 0);
    open_with(&e, &(struct store_etcd_options){ .no_quorum_ms = 300 });
    store_barrier(e.store, on_done, &barrier);
    store_list(e.store, STR("/"), dump_entry, on_done, &listed);
    struct answer a = put(e.store, "/k", "1", STORE_EXPECT_ANY);
    ASSERT_INT(a.code, ERR_UNAVAILABLE);
    ASSERT_CONTAINS(a.text, "no quorum");
    ASSERT_CONTAINS(a.text, "was not made");
    RUN_UNTIL(barrier.done && listed.done);
    ASSERT_INT(barrier.code, ERR_UNAVAILABLE);
    ASSERT_INT(listed.code, ERR_UNAVAILABLE);
    struct answer history = { .dump = BUF_MAX(MIB) }, compacted = { 0 };
    store_history(e.store, 0, dump_change, on_done, &history);
    store_compact(e.store, 5, on_done, &compacted);
    RUN_UNTIL(history.done && compacted.done);
    ASSERT_INT(history.code, ERR_UNAVAILABLE);
    etcd_member_start(&cluster, 0);
    struct store_etcd_health h = { 0 };
    RUN_UNTIL((store_etcd_health(e.store, &h), h.ready));
    ASSERT_INT(put(e.store, "/k", "1", STORE_EXPECT_ANY).code, ERR_NONE);
    engine_close(&e);
    teardown();
}

TEST("a store is closed within seconds while its member hangs; what may still happen is not called failed")
{
    static struct answer write, never_sent;
    struct answer barrier = { 0 }, listed = { 0 };
    struct engine e;

    setup();
    open_with(&e, &(struct store_etcd_options){ .batches_max = 1 });
    ASSERT_INT(put(e.store, "/k", "1", STORE_EXPECT_ANY).code, ERR_NONE);
    etcd_member_signal(&cluster, 0, SIGSTOP);
    write = never_sent = (struct answer){ 0 };
    struct store_write w = { .type = STORE_PUT, .key = STR("/k"), .value = STR("2"), .expect = STORE_EXPECT_ANY };
    store_write(e.store, &w, on_done, &write);
    store_barrier(e.store, on_done, &barrier);
    run_for(20); /* sent */
    store_write(e.store, &w, on_done, &never_sent);
    store_list(e.store, STR("/"), dump_entry, on_done, &listed);
    engine_close(&e);
    ASSERT(!write.done);
    ASSERT_INT(never_sent.code, ERR_UNAVAILABLE);
    ASSERT_INT(barrier.code, ERR_UNAVAILABLE);
    ASSERT_INT(listed.code, ERR_UNAVAILABLE);
    teardown();
}

/* --- a connection that hangs --- */

struct pipe_ends {
    struct stream *client, *server;
};
static struct pipe_ends pipes[64];
static size_t pipes_count;
static struct address pipe_to;

static struct stream *other_end(struct stream *s)
{
    for (size_t i = 0; i < pipes_count; i++) {
        if (pipes[i].client == s)
            return pipes[i].server;
        if (pipes[i].server == s)
            return pipes[i].client;
    }
    return NULL;
}

static void pipe_read(struct stream *s, struct str bytes, void *arg)
{
    struct stream *to = other_end(s);

    (void)arg;
    if (to)
        stream_write(to, bytes);
}

static void pipe_closed(struct stream *s, const struct error *err, void *arg)
{
    struct stream *to = other_end(s);

    (void)err, (void)arg;
    for (size_t i = 0; i < pipes_count; i++) {
        if (pipes[i].client == s)
            pipes[i].client = NULL;
        if (pipes[i].server == s)
            pipes[i].server = NULL;
    }
    if (to)
        stream_close(to);
}

static const struct stream_callbacks pipe_callbacks = { .on_read = pipe_read, .on_closed = pipe_closed };

static void pipe_accept(struct listener *l, struct stream *s, void *arg)
{
    (void)l, (void)arg;
    ASSERT(pipes_count < ARRAY_SIZE(pipes));
    pipes[pipes_count].client = s;
    pipes[pipes_count++].server = stream_connect(loop, &pipe_to, NULL, &pipe_callbacks, NULL);
    stream_set_callbacks(s, &pipe_callbacks, NULL);
}

TEST("a connection that a cut left hanging is given up for a new one")
{
    static const struct listener_callbacks accept = { .on_stream = pipe_accept };
    AUTO_ERROR struct error err = { 0 };
    struct address at;
    struct engine e;
    char url[64];
    struct str endpoint;

    setup();
    pipes_count = 0;
    ASSERT_OK(address_of_ip(STR("127.0.0.1"), 0, &at, &err), &err);
    ASSERT_OK(address_of_ip(STR("127.0.0.1"), (uint16_t)cluster.members[0].client_port, &pipe_to, &err), &err);
    struct listener *l = listener_new(loop, &at, NULL, &accept, NULL, &err);
    ASSERT_OK(l, &err);
    at = listener_address(l);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", address_port(&at));
    endpoint = str_of(url);
    open_with(&e, &(struct store_etcd_options){ 0 });
    store_etcd_set_endpoints(e.store, &endpoint, 1);
    ASSERT_INT(put(e.store, "/k", "1", STORE_EXPECT_ANY).code, ERR_NONE);
    ASSERT(pipes_count > 0);
    for (size_t i = 0; i < pipes_count; i++) {
        if (pipes[i].client)
            stream_pause(pipes[i].client);
        if (pipes[i].server)
            stream_pause(pipes[i].server);
    }
    int64_t from_ms = test_now_ms();
    struct answer a = put(e.store, "/k", "2", STORE_EXPECT_ANY);
    ASSERT_INT(a.code, ERR_NONE);
    ASSERT(test_now_ms() - from_ms < 10000);
    ASSERT_INT(e.changes, 2);
    engine_close(&e);
    listener_close(l);
    for (size_t i = 0; i < pipes_count; i++)
        if (pipes[i].client)
            stream_close(pipes[i].client);
    teardown();
}

/* --- a full database --- */

static void on_admin(void *arg, const struct error *err)
{
    on_done(arg, 0, err);
}

static void on_alarms(void *arg, const struct etcd_alarm *alarms, size_t count, const struct error *err)
{
    struct answer *a = arg;

    for (size_t i = 0; i < count; i++)
        a->revision = alarms[i].type == ETCD_ALARM_NO_SPACE ? alarms[i].member_id : a->revision;
    a->done = true;
    a->code = err ? err->code : ERR_NONE;
}

/* Compaction, defragmentation, disarming: what frees a full database. */
static void make_room(struct engine *e)
{
    struct answer alarms = { 0 }, compacted = { 0 }, defragmented = { 0 }, disarmed = { 0 };
    struct etcd_admin_options o = { .endpoints = cluster.endpoints, .endpoints_count = 1 };
    struct etcd_admin *admin = etcd_admin_new(loop, &o, NULL);
    struct store_stats stats;

    etcd_admin_alarms(admin, on_alarms, &alarms);
    RUN_UNTIL(alarms.done);
    ASSERT(alarms.revision);
    store_stats(e->store, &stats);
    store_compact(e->store, stats.revision, on_done, &compacted);
    RUN_UNTIL(compacted.done);
    ASSERT_STR(compacted.text, "");
    etcd_admin_defragment(admin, cluster.endpoints[0], on_admin, &defragmented);
    RUN_UNTIL(defragmented.done);
    ASSERT_STR(defragmented.text, "");
    etcd_admin_disarm(admin, (struct etcd_alarm){ alarms.revision, ETCD_ALARM_NO_SPACE }, on_admin, &disarmed);
    RUN_UNTIL(disarmed.done);
    ASSERT_STR(disarmed.text, "");
    etcd_admin_free(admin);
}

TEST("a full database refuses changes in words and keeps what it has; with room it takes them again")
{
    AUTO_FREE char *large = xcalloc(1, MIB);
    struct engine e;
    static struct answer stuck;

    cluster.quota_bytes = 16 * MIB;
    setup();
    memset(large, 'x', MIB);
    open_with(&e, &(struct store_etcd_options){ 0 });
    ASSERT_INT(put(e.store, "/kept", "safe", STORE_EXPECT_ANY).code, ERR_NONE);
    for (int i = 0; i < 40; i++) { /* the last one may have happened: it is told when that is known */
        struct store_write w = {
            .type = STORE_PUT, .key = STR("/k"), .value = { large, MIB }, .expect = STORE_EXPECT_ANY
        };
        stuck = (struct answer){ 0 };
        store_write(e.store, &w, on_done, &stuck);
        for (int64_t end = test_now_ms() + 4000; !stuck.done && test_now_ms() < end;)
            run_for(5);
        if (!stuck.done || stuck.code)
            break;
    }
    struct answer a = put(e.store, "/small", "x", STORE_EXPECT_ANY);
    ASSERT_INT(a.code, ERR_UNAVAILABLE);
    ASSERT_CONTAINS(a.text, "full");
    make_room(&e);
    RUN_UNTIL(stuck.done);
    struct store_etcd_health h = { 0 };
    RUN_UNTIL((store_etcd_health(e.store, &h), h.quorum && h.ready));
    ASSERT_INT(put(e.store, "/small", "x", STORE_EXPECT_ANY).code, ERR_NONE);
    a = list_all(e.store);
    ASSERT_CONTAINS(a.dump, "/small=x@");
    buf_done(&a.dump);
    engine_close(&e);
    teardown();
}
