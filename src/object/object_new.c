/* Freezing a tree into an object's block. */
#include "object/object_block.h"
#include "object/json_number.h"
#include "object/value.h"

struct freeze {
    struct builder b;
    size_t bytes_max;
    bool too_deep, too_large;
};

static void freeze_value(struct freeze *f, name_id name, const struct value *v, unsigned depth);

static void freeze_text(struct freeze *f, name_id name, enum value_type type, struct str text)
{
    builder_entry(&f->b, (uint32_t)f->b.text_bytes, name, type, text.n);
    builder_reserve(&f->b, text.n + 2);
    memcpy(f->b.text + f->b.text_bytes, text.p, text.n);
    f->b.text_bytes += text.n;
}

static void freeze_number(struct freeze *f, name_id name, const struct value *v)
{
    AUTO_BUF struct buf text = BUF_MAX(512);
    if (v->type == VALUE_INT)
        buf_add_i64(&text, v->integer);
    else
        json_write_double(&text, v->number);
    bool finite = text.n && text.p[0] != 'n';
    freeze_text(f, name, finite ? v->type : VALUE_NULL, buf_str(&text));
}

static void freeze_member(struct freeze *f, const struct member *m, uint32_t *count, unsigned depth)
{
    builder_reserve(&f->b, m->name.n + 8);
    if (*count)
        f->b.text[f->b.text_bytes++] = ',';
    (*count)++;
    name_id id = m->id ? m->id : name_find(m->name);
    builder_name(&f->b, m->name);
    freeze_value(f, id, m->value, depth);
}

static bool goes_first(const struct member *m)
{
    return str_is(m->name, "apiVersion") || str_is(m->name, "kind");
}

static void freeze_object(struct freeze *f, name_id name, const struct value *v, unsigned depth)
{
    builder_reserve(&f->b, 4);
    uint32_t entry = builder_open(&f->b, name, VALUE_OBJECT), count = 0;
    bool root = depth == 1;
    if (root) {
        static const char *const first[] = { "apiVersion", "kind" };
        for (size_t i = 0; i < ARRAY_SIZE(first); i++)
            for (uint32_t j = 0; j < v->members_count; j++)
                if (str_is(v->members[j].name, first[i]))
                    freeze_member(f, &v->members[j], &count, depth);
    }
    for (uint32_t i = 0; i < v->members_count && !f->too_large && !f->too_deep; i++)
        if (!root || !goes_first(&v->members[i]))
            freeze_member(f, &v->members[i], &count, depth);
    builder_reserve(&f->b, 4);
    builder_close(&f->b, entry);
}

static void freeze_array(struct freeze *f, name_id name, const struct value *v, unsigned depth)
{
    builder_reserve(&f->b, 4);
    uint32_t entry = builder_open(&f->b, name, VALUE_ARRAY);
    for (uint32_t i = 0; i < v->items_count && !f->too_large && !f->too_deep; i++) {
        builder_reserve(&f->b, 4);
        if (i)
            f->b.text[f->b.text_bytes++] = ',';
        freeze_value(f, NAME_UNKNOWN, v->items[i], depth);
    }
    builder_reserve(&f->b, 4);
    builder_close(&f->b, entry);
}

static void freeze_value(struct freeze *f, name_id name, const struct value *v, unsigned depth)
{
    if (f->b.text_bytes > f->bytes_max)
        f->too_large = true;
    if (f->too_large || f->too_deep)
        return;
    switch (value_type(v)) {
    case VALUE_BOOL:
        freeze_text(f, name, VALUE_BOOL, v->boolean ? STR("true") : STR("false"));
        break;
    case VALUE_INT:
        freeze_number(f, name, v);
        break;
    case VALUE_DOUBLE:
        if (v->text.n)
            freeze_text(f, name, VALUE_DOUBLE, v->text);
        else
            freeze_number(f, name, v);
        break;
    case VALUE_STRING:
        if (v->string.n > f->bytes_max)
            f->too_large = true;
        else
            builder_string(&f->b, name, v->string);
        break;
    case VALUE_ARRAY:
    case VALUE_OBJECT:
        f->too_deep = depth == OBJECT_DEPTH_MAX;
        if (f->too_deep)
            return;
        if (v->type == VALUE_OBJECT)
            freeze_object(f, name, v, depth + 1);
        else
            freeze_array(f, name, v, depth + 1);
        break;
    default:
        freeze_text(f, name, VALUE_NULL, STR("null"));
        break;
    }
}

struct object *object_freeze(const struct value *tree, size_t bytes_max, struct error *err)
{
    struct freeze f;
    f.bytes_max = bytes_max;
    f.too_deep = f.too_large = false;
    builder_init(&f.b);
    freeze_value(&f, NAME_UNKNOWN, tree, 0);
    struct object *o = NULL;
    if (f.too_deep)
        fail(err, ERR_BAD_REQUEST, "exceeded max depth");
    else if (f.too_large || f.b.text_bytes > bytes_max)
        fail(err, ERR_TOO_LARGE, "Request entity too large: limit is %zu", bytes_max);
    else
        o = builder_finish(&f.b);
    builder_done(&f.b);
    return o;
}

struct object *object_new(const struct value *tree, struct error *err)
{
    return object_freeze(tree, OBJECT_SIZE_MAX, err);
}
