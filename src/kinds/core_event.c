/* Event (core/v1): something that happened to an object, kept for an hour. */
#include "kinds/event.h"
#include "kinds/schemas.h"

#include <ctype.h>

const struct kind_column event_columns[] = {
    { "Last Seen", "string", "", "Time since it was last seen.", 0 },
    { "Type", "string", "", "Normal or Warning.", 0 },
    { "Reason", "string", "", "Why, in one word for machines.", 0 },
    { "Object", "string", "", "What it is about.", 0 },
    { "Subobject", "string", "", "Which part of the object.", 1 },
    { "Source", "string", "", "Who says so.", 1 },
    { "Message", "string", "", "What happened, for people.", 0 },
    { "First Seen", "string", "", "Time since it was first seen.", 1 },
    { "Count", "string", "", "How often it was seen.", 1 },
    { "Name", "string", "name", "Name of the event.", 1 },
    { NULL },
};

static struct str since(struct arena *a, struct str time, int64_t now_ms)
{
    char text[TIME_TEXT_SIZE];
    int64_t at;

    return time_parse(time, &at) ? arena_str(a, str_of(time_format_age(now_ms - at, text))) : STR(CELL_UNKNOWN);
}

void event_row_of(struct arena *a, struct view event, const struct event_fields *f, int64_t now_ms, struct value *cells)
{
    struct str first = since(a, f->first.n ? f->first : f->event_time, now_ms);
    struct str last = f->last.n ? since(a, f->last, now_ms) : first;
    struct view series = view_get(event, F_EVENT_SERIES);
    struct str component = f->component.n ? f->component : f->controller, host = f->host.n ? f->host : f->instance;
    char *kind = arena_strdup(a, view_str_at(f->object, F_OBJECT_REFERENCE_KIND));
    int64_t count = f->count ? f->count : 1;

    for (char *p = kind; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    if (view_present(series)) {
        last = since(a, view_str_at(series, F_EVENT_SERIES_LAST_OBSERVED_TIME), now_ms);
        count = view_int_at(series, count, F_EVENT_SERIES_COUNT);
    }
    cell_str(a, cells, last);
    cell_str(a, cells, f->type);
    cell_str(a, cells, f->reason);
    cell_textf(a, cells, "%s/%.*s", kind, STR_ARG(view_str_at(f->object, F_OBJECT_REFERENCE_NAME)));
    cell_str(a, cells, view_str_at(f->object, F_OBJECT_REFERENCE_FIELD_PATH));
    cell_textf(a, cells, "%.*s%s%.*s", STR_ARG(component), host.n ? ", " : "", STR_ARG(host));
    cell_str(a, cells, str_trim(f->message));
    cell_str(a, cells, first);
    cell_int(a, cells, count);
    cell_name(a, cells, event);
}

static struct event_fields fields_of(struct view event)
{
    return (struct event_fields){
        .first = view_str_at(event, F_EVENT_FIRST_TIMESTAMP),
        .last = view_str_at(event, F_EVENT_LAST_TIMESTAMP),
        .event_time = view_str_at(event, F_EVENT_EVENT_TIME),
        .message = view_str_at(event, F_EVENT_MESSAGE),
        .reason = view_str_at(event, F_EVENT_REASON),
        .type = view_str_at(event, F_EVENT_TYPE),
        .component = view_str_at(event, F_EVENT_SOURCE, F_EVENT_SOURCE_COMPONENT),
        .host = view_str_at(event, F_EVENT_SOURCE, F_EVENT_SOURCE_HOST),
        .controller = view_str_at(event, F_EVENT_REPORTING_COMPONENT),
        .instance = view_str_at(event, F_EVENT_REPORTING_INSTANCE),
        .object = view_get(event, F_EVENT_INVOLVED_OBJECT),
        .count = view_int_at(event, 0, F_EVENT_COUNT),
    };
}

static void row(struct arena *a, struct view event, int64_t now_ms, struct value *cells)
{
    struct event_fields fields = fields_of(event);

    event_row_of(a, event, &fields, now_ms, cells);
}

#define SHORT_BYTES_MAX 128
#define NOTE_BYTES_MAX  1024

static void check_at_most(struct check *k, const char *name, struct str s, size_t max)
{
    if (s.n > max)
        check_invalid_str(k, AT_STR(AT_ROOT, str_of(name)), STR(""),
                          arena_printf(k->arena, "can have at most %zu characters", max).p);
}

/* The rules of the newer form, which an event follows when it has an eventTime. */
void event_validate_new(struct check *k, struct view event, const struct event_fields *f, const char *message_name)
{
    static const char *const types[] = { "Normal", "Warning", NULL };
    struct str action = view_str_at(event, F_EVENT_ACTION);

    if (!f->controller.n)
        check_required(k, AT(AT_ROOT, "reportingController"), "");
    else
        check_qualified_name(k, AT(AT_ROOT, "reportingController"), f->controller);
    if (!f->instance.n)
        check_required(k, AT(AT_ROOT, "reportingInstance"), "");
    check_at_most(k, "reportingInstance", f->instance, SHORT_BYTES_MAX);
    if (!action.n)
        check_required(k, AT(AT_ROOT, "action"), "");
    check_at_most(k, "action", action, SHORT_BYTES_MAX);
    if (!f->reason.n)
        check_required(k, AT(AT_ROOT, "reason"), "");
    check_at_most(k, "reason", f->reason, SHORT_BYTES_MAX);
    check_at_most(k, message_name, f->message, NOTE_BYTES_MAX);
    if (!str_in(f->type, types))
        check_invalid_str(k, AT(AT_ROOT, "type"), STR(""), "has invalid value: ");
}

static void validate(struct kind_context *c, struct view event, struct view old, struct error *causes)
{
    struct str namespace_ = view_str_at(event, F_EVENT_METADATA, F_OBJECT_META_NAMESPACE);
    struct str object_namespace = view_str_at(event, F_EVENT_INVOLVED_OBJECT, F_OBJECT_REFERENCE_NAMESPACE);
    struct event_fields fields = fields_of(event);
    struct check *k = CHECK(c, causes);
    bool fits = object_namespace.n
                    ? str_eq(namespace_, object_namespace)
                    : !namespace_.n || str_is(namespace_, "default") || str_is(namespace_, "kube-system");

    (void)old;
    /* An event is kept beside what it is about; those about things without a namespace are in "default". */
    if (!fits)
        check_invalid_str(k, AT(AT(AT_ROOT, "involvedObject"), "namespace"), object_namespace,
                          "does not match event.namespace");
    if (c->create && fields.event_time.n)
        event_validate_new(k, event, &fields, "message");
}

#define OBJECT_LABEL(name, field)                                                                                      \
    static struct str label_##name(struct view o, struct arena *a)                                                     \
    {                                                                                                                  \
        (void)a;                                                                                                       \
        return view_str_at(o, F_EVENT_INVOLVED_OBJECT, field);                                                         \
    }
OBJECT_LABEL(kind, F_OBJECT_REFERENCE_KIND)
OBJECT_LABEL(namespace, F_OBJECT_REFERENCE_NAMESPACE)
OBJECT_LABEL(name, F_OBJECT_REFERENCE_NAME)
OBJECT_LABEL(uid, F_OBJECT_REFERENCE_UID)
OBJECT_LABEL(api_version, F_OBJECT_REFERENCE_API_VERSION)
OBJECT_LABEL(revision, F_OBJECT_REFERENCE_RESOURCE_VERSION)
OBJECT_LABEL(field_path, F_OBJECT_REFERENCE_FIELD_PATH)

static struct str label_reason(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_EVENT_REASON);
}

static struct str label_reporting(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_EVENT_REPORTING_COMPONENT);
}

static struct str label_source(struct view o, struct arena *a)
{
    struct str component = view_str_at(o, F_EVENT_SOURCE, F_EVENT_SOURCE_COMPONENT);

    return component.n ? component : label_reporting(o, a);
}

static struct str label_type(struct view o, struct arena *a)
{
    (void)a;
    return view_str_at(o, F_EVENT_TYPE);
}

static const struct kind_field_label field_labels[] = {
    { "involvedObject.kind", label_kind },
    { "involvedObject.namespace", label_namespace },
    { "involvedObject.name", label_name },
    { "involvedObject.uid", label_uid },
    { "involvedObject.apiVersion", label_api_version },
    { "involvedObject.resourceVersion", label_revision },
    { "involvedObject.fieldPath", label_field_path },
    { "reason", label_reason },
    { "reportingComponent", label_reporting },
    { "source", label_source },
    { "type", label_type },
    { NULL },
};

const struct kind kind_event = {
    .group = "",
    .version = "v1",
    .kind = "Event",
    .list_kind = "EventList",
    .plural = "events",
    .singular = "event",
    .short_names = (const char *const[]){ "ev", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .schema = &schema_core_v1_event,
    .columns = event_columns,
    .row = row,
    .field_labels = field_labels,
    .ttl_ms = EVENT_TTL_MS,
    .validate = validate,
};
