/* The RBAC index: which rules reach which subject, kept up to date change by change. */
#include "server/authz.h"

#include "base/map.h"
#include "kinds/fields.h"
#include "object/selector.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY_MAX_BYTES 1024 /* a subject with a longer name has no bindings */

struct role {
    struct object *object;
    struct arena arena;
    struct rbac_rules rules;
    bool aggregated; /* rules are the union of the cluster roles its selectors choose */
};

struct binding {
    struct object *object;
    struct str namespace_; /* "" for a ClusterRoleBinding */
};

struct subject { /* a subject within a namespace or the cluster scope */
    struct binding **items;
    size_t count, capacity;
};

struct rbac {
    struct map roles;    /* "NS/NAME" -> struct role; NS empty for ClusterRoles */
    struct map bindings; /* "NS/NAME" -> struct binding */
    struct map subjects; /* "NS|U|NAME", "NS|G|NAME" -> struct subject; service accounts are users */
};

struct key {
    char text[KEY_MAX_BYTES];
    size_t n; /* 0: too long */
};

static struct str key_str(const struct key *k)
{
    return (struct str){ k->text, k->n };
}

static void key_make(struct key *k, struct str namespace_, const char *between, struct str name)
{
    size_t middle = strlen(between);
    k->n = 0;
    if (namespace_.n + middle + name.n > sizeof(k->text))
        return;
    memcpy(k->text, namespace_.n ? namespace_.p : "", namespace_.n);
    memcpy(k->text + namespace_.n, between, middle);
    memcpy(k->text + namespace_.n + middle, name.n ? name.p : "", name.n);
    k->n = namespace_.n + middle + name.n;
}

struct rbac *rbac_new(void)
{
    return xnew(struct rbac);
}

static void role_free(struct role *role)
{
    if (!role)
        return;
    arena_done(&role->arena);
    object_unref(role->object);
    free(role);
}

void rbac_free(struct rbac *r)
{
    struct str key;
    void *value;
    if (!r)
        return;
    for (size_t i = 0; map_next(&r->roles, &i, &key, &value);)
        role_free(value);
    for (size_t i = 0; map_next(&r->bindings, &i, &key, &value);) {
        object_unref(((struct binding *)value)->object);
        free(value);
    }
    for (size_t i = 0; map_next(&r->subjects, &i, &key, &value);) {
        free(((struct subject *)value)->items);
        free(value);
    }
    map_done(&r->roles);
    map_done(&r->bindings);
    map_done(&r->subjects);
    free(r);
}

/* --- roles ------------------------------------------------------------------------------------------------------- */

static bool selects(struct view wanted, struct view labels)
{
    AUTO_LABEL_SELECTOR struct label_selector selector = { 0 };
    return label_selector_of_view(&selector, wanted, NULL) == 0 && label_selector_matches(&selector, labels);
}

static bool aggregates(const struct role *role, const struct role *other)
{
    struct view labels = view_path(object_root(other->object), F_CLUSTER_ROLE_METADATA, F_OBJECT_META_LABELS);
    struct view selectors = view_path(object_root(role->object), F_CLUSTER_ROLE_AGGREGATION_RULE,
                                      F_AGGREGATION_RULE_CLUSTER_ROLE_SELECTORS);
    struct view_iter it = { 0 };
    while (role != other && view_next(selectors, &it))
        if (selects(it.value, labels))
            return true;
    return false;
}

/* Collects into `wanted` the roles below `role`; roles that are already in it are not visited again. */
static void aggregate_collect(struct rbac *r, const struct role *role, struct map *wanted)
{
    struct str key;
    void *value;
    for (size_t i = 0; map_next(&r->roles, &i, &key, &value);) {
        struct role *other = value;
        if (!str_empty(object_namespace(other->object)) || map_has(wanted, key) || !aggregates(role, other))
            continue;
        map_put(wanted, key, other);
        if (other->aggregated)
            aggregate_collect(r, other, wanted);
    }
}

static void aggregate_one(struct rbac *r, struct role *role)
{
    AUTO_MAP struct map wanted = { 0 };
    struct str key;
    void *value;
    struct rbac_rule *items = NULL;
    size_t count = 0, capacity = 0;
    aggregate_collect(r, role, &wanted);
    for (size_t i = 0; map_next(&wanted, &i, &key, &value);) {
        struct role *other = value;
        for (size_t j = 0; !other->aggregated && j < other->rules.count; j++) {
            GROW(items, count, capacity);
            items[count++] = other->rules.items[j];
        }
    }
    arena_reset(&role->arena);
    struct rbac_rule *kept = arena_alloc_array(&role->arena, count, sizeof(*kept));
    if (count)
        memcpy(kept, items, count * sizeof(*kept));
    free(items);
    role->rules = (struct rbac_rules){ kept, count };
}

static void aggregate_all(struct rbac *r)
{
    struct str key;
    void *value;
    for (size_t i = 0; map_next(&r->roles, &i, &key, &value);)
        if (((struct role *)value)->aggregated)
            aggregate_one(r, value);
}

static void role_put(struct rbac *r, struct str key, const struct object *now)
{
    struct role *role = xnew(struct role);
    struct view root = object_root(now);
    role->object = object_ref(now);
    role->rules = rbac_rules_read(&role->arena, view_get(root, F_ROLE_RULES));
    role->aggregated =
        view_count(view_path(root, F_CLUSTER_ROLE_AGGREGATION_RULE, F_AGGREGATION_RULE_CLUSTER_ROLE_SELECTORS)) > 0;
    role_free(map_put(&r->roles, key, role));
}

bool rbac_role_rules(struct rbac *r, struct str namespace_, struct str name, struct rbac_rules *ret)
{
    struct key key;
    key_make(&key, namespace_, "/", name);
    const struct role *role = key.n ? map_get(&r->roles, key_str(&key)) : NULL;
    if (role)
        *ret = role->rules;
    return role != NULL;
}

/* --- bindings ---------------------------------------------------------------------------------------------------- */

/* The index key of one subject of a binding; n 0 for a subject that means nobody. */
static void subject_key(struct key *key, const struct binding *b, struct view subject)
{
    struct str kind = view_str(view_get(subject, F_SUBJECT_KIND)), name = view_str(view_get(subject, F_SUBJECT_NAME));
    key->n = 0;
    if (str_is(kind, "User"))
        key_make(key, b->namespace_, "|U|", name);
    else if (str_is(kind, "Group"))
        key_make(key, b->namespace_, "|G|", name);
    else if (str_is(kind, "ServiceAccount")) {
        /* Source: the binding's namespace stands in for an absent one only in a RoleBinding. */
        struct str namespace_ = view_str(view_get(subject, F_SUBJECT_NAMESPACE));
        char user[KEY_MAX_BYTES];
        if (str_empty(namespace_))
            namespace_ = b->namespace_;
        if (str_empty(namespace_))
            return;
        int n = snprintf(user, sizeof(user), "system:serviceaccount:%.*s:%.*s", STR_ARG(namespace_), STR_ARG(name));
        if (n < (int)sizeof(user))
            key_make(key, b->namespace_, "|U|", (struct str){ user, (size_t)n });
    }
}

static void subject_add(struct rbac *r, struct str key, struct binding *b)
{
    struct subject *s = map_get(&r->subjects, key);
    if (!s) {
        s = xnew(struct subject);
        map_put(&r->subjects, key, s);
    }
    GROW(s->items, s->count, s->capacity);
    s->items[s->count++] = b;
}

static void subject_remove(struct rbac *r, struct str key, const struct binding *b)
{
    struct subject *s = map_get(&r->subjects, key);
    for (size_t i = 0; s && i < s->count; i++)
        if (s->items[i] == b)
            s->items[i--] = s->items[--s->count];
    if (s && !s->count) {
        map_del(&r->subjects, key);
        free(s->items);
        free(s);
    }
}

static void binding_index(struct rbac *r, struct binding *b, bool add)
{
    struct view_iter it = { 0 };
    struct view subjects = view_get(object_root(b->object), F_ROLE_BINDING_SUBJECTS);
    while (view_next(subjects, &it)) {
        struct key key;
        subject_key(&key, b, it.value);
        if (key.n && add)
            subject_add(r, key_str(&key), b);
        else if (key.n)
            subject_remove(r, key_str(&key), b);
    }
}

static void binding_remove(struct rbac *r, struct str key)
{
    struct binding *b = map_del(&r->bindings, key);
    if (!b)
        return;
    binding_index(r, b, false);
    object_unref(b->object);
    free(b);
}

static void binding_put(struct rbac *r, struct str key, const struct object *now)
{
    binding_remove(r, key);
    struct binding *b = xnew(struct binding);
    b->object = object_ref(now);
    b->namespace_ = object_namespace(b->object);
    map_put(&r->bindings, key, b);
    binding_index(r, b, true);
}

/* --- changes ----------------------------------------------------------------------------------------------------- */

static bool is_role(const struct kind *kind)
{
    return kind == &kind_role || kind == &kind_clusterrole;
}

void rbac_put(struct rbac *r, const struct kind *kind, const struct object *now)
{
    struct key key;
    key_make(&key, object_namespace(now), "/", object_name(now));
    if (is_role(kind))
        role_put(r, key_str(&key), now);
    else
        binding_put(r, key_str(&key), now);
    if (kind == &kind_clusterrole)
        aggregate_all(r);
}

void rbac_remove(struct rbac *r, const struct kind *kind, struct str namespace_, struct str name)
{
    struct key key;
    key_make(&key, namespace_, "/", name);
    if (is_role(kind))
        role_free(map_del(&r->roles, key_str(&key)));
    else
        binding_remove(r, key_str(&key));
    if (kind == &kind_clusterrole)
        aggregate_all(r);
}

/* --- questions --------------------------------------------------------------------------------------------------- */

/* Calls fn for every rule; stops when it returns true, and returns that. */
typedef bool visit_fn(void *arg, const struct rbac_rule *rule);

static bool visit_binding(const struct rbac *r, const struct binding *b, visit_fn *fn, void *arg)
{
    struct view ref = view_get(object_root(b->object), F_ROLE_BINDING_ROLE_REF);
    bool cluster = str_is(view_str(view_get(ref, F_ROLE_REF_KIND)), "ClusterRole");
    struct key key;
    key_make(&key, cluster ? STR_NONE : b->namespace_, "/", view_str(view_get(ref, F_ROLE_REF_NAME)));
    const struct role *role = key.n ? map_get(&r->roles, key_str(&key)) : NULL;
    for (size_t i = 0; role && i < role->rules.count; i++)
        if (fn(arg, &role->rules.items[i]))
            return true;
    return false;
}

static bool visit_subject(const struct rbac *r, struct str namespace_, const char *between, struct str name,
                          visit_fn *fn, void *arg)
{
    struct key key;
    key_make(&key, namespace_, between, name);
    const struct subject *s = key.n ? map_get(&r->subjects, key_str(&key)) : NULL;
    for (size_t i = 0; s && i < s->count; i++)
        if (visit_binding(r, s->items[i], fn, arg))
            return true;
    return false;
}

static bool visit_scope(const struct rbac *r, const struct identity *identity, struct str namespace_, visit_fn *fn,
                        void *arg)
{
    if (visit_subject(r, namespace_, "|U|", identity->user, fn, arg))
        return true;
    for (size_t i = 0; i < identity->groups_count; i++)
        if (visit_subject(r, namespace_, "|G|", identity->groups[i], fn, arg))
            return true;
    return false;
}

static bool rule_decides(void *arg, const struct rbac_rule *rule)
{
    return rbac_rule_allows(rule, arg);
}

bool rbac_allows(const struct rbac *r, const struct authz_attributes *a)
{
    struct authz_attributes wanted = *a;
    return visit_scope(r, a->identity, STR_NONE, rule_decides, &wanted) ||
           (a->is_resource && !str_empty(a->namespace_) &&
            visit_scope(r, a->identity, a->namespace_, rule_decides, &wanted));
}

struct each {
    rbac_rule_fn *fn;
    void *arg;
};

static bool rule_each(void *arg, const struct rbac_rule *rule)
{
    const struct each *each = arg;
    each->fn(each->arg, rule);
    return false;
}

void rbac_rules_of(const struct rbac *r, const struct identity *identity, struct str namespace_, rbac_rule_fn *fn,
                   void *arg)
{
    struct each each = { fn, arg };
    visit_scope(r, identity, STR_NONE, rule_each, &each);
    if (!str_empty(namespace_))
        visit_scope(r, identity, namespace_, rule_each, &each);
}
