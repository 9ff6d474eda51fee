/* Typed JSON output: separators and quoting in one place. */
#include "node/json_out.h"

static void next(struct json_out *j, const char *name)
{
    if (j->comma[j->depth])
        buf_add_char(j->to, ',');
    j->comma[j->depth] = true;
    if (name) {
        json_write_str(j->to, str_of(name));
        buf_add_char(j->to, ':');
    }
}

static void open_level(struct json_out *j, const char *name, char c)
{
    next(j, name);
    buf_add_char(j->to, c);
    assert(j->depth + 1 < JSON_OUT_DEPTH_MAX);
    j->comma[++j->depth] = false;
}

static void close_level(struct json_out *j, char c)
{
    assert(j->depth > 0);
    j->depth--;
    buf_add_char(j->to, c);
}

void json_object(struct json_out *j, const char *name)
{
    open_level(j, name, '{');
}

void json_object_end(struct json_out *j)
{
    close_level(j, '}');
}

void json_array(struct json_out *j, const char *name)
{
    open_level(j, name, '[');
}

void json_array_end(struct json_out *j)
{
    close_level(j, ']');
}

void json_str(struct json_out *j, const char *name, struct str s)
{
    next(j, name);
    json_write_str(j->to, s);
}

void json_text(struct json_out *j, const char *name, const char *s)
{
    json_str(j, name, str_of(s));
}

void json_int(struct json_out *j, const char *name, int64_t i)
{
    next(j, name);
    buf_add_i64(j->to, i);
}

void json_bool(struct json_out *j, const char *name, bool b)
{
    next(j, name);
    buf_add_text(j->to, b ? "true" : "false");
}

void json_raw(struct json_out *j, const char *name, struct str json)
{
    next(j, name);
    buf_add(j->to, json);
}

void json_strs(struct json_out *j, const char *name, const char *const *items)
{
    json_array(j, name);
    for (; *items; items++)
        json_text(j, NULL, *items);
    json_array_end(j);
}
