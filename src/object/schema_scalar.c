/* Scalars of the API, and types with a JSON form of their own, brought into the form Kubernetes writes. */
#include "object/schema_internal.h"
#include "base/codec.h"
#include "object/quantity.h"
#include "object/schema_scalar.h"

struct value *schema_scalar_zero(struct arena *a, const struct schema *s)
{
    switch (s->type) {
    case SCHEMA_STRING:
        return value_text(a, "");
    case SCHEMA_BOOL:
        return value_bool(a, false);
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_UINT32:
    case SCHEMA_DOUBLE:
    case SCHEMA_INT_OR_STRING:
        return value_int(a, 0);
    case SCHEMA_QUANTITY:
        return value_text(a, "0");
    case SCHEMA_DURATION:
        return value_text(a, "0s");
    default:
        return value_null(a);
    }
}

/* Go's base64.StdEncoding: line ends are skipped, trailing bits are not looked at. False sets *ret_at as CorruptInputError does. */
static bool base64_scan(struct str text, struct buf *to, size_t *ret_at)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t i = 0;

    for (;;) {
        unsigned char quantum[4] = { 0 };
        int j = 0, pad = 0;

        while (j < 4) {
            while (i < text.n && (text.p[i] == '\n' || text.p[i] == '\r'))
                i++;
            if (i == text.n) {
                *ret_at = i - (size_t)j;
                return j == 0;
            }
            const char *at = text.p[i] ? strchr(alphabet, text.p[i]) : NULL;
            if (at) {
                quantum[j++] = (unsigned char)(at - alphabet);
                i++;
                continue;
            }
            *ret_at = i;
            if (text.p[i] != '=' || j < 2)
                return false;
            i++;
            for (pad = 4 - j; j == 2 && i < text.n && (text.p[i] == '\n' || text.p[i] == '\r');)
                i++;
            *ret_at = i;
            if (j == 2 && (i == text.n || text.p[i++] != '='))
                return false;
            while (i < text.n && (text.p[i] == '\n' || text.p[i] == '\r'))
                i++;
            *ret_at = i;
            if (i < text.n)
                return false;
            break;
        }
        uint32_t bits =
            (uint32_t)quantum[0] << 18 | (uint32_t)quantum[1] << 12 | (uint32_t)quantum[2] << 6 | quantum[3];
        const char bytes[3] = { (char)(bits >> 16), (char)(bits >> 8), (char)bits };
        buf_add_bytes(to, bytes, (size_t)(3 - pad));
        if (pad)
            return true;
    }
}

bool schema_base64_decode(struct buf *to, struct str text, size_t *ret_at)
{
    return base64_scan(text, to, ret_at);
}

static struct value *scalar_bytes(struct schema_walk *w, const struct schema *s, struct value *v,
                                  const struct schema_frame *f)
{
    AUTO_BUF struct buf bytes = BUF_MAX(OBJECT_SIZE_MAX), again = BUF_MAX(2 * OBJECT_SIZE_MAX);
    size_t at = 0;

    if (v->type != VALUE_STRING) {
        schema_type_error(w, s, v, false, f);
        return v;
    }
    if (!base64_scan(v->string, &bytes, &at)) {
        /* Go saves this error and reads on, like a wrong type; the converter stops. */
        if (!w->failed)
            fail(&w->error, ERR_BAD_REQUEST, "%sillegal base64 data at input byte %zu",
                 w->style == SCHEMA_CONVERT ? "error decoding from json: " : "", at);
        w->failed = true;
        w->aborted = w->aborted || w->style == SCHEMA_CONVERT;
        return v;
    }
    base64_encode(&again, buf_str(&bytes));
    return str_eq(buf_str(&again), v->string) ? v : value_str(w->arena, arena_str(w->arena, buf_str(&again)));
}

static struct value *scalar_integer(struct schema_walk *w, const struct schema *s, struct value *v,
                                    const struct schema_frame *f)
{
    bool convert = w->style == SCHEMA_CONVERT;

    if (convert && v->type == VALUE_DOUBLE && v->number == (double)value_to_int(v, 0))
        return value_int(w->arena, value_to_int(v, 0));
    if (v->type != VALUE_INT) {
        schema_type_error(w, s, v, v->type == VALUE_DOUBLE, f);
        return v;
    }
    bool fits = s->type == SCHEMA_INT64 || (s->type == SCHEMA_INT32 && v->integer == (int32_t)v->integer) ||
                (s->type == SCHEMA_UINT32 && v->integer == (int64_t)(uint32_t)v->integer);
    if (fits)
        return v;
    if (convert) /* reflect.Value.Convert cuts without a word */
        return value_int(w->arena, s->type == SCHEMA_INT32 ? (int32_t)v->integer : (int64_t)(uint32_t)v->integer);
    schema_type_error(w, s, v, true, f);
    return v;
}

/* Source: apimachinery/pkg/util/intstr: a string, or what json reads into an int32. */
static struct value *scalar_int_or_string(struct schema_walk *w, const struct schema *s, struct value *v,
                                          const struct schema_frame *f)
{
    static const struct schema int32 = { .type = SCHEMA_INT32, .go_name = "int32" };

    if (v->type == VALUE_STRING || (v->type == VALUE_INT && v->integer == (int32_t)v->integer))
        return v;
    schema_type_error(w, w->style == SCHEMA_CONVERT ? s : &int32, v, v->type == VALUE_INT || v->type == VALUE_DOUBLE,
                      f);
    w->aborted = true;
    return v;
}

static struct value *scalar_quantity(struct schema_walk *w, struct value *v)
{
    AUTO_BUF struct buf text = BUF_MAX(KIB);
    AUTO_ERROR struct error error = { 0 };
    char canonical[QUANTITY_TEXT_SIZE];
    struct quantity q;

    if (v->type == VALUE_STRING && v->string.n < KIB)
        buf_add(&text, str_trim(v->string));
    else if (v->type == VALUE_INT || v->type == VALUE_DOUBLE)
        value_write(&text, v);
    if (quantity_parse(buf_str(&text), &q, &error) < 0) {
        schema_own_error(w, "%s", error_text(&error));
        return v;
    }
    struct str written = { canonical, quantity_text(q, canonical) };
    if (v->type == VALUE_STRING && str_eq(written, v->string))
        return v;
    return value_str(w->arena, arena_str(w->arena, written));
}

struct value *schema_scalar(struct schema_walk *w, const struct schema *s, struct value *v,
                            const struct schema_frame *f)
{
    switch (s->type) {
    case SCHEMA_STRING:
        if (v->type != VALUE_STRING)
            schema_type_error(w, s, v, false, f);
        return v;
    case SCHEMA_BOOL:
        if (v->type != VALUE_BOOL)
            schema_type_error(w, s, v, false, f);
        return v;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_UINT32:
        return scalar_integer(w, s, v, f);
    case SCHEMA_DOUBLE:
        if (v->type != VALUE_INT && v->type != VALUE_DOUBLE)
            schema_type_error(w, s, v, false, f);
        return v;
    case SCHEMA_BYTES:
        return scalar_bytes(w, s, v, f);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
    case SCHEMA_DURATION:
        return schema_scalar_time(w, s, v, f);
    case SCHEMA_QUANTITY:
        return scalar_quantity(w, v);
    case SCHEMA_INT_OR_STRING:
        return scalar_int_or_string(w, s, v, f);
    default:
        return v; /* raw: as it came */
    }
}
