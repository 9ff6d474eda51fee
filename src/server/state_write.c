/* The writing side of the state: writes through the store, and the lines in which writers of one object wait. */
#include "server/state_internal.h"

#include <stdlib.h>

#define LINES_MAX 100000 /* keys locked at once; requests in flight are far fewer */

/* A write of this process on its way through the store. */
struct pending {
    struct state *state;
    struct object *object;
    state_written_fn *done;
    void *arg;
    struct object *written;
    struct object *base; /* whose bytes the store compares */
};

/* The change without parsing anything: this process made the object and holds the one before it. */
struct change *state_own_change(struct state *s, const struct store_change *c)
{
    struct pending *p = c->cookie;
    struct kind_state *ks = state_of_key(s, c->key);
    if (!ks)
        return NULL;
    const struct object *base = p->object;
    struct str rest = c->key, name;
    ptrdiff_t slash = str_find_last(rest, '/');
    name = str_from(rest, slash + 1);
    struct str namespace_ = STR_NONE;
    if (ks->kind->namespaced) {
        struct str head = str_part(rest, 0, slash);
        namespace_ = str_from(head, str_find_last(head, '/') + 1);
    }
    const struct object *previous = object_set_get(&ks->set, namespace_, name);
    if (c->type == STORE_DELETE)
        base = previous;
    if (!base)
        return NULL;
    AUTO_OBJECT struct object *o = object_with_revision(base, c->revision);
    enum change_type type = c->type == STORE_DELETE ? CHANGE_DELETED : previous ? CHANGE_MODIFIED : CHANGE_ADDED;
    p->written = object_ref(o);
    return change_new(type, c->revision, ks->kind, o, previous);
}

/* --- writes ------------------------------------------------------------------------------------------------------------- */

static void write_done(void *arg, uint64_t revision, const struct error *err)
{
    (void)revision;
    struct pending *p = arg;
    AUTO_ERROR struct error lost = { 0 };
    if (!err && !p->written) {
        /* The contract of the store: on_change comes before done. */
        fail(&lost, ERR_INTERNAL, "the store reported a write without its change");
        err = &lost;
    }
    p->done(p->arg, p->written, err);
    object_unref(p->object);
    object_unref(p->written);
    object_unref(p->base);
    free(p);
}

void state_refuse_puts(struct state *s, const char *why)
{
    s->refusal = why;
}

static void refuse(void *arg)
{
    struct pending *p = arg;
    AUTO_ERROR struct error err = { 0 };
    const char *why = p->state->refusal;
    fail(&err, ERR_UNAVAILABLE, "%s", why ? why : "writes were refused a moment ago: try again");
    write_done(p, 0, &err);
}

/* Namespaces, pods with a grace period and objects with finalizers are deleted by puts: these must go through when disks are full. */
static bool is_ending(const struct object *o)
{
    struct view metadata = view_get_str(object_root(o), STR("metadata"));

    return view_present(view_get_str(metadata, STR("deletionTimestamp")));
}

void state_write(struct state *s, const struct state_write *w, state_written_fn *done, void *arg)
{
    struct pending *p = xnew(struct pending);
    *p = (struct pending){
        .state = s, .object = object_ref(w->object), .base = object_ref(w->base), .done = done, .arg = arg
    };
    bool makes_room = w->type == STORE_PUT && is_ending(w->object);
    if (s->refusal && w->type == STORE_PUT && !makes_room) {
        loop_post(s->loop, refuse, p);
        return;
    }
    AUTO_BUF struct buf key = BUF_MAX(STORE_KEY_MAX);
    state_key(&key, w->kind, w->namespace_, w->name);
    struct store_write write = {
        .type = w->type,
        .key = buf_str(&key),
        .value = w->type == STORE_PUT ? object_json(w->object) : STR_NONE,
        .expect = w->base ? STORE_EXPECT_VALUE : w->expect,
        .expect_value = w->base ? object_json(w->base) : STR_NONE,
        .guard_key = w->epoch ? EPOCH_KEY : w->guard_key,
        .guard_revision = w->epoch ? w->epoch : w->guard_revision,
        .makes_room = makes_room,
        .cookie = p,
    };
    store_write(s->store, &write, write_done, p);
}

/* --- lines ---------------------------------------------------------------------------------------------------------- */

static bool may_begin(const struct key_line *line, const struct key_lock *l)
{
    return !line->held && (line->on_the_way == 0 || (l->on_top && line->newest));
}

static void take(struct key_line *line, struct key_lock *l)
{
    line->held = true;
    l->held = true;
    l->base = line->on_the_way ? object_ref(line->newest) : NULL;
}

bool key_lock(struct state *s, struct key_lock *l, const struct kind *k, struct str namespace_, struct str name,
              bool on_top, void (*granted)(struct key_lock *l, void *arg), void *arg)
{
    AUTO_BUF struct buf key = BUF_MAX(STORE_KEY_MAX);
    state_key(&key, k, namespace_, name);
    struct key_line *line = map_get(&s->lines, buf_str(&key));
    *l = (struct key_lock){ .granted = granted, .arg = arg, .on_top = on_top };
    if (!line) {
        assert(s->lines.count < LINES_MAX);
        line = xnew(struct key_line);
        line->key = str_dup(buf_str(&key));
        list_init(&line->waiting);
        map_put(&s->lines, buf_str(&key), line);
    }
    l->line = line;
    if (list_empty(&line->waiting) && may_begin(line, l))
        take(line, l);
    else
        list_add_tail(&line->waiting, &l->link);
    return l->held;
}

const struct object *key_base(const struct key_lock *l)
{
    return l->base;
}

static void grant(void *arg)
{
    struct key_lock *l = arg;
    l->granted(l, l->arg);
}

/* Something ended: whose turn is it, if the line is needed at all? */
static void next(struct state *s, struct key_line *line)
{
    struct key_lock *first = list_first(&line->waiting, struct key_lock, link);
    if (first && may_begin(line, first)) {
        list_del(&first->link);
        take(line, first);
        loop_post(s->loop, grant, first);
    }
    if (first || line->held || line->on_the_way)
        return;
    map_del(&s->lines, str_of(line->key));
    object_unref(line->newest);
    free(line->key);
    free(line);
}

void key_pass(struct state *s, struct key_lock *l, const struct object *made)
{
    struct key_line *line = l->line;
    assert(line && l->held);
    l->held = false;
    l->passed = true;
    line->held = false;
    line->on_the_way++;
    object_unref(line->newest);
    line->newest = object_ref(made);
    next(s, line);
}

void key_settle(struct state *s, struct key_lock *l, bool written)
{
    struct key_line *line = l->line;
    assert(line && l->passed);
    l->passed = false;
    l->line = NULL;
    object_unref(TAKE(l->base));
    line->on_the_way--;
    if (!written || line->on_the_way == 0)
        object_unref(TAKE(line->newest));
    next(s, line);
}

void key_unlock(struct state *s, struct key_lock *l)
{
    struct key_line *line = l->line;
    if (!line)
        return;
    assert(!l->passed);
    l->line = NULL;
    object_unref(TAKE(l->base));
    if (l->held)
        line->held = false;
    else
        list_del(&l->link);
    l->held = false;
    next(s, line);
}
