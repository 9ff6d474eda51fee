/*
 * Which node is gone. A case is a picture: nodes a, b, c ... and who hears whom; the rules are in section 5 of the design page.
 * Time is now = 100 s; what is not heard is not heard since `since`.
 */
#include "server/nodes_judge.h"
#include "test.h"

#include <stdio.h>

#define NOW   100000
#define LONG  (NOW - JUDGE_FENCE_MS)
#define NODES 8

static struct judge_node nodes[NODES];
static struct str names[NODES];
static struct judge_unheard unheard[NODES][NODES];
static int64_t words[NODES][3];
static size_t count, servers;

/* Everybody is everybody's peer and is heard by all servers. */
static void cluster(size_t n, size_t servers_count)
{
    static const char letters[] = "abcdefgh";
    static struct str peers[NODES][NODES];

    count = n;
    servers = servers_count;
    for (size_t i = 0; i < n; i++)
        names[i] = (struct str){ letters + i, 1 };
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        for (size_t j = 0; j < n; j++)
            if (j != i)
                peers[i][k++] = names[j];
        for (size_t s = 0; s < servers_count; s++)
            words[i][s] = NOW;
        nodes[i] = (struct judge_node){ .name = names[i],
                                        .has_report = true,
                                        .has_guard = true,
                                        .speaks = true,
                                        .peers = peers[i],
                                        .peers_count = k,
                                        .unheard = unheard[i],
                                        .servers_count = servers_count,
                                        .server_words = words[i],
                                        .server_words_count = servers_count };
    }
}

static struct judge_node *node(char name)
{
    return &nodes[name - 'a'];
}

/* `who` says that it has not heard any of `whom` since then. */
static void says(char who, const char *whom, int64_t since)
{
    for (; *whom; whom++)
        unheard[who - 'a'][node(who)->unheard_count++] =
            (struct judge_unheard){ .name = names[*whom - 'a'], .heard_ms = since };
}

static void silent(char name, int64_t since)
{
    node(name)->silent = true;
    for (size_t s = 0; s < servers; s++)
        words[name - 'a'][s] = since;
}

static void judge(void)
{
    judge_nodes(nodes, count, servers, NOW, 0);
}

/* "a:confirmed b:fenced": only those about whom something is said. */
static struct str verdicts(void)
{
    static char text[128];
    size_t n = 0;

    judge();
    text[0] = 0;
    for (size_t i = 0; i < count; i++)
        if (nodes[i].confirmed)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%c:%s", n ? " " : "", 'a' + (char)i,
                                  nodes[i].fenced ? "fenced" : "confirmed");
    return str_of(text);
}

TEST("nobody is judged who is heard")
{
    cluster(3, 3);
    says('b', "a", LONG);
    says('c', "a", LONG);
    ASSERT_STR(verdicts(), "");
}

TEST("a silent node that a peer still hears is not confirmed: the servers' way to it is at fault")
{
    cluster(3, 3);
    silent('a', LONG);
    says('b', "a", LONG);
    ASSERT_STR(verdicts(), "");
    says('c', "a", NOW - 1000);
    ASSERT_STR(verdicts(), "a:confirmed");
}

TEST("a node that nobody hears is confirmed at once, and fenced when its fence time has passed")
{
    static const struct {
        int64_t age_ms;
        const char *verdict;
    } cases[] = { { 1000, "a:confirmed" },
                  { JUDGE_FENCE_MS - 1, "a:confirmed" },
                  { JUDGE_FENCE_MS, "a:fenced" },
                  { 60000, "a:fenced" } };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cluster(3, 1);
        silent('a', NOW - cases[i].age_ms);
        says('b', "a", NOW - cases[i].age_ms);
        says('c', "a", NOW - cases[i].age_ms);
        ASSERT_STR(verdicts(), cases[i].verdict);
    }
}

TEST("the fence counts from the last contact, by servers or by peers, whichever was later")
{
    cluster(4, 1);
    silent('a', LONG);
    says('b', "a", LONG);
    says('c', "a", LONG + 500); /* two of three peers can have answered until then */
    says('d', "a", LONG + 900);
    judge();
    ASSERT_INT(node('a')->contact_ms, LONG + 500);
    ASSERT(!node('a')->fenced);
    cluster(4, 1);
    silent('a', LONG + 700);
    says('b', "a", LONG);
    says('c', "a", LONG);
    says('d', "a", LONG + 900); /* one alone is no majority */
    judge();
    ASSERT_INT(node('a')->contact_ms, LONG + 700);
}

TEST("a zone that is cut off: its nodes hear each other, which is no majority; they cannot speak, the others can")
{
    cluster(5, 3); /* a, b cut off with server 2 */
    silent('a', LONG);
    silent('b', LONG);
    for (char w = 'c'; w <= 'e'; w++)
        says(w, "ab", LONG);
    node('a')->server_words_count = node('b')->server_words_count = 2; /* the server in that zone is not known */
    ASSERT_STR(verdicts(), "a:fenced b:fenced");
}

TEST("a zone with most of the nodes keeps its pods when it is cut off: they are a majority of peers")
{
    cluster(5, 3);
    for (char n = 'a'; n <= 'c'; n++)
        silent(n, LONG);
    says('d', "abc", LONG);
    says('e', "abc", LONG);
    ASSERT_STR(verdicts(), "a:confirmed b:confirmed c:confirmed");
}

TEST("a server that is cut off may still answer a node, and one of three is no majority")
{
    cluster(3, 3);
    silent('a', LONG);
    says('b', "a", LONG);
    says('c', "a", LONG);
    node('a')->server_words_count = 2;
    ASSERT_STR(verdicts(), "a:fenced");
    node('a')->server_words_count = 1; /* two of three may */
    ASSERT_STR(verdicts(), "a:confirmed");
    node('a')->server_words_count = 2;
    node('a')->servers_count = 1; /* it knows one server only, which may be the third */
    ASSERT_STR(verdicts(), "a:confirmed");
    node('a')->server_words_count = 3;
    ASSERT_STR(verdicts(), "a:fenced");
}

TEST("a bridge: a node that only one other hears is not evicted; when that one falls silent, too, it may still have "
     "answered")
{
    cluster(4, 1);
    silent('a', LONG);
    says('b', "a", LONG);
    says('c', "a", LONG);
    ASSERT_STR(verdicts(), "");
    silent('d', LONG);
    says('b', "d", LONG);
    says('c', "d", LONG);
    ASSERT_STR(verdicts(), "a:fenced d:fenced"); /* d and a are two of four: one peer is too few */
    cluster(3, 1);
    silent('a', LONG);
    silent('c', LONG);
    says('b', "ac", LONG);
    ASSERT_STR(verdicts(), "a:confirmed c:confirmed"); /* two of three: they may be a majority */
}

TEST("a cut in one direction is no different: who gets no answer says so, who still hears is believed")
{
    cluster(3, 1); /* a's packets are lost, it receives: no round trip in either direction */
    silent('a', LONG);
    says('a', "bc", LONG);
    says('b', "a", LONG);
    says('c', "a", LONG);
    ASSERT_STR(verdicts(), "a:fenced");
}

TEST("what a silent node says counts for nothing")
{
    cluster(3, 1);
    silent('a', LONG);
    says('a', "bc", LONG);
    ASSERT_STR(verdicts(), ""); /* b and c have not said anything of the kind */
}

TEST("a node whose status stream is broken says nothing")
{
    cluster(3, 1);
    silent('a', LONG);
    says('b', "a", LONG);
    says('c', "a", LONG);
    node('c')->speaks = false;
    ASSERT_STR(verdicts(), "a:confirmed");
}

TEST("a server whose control plane is cut off hears nobody: nobody can confirm it")
{
    cluster(3, 1);
    for (char n = 'a'; n <= 'c'; n++)
        silent(n, LONG);
    ASSERT_STR(verdicts(),
               "a:confirmed b:confirmed c:confirmed"); /* the controller evicts nobody when most are silent */
    for (size_t i = 0; i < count; i++)
        ASSERT(!nodes[i].fenced);
}

TEST("one node alone: the servers' word is enough, and it is never fenced")
{
    cluster(1, 1);
    silent('a', 0);
    ASSERT_STR(verdicts(), "a:confirmed");
}

TEST("a node that knows no peers keeps its pods")
{
    cluster(2, 1);
    silent('a', 0);
    node('a')->peers_count = 0;
    says('b', "a", 0);
    ASSERT_STR(verdicts(), "a:confirmed");
}

TEST("two nodes: the other one's word decides")
{
    cluster(2, 1);
    silent('a', LONG);
    ASSERT_STR(verdicts(), "");
    says('b', "a", LONG);
    ASSERT_STR(verdicts(), "a:fenced");
}

TEST("agents of an older version know no peers: the servers' word confirms, nothing is fenced by it")
{
    cluster(3, 1);
    for (size_t i = 0; i < count; i++)
        nodes[i].has_report = false, nodes[i].peers_count = 0, nodes[i].servers_count = 0;
    silent('a', 0);
    ASSERT_STR(verdicts(), "a:confirmed");
}

TEST("a node that never spoke to this server, or has no guard, is confirmed and not fenced: nobody may have stopped "
     "its pods")
{
    for (int i = 0; i < 2; i++) {
        cluster(3, 1);
        silent('a', LONG);
        says('b', "a", LONG);
        says('c', "a", LONG);
        if (i == 0)
            node('a')->has_report = node('a')->has_guard = false, node('a')->peers_count = 0;
        else
            node('a')->has_guard = false;
        ASSERT_STR(verdicts(), "a:confirmed");
    }
}

TEST("a node that was restarted says since when it listens, not more")
{
    cluster(3, 1);
    silent('a', LONG);
    says('b', "a", LONG);
    says('c', "a", NOW - 1000); /* its agent started then: before, it may have answered */
    ASSERT_STR(verdicts(), "a:confirmed");
}

TEST("a server that was paused counts from the end of its pause")
{
    cluster(3, 1);
    silent('a', 0);
    says('b', "a", 0);
    says('c', "a", 0);
    judge_nodes(nodes, count, servers, NOW, NOW - 100);
    ASSERT(nodes[0].confirmed && !nodes[0].fenced);
    judge_nodes(nodes, count, servers, NOW, LONG);
    ASSERT(nodes[0].fenced);
}

TEST("a changed set of peers: what the node said last is what it counts by")
{
    static struct str two[] = { STR_INIT("b"), STR_INIT("gone") };

    cluster(3, 1);
    silent('a', LONG);
    says('b', "a", LONG);
    says('c', "a", LONG);
    node('a')->peers = two; /* "gone" may still be there and answer: one of two peers is enough */
    ASSERT_STR(verdicts(), "a:confirmed");
}

TEST("the majority of peers counts the node itself")
{
    static const size_t needed[] = { 0, 1, 1, 2, 2, 3, 3, 4 };
    for (size_t n = 0; n < ARRAY_SIZE(needed); n++)
        ASSERT_INT(judge_peers_needed(n), needed[n]);
    ASSERT_INT(judge_peers_needed(16), 8);
}

TEST("foolish reports harm nobody else: unknown names, oneself, the same name twice")
{
    static struct str odd[] = { STR_INIT("a"), STR_INIT("nobody"), STR_INIT("b"), STR_INIT("b") };

    cluster(3, 1);
    node('a')->peers = odd;
    node('a')->peers_count = 4;
    says('a', "abb", LONG);
    silent('b', LONG);
    says('c', "b", LONG);
    ASSERT_STR(verdicts(), "b:fenced");
}
