/* Identities: copies, membership, and the server's own. */
#include "server/identity.h"

static const struct str server_groups[] = { STR_INIT("system:masters"), STR_INIT("system:authenticated") };
const struct identity identity_server = {
    .user = STR_INIT("system:apiserver"),
    .groups = server_groups,
    .groups_count = ARRAY_SIZE(server_groups),
};

bool identity_in_group(const struct identity *i, struct str group)
{
    for (size_t g = 0; g < i->groups_count; g++)
        if (str_eq(i->groups[g], group))
            return true;
    return false;
}

static const struct str *copy_strings(struct arena *a, const struct str *from, size_t count)
{
    struct str *to = arena_alloc_array(a, count + 1, sizeof(*to));
    for (size_t i = 0; i < count; i++)
        to[i] = arena_str(a, from[i]);
    return to;
}

struct identity identity_copy(struct arena *a, const struct identity *i)
{
    struct identity_extra *extra = arena_alloc_array(a, i->extra_count + 1, sizeof(*extra));
    for (size_t e = 0; e < i->extra_count; e++)
        extra[e] = (struct identity_extra){
            .key = arena_str(a, i->extra[e].key),
            .values = copy_strings(a, i->extra[e].values, i->extra[e].values_count),
            .values_count = i->extra[e].values_count,
        };
    return (struct identity){
        .user = arena_str(a, i->user),
        .uid = arena_str(a, i->uid),
        .groups = copy_strings(a, i->groups, i->groups_count),
        .groups_count = i->groups_count,
        .extra = extra,
        .extra_count = i->extra_count,
    };
}
