/* How the schema walker puts its errors: in the words of encoding/json, or of apimachinery's unstructured converter. */
#include "object/schema_internal.h"

#include <stdlib.h>

struct str schema_go_type(struct arena *a, const struct schema *s)
{
    if (s->type == SCHEMA_BYTES)
        return STR("[]uint8");
    if (s->type == SCHEMA_MAP && s->item->type == SCHEMA_BYTES)
        return STR("map[string][]uint8");
    if (s->go_name)
        return str_of(s->go_name);
    if (s->type == SCHEMA_LIST || s->type == SCHEMA_MAP)
        return arena_printf(a, "%s%.*s", s->type == SCHEMA_LIST ? "[]" : "map[string]",
                            STR_ARG(schema_go_type(a, s->item)));
    return STR("interface {}");
}

/* reflect.Kind of the type, for the converter's sentences. */
static const char *go_kind(const struct schema *s)
{
    switch (s->type) {
    case SCHEMA_BOOL:
        return "bool";
    case SCHEMA_INT32:
        return "int32";
    case SCHEMA_INT64:
        return "int64";
    case SCHEMA_UINT32:
        return "uint32";
    case SCHEMA_DOUBLE:
        return "float64";
    default:
        return "string";
    }
}

static const char *value_json_kind(const struct value *v)
{
    static const char *const names[] = {
        [VALUE_NULL] = "null",     [VALUE_BOOL] = "bool",   [VALUE_INT] = "number",   [VALUE_DOUBLE] = "number",
        [VALUE_STRING] = "string", [VALUE_ARRAY] = "array", [VALUE_OBJECT] = "object"
    };

    return v->type < ARRAY_SIZE(names) && names[v->type] ? names[v->type] : "null";
}

static const char *value_go_kind(const struct value *v)
{
    static const char *const names[] = { [VALUE_BOOL] = "bool",     [VALUE_INT] = "int64",   [VALUE_DOUBLE] = "float64",
                                         [VALUE_STRING] = "string", [VALUE_ARRAY] = "slice", [VALUE_OBJECT] = "map" };

    return v->type < ARRAY_SIZE(names) && names[v->type] ? names[v->type] : "invalid";
}

/* encoding/json's FieldStack: names of fields only, no keys and no indexes. */
static void write_fields(struct buf *to, const struct schema_frame *f)
{
    if (!f)
        return;
    write_fields(to, f->up);
    if (!f->holder)
        return;
    if (to->n)
        buf_add_char(to, '.');
    buf_add(to, f->name);
}

static void decode_error(struct schema_walk *w, const struct schema *s, const struct value *v, bool number,
                         const struct schema_frame *f)
{
    AUTO_BUF struct buf digits = BUF_MAX(KIB), path = BUF_MAX(16 * KIB);
    const struct schema_frame *field = f;
    struct str type = schema_go_type(w->arena, s);

    while (field && !field->holder)
        field = field->up;
    if (number) {
        buf_add_char(&digits, ' ');
        value_write(&digits, v);
    }
    if (!field || !field->holder->go_name) {
        fail(&w->error, ERR_BAD_REQUEST, "json: cannot unmarshal %s%.*s into Go value of type %.*s", value_json_kind(v),
             (int)digits.n, digits.p ? digits.p : "", STR_ARG(type));
        return;
    }
    const char *dot = strrchr(field->holder->go_name, '.');
    write_fields(&path, f);
    fail(&w->error, ERR_BAD_REQUEST, "json: cannot unmarshal %s%.*s into Go struct field %s.%.*s of type %.*s",
         value_json_kind(v), (int)digits.n, digits.p ? digits.p : "", dot ? dot + 1 : field->holder->go_name,
         (int)path.n, path.p, STR_ARG(type));
}

/* Source: apimachinery/pkg/runtime/converter.go, fromUnstructured and its parts. */
static void convert_error(struct schema_walk *w, const struct schema *s, const struct value *v)
{
    const char *have = value_go_kind(v);

    switch (s->type) {
    case SCHEMA_OBJECT:
        fail(&w->error, ERR_BAD_REQUEST, "cannot restore struct from: %s", have);
        return;
    case SCHEMA_MAP:
        fail(&w->error, ERR_BAD_REQUEST, "cannot restore map from %s", have);
        return;
    case SCHEMA_LIST:
    case SCHEMA_BYTES:
        fail(&w->error, ERR_BAD_REQUEST, "cannot restore slice from %s", have);
        return;
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
    case SCHEMA_DURATION:
    case SCHEMA_INT_OR_STRING:
        fail(&w->error, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type %s", value_json_kind(v),
             s->type == SCHEMA_INT_OR_STRING ? "int32" : "string");
        return;
    default:
        break;
    }
    /* reflect: numbers convert to numbers and integers to strings, though the converter then refuses the latter. */
    bool number = v->type == VALUE_INT || v->type == VALUE_DOUBLE;
    bool convertible = (number && s->type != SCHEMA_BOOL && s->type != SCHEMA_STRING) ||
                       (v->type == VALUE_INT && s->type == SCHEMA_STRING);
    if (convertible)
        fail(&w->error, ERR_BAD_REQUEST, "cannot convert %s to %.*s", have, STR_ARG(schema_go_type(w->arena, s)));
    else
        fail(&w->error, ERR_BAD_REQUEST, "unrecognized type: %s", go_kind(s));
}

void schema_type_error(struct schema_walk *w, const struct schema *s, const struct value *v, bool number,
                       const struct schema_frame *f)
{
    if (w->failed || w->aborted)
        return;
    w->failed = true;
    if (w->style == SCHEMA_CONVERT) {
        convert_error(w, s, v);
        w->aborted = true;
    } else {
        decode_error(w, s, v, number, f);
    }
}

void schema_own_error(struct schema_walk *w, const char *format, ...)
{
    va_list args;

    if (w->aborted)
        return;
    va_start(args, format);
    struct str text = arena_vprintf(w->arena, format, args);
    va_end(args);
    fail(&w->error, ERR_BAD_REQUEST, "%.*s", STR_ARG(text));
    w->failed = w->aborted = true;
}

static void write_path(struct buf *to, const struct schema_frame *f)
{
    if (!f)
        return;
    write_path(to, f->up);
    if (f->index >= 0) {
        buf_addf(to, "[%lld]", (long long)f->index);
        return;
    }
    if (to->n)
        buf_add_char(to, '.');
    buf_add(to, f->name);
}

struct str schema_path_text(struct arena *a, const struct schema_frame *frame, struct str last)
{
    struct schema_frame leaf = { .up = frame, .name = last, .index = -1 };
    AUTO_BUF struct buf path = BUF_MAX(16 * KIB);

    write_path(&path, &leaf);
    return arena_str(a, buf_str(&path));
}

void schema_unknown_field(struct schema_walk *w, const struct schema_frame *holder, struct str name)
{
    if (!w->strict || w->problems->items_count >= SCHEMA_STRICT_ERRORS_MAX)
        return;
    struct str path = schema_path_text(w->arena, holder, name);
    value_append(w->arena, w->problems, value_strf(w->arena, "unknown field \"%.*s\"", STR_ARG(path)));
}
