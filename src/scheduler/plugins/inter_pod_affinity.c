/*
 * InterPodAffinity: near or away from other pods.
 * Source: k8s.io/kubernetes/pkg/scheduler/framework/plugins/interpodaffinity.
 */
#include "kinds/fields.h"
#include "object/selector.h"
#include "scheduler/framework.h"

#define TERMS_MAX 32

struct term {
    struct str key;
    struct label_selector selector;
    struct view namespaces; /* names; absent or empty: the owner's own namespace */
    bool all_namespaces;    /* an empty namespaceSelector */
    struct str own_namespace;
    int64_t weight; /* preferred terms; negative for anti-affinity */
};

struct terms {
    struct term items[TERMS_MAX];
    int count;
};

struct state {
    struct terms affinity, anti_affinity, preferred;
    struct map near[TERMS_MAX]; /* of each affinity term: domains with a matching pod */
    struct map away[TERMS_MAX];
    struct map liked[TERMS_MAX]; /* of each preferred term: domain -> number of matching pods */
    struct map forbidden;        /* "key=domain" where a running pod does not want us */
    bool first_of_its_kind;      /* no pod matches the affinity terms, but the pod itself does */
};

static int read_term(struct terms *to, struct view term, struct str own_namespace, int64_t weight, struct error *err)
{
    struct view selector = view_get(term, F_POD_AFFINITY_TERM_NAMESPACE_SELECTOR);
    struct term *t;

    if (to->count == TERMS_MAX)
        return 0;
    t = &to->items[to->count++];
    t->key = view_str_at(term, F_POD_AFFINITY_TERM_TOPOLOGY_KEY);
    t->namespaces = view_get(term, F_POD_AFFINITY_TERM_NAMESPACES);
    t->all_namespaces = view_present(selector) && view_count(selector) == 0;
    t->own_namespace = own_namespace;
    t->weight = weight;
    return label_selector_of_view(&t->selector, view_get(term, F_POD_AFFINITY_TERM_LABEL_SELECTOR), err);
}

static int read_required(struct terms *to, struct view affinity, struct str own_namespace, struct error *err)
{
    struct view_iter it = { 0 };

    while (view_next(view_get(affinity, F_POD_AFFINITY_REQUIRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION), &it))
        if (read_term(to, it.value, own_namespace, 0, err) < 0)
            return -1;
    return 0;
}

static int read_preferred(struct terms *to, struct view affinity, struct str own_namespace, int sign, struct error *err)
{
    struct view_iter it = { 0 };

    while (view_next(view_get(affinity, F_POD_AFFINITY_PREFERRED_DURING_SCHEDULING_IGNORED_DURING_EXECUTION), &it))
        if (read_term(to, view_get(it.value, F_WEIGHTED_POD_AFFINITY_TERM_POD_AFFINITY_TERM), own_namespace,
                      sign * view_int_at(it.value, 0, F_WEIGHTED_POD_AFFINITY_TERM_WEIGHT), err) < 0)
            return -1;
    return 0;
}

static bool matches(const struct term *t, const struct object *pod)
{
    struct view_iter it = { 0 };
    bool named =
        t->all_namespaces || (view_count(t->namespaces) == 0 && str_eq(object_namespace(pod), t->own_namespace));

    while (!named && view_next(t->namespaces, &it))
        named = str_eq(view_str(it.value), object_namespace(pod));
    return named &&
           label_selector_matches(&t->selector, view_path(object_root(pod), F_POD_METADATA, F_OBJECT_META_LABELS));
}

static struct str domain_of(const struct node_info *n, struct str key)
{
    struct view labels = view_path(object_root(n->object), F_POD_METADATA, F_OBJECT_META_LABELS);
    struct str domain = view_str(view_get_str(labels, key));

    return !domain.n && str_is(key, "kubernetes.io/hostname") ? str_of(n->name) : domain;
}

static void forbid(struct state *s, struct cycle *c, const struct term *t, const struct node_info *n)
{
    struct str domain = domain_of(n, t->key);

    if (domain.n)
        map_put(&s->forbidden, arena_printf(c->arena, "%.*s=%.*s", STR_ARG(t->key), STR_ARG(domain)), s);
}

/* Pods that run and have anti-affinity against this one. */
static void read_running(struct state *s, struct cycle *c, const struct node_info *n, const struct pod_info *p)
{
    struct view anti = view_path(object_root(p->object), F_POD_SPEC, F_POD_SPEC_AFFINITY, F_AFFINITY_POD_ANTI_AFFINITY);
    struct terms *theirs;

    if (!p->repels)
        return;
    theirs = arena_new(c->arena, struct terms);
    if (read_required(theirs, anti, object_namespace(p->object), NULL) == 0)
        for (int i = 0; i < theirs->count; i++)
            if (matches(&theirs->items[i], c->pod->object))
                forbid(s, c, &theirs->items[i], n);
    for (int i = 0; i < theirs->count; i++)
        label_selector_done(&theirs->items[i].selector);
}

static void note_domains(struct terms *terms, struct map *domains, const struct node_info *n, const struct object *pod)
{
    for (int i = 0; i < terms->count; i++) {
        struct str domain = domain_of(n, terms->items[i].key);
        if (domain.n && matches(&terms->items[i], pod))
            map_put(&domains[i], domain, (void *)((uintptr_t)map_get(&domains[i], domain) + 1));
    }
}

static void look_around(struct state *s, struct cycle *c)
{
    bool any = false, self = s->affinity.count > 0;
    bool asks = s->affinity.count || s->anti_affinity.count || s->preferred.count;

    for (size_t i = 0; i < c->view->nodes_count; i++) {
        const struct node_info *n = c->view->nodes[i];
        for (size_t k = 0; k < n->pods_count && (asks || n->repelling); k++) {
            note_domains(&s->affinity, s->near, n, n->pods[k]->object);
            note_domains(&s->anti_affinity, s->away, n, n->pods[k]->object);
            note_domains(&s->preferred, s->liked, n, n->pods[k]->object);
            read_running(s, c, n, n->pods[k]);
        }
    }
    for (int i = 0; i < s->affinity.count; i++) {
        any |= s->near[i].count > 0;
        self &= matches(&s->affinity.items[i], c->pod->object);
    }
    s->first_of_its_kind = self && !any;
}

static int prefilter(struct cycle *c, struct error *err)
{
    struct view affinity = view_path(object_root(c->pod->object), F_POD_SPEC, F_POD_SPEC_AFFINITY);
    struct view near = view_get(affinity, F_AFFINITY_POD_AFFINITY),
                away = view_get(affinity, F_AFFINITY_POD_ANTI_AFFINITY);
    struct str namespace_ = object_namespace(c->pod->object);
    struct state *s = arena_new(c->arena, struct state);

    cycle_state(c) = s;
    if (read_required(&s->affinity, near, namespace_, err) < 0 ||
        read_required(&s->anti_affinity, away, namespace_, err) < 0 ||
        read_preferred(&s->preferred, near, namespace_, 1, err) < 0 ||
        read_preferred(&s->preferred, away, namespace_, -1, err) < 0)
        return -1;
    look_around(s, c);
    return 0;
}

static const char *filter(struct cycle *c, const struct node_info *n)
{
    struct state *s = cycle_state(c);
    size_t i = 0;
    struct str key;
    void *value;

    for (int k = 0; k < s->affinity.count; k++) {
        struct str domain = domain_of(n, s->affinity.items[k].key);
        if (!domain.n || (!map_has(&s->near[k], domain) && !s->first_of_its_kind))
            return "node(s) didn't match pod affinity rules";
    }
    for (int k = 0; k < s->anti_affinity.count; k++) {
        struct str domain = domain_of(n, s->anti_affinity.items[k].key);
        if (domain.n && map_has(&s->away[k], domain))
            return "node(s) didn't match pod anti-affinity rules";
    }
    while (map_next(&s->forbidden, &i, &key, &value)) {
        struct str domain = key, topology;
        str_cut(&domain, '=', &topology);
        if (str_eq(domain_of(n, topology), domain))
            return "node(s) didn't satisfy existing pods anti-affinity rules";
    }
    return NULL;
}

static int64_t score(struct cycle *c, const struct node_info *n)
{
    struct state *s = cycle_state(c);
    int64_t sum = 0;

    for (int k = 0; k < s->preferred.count; k++) {
        const struct term *t = &s->preferred.items[k];
        struct str domain = domain_of(n, t->key);
        sum += domain.n ? (int64_t)(uintptr_t)map_get(&s->liked[k], domain) * t->weight : 0;
    }
    return sum;
}

static void normalize(struct cycle *c, int64_t *scores, size_t count)
{
    int64_t least = INT64_MAX;

    (void)c;
    for (size_t i = 0; i < count; i++)
        least = MIN(least, scores[i]);
    for (size_t i = 0; i < count; i++)
        scores[i] -= least;
    normalize_by_max(scores, count, false);
}

static void done(struct cycle *c)
{
    struct state *s = cycle_state(c);
    struct terms *all[] = { s ? &s->affinity : NULL, s ? &s->anti_affinity : NULL, s ? &s->preferred : NULL };

    for (size_t i = 0; s && i < ARRAY_SIZE(all); i++)
        for (int k = 0; k < all[i]->count; k++)
            label_selector_done(&all[i]->items[k].selector);
    for (int i = 0; s && i < TERMS_MAX; i++) {
        map_done(&s->near[i]);
        map_done(&s->away[i]);
        map_done(&s->liked[i]);
    }
    if (s)
        map_done(&s->forbidden);
}

const struct plugin plugin_inter_pod_affinity = {
    .name = "InterPodAffinity",
    .weight = 2,
    .prefilter = prefilter,
    .filter = filter,
    .score = score,
    .normalize = normalize,
    .done = done,
};
