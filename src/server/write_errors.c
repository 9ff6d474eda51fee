/* The sentences clients match on. Source: apimachinery/pkg/api/errors. */
#include "server/write.h"

static struct str resource_text(struct arena *a, const struct kind *k)
{
    return k->group[0] ? arena_printf(a, "%s.%s", k->plural, k->group) : str_of(k->plural);
}

int fail_not_found(struct request *r, const struct kind *k, struct str name, struct error *err)
{
    fail(err, ERR_NOT_FOUND, "%.*s \"%.*s\" not found", STR_ARG(resource_text(&r->arena, k)), STR_ARG(name));
    error_set_details(err, str_of(k->group), str_of(k->plural), name);
    return -1;
}

int fail_already_exists(struct request *r, struct str name, const char *more, struct error *err)
{
    fail(err, ERR_ALREADY_EXISTS, "%.*s \"%.*s\" already exists%s", STR_ARG(resource_text(&r->arena, r->kind)),
         STR_ARG(name), more);
    error_set_details(err, str_of(r->kind->group), str_of(r->kind->plural), name);
    return -1;
}

int fail_conflict(struct request *r, const struct kind *k, struct str name, struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct str why = arena_vprintf(&r->arena, format, args);
    va_end(args);
    fail(err, ERR_CONFLICT, "Operation cannot be fulfilled on %.*s \"%.*s\": %.*s",
         STR_ARG(resource_text(&r->arena, k)), STR_ARG(name), STR_ARG(why));
    error_set_details(err, str_of(k->group), str_of(k->plural), name);
    return -1;
}
