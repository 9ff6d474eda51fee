/*
 * What a list, a watch or a deletecollection looks for: namespace, label selector, field selector, ready to be asked.
 */
#ifndef SERVER_FILTER_H
#define SERVER_FILTER_H

#include "kinds/kinds.h"
#include "object/selector.h"

struct filter {
    const struct kind *kind;
    struct str namespace_; /* borrowed; empty: all */
    struct label_selector labels;
    struct field_selector fields;
};

/* ERR_BAD_REQUEST on selectors that do not parse or name a field that has no selector. Always filter_done() it. */
int filter_parse(struct filter *ret, const struct kind *k, struct str namespace_, struct str labels, struct str fields,
                 struct error *err);
void filter_done(struct filter *f);
/* `o` in the storage's form. */
bool filter_matches(const struct filter *f, const struct object *o);
bool filter_has_selectors(const struct filter *f);
/* The only name that can match (metadata.name=x); empty when there is none. */
struct str filter_only_name(const struct filter *f);

#endif
