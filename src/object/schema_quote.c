/* Values as Go prints them: %v of unstructured values, %q of strings; and the 422 that quotes a patch. */
#include "object/schema_internal.h"
#include "object/value_index.h"

#include <stdlib.h>

#define QUOTED_MAX (256 * KIB) /* of a patch in a message */

void go_quote(struct buf *to, struct str s)
{
    buf_add_char(to, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\') {
            buf_add_char(to, '\\');
            buf_add_char(to, (char)c);
        } else if (c == '\n') {
            buf_add_text(to, "\\n");
        } else if (c == '\t') {
            buf_add_text(to, "\\t");
        } else if (c == '\r') {
            buf_add_text(to, "\\r");
        } else if (c < 0x20 || c == 0x7f) {
            buf_addf(to, "\\x%02x", c);
        } else {
            buf_add_char(to, (char)c);
        }
    }
    buf_add_char(to, '"');
}

static int member_compare(const void *a, const void *b)
{
    return str_cmp((*(const struct member *const *)a)->name, (*(const struct member *const *)b)->name);
}

static void write_go_map(struct buf *to, const struct value *v)
{
    AUTO_FREE const struct member **sorted = xcalloc(MAX(v->members_count, 1), sizeof(*sorted));

    for (uint32_t i = 0; i < v->members_count; i++)
        sorted[i] = &v->members[i];
    qsort(sorted, v->members_count, sizeof(*sorted), member_compare);
    buf_add_text(to, "map[");
    for (uint32_t i = 0; i < v->members_count; i++) {
        if (i > 0)
            buf_add_char(to, ' ');
        buf_add(to, sorted[i]->name);
        buf_add_char(to, ':');
        value_write_go(to, sorted[i]->value);
    }
    buf_add_char(to, ']');
}

void value_write_go(struct buf *to, const struct value *v)
{
    switch (value_type(v)) {
    case VALUE_ABSENT:
    case VALUE_NULL:
        buf_add_text(to, "<nil>");
        break;
    case VALUE_STRING:
        buf_add(to, v->string);
        break;
    case VALUE_ARRAY:
        buf_add_char(to, '[');
        for (uint32_t i = 0; i < v->items_count; i++) {
            if (i > 0)
                buf_add_char(to, ' ');
            value_write_go(to, v->items[i]);
        }
        buf_add_char(to, ']');
        break;
    case VALUE_OBJECT:
        write_go_map(to, v);
        break;
    default:
        value_write(to, v);
    }
}

int patch_invalid(const struct value *quoted, bool as_go, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(QUOTED_MAX), literal = BUF_MAX(2 * QUOTED_MAX);
    AUTO_FREE char *cause = xstrdup(error_text(err));

    if (as_go)
        value_write_go(&text, quoted);
    else
        value_write(&text, quoted);
    go_quote(&literal, buf_str(&text));
    fail(err, ERR_INVALID, " \"\" is invalid: patch: Invalid value: %.*s: %s", (int)literal.n, literal.p, cause);
    error_add_cause(err, "FieldValueInvalid", STR("patch"), "Invalid value: %.*s: %s", (int)literal.n, literal.p,
                    cause);
    return -1;
}
