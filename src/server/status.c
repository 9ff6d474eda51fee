/* meta/v1 Status: the form every error, and some successes, take. */
#include "server/response.h"

#include "kinds/fields.h"

static void set_if(struct arena *a, struct value *object, name_id name, const char *text)
{
    if (text && text[0])
        value_set(a, object, name, str_of(text));
}

static struct value *status_new(struct arena *a, const char *status)
{
    struct value *v = value_object(a);
    value_set_text(a, v, F_STATUS_KIND, "Status");
    value_set_text(a, v, F_STATUS_API_VERSION, "v1");
    value_put(a, v, F_STATUS_METADATA, value_object(a));
    value_set_text(a, v, F_STATUS_STATUS, status);
    return v;
}

static struct value *causes_of(struct arena *a, const struct error *err)
{
    struct value *causes = value_array(a);
    for (size_t i = 0; i < err->causes_count; i++) {
        struct value *c = value_object(a);
        set_if(a, c, F_STATUS_CAUSE_REASON, err->causes[i].reason);
        set_if(a, c, F_STATUS_CAUSE_MESSAGE, err->causes[i].message);
        set_if(a, c, F_STATUS_CAUSE_FIELD, err->causes[i].field);
        value_append(a, causes, c);
    }
    return causes;
}

struct value *status_of_error(struct arena *a, const struct error *err)
{
    struct value *v = status_new(a, "Failure");
    set_if(a, v, F_STATUS_MESSAGE, error_text(err));
    set_if(a, v, F_STATUS_REASON, error_reason(err->code));
    struct value *details = value_object(a);
    set_if(a, details, F_STATUS_DETAILS_NAME, err->details_name);
    set_if(a, details, F_STATUS_DETAILS_GROUP, err->details_group);
    set_if(a, details, F_STATUS_DETAILS_KIND, err->details_kind);
    set_if(a, details, F_STATUS_DETAILS_UID, err->details_uid);
    if (err->causes_count)
        value_put(a, details, F_STATUS_DETAILS_CAUSES, causes_of(a, err));
    if (err->retry_after_s)
        value_set_int(a, details, F_STATUS_DETAILS_RETRY_AFTER_SECONDS, err->retry_after_s);
    if (details->members_count || err->code == ERR_NOT_FOUND || err->code == ERR_FORBIDDEN)
        value_put(a, v, F_STATUS_DETAILS, details);
    value_set_int(a, v, F_STATUS_CODE, error_http_status(err->code));
    return v;
}

/* Source: apiserver/pkg/endpoints/handlers/delete.go: the answer when the object is gone for good. */
struct value *status_of_success(struct request *r, const struct object *about)
{
    struct arena *a = &r->arena;
    struct value *v = status_new(a, "Success");
    if (!about)
        return v;
    struct value *details = value_object(a);
    value_set(a, details, F_STATUS_DETAILS_NAME, object_name(about));
    if (!str_empty(r->info.group))
        value_set(a, details, F_STATUS_DETAILS_GROUP, r->info.group);
    value_set(a, details, F_STATUS_DETAILS_KIND, r->info.resource);
    value_set(a, details, F_STATUS_DETAILS_UID, object_uid(about));
    value_put(a, v, F_STATUS_DETAILS, details);
    return v;
}
