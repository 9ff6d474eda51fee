/* pods/log. Source: pkg/registry/core/pod/rest/log.go, ValidatePodLogOptions. */
#include "base/time.h"
#include "server/stream.h"

static void add_cause(struct error *causes, const char *reason, const char *field, struct str why)
{
    error_add_cause(causes, reason, str_of(field), "%.*s", STR_ARG(why));
}

static void check_number(struct request *r, struct error *causes, const char *name, int64_t min, const char *why)
{
    struct str text = stream_query(r, name);
    int64_t n;
    if (str_empty(text))
        return;
    if (!str_to_i64(text, &n))
        add_cause(causes, "FieldValueInvalid", name,
                  arena_printf(&r->arena, "Invalid value: \"%.*s\": must be a number", STR_ARG(text)));
    else if (n < min)
        add_cause(causes, "FieldValueInvalid", name,
                  arena_printf(&r->arena, "Invalid value: %lld: %s", (long long)n, why));
}

static int check_options(struct request *r)
{
    struct str since_time = stream_query(r, "sinceTime"), stream = stream_query(r, "stream");
    AUTO_ERROR struct error causes = { 0 };
    int64_t at_ms;
    check_number(r, &causes, "tailLines", 0, "must be greater than or equal to 0");
    check_number(r, &causes, "limitBytes", 1, "must be greater than 0");
    check_number(r, &causes, "sinceSeconds", 1, "must be greater than 0");
    if (!str_empty(since_time) && !str_empty(stream_query(r, "sinceSeconds")))
        add_cause(&causes, "FieldValueForbidden", "",
                  STR("Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"));
    if (!str_empty(since_time) && !time_parse(since_time, &at_ms))
        add_cause(&causes, "FieldValueInvalid", "sinceTime", STR("Invalid value: must be a time as in RFC 3339"));
    if (!str_empty(stream) && !str_is(stream, "All") && !str_is(stream, "Stdout") && !str_is(stream, "Stderr"))
        add_cause(&causes, "FieldValueNotSupported", "stream",
                  STR("Unsupported value: supported values: \"All\", \"Stdout\", \"Stderr\""));
    if (!causes.causes_count)
        return 0;
    const struct error_cause *first = &causes.causes[0];
    fail(&r->err, ERR_INVALID, "PodLogOptions \"%.*s\" is invalid: %s%s%s", STR_ARG(r->info.name), first->field,
         first->field[0] ? ": " : "", first->message);
    for (size_t c = 0; c < causes.causes_count; c++)
        error_add_cause(&r->err, causes.causes[c].reason, str_of(causes.causes[c].field), "%s",
                        causes.causes[c].message);
    return -1;
}

enum phase_result stream_log(struct request *r)
{
    static const char *const passed[] = { "tailLines", "limitBytes", "sinceSeconds", "sinceTime" };
    static const char *const flags[] = { "follow", "previous", "timestamps" };
    struct stream_target target = { 0 };
    AUTO_BUF struct buf path = BUF_MAX(16 * KIB);
    if (!r->exchange)
        return request_fail(r, ERR_BAD_REQUEST, "logs need HTTP");
    if (check_options(r) < 0 || stream_find_container(r, stream_query(r, "container"), &target, &r->err) < 0)
        return PHASE_FAILED;
    stream_path(&path, "containerLogs", &target);
    for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
        stream_add_query(&path, passed[i], stream_query(r, passed[i]));
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        if (stream_query_bool(r, flags[i]))
            stream_add_query(&path, flags[i], STR("true"));
    if (!str_is(stream_query(r, "stream"), "All"))
        stream_add_query(&path, "stream", stream_query(r, "stream"));
    return stream_relay(r, &(struct stream_relay){ .agent = target.agent,
                                                   .method = STR("GET"),
                                                   .target = buf_str(&path),
                                                   .content_type = STR("text/plain") });
}
