/* FieldsV1, the JSON form of path sets: {"f:metadata":{"f:labels":{".":{},"f:app":{}}}}; and paths as messages print them. */
#include "object/managed_set.h"
#include "object/schema_internal.h"

#include <stdlib.h>

static int member_compare(const void *a, const void *b)
{
    return str_cmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static int parse_element(struct arena *a, struct str text, struct element *ret, struct error *err)
{
    struct str rest = str_from(text, 2);
    struct value *value;

    if (text.n < 2 || text.p[1] != ':')
        return fail(err, ERR_BAD_REQUEST, "missing colon in path element: '%.*s'", STR_ARG(text));
    switch (text.p[0]) {
    case 'f':
        *ret = element_field(rest);
        return 0;
    case 'v':
        if (!(value = value_parse(a, rest, NULL, err)))
            return -1;
        *ret = (struct element){ .type = ELEMENT_VALUE, .value = value };
        return 0;
    case 'k':
        if (!(value = value_parse(a, rest, NULL, err)))
            return -1;
        if (value->type != VALUE_OBJECT)
            return fail(err, ERR_BAD_REQUEST, "a key must be an object");
        if (value->members_count > 1)
            qsort(value->members, value->members_count, sizeof(*value->members), member_compare);
        *ret = (struct element){ .type = ELEMENT_KEY, .value = value };
        return 0;
    case 'i':
        *ret = (struct element){ .type = ELEMENT_INDEX };
        if (str_to_i64(rest, &ret->index))
            return 0;
        return fail(err, ERR_BAD_REQUEST, "an index must be a number");
    default:
        return fail(err, ERR_BAD_REQUEST, "unknown type of path element: '%c'", text.p[0]);
    }
}

static int parse_set(struct arena *a, const struct value *fields, struct managed_set *ret, bool *ret_member,
                     struct error *err)
{
    *ret = (struct managed_set){ 0 };
    *ret_member = fields->members_count == 0;
    for (uint32_t i = 0; i < fields->members_count; i++) {
        const struct member *m = &fields->members[i];
        struct managed_node node = { 0 };

        if (m->value->type != VALUE_OBJECT)
            return fail(err, ERR_BAD_REQUEST, "fieldsV1 holds objects only");
        if (str_is(m->name, ".")) {
            *ret_member = true;
            continue;
        }
        if (parse_element(a, m->name, &node.element, err) < 0 ||
            parse_set(a, m->value, &node.children, &node.member, err) < 0)
            return -1;
        set_append(a, ret, &node);
    }
    set_sort(a, ret);
    return 0;
}

int set_parse(struct arena *a, const struct value *fields, struct managed_set *ret, struct error *err)
{
    bool member;

    *ret = (struct managed_set){ 0 };
    if (!fields || fields->type == VALUE_NULL)
        return 0;
    if (fields->type != VALUE_OBJECT)
        return fail(err, ERR_BAD_REQUEST, "fieldsV1 must be an object");
    return parse_set(a, fields, ret, &member, err);
}

static struct str element_text(struct arena *a, const struct element *e)
{
    AUTO_BUF struct buf text = BUF_MAX(OBJECT_SIZE_MAX);

    switch (e->type) {
    case ELEMENT_FIELD:
        return arena_printf(a, "f:%.*s", STR_ARG(e->name));
    case ELEMENT_INDEX:
        return arena_printf(a, "i:%lld", (long long)e->index);
    default:
        buf_add_text(&text, e->type == ELEMENT_KEY ? "k:" : "v:");
        value_write(&text, e->value);
        return arena_str(a, buf_str(&text));
    }
}

static struct value *children_to_value(struct arena *a, const struct managed_set *set, bool member)
{
    struct value *fields = value_object(a);

    if (member && set->count)
        value_add_member(a, fields, NAME_UNKNOWN, STR("."), value_object(a));
    for (uint32_t i = 0; i < set->count; i++) {
        const struct managed_node *node = &set->nodes[i];
        struct str name = element_text(a, &node->element);

        if (node->member || !set_empty(&node->children))
            value_add_member(a, fields, name_find(name), name, children_to_value(a, &node->children, node->member));
    }
    return fields;
}

struct value *set_to_value(struct arena *a, const struct managed_set *set)
{
    return children_to_value(a, set, false);
}

static void write_literal(struct buf *to, const struct value *v)
{
    if (v->type == VALUE_STRING)
        go_quote(to, v->string);
    else
        value_write(to, v);
}

void element_write(struct buf *to, const struct element *e)
{
    switch (e->type) {
    case ELEMENT_FIELD:
        buf_add_char(to, '.');
        buf_add(to, e->name);
        break;
    case ELEMENT_INDEX:
        buf_addf(to, "[%lld]", (long long)e->index);
        break;
    case ELEMENT_VALUE:
        buf_add_text(to, "[=");
        write_literal(to, e->value);
        buf_add_char(to, ']');
        break;
    case ELEMENT_KEY:
        for (uint32_t i = 0; i < e->value->members_count; i++) {
            buf_add_char(to, i == 0 ? '[' : ',');
            buf_add(to, e->value->members[i].name);
            buf_add_char(to, '=');
            write_literal(to, e->value->members[i].value);
        }
        buf_add_char(to, ']');
        break;
    }
}

void set_each_path(const struct managed_set *set, struct buf *prefix, void (*visit)(void *arg, struct str path),
                   void *arg)
{
    size_t before = prefix->n;

    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < set->count; i++) {
            const struct managed_node *node = &set->nodes[i];

            if (pass == 0 ? !node->member : node->children.count == 0)
                continue;
            element_write(prefix, &node->element);
            if (pass == 0)
                visit(arg, buf_str(prefix));
            else
                set_each_path(&node->children, prefix, visit, arg);
            buf_truncate(prefix, before);
        }
    }
}
