/* The one error type: making, wrapping and moving it, and its translation to and from the API's reasons. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *reason;
    int http_status;
} codes[] = {
    [ERR_NONE] = { "", 500 },
#define ERROR_CODE(name, reason, status) [ERR_##name] = { reason, status },
#include "base/error_codes.def"
#undef ERROR_CODE
};

void error_done(struct error *err)
{
    if (!err)
        return;
    for (size_t i = 0; i < err->causes_count; i++) {
        free(err->causes[i].reason);
        free(err->causes[i].field);
        free(err->causes[i].message);
    }
    free(err->causes);
    free(err->message);
    free(err->details_name);
    free(err->details_group);
    free(err->details_kind);
    free(err->details_uid);
    *err = (struct error){ 0 };
}

void error_move(struct error *to, struct error *from)
{
    if (to == from)
        return;
    error_done(to);
    if (to) {
        *to = *from;
        *from = (struct error){ 0 };
    } else {
        error_done(from);
    }
}

PRINTF(1, 0) static char *format_text(const char *format, va_list args)
{
    char *text = NULL;

    if (vasprintf(&text, format, args) < 0)
        return xstrdup(format); /* a value that cannot be encoded: the fixed text is better than none */
    return text;
}

/* Formats before it frees, since the arguments may point into the error that is being replaced. */
PRINTF(4, 0)
static void error_set(struct error *err, enum error_code code, int sys, const char *format, va_list args)
{
    int saved = errno;
    char *message;

    if (!err)
        return;
    message = format_text(format, args);
    error_done(err);
    err->code = code;
    err->sys = sys;
    err->message = message;
    errno = saved;
}

int fail(struct error *err, enum error_code code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_set(err, code, 0, format, args);
    va_end(args);
    return -1;
}

void *fail_null(struct error *err, enum error_code code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    error_set(err, code, 0, format, args);
    va_end(args);
    return NULL;
}

int fail_sys(struct error *err, int sys, const char *format, ...)
{
    char reason[128];
    char *message;
    va_list args;

    if (!err)
        return -1;
    va_start(args, format);
    error_set(err, ERR_INTERNAL, sys, format, args);
    va_end(args);
    message = xasprintf("%s: %s", err->message, strerror_r(sys, reason, sizeof(reason)));
    free(err->message);
    err->message = message;
    return -1;
}

int error_context(struct error *err, const char *format, ...)
{
    int saved = errno;
    char *context, *message;
    va_list args;

    if (!err)
        return -1;
    va_start(args, format);
    context = format_text(format, args);
    va_end(args);
    message = xasprintf("%s: %s", context, error_text(err));
    free(context);
    free(err->message);
    err->message = message;
    if (err->code == ERR_NONE)
        err->code = ERR_INTERNAL;
    errno = saved;
    return -1;
}

void error_add_cause(struct error *err, const char *reason, struct str field, const char *format, ...)
{
    struct error_cause *cause;
    va_list args;

    if (!err || err->causes_count >= ERROR_CAUSES_MAX)
        return;
    GROW(err->causes, err->causes_count, err->causes_capacity);
    cause = &err->causes[err->causes_count++];
    cause->reason = xstrdup(reason);
    cause->field = str_dup(field);
    va_start(args, format);
    cause->message = format_text(format, args);
    va_end(args);
}

static void replace(char **text, struct str with)
{
    char *copy = str_empty(with) ? NULL : str_dup(with);

    free(*text);
    *text = copy;
}

void error_set_details(struct error *err, struct str group, struct str kind, struct str name)
{
    if (!err)
        return;
    replace(&err->details_group, group);
    replace(&err->details_kind, kind);
    replace(&err->details_name, name);
}

const char *error_reason(enum error_code code)
{
    return (size_t)code < ARRAY_SIZE(codes) ? codes[code].reason : codes[ERR_INTERNAL].reason;
}

int error_http_status(enum error_code code)
{
    return (size_t)code < ARRAY_SIZE(codes) ? codes[code].http_status : 500;
}

enum error_code error_code_of_reason(struct str reason, int http_status)
{
    for (size_t i = ERR_NONE + 1; i < ARRAY_SIZE(codes); i++)
        if (str_is(reason, codes[i].reason))
            return (enum error_code)i;
    for (size_t i = ERR_NONE + 1; i < ARRAY_SIZE(codes); i++)
        if (codes[i].http_status == http_status)
            return (enum error_code)i;
    return ERR_INTERNAL;
}
