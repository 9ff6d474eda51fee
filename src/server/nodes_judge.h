/*
 * Which node is gone: from what the servers heard and what the nodes say about each other to a verdict. Pure; no clock, no input or output.
 * The rules are section 5 of docs/design/high-availability.md.
 *
 *   confirmed  silent, and no other node that could speak hears it: its replaceable pods may be made elsewhere;
 *   fenced     confirmed, and for so long out of contact that its fence guard has stopped the pods that must be one.
 *
 * A node has contact at t when more than half of the servers of its list answered what it sent at t, or so many of its peers that with itself
 * they are more than half of all of them. What cannot be known counts as heard now: a node is fenced only when it cannot
 * have had contact, whoever else may have been cut off, paused or restarted.
 */
#ifndef SERVER_NODES_JUDGE_H
#define SERVER_NODES_JUDGE_H

#include "base/str.h"

#include <stdint.h>

#define JUDGE_FENCE_MS 7000 /* 3 s without contact + at most 3 s from SIGTERM to SIGKILL + 1 s margin */

struct judge_unheard {
    struct str name;
    int64_t heard_ms; /* when it was last heard, or when the speaker started */
};

struct judge_node {
    /* what is known */
    struct str name;
    bool silent;     /* every server whose word is known calls it silent */
    bool has_report; /* it said who its peers are */
    bool has_guard;  /* it said that its fence guard runs */
    bool speaks;     /* and its status stream is open: whom it does not hear is up to date */
    const struct str *peers;
    size_t peers_count;
    const struct judge_unheard *unheard; /* nodes it does not hear: of its peers and of those that used to ask it */
    size_t unheard_count;
    size_t servers_count;        /* in its list, as it said; 0: unknown */
    const int64_t *server_words; /* when each server whose word is known last heard it */
    size_t server_words_count;
    /* the verdict */
    bool confirmed, fenced;
    int64_t contact_ms; /* of a confirmed node: the last moment at which it can have had contact */
};

/*
 * All nodes of the cluster, for they speak about each other. servers_count: how many servers the cluster has. Nobody can have lost contact before
 * floor_ms: the start of this server, or the end of its last pause. Times are of one monotonic clock.
 */
void judge_nodes(struct judge_node *nodes, size_t count, size_t servers_count, int64_t now_ms, int64_t floor_ms);

/* Of n peers, how many with the node itself are more than half: what both ends of the rule count by. */
static inline size_t judge_peers_needed(size_t n)
{
    return (n + 1) / 2;
}
static inline size_t judge_servers_needed(size_t n)
{
    return n / 2 + 1;
}
/* The k-th latest of n times, k >= 1; INT64_MIN when there are fewer. Reorders them. */
int64_t judge_kth_latest(int64_t *times, size_t n, size_t k);

#endif
