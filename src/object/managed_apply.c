/* Server-side apply: merge what is applied, take out what is applied no longer, refuse what others own. */
#include "object/managed_internal.h"
#include "object/schema_internal.h"

#define LAST_APPLIED       "kubectl.kubernetes.io/last-applied-configuration"
#define ANNOTATIONS_MAX    (256 * KIB) /* of all annotations; upstream: TotalAnnotationSizeLimitB */
#define CONFLICT_PATHS_MAX 256         /* printed in a message */

static struct str last_applied(const struct value *object)
{
    const struct value *annotations = value_get_str(value_get_str(object, STR("metadata")), STR("annotations"));

    return value_to_str(value_get_str(annotations, STR(LAST_APPLIED)));
}

/* "ns/name; apps/v1, Kind=Deployment", as messages name an object. */
static struct str describe(struct arena *a, const struct schema *s, const struct value *config)
{
    const struct value *metadata = value_get_str(config, STR("metadata"));

    return arena_printf(a, "%.*s/%.*s; %s/%s, Kind=%s",
                        STR_ARG(value_to_str(value_get_str(metadata, STR("namespace")))),
                        STR_ARG(value_to_str(value_get_str(metadata, STR("name")))), s->group, s->version, s->kind);
}

static int check_config(const struct managed_work *w, const struct value *config, struct error *err)
{
    struct str api_version = value_to_str(value_get_str(config, STR("apiVersion")));
    const struct schema *s = w->call->schema;

    if (value_type(config) != VALUE_OBJECT)
        return fail(err, ERR_BAD_REQUEST, "the patch must be an object");
    if (!str_eq(api_version, w->api_version))
        return fail(err, ERR_BAD_REQUEST,
                    "Incorrect version specified in apply patch. Specified patch version: %.*s, expected: %.*s",
                    STR_ARG(api_version), STR_ARG(w->api_version));
    if (value_get_str(value_get_str(config, STR("metadata")), STR("managedFields")))
        return fail(err, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
    if (managed_validate(w->arena, s, config, err) < 0)
        return error_context(err, "failed to create typed patch object (%.*s)", STR_ARG(describe(w->arena, s, config)));
    return 0;
}

/*
 * Take out what this manager applied last time and not this time, unless somebody else owns it, or it never was the
 * manager's own. Upstream: Updater.prune, addBackOwnedItems, addBackDanglingItems.
 */
static struct value *prune(struct managed_work *w, struct managers *m, struct value *merged,
                           const struct managed_set *last, const struct managed_set *now)
{
    struct arena *a = w->arena;
    const struct schema *s = w->call->schema;

    if (set_contains(now, last))
        return merged; /* all of it is applied again, as nearly always */
    struct managed_set last_named = managed_named(a, s, last), owned = { 0 };
    struct value *pruned = managed_remove(a, s, merged, &last_named);

    for (size_t i = 0; i < m->count; i++)
        owned = set_union(a, &owned, &m->items[i].set);
    struct managed_set merged_paths = managed_paths(a, s, merged), pruned_paths = managed_paths(a, s, pruned);
    merged_paths = managed_named(a, s, &merged_paths);
    pruned_paths = managed_named(a, s, &pruned_paths);
    owned = managed_named(a, s, &owned);
    struct managed_set keep = set_union(a, &pruned_paths, &owned);
    struct managed_set gone = set_difference(a, &merged_paths, &keep, false);
    pruned = managed_remove(a, s, merged, &gone);

    pruned_paths = managed_paths(a, s, pruned);
    pruned_paths = managed_named(a, s, &pruned_paths);
    gone = set_difference(a, &merged_paths, &pruned_paths, false);
    gone = set_intersection(a, &gone, &last_named);
    return managed_remove(a, s, merged, &gone);
}

struct conflict_list {
    struct error *err;
    struct buf text;
    struct str manager; /* as messages print it */
    size_t count;
};

static void add_conflict(void *arg, struct str path)
{
    struct conflict_list *list = arg;

    if (list->count++ >= CONFLICT_PATHS_MAX)
        return;
    error_add_cause(list->err, "FieldManagerConflict", path, "conflict with %.*s", STR_ARG(list->manager));
    buf_addf(&list->text, "\n- %.*s", STR_ARG(path));
}

static struct str print_manager(struct arena *a, const struct manager *m)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);

    go_quote(&text, m->name);
    if (m->subresource.n) {
        buf_add_text(&text, " with subresource ");
        go_quote(&text, m->subresource);
    }
    if (!m->applied)
        buf_addf(&text, " using %.*s", STR_ARG(m->api_version));
    return arena_str(a, buf_str(&text));
}

/* What others own of the change; the sets are per manager. */
struct conflicts {
    const struct manager **managers;
    struct managed_set *sets;
    size_t count;
};

static struct conflicts find_conflicts(struct managed_work *w, const struct managers *m, const struct manager *self,
                                       const struct managed_diff *diff, const struct managed_set *allowed)
{
    struct conflicts c = { arena_alloc_array(w->arena, MAX(m->count, 1), sizeof(*c.managers)),
                           arena_alloc_array(w->arena, MAX(m->count, 1), sizeof(*c.sets)), 0 };
    struct managed_set changed = set_union(w->arena, &diff->modified, &diff->added);

    for (size_t i = 0; i < m->count; i++) {
        if (&m->items[i] == self)
            continue;
        struct managed_set set = set_intersection(w->arena, &m->items[i].set, &changed);
        set = set_difference(w->arena, &set, allowed, false);
        if (set_empty(&set))
            continue;
        c.managers[c.count] = &m->items[i];
        c.sets[c.count++] = set;
    }
    return c;
}

/* Upstream: conflict.go, NewConflictError and getConflictMessage. */
static int fail_conflicts(struct managed_work *w, const struct conflicts *c, struct error *err)
{
    struct conflict_list list = { .text = BUF_MAX(256 * KIB) };
    AUTO_BUF struct buf message = BUF_MAX(512 * KIB), path = BUF_MAX(16 * KIB);
    AUTO_ERROR struct error error = { 0 };
    struct str only = STR_NONE;

    fail(&error, ERR_CONFLICT, "conflict");
    list.err = &error;
    for (size_t i = 0; i < c->count; i++) {
        list.manager = print_manager(w->arena, c->managers[i]);
        buf_clear(&list.text);
        set_each_path(&c->sets[i], &path, add_conflict, &list);
        buf_addf(&message, "%sconflicts with %.*s:%.*s", i ? "\n" : "", STR_ARG(list.manager), (int)list.text.n,
                 list.text.p);
        only = str_from(buf_str(&list.text), 3);
    }
    if (list.count == 1)
        fail(err, ERR_CONFLICT, "Apply failed with 1 conflict: conflict with %.*s: %.*s", STR_ARG(list.manager),
             STR_ARG(only));
    else
        fail(err, ERR_CONFLICT, "Apply failed with %zu conflicts: %s", list.count, message.p);
    for (size_t i = 0; err && i < error.causes_count; i++)
        error_add_cause(err, error.causes[i].reason, str_of(error.causes[i].field), "%s", error.causes[i].message);
    buf_done(&list.text);
    return -1;
}

/*
 * kubectl moving from client-side apply: what its annotation says it applied, and what still is so, it may take over without force.
 * Upstream: lastappliedmanager.go, allowedConflictsFromLastApplied.
 */
static struct managed_set allowed_by_annotation(struct managed_work *w, const struct value *live)
{
    struct managed_set none = { 0 };
    const struct schema *s = w->call->schema;
    struct str text = last_applied(live);

    if (!str_is(w->call->manager, "kubectl") || text.n == 0)
        return none;
    struct value *applied = value_parse(w->arena, text, NULL, NULL);
    if (value_type(applied) != VALUE_OBJECT || managed_validate(w->arena, s, applied, NULL) < 0)
        return none;
    struct managed_set set = managed_paths(w->arena, s, applied);
    struct managed_diff diff = managed_compare(w->arena, s, applied, live);
    set = set_difference(w->arena, &set, &diff.modified, false);
    set = set_difference(w->arena, &set, &diff.added, false);
    return set_difference(w->arena, &set, &diff.removed, false);
}

/* Keep kubectl's annotation in step while it is there, so that client-side apply still works. Upstream: lastappliedupdater.go. */
static void update_annotation(struct managed_work *w, struct arena *to, const struct value *config,
                              struct value *object)
{
    AUTO_BUF struct buf text = BUF_MAX(ANNOTATIONS_MAX);
    struct value *annotations = value_get_str(value_get_str(object, STR("metadata")), STR("annotations")), *copy,
                 *inner;

    if (!str_is(w->call->manager, "kubectl") || last_applied(object).n == 0)
        return;
    copy = value_copy(w->arena, config);
    inner = value_get_str(value_get_str(copy, STR("metadata")), STR("annotations"));
    if (inner)
        value_del_str(inner, STR(LAST_APPLIED));
    value_write(&text, copy);
    buf_add_char(&text, '\n');
    if (text.full)
        value_del_str(annotations, STR(LAST_APPLIED));
    else
        value_put_str(to, annotations, STR(LAST_APPLIED), value_str(to, arena_str(to, buf_str(&text))));
}

/* The new object out of live and config, and the new owners. `m` changes. NULL on failure. */
static struct value *apply_config(struct managed_work *w, struct managers *m, const struct value *live,
                                  const struct value *config, bool force, struct error *err)
{
    struct arena *a = w->arena;
    const struct managed_call *call = w->call;
    struct manager *self = managers_find(m, call->manager, call->subresource, w->api_version, true);
    struct managed_set last = self ? self->set : (struct managed_set){ 0 };
    struct managed_set set = managed_paths(a, call->schema, config);
    struct managed_set allowed = allowed_by_annotation(w, live);

    if (!self)
        self = managers_add(
            m, &(struct manager){ .name = call->manager, .subresource = call->subresource, .applied = true });
    self->api_version = w->api_version;
    self->set = managed_allowed(w, &set);
    last = managed_allowed(w, &last);

    struct value *object = managed_merge(a, call->schema, live, config, err);
    if (!object)
        return NULL;
    object = prune(w, m, object, &last, &self->set);
    struct managed_diff diff = managed_diff_for(w, live, object);
    struct conflicts conflicts = find_conflicts(w, m, self, &diff, &allowed);
    if (conflicts.count && !force)
        return fail_conflicts(w, &conflicts, err), NULL;
    managed_take_from_others(w, m, self, &diff);
    self->set = set_difference(a, &self->set, &w->strip, false);
    return object;
}

int managed_apply(struct arena *a, const struct managed_call *call, const struct value *live, struct value *config,
                  bool force, struct value **ret_object, bool *ret_changed, struct error *err)
{
    static const struct schema_options convert = { .style = SCHEMA_CONVERT };
    AUTO_ARENA struct arena scratch = { 0 };
    struct managed_work w;
    struct managers m, before;

    managed_begin(&scratch, call, &w);
    if (check_config(&w, config, err) < 0)
        return -1;
    if (value_type(live) != VALUE_OBJECT || live->members_count == 0)
        live = schema_zero(&scratch, call->schema);
    if (managers_decode(&scratch, live, &m, NULL) < 0)
        m = (struct managers){ .arena = &scratch };
    before = m; /* sets are never changed, so the list of managers is all there is to copy */
    before.items = arena_alloc_array(&scratch, MAX(m.count, 1), sizeof(*m.items));
    if (m.count)
        memcpy(before.items, m.items, m.count * sizeof(*m.items));
    live = managed_without(&scratch, live);
    if (m.count == 0) /* what was there before anybody applied has an owner too */
        managed_record_update(&w, &m, STR("before-first-apply"), schema_zero(&scratch, call->schema), live, false);

    struct value *object = apply_config(&w, &m, live, config, force, err);
    if (!object)
        return -1;
    bool changed = !value_equal(object, live);
    object = value_copy(a, object);
    AUTO_ERROR struct error error = { 0 };
    if (schema_normalize(a, call->schema, object, &convert, &error) < 0)
        return fail(err, ERR_INTERNAL,
                    "failed to convert new object (%.*s) to proper version: unable to convert unstructured object to "
                    "%s/%s, Kind=%s: %s",
                    STR_ARG(describe(&scratch, call->schema, config)), call->schema->group, call->schema->version,
                    call->schema->kind, error_text(&error));
    update_annotation(&w, a, config, object);
    managers_drop_empty(&m);
    changed = changed || !managers_equal(&m, &before);
    struct manager *self = managers_find(&m, call->manager, call->subresource, w.api_version, true);
    if (self && changed)
        self->time = w.now;
    managers_encode(&m, a, object);
    *ret_object = object;
    if (ret_changed)
        *ret_changed = changed;
    return 0;
}
