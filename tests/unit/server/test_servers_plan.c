/* Who may join, who may go, and what is told of where servers stand. */
#include "test.h"

#include "server/servers_plan.h"

static const struct plan_member a = {
    .id = 1, .name = STR_INIT("a"), .peer_url = STR_INIT("https://10.0.0.1:2380"), .healthy = true
};
static const struct plan_member b = {
    .id = 2, .name = STR_INIT("b"), .peer_url = STR_INIT("https://10.0.0.2:2380"), .healthy = true
};
static const struct plan_member c = {
    .id = 3, .name = STR_INIT("c"), .peer_url = STR_INIT("https://10.0.0.3:2380"), .healthy = true
};

static struct plan_member dead(struct plan_member m)
{
    m.healthy = false;
    return m;
}

static struct plan_member learner(struct plan_member m, bool started, bool healthy, int64_t ms)
{
    m.learner = true;
    m.healthy = healthy;
    m.learner_ms = ms;
    if (!started)
        m.name = STR_NONE;
    return m;
}

static struct servers_plan join(const char *name, const char *url, const struct plan_member *m, size_t n,
                                struct error *err)
{
    return servers_plan_join(str_of(name), str_of(url), m, n, err);
}

TEST("a server joins a healthy cluster")
{
    struct plan_member m[] = { a, b, dead(c) };

    ASSERT_INT(join("d", "https://10.0.0.4:2380", m, 1, NULL).step, SERVERS_ADD);
    ASSERT_INT(join("d", "https://10.0.0.4:2380", m, 3, NULL).step, SERVERS_ADD);
}

TEST("a name or an address that a running member has is refused")
{
    AUTO_ERROR struct error err = { 0 };
    struct plan_member m[] = { a, b };

    ASSERT_INT(join("b", "https://10.0.0.9:2380", m, 2, &err).step, SERVERS_REFUSE);
    ASSERT_INT(err.code, ERR_CONFLICT);
    ASSERT_CONTAINS(err.message, "running member (b)");
    ASSERT_INT(join("z", "https://10.0.0.1:2380", m, 2, &err).step, SERVERS_REFUSE);
}

TEST("a server whose disk was lost replaces its old member")
{
    struct plan_member m[] = { a, b, dead(c) };
    struct servers_plan p = join("c", "https://10.0.0.3:2380", m, 3, NULL);

    ASSERT_INT(p.step, SERVERS_REMOVE);
    ASSERT_INT(p.id, 3);
    ASSERT_INT(join("c", "https://10.0.0.3:2380", m, 2, NULL).step, SERVERS_ADD);
}

TEST("an interrupted join goes on where it was")
{
    struct plan_member m[] = { a, learner(b, false, false, 5000) };
    struct plan_member started[] = { a, learner(b, true, false, 5000) };

    ASSERT_INT(join("b", "https://10.0.0.2:2380", m, 2, NULL).step, SERVERS_KEEP);
    ASSERT_INT(join("b", "https://10.0.0.2:2380", started, 2, NULL).step, SERVERS_REMOVE);
}

TEST("one server joins at a time, and one that gave up is not waited for")
{
    AUTO_ERROR struct error err = { 0 };
    struct plan_member young[] = { a, learner(b, false, false, 29000) };
    struct plan_member running[] = { a, learner(b, true, true, 99000) };
    struct plan_member old[] = { a, learner(b, false, false, 30000) };

    ASSERT_INT(join("c", "https://10.0.0.3:2380", young, 2, &err).step, SERVERS_WAIT);
    ASSERT_INT(err.code, ERR_UNAVAILABLE);
    ASSERT_INT(join("c", "https://10.0.0.3:2380", running, 2, &err).step, SERVERS_WAIT);
    ASSERT_INT(join("c", "https://10.0.0.3:2380", old, 2, &err).step, SERVERS_REMOVE);
}

TEST("without a majority nobody joins")
{
    AUTO_ERROR struct error err = { 0 };
    struct plan_member m[] = { a, dead(b), dead(c) };

    ASSERT_INT(join("d", "https://10.0.0.4:2380", m, 3, &err).step, SERVERS_REFUSE);
    ASSERT_INT(err.code, ERR_UNAVAILABLE);
    ASSERT_CONTAINS(err.message, "1 of 3 servers are up and 2 are needed");
    ASSERT_INT(join("b", "https://10.0.0.2:2380", m, 3, &err).step, SERVERS_REFUSE);
}

TEST("an eighth server is refused")
{
    AUTO_ERROR struct error err = { 0 };
    struct plan_member m[SERVERS_VOTERS_MAX];

    for (int i = 0; i < SERVERS_VOTERS_MAX; i++)
        m[i] = a;
    ASSERT_INT(join("d", "https://10.0.0.4:2380", m, SERVERS_VOTERS_MAX, &err).step, SERVERS_REFUSE);
    ASSERT_INT(err.code, ERR_CONFLICT);
}

TEST("a server leaves when the others are a majority")
{
    AUTO_ERROR struct error err = { 0 };
    struct plan_member three[] = { a, b, c }, lost[] = { a, b, dead(c) };

    ASSERT_INT(servers_plan_remove(STR("b"), three, 3, false, NULL).step, SERVERS_REMOVE);
    ASSERT_INT(servers_plan_remove(STR("c"), lost, 3, false, NULL).id, 3);
    ASSERT_INT(servers_plan_remove(STR("b"), lost, 3, false, &err).step, SERVERS_REFUSE);
    ASSERT_INT(err.code, ERR_CONFLICT);
    ASSERT_CONTAINS(err.message, "without server \"b\" 1 of 2 servers would be up, and 2 are needed");
    ASSERT_INT(servers_plan_remove(STR("b"), lost, 3, true, NULL).step, SERVERS_REMOVE);
    ASSERT_INT(servers_plan_remove(STR("x"), three, 3, true, &err).step, SERVERS_REFUSE);
    ASSERT_INT(err.code, ERR_NOT_FOUND);
}

TEST("the last server stays, and nobody goes without a majority, force or not")
{
    AUTO_ERROR struct error err = { 0 };
    struct plan_member one[] = { a }, lost[] = { a, dead(b) };

    ASSERT_INT(servers_plan_remove(STR("a"), one, 1, true, &err).step, SERVERS_REFUSE);
    ASSERT_CONTAINS(err.message, "the last one");
    ASSERT_INT(servers_plan_remove(STR("b"), lost, 2, true, &err).step, SERVERS_REFUSE);
    ASSERT_INT(err.code, ERR_UNAVAILABLE);
}

static void gather(void *arg, const char *sentence)
{
    buf_addf(arg, "%s\n", sentence);
}

static void expect_warnings(const struct str *zones, size_t count, const char *expected)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);

    servers_plan_warnings(zones, count, gather, &text);
    ASSERT_STR(buf_str(&text), expected);
}

TEST("a placement in which one zone's loss stops writes is told")
{
    const struct str good[] = { STR("a"), STR("b"), STR("c"), STR("c"), STR("b") };
    const struct str two[] = { STR("a"), STR("a"), STR("b"), STR("b") };
    const struct str one[] = { STR("a"), STR("a"), STR("a") };
    const struct str unknown[] = { STR("a"), STR("b"), STR_NONE };

    expect_warnings(good, 1, "");
    expect_warnings(good, 2, "two servers: losing either of them stops writes; three survive the loss of one\n");
    expect_warnings(good, 3, "");
    expect_warnings(good, 5, "");
    expect_warnings(two, 3, "three servers in two zones: losing zone a stops writes\n");
    expect_warnings(two, 4,
                    "four servers in two zones: losing zone a stops writes\n"
                    "four servers in two zones: losing zone b stops writes\n"
                    "four servers survive no more losses than three\n");
    expect_warnings(one, 3, "three servers in one zone: losing zone a stops writes\n");
    expect_warnings(unknown, 3, "1 of 3 servers have no zone: whether a loss of one stops writes is not known\n");
}
