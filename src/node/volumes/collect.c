/* What a pod's volumes shall hold, from its spec and the objects it names. */
#include "node/volumes/volumes.h"

#include "base/codec.h"
#include "kinds/claim.h"
#include "kinds/fields.h"
#include "object/quantity.h"

#define CONTENT_MAX_BYTES (16 * MIB)

struct collect {
    const struct volume_input *in;
    struct arena *a;
    struct volume *volume;
    size_t capacity;
    size_t bytes;
};

static struct str pod_namespace(const struct collect *c)
{
    return view_str_at(c->in->fields->pod, F_POD_METADATA, F_OBJECT_META_NAMESPACE);
}

/* "a/b" is fine; absolute paths, "..", and names that begin with ".." are not. */
static bool path_is_valid(struct str path)
{
    struct str rest = path, part;

    if (!path.n || path.n > 1024 || path.p[0] == '/')
        return false;
    while (str_next(&rest, '/', &part)) {
        if (str_starts(part, STR("..")) || part.n > 255 || !part.n)
            return false;
    }
    return true;
}

static int add_file(struct collect *c, struct str path, struct str content, unsigned mode, struct error *err)
{
    struct volume *v = c->volume;

    if (!path_is_valid(path))
        return fail(err, ERR_INVALID, "the path '%.*s' is not allowed in a volume", STR_ARG(path));
    c->bytes += content.n;
    if (v->files_count >= VOLUME_FILES_MAX || c->bytes > CONTENT_MAX_BYTES)
        return fail(err, ERR_TOO_LARGE, "the volume holds too much");
    if (v->files_count == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 8;
        struct volume_file *more = arena_alloc_array(c->a, capacity, sizeof(*more));
        if (v->files_count)
            memcpy(more, v->files, v->files_count * sizeof(*more));
        v->files = more;
        c->capacity = capacity;
    }
    for (size_t i = 0; i < v->files_count; i++) {
        if (str_eq(v->files[i].path, path)) { /* later sources of a projected volume win */
            v->files[i] = (struct volume_file){ path, content, mode };
            return 0;
        }
    }
    v->files[v->files_count++] = (struct volume_file){ path, content, mode };
    return 0;
}

static struct str decode(struct collect *c, struct str text)
{
    AUTO_BUF struct buf bytes = BUF_MAX(2 * MIB);
    return base64_decode(&bytes, text) ? arena_str(c->a, buf_str(&bytes)) : STR_NONE;
}

/* A value of data, or of binaryData (ConfigMap); false when the key is absent. */
static bool find_key(struct collect *c, const struct object *o, bool secret, struct str key, struct str *ret)
{
    struct view value = view_get_str(view_get(object_root(o), F_CONFIG_MAP_DATA), key);

    if (view_present(value)) {
        *ret = secret ? decode(c, view_str(value)) : view_str(value);
        return true;
    }
    value = view_get_str(view_get(object_root(o), F_CONFIG_MAP_BINARY_DATA), key);
    if (secret || !view_present(value))
        return false;
    *ret = decode(c, view_str(value));
    return true;
}

static int add_all_keys(struct collect *c, const struct object *o, bool secret, unsigned mode, struct error *err)
{
    for (struct view_iter it = { 0 }; view_next(view_get(object_root(o), F_CONFIG_MAP_DATA), &it);) {
        if (add_file(c, it.key, secret ? decode(c, view_str(it.value)) : view_str(it.value), mode, err) < 0)
            return -1;
    }
    for (struct view_iter it = { 0 }; !secret && view_next(view_get(object_root(o), F_CONFIG_MAP_BINARY_DATA), &it);) {
        if (add_file(c, it.key, decode(c, view_str(it.value)), mode, err) < 0)
            return -1;
    }
    return 0;
}

/* A ConfigMap or Secret, whole or by items. */
static int add_object(struct collect *c, bool secret, struct str name, struct view items, bool optional, unsigned mode,
                      struct error *err)
{
    const struct kind *kind = secret ? &kind_secret : &kind_configmap;
    enum source_state state;
    const struct object *o = source_get(c->in->sources, kind, pod_namespace(c), name, &state);

    if (state == SOURCE_PENDING)
        return fail(err, ERR_UNAVAILABLE, "%s \"%.*s\" is not known yet", kind->singular, STR_ARG(name));
    if (!o)
        return optional ? 0 : fail(err, ERR_NOT_FOUND, "%s \"%.*s\" not found", kind->singular, STR_ARG(name));
    if (view_count(items) == 0)
        return add_all_keys(c, o, secret, mode, err);
    for (struct view_iter it = { 0 }; view_next(items, &it);) {
        struct str key = view_str_at(it.value, F_KEY_TO_PATH_KEY), value;
        if (!find_key(c, o, secret, key, &value)) {
            if (optional)
                continue;
            return fail(err, ERR_NOT_FOUND, "references non-existent %s key: %.*s", secret ? "secret" : "config",
                        STR_ARG(key));
        }
        if (add_file(c, view_str_at(it.value, F_KEY_TO_PATH_PATH), value,
                     (unsigned)view_int_at(it.value, mode, F_KEY_TO_PATH_MODE), err) < 0)
            return -1;
    }
    return 0;
}

static int add_downward(struct collect *c, struct view items, unsigned mode, struct error *err)
{
    for (struct view_iter it = { 0 }; view_next(items, &it);) {
        struct view field = view_get(it.value, F_DOWNWARD_API_VOLUME_FILE_FIELD_REF);
        struct str value;
        int r =
            view_present(field)
                ? pod_field(c->in->fields, c->a, view_str_at(field, F_OBJECT_FIELD_SELECTOR_FIELD_PATH), &value, err)
                : pod_resource_field(c->in->fields, c->a,
                                     view_get(it.value, F_DOWNWARD_API_VOLUME_FILE_RESOURCE_FIELD_REF), STR_NONE,
                                     &value, err);
        if (r < 0 || add_file(c, view_str_at(it.value, F_DOWNWARD_API_VOLUME_FILE_PATH), value,
                              (unsigned)view_int_at(it.value, mode, F_DOWNWARD_API_VOLUME_FILE_MODE), err) < 0)
            return -1;
    }
    return 0;
}

static int add_token(struct collect *c, struct view source, unsigned mode, struct error *err)
{
    struct str token;

    if (!c->in->token(c->in->token_arg, view_str_at(source, F_SERVICE_ACCOUNT_TOKEN_PROJECTION_AUDIENCE),
                      view_int_at(source, 3600, F_SERVICE_ACCOUNT_TOKEN_PROJECTION_EXPIRATION_SECONDS), &token))
        return fail(err, ERR_UNAVAILABLE, "the service account's token has not been issued yet");
    /* Source: projected.go: 0600 when somebody in particular owns it, by group or user. */
    if (c->volume->fs_group >= 0 || c->volume->owner >= 0)
        mode = 0600;
    return add_file(c, view_str_at(source, F_SERVICE_ACCOUNT_TOKEN_PROJECTION_PATH), token, mode, err);
}

static int add_projected(struct collect *c, struct view projected, struct error *err)
{
    unsigned mode = (unsigned)view_int_at(projected, 0644, F_PROJECTED_VOLUME_SOURCE_DEFAULT_MODE);

    for (struct view_iter it = { 0 }; view_next(view_get(projected, F_PROJECTED_VOLUME_SOURCE_SOURCES), &it);) {
        struct view map = view_get(it.value, F_VOLUME_PROJECTION_CONFIG_MAP),
                    secret = view_get(it.value, F_VOLUME_PROJECTION_SECRET);
        struct view down = view_get(it.value, F_VOLUME_PROJECTION_DOWNWARD_API);
        struct view token = view_get(it.value, F_VOLUME_PROJECTION_SERVICE_ACCOUNT_TOKEN);
        int r = 0;
        if (view_present(map) || view_present(secret)) {
            struct view v = view_present(map) ? map : secret;
            r = add_object(c, view_present(secret), view_str_at(v, F_CONFIG_MAP_PROJECTION_NAME),
                           view_get(v, F_CONFIG_MAP_PROJECTION_ITEMS),
                           view_bool_at(v, false, F_CONFIG_MAP_PROJECTION_OPTIONAL), mode, err);
        } else if (view_present(down)) {
            r = add_downward(c, view_get(down, F_DOWNWARD_API_PROJECTION_ITEMS), mode, err);
        } else if (view_present(token)) {
            r = add_token(c, token, mode, err);
        } else {
            r = fail(err, ERR_INVALID, "a source of the projected volume is not supported");
        }
        if (r < 0)
            return -1;
    }
    return 0;
}

static void set_empty_dir(struct collect *c, struct view empty)
{
    struct volume *v = c->volume;
    struct quantity limit;

    v->type = str_is(view_str_at(empty, F_EMPTY_DIR_VOLUME_SOURCE_MEDIUM), "Memory") ? VOLUME_MEMORY : VOLUME_EMPTY_DIR;
    v->path = arena_printf(c->a, "%.*s/volumes/%.*s", STR_ARG(c->in->pod_folder), STR_ARG(v->name));
    if (quantity_parse(view_str_at(empty, F_EMPTY_DIR_VOLUME_SOURCE_SIZE_LIMIT), &limit, NULL) == 0)
        v->size_limit_bytes = quantity_value(limit);
}

static int set_persistent(struct collect *c, struct view volume, struct error *err)
{
    struct view spec = view_get(volume, F_PERSISTENT_VOLUME_SPEC),
                host = view_get(spec, F_PERSISTENT_VOLUME_SPEC_HOST_PATH);
    struct str node = volume_node(volume), name = view_str_at(volume, F_POD_METADATA, F_OBJECT_META_NAME);
    struct str local = view_str_at(spec, F_PERSISTENT_VOLUME_SPEC_LOCAL, F_LOCAL_VOLUME_SOURCE_PATH);

    if (str_is(view_str_at(spec, F_PERSISTENT_VOLUME_SPEC_VOLUME_MODE), "Block"))
        return fail(err, ERR_INVALID, "volume \"%.*s\" is a block device, which is not supported", STR_ARG(name));
    if (node.n && !str_eq(node, c->in->node_name))
        return fail(err, ERR_INVALID, "MountVolume.NodeAffinity check failed for volume \"%.*s\": it lies on node %.*s",
                    STR_ARG(name), STR_ARG(node));
    if (node.n) {
        c->volume->type = VOLUME_FOLDER;
        c->volume->persistent = arena_str(c->a, name);
        c->volume->path = arena_printf(c->a, "%.*s/%.*s", STR_ARG(c->in->volumes_folder), STR_ARG(name));
    } else if (view_present(host)) {
        c->volume->type = VOLUME_HOST_PATH;
        c->volume->path = arena_str(c->a, view_str_at(host, F_HOST_PATH_VOLUME_SOURCE_PATH));
        c->volume->host_path_type = arena_str(c->a, view_str_at(host, F_HOST_PATH_VOLUME_SOURCE_TYPE));
    } else if (str_starts(local, STR("/"))) {
        c->volume->type = VOLUME_LOCAL;
        c->volume->path = arena_str(c->a, local);
    } else {
        return fail(err, ERR_INVALID, "this type of PersistentVolume is not supported");
    }
    return 0;
}

/* A claim stands for a volume it is bound to; that is where the data is. */
static int set_claim(struct collect *c, struct view spec, struct error *err)
{
    struct str name = pod_claim_name(c->in->fields->pod, spec, c->a), volume_name;
    enum source_state state;
    const struct object *claim =
        source_get(c->in->sources, &kind_persistentvolumeclaim, pod_namespace(c), name, &state);
    const struct object *volume;

    if (state == SOURCE_PENDING)
        return fail(err, ERR_UNAVAILABLE, "persistentvolumeclaim \"%.*s\" is not known yet", STR_ARG(name));
    if (!claim)
        return fail(err, ERR_NOT_FOUND, "persistentvolumeclaim \"%.*s\" not found", STR_ARG(name));
    if (!claim_is_bound(object_root(claim)))
        return fail(err, ERR_UNAVAILABLE, "PVC %.*s/%.*s is not bound", STR_ARG(pod_namespace(c)), STR_ARG(name));
    volume_name =
        view_str_at(object_root(claim), F_PERSISTENT_VOLUME_CLAIM_SPEC, F_PERSISTENT_VOLUME_CLAIM_SPEC_VOLUME_NAME);
    volume = source_get(c->in->sources, &kind_persistentvolume, STR_NONE, volume_name, &state);
    if (state == SOURCE_PENDING)
        return fail(err, ERR_UNAVAILABLE, "persistentvolume \"%.*s\" is not known yet", STR_ARG(volume_name));
    if (!volume || !str_eq(view_str_at(object_root(volume), F_PERSISTENT_VOLUME_SPEC,
                                       F_PERSISTENT_VOLUME_SPEC_CLAIM_REF, F_OBJECT_REFERENCE_UID),
                           object_uid(claim)))
        return fail(err, ERR_NOT_FOUND, "persistentvolume \"%.*s\" is not there, or belongs to another claim",
                    STR_ARG(volume_name));
    return set_persistent(c, object_root(volume), err);
}

static int collect_one(struct collect *c, struct view spec, struct error *err)
{
    struct view empty = view_get(spec, F_VOLUME_EMPTY_DIR), host = view_get(spec, F_VOLUME_HOST_PATH), v;

    if (view_present(host)) {
        c->volume->type = VOLUME_HOST_PATH;
        c->volume->path = view_str_at(host, F_HOST_PATH_VOLUME_SOURCE_PATH);
        c->volume->host_path_type = view_str_at(host, F_HOST_PATH_VOLUME_SOURCE_TYPE);
        return 0;
    }
    if (view_present(empty)) {
        set_empty_dir(c, empty);
        return 0;
    }
    if (pod_claim_name(c->in->fields->pod, spec, c->a).n) {
        c->volume->read_only = view_bool_at(spec, false, F_VOLUME_PERSISTENT_VOLUME_CLAIM,
                                            F_PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE_READ_ONLY);
        return set_claim(c, spec, err);
    }
    c->volume->type = VOLUME_CONTENT;
    c->volume->path = arena_printf(c->a, "%.*s/%.*s", STR_ARG(c->in->content_folder), STR_ARG(c->volume->name));
    if (c->in->paths_only)
        return 0;
    if (view_present(v = view_get(spec, F_VOLUME_CONFIG_MAP)))
        return add_object(c, false, view_str_at(v, F_CONFIG_MAP_VOLUME_SOURCE_NAME),
                          view_get(v, F_CONFIG_MAP_VOLUME_SOURCE_ITEMS),
                          view_bool_at(v, false, F_CONFIG_MAP_VOLUME_SOURCE_OPTIONAL),
                          (unsigned)view_int_at(v, 0644, F_CONFIG_MAP_VOLUME_SOURCE_DEFAULT_MODE), err);
    if (view_present(v = view_get(spec, F_VOLUME_SECRET)))
        return add_object(c, true, view_str_at(v, F_SECRET_VOLUME_SOURCE_SECRET_NAME),
                          view_get(v, F_SECRET_VOLUME_SOURCE_ITEMS),
                          view_bool_at(v, false, F_SECRET_VOLUME_SOURCE_OPTIONAL),
                          (unsigned)view_int_at(v, 0644, F_SECRET_VOLUME_SOURCE_DEFAULT_MODE), err);
    if (view_present(v = view_get(spec, F_VOLUME_DOWNWARD_API)))
        return add_downward(c, view_get(v, F_DOWNWARD_API_VOLUME_SOURCE_ITEMS),
                            (unsigned)view_int_at(v, 0644, F_DOWNWARD_API_VOLUME_SOURCE_DEFAULT_MODE), err);
    if (view_present(v = view_get(spec, F_VOLUME_PROJECTED)))
        return add_projected(c, v, err);
    return fail(err, ERR_INVALID, "this type of volume is not supported");
}

/* The user of all containers when they agree; -1 otherwise. Token files belong to it. */
static int64_t common_user(struct view spec)
{
    int64_t of_pod = view_int_at(spec, -1, F_POD_SPEC_SECURITY_CONTEXT, F_POD_SECURITY_CONTEXT_RUN_AS_USER),
            common = -2;
    static const name_id lists[] = { F_POD_SPEC_CONTAINERS, F_POD_SPEC_INIT_CONTAINERS };

    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        for (struct view_iter it = { 0 }; view_next(view_get(spec, lists[i]), &it);) {
            int64_t user = view_int_at(it.value, of_pod, F_CONTAINER_SECURITY_CONTEXT, F_SECURITY_CONTEXT_RUN_AS_USER);
            if (common != -2 && user != common)
                return -1;
            common = user;
        }
    }
    return common < 0 ? -1 : common;
}

int volumes_collect(const struct volume_input *in, struct arena *a, struct volume_set *ret, struct error *err)
{
    struct view spec = view_get(in->fields->pod, F_POD_SPEC), list = view_get(spec, F_POD_SPEC_VOLUMES);
    int64_t fs_group = view_int_at(spec, -1, F_POD_SPEC_SECURITY_CONTEXT, F_POD_SECURITY_CONTEXT_FS_GROUP);
    bool if_needed =
        str_is(view_str_at(spec, F_POD_SPEC_SECURITY_CONTEXT, F_POD_SECURITY_CONTEXT_FS_GROUP_CHANGE_POLICY),
               "OnRootMismatch");
    int64_t owner = common_user(spec);

    *ret = (struct volume_set){ .items = arena_alloc_array(a, view_count(list) + 1, sizeof(struct volume)) };
    for (struct view_iter it = { 0 }; view_next(list, &it);) {
        struct volume *v = &ret->items[ret->count++];
        struct collect c = { .in = in, .a = a, .volume = v };
        *v = (struct volume){ .name = view_str_at(it.value, F_VOLUME_NAME),
                              .fs_group = fs_group,
                              .group_if_needed = if_needed,
                              .owner = owner };
        if (collect_one(&c, it.value, err) < 0)
            return error_context(err, "MountVolume.SetUp failed for volume \"%.*s\" ", STR_ARG(v->name));
    }
    return 0;
}

const struct volume *volumes_find(const struct volume_set *set, struct str name)
{
    for (size_t i = 0; i < set->count; i++) {
        if (str_eq(set->items[i].name, name))
            return &set->items[i];
    }
    return NULL;
}

/* --- what a pod refers to --------------------------------------------------------------------------------------------------- */

static void each_volume_source(struct view spec, struct str ns, volume_source_fn *fn, void *arg)
{
    for (struct view_iter it = { 0 }; view_next(view_get(spec, F_POD_SPEC_VOLUMES), &it);) {
        struct str map = view_str_at(it.value, F_VOLUME_CONFIG_MAP, F_CONFIG_MAP_VOLUME_SOURCE_NAME);
        struct str secret = view_str_at(it.value, F_VOLUME_SECRET, F_SECRET_VOLUME_SOURCE_SECRET_NAME);
        if (map.n)
            fn(arg, &kind_configmap, ns, map);
        if (secret.n)
            fn(arg, &kind_secret, ns, secret);
        struct view sources = view_path(it.value, F_VOLUME_PROJECTED, F_PROJECTED_VOLUME_SOURCE_SOURCES);
        for (struct view_iter s = { 0 }; view_next(sources, &s);) {
            map = view_str_at(s.value, F_VOLUME_PROJECTION_CONFIG_MAP, F_CONFIG_MAP_PROJECTION_NAME);
            secret = view_str_at(s.value, F_VOLUME_PROJECTION_SECRET, F_SECRET_PROJECTION_NAME);
            if (map.n)
                fn(arg, &kind_configmap, ns, map);
            if (secret.n)
                fn(arg, &kind_secret, ns, secret);
        }
    }
}

/* The volumes behind them are held by the sources themselves. */
static void each_claim(struct view pod, struct view spec, struct str ns, volume_source_fn *fn, void *arg)
{
    AUTO_ARENA struct arena a = { 0 };

    for (struct view_iter it = { 0 }; view_next(view_get(spec, F_POD_SPEC_VOLUMES), &it);) {
        struct str claim = pod_claim_name(pod, it.value, &a);
        if (claim.n)
            fn(arg, &kind_persistentvolumeclaim, ns, claim);
    }
}

static void each_env_source(struct view container, struct str ns, volume_source_fn *fn, void *arg)
{
    for (struct view_iter it = { 0 }; view_next(view_get(container, F_CONTAINER_ENV_FROM), &it);) {
        struct str map = view_str_at(it.value, F_ENV_FROM_SOURCE_CONFIG_MAP_REF, F_CONFIG_MAP_ENV_SOURCE_NAME);
        struct str secret = view_str_at(it.value, F_ENV_FROM_SOURCE_SECRET_REF, F_SECRET_ENV_SOURCE_NAME);
        if (map.n)
            fn(arg, &kind_configmap, ns, map);
        if (secret.n)
            fn(arg, &kind_secret, ns, secret);
    }
    for (struct view_iter it = { 0 }; view_next(view_get(container, F_CONTAINER_ENV), &it);) {
        struct view from = view_get(it.value, F_ENV_VAR_VALUE_FROM);
        struct str map = view_str_at(from, F_ENV_VAR_SOURCE_CONFIG_MAP_KEY_REF, F_CONFIG_MAP_KEY_SELECTOR_NAME);
        struct str secret = view_str_at(from, F_ENV_VAR_SOURCE_SECRET_KEY_REF, F_SECRET_KEY_SELECTOR_NAME);
        if (map.n)
            fn(arg, &kind_configmap, ns, map);
        if (secret.n)
            fn(arg, &kind_secret, ns, secret);
    }
}

void pod_each_source(struct view pod, volume_source_fn *fn, void *arg)
{
    static const name_id lists[] = { F_POD_SPEC_CONTAINERS, F_POD_SPEC_INIT_CONTAINERS };
    struct view spec = view_get(pod, F_POD_SPEC);
    struct str ns = view_str_at(pod, F_POD_METADATA, F_OBJECT_META_NAMESPACE);

    each_volume_source(spec, ns, fn, arg);
    each_claim(pod, spec, ns, fn, arg);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        for (struct view_iter it = { 0 }; view_next(view_get(spec, lists[i]), &it);)
            each_env_source(it.value, ns, fn, arg);
    }
    for (struct view_iter it = { 0 }; view_next(view_get(spec, F_POD_SPEC_IMAGE_PULL_SECRETS), &it);)
        fn(arg, &kind_secret, ns, view_str_at(it.value, F_LOCAL_OBJECT_REFERENCE_NAME));
    fn(arg, &kind_service, STR("default"), STR("kubernetes"));
    if (view_bool_at(spec, true, F_POD_SPEC_ENABLE_SERVICE_LINKS))
        fn(arg, &kind_service, ns, STR_NONE);
}
