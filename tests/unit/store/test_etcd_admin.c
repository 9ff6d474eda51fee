/* Administration of a real etcd: members come and go, status, space, snapshots. */
#include "etcd_cluster.h"
#include "loop/loop.h"
#include "store/etcd_admin.h"
#include "test.h"

#include "base/codec.h"

#include <stdio.h>

static struct etcd_cluster cluster;
static struct loop *loop;
static struct etcd_admin *admin;

struct answer {
    bool done;
    enum error_code code;
    char text[300];
    uint64_t id;
    struct buf members;
    struct etcd_status status;
    char version[32];
    int64_t revision;
    uint32_t hash;
    size_t alarms;
    struct buf snapshot;
};

static void take_error(struct answer *a, const struct error *err)
{
    ASSERT(!a->done);
    a->done = true;
    a->code = err ? err->code : ERR_NONE;
    snprintf(a->text, sizeof(a->text), "%s", err ? error_text(err) : "");
    loop_stop(loop);
}

static void on_members(void *arg, uint64_t id, const struct etcd_member *members, size_t count, const struct error *err)
{
    struct answer *a = arg;

    a->id = id;
    a->members = (struct buf)BUF_MAX(4096);
    for (size_t i = 0; i < count; i++)
        buf_addf(&a->members, "%.*s%s %zu ", STR_ARG(members[i].name), members[i].learner ? "(learner)" : "",
                 members[i].peer_urls_count);
    take_error(a, err);
}

static void on_done(void *arg, const struct error *err)
{
    take_error(arg, err);
}

static void on_status(void *arg, const struct etcd_status *status, const struct error *err)
{
    struct answer *a = arg;

    if (status) {
        a->status = *status;
        snprintf(a->version, sizeof(a->version), "%.*s", STR_ARG(status->version));
    }
    take_error(arg, err);
}

static void on_hash(void *arg, uint32_t hash, int64_t revision, int64_t compacted, const struct error *err)
{
    struct answer *a = arg;

    (void)compacted;
    a->hash = hash;
    a->revision = revision;
    take_error(arg, err);
}

static void on_alarms(void *arg, const struct etcd_alarm *alarms, size_t count, const struct error *err)
{
    struct answer *a = arg;

    (void)alarms;
    a->alarms = count;
    take_error(arg, err);
}

static void wait_for(struct answer *a)
{
    while (!a->done)
        loop_run(loop);
}

static void setup(int members)
{
    cluster = (struct etcd_cluster){ 0 };
    etcd_cluster_start(&cluster, members, test_folder());
    loop = loop_new_system(env_system());
    AUTO_ERROR struct error err = { 0 };
    admin = etcd_admin_new(
        loop, &(struct etcd_admin_options){ .endpoints = cluster.endpoints, .endpoints_count = (size_t)members }, &err);
    ASSERT_OK(admin, &err);
}

static void teardown(void)
{
    etcd_admin_free(admin);
    etcd_cluster_settle(loop);
    loop_free(loop);
    etcd_cluster_stop(&cluster);
}

TEST("members, status, alarms, hash, compaction and defragmentation of one etcd")
{
    setup(1);
    struct answer list = { 0 };
    etcd_admin_member_list(admin, on_members, &list);
    wait_for(&list);
    ASSERT_STR(buf_str(&list.members), "m0 1 ");
    buf_done(&list.members);

    struct answer status = { 0 };
    etcd_admin_status(admin, cluster.endpoints[0], on_status, &status);
    wait_for(&status);
    ASSERT_INT(status.code, ERR_NONE);
    ASSERT(status.status.member_id && status.status.member_id == status.status.leader);
    ASSERT(status.status.db_bytes > 0 && status.status.revision >= 1);
    ASSERT_CONTAINS(status.version, "3.");

    struct answer alarms = { 0 }, hash = { 0 }, defragment = { 0 }, compact = { 0 }, nowhere = { 0 }, move = { 0 };
    etcd_admin_alarms(admin, on_alarms, &alarms);
    wait_for(&alarms);
    ASSERT_INT(alarms.code, ERR_NONE);
    ASSERT_INT(alarms.alarms, 0);
    etcd_admin_hash(admin, cluster.endpoints[0], 0, on_hash, &hash);
    wait_for(&hash);
    ASSERT_INT(hash.code, ERR_NONE);
    ASSERT(hash.hash && hash.revision >= 1);
    etcd_admin_defragment(admin, cluster.endpoints[0], on_done, &defragment);
    wait_for(&defragment);
    ASSERT_INT(defragment.code, ERR_NONE);
    etcd_admin_compact(admin, 1000000, on_done, &compact);
    wait_for(&compact);
    ASSERT_CONTAINS(compact.text, "future revision");
    etcd_admin_status(admin, STR("http://127.0.0.1:1"), on_status, &nowhere);
    wait_for(&nowhere);
    ASSERT_INT(nowhere.code, ERR_NOT_FOUND);
    etcd_admin_move_leader(admin, cluster.endpoints[0], 12345, on_done, &move);
    wait_for(&move);
    ASSERT(move.code != ERR_NONE);
    teardown();
}

static bool on_piece(void *arg, struct str bytes, uint64_t remaining)
{
    struct answer *a = arg;

    (void)remaining;
    buf_add(&a->snapshot, bytes);
    return true;
}

static bool refuse_piece(void *arg, struct str bytes, uint64_t remaining)
{
    (void)arg, (void)bytes, (void)remaining;
    return false;
}

TEST("a snapshot is the database and its digest; its reader may stop it")
{
    setup(1);
    struct answer a = { .snapshot = BUF_MAX(64 * MIB) }, stopped = { 0 };
    etcd_admin_snapshot(admin, cluster.endpoints[0], on_piece, on_done, &a);
    wait_for(&a);
    ASSERT_STR(a.text, "");
    ASSERT(a.snapshot.n > SHA256_SIZE);
    unsigned char digest[SHA256_SIZE];
    struct str all = buf_str(&a.snapshot);
    sha256(str_part(all, 0, all.n - SHA256_SIZE), digest);
    ASSERT(!memcmp(digest, all.p + all.n - SHA256_SIZE, SHA256_SIZE));
    buf_done(&a.snapshot);
    etcd_admin_snapshot(admin, cluster.endpoints[0], refuse_piece, on_done, &stopped);
    wait_for(&stopped);
    ASSERT_INT(stopped.code, ERR_UNAVAILABLE);
    teardown();
}

TEST("a member is added as a learner and removed again; the leader is moved")
{
    setup(3);
    struct answer add = { 0 }, remove = { 0 }, promote = { 0 }, list = { 0 }, unknown = { 0 }, twice = { 0 };
    /* etcd wants its members to have heard each other for 5 s before it changes them. */
    int64_t deadline = test_now_ms() + 30000;
    do {
        buf_done(&add.members);
        add = (struct answer){ 0 };
        etcd_admin_member_add(admin, STR("http://127.0.0.1:9"), true, on_members, &add);
        wait_for(&add);
    } while (strstr(add.text, "unhealthy cluster") && test_now_ms() < deadline);
    ASSERT_STR(add.text, "");
    ASSERT(add.id);
    ASSERT_CONTAINS(add.members, "(learner) 1");
    etcd_admin_member_add(admin, STR("http://127.0.0.1:9"), true, on_members, &twice);
    wait_for(&twice);
    ASSERT_INT(twice.code, ERR_ALREADY_EXISTS);
    etcd_admin_member_promote(admin, add.id, on_members, &promote);
    wait_for(&promote);
    ASSERT_INT(promote.code, ERR_CONFLICT);
    etcd_admin_member_remove(admin, add.id, on_members, &remove);
    wait_for(&remove);
    ASSERT_STR(remove.text, "");
    etcd_admin_member_remove(admin, add.id, on_members, &unknown);
    wait_for(&unknown);
    ASSERT_INT(unknown.code, ERR_NOT_FOUND);

    int leader = etcd_cluster_leader(&cluster), other = (leader + 1) % 3;
    ASSERT(leader >= 0);
    struct answer target = { 0 }, wrong = { 0 }, move = { 0 };
    etcd_admin_status(admin, cluster.endpoints[other], on_status, &target);
    wait_for(&target);
    etcd_admin_move_leader(admin, cluster.endpoints[other], target.status.member_id, on_done, &wrong);
    wait_for(&wrong);
    ASSERT(wrong.code != ERR_NONE);
    etcd_admin_move_leader(admin, cluster.endpoints[leader], target.status.member_id, on_done, &move);
    wait_for(&move);
    ASSERT_STR(move.text, "");
    ASSERT_INT(etcd_cluster_leader(&cluster), other);

    etcd_member_kill(&cluster, 0); /* the first in the list: the next one is asked */
    etcd_admin_member_list(admin, on_members, &list);
    wait_for(&list);
    ASSERT_STR(list.text, "");
    struct answer *all[] = { &add, &remove, &promote, &list, &unknown, &twice };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        buf_done(&all[i]->members);
    teardown();
}

TEST("without a member that answers, calls say so; freeing ends what is open")
{
    cluster = (struct etcd_cluster){ 0 };
    loop = loop_new_system(env_system());
    struct str dead = STR("http://127.0.0.1:1");
    AUTO_ERROR struct error err = { 0 };
    admin = etcd_admin_new(loop, &(struct etcd_admin_options){ .endpoints = &dead, .endpoints_count = 1 }, &err);
    struct answer list = { 0 }, open = { 0 };
    etcd_admin_member_list(admin, on_members, &list);
    wait_for(&list);
    ASSERT_INT(list.code, ERR_UNAVAILABLE);
    ASSERT_CONTAINS(list.text, "127.0.0.1:1");
    etcd_admin_member_list(admin, on_members, &open);
    etcd_admin_free(admin);
    admin = NULL;
    ASSERT(open.done);
    ASSERT_INT(open.code, ERR_UNAVAILABLE);
    buf_done(&list.members);
    buf_done(&open.members);
    struct str bad = STR("etcd.example:2379");
    ASSERT_FAILS(etcd_admin_new(loop, &(struct etcd_admin_options){ .endpoints = &bad, .endpoints_count = 1 }, &err),
                 &err, ERR_BAD_REQUEST, "etcd endpoint");
    etcd_cluster_settle(loop);
    loop_free(loop);
}
