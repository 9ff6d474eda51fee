/*
 * A pod gets its service account, the token volume and the account's pull secrets.
 *
 * A new namespace has its "default" account only once the controller has made it: such a pod waits for it, at most 2 s.
 * Source: plugin/pkg/admission/serviceaccount.
 */
#include "kinds/fields.h"
#include "server/admission.h"

#define TOKEN_PATH      "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_SECONDS   3607 /* an hour and a little: shows in logs which tokens came from here */
#define ACCOUNT_WAIT_MS 2000
#define ACCOUNT_LOOK_MS 20

struct waiting {
    struct request *request;
    struct loop_timer timer;
    int64_t until_ms;
};

static bool applies(const struct request *r)
{
    return admission_is_create(r, &kind_pod);
}

static bool mounts_token(const struct value *mounts)
{
    for (uint32_t i = 0; value_type(mounts) == VALUE_ARRAY && i < mounts->items_count; i++)
        if (str_is(value_to_str(value_get(mounts->items[i], F_VOLUME_MOUNT_MOUNT_PATH)), TOKEN_PATH))
            return true;
    return false;
}

/* Mount the token into every container of the list that has nothing there; returns whether one needed it. */
static bool mount(struct arena *a, const struct value *containers, struct str volume)
{
    bool needed = false;
    for (uint32_t i = 0; value_type(containers) == VALUE_ARRAY && i < containers->items_count; i++) {
        struct value *container = containers->items[i], *m;
        if (value_type(container) != VALUE_OBJECT || mounts_token(value_get(container, F_CONTAINER_VOLUME_MOUNTS)))
            continue;
        m = value_object(a);
        value_set(a, m, F_VOLUME_MOUNT_NAME, volume);
        value_set_bool(a, m, F_VOLUME_MOUNT_READ_ONLY, true);
        value_set_text(a, m, F_VOLUME_MOUNT_MOUNT_PATH, TOKEN_PATH);
        value_append(a, value_make_array(a, container, F_CONTAINER_VOLUME_MOUNTS), m);
        needed = true;
    }
    return needed;
}

static struct value *source_add(struct arena *a, struct value *sources, name_id what)
{
    struct value *source = value_object(a);
    value_append(a, sources, source);
    return value_make_object(a, source, what);
}

static struct value *token_volume(struct arena *a, struct str name)
{
    struct value *volume = value_object(a), *item;
    value_set(a, volume, F_VOLUME_NAME, name);
    struct value *projected = value_make_object(a, volume, F_VOLUME_PROJECTED);
    struct value *sources = value_make_array(a, projected, F_PROJECTED_VOLUME_SOURCE_SOURCES);

    struct value *token = source_add(a, sources, F_VOLUME_PROJECTION_SERVICE_ACCOUNT_TOKEN);
    value_set_int(a, token, F_SERVICE_ACCOUNT_TOKEN_PROJECTION_EXPIRATION_SECONDS, TOKEN_SECONDS);
    value_set_text(a, token, F_SERVICE_ACCOUNT_TOKEN_PROJECTION_PATH, "token");

    struct value *ca = source_add(a, sources, F_VOLUME_PROJECTION_CONFIG_MAP);
    value_set_text(a, ca, F_CONFIG_MAP_PROJECTION_NAME, "kube-root-ca.crt");
    item = value_object(a);
    value_set_text(a, item, F_KEY_TO_PATH_KEY, "ca.crt");
    value_set_text(a, item, F_KEY_TO_PATH_PATH, "ca.crt");
    value_append(a, value_make_array(a, ca, F_CONFIG_MAP_PROJECTION_ITEMS), item);

    struct value *downward = source_add(a, sources, F_VOLUME_PROJECTION_DOWNWARD_API);
    item = value_object(a);
    value_set_text(a, item, F_DOWNWARD_API_VOLUME_FILE_PATH, "namespace");
    struct value *field = value_make_object(a, item, F_DOWNWARD_API_VOLUME_FILE_FIELD_REF);
    value_set_text(a, field, F_OBJECT_FIELD_SELECTOR_API_VERSION, "v1");
    value_set_text(a, field, F_OBJECT_FIELD_SELECTOR_FIELD_PATH, "metadata.namespace");
    value_append(a, value_make_array(a, downward, F_DOWNWARD_API_PROJECTION_ITEMS), item);

    value_set_int(a, projected, F_PROJECTED_VOLUME_SOURCE_DEFAULT_MODE, 0644);
    return volume;
}

static void add_token(struct request *r, struct value *spec, struct view account)
{
    struct arena *a = &r->arena;
    char suffix[6];
    bool wanted = view_bool(view_get(account, F_SERVICE_ACCOUNT_AUTOMOUNT_SERVICE_ACCOUNT_TOKEN), true);
    if (!value_to_bool(value_get(spec, F_POD_SPEC_AUTOMOUNT_SERVICE_ACCOUNT_TOKEN), wanted))
        return;
    struct str name = arena_printf(a, "kube-api-access-%s", env_random_suffix(server_env(r->server), suffix, 5));
    bool needed = mount(a, value_get(spec, F_POD_SPEC_INIT_CONTAINERS), name);
    needed |= mount(a, value_get(spec, F_POD_SPEC_CONTAINERS), name);
    if (needed)
        value_append(a, value_make_array(a, spec, F_POD_SPEC_VOLUMES), token_volume(a, name));
}

static enum phase_result use_account(struct request *r, struct value *spec, const struct object *account)
{
    struct view root = object_root(account), pulls = view_get(root, F_SERVICE_ACCOUNT_IMAGE_PULL_SECRETS);
    const struct value *own_pulls = value_get(spec, F_POD_SPEC_IMAGE_PULL_SECRETS);
    add_token(r, spec, root);
    if (view_count(pulls) && !(value_type(own_pulls) == VALUE_ARRAY && own_pulls->items_count))
        value_put(&r->arena, spec, F_POD_SPEC_IMAGE_PULL_SECRETS,
                  value_copy_all(&r->arena, value_of_view(&r->arena, pulls)));
    return PHASE_DONE;
}

static const struct object *account_of(struct request *r, struct value *spec)
{
    return state_get(server_state(r->server), &kind_serviceaccount, r->info.namespace_,
                     value_to_str(value_get(spec, F_POD_SPEC_SERVICE_ACCOUNT_NAME)));
}

static enum phase_result no_account(struct request *r, struct str name)
{
    return admission_forbid(r, "error looking up service account %.*s/%.*s: serviceaccount \"%.*s\" not found",
                            STR_ARG(r->info.namespace_), STR_ARG(name), STR_ARG(name));
}

static void look_again(void *arg)
{
    struct waiting *w = arg;
    struct request *r = w->request;
    struct value *spec = value_get(r->tree, F_POD_SPEC);
    const struct object *account = account_of(r, spec);
    if (account)
        request_resume(r, use_account(r, spec, account));
    else if (loop_now_ms(server_loop(r->server)) >= w->until_ms || r->gone)
        request_resume(r, no_account(r, STR("default")));
    else
        loop_timer_start(&w->timer, ACCOUNT_LOOK_MS);
}

static enum phase_result mutate(struct request *r, struct value *tree)
{
    struct arena *a = &r->arena;
    struct value *spec = value_make_object(a, tree, F_POD_SPEC);
    struct str name = value_to_str(value_get(spec, F_POD_SPEC_SERVICE_ACCOUNT_NAME));
    if (str_empty(name))
        name = STR("default");
    value_set(a, spec, F_POD_SPEC_SERVICE_ACCOUNT_NAME, name);
    value_set(a, spec, F_POD_SPEC_SERVICE_ACCOUNT, name);
    const struct object *account = account_of(r, spec);
    if (account)
        return use_account(r, spec, account);
    if (!str_is(name, "default"))
        return no_account(r, name);
    struct waiting *w = arena_new(a, struct waiting);
    w->request = r;
    w->until_ms = loop_now_ms(server_loop(r->server)) + ACCOUNT_WAIT_MS;
    loop_timer_init(&w->timer, server_loop(r->server), look_again, w);
    loop_timer_start(&w->timer, ACCOUNT_LOOK_MS);
    return PHASE_WAIT;
}

const struct admission_step admission_service_account = {
    .name = "ServiceAccount",
    .applies = applies,
    .mutate = mutate,
};
