/* Who leads: leader.h, with several servers on one store. */
#include "several.h"

#include "server/leader.h"
#include "server/raw_keys.h"

struct candidate {
    struct leader_listener *listener;
    uint64_t epoch; /* while it leads */
    unsigned terms, losses;
};

static struct several c;
static struct candidate candidates[3];

static void on_elected(void *arg, uint64_t epoch)
{
    struct candidate *k = arg;
    ASSERT_INT(k->epoch, 0);
    k->epoch = epoch;
    k->terms++;
}

static void on_lost(void *arg)
{
    struct candidate *k = arg;
    ASSERT(k->epoch);
    k->epoch = 0;
    k->losses++;
}

static struct leader *leader_of(size_t i)
{
    return server_leader(c.servers[i].server);
}

static void stand(size_t i)
{
    static const struct leader_callbacks callbacks = { on_elected, on_lost };
    candidates[i] = (struct candidate){ 0 };
    candidates[i].listener = leader_listen(leader_of(i), &callbacks, &candidates[i]);
}

static void start(size_t count)
{
    several_start(&c, count);
    for (size_t i = 0; i < count; i++)
        stand(i);
    several_advance(&c, 200);
}

static void stop(void)
{
    for (size_t i = 0; i < c.count; i++)
        if (c.servers[i].server)
            leader_unlisten(candidates[i].listener);
    several_stop(&c);
}

static size_t leaders(void)
{
    size_t n = 0;
    for (size_t i = 0; i < c.count; i++)
        n += candidates[i].epoch != 0;
    return n;
}

static size_t who_leads(void)
{
    ASSERT_INT(leaders(), 1);
    size_t i = 0;
    while (!candidates[i].epoch)
        i++;
    return i;
}

struct answer {
    bool done;
    enum error_code code;
};

static void on_written(void *arg, uint64_t revision, const struct error *err)
{
    (void)revision;
    *(struct answer *)arg = (struct answer){ true, err ? err->code : ERR_NONE };
}

/* A write of a term, as controllers make them. */
static enum error_code write_of_term(size_t server, uint64_t epoch)
{
    struct answer a = { 0 };
    raw_write(server_state(c.servers[server].server),
              &(struct raw_write){ STORE_PUT, STR("/klein/test"), STR("x"), STORE_EXPECT_ANY, epoch }, on_written, &a);
    for (int i = 0; i < 100 && !a.done; i++)
        several_advance(&c, 100);
    ASSERT(a.done);
    return a.code;
}

TEST("of three servers one leads, all know which, and its epoch counts")
{
    start(3);
    size_t leader = who_leads();
    for (size_t i = 0; i < 3; i++) {
        ASSERT_INT(leader_is_me(leader_of(i)), i == leader);
        ASSERT_STR(leader_name(leader_of(i)), server_config(c.servers[leader].server)->name);
        ASSERT_INT(leader_epoch_seen(leader_of(i)), candidates[leader].epoch);
    }
    several_advance(&c, 60000);
    ASSERT_INT(who_leads(), leader);
    ASSERT_INT(candidates[leader].terms, 1);
    ASSERT_INT(write_of_term(leader, candidates[leader].epoch), ERR_NONE);
    stop();
}

TEST("a leader that is cut off is followed within a second and a half, and its writes are refused")
{
    start(3);
    size_t old = who_leads();
    uint64_t epoch = candidates[old].epoch;
    shared_store_cut(c.store, old, true);
    several_advance(&c, 700);
    ASSERT_INT(leaders(), 1); /* too early to judge */
    several_advance(&c, 800);
    ASSERT_INT(leaders(), 2); /* the old one cannot know yet; the store does */
    size_t new = (old + 1) % 3;
    if (!candidates[new].epoch)
        new = (old + 2) % 3;
    ASSERT(candidates[new].epoch > epoch);
    several_advance(&c, 1000);
    /* Written before it has heard of the new term: refused by the store, and that ends the term. */
    raw_write(server_state(c.servers[old].server),
              &(struct raw_write){ STORE_PUT, STR("/klein/test"), STR("old"), STORE_EXPECT_ANY, epoch }, NULL, NULL);
    shared_store_cut(c.store, old, false);
    several_advance(&c, 300);
    struct raw_value v;
    ASSERT(!raw_get(server_state(c.servers[new].server), STR("/klein/test"), &v));
    ASSERT_INT(who_leads(), new);
    ASSERT_INT(candidates[old].losses, 1);
    stop();
}

TEST("the first refused write ends a term before its end has been seen")
{
    start(2);
    size_t old = who_leads(), new = 1 - old;
    uint64_t epoch = candidates[old].epoch;
    shared_store_cut(c.store, old, true);
    several_advance(&c, 1500);
    ASSERT(candidates[new].epoch);
    shared_store_lag(c.store, old, 0);
    leader_refused(leader_of(old), epoch - 1); /* of an older term: nothing */
    ASSERT(candidates[old].epoch);
    leader_refused(leader_of(old), epoch);
    ASSERT_INT(candidates[old].epoch, 0);
    ASSERT(!leader_is_me(leader_of(old)));
    stop();
}

TEST("a server that is cut off itself does not take the lead")
{
    start(2);
    size_t leader = who_leads(), other = 1 - leader;
    shared_store_cut(c.store, other, true);
    several_advance(&c, 10000);
    ASSERT_INT(who_leads(), leader);
    shared_store_cut(c.store, other, false);
    several_advance(&c, 10000);
    ASSERT_INT(who_leads(), leader);
    ASSERT_INT(candidates[leader].terms, 1);
    stop();
}

TEST("a server that hears everything late does not take the lead from one that beats")
{
    start(2);
    size_t leader = who_leads(), other = 1 - leader;
    shared_store_lag(c.store, other, 3000);
    several_advance(&c, 30000);
    ASSERT_INT(who_leads(), leader);
    ASSERT_INT(candidates[leader].terms, 1);
    stop();
}

TEST("a leader that stops is followed at once")
{
    start(3);
    size_t old = who_leads();
    leader_unlisten(candidates[old].listener);
    ASSERT(!leader_is_me(leader_of(old)));
    candidates[old].epoch = 0;
    several_stop_one(&c, old);
    several_advance(&c, 3 * SEVERAL_LAG_MS + 10);
    ASSERT_INT(leaders(), 1);
    stop();
}

TEST("a lead that is given back goes to another server, with no time without one longer than a commit")
{
    start(3);
    size_t old = who_leads();
    leader_release(leader_of(old));
    several_advance(&c, 3 * SEVERAL_LAG_MS + 10);
    ASSERT(who_leads() != old);
    several_advance(&c, 10000);
    ASSERT(who_leads() != old);
    stop();
}

TEST("an elected server has seen everything the one before it wrote")
{
    struct raw_value v;
    start(2);
    size_t old = who_leads(), new = 1 - old;
    shared_store_lag(c.store, new, 400);
    several_advance(&c, 2000);
    raw_write(server_state(c.servers[old].server),
              &(struct raw_write){ STORE_PUT, STR("/klein/last"), STR("x"), STORE_EXPECT_ANY, candidates[old].epoch },
              NULL, NULL);
    leader_release(leader_of(old));
    for (int i = 0; i < 2000 && !candidates[new].epoch; i++)
        several_advance(&c, 1);
    ASSERT(candidates[new].epoch);
    ASSERT(raw_get(server_state(c.servers[new].server), STR("/klein/last"), &v));
    stop();
}

TEST("without a quorum nobody is elected, and afterwards one is")
{
    start(3);
    size_t leader = who_leads();
    for (size_t i = 0; i < 3; i++)
        shared_store_cut(c.store, i, true);
    several_advance(&c, 20000);
    ASSERT_INT(who_leads(), leader);
    for (size_t i = 0; i < 3; i++)
        shared_store_cut(c.store, i, false);
    several_advance(&c, 5000);
    who_leads();
    stop();
}

TEST("a single server leads at once and writes nothing more")
{
    struct world w;
    static const struct leader_callbacks callbacks = { on_elected, on_lost };
    candidates[0] = (struct candidate){ 0 };
    world_start(&w);
    struct leader_listener *x = leader_listen(server_leader(w.server), &callbacks, &candidates[0]);
    loop_sim_run_until_idle(w.loop);
    ASSERT(candidates[0].epoch);
    uint64_t revision = state_revision(server_state(w.server));
    world_advance(&w, 60000);
    ASSERT_INT(state_revision(server_state(w.server)), revision);
    leader_unlisten(x);
    ASSERT(!leader_is_me(server_leader(w.server)));
    world_stop(&w);
}
