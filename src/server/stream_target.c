/* Which agent, pod and container a stream goes to, and the path of the call. */
#include "base/codec.h"
#include "kinds/fields.h"
#include "server/nodes.h"
#include "server/stream.h"

struct str stream_query(struct request *r, const char *name)
{
    struct str value = STR_NONE;
    if (!r->exchange || !http_query_get(r->exchange->request->query, &r->arena, str_of(name), &value))
        return STR_NONE;
    return value;
}

bool stream_query_bool(struct request *r, const char *name)
{
    struct str v = stream_query(r, name);
    return str_is(v, "true") || str_is(v, "1");
}

int stream_find_pod(struct request *r, struct str namespace_, struct str name, struct stream_target *ret,
                    struct error *err)
{
    const struct object *pod = state_get(server_state(r->server), &kind_pod, namespace_, name);
    if (!pod) {
        fail(err, ERR_NOT_FOUND, "pods \"%.*s\" not found", STR_ARG(name));
        error_set_details(err, STR_NONE, STR("pods"), name);
        return -1;
    }
    struct str node = view_str_at(object_root(pod), F_POD_SPEC, F_POD_SPEC_NODE_NAME);
    if (str_empty(node))
        return fail(err, ERR_BAD_REQUEST, "pod %.*s does not have a host assigned", STR_ARG(name));
    ret->node = arena_str(&r->arena, node);
    ret->namespace_ = namespace_;
    ret->pod = name;
    ret->uid = arena_str(&r->arena, object_uid(pod));
    ret->agent = nodes_client(server_nodes(r->server), node, err);
    return ret->agent ? 0 : -1;
}

static bool has_container(struct view pod, struct str name)
{
    static const name_id lists[] = { F_POD_SPEC_CONTAINERS, F_POD_SPEC_INIT_CONTAINERS,
                                     F_POD_SPEC_EPHEMERAL_CONTAINERS };
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        struct view containers = view_path(pod, F_POD_SPEC, lists[i]);
        struct view_iter it = { 0 };
        while (view_next(containers, &it))
            if (str_eq(view_str(view_get(it.value, F_CONTAINER_NAME)), name))
                return true;
    }
    return false;
}

/* "[a b c]" as Go prints a list. */
static struct str names_text(struct request *r, struct view containers)
{
    AUTO_BUF struct buf text = BUF_MAX(8 * KIB);
    struct view_iter it = { 0 };
    buf_add_char(&text, '[');
    while (view_next(containers, &it)) {
        if (text.n > 1)
            buf_add_char(&text, ' ');
        buf_add(&text, view_str(view_get(it.value, F_CONTAINER_NAME)));
    }
    buf_add_char(&text, ']');
    return arena_str(&r->arena, buf_str(&text));
}

/* Source: pkg/registry/core/pod/strategy.go, LogLocation and streamLocation. */
int stream_find_container(struct request *r, struct str wanted, struct stream_target *ret, struct error *err)
{
    const struct object *pod = state_get(server_state(r->server), &kind_pod, r->info.namespace_, r->info.name);
    if (stream_find_pod(r, r->info.namespace_, r->info.name, ret, err) < 0)
        return -1;
    struct view root = object_root(pod), containers = view_path(root, F_POD_SPEC, F_POD_SPEC_CONTAINERS);
    if (str_empty(wanted) && view_count(containers) == 1)
        wanted = view_str(view_get(view_item(containers, 0), F_CONTAINER_NAME));
    if (str_empty(wanted))
        wanted = view_str(view_get_str(view_path(root, F_POD_METADATA, F_OBJECT_META_ANNOTATIONS),
                                       STR("kubectl.kubernetes.io/default-container")));
    if (str_empty(wanted))
        return fail(err, ERR_BAD_REQUEST, "a container name must be specified for pod %.*s, choose one of: %.*s",
                    STR_ARG(ret->pod), STR_ARG(names_text(r, containers)));
    if (!has_container(root, wanted))
        return fail(err, ERR_BAD_REQUEST, "container %.*s is not valid for pod %.*s", STR_ARG(wanted),
                    STR_ARG(ret->pod));
    ret->container = arena_str(&r->arena, wanted);
    return 0;
}

void stream_path(struct buf *to, const char *verb, const struct stream_target *t)
{
    buf_addf(to, "/%s/", verb);
    percent_encode(to, t->namespace_);
    buf_add_char(to, '/');
    percent_encode(to, t->pod);
    if (!str_empty(t->container)) {
        buf_add_char(to, '/');
        percent_encode(to, t->container);
    }
    buf_add_text(to, "?uid=");
    percent_encode(to, t->uid);
}

void stream_add_query(struct buf *to, const char *name, struct str value)
{
    if (str_empty(value))
        return;
    buf_addf(to, "&%s=", name);
    percent_encode(to, value);
}
