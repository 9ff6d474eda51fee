/* Complaints about fields: path, reason and sentence as upstream's field.Error gives them. */
#include "kinds/check.h"

#define FIELD_IMMUTABLE "field is immutable"

static void at_write(struct buf *to, const struct at *at)
{
    if (!at)
        return;
    at_write(to, at->up);
    if (at->index >= 0) {
        buf_addf(to, "[%lld]", (long long)at->index);
    } else if (at->key) {
        buf_add_char(to, '[');
        buf_add(to, at->name);
        buf_add_char(to, ']');
    } else {
        if (to->n)
            buf_add_char(to, '.');
        buf_add(to, at->name);
    }
}

struct str at_text(struct arena *a, const struct at *at)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);

    at_write(&text, at);
    return arena_str(a, buf_str(&text));
}

bool check_full(const struct check *k)
{
    return k->causes->causes_count >= ERROR_CAUSES_MAX;
}

/* The complaint as "Label: value: detail"; value and detail may be empty. */
static void add(struct check *k, const struct at *at, const char *reason, const char *label, struct str value,
                const char *detail)
{
    const char *before_value = value.n ? ": " : "", *before_detail = detail && detail[0] ? ": " : "";

    if (check_full(k))
        return;
    error_add_cause(k->causes, reason, at_text(k->arena, at), "%s%s%.*s%s%s", label, before_value, STR_ARG(value),
                    before_detail, detail ? detail : "");
}

/* Go's %q: like JSON for what we show, except that HTML characters stay. */
static struct str quoted(struct arena *a, struct str s)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);

    buf_add_char(&text, '"');
    for (size_t i = 0; i < s.n && text.n < 2 * KIB; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\')
            buf_addf(&text, "\\%c", c);
        else if (c == '\n')
            buf_add_text(&text, "\\n");
        else if (c == '\t')
            buf_add_text(&text, "\\t");
        else if (c == '\r')
            buf_add_text(&text, "\\r");
        else if (c < 0x20 || c == 0x7f)
            buf_addf(&text, "\\x%02x", c);
        else
            buf_add_char(&text, (char)c);
    }
    buf_add_char(&text, '"');
    return arena_str(a, buf_str(&text));
}

static struct str shown(struct arena *a, struct view value)
{
    if (view_type(value) == VALUE_STRING)
        return quoted(a, view_str(value));
    return view_present(value) ? view_json(value) : STR("null");
}

static struct str shown_int(struct arena *a, int64_t value)
{
    return arena_printf(a, "%lld", (long long)value);
}

void check_required(struct check *k, const struct at *at, const char *detail)
{
    add(k, at, "FieldValueRequired", "Required value", STR_NONE, detail);
}

void check_forbidden(struct check *k, const struct at *at, const char *detail)
{
    add(k, at, "FieldValueForbidden", "Forbidden", STR_NONE, detail);
}

void check_invalid(struct check *k, const struct at *at, struct view value, const char *detail)
{
    add(k, at, "FieldValueInvalid", "Invalid value", shown(k->arena, value), detail);
}

void check_invalid_str(struct check *k, const struct at *at, struct str value, const char *detail)
{
    add(k, at, "FieldValueInvalid", "Invalid value", quoted(k->arena, value), detail);
}

void check_invalid_int(struct check *k, const struct at *at, int64_t value, const char *detail)
{
    add(k, at, "FieldValueInvalid", "Invalid value", shown_int(k->arena, value), detail);
}

void check_duplicate(struct check *k, const struct at *at, struct view value)
{
    add(k, at, "FieldValueDuplicate", "Duplicate value", shown(k->arena, value), NULL);
}

void check_duplicate_str(struct check *k, const struct at *at, struct str value)
{
    add(k, at, "FieldValueDuplicate", "Duplicate value", quoted(k->arena, value), NULL);
}

void check_not_found(struct check *k, const struct at *at, struct str value)
{
    add(k, at, "FieldValueNotFound", "Not found", quoted(k->arena, value), NULL);
}

void check_too_long(struct check *k, const struct at *at, int64_t max_bytes)
{
    struct str detail = arena_printf(k->arena, "may not be more than %lld bytes", (long long)max_bytes);

    add(k, at, "FieldValueTooLong", "Too long", STR_NONE, detail.p);
}

void check_too_many(struct check *k, const struct at *at, int64_t actual, int64_t max)
{
    struct str detail = arena_printf(k->arena, "must have at most %lld items", (long long)max);

    add(k, at, "FieldValueTooMany", "Too many", shown_int(k->arena, actual), detail.p);
}

static void add_not_supported(struct check *k, const struct at *at, struct str shown_value,
                              const char *const *supported)
{
    AUTO_BUF struct buf detail = BUF_MAX(4 * KIB);

    buf_add_text(&detail, "supported values: ");
    for (size_t i = 0; supported[i]; i++) {
        buf_add_text(&detail, i ? ", " : "");
        buf_add(&detail, quoted(k->arena, str_of(supported[i])));
    }
    add(k, at, "FieldValueNotSupported", "Unsupported value", shown_value, detail.p);
}

void check_not_supported(struct check *k, const struct at *at, struct str value, const char *const *supported)
{
    add_not_supported(k, at, quoted(k->arena, value), supported);
}

void check_not_supported_view(struct check *k, const struct at *at, struct view value, const char *const *supported)
{
    add_not_supported(k, at, shown(k->arena, value), supported);
}

bool str_in(struct str s, const char *const *list)
{
    for (size_t i = 0; list[i]; i++)
        if (str_is(s, list[i]))
            return true;
    return false;
}

bool check_one_of(struct check *k, const struct at *at, struct str value, const char *const *supported)
{
    if (str_in(value, supported))
        return true;
    check_not_supported(k, at, value, supported);
    return false;
}

bool check_one_of_required(struct check *k, const struct at *at, struct str value, const char *const *supported)
{
    if (value.n)
        return check_one_of(k, at, value, supported);
    check_required(k, at, "");
    return false;
}

bool check_not_negative(struct check *k, const struct at *at, int64_t value)
{
    if (value >= 0)
        return true;
    check_invalid_int(k, at, value, "must be greater than or equal to 0");
    return false;
}

bool check_port(struct check *k, const struct at *at, int64_t port)
{
    if (port >= 1 && port <= 65535)
        return true;
    check_invalid_int(k, at, port, "must be between 1 and 65535, inclusive");
    return false;
}

bool check_immutable(struct check *k, const struct at *at, struct view now, struct view old)
{
    if (view_present(now) == view_present(old) && (!view_present(now) || view_equal(now, old)))
        return true;
    check_invalid(k, at, now, FIELD_IMMUTABLE);
    return false;
}
