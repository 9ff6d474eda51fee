/*
 * What parsers to trees share: where they are in the document, and what to do about names that come twice. Private to object/.
 */
#ifndef OBJECT_VALUE_PLACE_H
#define OBJECT_VALUE_PLACE_H

#include "object/value.h"

/* A step on the way down. Lives on the C stack of the parser. */
struct place {
    const struct place *up;
    struct str key; /* of a member; .p == NULL: an item */
    uint32_t index;
};

/*
 * Keep the first place and the last value of every name; returns how many members are left. Each name that came again is reported
 * through `duplicates` (an array of paths, may be NULL; at most ERROR_CAUSES_MAX). Linear time: a client chooses the names.
 */
uint32_t members_keep_last(struct arena *a, struct member *members, uint32_t count, const struct place *place,
                           struct value *duplicates);

#endif
