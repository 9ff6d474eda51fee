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
    /* without constraints: where the pods of the pod's group are */
    struct map zones; /* zone -> how many */
    int64_t *on_node; /* by node_info.place */
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
struct eligible {
    struct label_selector selector;
    struct node_selector required;
    bool has_required, none;
};

static void eligible_init(struct eligible *e, const struct cycle *c)
{
    struct view spec = view_get(object_root(c->pod->object), F_POD_SPEC);
    struct view affinity = view_path(spec, F_POD_SPEC_AFFINITY, F_AFFINITY_NODE_AFFINITY,
                                     F_NODE_AFFINITY_REQUIRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION);

    *e = (struct eligible){ .has_required = view_present(affinity) };
    e->none = label_selector_of_map(&e->selector, view_get(spec, F_POD_SPEC_NODE_SELECTOR), NULL) < 0 ||
              (e->has_required && node_selector_of_view(&e->required, affinity, NULL) < 0);
}

static void eligible_done(struct eligible *e)
{
    label_selector_done(&e->selector);
    node_selector_done(&e->required);
}

static bool is_eligible(const struct eligible *e, const struct node_info *n)
{
    struct view root = object_root(n->object);

    return !e->none && label_selector_matches(&e->selector, view_path(root, F_POD_METADATA, F_OBJECT_META_LABELS)) &&
           (!e->has_required || node_selector_matches(&e->required, root));
}

static void count_domains(struct cycle *c, struct constraint *k, const struct eligible *eligible)
{
    size_t i = 0;
    struct str domain;
    void *value;

    for (size_t n = 0; n < c->view->nodes_count; n++) {
        const struct node_info *node = c->view->nodes[n];
        uintptr_t sum;
        domain = domain_of(node, k->key);
        if (!domain.n || !is_eligible(eligible, node))
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

/* How many of the pod's group are in each zone and on each node. */
static void count_group(struct cycle *c, struct state *s)
{
    s->on_node = arena_alloc_array(c->arena, c->view->nodes_count + 1, sizeof(*s->on_node));
    for (size_t i = 0; i < c->view->nodes_count && c->pod->group.n; i++) {
        const struct node_info *n = c->view->nodes[i];
        for (size_t k = 0; k < n->pods_count; k++) {
            const struct object *pod = n->pods[k]->object;
            s->on_node[i] +=
                str_eq(n->pods[k]->group, c->pod->group) &&
                !view_present(view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP));
        }
        if (n->zone.n && s->on_node[i])
            map_put(&s->zones, n->zone, (void *)((uintptr_t)map_get(&s->zones, n->zone) + (uintptr_t)s->on_node[i]));
    }
}

static int read_constraints(struct cycle *c, struct state *s, const struct eligible *eligible, struct error *err)
{
    struct view spec = view_get(object_root(c->pod->object), F_POD_SPEC);
    struct view_iter it = { 0 };

    while (view_next(view_get(spec, F_POD_SPEC_TOPOLOGY_SPREAD_CONSTRAINTS), &it) && s->count < CONSTRAINTS_MAX) {
        struct constraint *k = &s->items[s->count++];
        k->key = view_str_at(it.value, F_TOPOLOGY_SPREAD_CONSTRAINT_TOPOLOGY_KEY);
        k->max_skew = view_int_at(it.value, 1, F_TOPOLOGY_SPREAD_CONSTRAINT_MAX_SKEW);
        k->min_domains = view_int_at(it.value, 1, F_TOPOLOGY_SPREAD_CONSTRAINT_MIN_DOMAINS);
        k->hard = str_is(view_str_at(it.value, F_TOPOLOGY_SPREAD_CONSTRAINT_WHEN_UNSATISFIABLE), "DoNotSchedule");
        if (label_selector_of_view(&k->selector, view_get(it.value, F_TOPOLOGY_SPREAD_CONSTRAINT_LABEL_SELECTOR), err) <
            0)
            return -1;
        count_domains(c, k, eligible);
    }
    return 0;
}

static int prefilter(struct cycle *c, struct error *err)
{
    struct state *s = arena_new(c->arena, struct state);
    struct eligible eligible;
    int result;

    cycle_state(c) = s;
    eligible_init(&eligible, c);
    result = read_constraints(c, s, &eligible, err);
    eligible_done(&eligible);
    if (result == 0 && !s->count)
        count_group(c, s);
    return result;
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

/* Fewer of the group in the zone is better; where that is equal, fewer on the node. normalize_group() takes it apart again. */
#define ZONE_SHIFT 32
static int64_t group_crowd(const struct state *s, const struct node_info *n)
{
    int64_t zone = n->zone.n ? (int64_t)(uintptr_t)map_get(&s->zones, n->zone) : 0;

    return zone << ZONE_SHIFT | s->on_node[n->place];
}

static int64_t score(struct cycle *c, const struct node_info *n)
{
    struct state *s = cycle_state(c);
    int64_t crowd = 0;

    if (!s->count)
        return group_crowd(s, n);
    for (int i = 0; i < s->count; i++) {
        struct str domain = domain_of(n, s->items[i].key);
        int64_t have = (int64_t)(uintptr_t)map_get(&s->items[i].counts, domain);
        if (!s->items[i].hard)
            crowd += domain.n ? MAX(have - 1, 0) : 1000;
    }
    return crowd;
}

/*
 * A node of an emptiest zone gets 60 to 100, by how few are on the node; a node of another zone gets less than 60, by its zone. So
 * zones come first and nodes second, whatever the numbers.
 */
static void normalize_group(int64_t *scores, size_t count)
{
    int64_t fewest = INT64_MAX, most = 0, node_most = 0, mask = (INT64_C(1) << ZONE_SHIFT) - 1;

    for (size_t i = 0; i < count; i++) {
        fewest = MIN(fewest, scores[i] >> ZONE_SHIFT);
        most = MAX(most, scores[i] >> ZONE_SHIFT);
    }
    for (size_t i = 0; i < count; i++)
        if (scores[i] >> ZONE_SHIFT == fewest)
            node_most = MAX(node_most, scores[i] & mask);
    for (size_t i = 0; i < count; i++) {
        int64_t zone = scores[i] >> ZONE_SHIFT, node = scores[i] & mask;
        if (zone == fewest)
            scores[i] = node_most ? 60 + 40 * (node_most - node) / node_most : SCORE_MAX;
        else
            scores[i] = 59 * (most - zone) / (most - fewest);
    }
}

static void normalize(struct cycle *c, int64_t *scores, size_t count)
{
    int64_t least = INT64_MAX;

    if (!((struct state *)cycle_state(c))->count) {
        normalize_group(scores, count);
        return;
    }
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
    if (s)
        map_done(&s->zones);
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
