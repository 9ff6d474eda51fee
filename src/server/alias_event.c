/* events.k8s.io/v1 Event and core/v1 Event. Source: pkg/apis/events/v1/conversion.go. */
#include "kinds/fields.h"
#include "server/alias.h"

static const struct {
    name_id events, core;
} renamed[] = {
    { F_EVENTS_EVENT_REGARDING, F_EVENT_INVOLVED_OBJECT },
    { F_EVENTS_EVENT_NOTE, F_EVENT_MESSAGE },
    { F_EVENTS_EVENT_REPORTING_CONTROLLER, F_EVENT_REPORTING_COMPONENT },
    { F_EVENTS_EVENT_DEPRECATED_SOURCE, F_EVENT_SOURCE },
    { F_EVENTS_EVENT_DEPRECATED_FIRST_TIMESTAMP, F_EVENT_FIRST_TIMESTAMP },
    { F_EVENTS_EVENT_DEPRECATED_LAST_TIMESTAMP, F_EVENT_LAST_TIMESTAMP },
    { F_EVENTS_EVENT_DEPRECATED_COUNT, F_EVENT_COUNT },
};

static void rename_field(struct arena *a, struct value *tree, name_id from, name_id to)
{
    struct value *v = value_get(tree, from);
    if (!v)
        return;
    value_del(tree, from);
    value_put(a, tree, to, v);
}

void event_to_core(struct arena *a, struct value *tree)
{
    for (size_t i = 0; i < ARRAY_SIZE(renamed); i++)
        rename_field(a, tree, renamed[i].events, renamed[i].core);
    value_set_text(a, tree, F_EVENT_API_VERSION, "v1");
}

void event_from_core(struct arena *a, struct value *tree)
{
    for (size_t i = 0; i < ARRAY_SIZE(renamed); i++)
        rename_field(a, tree, renamed[i].core, renamed[i].events);
    value_set_text(a, tree, F_EVENTS_EVENT_API_VERSION, "events.k8s.io/v1");
}
