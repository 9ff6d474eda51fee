/* Event (events.k8s.io/v1): the newer names of the same objects. */
#include "kinds/event.h"
#include "kinds/schemas.h"

static struct event_fields fields_of(struct view event)
{
    return (struct event_fields){
        .first = view_str_at(event, F_EVENTS_EVENT_DEPRECATED_FIRST_TIMESTAMP),
        .last = view_str_at(event, F_EVENTS_EVENT_DEPRECATED_LAST_TIMESTAMP),
        .event_time = view_str_at(event, F_EVENTS_EVENT_EVENT_TIME),
        .message = view_str_at(event, F_EVENTS_EVENT_NOTE),
        .reason = view_str_at(event, F_EVENTS_EVENT_REASON),
        .type = view_str_at(event, F_EVENTS_EVENT_TYPE),
        .component = view_str_at(event, F_EVENTS_EVENT_DEPRECATED_SOURCE, F_EVENT_SOURCE_COMPONENT),
        .host = view_str_at(event, F_EVENTS_EVENT_DEPRECATED_SOURCE, F_EVENT_SOURCE_HOST),
        .controller = view_str_at(event, F_EVENTS_EVENT_REPORTING_CONTROLLER),
        .instance = view_str_at(event, F_EVENTS_EVENT_REPORTING_INSTANCE),
        .object = view_get(event, F_EVENTS_EVENT_REGARDING),
        .count = view_int_at(event, 0, F_EVENTS_EVENT_DEPRECATED_COUNT),
    };
}

static void row(struct arena *a, struct view event, int64_t now_ms, struct value *cells)
{
    struct event_fields fields = fields_of(event);

    event_row_of(a, event, &fields, now_ms, cells);
}

static void validate(struct kind_context *c, struct view event, struct view old, struct error *causes)
{
    struct event_fields fields = fields_of(event);
    struct check *k = CHECK(c, causes);

    (void)old;
    if (!c->create)
        return;
    if (!fields.event_time.n)
        check_required(k, AT(AT_ROOT, "eventTime"), "");
    event_validate_new(k, event, &fields, "message");
}

static struct str label_regarding_name(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_EVENTS_EVENT_REGARDING, F_OBJECT_REFERENCE_NAME);
}

static struct str label_regarding_kind(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_EVENTS_EVENT_REGARDING, F_OBJECT_REFERENCE_KIND);
}

static struct str label_regarding_namespace(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_EVENTS_EVENT_REGARDING, F_OBJECT_REFERENCE_NAMESPACE);
}

static struct str label_regarding_uid(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_EVENTS_EVENT_REGARDING, F_OBJECT_REFERENCE_UID);
}

static struct str label_reason(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_EVENTS_EVENT_REASON);
}

static struct str label_type(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_EVENTS_EVENT_TYPE);
}

static const struct kind_field_label field_labels[] = {
    { "regarding.kind", label_regarding_kind },
    { "regarding.namespace", label_regarding_namespace },
    { "regarding.name", label_regarding_name },
    { "regarding.uid", label_regarding_uid },
    { "reason", label_reason },
    { "type", label_type },
    { NULL },
};

const struct kind kind_event_events = {
    .group = "events.k8s.io",
    .version = "v1",
    .kind = "Event",
    .list_kind = "EventList",
    .plural = "events",
    .singular = "event",
    .short_names = (const char *const[]){ "ev", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .schema = &schema_events_v1_event,
    .columns = event_columns,
    .row = row,
    .field_labels = field_labels,
    .ttl_ms = EVENT_TTL_MS,
    .validate = validate,
};
