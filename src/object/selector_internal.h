/* What the files of selector.h share. Private to object/. */
#ifndef OBJECT_SELECTOR_INTERNAL_H
#define OBJECT_SELECTOR_INTERNAL_H

#include "object/selector.h"

/*
 * Requirements while they are collected. Everything is copied into the selector's memory. x_add() checks a requirement as
 * upstream's NewRequirement() does; values may come unsorted and repeated.
 */
struct selector_builder {
    struct label_selector *selector;
    size_t capacity, values_count;
};

#define SELECTOR_FIELDS true /* keys are field names, not checked as labels */

int selector_builder_add(struct selector_builder *b, struct str key, enum selector_relation relation,
                         const struct str *values, uint32_t values_count, bool fields, struct error *err);
void selector_builder_finish(struct selector_builder *b);
bool requirement_matches(const struct requirement *r, bool present, struct str value);
int selector_key_check(struct str key, struct error *err);

#endif
