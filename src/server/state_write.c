/* The writing side of the state: writes through the store, and the lines in which writers of one object wait. */
#include "server/state_internal.h"

#include <stdlib.h>

#define EPOCH_KEY STR("/klein/epoch")
#define LINES_MAX 100000 /* keys locked at once; requests in flight are far fewer */

/* A write of this process on its way through the store. */
struct pending {
    struct state *state;
    struct object *object;
    state_written_fn *done;
    void *arg;
    struct object *written;
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
    free(p);
}

void state_write(struct state *s, const struct state_write *w, state_written_fn *done, void *arg)
{
    struct pending *p = xnew(struct pending);
    *p = (struct pending){ .state = s, .object = object_ref(w->object), .done = done, .arg = arg };
    AUTO_BUF struct buf key = BUF_MAX(STORE_KEY_MAX);
    state_key(&key, w->kind, w->namespace_, w->name);
    struct store_write write = {
        .type = w->type,
        .key = buf_str(&key),
        .value = w->type == STORE_PUT ? object_json(w->object) : STR_NONE,
        .expect = w->expect,
        .guard_key = w->epoch ? EPOCH_KEY : STR_NONE,
        .guard_revision = w->epoch,
        .cookie = p,
    };
    store_write(s->store, &write, write_done, p);
}

bool key_lock(struct state *s, struct key_lock *l, const struct kind *k, struct str namespace_, struct str name,
              void (*granted)(struct key_lock *l, void *arg), void *arg)
{
    AUTO_BUF struct buf key = BUF_MAX(STORE_KEY_MAX);
    state_key(&key, k, namespace_, name);
    struct key_line *line = map_get(&s->lines, buf_str(&key));
    *l = (struct key_lock){ .granted = granted, .arg = arg, .held = !line };
    if (!line) {
        assert(s->lines.count < LINES_MAX);
        line = xnew(struct key_line);
        line->key = str_dup(buf_str(&key));
        list_init(&line->waiting);
        map_put(&s->lines, buf_str(&key), line);
    } else {
        list_add_tail(&line->waiting, &l->link);
    }
    l->line = line;
    return l->held;
}

static void grant(void *arg)
{
    struct key_lock *l = arg;
    l->granted(l, l->arg);
}

void key_unlock(struct state *s, struct key_lock *l)
{
    struct key_line *line = l->line;
    if (!line)
        return;
    l->line = NULL;
    if (!l->held) {
        list_del(&l->link);
        return;
    }
    l->held = false;
    struct key_lock *next = list_first(&line->waiting, struct key_lock, link);
    if (next) {
        list_del(&next->link);
        next->held = true;
        loop_post(s->loop, grant, next);
        return;
    }
    map_del(&s->lines, str_of(line->key));
    free(line->key);
    free(line);
}
