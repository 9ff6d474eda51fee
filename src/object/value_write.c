/* Tree to JSON text, compact and indented. */
#include "object/value.h"
#include "object/json_number.h"
#include "object/json_scan.h"

void json_write_str(struct buf *to, struct str s)
{
    size_t plain_bytes, bytes = s.n;
    bool plain = !s.n || json_plain_end(s.p, s.p + s.n) == s.p + s.n;
    if (!plain)
        bytes = json_escaped_bytes(s, &plain_bytes);
    char *p = buf_reserve(to, bytes + 2);
    if (!p)
        return;
    *p++ = '"';
    p = plain ? (char *)mempcpy(p, s.p ? s.p : "", s.n) : json_escape(p, s);
    *p++ = '"';
    *p = 0;
    to->n = (size_t)(p - to->p);
}

static void write_scalar(struct buf *to, const struct value *v)
{
    switch (value_type(v)) {
    case VALUE_BOOL:
        buf_add(to, v->boolean ? STR("true") : STR("false"));
        break;
    case VALUE_INT:
        buf_add_i64(to, v->integer);
        break;
    case VALUE_DOUBLE:
        if (v->text.n)
            buf_add(to, v->text);
        else
            json_write_double(to, v->number);
        break;
    case VALUE_STRING:
        json_write_str(to, v->string);
        break;
    default:
        buf_add(to, STR("null"));
        break;
    }
}

/* indent < 0: compact. */
static void new_line(struct buf *to, int indent, unsigned depth)
{
    if (indent < 0)
        return;
    buf_add_char(to, '\n');
    buf_add_repeat(to, ' ', (size_t)indent * depth);
}

static void write_value(struct buf *to, const struct value *v, int indent, unsigned depth)
{
    if (value_type(v) == VALUE_ARRAY) {
        buf_add_char(to, '[');
        for (uint32_t i = 0; i < v->items_count && !to->full; i++) {
            if (i)
                buf_add_char(to, ',');
            new_line(to, indent, depth + 1);
            write_value(to, v->items[i], indent, depth + 1);
        }
        if (v->items_count)
            new_line(to, indent, depth);
        buf_add_char(to, ']');
    } else if (value_type(v) == VALUE_OBJECT) {
        buf_add_char(to, '{');
        for (uint32_t i = 0; i < v->members_count && !to->full; i++) {
            if (i)
                buf_add_char(to, ',');
            new_line(to, indent, depth + 1);
            json_write_str(to, v->members[i].name);
            buf_add(to, indent < 0 ? STR(":") : STR(": "));
            write_value(to, v->members[i].value, indent, depth + 1);
        }
        if (v->members_count)
            new_line(to, indent, depth);
        buf_add_char(to, '}');
    } else {
        write_scalar(to, v);
    }
}

void value_write(struct buf *to, const struct value *v)
{
    write_value(to, v, -1, 0);
}

void value_write_pretty(struct buf *to, const struct value *v, int indent)
{
    write_value(to, v, MAX(indent, 0), 0);
}
