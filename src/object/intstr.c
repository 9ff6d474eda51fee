/* IntOrString: reading, percentages. */
#include "object/intstr.h"

static struct intstr of_int(int64_t n)
{
    return (struct intstr){ .number = (int32_t)MAX(MIN(n, (int64_t)INT32_MAX), (int64_t)INT32_MIN) };
}

struct intstr intstr_of_view(struct view v, struct intstr otherwise)
{
    if (view_type(v) == VALUE_STRING)
        return (struct intstr){ .is_string = true, .text = view_str(v) };
    return view_type(v) == VALUE_INT ? of_int(view_int(v, 0)) : otherwise;
}

struct intstr intstr_of_value(const struct value *v, struct intstr otherwise)
{
    if (value_type(v) == VALUE_STRING)
        return (struct intstr){ .is_string = true, .text = v->string };
    return value_type(v) == VALUE_INT ? of_int(v->integer) : otherwise;
}

/* upstream: the text before a final "%", as an integer. */
static bool percent(struct intstr i, int64_t *ret)
{
    return i.is_string && str_ends(i.text, STR("%")) && str_to_i64(str_part(i.text, 0, i.text.n - 1), ret);
}

bool intstr_is_percent(struct intstr i)
{
    int64_t n;
    return percent(i, &n);
}

int intstr_scale(struct intstr i, int64_t total, bool round_up, int64_t *ret, struct error *err)
{
    int64_t n;
    if (!i.is_string) {
        *ret = i.number;
        return 0;
    }
    if (!percent(i, &n))
        return fail(err, ERR_INVALID, "invalid value for IntOrString: invalid type: string is not a percentage");
    __int128 product = (__int128)n * total, scaled = product / 100;
    if (product % 100 != 0 && (product > 0) == round_up)
        scaled += round_up ? 1 : -1;
    *ret = (int64_t)MAX(MIN(scaled, (__int128)INT32_MAX), (__int128)INT32_MIN);
    return 0;
}
