/* Rules of environment variables and of references to fields and resources of the pod. */
#include "kinds/pod.h"

static const char *const env_fields[] = {
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs",     "status.podIP", "status.podIPs", NULL
};
static const char *const resource_fields[] = { "limits.cpu",
                                               "limits.ephemeral-storage",
                                               "limits.memory",
                                               "requests.cpu",
                                               "requests.ephemeral-storage",
                                               "requests.memory",
                                               NULL };
static const char *const byte_divisors[] = { "1",   "1k",  "1M",  "1G",  "1T",  "1P",  "1E",
                                             "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL };
static const char *const cpu_divisors[] = { "1m", "1", NULL };

/* "metadata.labels['app']": *ret_path gets what is before the bracket, *ret_key what is in the quotes. */
static bool split_subscript(struct str field, struct str *ret_path, struct str *ret_key)
{
    ptrdiff_t open = str_find(field, '[');

    *ret_path = field;
    if (open < 0 || !str_ends(field, STR("']")) || !str_starts(str_from(field, (size_t)open), STR("['")))
        return false;
    *ret_path = str_part(field, 0, (size_t)open);
    *ret_key = str_part(field, (size_t)open + 2, field.n - (size_t)open - 4);
    return ret_path->n > 0;
}

/* The paths that the downward API knows at all; whether the place allows one of them is checked after. */
static bool is_downward_field(struct str path)
{
    return str_in(path, env_fields) || str_is(path, "metadata.labels") || str_is(path, "metadata.annotations");
}

void pod_check_field_ref(struct check *k, const struct at *at, struct view field_ref, const char *const *fields)
{
    struct str version = view_str_at(field_ref, F_OBJECT_FIELD_SELECTOR_API_VERSION);
    struct str field = view_str_at(field_ref, F_OBJECT_FIELD_SELECTOR_FIELD_PATH), path, key = STR_NONE;
    bool subscript;

    if (!version.n) {
        check_required(k, AT(at, "apiVersion"), "");
        return;
    }
    if (!field.n) {
        check_required(k, AT(at, "fieldPath"), "");
        return;
    }
    subscript = split_subscript(field, &path, &key);
    if (!str_is(version, "v1") || !is_downward_field(path)) {
        const char *what = str_is(version, "v1") ? "field label not supported: " : "unsupported pod version: ";
        struct str detail = arena_printf(k->arena, "error converting fieldPath: %s%.*s", what,
                                         STR_ARG(str_is(version, "v1") ? path : version));

        check_invalid_str(k, AT(at, "fieldPath"), field, detail.p);
    } else if (subscript && (str_is(path, "metadata.labels") || str_is(path, "metadata.annotations"))) {
        check_qualified_name(k, at, key);
    } else if (subscript) {
        check_invalid_str(k, at, path, "does not support subscript");
    } else {
        check_one_of(k, AT(at, "fieldPath"), path, fields ? fields : env_fields);
    }
}

static bool is_huge_page_field(struct str resource)
{
    return str_starts(resource, STR("requests.hugepages-")) || str_starts(resource, STR("limits.hugepages-"));
}

static void check_divisor(struct check *k, const struct at *at, struct str resource, struct str divisor)
{
    bool cpu = str_ends(resource, STR(".cpu"));
    const char *name = str_ends(resource, STR(".memory"))              ? "memory"
                       : str_ends(resource, STR(".ephemeral-storage")) ? "local ephemeral storage"
                       : is_huge_page_field(resource)                  ? "hugepages"
                                                                       : NULL;

    if (!divisor.n || str_is(divisor, "0"))
        return;
    if (cpu && !str_in(divisor, cpu_divisors))
        check_invalid_str(k, AT(at, "divisor"), resource,
                          "only divisor's values 1m and 1 are supported with the cpu resource");
    if (name && !str_in(divisor, byte_divisors))
        check_invalid_str(k, AT(at, "divisor"), resource,
                          arena_printf(k->arena,
                                       "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei "
                                       "are supported with the %s resource",
                                       name)
                              .p);
}

void pod_check_resource_field_ref(struct check *k, const struct at *at, struct view ref, bool in_volume)
{
    struct str resource = view_str_at(ref, F_RESOURCE_FIELD_SELECTOR_RESOURCE);

    if (in_volume && !view_str_at(ref, F_RESOURCE_FIELD_SELECTOR_CONTAINER_NAME).n)
        check_required(k, AT(at, "containerName"), "");
    else if (!resource.n)
        check_required(k, AT(at, "resource"), "");
    else if (!is_huge_page_field(resource))
        check_one_of(k, AT(at, "resource"), resource, resource_fields);
    check_divisor(k, at, resource, view_str_at(ref, F_RESOURCE_FIELD_SELECTOR_DIVISOR));
}

/* A key of a ConfigMap or Secret; both references have the same fields. */
static void check_key_ref(struct check *k, const struct at *at, struct view ref)
{
    struct str key = view_str_at(ref, F_SECRET_KEY_SELECTOR_KEY);

    check_dns_subdomain(k, AT(at, "name"), view_str_at(ref, F_SECRET_KEY_SELECTOR_NAME));
    if (!key.n)
        check_required(k, AT(at, "key"), "");
    else
        check_config_key(k, AT(at, "key"), key);
}

static void check_value_from(struct check *k, const struct at *at, struct view var)
{
    struct view from = view_get(var, F_ENV_VAR_VALUE_FROM);
    struct view field = view_get(from, F_ENV_VAR_SOURCE_FIELD_REF);
    struct view resource = view_get(from, F_ENV_VAR_SOURCE_RESOURCE_FIELD_REF);
    struct view config = view_get(from, F_ENV_VAR_SOURCE_CONFIG_MAP_KEY_REF);
    struct view secret = view_get(from, F_ENV_VAR_SOURCE_SECRET_KEY_REF);
    struct view file = view_get(from, F_ENV_VAR_SOURCE_FILE_KEY_REF);
    int sources =
        view_present(field) + view_present(resource) + view_present(config) + view_present(secret) + view_present(file);

    if (view_present(field))
        pod_check_field_ref(k, AT(at, "fieldRef"), field, env_fields);
    if (view_present(resource))
        pod_check_resource_field_ref(k, AT(at, "resourceFieldRef"), resource, false);
    if (view_present(config))
        check_key_ref(k, AT(at, "configMapKeyRef"), config);
    if (view_present(secret))
        check_key_ref(k, AT(at, "secretKeyRef"), secret);
    if (!sources)
        check_invalid_str(k, at, STR(""),
                          "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`");
    else if (view_str_at(var, F_ENV_VAR_VALUE).n)
        check_invalid_str(k, at, STR(""), "may not be specified when `value` is not empty");
    else if (sources > 1)
        check_invalid_str(k, at, STR(""), "may not have more than one field specified at a time");
}

void pod_check_env(struct check *k, const struct at *at, struct view env)
{
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(env, &it) && !check_full(k); i++) {
        struct str name = view_str_at(it.value, F_ENV_VAR_NAME);

        if (!name.n)
            check_required(k, AT(AT_INDEX(at, i), "name"), "");
        else
            check_env_name(k, AT(AT_INDEX(at, i), "name"), name);
        if (view_present(view_get(it.value, F_ENV_VAR_VALUE_FROM)))
            check_value_from(k, AT(AT_INDEX(at, i), "valueFrom"), it.value);
    }
}

static void check_source_name(struct check *k, const struct at *at, struct view source)
{
    struct str name = view_str_at(source, F_CONFIG_MAP_ENV_SOURCE_NAME);

    if (!name.n)
        check_required(k, AT(at, "name"), "");
    else
        check_dns_subdomain(k, AT(at, "name"), name);
}

void pod_check_env_from(struct check *k, const struct at *at, struct view env_from)
{
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(env_from, &it) && !check_full(k); i++) {
        const struct at *item = AT_INDEX(at, i);
        struct str prefix = view_str_at(it.value, F_ENV_FROM_SOURCE_PREFIX);
        struct view config = view_get(it.value, F_ENV_FROM_SOURCE_CONFIG_MAP_REF);
        struct view secret = view_get(it.value, F_ENV_FROM_SOURCE_SECRET_REF);

        if (prefix.n)
            check_env_name(k, AT(item, "prefix"), prefix);
        if (view_present(config))
            check_source_name(k, AT(item, "configMapRef"), config);
        if (view_present(secret))
            check_source_name(k, AT(item, "secretRef"), secret);
        if (!view_present(config) && !view_present(secret))
            check_invalid_str(k, at, STR(""), "must specify one of: `configMapRef` or `secretRef`");
        else if (view_present(config) && view_present(secret))
            check_invalid_str(k, at, STR(""), "may not have more than one field specified at a time");
    }
}
