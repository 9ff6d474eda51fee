/* What ConfigMap and Secret have in common: data under keys, a limit on all of it, and `immutable`. */
#ifndef KINDS_KEYED_DATA_H
#define KINDS_KEYED_DATA_H

#include "kinds/check_format.h"

#define KEYED_DATA_BYTES_MAX ((int64_t)MIB)

/* Checks the keys of a map and returns the bytes of its values; base64 text counts as what it stands for. */
int64_t check_keyed_data(struct check *k, const struct at *at, struct view data, bool base64);
/* What may not change any more once `immutable` is true. */
struct keyed_member {
    name_id name;
    struct str text;
};
void check_immutable_data(struct check *k, struct view object, struct view old, name_id immutable,
                          const struct keyed_member *members, size_t count);

#endif
