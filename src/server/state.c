/* The state: what the store holds, as objects in memory; every change passes through state_on_change(). */
#include "server/state_internal.h"

#include "server/alias.h"
#include "server/raw_keys.h"

#define LOG_PART "state"
#include "base/log.h"

#include <stdlib.h>

struct kind_state *state_of_kind(struct state *s, const struct kind *k)
{
    return &s->kinds[kind_index(state_storage_kind(k))];
}

static struct str group_text(const struct kind *k)
{
    return k->group[0] ? str_of(k->group) : STR("core");
}

static void add_indexes(struct kind_state *ks)
{
    static const struct {
        const struct kind *kind;
        const char *label;
    } rows[] = {
#define STATE_INDEX(id, label) { &kind_##id, label },
#include "server/indexes.def"
#undef STATE_INDEX
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].kind != ks->kind)
            continue;
        const struct kind_field_label *f = ks->kind->field_labels;
        while (f && f->label && strcmp(f->label, rows[i].label))
            f++;
        if (!f || !f->label)
            continue;
        ks->indexes = xrealloc(ks->indexes, (ks->indexes_count + 1) * sizeof(*ks->indexes));
        ks->indexes[ks->indexes_count++] = (struct index){ .label = rows[i].label, .field = f };
    }
}

struct state *state_new(struct loop *loop, struct env *env)
{
    struct state *s = xnew(struct state);
    s->loop = loop;
    s->env = env;
    list_init(&s->listeners);
    list_init(&s->raw_listeners);
    s->kinds = xcalloc(kinds_count, sizeof(*s->kinds));
    for (size_t i = 0; i < kinds_count; i++) {
        struct kind_state *ks = &s->kinds[i];
        ks->kind = kinds[i];
        list_init(&ks->listeners);
        if (state_storage_kind(ks->kind) != ks->kind || !(ks->kind->verbs & VERB_GET))
            continue;
        AUTO_BUF struct buf prefix = BUF_MAX(STORE_KEY_MAX);
        buf_add(&prefix, group_text(ks->kind));
        buf_add_char(&prefix, '/');
        buf_add_text(&prefix, ks->kind->plural);
        map_put(&s->by_prefix, buf_str(&prefix), ks);
        add_indexes(ks);
    }
    return s;
}

static void free_listeners(struct list *head)
{
    list_each (head, struct state_listener, link, l) {
        list_del(&l->link);
        free(l);
    }
}

static void early_done(struct early *e)
{
    change_unref(e->change);
    free((char *)e->raw.key.p);
    free((char *)e->raw.value.p);
}

void state_free(struct state *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < kinds_count; i++) {
        struct kind_state *ks = &s->kinds[i];
        for (size_t j = 0; j < ks->indexes_count; j++) {
            void *set;
            for (size_t at = 0; map_next(&ks->indexes[j].sets, &at, NULL, &set);) {
                object_set_done(set);
                free(set);
            }
            map_done(&ks->indexes[j].sets);
        }
        free(ks->indexes);
        object_set_done(&ks->set);
        change_ring_done(&ks->ring);
        free_listeners(&ks->listeners);
    }
    for (size_t i = 0; i < s->early_count; i++)
        early_done(&s->early[i]);
    free(s->early);
    raw_done(s);
    free_listeners(&s->listeners);
    void *line;
    for (size_t at = 0; map_next(&s->lines, &at, NULL, &line);) {
        free(((struct key_line *)line)->key);
        free(line);
    }
    map_done(&s->lines);
    map_done(&s->by_prefix);
    error_done(&s->load_error);
    free(s->kinds);
    free(s);
}

/* --- keys: /registry/GROUP/PLURAL[/NAMESPACE]/NAME --------------------------------------------------------------------- */

void state_key(struct buf *to, const struct kind *k, struct str namespace_, struct str name)
{
    k = state_storage_kind(k);
    buf_add(to, KEY_ROOT);
    buf_add(to, group_text(k));
    buf_add_char(to, '/');
    buf_add_text(to, k->plural);
    if (k->namespaced) {
        buf_add_char(to, '/');
        buf_add(to, namespace_);
    }
    buf_add_char(to, '/');
    buf_add(to, name);
}

struct kind_state *state_of_key(struct state *s, struct str key)
{
    if (!str_starts(key, KEY_ROOT))
        return NULL;
    struct str rest = str_from(key, KEY_ROOT.n), group, plural, whole = rest;
    if (!str_cut(&rest, '/', &group) || !str_cut(&rest, '/', &plural))
        return NULL;
    return map_get(&s->by_prefix, str_part(whole, 0, group.n + 1 + plural.n));
}

/* --- changes ------------------------------------------------------------------------------------------------------------ */

struct object *state_parse(struct str key, struct str value, uint64_t revision, struct error *err)
{
    AUTO_OBJECT struct object *o = object_parse(value, err);
    if (!o) {
        error_context(err, "stored object %.*s", STR_ARG(key));
        return NULL;
    }
    return object_with_revision(o, revision);
}

struct change *state_change_of(struct state *s, const struct store_change *c, struct error *err)
{
    struct kind_state *ks = state_of_key(s, c->key);
    if (!ks)
        return NULL;
    AUTO_OBJECT struct object *o = state_parse(c->key, c->value, c->revision, err);
    AUTO_OBJECT struct object *previous = NULL;
    if (!o)
        return NULL;
    if (c->previous_revision && c->type == STORE_PUT) {
        previous = state_parse(c->key, c->previous_value, c->previous_revision, err);
        if (!previous)
            return NULL;
    } else if (c->type == STORE_DELETE) {
        previous = state_parse(c->key, c->value, c->previous_revision, err);
    }
    enum change_type type = c->type == STORE_DELETE ? CHANGE_DELETED : previous ? CHANGE_MODIFIED : CHANGE_ADDED;
    return change_new(type, c->revision, ks->kind, o, previous);
}

static void index_update(struct index *x, const struct object *gone, const struct object *come)
{
    AUTO_ARENA struct arena a = { 0 };
    struct str old = gone ? x->field->get(object_root(gone), &a) : STR_NONE;
    struct str new = come ? x->field->get(object_root(come), &a) : STR_NONE;
    if (!str_empty(old) && !(come && str_eq(old, new))) {
        struct object_set *set = map_get(&x->sets, old);
        if (set)
            object_unref(object_set_del(set, object_namespace(gone), object_name(gone)));
        if (set && object_set_count(set) == 0)
            free(map_del(&x->sets, old));
    }
    if (str_empty(new))
        return;
    struct object_set *set = map_get(&x->sets, new);
    if (!set) {
        set = xnew(struct object_set);
        map_put(&x->sets, new, set);
    }
    object_unref(object_set_put(set, object_ref(come)));
}

static void tell(struct list *listeners, const struct change *c)
{
    list_each (listeners, struct state_listener, link, l)
        l->fn(l->arg, c);
}

void state_put_object(struct kind_state *ks, const struct object *o)
{
    AUTO_OBJECT struct object *old = object_set_put(&ks->set, object_ref(o));
    for (size_t i = 0; i < ks->indexes_count; i++)
        index_update(&ks->indexes[i], old, o);
}

void state_apply(struct state *s, struct change *c)
{
    struct kind_state *ks = state_of_kind(s, c->kind);
    assert(c->revision > s->revision);
    s->revision = ks->revision = c->revision;
    if (c->type == CHANGE_DELETED) {
        AUTO_OBJECT struct object *old = object_set_del(&ks->set, object_namespace(c->object), object_name(c->object));
        for (size_t i = 0; old && i < ks->indexes_count; i++)
            index_update(&ks->indexes[i], old, NULL);
    } else {
        state_put_object(ks, c->object);
    }
    change_ring_add(&ks->ring, c);
    tell(&ks->listeners, c);
    tell(&s->listeners, c);
}

/* A change of a key that is no object: of klein's own (raw_keys.h), or of a kind this version does not know. */
static void other_change(struct state *s, const struct store_change *c)
{
    s->revision = MAX(s->revision, c->revision);
    if (str_starts(c->key, RAW_ROOT))
        raw_change(s, c);
}

void state_on_change(void *arg, const struct store_change *c)
{
    struct state *s = arg;
    AUTO_ERROR struct error err = { 0 };
    struct change *change = c->cookie && s->loaded ? state_own_change(s, c) : NULL;
    if (!change)
        change = state_change_of(s, c, &err);
    if (err.code != ERR_NONE) {
        /* What we cannot read we cannot serve; going on would answer with a state that is not the store's. */
        log_error("unreadable change in the store", KV_STR("key", c->key), KV_ERR(&err));
        abort();
    }
    if (!s->loaded) {
        GROW(s->early, s->early_count, s->early_capacity);
        s->early[s->early_count++] = (struct early){
            .change = change,
            .raw = { .revision = c->revision,
                     .type = c->type,
                     .key = { str_dup(c->key), c->key.n },
                     .value = change ? STR_NONE : (struct str){ str_dup(c->value), c->value.n } },
        };
        return;
    }
    if (!change) {
        other_change(s, c);
        return;
    }
    state_apply(s, change);
    change_unref(change);
}

void state_on_progress(void *arg, uint64_t revision)
{
    struct state *s = arg;
    if (s->loaded)
        s->revision = MAX(s->revision, revision);
}

/* --- loading ------------------------------------------------------------------------------------------------------------ */

static void load_entry(void *arg, struct str key, struct str value, uint64_t revision)
{
    struct state *s = arg;
    struct kind_state *ks = state_of_key(s, key);
    if (str_starts(key, RAW_ROOT))
        raw_put(s, key, value, revision);
    if (!ks || s->load_error.code != ERR_NONE)
        return;
    AUTO_OBJECT struct object *o = state_parse(key, value, revision, &s->load_error);
    if (o)
        state_put_object(ks, o);
}

static void load_done(void *arg, uint64_t revision, const struct error *err)
{
    struct state *s = arg;
    if (err || s->load_error.code != ERR_NONE) {
        s->ready(s->ready_arg, err ? err : &s->load_error);
        return;
    }
    s->revision = revision;
    for (size_t i = 0; i < kinds_count; i++)
        s->kinds[i].ring.since = s->kinds[i].revision = revision;
    s->loaded = true;
    for (size_t i = 0; i < s->early_count; i++) {
        struct early *e = &s->early[i];
        if (e->raw.revision > revision && e->change)
            state_apply(s, e->change);
        else if (e->raw.revision > revision)
            other_change(s, &e->raw);
        early_done(e);
    }
    s->early_count = 0;
    s->ready(s->ready_arg, NULL);
}

void state_load(struct state *s, struct store *store, state_done_fn *ready, void *arg)
{
    s->store = store;
    s->ready = ready;
    s->ready_arg = arg;
    store_list(store, STR("/"), load_entry, load_done, s);
}

/* --- reading ------------------------------------------------------------------------------------------------------------ */

const struct object *state_get(struct state *s, const struct kind *k, struct str namespace_, struct str name)
{
    return object_set_get(&state_of_kind(s, k)->set, namespace_, name);
}

static void each(const struct object_set *set, struct str namespace_, state_each_fn *fn, void *arg)
{
    struct object_cursor at;
    object_set_seek(set, namespace_, STR_NONE, &at);
    for (const struct object *o; (o = object_cursor_next(&at));) {
        if (!str_empty(namespace_) && !str_eq(object_namespace(o), namespace_))
            return;
        if (!fn(arg, o))
            return;
    }
}

void state_each(struct state *s, const struct kind *k, struct str namespace_, state_each_fn *fn, void *arg)
{
    each(&state_of_kind(s, k)->set, namespace_, fn, arg);
}

size_t state_count(struct state *s, const struct kind *k)
{
    return object_set_count(&state_of_kind(s, k)->set);
}

void state_by_index(struct state *s, const struct kind *k, const char *label, struct str value, state_each_fn *fn,
                    void *arg)
{
    struct kind_state *ks = state_of_kind(s, k);
    for (size_t i = 0; i < ks->indexes_count; i++) {
        if (strcmp(ks->indexes[i].label, label))
            continue;
        const struct object_set *set = map_get(&ks->indexes[i].sets, value);
        if (set)
            each(set, STR_NONE, fn, arg);
        return;
    }
    assert(!"a label without an index: add it to indexes.def");
}

uint64_t state_revision(const struct state *s)
{
    return s->revision;
}

struct store *state_store(struct state *s)
{
    return s->store;
}

struct object_set state_snapshot(struct state *s, const struct kind *k)
{
    return object_set_snapshot(&state_of_kind(s, k)->set);
}

int state_snapshot_at(struct state *s, const struct kind *k, uint64_t revision, struct object_set *ret)
{
    struct kind_state *ks = state_of_kind(s, k);
    ptrdiff_t from = change_ring_find(&ks->ring, revision);
    if (revision > s->revision || (from < 0 && revision < ks->revision))
        return -1;
    *ret = object_set_snapshot(&ks->set);
    for (size_t i = ks->ring.count; from >= 0 && i-- > (size_t)from;) {
        const struct change *c = change_ring_at(&ks->ring, i);
        if (c->type == CHANGE_ADDED)
            object_unref(object_set_del(ret, object_namespace(c->object), object_name(c->object)));
        else
            object_unref(object_set_put(ret, object_ref(c->previous)));
    }
    return 0;
}

const struct change_ring *state_ring(struct state *s, const struct kind *k)
{
    return &state_of_kind(s, k)->ring;
}

void state_forget(struct state *s, uint64_t revision, size_t keep)
{
    for (size_t i = 0; i < kinds_count; i++)
        change_ring_forget(&s->kinds[i].ring, revision, keep);
}

uint64_t state_kind_revision(struct state *s, const struct kind *k)
{
    return state_of_kind(s, k)->revision;
}

struct state_listener *state_listen(struct state *s, const struct kind *k, state_change_fn *fn, void *arg)
{
    struct state_listener *l = xnew(struct state_listener);
    l->fn = fn;
    l->arg = arg;
    list_add_tail(k ? &state_of_kind(s, k)->listeners : &s->listeners, &l->link);
    return l;
}

void state_unlisten(struct state_listener *l)
{
    if (!l)
        return;
    list_del(&l->link);
    free(l);
}
