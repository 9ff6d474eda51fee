/*
 * Facts that are not API objects: what servers know of the agents' connections. Controllers read them like caches.
 *
 * main.c connects a source: in the server's own process directly (server/nodes.h), elsewhere GET /klein/v1/nodes?watch=true.
 */
#ifndef CLIENT_FACTS_H
#define CLIENT_FACTS_H

#include "base/map.h"

struct fact_node {
    bool connected, silent;
    int64_t last_seen_ms; /* monotonic time the node was last heard; silence = now - this */
    uint64_t applied_endpointslices;
    bool confirmed; /* silent, and other nodes do not hear it either: what is replaceable may be replaced */
    bool fenced;    /* confirmed for so long that its guard has stopped what must be one */
};

struct facts {
    struct map nodes;         /* name -> struct fact_node *, owned */
    bool settled;             /* false while the server just started: nobody may be judged silent or absent */
    int64_t settled_since_ms; /* monotonic */
    int64_t now_ms;           /* monotonic, set before each pass */
    void (*changed)(void *arg, struct str node); /* set by controllers_start() */
    void *changed_arg;
};

void facts_init(struct facts *f);
void facts_done(struct facts *f);
const struct fact_node *facts_node(const struct facts *f, struct str name); /* NULL: never connected */
void facts_set_node(struct facts *f, struct str name, const struct fact_node *node);
void facts_set_settled(struct facts *f, bool settled, int64_t now_ms);
/* How long the node has been silent; 0 when it is heard or nobody may be judged yet. */
int64_t facts_silent_ms(const struct facts *f, struct str name);
bool facts_confirmed(const struct facts *f, struct str name); /* a node unknown to the facts is not */
bool facts_fenced(const struct facts *f, struct str name);

#endif
