/* The etcd engine beyond the contract: what is lost, names, TLS, migrated values, limits. One real member. */
#include "../wire/certificates.h"
#include "etcd_cluster.h"
#include "loop/stream.h"
#include "store/etcd.h"
#include "store/etcd_admin.h"
#include "store/etcd_client.h"
#include "store/etcd_value.h"

#include "base/file.h"
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

static void on_timer(void *arg)
{
    (void)arg;
    timer_over = true;
    loop_stop(loop);
}

static void run_for(int64_t ms)
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

static void on_change(void *arg, const struct store_change *c)
{
    struct engine *e = arg;

    e->changes++;
    ASSERT(c->revision > e->last);
    e->last = c->revision;
}

static void on_progress(void *arg, uint64_t revision)
{
    struct engine *e = arg;

    ASSERT(revision > e->last);
    e->last = revision;
    e->progress++;
}

static void on_lost(void *arg, const struct error *err)
{
    struct engine *e = arg;

    ASSERT(!e->lost);
    e->lost = true;
    e->lost_code = err->code;
}

static void on_done(void *arg, uint64_t revision, const struct error *err)
{
    struct answer *a = arg;

    ASSERT(!a->done);
    a->done = true;
    a->revision = revision;
    a->code = err ? err->code : ERR_NONE;
    snprintf(a->text, sizeof(a->text), "%s", err ? error_text(err) : "");
}

static void setup(void)
{
    if (!cluster.count)
        etcd_cluster_start(&cluster, 1, test_folder());
    loop = loop_new_system(env_system());
    loop_timer_init(&timer, loop, on_timer, NULL);
}

static void on_closed(void *arg)
{
    struct engine *e = arg;

    e->closed = true;
}

static void engine_close(struct engine *e)
{
    store_close(e->store, on_closed, e);
    RUN_UNTIL(e->closed);
}

static void teardown(void)
{
    etcd_cluster_settle(loop);
    loop_free(loop);
    etcd_cluster_stop(&cluster);
    cluster = (struct etcd_cluster){ 0 };
}

static struct store *open_with(struct engine *e, const struct store_etcd_options *more)
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

static struct answer write_as(struct store *s, struct store_write w)
{
    struct answer a = { 0 };

    store_write(s, &w, on_done, &a);
    RUN_UNTIL(a.done);
    return a;
}

static struct answer put(struct store *s, const char *key, const char *value, uint64_t expect)
{
    return write_as(
        s, (struct store_write){ .type = STORE_PUT, .key = str_of(key), .value = str_of(value), .expect = expect });
}

static void dump_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct answer *a = arg;

    buf_addf(&a->dump, "%.*s=%.*s@%llu ", STR_ARG(key), STR_ARG(value), (unsigned long long)revision);
}

static struct answer list_all(struct store *s)
{
    struct answer a = { .dump = BUF_MAX(8 * MIB) };

    store_list(s, STR("/"), dump_entry, on_done, &a);
    RUN_UNTIL(a.done);
    return a;
}

static void dump_change(void *arg, const struct store_change *c)
{
    struct answer *a = arg;

    buf_addf(&a->dump, "%.*s=%.*s@%llu ", STR_ARG(c->key), STR_ARG(c->value), (unsigned long long)c->revision);
}

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

TEST("an idle watch is tested by itself, and other servers hear of the barrier")
{
    struct engine a, b;

    setup();
    open_with(&a, &(struct store_etcd_options){ .server = STR("server-a"), .idle_check_ms = 100 });
    open_with(&b, &(struct store_etcd_options){ .server = STR("server-b"), .idle_check_ms = 1000000 });
    RUN_UNTIL(a.progress > 3 && b.progress > 3);
    ASSERT_INT(a.changes + b.changes, 0);
    struct store_etcd_health h;
    store_etcd_health(a.store, &h);
    ASSERT(h.ready && h.quorum && h.member_id && h.commit_p50_us > 0);
    ASSERT_STR(h.watch_endpoint, cluster.endpoints[0]);
    engine_close(&a);
    engine_close(&b);
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

TEST("TLS with client certificates: who shows none stays outside")
{
    AUTO_IDENTITY struct identity ca = ca_make("etcd-ca");
    AUTO_IDENTITY struct identity server = identity_make(&ca, "etcd", "", PKI_SERVER | PKI_CLIENT, HOUR_MS);
    AUTO_IDENTITY struct identity client = identity_make(&ca, "klein-server-a", "", PKI_CLIENT, HOUR_MS);
    AUTO_ERROR struct error err = { 0 };
    const char *ca_file = test_path("ca.pem"), *cert = test_path("cert.pem"), *key = test_path("key.pem");
    struct engine with, without;

    ASSERT_OK(file_write(ca_file, buf_str(&ca.pem), 0600, &err), &err);
    ASSERT_OK(file_write(cert, buf_str(&server.pem), 0600, &err), &err);
    ASSERT_OK(file_write(key, secret_reveal(&server.key_pem), 0600, &err), &err);
    cluster.certificate_file = cert;
    cluster.key_file = key;
    cluster.client_ca_file = ca_file;
    setup();
    struct tls_context *tls = tls_context_new_client(
        &(struct tls_client_options){
            .ca_pem = buf_str(&ca.pem), .certificate_pem = buf_str(&client.pem), .key_pem = &client.key_pem },
        &err);
    struct tls_context *bare = tls_context_new_client(&(struct tls_client_options){ .ca_pem = buf_str(&ca.pem) }, &err);
    open_with(&with, &(struct store_etcd_options){ .tls = tls });
    ASSERT_INT(put(with.store, "/k", "1", STORE_EXPECT_ANY).code, ERR_NONE);
    open_with(&without, &(struct store_etcd_options){ .tls = bare, .server = STR("stranger"), .no_quorum_ms = 500 });
    ASSERT_INT(put(without.store, "/k", "2", STORE_EXPECT_ANY).code, ERR_UNAVAILABLE);
    struct answer a = list_all(with.store);
    ASSERT_CONTAINS(a.dump, "/k=1@");
    buf_done(&a.dump);
    engine_close(&with);
    engine_close(&without);
    tls_context_unref(tls);
    tls_context_unref(bare);
    teardown();
}

static void on_raw(void *arg, const ProtobufCMessage *answer, int status, const struct error *err)
{
    struct answer *a = arg;

    (void)status;
    a->done = true;
    snprintf(a->text, sizeof(a->text), "%s", err ? error_text(err) : "");
    ASSERT(answer);
}

static void raw_put(const char *key, struct str value)
{
    struct etcd_client *c = etcd_client_new(loop, cluster.endpoints, 1, NULL, NULL);
    Etcdpb__PutRequest put = ETCDPB__PUT_REQUEST__INIT;
    struct answer a = { 0 };

    put.key = etcd_bytes(str_of(key));
    put.value = etcd_bytes(value);
    etcd_client_call(c, 0, &etcd_put, &put.base, 5000, on_raw, &a);
    RUN_UNTIL(a.done);
    etcd_client_free(c);
}

TEST("revisions go on above those of a migration, and its values are known by theirs")
{
    char stored[64];
    size_t n = etcd_header_write(stored, STR("/old"), STR("value"), 0, 4711);
    struct engine e, again;

    setup();
    memcpy(stored + n, "value", 5);
    raw_put("klein/old", (struct str){ stored, n + 5 });
    open_with(&e, &(struct store_etcd_options){ .base_if_new = 5000 });
    struct answer a = list_all(e.store);
    ASSERT_STR(buf_str(&a.dump), "/old=value@4711 ");
    ASSERT(a.revision > 5000);
    buf_done(&a.dump);
    a = put(e.store, "/old", "wrong", 4710);
    ASSERT_INT(a.code, ERR_CONFLICT);
    ASSERT_INT(a.revision, 4711);
    a = put(e.store, "/old", "next", 4711);
    ASSERT_INT(a.code, ERR_NONE);
    ASSERT(a.revision > 5000);
    ASSERT_INT(put(e.store, "/old", "again", 4711).code, ERR_CONFLICT);
    struct answer history = { .dump = BUF_MAX(MIB) };
    store_history(e.store, 4711, dump_change, on_done, &history);
    RUN_UNTIL(history.done);
    ASSERT_INT(history.code, ERR_EXPIRED);
    engine_close(&e);
    open_with(&again, &(struct store_etcd_options){ .base_if_new = 99 }); /* there is one already */
    struct store_etcd_health h;
    RUN_UNTIL((store_etcd_health(again.store, &h), h.ready));
    ASSERT_INT(h.base, 5000);
    struct answer all = { .dump = BUF_MAX(MIB) };
    store_history(again.store, 5000, dump_change, on_done, &all);
    RUN_UNTIL(all.done);
    ASSERT_CONTAINS(all.dump, "/old=next@");
    buf_done(&all.dump);
    engine_close(&again);
    teardown();
}

TEST("a guard from before a migration is the term of a leader that is gone")
{
    char stored[64];
    size_t n = etcd_header_write(stored, STR("/klein/epoch"), STR("x"), 0, 4000);
    struct engine e;

    setup();
    memcpy(stored + n, "x", 1);
    raw_put("klein/klein/epoch", (struct str){ stored, n + 1 });
    open_with(&e, &(struct store_etcd_options){ .base_if_new = 5000 });
    ASSERT_INT(write_as(e.store, (struct store_write){ .type = STORE_PUT,
                                                       .key = STR("/k"),
                                                       .value = STR("1"),
                                                       .expect = STORE_EXPECT_ANY,
                                                       .guard_key = STR("/klein/epoch"),
                                                       .guard_revision = 4000 })
                   .code,
               ERR_TERM_OVER);
    engine_close(&e);
    teardown();
}

TEST("long lists come in pages; large values go through, one after the other")
{
    enum { COUNT = 700, LARGE = 4 };
    static struct answer answers[COUNT];
    static char keys[COUNT][16];
    struct engine e;
    AUTO_FREE char *large = xcalloc(1, 3 * MIB);

    setup();
    memset(answers, 0, sizeof(answers));
    memset(large, 'x', 3 * MIB);
    open_with(&e, &(struct store_etcd_options){ .list_page = 64 });
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "/k/%04d", i);
        store_write(e.store,
                    &(struct store_write){ .type = STORE_PUT,
                                           .key = str_of(keys[i]),
                                           .value = i < LARGE ? (struct str){ large, 2 * MIB } : STR("v"),
                                           .expect = STORE_EXPECT_ABSENT },
                    on_done, &answers[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        RUN_UNTIL(answers[i].done);
        ASSERT_STR(answers[i].text, "");
    }
    struct answer a = { .dump = BUF_MAX(32 * MIB) };
    store_list(e.store, STR("/k/"), dump_entry, on_done, &a);
    RUN_UNTIL(a.done);
    ASSERT_INT(a.code, ERR_NONE);
    size_t entries = 0;
    for (size_t i = 0; i < a.dump.n; i++)
        entries += a.dump.p[i] == '@';
    ASSERT_INT(entries, COUNT);
    buf_done(&a.dump);
    struct store_write w = { .type = STORE_PUT, .key = STR("/l"), .value = { large, 3 * MIB + 1 } };
    w.expect = STORE_EXPECT_ANY;
    ASSERT_INT(write_as(e.store, w).code, ERR_TOO_LARGE);
    engine_close(&e);
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

TEST("options that cannot be meant are refused when the store is opened")
{
    AUTO_ERROR struct error err = { 0 };
    struct str url = STR("http://127.0.0.1:1"), https = STR("https://127.0.0.1:1"), bad = STR("127.0.0.1:1");
    struct store_etcd_options o = { .endpoints = &url, .endpoints_count = 1, .server = STR("Server A") };

    setup();
    ASSERT_FAILS(store_open_etcd(loop, env_system(), &o, NULL, NULL, &err), &err, ERR_BAD_REQUEST, "no name");
    o.server = STR("a");
    o.prefix = STR("klein/");
    ASSERT_FAILS(store_open_etcd(loop, env_system(), &o, NULL, NULL, &err), &err, ERR_BAD_REQUEST, "prefix");
    o.prefix = STR_NONE;
    o.endpoints = &https;
    ASSERT_FAILS(store_open_etcd(loop, env_system(), &o, NULL, NULL, &err), &err, ERR_BAD_REQUEST, "needs TLS");
    o.endpoints = &bad;
    ASSERT_FAILS(store_open_etcd(loop, env_system(), &o, NULL, NULL, &err), &err, ERR_BAD_REQUEST, "endpoint");
    teardown();
}
