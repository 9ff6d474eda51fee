/* Keys, sizes and immutability of ConfigMap and Secret data. */
#include "kinds/keyed_data.h"

static int64_t decoded_bytes(struct str base64)
{
    size_t padding = base64.n && base64.p[base64.n - 1] == '=' ? 1 : 0;

    if (base64.n > 1 && base64.p[base64.n - 2] == '=')
        padding++;
    return (int64_t)(base64.n / 4 * 3) - (int64_t)padding;
}

int64_t check_keyed_data(struct check *k, const struct at *at, struct view data, bool base64)
{
    struct view_iter it = { 0 };
    int64_t total = 0;

    while (view_next(data, &it)) {
        if (!check_full(k))
            check_config_key(k, AT_KEY(at, it.key), it.key);
        total += base64 ? decoded_bytes(view_str(it.value)) : (int64_t)view_str(it.value).n;
    }
    return total;
}

static bool same(struct view x, struct view y)
{
    return view_count(x) == 0 ? view_count(y) == 0 : view_equal(x, y);
}

void check_immutable_data(struct check *k, struct view object, struct view old, name_id immutable,
                          const struct keyed_member *members, size_t count)
{
    static const char message[] = "field is immutable when `immutable` is set";

    if (!view_bool_at(old, false, immutable))
        return;
    if (!view_bool_at(object, false, immutable))
        check_forbidden(k, AT(AT_ROOT, "immutable"), message);
    for (size_t i = 0; i < count; i++)
        if (!same(view_get(object, members[i].name), view_get(old, members[i].name)))
            check_forbidden(k, AT_STR(AT_ROOT, members[i].text), message);
}
