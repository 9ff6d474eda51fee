/*
 * PodTopologySpread: pods that belong together are spread over zones and nodes.
 *
 * Explicit constraints as upstream (k8s.io/kubernetes/pkg/scheduler/framework/plugins/podtopologyspread). A pod without any is spread
 * by default with the other pods of its controller: first over zones, then over nodes; a preference, never a refusal.
 */
#include "kinds/fields.h"
#include "object/selector.h"
#include "scheduler/framework.h"

#define CONSTRAINTS_MAX 8

struct constraint {
    struct str key; /* topologyKey */
    int64_t max_skew, min_domains;
    bool hard;
    struct label_selector selector;
    struct map counts; /* domain -> number of matching pods + 1 */
    int64_t least;     /* over the domains of eligible nodes */
};

struct state {
    struct constraint items[CONSTRAINTS_MAX];
    int count;
};

static struct str domain_of(const struct node_info *n, struct str key)
{
    if (str_is(key, "kubernetes.io/hostname"))
        return str_of(n->name);
    return view_str(view_get_str(view_path(object_root(n->object), F_POD_METADATA, F_OBJECT_META_LABELS), key));
}

static int64_t matching(const struct cycle *c, const struct node_info *n, const struct label_selector *selector)
{
    struct str namespace_ = object_namespace(c->pod->object);
    int64_t count = 0;

    for (size_t i = 0; i < n->pods_count; i++) {
        struct view metadata = view_get(object_root(n->pods[i]->object), F_POD_METADATA);
        count += str_eq(object_namespace(n->pods[i]->object), namespace_) &&
                 !view_present(view_get(metadata, F_OBJECT_META_DELETION_TIMESTAMP)) &&
                 label_selector_matches(selector, view_get(metadata, F_OBJECT_META_LABELS));
    }
    return count;
}

/* Nodes the pod could not run on for its own selector do not count as places that stay empty. */
static bool is_eligible(const struct cycle *c, const struct node_info *n)
{
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };
    AUTO_NODE_SELECTOR struct node_selector required = { 0 };
    struct view spec = view_get(object_root(c->pod->object), F_POD_SPEC), root = object_root(n->object);
    struct view affinity = view_path(spec, F_POD_SPEC_AFFINITY, F_AFFINITY_NODE_AFFINITY,
                                     F_NODE_AFFINITY_REQUIRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION);

    if (label_selector_of_map(&selector, view_get(spec, F_POD_SPEC_NODE_SELECTOR), NULL) < 0 ||
        !label_selector_matches(&selector, view_path(root, F_POD_METADATA, F_OBJECT_META_LABELS)))
        return false;
    return !view_present(affinity) ||
           (node_selector_of_view(&required, affinity, NULL) == 0 && node_selector_matches(&required, root));
}

static void count_domains(struct cycle *c, struct constraint *k)
{
    size_t i = 0;
    struct str domain;
    void *value;

    for (size_t n = 0; n < c->view->nodes_count; n++) {
        const struct node_info *node = c->view->nodes[n];
        uintptr_t sum;
        domain = domain_of(node, k->key);
        if (!domain.n || !is_eligible(c, node))
            continue;
        sum = (uintptr_t)map_get(&k->counts, domain);
        map_put(&k->counts, domain, (void *)((sum ? sum : 1) + (uintptr_t)matching(c, node, &k->selector)));
    }
    k->least = k->counts.count ? INT64_MAX : 0;
    while (map_next(&k->counts, &i, &domain, &value))
        k->least = MIN(k->least, (int64_t)(uintptr_t)value - 1);
    if ((int64_t)k->counts.count < k->min_domains)
        k->least = 0;
}

static int prefilter(struct cycle *c, struct error *err)
{
    struct view spec = view_get(object_root(c->pod->object), F_POD_SPEC);
    struct state *s = arena_new(c->arena, struct state);
    struct view_iter it = { 0 };

    cycle_state(c) = s;
    while (view_next(view_get(spec, F_POD_SPEC_TOPOLOGY_SPREAD_CONSTRAINTS), &it) && s->count < CONSTRAINTS_MAX) {
        struct constraint *k = &s->items[s->count++];
        k->key = view_str_at(it.value, F_TOPOLOGY_SPREAD_CONSTRAINT_TOPOLOGY_KEY);
        k->max_skew = view_int_at(it.value, 1, F_TOPOLOGY_SPREAD_CONSTRAINT_MAX_SKEW);
        k->min_domains = view_int_at(it.value, 1, F_TOPOLOGY_SPREAD_CONSTRAINT_MIN_DOMAINS);
        k->hard = str_is(view_str_at(it.value, F_TOPOLOGY_SPREAD_CONSTRAINT_WHEN_UNSATISFIABLE), "DoNotSchedule");
        if (label_selector_of_view(&k->selector, view_get(it.value, F_TOPOLOGY_SPREAD_CONSTRAINT_LABEL_SELECTOR), err) <
            0)
            return -1;
        count_domains(c, k);
    }
    return 0;
}

static const char *filter(struct cycle *c, const struct node_info *n)
{
    struct state *s = cycle_state(c);

    for (int i = 0; i < s->count; i++) {
        struct constraint *k = &s->items[i];
        struct str domain = domain_of(n, k->key);
        struct view labels = view_path(object_root(c->pod->object), F_POD_METADATA, F_OBJECT_META_LABELS);
        int64_t have;
        if (!k->hard)
            continue;
        if (!domain.n)
            return "node(s) didn't match pod topology spread constraints (missing required label)";
        have = (int64_t)(uintptr_t)map_get(&k->counts, domain);
        if (MAX(have - 1, 0) + label_selector_matches(&k->selector, labels) - k->least > k->max_skew)
            return "node(s) didn't match pod topology spread constraints";
    }
    return NULL;
}

/* How many of the pod's group are in the node's zone, and on the node: fewer is better, the zone counts far more. */
static int64_t group_crowd(const struct cycle *c, const struct node_info *n)
{
    int64_t zone = 0, node = 0;

    if (!c->pod->group.n)
        return 0;
    for (size_t i = 0; i < c->view->nodes_count; i++) {
        const struct node_info *other = c->view->nodes[i];
        if (other != n && !(n->zone.n && str_eq(other->zone, n->zone)))
            continue;
        for (size_t k = 0; k < other->pods_count; k++) {
            const struct object *pod = other->pods[k]->object;
            bool counts = str_eq(other->pods[k]->group, c->pod->group) &&
                          !view_present(view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));
            zone += counts;
            node += counts && other == n;
        }
    }
    return zone * 1000 + node;
}

static int64_t score(struct cycle *c, const struct node_info *n)
{
    struct state *s = cycle_state(c);
    int64_t crowd = 0;

    if (!s->count)
        return group_crowd(c, n);
    for (int i = 0; i < s->count; i++) {
        struct str domain = domain_of(n, s->items[i].key);
        int64_t have = (int64_t)(uintptr_t)map_get(&s->items[i].counts, domain);
        if (!s->items[i].hard)
            crowd += domain.n ? MAX(have - 1, 0) : 1000;
    }
    return crowd;
}

static void normalize(struct cycle *c, int64_t *scores, size_t count)
{
    int64_t least = INT64_MAX;

    (void)c;
    for (size_t i = 0; i < count; i++)
        least = MIN(least, scores[i]);
    for (size_t i = 0; i < count; i++)
        scores[i] -= least;
    normalize_by_max(scores, count, true);
}

static void done(struct cycle *c)
{
    struct state *s = cycle_state(c);

    for (int i = 0; s && i < s->count; i++) {
        label_selector_done(&s->items[i].selector);
        map_done(&s->items[i].counts);
    }
}

const struct plugin plugin_pod_topology_spread = {
    .name = "PodTopologySpread",
    .weight = 10, /* spreading over zones is what this platform is for: it outweighs an emptier node */
    .prefilter = prefilter,
    .filter = filter,
    .score = score,
    .normalize = normalize,
    .done = done,
};
