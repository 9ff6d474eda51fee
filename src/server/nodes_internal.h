/* What the files nodes*.c share: the connections (nodes.c), what is made of them (nodes_facts.c), what is said (nodes_report.c). */
#ifndef SERVER_NODES_INTERNAL_H
#define SERVER_NODES_INTERNAL_H

#include "base/arena.h"
#include "base/map.h"
#include "object/value.h"
#include "server/nodes.h"
#include "server/nodes_judge.h"

#define NODES_LINE_MAX_BYTES 4096 /* of a status stream */
#define NODES_PEERS_MAX      64   /* names in one report; an agent uses 16 peers and hears a few more */

/* What a node says of itself, first-hand or passed on by another server. */
struct node_report {
    uint64_t applied_endpointslices;
    char *applied_json;
    struct arena arena; /* of the rest */
    bool has_peers;
    bool has_guard;
    bool speaks; /* what it does not hear is up to date */
    struct str *peers;
    struct judge_unheard *unheard;
    size_t peers_count, unheard_count, servers_count;
};

/* Takes a line over. Returns false when it says nothing new; -1 in *ret_bad when it cannot be read. */
bool node_report_read(struct node_report *r, const struct value *line, int64_t now_ms, bool *ret_bad);
void node_report_done(struct node_report *r);
/* ,"servers":3,"fence":true,"peers":["a"],"unheard":{"b":1200} with ages as of now; nothing when it never said so. */
void node_report_write(const struct node_report *r, int64_t now_ms, struct buf *to);

/* What another server says about a node. */
struct node_word {
    bool known, connected, silent;
    int64_t heard_ms;
    unsigned round; /* of the stream that said it */
    struct node_report report;
};

struct connection;

struct node {
    struct nodes *nodes;
    char *name;
    struct connection *connection; /* NULL: not connected here */
    int64_t heard_ms;              /* loop time; of the last connection when there is none */
    bool silent;                   /* at first hand */
    unsigned repeats;
    struct node_report report; /* at first hand */
    char key[65];
    struct loop_timer timer; /* without a connection: when it falls silent, and repeats */
    struct node_word words[NODES_SERVERS_MAX];
    bool told_silent; /* of all servers together, as last told */
    bool confirmed, fenced;
};

struct nodes {
    struct loop *loop;
    struct map by_name; /* -> struct node */
    struct list watches;
    unsigned telling; /* depth of tell(): dead watches are freed at depth 0 */
    struct loop_timer settle, tick, look;
    struct loop_task judge;
    int64_t ticked_ms, floor_ms; /* start of this server, or end of its last pause */
    bool settled;
    bool slots[NODES_SERVERS_MAX]; /* the word of this server counts */
    unsigned slot_round[NODES_SERVERS_MAX];
    int64_t slot_heard_ms[NODES_SERVERS_MAX]; /* its last line */
    size_t servers_count;                     /* of the cluster, this one included */
};

struct node *nodes_make(struct nodes *nodes, struct str name, struct error *err);
int64_t node_heard_first_hand_ms(const struct node *n);
/* nodes_facts.c */
void nodes_facts_init(struct nodes *nodes);
void nodes_facts_done(struct nodes *nodes);
void nodes_tell(struct nodes *nodes, struct node *n); /* NULL: `settled` changed */
/* Were we paused? What was not heard meanwhile is nobody's fault but ours. Call before judging by the clock. */
void nodes_look_at_clock(struct nodes *nodes);

#endif
