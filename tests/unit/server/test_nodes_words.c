/* How long the word of another server about a node counts, when that server says nothing more. */
#include "front.h"

#include "server/nodes_internal.h"

static struct front f;

#define ALIVE(name) "{\"name\":\"" name "\",\"connected\":true,\"silent\":false,\"silentMs\":10,\"applied\":{}}"

static void word(const char *line)
{
    nodes_word(server_nodes(f.server), 0, str_of(line));
}

static bool silent(const char *name)
{
    struct node_facts n = { 0 };

    ASSERT(nodes_get(server_nodes(f.server), str_of(name), &n));
    return n.silent;
}

/* As if its connection here had ended now. */
static void heard_here_until_now(const char *name)
{
    struct node *n = nodes_make(server_nodes(f.server), str_of(name), &f.err);

    ASSERT(n);
    n->heard_ms = loop_now_ms(f.loop);
    n->silent = true;
}

TEST("a server that falls silent together with a node does not keep it alive; a node only it heard gets time to come "
     "here")
{
    front_start(&f, NULL);
    front_pass(&f, 5100); /* the reconnect window */
    word(ALIVE("heard-here"));
    word(ALIVE("heard-there"));
    heard_here_until_now("heard-here");
    front_pass(&f, 1100);
    ASSERT(!silent("heard-here")); /* the other server may be about to say that it lives */
    front_pass(&f, 300);
    ASSERT(silent("heard-here") && !silent("heard-there"));
    word(""); /* it does */
    ASSERT(!silent("heard-here"));
    front_pass(&f, 1400);
    ASSERT(!silent("heard-here"));              /* by now only that server can be asked */
    nodes_word_lost(server_nodes(f.server), 0); /* two seconds after its last word */
    ASSERT(silent("heard-here") && silent("heard-there"));
    front_stop(&f);
}
