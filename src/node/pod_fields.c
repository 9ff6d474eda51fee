/* fieldRef and resourceFieldRef. */
#include "node/pod_fields.h"

#include "kinds/fields.h"
#include "object/quantity.h"
#include "object/value.h"

static int map_key(struct view map, struct str path, struct str *ret, struct error *err)
{
    /* metadata.labels['key'] */
    ptrdiff_t open = str_find(path, '[');
    if (open < 0 || path.n < (size_t)open + 5 || path.p[open + 1] != '\'' || !str_ends(path, STR("']")))
        return fail(err, ERR_INVALID, "invalid field path '%.*s'", STR_ARG(path));
    *ret = view_str(view_get_str(map, str_part(path, (size_t)open + 2, path.n - (size_t)open - 4)));
    return 0;
}

/* Every entry as key="value", escaped as Go's %q does, sorted by key as upstream's FormatMap. */
static struct str format_map(struct arena *a, struct view map)
{
    AUTO_BUF struct buf text = BUF_MAX(MIB);
    size_t count = view_count(map);
    struct str *keys = arena_alloc_array(a, count + 1, sizeof(*keys)), after = STR_NONE;
    size_t n = 0;

    for (struct view_iter it = { 0 }; view_next(map, &it);)
        keys[n++] = it.key;
    for (size_t i = 0; i < n; i++) {
        struct str best = STR_NONE;
        for (size_t k = 0; k < n; k++) {
            if ((i == 0 || str_cmp(keys[k], after) > 0) && (!best.p || str_cmp(keys[k], best) < 0))
                best = keys[k];
        }
        after = best;
        if (i)
            buf_add_char(&text, '\n');
        buf_add(&text, best);
        buf_add_char(&text, '=');
        json_write_str(&text, view_str(view_get_str(map, best)));
    }
    return arena_str(a, buf_str(&text));
}

int pod_field(const struct pod_fields *f, struct arena *a, struct str path, struct str *ret, struct error *err)
{
    struct view meta = view_get(f->pod, F_POD_METADATA), spec = view_get(f->pod, F_POD_SPEC);
    struct view labels = view_get(meta, F_OBJECT_META_LABELS), annotations = view_get(meta, F_OBJECT_META_ANNOTATIONS);
    const struct {
        const char *path;
        struct str value;
    } plain[] = {
        { "metadata.name", view_str_at(meta, F_OBJECT_META_NAME) },
        { "metadata.namespace", view_str_at(meta, F_OBJECT_META_NAMESPACE) },
        { "metadata.uid", view_str_at(meta, F_OBJECT_META_UID) },
        { "spec.nodeName", view_str_at(spec, F_POD_SPEC_NODE_NAME) },
        { "spec.serviceAccountName", view_str_at(spec, F_POD_SPEC_SERVICE_ACCOUNT_NAME) },
        { "status.hostIP", f->host_ip },
        { "status.hostIPs", f->host_ip },
        { "status.podIP", f->pod_ip },
        { "status.podIPs", f->pod_ip },
    };

    for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
        if (str_is(path, plain[i].path)) {
            *ret = plain[i].value;
            return 0;
        }
    }
    if (str_is(path, "metadata.labels") || str_is(path, "metadata.annotations")) {
        *ret = format_map(a, str_is(path, "metadata.labels") ? labels : annotations);
        return 0;
    }
    if (str_starts(path, STR("metadata.labels[")))
        return map_key(labels, path, ret, err);
    if (str_starts(path, STR("metadata.annotations[")))
        return map_key(annotations, path, ret, err);
    return fail(err, ERR_INVALID, "unsupported fieldPath: %.*s", STR_ARG(path));
}

struct view pod_container_spec(struct view pod, struct str name)
{
    static const name_id lists[] = { F_POD_SPEC_CONTAINERS, F_POD_SPEC_INIT_CONTAINERS };

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        for (struct view_iter it = { 0 }; view_next(view_path(pod, F_POD_SPEC, lists[i]), &it);) {
            if (str_eq(view_str_at(it.value, F_CONTAINER_NAME), name))
                return it.value;
        }
    }
    return VIEW_ABSENT;
}

int64_t container_resource(struct view container, bool limits, const char *resource)
{
    struct view list = view_path(container, F_CONTAINER_RESOURCES,
                                 limits ? F_RESOURCE_REQUIREMENTS_LIMITS : F_RESOURCE_REQUIREMENTS_REQUESTS);
    struct quantity q;

    if (quantity_parse(view_str(view_get_str(list, str_of(resource))), &q, NULL) < 0)
        return -1;
    return strcmp(resource, "cpu") == 0 ? quantity_milli(q) : quantity_value(q);
}

int pod_resource_field(const struct pod_fields *f, struct arena *a, struct view reference, struct str container_name,
                       struct str *ret, struct error *err)
{
    struct str resource = view_str_at(reference, F_RESOURCE_FIELD_SELECTOR_RESOURCE);
    struct str named = view_str_at(reference, F_RESOURCE_FIELD_SELECTOR_CONTAINER_NAME);
    struct view container = pod_container_spec(f->pod, named.n ? named : container_name);
    struct str divisor = view_str_at(reference, F_RESOURCE_FIELD_SELECTOR_DIVISOR), type = resource, name;
    struct quantity d = quantity_of(1, QUANTITY_DECIMAL_SI);

    if (!view_present(container))
        return fail(err, ERR_INVALID, "container %.*s not found", STR_ARG(named));
    if (divisor.n && !str_is(divisor, "0") && quantity_parse(divisor, &d, err) < 0)
        return -1;
    str_cut(&type, '.', &name);
    bool limits = str_is(name, "limits"), cpu = str_is(type, "cpu");
    if (!limits && !str_is(name, "requests"))
        return fail(err, ERR_INVALID, "unsupported container resource : %.*s", STR_ARG(resource));
    AUTO_FREE char *key = str_dup(type);
    int64_t n = container_resource(container, limits, key);
    if (n < 0 && limits)
        n = cpu ? f->node_milli_cpu : str_is(type, "memory") ? f->node_memory_bytes : 0;
    n = MAX(n, 0);
    int64_t by = MAX(cpu ? quantity_milli(d) : quantity_value(d), 1);
    *ret = arena_printf(a, "%lld", (long long)((n + by - 1) / by));
    return 0;
}
