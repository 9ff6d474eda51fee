/* Lines cut into words, and the objects words name. */
#include "steps.h"

#include "kinds/fields.h"

#include <ctype.h>
#include <stdlib.h>

struct words words_of(struct str line)
{
    struct words w = { .line = line };
    struct str rest = line, word;

    while (str_next(&rest, ' ', &word)) {
        if (!word.n)
            continue;
        ASSERT(w.count < ARRAY_SIZE(w.items));
        w.items[w.count++] = word;
    }
    return w;
}

static bool is_capital(struct str word)
{
    for (size_t i = 0; i < word.n; i++)
        if (!isupper((unsigned char)word.p[i]))
            return false;
    return word.n > 0;
}

bool words_fit(const struct words *w, const char *pattern, struct str ret[WORDS_MAX])
{
    struct words p = words_of(str_of(pattern));
    size_t n = 0;

    for (size_t i = 0; i < p.count; i++) {
        if (i >= w->count)
            return false;
        if (str_is(p.items[i], "REST")) {
            size_t at = (size_t)(w->items[i].p - w->line.p);
            ret[n] = (struct str){ w->line.p + at, w->line.n - at };
            return true;
        }
        if (is_capital(p.items[i]))
            ret[n++] = w->items[i];
        else if (!str_eq(p.items[i], w->items[i]))
            return false;
    }
    return p.count == w->count;
}

int64_t words_number(struct str word)
{
    int64_t n = 0;

    if (!str_to_i64(word, &n))
        FAIL("not a number: %.*s", STR_ARG(word));
    return n;
}

int64_t words_duration_ms(struct str word)
{
    if (str_ends(word, STR("ms")))
        return words_number(str_part(word, 0, word.n - 2));
    if (!str_ends(word, STR("s")))
        FAIL("not a duration: %.*s", STR_ARG(word));
    return 1000 * words_number(str_part(word, 0, word.n - 1));
}

struct thing thing_of(struct str word)
{
    struct thing t = { .namespace_ = STR("default"), .name = word };
    struct str first, second;

    if (!str_cut(&t.name, '/', &first))
        FAIL("not KIND/NAME: %.*s", STR_ARG(word));
    struct str rest = t.name;
    if (str_cut(&rest, '/', &second)) {
        t.namespace_ = first;
        t.name = rest;
        first = second;
    }
    for (size_t i = 0; i < kinds_count && !t.kind; i++)
        if (str_is(first, kinds[i]->kind))
            t.kind = kinds[i];
    if (!t.kind)
        FAIL("no such kind: %.*s", STR_ARG(first));
    if (!t.kind->namespaced)
        t.namespace_ = STR_NONE;
    return t;
}

const struct object *thing_get(struct world *w, struct str word)
{
    struct thing t = thing_of(word);

    return state_get(server_state(w->server), t.kind, t.namespace_, t.name);
}

/* --- pods -------------------------------------------------------------------------------------------------------------- */

struct search {
    struct str app;
    bool terminating;
    struct pods *found;
};

static bool take_pod(void *arg, const struct object *o)
{
    struct search *s = arg;
    struct view metadata = view_get(object_root(o), F_POD_METADATA);

    if (!str_eq(view_str(view_get_str(view_get(metadata, F_OBJECT_META_LABELS), STR("app"))), s->app))
        return true;
    if (!s->terminating && view_present(view_get(metadata, F_OBJECT_META_DELETION_TIMESTAMP)))
        return true;
    ASSERT(s->found->count < ARRAY_SIZE(s->found->items));
    s->found->items[s->found->count++] = o;
    return true;
}

static int by_age(const void *a, const void *b)
{
    const struct object *x = *(const struct object *const *)a, *y = *(const struct object *const *)b;
    int order = str_cmp(view_str_at(object_root(x), F_POD_METADATA, F_OBJECT_META_CREATION_TIMESTAMP),
                        view_str_at(object_root(y), F_POD_METADATA, F_OBJECT_META_CREATION_TIMESTAMP));

    return order ? order : str_cmp(object_name(x), object_name(y));
}

void pods_of(struct world *w, struct str app, bool terminating, struct pods *ret)
{
    ret->count = 0;
    state_each(server_state(w->server), &kind_pod, STR_NONE, take_pod, &(struct search){ app, terminating, ret });
    qsort(ret->items, ret->count, sizeof(ret->items[0]), by_age);
}

bool pod_is_up(const struct object *pod)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(object_root(pod), F_POD_STATUS, F_POD_STATUS_CONDITIONS), &it))
        if (str_is(view_str_at(it.value, F_POD_CONDITION_TYPE), "Ready"))
            return str_is(view_str_at(it.value, F_POD_CONDITION_STATUS), "True");
    return false;
}
