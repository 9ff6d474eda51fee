/* Contact with the rest of the cluster, and what hangs on it. */
#include "node/contact.h"

#include "base/codec.h"
#include "base/file.h"
#include "base/time.h"
#include "client/cache.h"
#include "kinds/fields.h"
#include "node/endpoint.h"
#include "node/fence.h"
#include "node/json_out.h"
#include "node/peers.h"
#include "node/pod.h"
#include "node/servers.h"

#define LOG_PART "node"
#include "base/log.h"

#include <stdlib.h>

#define LOOK_MS        250
#define BROKEN_MS      SECOND_MS       /* servers answered nothing for so long: contact is broken */
#define STEADY_MS      (2 * SECOND_MS) /* of contact with servers before they are asked what is still wanted here */
#define KEY_AGAIN_MS   (2 * SECOND_MS)
#define FILE_MAX_BYTES (4 * MIB)
#define OOM_SCORE      (-999)

struct contact {
    struct agent *agent;
    struct peers *peers;
    struct fence *fence;
    char *key_file, *peers_file, *written_peers;
    bool has_key, key_asked;
    struct http_call *key_call;
    struct loop_timer look, key_retry;
    struct loop_task nodes_task;
    int64_t steady_since_ms; /* 0: contact with servers is broken */
    size_t asking;           /* pods asked for */
    bool ask_failed;
    bool was_guarded;
};

/* --- telling -------------------------------------------------------------------------------------------------------------------------- */

static bool is_armed(const struct contact *c)
{
    return c->has_key && peers_count(c->peers) > 0;
}

void contact_write_report(const struct contact *c, struct buf *to, size_t max)
{
    if (!c || !c->has_key)
        return;
    buf_addf(to, ",\"servers\":%zu,\"fence\":%s", servers_count(c->agent->servers),
             fence_is_guarded(c->fence) ? "true" : "false");
    peers_write_report(c->peers, to, max);
}

static void report(struct contact *c)
{
    status_streams_changed(c->agent->status_streams);
}

static void tell_fence(struct contact *c)
{
    int64_t latest = MAX(servers_contact_ms(c->agent->servers), peers_contact_ms(c->peers));

    /* Whoever knows no peers keeps its pods: being alive is enough. */
    if (!is_armed(c))
        latest = loop_now_ms(c->agent->loop);
    if (latest > 0)
        fence_contact(c->fence, latest);
}

void contact_changed(struct contact *c)
{
    if (c)
        tell_fence(c);
}

/* --- pods that must be one -------------------------------------------------------------------------------------------------------- */

void contact_pods_changed(struct contact *c)
{
    AUTO_BUF struct buf lines = BUF_MAX(256 * KIB);
    AUTO_ARENA struct arena arena = { 0 };
    struct str key;
    void *value;

    if (!c)
        return;
    for (size_t i = 0; is_armed(c) && map_next(&c->agent->pods, &i, &key, &value);) {
        const struct pod *p = value;
        int64_t grace_ms = view_int_at(pod_spec(p), 30, F_POD_SPEC_TERMINATION_GRACE_PERIOD_SECONDS) * SECOND_MS;
        if (p->facts.must_be_one && !p->dead)
            buf_addf(&lines, "%lld %.*s\n", (long long)MAX(grace_ms, (int64_t)0),
                     STR_ARG(cgroup_pod_folder(c->agent->cgroups, &arena, str_of(p->cgroup))));
    }
    fence_set_groups(c->fence, buf_str(&lines));
}

static void hold_pods(struct contact *c, bool held)
{
    struct str key;
    void *value;

    for (size_t i = 0; map_next(&c->agent->pods, &i, &key, &value);) {
        struct pod *p = value;
        if (!p->facts.must_be_one || p->facts.held == held)
            continue;
        p->facts.held = held;
        pod_touch(p);
    }
}

static void on_fence(void *arg)
{
    struct contact *c = arg;

    if (fence_is_fenced(c->fence))
        hold_pods(c, true);
    else if (!fence_holds(c->fence))
        hold_pods(c, false);
    if (c->was_guarded != fence_is_guarded(c->fence)) {
        c->was_guarded = fence_is_guarded(c->fence);
        report(c);
    }
}

/* --- asking what is still wanted ------------------------------------------------------------------------------------------------------ */

struct question {
    struct contact *contact;
    char *uid;
};

static void asked_all(struct contact *c)
{
    if (c->ask_failed || !c->steady_since_ms)
        return; /* once more, when contact is steady */
    log_info("pods that must be one may start again: a server confirmed them");
    fence_lift(c->fence);
}

static void on_pod(void *arg, const struct object *result, const struct error *err)
{
    struct question *q = arg;
    struct contact *c = q->contact;
    struct pod *p = map_get(&c->agent->pods, str_of(q->uid));
    bool deleting = view_present(view_path(object_root(result), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));

    if (err && err->code != ERR_NOT_FOUND)
        c->ask_failed = true;
    /* Gone or another one: it stays held until the watch of pods takes it away. */
    if (p && !err && !deleting && str_is(object_uid(result), q->uid) && c->steady_since_ms) {
        p->facts.held = false;
        pod_touch(p);
    }
    free(q->uid);
    free(q);
    if (--c->asking == 0)
        asked_all(c);
}

static void ask_pods(struct contact *c)
{
    struct str key;
    void *value;

    c->ask_failed = false;
    c->asking = 1;
    for (size_t i = 0; map_next(&c->agent->pods, &i, &key, &value);) {
        struct pod *p = value;
        if (!p->facts.must_be_one || !p->facts.held)
            continue;
        struct question *q = xnew(struct question);
        *q = (struct question){ c, str_dup(p->uid) };
        c->asking++;
        api_call(c->agent->api,
                 &(struct api_call){ .verb = API_GET,
                                     .kind = &kind_pod,
                                     .namespace_ = p->namespace_,
                                     .name = p->name,
                                     .timeout_ms = 5 * SECOND_MS },
                 on_pod, q);
    }
    if (--c->asking == 0)
        asked_all(c);
}

static void on_look(void *arg)
{
    struct contact *c = arg;
    int64_t now_ms = loop_now_ms(c->agent->loop);
    int64_t contact_ms = servers_contact_ms(c->agent->servers);

    if (contact_ms == INT64_MIN || now_ms - contact_ms > BROKEN_MS)
        c->steady_since_ms = 0;
    else if (!c->steady_since_ms)
        c->steady_since_ms = now_ms;
    tell_fence(c);
    if (c->steady_since_ms && now_ms - c->steady_since_ms >= STEADY_MS && !c->asking && fence_holds(c->fence) &&
        !fence_is_fenced(c->fence) && fence_is_guarded(c->fence))
        ask_pods(c);
    loop_timer_start(&c->look, LOOK_MS);
}

/* --- the key ------------------------------------------------------------------------------------------------------------------------------ */

static bool take_key(struct contact *c, struct str hex)
{
    AUTO_BUF struct buf key = BUF_MAX(2 * PEER_KEY_SIZE);

    if (!hex_decode(&key, hex) || key.n != PEER_KEY_SIZE)
        return false;
    peers_set_key(c->peers, (const uint8_t *)key.p);
    explicit_bzero(key.p, key.n);
    c->has_key = true;
    return true;
}

static void load_key(struct contact *c)
{
    AUTO_BUF struct buf text = BUF_MAX(KIB);

    if (file_read(c->key_file, &text, NULL) == 0)
        take_key(c, str_trim(buf_str(&text)));
}

static void on_key(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    AUTO_ERROR struct error save_err = { 0 };
    AUTO_ARENA struct arena a = { 0 };
    struct contact *c = arg;

    c->key_call = NULL;
    if (err || head->status >= 500) {
        loop_timer_start(&c->key_retry, KEY_AGAIN_MS);
        return;
    }
    struct str hex =
        head->status == 200 ? value_to_str(value_get_str(value_parse(&a, body, NULL, NULL), STR("key"))) : STR_NONE;
    c->key_asked = true; /* an older server has none to give */
    if (!take_key(c, hex))
        return;
    if (file_write(c->key_file, hex, 0600, &save_err) < 0)
        log_warn("the key of the nodes' messages could not be kept", KV_ERR(&save_err));
    contact_pods_changed(c);
    report(c);
}

static void ask_key(void *arg)
{
    struct contact *c = arg;
    AUTO_FREE char *target = xasprintf("/klein/v1/nodes/%s/peer-key", c->agent->config->node_name);

    if (c->key_asked || c->key_call)
        return;
    struct http_call_request r = {
        .method = STR("GET"), .target = str_of(target), .timeout_ms = 5000, .total_timeout_ms = 5000
    };
    c->key_call = http_client_fetch(c->agent->http, &r, 64 * KIB, on_key, c);
}

void contact_server_up(struct contact *c)
{
    if (c)
        ask_key(c);
}

/* --- the nodes ---------------------------------------------------------------------------------------------------------------------------- */

struct node_list {
    struct peers_node *nodes;
    size_t count, capacity;
};

static void add_node(struct node_list *list, struct str name, struct str ip)
{
    struct peers_node node = { .name = name };

    if (address_of_ip(ip, PEERS_PORT, &node.address, NULL) < 0)
        return;
    GROW(list->nodes, list->count, list->capacity);
    list->nodes[list->count++] = node;
}

static struct str internal_ip(const struct object *node)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(node), F_NODE_STATUS, F_NODE_STATUS_ADDRESSES), &it))
        if (str_is(view_str_at(it.value, F_NODE_ADDRESS_TYPE), "InternalIP"))
            return view_str_at(it.value, F_NODE_ADDRESS_ADDRESS);
    return STR_NONE;
}

static void save_nodes(struct contact *c, const struct objects *all)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(FILE_MAX_BYTES);
    struct json_out j = { .to = &text };

    json_array(&j, NULL);
    for (size_t i = 0; i < all->count; i++) {
        json_object(&j, NULL);
        json_str(&j, "name", object_name(all->items[i]));
        json_str(&j, "address", internal_ip(all->items[i]));
        json_object_end(&j);
    }
    json_array_end(&j);
    if (text.full || (c->written_peers && str_is(buf_str(&text), c->written_peers)))
        return;
    free(c->written_peers);
    c->written_peers = str_dup(buf_str(&text));
    if (file_write(c->peers_file, buf_str(&text), 0600, &err) < 0)
        log_warn("the list of peers could not be kept", KV_ERR(&err));
}

static void take_nodes(void *arg)
{
    struct contact *c = arg;
    struct cache *cache = network_nodes(c->agent->network);
    struct objects all = cache_all(cache);
    struct node_list list = { 0 };

    if (!cache_is_synced(cache))
        return;
    for (size_t i = 0; i < all.count; i++)
        add_node(&list, object_name(all.items[i]), internal_ip(all.items[i]));
    save_nodes(c, &all);
    peers_set_nodes(c->peers, list.nodes, list.count);
    free(list.nodes);
    contact_pods_changed(c);
}

static void on_nodes(void *arg, struct cache *cache)
{
    struct contact *c = arg;

    (void)cache;
    loop_defer(c->agent->loop, &c->nodes_task);
}

static void load_nodes(struct contact *c)
{
    AUTO_BUF struct buf text = BUF_MAX(FILE_MAX_BYTES);
    AUTO_ARENA struct arena a = { 0 };
    struct node_list list = { 0 };

    if (file_read(c->peers_file, &text, NULL) < 0)
        return;
    const struct value *all = value_parse(&a, buf_str(&text), NULL, NULL);
    for (uint32_t i = 0; value_type(all) == VALUE_ARRAY && i < all->items_count; i++)
        add_node(&list, value_to_str(value_get_str(all->items[i], STR("name"))),
                 value_to_str(value_get_str(all->items[i], STR("address"))));
    peers_set_nodes(c->peers, list.nodes, list.count);
    free(list.nodes);
}

/* --- life --------------------------------------------------------------------------------------------------------------------------------- */

static void on_peers_change(void *arg)
{
    report(arg);
}

static void on_peers_contact(void *arg)
{
    tell_fence(arg);
}

struct contact *contact_new(struct agent *a, struct error *err)
{
    struct contact *c = xnew(struct contact);
    struct peers_config peers = { .node_name = str_of(a->config->node_name),
                                  .on_change = on_peers_change,
                                  .on_contact = on_peers_contact,
                                  .arg = c };
    struct fence_config fence = { .loop = a->loop,
                                  .folder = a->run,
                                  .oom_score_adj = a->can_lower_oom_score ? OOM_SCORE : 0,
                                  .on_change = on_fence,
                                  .arg = c };

    c->agent = a;
    c->key_file = xasprintf("%s/peers.key", a->data);
    c->peers_file = xasprintf("%s/peers.json", a->data);
    c->nodes_task = (struct loop_task){ .fn = take_nodes, .arg = c };
    loop_timer_init(&c->look, a->loop, on_look, c);
    loop_timer_init(&c->key_retry, a->loop, ask_key, c);
    if (address_of_ip(str_of(a->config->address), PEERS_PORT, &peers.bind, err) < 0 ||
        !(c->peers = peers_new(a->loop, &peers, err))) {
        contact_free(c);
        return NULL;
    }
    load_key(c);
    load_nodes(c);
    c->fence = fence_new(&fence);
    contact_pods_changed(c);
    hold_pods(c, true); /* until the guard says that it never lost sight of them */
    cache_listen(network_nodes(a->network), NULL, on_nodes, c);
    loop_timer_start(&c->look, LOOK_MS);
    return c;
}

void contact_free(struct contact *c)
{
    if (!c)
        return;
    if (c->fence)
        cache_unlisten(network_nodes(c->agent->network), c);
    loop_defer_cancel(&c->nodes_task);
    loop_timer_stop(&c->look);
    loop_timer_stop(&c->key_retry);
    http_call_cancel(c->key_call);
    fence_free(c->fence);
    peers_free(c->peers);
    free(c->key_file);
    free(c->peers_file);
    free(c->written_peers);
    free(c);
}
