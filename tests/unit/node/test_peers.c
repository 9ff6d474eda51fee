/* Who hears whom: agents' messages in virtual time, over paths that are cut in one direction or both. */
#include "loop/sim.h"
#include "node/peers.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#define N 20

static struct env_sim env;
static struct loop *loop;
static struct peers *all[N];
static char names[N][8], addresses[N][16];
static struct peers_node nodes[N];
static size_t count;
static int changes[N];
static const uint8_t key[PEER_KEY_SIZE] = { 7 };

static void on_change(void *arg)
{
    (*(int *)arg)++;
}

static void on_contact(void *arg)
{
    (void)arg;
}

static void agent_start(size_t i)
{
    AUTO_ERROR struct error err = { 0 };
    struct peers_config c = { .node_name = str_of(names[i]),
                              .bind = nodes[i].address,
                              .on_change = on_change,
                              .on_contact = on_contact,
                              .arg = &changes[i] };
    ASSERT_OK(all[i] = peers_new(loop, &c, &err), &err);
    peers_set_key(all[i], key);
    peers_set_nodes(all[i], nodes, count);
}

static void start(size_t n)
{
    env_sim_init(&env, test_seed(), 1800000000000);
    loop = loop_new_sim(&env);
    count = n;
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "n%zu", i);
        snprintf(addresses[i], sizeof(addresses[i]), "10.0.0.%zu", i + 1);
        nodes[i].name = str_of(names[i]);
        ASSERT(address_of_ip(str_of(addresses[i]), PEERS_PORT, &nodes[i].address, NULL) == 0);
        changes[i] = 0;
    }
    for (size_t i = 0; i < n; i++)
        agent_start(i);
    loop_sim_advance(loop, 2000);
}

static void stop(void)
{
    for (size_t i = 0; i < count; i++)
        peers_free(all[i]);
    loop_sim_run_until_idle(loop);
    loop_free(loop);
}

/* One direction. */
static void cut(size_t from, size_t to)
{
    loop_sim_cut(loop, str_of(addresses[from]), str_of(addresses[to]));
}

static void heal(size_t from, size_t to)
{
    loop_sim_heal(loop, str_of(addresses[from]), str_of(addresses[to]));
}

/* The report, with ages left out. */
static const char *report(size_t i)
{
    static char text[4096];
    AUTO_BUF struct buf line = BUF_MAX(4096);
    size_t n = 0;

    peers_write_report(all[i], &line, 3500);
    for (size_t k = 0; k < line.n; k++) {
        text[n++] = line.p[k];
        if (line.p[k] == ':' && k + 1 < line.n && line.p[k + 1] >= '0' && line.p[k + 1] <= '9')
            while (k + 1 < line.n && line.p[k + 1] >= '0' && line.p[k + 1] <= '9')
                k++;
    }
    text[n] = 0;
    return text;
}

/* The report as zero-terminated text; one at a time. */
static const char *raw_report(size_t i)
{
    static char *text;
    struct buf line = BUF_MAX(4096);

    free(text);
    peers_write_report(all[i], &line, 3500);
    text = buf_take(&line, NULL);
    return text;
}

static int64_t contact_age_ms(size_t i)
{
    return loop_now_ms(loop) - peers_contact_ms(all[i]);
}

TEST("nodes hear each other within a second, and a quiet cluster reports once")
{
    start(3);
    ASSERT_STR(report(0), ",\"peers\":[\"n1\",\"n2\"],\"unheard\":{}");
    ASSERT(contact_age_ms(0) <= 2 * PEERS_ASK_MS);
    int before = changes[0];
    loop_sim_advance(loop, 60000);
    ASSERT_INT(changes[0], before);
    ASSERT(contact_age_ms(0) <= 2 * PEERS_ASK_MS);
    stop();
}

TEST("a node that is cut off is not heard by the others, hears nobody, and has no contact; healed, all is well again")
{
    start(3);
    for (size_t i = 1; i < 3; i++)
        cut(0, i), cut(i, 0);
    loop_sim_advance(loop, 1500);
    ASSERT_STR(report(1), ",\"peers\":[\"n0\",\"n2\"],\"unheard\":{\"n0\":}");
    ASSERT_STR(report(0), ",\"peers\":[\"n1\",\"n2\"],\"unheard\":{\"n1\":,\"n2\":}");
    ASSERT(contact_age_ms(0) >= 1400);
    ASSERT(contact_age_ms(1) <= 2 * PEERS_ASK_MS); /* n2 answers: two of three */
    loop_sim_advance(loop, 60000);
    for (size_t i = 1; i < 3; i++)
        heal(0, i), heal(i, 0);
    loop_sim_advance(loop, 1000);
    ASSERT_STR(report(1), ",\"peers\":[\"n0\",\"n2\"],\"unheard\":{}");
    ASSERT(contact_age_ms(0) <= 2 * PEERS_ASK_MS);
    stop();
}

TEST("a cut in one direction is a cut for both ends, whichever direction it is")
{
    for (int direction = 0; direction < 2; direction++) {
        start(3);
        for (size_t i = 1; i < 3; i++)
            direction ? cut(0, i) : cut(i, 0);
        loop_sim_advance(loop, 3600); /* an echo is believed for 2 s */
        ASSERT_STR(report(1), ",\"peers\":[\"n0\",\"n2\"],\"unheard\":{\"n0\":}");
        ASSERT_STR(report(0), ",\"peers\":[\"n1\",\"n2\"],\"unheard\":{\"n1\":,\"n2\":}");
        ASSERT(contact_age_ms(0) >= 3400);
        stop();
    }
}

TEST("what a node takes for contact, the other side knows as heard: a node never has contact longer than it is heard")
{
    start(3);
    for (int i = 0; i < 400; i++) {
        size_t from = env_random_below(&env.env, 3), to = env_random_below(&env.env, 3);
        if (env_random_below(&env.env, 2))
            cut(from, to);
        else
            heal(from, to);
        loop_sim_advance(loop, (int64_t)env_random_below(&env.env, 900));
        for (size_t n = 0; n < 3; n++) {
            size_t unheard_by = 0;
            int64_t latest = INT64_MIN;
            for (size_t w = 0; w < 3; w++) {
                char needle[16];
                const char *at;
                snprintf(needle, sizeof(needle), "\"n%zu\":", n);
                at = w == n ? NULL : strstr(raw_report(w), needle);
                if (!at)
                    continue;
                unheard_by++;
                latest = MAX(latest, loop_now_ms(loop) - strtoll(at + strlen(needle), NULL, 10));
            }
            if (unheard_by == 2 && peers_contact_ms(all[n]) > latest)
                FAIL("n%zu has contact at %lld, and was heard last at %lld", n, (long long)peers_contact_ms(all[n]),
                     (long long)latest);
        }
    }
    stop();
}

TEST("a message with another key, for another node, or replayed, is nothing")
{
    static const uint8_t wrong[PEER_KEY_SIZE] = { 8 };

    start(2);
    peers_set_key(all[1], wrong);
    loop_sim_advance(loop, 1500);
    ASSERT_STR(report(0), ",\"peers\":[\"n1\"],\"unheard\":{\"n1\":}");
    ASSERT_STR(report(1), ",\"peers\":[\"n0\"],\"unheard\":{\"n0\":}");
    stop();
}

static struct address replay_to;
static struct udp *listener;
static char recorded[1000][PEER_MESSAGE_SIZE];
static size_t recorded_count;

static void record(struct udp *u, const struct address *from, struct str bytes, void *arg)
{
    (void)u, (void)from, (void)arg;
    if (recorded_count < ARRAY_SIZE(recorded) && bytes.n == PEER_MESSAGE_SIZE)
        memcpy(recorded[recorded_count++], bytes.p, bytes.n);
}

TEST("whoever recorded a node's messages cannot make others believe that it is heard")
{
    static const struct udp_callbacks callbacks = { .on_datagram = record };
    AUTO_ERROR struct error err = { 0 };
    struct address spy;

    start(2);
    replay_to = nodes[1].address;
    /* n0 is told that n1 has moved to the spy's address: its messages, in the right form, are now recorded. */
    ASSERT(address_of_ip(STR("10.0.0.99"), PEERS_PORT, &spy, NULL) == 0);
    ASSERT_OK(listener = udp_open(loop, &spy, NULL, &callbacks, NULL, &err), &err);
    recorded_count = 0;
    struct address real = nodes[1].address;
    nodes[1].address = spy;
    peers_set_nodes(all[0], nodes, 2);
    loop_sim_advance(loop, 5000);
    ASSERT(recorded_count > 10);
    ASSERT_STR(report(1), ",\"peers\":[\"n0\"],\"unheard\":{\"n0\":}");
    loop_sim_cut(loop, str_of(addresses[0]), STR("10.0.0.99")); /* no more of them */
    loop_sim_advance(loop, 2500);                               /* what is younger would be a detour, no replay */
    for (size_t i = 0; i < recorded_count; i++) {
        udp_send(listener, &replay_to, (struct str){ recorded[i], PEER_MESSAGE_SIZE });
        loop_sim_advance(loop, 50);
    }
    ASSERT_STR(report(1), ",\"peers\":[\"n0\"],\"unheard\":{\"n0\":}");
    nodes[1].address = real;
    udp_close(listener);
    stop();
}

TEST("an agent that restarts is heard again within a second and says since when it listens")
{
    start(3);
    peers_free(all[1]);
    loop_sim_advance(loop, 1500);
    ASSERT_STR(report(0), ",\"peers\":[\"n1\",\"n2\"],\"unheard\":{\"n1\":}");
    agent_start(1);
    loop_sim_advance(loop, 800);
    ASSERT_STR(report(0), ",\"peers\":[\"n1\",\"n2\"],\"unheard\":{}");
    ASSERT_STR(report(1), ",\"peers\":[\"n0\",\"n2\"],\"unheard\":{}");
    stop();
}

TEST("of many nodes sixteen are peers, who else asks is answered and watched, and few change when a node leaves")
{
    char before[4096];

    start(20);
    ASSERT_INT(peers_count(all[0]), 16);
    ASSERT(contact_age_ms(0) <= 2 * PEERS_ASK_MS);
    for (size_t i = 1; i < 20; i++)
        cut(0, i), cut(i, 0);
    loop_sim_advance(loop, 1500);
    size_t deniers = 0;
    for (size_t i = 1; i < 20; i++)
        deniers += strstr(report(i), "\"n0\":") != NULL;
    ASSERT(deniers >= 16);
    for (size_t i = 1; i < 20; i++)
        heal(0, i), heal(i, 0);
    loop_sim_advance(loop, 1000);
    snprintf(before, sizeof(before), "%s", raw_report(0));
    peers_set_nodes(all[0], nodes, 19);
    ASSERT_INT(peers_count(all[0]), 16);
    loop_sim_advance(loop, 12000);
    size_t kept = 0;
    for (size_t i = 1; i < 19; i++) {
        char name[16];
        snprintf(name, sizeof(name), "\"n%zu\"", i);
        kept += strstr(before, name) && strstr(raw_report(0), name);
    }
    ASSERT(kept >= 15);
    stop();
}

TEST("for ten seconds after a change of peers, contact needs the old ones and the new ones")
{
    start(5);
    /* n0 is told of n1 alone: the others leave the list of nodes; n2, n3, n4 are cut off from it */
    for (size_t i = 2; i < 5; i++)
        cut(0, i), cut(i, 0);
    peers_set_nodes(all[0], nodes, 2);
    loop_sim_advance(loop, 5000);
    ASSERT(contact_age_ms(0) >= 4500); /* of four peers before, one answers */
    loop_sim_advance(loop, 6000);
    ASSERT(contact_age_ms(0) <= 2 * PEERS_ASK_MS);
    stop();
}

TEST("two nodes: each is the other's majority; one alone has no contact by peers")
{
    start(2);
    ASSERT(contact_age_ms(0) <= 2 * PEERS_ASK_MS);
    stop();
    start(1);
    ASSERT_INT(peers_count(all[0]), 0);
    ASSERT(peers_contact_ms(all[0]) == INT64_MIN);
    ASSERT_STR(report(0), ",\"peers\":[],\"unheard\":{}");
    stop();
}
