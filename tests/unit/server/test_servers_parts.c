/* What one of several servers keeps and reads: its record, etcd's certificates, etcd's histogram. */
#include "test.h"

#include "base/file.h"
#include "server/etcd_pki.h"
#include "server/servers_internal.h"

TEST("a server's record is read back as it was written")
{
    const struct str endpoints[] = { STR_INIT("https://10.0.0.1:2379"), STR_INIT("https://10.0.0.2:2379") };
    struct server_record r = { .member = true, .learning = true }, back;
    bool found;

    ASSERT_INT(server_record_load(test_folder(), &back, &found, NULL), 0);
    ASSERT(!found);
    server_record_set(&r.store, STR("etcd"));
    server_record_set(&r.name, STR("server-\"a"));
    server_record_set_endpoints(&r, endpoints, 2);
    ASSERT_INT(server_record_save(test_folder(), &r, NULL), 0);
    ASSERT_INT(server_record_load(test_folder(), &back, &found, NULL), 0);
    ASSERT(found && back.member && back.learning && !back.removed);
    ASSERT_STR(back.store, "etcd");
    ASSERT_STR(back.name, "server-\"a");
    ASSERT_STR(back.zone, "");
    ASSERT_INT(back.endpoints_count, 2);
    ASSERT_STR(back.endpoints[1], "https://10.0.0.2:2379");
    server_record_done(&back);
    server_record_done(&r);
}

TEST("a broken record is an error that names the file")
{
    AUTO_ERROR struct error err = { 0 };
    struct server_record r;
    bool found;

    ASSERT_INT(file_write(test_path("server.json"), STR("{\"store\":"), 0600, NULL), 0);
    ASSERT_FAILS(server_record_load(test_folder(), &r, &found, &err), &err, ERR_BAD_REQUEST, "server.json");
    server_record_done(&r);
}

TEST("etcd's certificate has an authority of its own and is made anew for another address or authority")
{
    struct etcd_pki p = { 0 }, q = { 0 };
    bool changed = false;
    AUTO_FREE char *other = xasprintf("%s/other", test_folder());

    ASSERT_INT(etcd_pki_open(&p, test_folder(), STR("a"), STR("10.0.0.1"), env_system(), &changed, NULL), 0);
    ASSERT(changed && pki_cert_has_san(p.leaf.cert, STR("10.0.0.1")));
    ASSERT(pki_cert_is_signed_by(p.leaf.cert, p.root.cert));
    changed = false;
    ASSERT_INT(etcd_pki_open(&p, test_folder(), STR("a"), STR("10.0.0.1"), env_system(), &changed, NULL), 0);
    ASSERT(!changed);
    ASSERT_INT(etcd_pki_open(&p, test_folder(), STR("a"), STR("10.0.0.2"), env_system(), &changed, NULL), 0);
    ASSERT(changed && pki_cert_has_san(p.leaf.cert, STR("10.0.0.2")));
    ASSERT_INT(etcd_pki_open(&q, other, STR("b"), STR("10.0.0.2"), env_system(), &changed, NULL), 0);
    ASSERT(!pki_cert_is_signed_by(p.leaf.cert, q.root.cert));
    /* A join has put the cluster's authority here: the old leaf is of no use. */
    ASSERT_INT(file_write(test_path("etcd-ca.crt"), str_of(q.root.cert_pem), 0644, NULL), 0);
    ASSERT_INT(file_write(test_path("etcd-ca.key"), secret_reveal(&q.root.key_pem), 0600, NULL), 0);
    changed = false;
    ASSERT_INT(etcd_pki_open(&p, test_folder(), STR("a"), STR("10.0.0.2"), env_system(), &changed, NULL), 0);
    ASSERT(changed && pki_cert_is_signed_by(p.leaf.cert, q.root.cert));
    etcd_pki_done(&p);
    etcd_pki_done(&q);
}

static struct servers_metrics metrics_of(int fast, int slow)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    struct servers_metrics m;

    buf_addf(&text,
             "# HELP etcd_disk_wal_fsync_duration_seconds words\n"
             "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.002\"} %d\n"
             "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"0.064\"} %d\n"
             "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} %d\nother{le=\"1\"} 7\nbroken\n",
             fast, fast + slow, fast + slow);
    servers_read_metrics(&m, buf_str(&text));
    return m;
}

TEST("the 99th percentile of fsyncs is that of the time between two looks")
{
    struct servers_metrics nothing = { 0 }, first = metrics_of(1000, 0), second = metrics_of(1090, 10),
                           restarted = metrics_of(5, 0);

    ASSERT_INT(first.n, 3);
    ASSERT_INT(servers_fsync_p99_ms(&nothing, &nothing), 0);
    ASSERT_INT(servers_fsync_p99_ms(&nothing, &first), 2);
    ASSERT_INT(servers_fsync_p99_ms(&first, &second), 64);
    ASSERT_INT(servers_fsync_p99_ms(&second, &second), 0);
    ASSERT_INT(servers_fsync_p99_ms(&second, &restarted), 2);
}

TEST("names of servers are DNS labels")
{
    ASSERT(servers_name_is_good(STR("server-a")) && servers_name_is_good(STR("1")));
    ASSERT(!servers_name_is_good(STR("")) && !servers_name_is_good(STR("-a")) && !servers_name_is_good(STR("a-")));
    ASSERT(!servers_name_is_good(STR("A")) && !servers_name_is_good(STR("a/b")) && !servers_name_is_good(STR("a.b")));
}
