/* Environment variables of a container. */
#include "node/env_vars.h"

#include "base/codec.h"
#include "kinds/fields.h"

#define VALUE_MAX MIB

struct env_build {
    const struct env_input *in;
    struct arena *a;
    struct map *map;
};

static void put(struct env_build *e, struct str name, struct str value)
{
    struct str *copy = arena_new(e->a, struct str);
    *copy = arena_str(e->a, value);
    map_put(e->map, name, copy);
}

struct str env_expand(struct arena *a, struct str text, const struct map *variables)
{
    AUTO_BUF struct buf to = BUF_MAX(VALUE_MAX);

    if (str_find(text, '$') < 0)
        return text;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '$' || i + 1 >= text.n) {
            buf_add_char(&to, text.p[i]);
            continue;
        }
        if (text.p[i + 1] == '$') {
            buf_add_char(&to, '$');
            i++;
            continue;
        }
        ptrdiff_t end = text.p[i + 1] == '(' ? str_find(str_from(text, i), ')') : -1;
        const struct str *value = end > 0 ? map_get(variables, str_part(text, i + 2, (size_t)end - 2)) : NULL;
        if (value) {
            buf_add(&to, *value);
            i += (size_t)end;
        } else {
            buf_add_char(&to, '$'); /* unknown: left as it is */
        }
    }
    return arena_str(a, buf_str(&to));
}

/* --- services --------------------------------------------------------------------------------------------------------- */

static struct str variable_name(struct arena *a, struct str name)
{
    char *copy = arena_strdup(a, name);
    for (size_t i = 0; i < name.n; i++) {
        if (copy[i] == '-')
            copy[i] = '_';
        else if (copy[i] >= 'a' && copy[i] <= 'z')
            copy[i] = (char)(copy[i] - 'a' + 'A');
    }
    return (struct str){ copy, name.n };
}

static struct str lower(struct arena *a, struct str s)
{
    char *copy = arena_strdup(a, s);
    for (size_t i = 0; i < s.n; i++) {
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] - 'A' + 'a');
    }
    return (struct str){ copy, s.n };
}

/* Docker's links and {NAME}_SERVICE_HOST. Source: kubelet's pkg/kubelet/envvars. */
static void put_service(struct env_build *e, struct view service)
{
    struct view spec = view_get(service, F_SERVICE_SPEC);
    struct str ip = view_str_at(spec, F_SERVICE_SPEC_CLUSTER_IP);
    struct str name = variable_name(e->a, view_str_at(service, F_SERVICE_METADATA, F_OBJECT_META_NAME));
    bool first = true;

    if (!ip.n || str_is(ip, "None"))
        return;
    put(e, arena_printf(e->a, "%.*s_SERVICE_HOST", STR_ARG(name)), ip);
    for (struct view_iter it = { 0 }; view_next(view_get(spec, F_SERVICE_SPEC_PORTS), &it);) {
        long long port = view_int_at(it.value, 0, F_SERVICE_PORT_PORT);
        struct str protocol = view_str_at(it.value, F_SERVICE_PORT_PROTOCOL),
                   port_name = view_str_at(it.value, F_SERVICE_PORT_NAME);
        struct str small = lower(e->a, protocol.n ? protocol : STR("TCP")), big = variable_name(e->a, small);
        struct str url = arena_printf(e->a, "%.*s://%.*s:%lld", STR_ARG(small), STR_ARG(ip), port);
        struct str text = arena_printf(e->a, "%lld", port);
        if (first) {
            put(e, arena_printf(e->a, "%.*s_SERVICE_PORT", STR_ARG(name)), text);
            put(e, arena_printf(e->a, "%.*s_PORT", STR_ARG(name)), url);
        }
        first = false;
        if (port_name.n)
            put(e, arena_printf(e->a, "%.*s_SERVICE_PORT_%.*s", STR_ARG(name), STR_ARG(variable_name(e->a, port_name))),
                text);
        struct str base = arena_printf(e->a, "%.*s_PORT_%lld_%.*s", STR_ARG(name), port, STR_ARG(big));
        put(e, base, url);
        put(e, arena_printf(e->a, "%.*s_PROTO", STR_ARG(base)), small);
        put(e, arena_printf(e->a, "%.*s_PORT", STR_ARG(base)), text);
        put(e, arena_printf(e->a, "%.*s_ADDR", STR_ARG(base)), ip);
    }
}

static int put_services(struct env_build *e, struct error *err)
{
    struct view spec = view_get(e->in->fields->pod, F_POD_SPEC);
    struct str namespace_ = view_str_at(e->in->fields->pod, F_POD_METADATA, F_OBJECT_META_NAMESPACE);
    enum source_state state;
    const struct object *o = source_get(e->in->sources, &kind_service, STR("default"), STR("kubernetes"), &state);

    if (state == SOURCE_PENDING)
        return fail(err, ERR_UNAVAILABLE, "services have not yet been read at least once, cannot construct envvars");
    if (o)
        put_service(e, object_root(o));
    if (!view_bool_at(spec, true, F_POD_SPEC_ENABLE_SERVICE_LINKS))
        return 0;
    for (size_t i = 0; (o = source_at(e->in->sources, &kind_service, namespace_, i, &state)); i++)
        put_service(e, object_root(o));
    return state == SOURCE_PENDING
               ? fail(err, ERR_UNAVAILABLE, "services have not yet been read at least once, cannot construct envvars")
               : 0;
}

/* --- ConfigMaps and Secrets ------------------------------------------------------------------------------------------------ */

static struct str pod_namespace(const struct env_build *e)
{
    return view_str_at(e->in->fields->pod, F_POD_METADATA, F_OBJECT_META_NAMESPACE);
}

/* The object; NULL with *ret_skip when it is optional and absent; else an error. */
static const struct object *find_source(struct env_build *e, const struct kind *kind, struct str name, bool optional,
                                        bool *ret_skip, struct error *err)
{
    enum source_state state;
    const struct object *o = source_get(e->in->sources, kind, pod_namespace(e), name, &state);

    *ret_skip = !o && state == SOURCE_ABSENT && optional;
    if (o || *ret_skip)
        return o;
    if (state == SOURCE_PENDING)
        return fail_null(err, ERR_UNAVAILABLE, "%s \"%.*s\" is not known yet", kind->singular, STR_ARG(name));
    return fail_null(err, ERR_NOT_FOUND, "%s \"%.*s\" not found", kind->singular, STR_ARG(name));
}

static struct str decode_secret(struct arena *a, struct str text)
{
    AUTO_BUF struct buf bytes = BUF_MAX(2 * MIB);
    return base64_decode(&bytes, text) ? arena_str(a, buf_str(&bytes)) : STR_NONE;
}

static int put_from(struct env_build *e, struct view from, struct error *err)
{
    struct view map_ref = view_get(from, F_ENV_FROM_SOURCE_CONFIG_MAP_REF),
                secret_ref = view_get(from, F_ENV_FROM_SOURCE_SECRET_REF);
    bool secret = view_present(secret_ref), skip;
    struct view ref = secret ? secret_ref : map_ref;
    struct str prefix = view_str_at(from, F_ENV_FROM_SOURCE_PREFIX);
    const struct object *o =
        find_source(e, secret ? &kind_secret : &kind_configmap, view_str_at(ref, F_CONFIG_MAP_ENV_SOURCE_NAME),
                    view_bool_at(ref, false, F_CONFIG_MAP_ENV_SOURCE_OPTIONAL), &skip, err);
    if (!o)
        return skip ? 0 : -1;
    for (struct view_iter it = { 0 }; view_next(view_get(object_root(o), F_CONFIG_MAP_DATA), &it);) {
        struct str value = secret ? decode_secret(e->a, view_str(it.value)) : view_str(it.value);
        put(e, arena_printf(e->a, "%.*s%.*s", STR_ARG(prefix), STR_ARG(it.key)), value);
    }
    return 0;
}

static int put_key(struct env_build *e, struct str name, struct view ref, bool secret, struct error *err)
{
    struct str key = view_str_at(ref, F_CONFIG_MAP_KEY_SELECTOR_KEY),
               object = view_str_at(ref, F_CONFIG_MAP_KEY_SELECTOR_NAME);
    bool optional = view_bool_at(ref, false, F_CONFIG_MAP_KEY_SELECTOR_OPTIONAL), skip;
    const struct object *o = find_source(e, secret ? &kind_secret : &kind_configmap, object, optional, &skip, err);

    if (!o)
        return skip ? 0 : -1;
    struct view value = view_get_str(view_get(object_root(o), F_CONFIG_MAP_DATA), key);
    if (!view_present(value)) {
        if (optional)
            return 0;
        return fail(err, ERR_NOT_FOUND, "couldn't find key %.*s in %s %.*s/%.*s", STR_ARG(key),
                    secret ? "Secret" : "ConfigMap", STR_ARG(pod_namespace(e)), STR_ARG(object));
    }
    put(e, name, secret ? decode_secret(e->a, view_str(value)) : view_str(value));
    return 0;
}

static int put_variable(struct env_build *e, struct view variable, struct error *err)
{
    struct str name = view_str_at(variable, F_ENV_VAR_NAME), value = STR_NONE;
    struct view from = view_get(variable, F_ENV_VAR_VALUE_FROM), ref;
    struct str container = view_str_at(e->in->container, F_CONTAINER_NAME);

    if (!view_present(from)) {
        put(e, name, env_expand(e->a, view_str_at(variable, F_ENV_VAR_VALUE), e->map));
        return 0;
    }
    if (view_present(ref = view_get(from, F_ENV_VAR_SOURCE_CONFIG_MAP_KEY_REF)))
        return put_key(e, name, ref, false, err);
    if (view_present(ref = view_get(from, F_ENV_VAR_SOURCE_SECRET_KEY_REF)))
        return put_key(e, name, ref, true, err);
    if (view_present(ref = view_get(from, F_ENV_VAR_SOURCE_FIELD_REF))) {
        if (pod_field(e->in->fields, e->a, view_str_at(ref, F_OBJECT_FIELD_SELECTOR_FIELD_PATH), &value, err) < 0)
            return -1;
    } else if (view_present(ref = view_get(from, F_ENV_VAR_SOURCE_RESOURCE_FIELD_REF))) {
        if (pod_resource_field(e->in->fields, e->a, ref, container, &value, err) < 0)
            return -1;
    }
    put(e, name, value);
    return 0;
}

/* --- all together --------------------------------------------------------------------------------------------------------- */

static void put_image_env(struct env_build *e)
{
    put(e, STR("PATH"), STR("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    put(e, STR("HOSTNAME"), e->in->hostname);
    for (struct view_iter it = { 0 }; view_next(e->in->image_env, &it);) {
        struct str value = view_str(it.value), name;
        if (str_cut(&value, '=', &name))
            put(e, name, value);
    }
}

int env_vars_make(const struct env_input *in, struct arena *a, struct map *ret_map, struct str **ret, size_t *ret_count,
                  struct error *err)
{
    struct env_build e = { .in = in, .a = a, .map = ret_map };
    AUTO_MAP struct map image = { 0 };
    struct str name;
    void *value;

    if (put_services(&e, err) < 0)
        return -1;
    for (struct view_iter it = { 0 }; view_next(view_get(in->container, F_CONTAINER_ENV_FROM), &it);) {
        if (put_from(&e, it.value, err) < 0)
            return -1;
    }
    for (struct view_iter it = { 0 }; view_next(view_get(in->container, F_CONTAINER_ENV), &it);) {
        if (put_variable(&e, it.value, err) < 0)
            return -1;
    }
    /* The image's variables are not for expansion, and the pod's win. */
    e.map = &image;
    put_image_env(&e);
    struct str *list = arena_alloc_array(a, image.count + ret_map->count + 1, sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; map_next(&image, &i, &name, &value);) {
        if (!map_has(ret_map, name))
            list[n++] = arena_printf(a, "%.*s=%.*s", STR_ARG(name), STR_ARG(*(struct str *)value));
    }
    for (size_t i = 0; map_next(ret_map, &i, &name, &value);)
        list[n++] = arena_printf(a, "%.*s=%.*s", STR_ARG(name), STR_ARG(*(struct str *)value));
    *ret = list;
    *ret_count = n;
    return 0;
}
