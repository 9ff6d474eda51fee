/* Who makes a request: a user with groups and extra values. Source: authentication/v1 UserInfo. */
#ifndef SERVER_IDENTITY_H
#define SERVER_IDENTITY_H

#include "base/arena.h"

struct identity_extra {
    struct str key; /* lower case */
    const struct str *values;
    size_t values_count;
};

struct identity {
    struct str user; /* "system:node:a", "system:serviceaccount:ns:name", "system:anonymous" */
    struct str uid;
    const struct str *groups;
    size_t groups_count;
    const struct identity_extra *extra;
    size_t extra_count;
};

bool identity_in_group(const struct identity *i, struct str group);
struct identity identity_copy(struct arena *a, const struct identity *i); /* everything it points to is the arena's */

/* The server's own hands: user system:apiserver in group system:masters. For start-up objects and admission's own writes. */
extern const struct identity identity_server;

#endif
