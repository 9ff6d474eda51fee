/* The etcd engine beyond the contract: idle watches, TLS, values of a migration, limits, options. */
#include "etcd_engine_test.h"

#include "../wire/certificates.h"
#include "base/file.h"
#include "store/etcd_client.h"
#include "store/etcd_value.h"

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
