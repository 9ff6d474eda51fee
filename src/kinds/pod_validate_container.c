/* Rules of containers: regular, init and ephemeral ones. */
#include "kinds/pod.h"

static const char *const protocols[] = { "SCTP", "TCP", "UDP", NULL };
static const char *const pull_policies[] = { "Always", "IfNotPresent", "Never", NULL };
static const char *const message_policies[] = { "File", "FallbackToLogsOnError", NULL };
static const char *const resize_resources[] = { "cpu", "memory", NULL };
static const char *const resize_policies[] = { "NotRequired", "RestartContainer", NULL };
static const char *const mount_propagations[] = { "Bidirectional", "HostToContainer", "None", NULL };
static const char *const recursive_read_only[] = { "Disabled", "Enabled", "IfPossible", NULL };

static void check_ports(struct check *k, const struct at *at, struct view ports)
{
    AUTO_MAP struct map names = { 0 };
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(ports, &it) && !check_full(k); i++) {
        const struct at *port = AT_INDEX(at, i);
        struct str name = view_str_at(it.value, F_CONTAINER_PORT_NAME);
        int64_t container_port = view_int_at(it.value, 0, F_CONTAINER_PORT_CONTAINER_PORT);
        int64_t host_port = view_int_at(it.value, 0, F_CONTAINER_PORT_HOST_PORT);

        if (name.n && check_port_name(k, AT(port, "name"), name) && seen_before(&names, name))
            check_duplicate_str(k, AT(port, "name"), name);
        if (!container_port)
            check_required(k, AT(port, "containerPort"), "");
        else
            check_port(k, AT(port, "containerPort"), container_port);
        if (host_port)
            check_port(k, AT(port, "hostPort"), host_port);
        check_one_of_required(k, AT(port, "protocol"), view_str_at(it.value, F_CONTAINER_PORT_PROTOCOL), protocols);
    }
}

static void check_mount_propagation(struct check *k, const struct at *at, struct view mount, struct view container)
{
    struct str mode = view_str_at(mount, F_VOLUME_MOUNT_MOUNT_PROPAGATION);
    struct str recursive = view_str_at(mount, F_VOLUME_MOUNT_RECURSIVE_READ_ONLY);

    if (mode.n) {
        check_one_of(k, AT(at, "mountPropagation"), mode, mount_propagations);
        if (str_is(mode, "Bidirectional") &&
            !view_bool_at(container, false, F_CONTAINER_SECURITY_CONTEXT, F_SECURITY_CONTEXT_PRIVILEGED))
            check_forbidden(k, AT(at, "mountPropagation"),
                            "Bidirectional mount propagation is available only to privileged containers");
    }
    if (!recursive.n || !check_one_of(k, AT(at, "recursiveReadOnly"), recursive, recursive_read_only) ||
        str_is(recursive, "Disabled"))
        return;
    if (!view_bool_at(mount, false, F_VOLUME_MOUNT_READ_ONLY))
        check_forbidden(k, AT(at, "recursiveReadOnly"), "may only be specified when readOnly is true");
    if (mode.n && !str_is(mode, "None"))
        check_forbidden(k, AT(at, "recursiveReadOnly"),
                        "may only be specified when mountPropagation is None or not specified");
}

static void check_sub_paths(struct pod_check *p, const struct at *at, const struct at *mount_at, struct view mount)
{
    struct str path = view_str_at(mount, F_VOLUME_MOUNT_SUB_PATH);
    struct str expression = view_str_at(mount, F_VOLUME_MOUNT_SUB_PATH_EXPR);

    if (path.n)
        check_relative_path(p->k, AT(at, "subPath"), path);
    if (expression.n) {
        if (path.n)
            check_invalid_str(p->k, AT(mount_at, "subPathExpr"), expression,
                              "subPathExpr and subPath are mutually exclusive");
        check_relative_path(p->k, AT(at, "subPathExpr"), expression);
    }
}

/* Where mounts and devices of a container meet: names or paths of the one in the list of the other. */
static void add_texts(struct map *texts, struct view items, name_id member)
{
    struct view_iter it = { 0 };

    while (view_next(items, &it))
        seen_before(texts, view_str_at(it.value, member));
}

static void check_mounts(struct pod_check *p, const struct at *at, struct view container)
{
    struct view devices = view_get(container, F_CONTAINER_VOLUME_DEVICES);
    AUTO_MAP struct map paths = { 0 };
    AUTO_MAP struct map device_names = { 0 };
    AUTO_MAP struct map device_paths = { 0 };
    struct view_iter it = { 0 };

    add_texts(&device_names, devices, F_VOLUME_DEVICE_NAME);
    add_texts(&device_paths, devices, F_VOLUME_DEVICE_DEVICE_PATH);
    for (size_t i = 0; view_next(view_get(container, F_CONTAINER_VOLUME_MOUNTS), &it) && !check_full(p->k); i++) {
        const struct at *mount = AT_INDEX(at, i);
        struct str name = view_str_at(it.value, F_VOLUME_MOUNT_NAME);
        struct str path = view_str_at(it.value, F_VOLUME_MOUNT_MOUNT_PATH);

        if (!name.n)
            check_required(p->k, AT(mount, "name"), "");
        if (!map_has(&p->volumes, name))
            check_not_found(p->k, AT(mount, "name"), name);
        if (!path.n)
            check_required(p->k, AT(mount, "mountPath"), "");
        if (seen_before(&paths, path))
            check_invalid_str(p->k, AT(mount, "mountPath"), path, "must be unique");
        if (map_has(&device_names, name))
            check_invalid_str(p->k, AT(mount, "name"), name, "must not already exist in volumeDevices");
        if (map_has(&device_paths, path))
            check_invalid_str(p->k, AT(mount, "mountPath"), path, "must not already exist as a path in volumeDevices");
        check_sub_paths(p, at, mount, it.value);
        check_mount_propagation(p->k, at, it.value, container);
    }
}

static void check_devices(struct pod_check *p, const struct at *at, struct view container)
{
    struct view mounts = view_get(container, F_CONTAINER_VOLUME_MOUNTS);
    AUTO_MAP struct map names = { 0 };
    AUTO_MAP struct map paths = { 0 };
    AUTO_MAP struct map mount_names = { 0 };
    AUTO_MAP struct map mount_paths = { 0 };
    struct view_iter it = { 0 };

    add_texts(&mount_names, mounts, F_VOLUME_MOUNT_NAME);
    add_texts(&mount_paths, mounts, F_VOLUME_MOUNT_MOUNT_PATH);
    for (size_t i = 0; view_next(view_get(container, F_CONTAINER_VOLUME_DEVICES), &it) && !check_full(p->k); i++) {
        const struct at *device = AT_INDEX(at, i);
        struct str name = view_str_at(it.value, F_VOLUME_DEVICE_NAME);
        struct str path = view_str_at(it.value, F_VOLUME_DEVICE_DEVICE_PATH);

        if (!name.n)
            check_required(p->k, AT(device, "name"), "");
        else if (seen_before(&names, name))
            check_invalid_str(p->k, AT(device, "name"), name, "must be unique");
        if (!map_has(&p->volumes, name))
            check_not_found(p->k, AT(device, "name"), name);
        else if (!map_has(&p->claim_volumes, name))
            check_invalid_str(p->k, AT(device, "name"), name,
                              "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
        if (!path.n)
            check_required(p->k, AT(device, "devicePath"), "");
        else if (seen_before(&paths, path))
            check_invalid_str(p->k, AT(device, "devicePath"), path, "must be unique");
        if (map_has(&mount_names, name))
            check_invalid_str(p->k, AT(device, "name"), name, "must not already exist in volumeMounts");
        if (map_has(&mount_paths, path))
            check_invalid_str(p->k, AT(device, "devicePath"), path, "must not already exist as a path in volumeMounts");
    }
}

static void check_resize_policy(struct pod_check *p, const struct at *at, struct view policies)
{
    bool never = str_is(view_str_at(p->spec, F_POD_SPEC_RESTART_POLICY), "Never");
    AUTO_MAP struct map seen = { 0 };
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(policies, &it) && !check_full(p->k); i++) {
        struct str resource = view_str_at(it.value, F_CONTAINER_RESIZE_POLICY_RESOURCE_NAME);
        struct str policy = view_str_at(it.value, F_CONTAINER_RESIZE_POLICY_RESTART_POLICY);

        if (seen_before(&seen, resource))
            check_duplicate_str(p->k, AT_INDEX(at, i), resource);
        check_one_of_required(p->k, at, resource, resize_resources);
        check_one_of_required(p->k, at, policy, resize_policies);
        if (never && !str_is(policy, "NotRequired"))
            check_invalid_str(p->k, at, policy, "must be 'NotRequired' when `restartPolicy` is 'Never'");
    }
}

static void check_image_spaces(struct check *k, const struct at *at, struct str image)
{
    if (str_trim(image).n != image.n)
        check_invalid_str(k, AT(at, "image"), image, "must not have leading or trailing whitespace");
}

static void check_common(struct pod_check *p, const struct at *at, struct view container)
{
    struct str name = view_str_at(container, F_CONTAINER_NAME), image = view_str_at(container, F_CONTAINER_IMAGE);

    if (!name.n)
        check_required(p->k, AT(at, "name"), "");
    else
        check_dns_label(p->k, AT(at, "name"), name);
    if (!image.n)
        check_required(p->k, AT(at, "image"), "");
    check_one_of_required(p->k, AT(at, "terminationMessagePolicy"),
                          view_str_at(container, F_CONTAINER_TERMINATION_MESSAGE_POLICY), message_policies);
    check_ports(p->k, AT(at, "ports"), view_get(container, F_CONTAINER_PORTS));
    pod_check_env(p->k, AT(at, "env"), view_get(container, F_CONTAINER_ENV));
    pod_check_env_from(p->k, AT(at, "envFrom"), view_get(container, F_CONTAINER_ENV_FROM));
    check_mounts(p, AT(at, "volumeMounts"), container);
    check_devices(p, AT(at, "volumeDevices"), container);
    check_one_of_required(p->k, AT(at, "imagePullPolicy"), view_str_at(container, F_CONTAINER_IMAGE_PULL_POLICY),
                          pull_policies);
    check_resources(p->k, AT(at, "resources"), view_get(container, F_CONTAINER_RESOURCES), &p->claims, false);
    check_resize_policy(p, AT(at, "resizePolicy"), view_get(container, F_CONTAINER_RESIZE_POLICY));
    pod_check_container_security(p, AT(at, "securityContext"), view_get(container, F_CONTAINER_SECURITY_CONTEXT));
    if (p->is_pod)
        check_image_spaces(p->k, at, image);
}

static void check_host_ports(struct check *k, const struct at *at, struct view container, struct map *taken)
{
    struct view_iter it = { 0 };

    for (size_t i = 0; view_next(view_get(container, F_CONTAINER_PORTS), &it) && !check_full(k); i++) {
        int64_t port = view_int_at(it.value, 0, F_CONTAINER_PORT_HOST_PORT);
        struct str key =
            arena_printf(k->arena, "%.*s/%.*s/%lld", STR_ARG(view_str_at(it.value, F_CONTAINER_PORT_PROTOCOL)),
                         STR_ARG(view_str_at(it.value, F_CONTAINER_PORT_HOST_IP)), (long long)port);

        if (port && seen_before(taken, key))
            check_duplicate_str(k, AT(AT_INDEX(AT(at, "ports"), i), "hostPort"), key);
    }
}

static void check_handlers(struct pod_check *p, const struct at *at, struct view container)
{
    pod_check_lifecycle(p, AT(at, "lifecycle"), view_get(container, F_CONTAINER_LIFECYCLE));
    pod_check_probe(p, AT(at, "livenessProbe"), view_get(container, F_CONTAINER_LIVENESS_PROBE), PROBE_LIVENESS);
    pod_check_probe(p, AT(at, "readinessProbe"), view_get(container, F_CONTAINER_READINESS_PROBE), PROBE_READINESS);
    pod_check_probe(p, AT(at, "startupProbe"), view_get(container, F_CONTAINER_STARTUP_PROBE), PROBE_STARTUP);
}

void pod_check_containers(struct pod_check *p, const struct at *at)
{
    struct view containers = view_get(p->spec, F_POD_SPEC_CONTAINERS);
    AUTO_MAP struct map names = { 0 };
    AUTO_MAP struct map ports = { 0 };
    struct view_iter it = { 0 };

    if (!view_count(containers)) {
        check_required(p->k, at, "");
        return;
    }
    for (size_t i = 0; view_next(containers, &it) && !check_full(p->k); i++) {
        const struct at *container = AT_INDEX(at, i);
        struct str name = view_str_at(it.value, F_CONTAINER_NAME);

        check_common(p, container, it.value);
        if (seen_before(&names, name))
            check_duplicate_str(p->k, AT(container, "name"), name);
        check_handlers(p, container, it.value);
        check_host_ports(p->k, container, it.value, &ports);
    }
}

/* An init container runs to its end, so it can have no probes; one that restarts always is a sidecar, which can. */
static void check_init_only(struct pod_check *p, const struct at *at, struct view container)
{
    static const struct {
        name_id name;
        struct str text;
    } forbidden[] = {
        { F_CONTAINER_LIFECYCLE, STR_INIT("lifecycle") },
        { F_CONTAINER_LIVENESS_PROBE, STR_INIT("livenessProbe") },
        { F_CONTAINER_READINESS_PROBE, STR_INIT("readinessProbe") },
        { F_CONTAINER_STARTUP_PROBE, STR_INIT("startupProbe") },
    };
    static const char *const policies[] = { "Always", "Never", "OnFailure", NULL };
    struct view policy = view_get(container, F_CONTAINER_RESTART_POLICY);

    if (view_present(policy))
        check_one_of(p->k, AT(at, "restartPolicy"), view_str(policy), policies);
    if (str_is(view_str(policy), "Always")) {
        check_handlers(p, at, container);
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
        if (view_present(view_get(container, forbidden[i].name)))
            check_forbidden(p->k, AT_STR(at, forbidden[i].text),
                            "may not be set for init containers without restartPolicy=Always");
}

void pod_check_init_containers(struct pod_check *p, const struct at *at)
{
    AUTO_MAP struct map names = { 0 };
    struct view_iter it = { 0 };

    add_texts(&names, view_get(p->spec, F_POD_SPEC_CONTAINERS), F_CONTAINER_NAME);
    for (size_t i = 0; view_next(view_get(p->spec, F_POD_SPEC_INIT_CONTAINERS), &it) && !check_full(p->k); i++) {
        const struct at *container = AT_INDEX(at, i);
        struct str name = view_str_at(it.value, F_CONTAINER_NAME);
        AUTO_MAP struct map ports = { 0 };

        check_common(p, container, it.value);
        check_init_only(p, container, it.value);
        if (name.n && seen_before(&names, name))
            check_duplicate_str(p->k, AT(container, "name"), name);
        check_host_ports(p->k, container, it.value, &ports); /* one at a time, so only its own can clash */
    }
}

static void check_ephemeral_only(struct pod_check *p, const struct at *at, struct view container)
{
    static const struct {
        name_id name;
        struct str text;
    } forbidden[] = {
        { F_CONTAINER_PORTS, STR_INIT("ports") },
        { F_CONTAINER_RESIZE_POLICY, STR_INIT("resizePolicy") },
        { F_CONTAINER_RESTART_POLICY, STR_INIT("restartPolicy") },
        { F_CONTAINER_LIVENESS_PROBE, STR_INIT("livenessProbe") },
        { F_CONTAINER_READINESS_PROBE, STR_INIT("readinessProbe") },
        { F_CONTAINER_STARTUP_PROBE, STR_INIT("startupProbe") },
        { F_CONTAINER_LIFECYCLE, STR_INIT("lifecycle") },
    };
    struct view_iter it = { 0 };

    for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++)
        if (view_present(view_get(container, forbidden[i].name)))
            check_forbidden(p->k, AT_STR(at, forbidden[i].text), "cannot be set for an Ephemeral Container");
    if (view_count(view_get(container, F_CONTAINER_RESOURCES)))
        check_forbidden(p->k, AT(at, "resources"), "cannot be set for an Ephemeral Container");
    for (size_t i = 0; view_next(view_get(container, F_CONTAINER_VOLUME_MOUNTS), &it) && !check_full(p->k); i++) {
        const struct at *mount = AT_INDEX(AT(at, "volumeMounts"), i);

        if (view_str_at(it.value, F_VOLUME_MOUNT_SUB_PATH).n)
            check_forbidden(p->k, AT(mount, "subPath"), "cannot be set for an Ephemeral Container");
        if (view_str_at(it.value, F_VOLUME_MOUNT_SUB_PATH_EXPR).n)
            check_forbidden(p->k, AT(mount, "subPathExpr"), "cannot be set for an Ephemeral Container");
    }
}

void pod_check_ephemeral_containers(struct pod_check *p, const struct at *at)
{
    AUTO_MAP struct map others = { 0 };
    AUTO_MAP struct map names = { 0 };
    struct view_iter it = { 0 };

    add_texts(&others, view_get(p->spec, F_POD_SPEC_CONTAINERS), F_CONTAINER_NAME);
    add_texts(&others, view_get(p->spec, F_POD_SPEC_INIT_CONTAINERS), F_CONTAINER_NAME);
    for (size_t i = 0; view_next(view_get(p->spec, F_POD_SPEC_EPHEMERAL_CONTAINERS), &it) && !check_full(p->k); i++) {
        const struct at *container = AT_INDEX(at, i);
        struct str name = view_str_at(it.value, F_CONTAINER_NAME);
        struct str target = view_str_at(it.value, F_EPHEMERAL_CONTAINER_TARGET_CONTAINER_NAME);

        check_common(p, container, it.value);
        if (map_has(&others, name) || seen_before(&names, name))
            check_duplicate_str(p->k, AT(container, "name"), name);
        if (target.n && !map_has(&others, target))
            check_not_found(p->k, AT(container, "targetContainerName"), target);
        check_ephemeral_only(p, container, it.value);
    }
}
