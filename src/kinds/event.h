/*
 * Events, which are served under two names: core/v1 and events.k8s.io/v1 show the same stored objects with other field names (the
 * server translates, server/alias_event.c). Rules and rows are written on the names of core/v1.
 * Source: pkg/apis/core/validation/events.go, printers.go.
 */
#ifndef KINDS_EVENT_H
#define KINDS_EVENT_H

#include "base/time.h"
#include "kinds/cells.h"
#include "kinds/check_format.h"

#define EVENT_TTL_MS HOUR_MS

extern const struct kind_column event_columns[];
/* The fields that differ between the two. */
struct event_fields {
    struct str first, last, event_time, message, reason, type, component, host, controller, instance;
    struct view object; /* involvedObject, or regarding */
    int64_t count;
};
void event_row_of(struct arena *a, struct view event, const struct event_fields *fields, int64_t now_ms,
                  struct value *cells);
void event_validate_new(struct check *k, struct view event, const struct event_fields *fields,
                        const char *message_name);

#endif
