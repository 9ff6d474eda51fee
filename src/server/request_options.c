/* Query parameters: one row each, then the rules between them. */
#include "server/request_options.h"

#define QUERY_PARAMETERS_MAX 256
#define FIELD_MANAGER_MAX    128

static int bad_number(struct str name, struct str value, struct error *err)
{
    return fail(err, ERR_BAD_REQUEST, "strconv.ParseInt: parsing \"%.*s\": invalid syntax (%.*s)", STR_ARG(value),
                STR_ARG(name));
}

/* Go's runtime.Convert_Slice_string_To_bool: "false" and "0" are false, everything else, also the empty value, is true. */
static bool to_bool(struct str value)
{
    return !str_eq_nocase(value, STR("false")) && !str_is(value, "0");
}

static int add_cause(struct error *err, const char *field, const char *reason, struct str value, const char *allowed)
{
    struct str text = str_part(value, 0, 256);
    fail(err, ERR_INVALID, "%s: %s: \"%.*s\"%s%s", field,
         str_is(str_of(reason), "FieldValueNotSupported") ? "Unsupported value" : "Invalid value", STR_ARG(text),
         allowed[0] ? ": " : "", allowed);
    error_add_cause(err, reason, str_of(field), "%s: \"%.*s\"%s%s",
                    str_is(str_of(reason), "FieldValueNotSupported") ? "Unsupported value" : "Invalid value",
                    STR_ARG(text), allowed[0] ? ": " : "", allowed);
    return -1;
}

int options_check_dry_run(struct str value, bool *ret, struct error *err)
{
    if (!str_is(value, "All"))
        return add_cause(err, "dryRun", "FieldValueNotSupported", value, "supported values: \"All\"");
    *ret = true;
    return 0;
}

int options_check_delete(struct delete_options *o, struct error *err)
{
    if (o->orphan_dependents_set && !str_empty(o->propagation))
        return add_cause(err, "propagationPolicy", "FieldValueInvalid", o->propagation,
                         "orphanDependents and deletionPropagation cannot be both set");
    if (!str_empty(o->propagation) && !str_is(o->propagation, "Orphan") && !str_is(o->propagation, "Background") &&
        !str_is(o->propagation, "Foreground"))
        return add_cause(err, "propagationPolicy", "FieldValueNotSupported", o->propagation,
                         "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"");
    return 0;
}

static int parse_validation(struct request_options *o, struct str value, struct error *err)
{
    if (str_empty(value) || str_is(value, "Warn"))
        o->validation = FIELD_VALIDATION_WARN;
    else if (str_is(value, "Ignore"))
        o->validation = FIELD_VALIDATION_IGNORE;
    else if (str_is(value, "Strict"))
        o->validation = FIELD_VALIDATION_STRICT;
    else
        return add_cause(err, "fieldValidation", "FieldValueNotSupported", value,
                         "supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"");
    return 0;
}

static int parse_match(struct request_options *o, struct str value, struct error *err)
{
    if (str_empty(value))
        o->revision_match = MATCH_UNSET;
    else if (str_is(value, "Exact"))
        o->revision_match = MATCH_EXACT;
    else if (str_is(value, "NotOlderThan"))
        o->revision_match = MATCH_NOT_OLDER_THAN;
    else
        return add_cause(err, "resourceVersionMatch", "FieldValueNotSupported", value,
                         "supported values: \"Exact\", \"NotOlderThan\", \"\"");
    return 0;
}

enum option_type { OPTION_STR, OPTION_BOOL, OPTION_NUMBER, OPTION_DRY_RUN, OPTION_VALIDATION, OPTION_MATCH };

#define OPTION(text, type, member)                                                                                     \
    {                                                                                                                  \
        text, type, offsetof(struct request, options.member), 0                                                        \
    }
#define OPTION_SET(text, type, member)                                                                                 \
    {                                                                                                                  \
        text, type, offsetof(struct request, options.member), offsetof(struct request, options.member##_set)           \
    }

static const struct option_row {
    const char *name;
    enum option_type type;
    size_t at, set_at;
} option_rows[] = {
    OPTION("watch", OPTION_BOOL, watch),
    OPTION("allowWatchBookmarks", OPTION_BOOL, allow_bookmarks),
    OPTION_SET("sendInitialEvents", OPTION_BOOL, send_initial_events),
    OPTION("labelSelector", OPTION_STR, label_selector),
    OPTION("fieldSelector", OPTION_STR, field_selector),
    OPTION("continue", OPTION_STR, continue_),
    OPTION("resourceVersion", OPTION_STR, resource_version),
    OPTION("resourceVersionMatch", OPTION_MATCH, revision_match),
    OPTION("limit", OPTION_NUMBER, limit),
    OPTION("timeoutSeconds", OPTION_NUMBER, timeout_s),
    OPTION("dryRun", OPTION_DRY_RUN, dry_run),
    OPTION("fieldManager", OPTION_STR, field_manager),
    OPTION("fieldValidation", OPTION_VALIDATION, validation),
    OPTION_SET("force", OPTION_BOOL, force),
    OPTION_SET("pretty", OPTION_BOOL, pretty),
    OPTION("includeObject", OPTION_STR, include_object),
    { "gracePeriodSeconds", OPTION_NUMBER, offsetof(struct request, delete_options.grace_s), 0 },
    { "propagationPolicy", OPTION_STR, offsetof(struct request, delete_options.propagation), 0 },
    { "orphanDependents", OPTION_BOOL, offsetof(struct request, delete_options.orphan_dependents),
      offsetof(struct request, delete_options.orphan_dependents_set) },
};

static int parse_option(struct request *r, const struct option_row *row, struct str value, struct error *err)
{
    char *at = (char *)r + row->at;
    if (row->set_at)
        *(bool *)((char *)r + row->set_at) = true;
    switch (row->type) {
    case OPTION_STR:
        *(struct str *)at = value;
        return 0;
    case OPTION_BOOL:
        *(bool *)at = to_bool(value);
        return 0;
    case OPTION_NUMBER:
        if (str_empty(value))
            return 0;
        return str_to_i64(value, (int64_t *)at) ? 0 : bad_number(str_of(row->name), value, err);
    case OPTION_DRY_RUN:
        return str_empty(value) ? 0 : options_check_dry_run(value, &r->options.dry_run, err);
    case OPTION_VALIDATION:
        return parse_validation(&r->options, value, err);
    case OPTION_MATCH:
        return parse_match(&r->options, value, err);
    }
    return 0;
}

int request_options_parse(struct request *r, struct str query, struct error *err)
{
    struct str name, value;
    for (int n = 0; http_query_next(&query, &r->arena, &name, &value); n++) {
        if (n == QUERY_PARAMETERS_MAX)
            return fail(err, ERR_BAD_REQUEST, "too many query parameters (at most %d)", QUERY_PARAMETERS_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(option_rows); i++)
            if (str_is(name, option_rows[i].name) && parse_option(r, &option_rows[i], value, err) < 0)
                return -1;
    }
    return 0;
}

static int check_manager(struct request *r, struct error *err)
{
    struct request_options *o = &r->options;
    if (o->field_manager.n > FIELD_MANAGER_MAX)
        return add_cause(err, "fieldManager", "FieldValueTooLong", STR_NONE, "may not be more than 128 bytes");
    for (size_t i = 0; i < o->field_manager.n; i++)
        if ((unsigned char)o->field_manager.p[i] < 0x20)
            return add_cause(err, "fieldManager", "FieldValueInvalid", o->field_manager,
                             "should only contain printable characters");
    if (r->patch_type != PATCH_APPLY)
        return 0;
    if (!str_empty(o->field_manager))
        return 0;
    fail(err, ERR_INVALID,
         "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch");
    error_add_cause(err, "FieldValueRequired", STR("fieldManager"), "Required value: is required for apply patch");
    return -1;
}

static int check_list(struct request *r, struct error *err)
{
    struct request_options *o = &r->options;
    bool has_revision = !str_empty(o->resource_version);
    uint64_t revision;
    if (has_revision && !str_to_u64(o->resource_version, &revision))
        return add_cause(err, "resourceVersion", "FieldValueInvalid", o->resource_version,
                         "strconv.ParseUint: invalid syntax");
    if (o->limit < 0)
        o->limit = 0;
    if (o->watch)
        return 0;
    if (o->revision_match != MATCH_UNSET && !has_revision)
        return add_cause(err, "resourceVersionMatch", "FieldValueForbidden", STR_NONE,
                         "resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (o->revision_match != MATCH_UNSET && !str_empty(o->continue_))
        return add_cause(err, "resourceVersionMatch", "FieldValueForbidden", STR_NONE,
                         "resourceVersionMatch is forbidden when continue is provided");
    if (o->revision_match == MATCH_EXACT && str_is(o->resource_version, "0"))
        return add_cause(err, "resourceVersionMatch", "FieldValueForbidden", STR_NONE,
                         "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    if (o->send_initial_events_set)
        return add_cause(err, "sendInitialEvents", "FieldValueForbidden", STR_NONE,
                         "sendInitialEvents is forbidden for list");
    return 0;
}

int request_options_check(struct request *r, struct error *err)
{
    if (str_is(r->info.verb, "list") || str_is(r->info.verb, "watch") || str_is(r->info.verb, "deletecollection"))
        return check_list(r, err);
    if (str_is(r->info.verb, "delete"))
        return options_check_delete(&r->delete_options, err);
    if (check_manager(r, err) < 0)
        return -1;
    if (str_is(r->info.verb, "patch") && r->patch_type != PATCH_APPLY && r->options.force_set)
        return add_cause(err, "force", "FieldValueForbidden", STR_NONE, "may not be specified for non-apply patch");
    return 0;
}
