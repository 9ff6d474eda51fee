/* What Kubernetes fills into a pod spec that leaves it out. Source: pkg/apis/core/v1/defaults.go. */
#include "kinds/claim.h"
#include "kinds/pod.h"

#define FILE_MODE_DEFAULT     0644
#define TOKEN_SECONDS_DEFAULT 3600
#define GRACE_SECONDS_DEFAULT 30

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* One part of an image's path: groups of letters and digits joined by ".", "_", "__" or dashes. */
static bool is_image_component(struct str part)
{
    size_t i = 0;

    if (!part.n || !is_lower_alnum(part.p[0]) || !is_lower_alnum(part.p[part.n - 1]))
        return false;
    while (i < part.n) {
        size_t start = i;

        while (i < part.n && is_lower_alnum(part.p[i]))
            i++;
        if (i == part.n)
            return true;
        for (start = i; i < part.n && part.p[i] == part.p[start] && !is_lower_alnum(part.p[i]);)
            i++;
        if (part.p[start] == '.' ? i - start > 1 : part.p[start] == '_' ? i - start > 2 : part.p[start] != '-')
            return false;
        if (i < part.n && !is_lower_alnum(part.p[i]))
            return false;
    }
    return true;
}

static bool is_image_domain(struct str part)
{
    for (size_t i = 0; i < part.n; i++)
        if (!is_lower_alnum(part.p[i]) && !(part.p[i] >= 'A' && part.p[i] <= 'Z') && !memchr(".-:[]", part.p[i], 5))
            return false;
    return part.n > 0;
}

/* The path without a registry's host, which is a first part with a dot, a colon, or the name localhost. */
static bool is_image_path(struct str path)
{
    struct str rest = path, part;
    bool first = true;

    for (; str_next(&rest, '/', &part); first = false) {
        bool host = first && part.n < path.n &&
                    (str_find(part, '.') >= 0 || str_find(part, ':') >= 0 || str_is(part, "localhost"));

        if (host ? !is_image_domain(part) : !is_image_component(part))
            return false;
    }
    return !first;
}

/* A name that does not parse has no tag, as upstream's ParseImageName gives none for it. */
const char *image_pull_policy_default(struct str image)
{
    struct str name = image, digest = image;
    bool has_digest = str_cut(&digest, '@', &name);
    ptrdiff_t colon = str_find_last(name, ':'), slash = str_find_last(name, '/');
    struct str tag = STR_NONE;

    if (colon > slash) {
        tag = str_from(name, (size_t)colon + 1);
        name = str_part(name, 0, (size_t)colon);
    }
    if (!is_image_path(name))
        return "IfNotPresent";
    return str_is(tag, "latest") || (!tag.n && !has_digest) ? "Always" : "IfNotPresent";
}

static void default_http_get(struct arena *a, struct value *http)
{
    if (value_type(http) != VALUE_OBJECT)
        return;
    default_text(a, http, F_HTTP_GET_ACTION_PATH, "/");
    default_text(a, http, F_HTTP_GET_ACTION_SCHEME, "HTTP");
}

static void default_probe(struct arena *a, struct value *probe)
{
    if (value_type(probe) != VALUE_OBJECT)
        return;
    default_http_get(a, value_get(probe, F_PROBE_HTTP_GET));
    default_zero_int(a, probe, F_PROBE_TIMEOUT_SECONDS, 1);
    default_zero_int(a, probe, F_PROBE_PERIOD_SECONDS, 10);
    default_zero_int(a, probe, F_PROBE_SUCCESS_THRESHOLD, 1);
    default_zero_int(a, probe, F_PROBE_FAILURE_THRESHOLD, 3);
}

static void default_field_ref(struct arena *a, struct value *field_ref)
{
    if (value_type(field_ref) == VALUE_OBJECT)
        default_text(a, field_ref, F_OBJECT_FIELD_SELECTOR_API_VERSION, "v1");
}

static void default_container(struct arena *a, struct value *container)
{
    struct value *env = value_get(container, F_CONTAINER_ENV), *item;
    struct value *lifecycle = value_get(container, F_CONTAINER_LIFECYCLE);

    default_text(a, container, F_CONTAINER_IMAGE_PULL_POLICY,
                 image_pull_policy_default(value_to_str(value_get(container, F_CONTAINER_IMAGE))));
    default_text(a, container, F_CONTAINER_TERMINATION_MESSAGE_PATH, "/dev/termination-log");
    default_text(a, container, F_CONTAINER_TERMINATION_MESSAGE_POLICY, "File");
    default_probe(a, value_get(container, F_CONTAINER_LIVENESS_PROBE));
    default_probe(a, value_get(container, F_CONTAINER_READINESS_PROBE));
    default_probe(a, value_get(container, F_CONTAINER_STARTUP_PROBE));
    default_http_get(a, value_path(lifecycle, F_LIFECYCLE_POST_START, F_LIFECYCLE_HANDLER_HTTP_GET));
    default_http_get(a, value_path(lifecycle, F_LIFECYCLE_PRE_STOP, F_LIFECYCLE_HANDLER_HTTP_GET));
    for (size_t i = 0; (item = value_at(env, i)); i++)
        default_field_ref(a, value_path(item, F_ENV_VAR_VALUE_FROM, F_ENV_VAR_SOURCE_FIELD_REF));
}

static void default_downward_items(struct arena *a, struct value *items)
{
    struct value *item;

    for (size_t i = 0; (item = value_at(items, i)); i++)
        default_field_ref(a, value_get(item, F_DOWNWARD_API_VOLUME_FILE_FIELD_REF));
}

static void default_projected(struct arena *a, struct value *projected)
{
    struct value *sources = value_get(projected, F_PROJECTED_VOLUME_SOURCE_SOURCES), *source;

    default_int(a, projected, F_PROJECTED_VOLUME_SOURCE_DEFAULT_MODE, FILE_MODE_DEFAULT);
    for (size_t i = 0; (source = value_at(sources, i)); i++) {
        struct value *token = value_get(source, F_VOLUME_PROJECTION_SERVICE_ACCOUNT_TOKEN);

        if (value_type(token) == VALUE_OBJECT)
            default_int(a, token, F_SERVICE_ACCOUNT_TOKEN_PROJECTION_EXPIRATION_SECONDS, TOKEN_SECONDS_DEFAULT);
        default_downward_items(a,
                               value_path(source, F_VOLUME_PROJECTION_DOWNWARD_API, F_DOWNWARD_API_PROJECTION_ITEMS));
    }
}

static void default_volume(struct arena *a, struct value *volume)
{
    struct value *source;

    /* Nothing but a name: an empty directory. */
    if (volume->members_count <= (value_get(volume, F_VOLUME_NAME) ? 1 : 0))
        value_put(a, volume, F_VOLUME_EMPTY_DIR, value_object(a));
    if ((source = value_get(volume, F_VOLUME_SECRET)))
        default_int(a, source, F_SECRET_VOLUME_SOURCE_DEFAULT_MODE, FILE_MODE_DEFAULT);
    if ((source = value_get(volume, F_VOLUME_CONFIG_MAP)))
        default_int(a, source, F_CONFIG_MAP_VOLUME_SOURCE_DEFAULT_MODE, FILE_MODE_DEFAULT);
    if ((source = value_get(volume, F_VOLUME_DOWNWARD_API))) {
        default_int(a, source, F_DOWNWARD_API_VOLUME_SOURCE_DEFAULT_MODE, FILE_MODE_DEFAULT);
        default_downward_items(a, value_get(source, F_DOWNWARD_API_VOLUME_SOURCE_ITEMS));
    }
    if ((source = value_get(volume, F_VOLUME_PROJECTED)))
        default_projected(a, source);
    if ((source = value_get(volume, F_VOLUME_HOST_PATH)) &&
        value_unset(value_get(source, F_HOST_PATH_VOLUME_SOURCE_TYPE)))
        value_set_text(a, source, F_HOST_PATH_VOLUME_SOURCE_TYPE, "");
    if ((source = value_get(volume, F_VOLUME_IMAGE)))
        default_text(a, source, F_IMAGE_VOLUME_SOURCE_PULL_POLICY,
                     image_pull_policy_default(value_to_str(value_get(source, F_IMAGE_VOLUME_SOURCE_REFERENCE))));
    claim_spec_default(a, value_path(volume, F_VOLUME_EPHEMERAL, F_EPHEMERAL_VOLUME_SOURCE_VOLUME_CLAIM_TEMPLATE,
                                     F_PERSISTENT_VOLUME_CLAIM_TEMPLATE_SPEC));
}

/* serviceAccount is the old name of serviceAccountName; both always say the same. */
static void default_service_account(struct arena *a, struct value *spec)
{
    struct str name = value_to_str(value_get(spec, F_POD_SPEC_SERVICE_ACCOUNT_NAME));

    if (!name.n)
        name = value_to_str(value_get(spec, F_POD_SPEC_SERVICE_ACCOUNT));
    if (!name.n)
        return;
    value_set(a, spec, F_POD_SPEC_SERVICE_ACCOUNT_NAME, name);
    value_set(a, spec, F_POD_SPEC_SERVICE_ACCOUNT, name);
}

void pod_spec_default(struct arena *a, struct value *spec)
{
    static const name_id lists[] = { F_POD_SPEC_CONTAINERS, F_POD_SPEC_INIT_CONTAINERS,
                                     F_POD_SPEC_EPHEMERAL_CONTAINERS };
    struct value *item;

    if (value_type(spec) != VALUE_OBJECT)
        return;
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
        for (size_t i = 0; (item = value_at(value_get(spec, lists[l]), i)); i++)
            default_container(a, item);
    for (size_t i = 0; (item = value_at(value_get(spec, F_POD_SPEC_VOLUMES), i)); i++)
        default_volume(a, item);
    default_text(a, spec, F_POD_SPEC_DNS_POLICY, "ClusterFirst");
    default_text(a, spec, F_POD_SPEC_RESTART_POLICY, "Always");
    if (value_unset(value_get(spec, F_POD_SPEC_SECURITY_CONTEXT)))
        value_put(a, spec, F_POD_SPEC_SECURITY_CONTEXT, value_object(a));
    default_int(a, spec, F_POD_SPEC_TERMINATION_GRACE_PERIOD_SECONDS, GRACE_SECONDS_DEFAULT);
    default_text(a, spec, F_POD_SPEC_SCHEDULER_NAME, "default-scheduler");
    default_service_account(a, spec);
}

/* A limit without a request is also the request. */
static void default_requests(struct arena *a, struct value *container)
{
    struct value *resources = value_get(container, F_CONTAINER_RESOURCES);
    struct value *limits = value_get(resources, F_RESOURCE_REQUIREMENTS_LIMITS), *requests;

    if (value_empty(limits))
        return;
    requests = value_make_object(a, resources, F_RESOURCE_REQUIREMENTS_REQUESTS);
    for (size_t i = 0; i < limits->members_count; i++)
        if (!value_get_str(requests, limits->members[i].name))
            value_put_str(a, requests, limits->members[i].name, limits->members[i].value);
}

static void default_host_ports(struct arena *a, struct value *container)
{
    struct value *port;

    for (size_t i = 0; (port = value_at(value_get(container, F_CONTAINER_PORTS), i)); i++) {
        int64_t number = value_to_int(value_get(port, F_CONTAINER_PORT_CONTAINER_PORT), 0);

        if (number)
            default_zero_int(a, port, F_CONTAINER_PORT_HOST_PORT, number);
    }
}

void pod_default(struct kind_context *c, struct value *pod)
{
    static const name_id lists[] = { F_POD_SPEC_CONTAINERS, F_POD_SPEC_INIT_CONTAINERS };
    struct value *spec = value_get(pod, F_POD_SPEC), *item;

    if (value_type(spec) != VALUE_OBJECT)
        return;
    pod_spec_default(c->arena, spec);
    default_bool(c->arena, spec, F_POD_SPEC_ENABLE_SERVICE_LINKS, true);
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
        for (size_t i = 0; (item = value_at(value_get(spec, lists[l]), i)); i++) {
            default_requests(c->arena, item);
            if (value_to_bool(value_get(spec, F_POD_SPEC_HOST_NETWORK), false))
                default_host_ports(c->arena, item);
        }
}

void pod_template_default(struct arena *a, struct value *template_)
{
    pod_spec_default(a, value_get(template_, F_POD_TEMPLATE_SPEC_SPEC));
}
