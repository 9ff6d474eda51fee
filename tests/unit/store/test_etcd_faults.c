/* Members of a real etcd are killed, paused, and all taken down while clients write through two engines; the history is judged. */
#include "etcd_load.h"

#include <signal.h>

static struct load l;

static int leader_now(void)
{
    int leader = -1;

    for (int64_t end = test_now_ms() + 20000; leader < 0; leader = etcd_cluster_leader(&l.cluster)) {
        if (test_now_ms() > end)
            FAIL("no leader of etcd within 20 s");
        load_run(&l, 20);
    }
    return leader;
}

static int compare_ms(const void *a, const void *b)
{
    return (int)(*(const int64_t *)a - *(const int64_t *)b);
}

TEST("the leader is killed twenty times under guarded writers: nothing is lost, nothing invented, both watches are the "
     "same")
{
    enum { KILLS = 20 };
    int64_t took[KILLS];

    load_start(&l, 3);
    load_run_until_written(&l, 200, 20000);
    for (int i = 0; i < KILLS; i++) {
        int leader = leader_now();

        etcd_member_kill(&l.cluster, leader);
        int64_t killed_ms = test_now_ms();
        load_run_until_written(&l, 1, 20000); /* one that was on its way perhaps */
        load_run_until_written(&l, 60, 20000);
        took[i] = l.last_ack_ms - killed_ms;
        etcd_member_start(&l.cluster, leader);
        etcd_cluster_wait(&l.cluster);
        load_run_until_written(&l, 100, 20000);
    }
    qsort(took, KILLS, sizeof(took[0]), compare_ms);
    printf("until 61 writes after a kill: median %lld ms, worst %lld ms\n", (long long)took[KILLS / 2],
           (long long)took[KILLS - 1]);
    ASSERT(took[KILLS - 1] < 10000);
    ASSERT(history_acknowledged(l.history) > 2000);
    ASSERT_INT(l.refused, 0); /* an election is no reason for an error */
    load_finish(&l);
}

TEST("a member that is paused, whoever it is, costs time and nothing else")
{
    load_start(&l, 3);
    load_run_until_written(&l, 200, 20000);
    for (int round = 0; round < 6; round++) {
        struct store_etcd_health health;
        int leader = leader_now(), paused = leader;

        store_etcd_health(l.engines[0].store, &health);
        if (round % 3 == 1)
            paused = (leader + 1) % 3;
        for (int i = 0; round % 3 == 2 && i < 3; i++)
            if (str_eq(l.cluster.endpoints[i], health.watch_endpoint))
                paused = i;
        etcd_member_signal(&l.cluster, paused, SIGSTOP);
        load_run_until_written(&l, 200, 20000);
        load_run(&l, 500);
        load_run_until_written(&l, 200, 20000);
        etcd_member_signal(&l.cluster, paused, SIGCONT);
        load_run_until_written(&l, 100, 20000);
    }
    load_finish(&l);
}

TEST("with all members gone writes are refused in words after a while; when they are back everything goes on")
{
    load_start(&l, 3);
    load_run_until_written(&l, 200, 20000);
    for (int i = 0; i < 3; i++)
        etcd_member_kill(&l.cluster, i);
    size_t before = l.acknowledged;
    load_run(&l, 1000);
    ASSERT_INT(l.refused, 0); /* two seconds are granted */
    load_run(&l, 3000);
    ASSERT(l.refused > 0);
    ASSERT(l.acknowledged <= before + LOAD_CLIENTS);
    struct store_etcd_health health;
    store_etcd_health(l.engines[0].store, &health);
    ASSERT(!health.quorum && health.no_quorum_ms >= 2000);
    ASSERT_CONTAINS(health.error, "127.0.0.1");
    for (int i = 0; i < 3; i++)
        etcd_member_start(&l.cluster, i);
    load_run_until_written(&l, 300, 60000);
    store_etcd_health(l.engines[0].store, &health);
    ASSERT(health.quorum && health.ready);
    load_finish(&l);
}
