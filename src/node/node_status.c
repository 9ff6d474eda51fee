/* Keeping the Node object and its Lease. */
#include "node/node_status.h"

#include "base/time.h"
#include "kinds/fields.h"
#include "object/value.h"
#define LOG_PART "node"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#define RETRY_MS         200
#define READY_LOOK_MS    20 /* until the network is ready for the first time */
#define LOOK_MS          10000
#define DISK_PRESSURE_AT 95 /* percent in use; image collection has had its chance at 85 */
#define IMAGES_MAX       50 /* Source: nodeStatusMaxImages */
#define KUBELET_VERSION  "v1.36.0+klein"

struct node_status {
    struct agent *agent;
    struct machine_facts machine;
    struct api_watch *watch;
    struct object *node; /* as the server has it; NULL: not seen yet */
    bool synced, creating, writing, again, ready;
    struct object *sent;
    int64_t sent_ms;
    struct loop_timer look, lease;
    bool lease_open, lease_exists;
    struct loop_task task;
};

bool node_is_ready(const struct node_status *s)
{
    return s->ready;
}

/* --- the object ------------------------------------------------------------------------------------------------------------- */

static const char *architecture(void)
{
#if defined(__aarch64__)
    return "arm64";
#else
    return "amd64";
#endif
}

static struct value *make_labels(const struct node_status *s, struct arena *a)
{
    const struct agent_config *c = s->agent->config;
    struct value *labels = value_object(a);
    const char *const fixed[][2] = {
        { "kubernetes.io/arch", architecture() },
        { "beta.kubernetes.io/arch", architecture() },
        { "kubernetes.io/os", "linux" },
        { "beta.kubernetes.io/os", "linux" },
        { "kubernetes.io/hostname", c->node_name },
        { "topology.kubernetes.io/zone", c->zone },
        { "topology.kubernetes.io/region", c->region },
    };

    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
        if (fixed[i][1] && fixed[i][1][0])
            value_put_str(a, labels, str_of(fixed[i][0]), value_text(a, fixed[i][1]));
    }
    for (size_t i = 0; i < c->labels_count; i++) {
        struct str value = str_of(c->labels[i]), name;
        str_cut(&value, '=', &name);
        value_put_str(a, labels, name, value_str(a, value));
    }
    return labels;
}

static struct value *time_value(struct arena *a, int64_t wall_ms)
{
    char text[TIME_TEXT_SIZE];
    return value_str(a, arena_str(a, str_of(time_format(wall_ms, text))));
}

static void add_resources(const struct node_status *s, struct arena *a, struct value *status)
{
    const struct machine_facts *m = &s->machine;
    const struct agent_config *c = s->agent->config;
    struct value *capacity = value_make_object(a, status, F_NODE_STATUS_CAPACITY);
    struct value *allocatable = value_make_object(a, status, F_NODE_STATUS_ALLOCATABLE);
    int pods = c->max_pods ? c->max_pods : 250;

    value_put_str(a, capacity, STR("cpu"), value_strf(a, "%lld", (long long)m->milli_cpu / 1000));
    value_put_str(a, capacity, STR("ephemeral-storage"), value_strf(a, "%lldKi", (long long)m->disk_bytes / 1024));
    value_put_str(a, capacity, STR("memory"), value_strf(a, "%lldKi", (long long)m->memory_bytes / 1024));
    value_put_str(a, capacity, STR("pods"), value_strf(a, "%d", pods));
    int64_t cpu = m->milli_cpu - c->reserved_milli_cpu;
    value_put_str(a, allocatable, STR("cpu"),
                  cpu % 1000 ? value_strf(a, "%lldm", (long long)cpu) : value_strf(a, "%lld", (long long)cpu / 1000));
    value_put_str(a, allocatable, STR("ephemeral-storage"), value_strf(a, "%lld", (long long)(m->disk_bytes / 10 * 9)));
    value_put_str(a, allocatable, STR("memory"),
                  value_strf(a, "%lldKi", (long long)(m->memory_bytes - c->reserved_memory_bytes) / 1024));
    value_put_str(a, allocatable, STR("pods"), value_strf(a, "%d", pods));
}

static void add_condition(const struct node_status *s, struct arena *a, struct value *list, const char *type,
                          bool status, const char *reason, const char *message, int64_t now)
{
    struct view old = VIEW_ABSENT,
                conditions = s->sent   ? view_get(object_root(s->sent), F_NODE_STATUS_CONDITIONS)
                             : s->node ? view_path(object_root(s->node), F_NODE_STATUS, F_NODE_STATUS_CONDITIONS)
                                       : VIEW_ABSENT;
    struct str text = status ? STR("True") : STR("False");
    struct value *v = value_object(a);

    for (struct view_iter it = { 0 }; view_next(conditions, &it);) {
        if (str_is(view_str_at(it.value, F_NODE_CONDITION_TYPE), type))
            old = it.value;
    }
    struct str since = str_eq(view_str_at(old, F_NODE_CONDITION_STATUS), text)
                           ? view_str_at(old, F_NODE_CONDITION_LAST_TRANSITION_TIME)
                           : STR_NONE;
    value_set_text(a, v, F_NODE_CONDITION_TYPE, type);
    value_set(a, v, F_NODE_CONDITION_STATUS, text);
    value_put(a, v, F_NODE_CONDITION_LAST_HEARTBEAT_TIME, time_value(a, now));
    value_put(a, v, F_NODE_CONDITION_LAST_TRANSITION_TIME, since.n ? value_str(a, since) : time_value(a, now));
    value_set_text(a, v, F_NODE_CONDITION_REASON, reason);
    value_set_text(a, v, F_NODE_CONDITION_MESSAGE, message);
    value_append(a, list, v);
}

static bool disk_is_full(const struct node_status *s)
{
    struct statvfs v;
    if (statvfs(s->agent->data, &v) < 0 || v.f_blocks == 0)
        return false;
    return 100 - (int)(v.f_bavail * 100 / v.f_blocks) >= DISK_PRESSURE_AT;
}

static void add_conditions(struct node_status *s, struct arena *a, struct value *status, int64_t now)
{
    struct value *list = value_make_array(a, status, F_NODE_STATUS_CONDITIONS);
    bool full = disk_is_full(s);

    add_condition(s, a, list, "MemoryPressure", false, "KubeletHasSufficientMemory",
                  "kubelet has sufficient memory available", now);
    add_condition(s, a, list, "DiskPressure", full, full ? "KubeletHasDiskPressure" : "KubeletHasNoDiskPressure",
                  full ? "kubelet has disk pressure" : "kubelet has no disk pressure", now);
    add_condition(s, a, list, "PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available",
                  now);
    add_condition(s, a, list, "Ready", s->ready, s->ready ? "KubeletReady" : "KubeletNotReady",
                  s->ready ? "kubelet is posting ready status"
                           : "container runtime network not ready: the pod network is not set up yet",
                  now);
}

static void add_addresses(const struct node_status *s, struct arena *a, struct value *status)
{
    struct value *list = value_make_array(a, status, F_NODE_STATUS_ADDRESSES), *v;

    value_append(a, list, v = value_object(a));
    value_set_text(a, v, F_NODE_ADDRESS_TYPE, "InternalIP");
    value_set_text(a, v, F_NODE_ADDRESS_ADDRESS, s->agent->config->address);
    value_append(a, list, v = value_object(a));
    value_set_text(a, v, F_NODE_ADDRESS_TYPE, "Hostname");
    value_set_text(a, v, F_NODE_ADDRESS_ADDRESS, s->agent->config->node_name);
}

static void add_info(const struct node_status *s, struct arena *a, struct value *status)
{
    const struct machine_facts *m = &s->machine;
    struct value *v = value_make_object(a, status, F_NODE_STATUS_NODE_INFO);

    value_set_text(a, v, F_NODE_SYSTEM_INFO_MACHINE_ID, m->machine_id);
    value_set_text(a, v, F_NODE_SYSTEM_INFO_SYSTEM_UUID, m->system_uuid[0] ? m->system_uuid : m->machine_id);
    value_set_text(a, v, F_NODE_SYSTEM_INFO_BOOT_ID, m->boot_id);
    value_set_text(a, v, F_NODE_SYSTEM_INFO_KERNEL_VERSION, m->kernel);
    value_set_text(a, v, F_NODE_SYSTEM_INFO_OS_IMAGE, m->os_image);
    value_set_text(a, v, F_NODE_SYSTEM_INFO_CONTAINER_RUNTIME_VERSION, m->runtime_version);
    value_set_text(a, v, F_NODE_SYSTEM_INFO_KUBELET_VERSION, KUBELET_VERSION);
    value_set_text(a, v, F_NODE_SYSTEM_INFO_KUBE_PROXY_VERSION, "");
    value_set_text(a, v, F_NODE_SYSTEM_INFO_OPERATING_SYSTEM, "linux");
    value_set_text(a, v, F_NODE_SYSTEM_INFO_ARCHITECTURE, architecture());
}

static void add_images(const struct node_status *s, struct arena *a, struct value *status)
{
    struct value *list = value_make_array(a, status, F_NODE_STATUS_IMAGES);

    for (size_t i = 0; i < images_count(s->agent->images) && i < IMAGES_MAX; i++) {
        const struct image *image = images_at(s->agent->images, i);
        struct value *v = value_object(a), *names = value_make_array(a, v, F_CONTAINER_IMAGE_NAMES);
        for (size_t k = 0; k < image->names_count; k++)
            value_append(a, names, value_str(a, arena_str(a, str_of(image->names[k]))));
        value_set_int(a, v, F_CONTAINER_IMAGE_SIZE_BYTES, image->size_bytes);
        value_append(a, list, v);
    }
}

static struct value *make_status(struct node_status *s, struct arena *a)
{
    struct value *status = value_object(a);
    int64_t now = env_wall_ms(s->agent->env);

    add_resources(s, a, status);
    add_conditions(s, a, status, now);
    add_addresses(s, a, status);
    add_info(s, a, status);
    add_images(s, a, status);
    return status;
}

/* --- writing -------------------------------------------------------------------------------------------------------------------- */

static void retry(struct node_status *s)
{
    loop_timer_start(&s->look, RETRY_MS);
}

static void on_created(void *arg, const struct object *result, const struct error *err)
{
    struct node_status *s = arg;
    (void)result;

    s->creating = false;
    if (err && err->code != ERR_ALREADY_EXISTS) {
        log_warn("the node could not be registered; trying again", KV_ERR(err));
        retry(s);
    }
}

static void create(struct node_status *s)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *node = value_object(&a), *meta;

    value_set_text(&a, node, F_NODE_API_VERSION, "v1");
    value_set_text(&a, node, F_NODE_KIND, "Node");
    meta = value_make_object(&a, node, F_NODE_METADATA);
    value_set_text(&a, meta, F_OBJECT_META_NAME, s->agent->config->node_name);
    value_put(&a, meta, F_OBJECT_META_LABELS, make_labels(s, &a));
    value_put(&a, node, F_NODE_STATUS, make_status(s, &a));
    AUTO_OBJECT struct object *body = object_new(node, NULL);
    struct api_call call = { .verb = API_CREATE, .kind = &kind_node, .body = body, .grace_seconds = -1 };
    s->creating = true;
    api_call(s->agent->api, &call, on_created, s);
}

static void on_written(void *arg, const struct object *result, const struct error *err)
{
    struct node_status *s = arg;
    bool again = s->again;

    s->writing = s->again = false;
    if (!result) {
        object_unref(s->sent);
        s->sent = NULL;
        if (err->code == ERR_NOT_FOUND) {
            object_unref(s->node);
            s->node = NULL;
        }
        retry(s);
    } else if (again) {
        node_status_touch(s);
    }
}

/* Labels and status in two writes only when the labels differ: they change with the agent's flags. */
static void write_labels(struct node_status *s)
{
    AUTO_ARENA struct arena a = { 0 };
    struct view have = view_path(object_root(s->node), F_NODE_METADATA, F_OBJECT_META_LABELS);
    struct value *labels = make_labels(s, &a), *patch = value_object(&a);
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    bool differs = false;

    for (uint32_t i = 0; i < labels->members_count; i++)
        differs = differs || !str_eq(view_str(view_get_str(have, labels->members[i].name)),
                                     value_to_str(labels->members[i].value));
    if (!differs)
        return;
    value_put(&a, value_make_object(&a, patch, F_NODE_METADATA), F_OBJECT_META_LABELS, labels);
    value_write(&text, patch);
    struct api_call call = { .verb = API_PATCH,
                             .kind = &kind_node,
                             .name = str_of(s->agent->config->node_name),
                             .patch = buf_str(&text),
                             .patch_type = API_PATCH_MERGE,
                             .grace_seconds = -1 };
    s->writing = true;
    api_call(s->agent->api, &call, on_written, s);
}

/* Equal but for the heartbeats? */
static bool is_same(struct view a, struct view b)
{
    struct view ca = view_get(a, F_NODE_STATUS_CONDITIONS), cb = view_get(b, F_NODE_STATUS_CONDITIONS);
    static const name_id parts[] = { F_NODE_STATUS_CAPACITY, F_NODE_STATUS_ALLOCATABLE, F_NODE_STATUS_ADDRESSES,
                                     F_NODE_STATUS_NODE_INFO, F_NODE_STATUS_IMAGES };

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (!view_equal(view_get(a, parts[i]), view_get(b, parts[i])))
            return false;
    }
    for (size_t i = 0; i < view_count(ca); i++) {
        if (!str_eq(view_str_at(view_item(ca, i), F_NODE_CONDITION_STATUS),
                    view_str_at(view_item(cb, i), F_NODE_CONDITION_STATUS)))
            return false;
    }
    return true;
}

static void write_status(struct node_status *s)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(OBJECT_SIZE_MAX);
    struct value *status = make_status(s, &a), *patch = value_object(&a);
    AUTO_OBJECT struct object *frozen = object_new(status, NULL);
    int64_t now = loop_now_ms(s->agent->loop);

    if (s->sent && now - s->sent_ms < STATUS_PERIOD_MS && is_same(object_root(frozen), object_root(s->sent)))
        return;
    value_put(&a, patch, F_NODE_STATUS, status);
    value_write(&text, patch);
    struct api_call call = { .verb = API_PATCH,
                             .kind = &kind_node,
                             .name = str_of(s->agent->config->node_name),
                             .subresource = STR("status"),
                             .patch = buf_str(&text),
                             .patch_type = API_PATCH_STRATEGIC,
                             .grace_seconds = -1 };
    object_unref(s->sent);
    s->sent = object_ref(frozen);
    s->sent_ms = now;
    s->writing = true;
    api_call(s->agent->api, &call, on_written, s);
}

/* Do our conditions stand in the object as we sent them? */
static bool conditions_agree(const struct node_status *s)
{
    struct view theirs = view_path(object_root(s->node), F_NODE_STATUS, F_NODE_STATUS_CONDITIONS);

    for (struct view_iter ours = { 0 }; view_next(view_get(object_root(s->sent), F_NODE_STATUS_CONDITIONS), &ours);) {
        struct str type = view_str_at(ours.value, F_NODE_CONDITION_TYPE),
                   status = view_str_at(ours.value, F_NODE_CONDITION_STATUS);
        for (struct view_iter it = { 0 }; view_next(theirs, &it);) {
            if (str_eq(view_str_at(it.value, F_NODE_CONDITION_TYPE), type) &&
                !str_eq(view_str_at(it.value, F_NODE_CONDITION_STATUS), status))
                return false;
        }
    }
    return true;
}

static void update(void *arg)
{
    struct node_status *s = arg;
    bool has_cidr = s->node && view_str_at(object_root(s->node), F_NODE_SPEC, F_NODE_SPEC_POD_CIDR).n;
    bool ready = !s->agent->network || (has_cidr && network_is_ready(s->agent->network));

    if (ready && !s->ready)
        log_info("node is ready", KV("node", "%s", s->agent->config->node_name));
    s->ready = s->ready || ready; /* a network that works keeps working on its last knowledge */
    if (!loop_timer_running(&s->look))
        loop_timer_start(&s->look, s->ready ? LOOK_MS : READY_LOOK_MS);
    if (!s->synced || s->creating)
        return;
    if (!s->node) {
        create(s);
        return;
    }
    if (s->writing) {
        s->again = true;
        return;
    }
    if (s->sent && !conditions_agree(s)) { /* the server said Unknown while it did not hear us: it hears us again */
        object_unref(s->sent);
        s->sent = NULL;
    }
    write_labels(s);
    if (!s->writing)
        write_status(s);
}

void node_status_touch(struct node_status *s)
{
    if (!s)
        return;
    s->task.fn = update;
    s->task.arg = s;
    loop_defer(s->agent->loop, &s->task);
}

/* --- watching our own object --------------------------------------------------------------------------------------------------------- */

static void on_event(void *arg, const struct api_event *event)
{
    struct node_status *s = arg;
    AUTO_ERROR struct error err = { 0 };

    if (event->type == API_SYNCED) {
        s->synced = true;
    } else if (event->type == API_DELETED) {
        object_unref(s->node);
        object_unref(s->sent);
        s->node = s->sent = NULL;
    } else if (event->type != API_BOOKMARK) {
        object_unref(s->node);
        s->node = object_ref(event->object);
        struct str cidr = view_str_at(object_root(s->node), F_NODE_SPEC, F_NODE_SPEC_POD_CIDR);
        if (cidr.n && s->agent->network && network_set_pod_cidr(s->agent->network, cidr, &err) < 0)
            log_error("the pod network could not be set up", KV_STR("cidr", cidr), KV_ERR(&err));
        s->again = s->again || s->writing;
        if (s->writing || (s->sent && conditions_agree(s)))
            return;
    } else {
        return;
    }
    node_status_touch(s);
}

/* --- the lease ------------------------------------------------------------------------------------------------------------------------ */

static struct value *make_lease(const struct node_status *s, struct arena *a, bool whole)
{
    struct value *lease = value_object(a), *spec = value_make_object(a, lease, F_LEASE_SPEC);
    char text[TIME_TEXT_SIZE];

    value_set_text(a, spec, F_LEASE_SPEC_HOLDER_IDENTITY, s->agent->config->node_name);
    value_set_int(a, spec, F_LEASE_SPEC_LEASE_DURATION_SECONDS, LEASE_SECONDS);
    value_set(a, spec, F_LEASE_SPEC_RENEW_TIME,
              arena_str(a, str_of(time_format_micro(env_wall_ms(s->agent->env) * 1000, text))));
    if (!whole)
        return lease;
    struct value *meta = value_make_object(a, lease, F_LEASE_METADATA), *owner = value_object(a);
    value_set_text(a, lease, F_LEASE_API_VERSION, "coordination.k8s.io/v1");
    value_set_text(a, lease, F_LEASE_KIND, "Lease");
    value_set_text(a, meta, F_OBJECT_META_NAME, s->agent->config->node_name);
    value_set_text(a, meta, F_OBJECT_META_NAMESPACE, "kube-node-lease");
    value_append(a, value_make_array(a, meta, F_OBJECT_META_OWNER_REFERENCES), owner);
    value_set_text(a, owner, F_OWNER_REFERENCE_API_VERSION, "v1");
    value_set_text(a, owner, F_OWNER_REFERENCE_KIND, "Node");
    value_set_text(a, owner, F_OWNER_REFERENCE_NAME, s->agent->config->node_name);
    value_set(a, owner, F_OWNER_REFERENCE_UID, object_uid(s->node));
    return lease;
}

static void on_lease(void *arg, const struct object *result, const struct error *err)
{
    struct node_status *s = arg;

    s->lease_open = false;
    s->lease_exists =
        result || (err && err->code != ERR_NOT_FOUND && s->lease_exists) || (err && err->code == ERR_ALREADY_EXISTS);
    if (err && (err->code == ERR_NOT_FOUND || err->code == ERR_ALREADY_EXISTS))
        loop_timer_start(&s->lease, RETRY_MS);
}

static void renew_lease(void *arg)
{
    struct node_status *s = arg;
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);

    loop_timer_start(&s->lease, s->node ? LEASE_RENEW_MS : RETRY_MS);
    if (s->lease_open || !s->node)
        return;
    struct value *lease = make_lease(s, &a, !s->lease_exists);
    AUTO_OBJECT struct object *body = s->lease_exists ? NULL : object_new(lease, NULL);
    value_write(&text, lease);
    struct api_call call = { .verb = s->lease_exists ? API_PATCH : API_CREATE,
                             .kind = &kind_lease,
                             .namespace_ = STR("kube-node-lease"),
                             .name = s->lease_exists ? str_of(s->agent->config->node_name) : STR_NONE,
                             .body = body,
                             .patch = s->lease_exists ? buf_str(&text) : STR_NONE,
                             .patch_type = API_PATCH_MERGE,
                             .grace_seconds = -1,
                             .timeout_ms = LEASE_RENEW_MS };
    s->lease_open = true;
    api_call(s->agent->api, &call, on_lease, s);
}

/* --- life ------------------------------------------------------------------------------------------------------------------------------ */

struct node_status *node_status_new(struct agent *a)
{
    struct node_status *s = xnew(struct node_status);
    AUTO_FREE char *selector = xasprintf("metadata.name=%s", a->config->node_name);
    struct api_watch_request request = { .kind = &kind_node, .field_selector = str_of(selector) };
    struct api_watch_callbacks cb = { .on_event = on_event, .arg = s };

    s->agent = a;
    machine_facts_read(&s->machine, a->data);
    s->machine.runtime_version = machine_runtime_version(runtime_crun(a->runtime));
    a->milli_cpu = s->machine.milli_cpu;
    a->memory_bytes = s->machine.memory_bytes;
    loop_timer_init(&s->look, a->loop, update, s);
    loop_timer_init(&s->lease, a->loop, renew_lease, s);
    s->watch = api_watch(a->api, &request, &cb);
    loop_timer_start(&s->look, READY_LOOK_MS);
    loop_timer_start(&s->lease, 0);
    return s;
}

void node_status_free(struct node_status *s)
{
    if (!s)
        return;
    loop_timer_stop(&s->look);
    loop_timer_stop(&s->lease);
    loop_defer_cancel(&s->task);
    s->agent->api->ops->watch_close(s->watch);
    object_unref(s->node);
    object_unref(s->sent);
    machine_facts_done(&s->machine);
    free(s);
}
