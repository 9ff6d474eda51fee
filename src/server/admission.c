/* What admission steps share: refusals in upstream's words. */
#include "server/admission.h"

#include "kinds/fields.h"

struct str admission_name(const struct request *r)
{
    if (!str_empty(r->info.name) || !r->tree)
        return r->info.name;
    return value_to_str(value_path(r->tree, F_POD_METADATA, F_OBJECT_META_NAME));
}

bool admission_is_create(const struct request *r, const struct kind *kind)
{
    return r->creating && r->kind == kind && str_empty(r->info.subresource);
}

bool admission_is_delete(const struct request *r)
{
    return str_is(r->info.verb, "delete") || str_is(r->info.verb, "deletecollection");
}

bool admission_is_update(const struct request *r, const struct kind *kind)
{
    return !r->creating && !admission_is_delete(r) && r->kind == kind && str_empty(r->info.subresource);
}

enum phase_result admission_forbid(struct request *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct str why = arena_vprintf(&r->arena, format, args);
    va_end(args);
    struct str resource = request_resource_text(r), name = admission_name(r);
    if (str_empty(name))
        fail(&r->err, ERR_FORBIDDEN, "%.*s is forbidden: %.*s", STR_ARG(resource), STR_ARG(why));
    else
        fail(&r->err, ERR_FORBIDDEN, "%.*s \"%.*s\" is forbidden: %.*s", STR_ARG(resource), STR_ARG(name),
             STR_ARG(why));
    error_set_details(&r->err, r->info.group, r->info.resource, name);
    return PHASE_FAILED;
}

enum phase_result admission_invalid(struct request *r, const char *reason, struct str field, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct str why = arena_vprintf(&r->arena, format, args);
    va_end(args);
    struct str name = admission_name(r), group = str_of(r->kind->group);
    fail(&r->err, ERR_INVALID, "%s%s%.*s \"%.*s\" is invalid: %.*s: %.*s", r->kind->kind, str_empty(group) ? "" : ".",
         STR_ARG(group), STR_ARG(name), STR_ARG(field), STR_ARG(why));
    error_add_cause(&r->err, reason, field, "%.*s", STR_ARG(why));
    error_set_details(&r->err, group, str_of(r->kind->kind), name);
    return PHASE_FAILED;
}
