/* ConfigMap: settings for pods. Source: pkg/apis/core/validation. */
#include "kinds/cells.h"
#include "kinds/keyed_data.h"
#include "kinds/schemas.h"

static const struct keyed_member members[] = {
    { F_CONFIG_MAP_DATA, STR_INIT("data") },
    { F_CONFIG_MAP_BINARY_DATA, STR_INIT("binaryData") },
};

static void validate(struct kind_context *c, struct view map, struct view old, struct error *causes)
{
    struct view data = view_get(map, F_CONFIG_MAP_DATA), binary = view_get(map, F_CONFIG_MAP_BINARY_DATA);
    struct check *k = CHECK(c, causes);
    struct view_iter it = { 0 };
    int64_t total;

    if (!c->create)
        check_immutable_data(k, map, old, F_CONFIG_MAP_IMMUTABLE, members, ARRAY_SIZE(members));
    total = check_keyed_data(k, AT(AT_ROOT, "data"), data, false) +
            check_keyed_data(k, AT(AT_ROOT, "binaryData"), binary, true);
    while (view_next(data, &it) && !check_full(k))
        if (view_present(view_get_str(binary, it.key)))
            check_invalid_str(k, AT_KEY(AT(AT_ROOT, "data"), it.key), it.key, "duplicate of key present in binaryData");
    if (total > KEYED_DATA_BYTES_MAX)
        check_too_long(k, AT_ROOT, KEYED_DATA_BYTES_MAX);
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Data", "string", "", "Number of keys.", 0 },
    COLUMN_AGE,
    { NULL },
};

static void row(struct arena *a, struct view map, int64_t now_ms, struct value *cells)
{
    cell_name(a, cells, map);
    cell_int(
        a, cells,
        (int64_t)(view_count(view_get(map, F_CONFIG_MAP_DATA)) + view_count(view_get(map, F_CONFIG_MAP_BINARY_DATA))));
    cell_age(a, cells, map, now_ms);
}

const struct kind kind_configmap = {
    .group = "",
    .version = "v1",
    .kind = "ConfigMap",
    .list_kind = "ConfigMapList",
    .plural = "configmaps",
    .singular = "configmap",
    .short_names = (const char *const[]){ "cm", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .schema = &schema_core_v1_config_map,
    .columns = columns,
    .row = row,
    .validate = validate,
};
