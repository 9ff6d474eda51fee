/* Just enough JSON to read a few members of a token. */
#include "wire/json_scan.h"

#define DEPTH_MAX   16
#define MEMBERS_MAX 64

struct scan {
    const char *p, *end;
};

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static bool take(struct scan *s, char c)
{
    skip_space(s);
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* The raw text between the quotes, escapes untouched. */
static bool scan_string(struct scan *s, struct str *ret)
{
    const char *start;

    if (!take(s, '"'))
        return false;
    for (start = s->p; s->p < s->end && *s->p != '"'; s->p++) {
        if ((unsigned char)*s->p < 0x20)
            return false;
        if (*s->p == '\\' && ++s->p == s->end)
            return false;
    }
    if (s->p == s->end)
        return false;
    *ret = (struct str){ start, (size_t)(s->p++ - start) };
    return true;
}

static bool scan_value(struct scan *s, int depth);

static bool scan_members(struct scan *s, int depth, char close, bool named)
{
    struct str name;

    if (take(s, close))
        return true;
    do {
        if (named && (!scan_string(s, &name) || !take(s, ':')))
            return false;
        if (!scan_value(s, depth + 1))
            return false;
    } while (take(s, ','));
    return take(s, close);
}

static bool scan_value(struct scan *s, int depth)
{
    struct str text;
    const char *start;

    skip_space(s);
    if (s->p == s->end || depth > DEPTH_MAX)
        return false;
    if (*s->p == '"')
        return scan_string(s, &text);
    if (take(s, '{'))
        return scan_members(s, depth, '}', true);
    if (take(s, '['))
        return scan_members(s, depth, ']', false);
    start = s->p;
    while (s->p < s->end && strchr("+-.0123456789aeflnrstuE", *s->p))
        s->p++;
    text = (struct str){ start, (size_t)(s->p - start) };
    return text.n &&
           (str_is(text, "true") || str_is(text, "false") || str_is(text, "null") || strchr("-0123456789", text.p[0]));
}

/* Goes through all members; *ret_value is the raw value of `name`. False when the text is not one well-formed object. */
static bool find(struct str json, const char *name, struct str *ret_value, bool *ret_found)
{
    struct scan s = { json.p, json.p + json.n };
    struct str names[MEMBERS_MAX];
    size_t count = 0;

    *ret_found = false;
    if (!take(&s, '{'))
        return false;
    if (take(&s, '}'))
        return skip_space(&s), s.p == s.end;
    do {
        const char *start;

        if (count == MEMBERS_MAX || !scan_string(&s, &names[count]) || !take(&s, ':'))
            return false;
        for (size_t i = 0; i < count; i++)
            if (str_eq(names[i], names[count]))
                return false;
        skip_space(&s);
        start = s.p;
        if (!scan_value(&s, 1))
            return false;
        if (name && str_is(names[count], name)) {
            *ret_found = true;
            *ret_value = (struct str){ start, (size_t)(s.p - start) };
        }
        count++;
    } while (take(&s, ','));
    if (!take(&s, '}'))
        return false;
    skip_space(&s);
    return s.p == s.end;
}

bool json_scan_is_object(struct str json)
{
    struct str value;
    bool found;

    return find(json, NULL, &value, &found);
}

bool json_scan_has(struct str json, const char *name)
{
    struct str value;
    bool found;

    return find(json, name, &value, &found) && found;
}

bool json_scan_text(struct str json, const char *name, struct str *ret)
{
    struct str value;
    bool found;

    if (!find(json, name, &value, &found) || !found || value.n < 2 || value.p[0] != '"' || str_find(value, '\\') >= 0)
        return false;
    *ret = str_part(value, 1, value.n - 2);
    return true;
}

bool json_scan_number(struct str json, const char *name, int64_t *ret)
{
    struct str value;
    bool found;
    ptrdiff_t dot;

    *ret = 0;
    if (!find(json, name, &value, &found))
        return false;
    if (!found)
        return true;
    dot = str_find(value, '.');
    if (dot >= 0)
        value = str_part(value, 0, (size_t)dot);
    return str_to_i64(value, ret);
}
