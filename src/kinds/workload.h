/*
 * What kinds that make pods from a template have in common: Deployment, ReplicaSet and those to come.
 * Source: pkg/apis/apps/validation.
 */
#ifndef KINDS_WORKLOAD_H
#define KINDS_WORKLOAD_H

#include "kinds/check_format.h"
#include "kinds/pod.h"

/* spec.selector and spec.template, which must fit each other. */
void workload_check_selector(struct check *k, const struct at *spec_at, struct view spec, const char *empty_message);
void workload_check_template(struct check *k, const struct at *spec_at, struct view spec, const char *kind);
/* An integer that is not negative, or a percentage. */
bool check_int_or_percent(struct check *k, const struct at *at, struct view v);
void check_at_most_100_percent(struct check *k, const struct at *at, struct view v);
bool int_or_percent_is_zero(struct view v);
struct str int_or_string_text(struct arena *a, struct view v);

/* Numbers of status that must not be negative. */
struct status_number {
    name_id name;
    struct str text;
};
void check_status_numbers(struct check *k, struct view status, const struct status_number *numbers, size_t count);
/* "cannot be greater than status.replicas" and the like. */
void check_status_at_most(struct check *k, struct view status, struct status_number number, name_id limit,
                          const char *detail);
bool selector_matches(struct view selector,
                      struct view labels); /* a meta/v1 LabelSelector; empty matches all, absent none */

#endif
