/* What must hold in a scenario. */
#include "steps.h"

#include "kinds/fields.h"

struct asked {
    struct world *world;
    const struct str *words;
    struct buf *actual;
};

/* "at least 3", "at most 3", "3", "no" in front of what is counted. */
static bool compare(struct asked *a, const char *how, struct str number, size_t count)
{
    size_t wanted = (size_t)words_number(number);

    buf_addf(a->actual, "%zu", count);
    return how[0] == '>' ? count >= wanted : how[0] == '<' ? count <= wanted : count == wanted;
}

static struct pods pods;

static bool owned(struct asked *a, const char *how)
{
    pods_of(a->world, a->words[1], false, &pods);
    return compare(a, how, a->words[0], pods.count);
}

static size_t count_up(struct asked *a, struct str app)
{
    size_t n = 0;

    pods_of(a->world, app, false, &pods);
    for (size_t i = 0; i < pods.count; i++)
        n += pod_is_up(pods.items[i]);
    return n;
}

static bool ready(struct asked *a, const char *how)
{
    return compare(a, how, a->words[0], count_up(a, a->words[1]));
}

static bool running(struct asked *a, const char *how)
{
    size_t n = 0;

    pods_of(a->world, a->words[1], false, &pods);
    for (size_t i = 0; i < pods.count; i++) {
        struct view containers = view_path(object_root(pods.items[i]), F_POD_SPEC, F_POD_SPEC_CONTAINERS);
        n += str_eq(view_str_at(view_item(containers, 0), F_CONTAINER_IMAGE), a->words[2]);
    }
    return compare(a, how, a->words[0], n);
}

/* The pods stand on so many different nodes or zones. */
static bool spread(struct asked *a, bool zones)
{
    AUTO_MAP struct map places = { 0 };

    pods_of(a->world, a->words[0], false, &pods);
    for (size_t i = 0; i < pods.count; i++) {
        struct str node = view_str_at(object_root(pods.items[i]), F_POD_SPEC, F_POD_SPEC_NODE_NAME);
        if (node.n)
            map_put(&places, zones ? agent_zone(agent_find(a->world, node)) : node, a);
    }
    return compare(a, "=", a->words[1], places.count);
}

static bool in_zones(struct asked *a, const char *how)
{
    (void)how;
    return spread(a, true);
}

static bool on_nodes(struct asked *a, const char *how)
{
    (void)how;
    return spread(a, false);
}

static bool on_node(struct asked *a, const char *how)
{
    size_t n = 0;

    pods_of(a->world, a->words[1], true, &pods);
    for (size_t i = 0; i < pods.count; i++)
        n += str_eq(view_str_at(object_root(pods.items[i]), F_POD_SPEC, F_POD_SPEC_NODE_NAME), a->words[2]);
    return compare(a, how, a->words[0], n);
}

/* --- endpoints and events ------------------------------------------------------------------------------------------------------------ */

struct counting {
    struct str wanted;
    size_t count;
};

static bool count_endpoints(void *arg, const struct object *slice)
{
    struct counting *c = arg;
    struct view labels = view_path(object_root(slice), F_POD_METADATA, F_OBJECT_META_LABELS);
    struct view_iter it = { 0 };

    if (!str_eq(view_str(view_get_str(labels, STR("kubernetes.io/service-name"))), c->wanted))
        return true;
    while (view_next(view_get(object_root(slice), F_ENDPOINT_SLICE_ENDPOINTS), &it))
        c->count += view_bool_at(it.value, true, F_ENDPOINT_CONDITIONS, F_ENDPOINT_CONDITIONS_READY);
    return true;
}

static bool endpoints(struct asked *a, const char *how)
{
    struct counting c = { a->words[1], 0 };

    state_each(server_state(a->world->server), &kind_endpointslice, STR_NONE, count_endpoints, &c);
    return compare(a, how, a->words[0], c.count);
}

static bool count_events(void *arg, const struct object *event)
{
    struct counting *c = arg;

    if (str_eq(view_str_at(object_root(event), F_EVENT_REASON), c->wanted))
        c->count += (size_t)view_int_at(object_root(event), 1, F_EVENT_COUNT);
    return true;
}

static bool events(struct asked *a, const char *how)
{
    struct counting c = { a->words[1], 0 };

    state_each(server_state(a->world->server), &kind_event, STR_NONE, count_events, &c);
    return compare(a, how, a->words[0], c.count);
}

/* --- single objects -------------------------------------------------------------------------------------------------------------------- */

static bool exists(struct asked *a, const char *how)
{
    bool there = thing_get(a->world, a->words[0]) != NULL;

    buf_add_text(a->actual, there ? "it is there" : "it is not there");
    return there == (how[0] == '+');
}

/* status.conditions[Available].reason: a part in brackets is the type of a condition; anything else a member or a number. */
static struct view part(struct view v, struct str name)
{
    struct str type, rest = name;
    struct view_iter it = { 0 };
    int64_t index;

    if (str_to_i64(name, &index))
        return view_item(v, (size_t)index);
    if (!str_cut(&rest, '[', &type))
        return view_get_str(v, name);
    v = view_get_str(v, type);
    rest.n -= rest.n > 0;
    while (view_next(v, &it))
        if (str_eq(view_str_at(it.value, F_CONDITION_TYPE), rest))
            return it.value;
    return VIEW_ABSENT;
}

static struct str text_at(struct asked *a)
{
    struct view v = object_root(thing_get(a->world, a->words[0]));
    struct str path = a->words[1], name;

    while (str_next(&path, '.', &name))
        v = part(v, name);
    return view_type(v) == VALUE_STRING ? view_str(v) : view_json(v);
}

static bool field(struct asked *a, const char *how)
{
    struct str text = text_at(a);

    buf_add(a->actual, text);
    return how[0] == '~' ? str_contains(text, a->words[2]) : how[0] == '-' ? !text.n : str_eq(text, a->words[2]);
}

static const struct {
    const char *pattern;
    bool (*holds)(struct asked *a, const char *how);
    const char *how;
} rows[] = {
    { "N pods owned by APP", owned, "=" },
    { "at most N pods owned by APP", owned, "<" },
    { "N pods ready of APP", ready, "=" },
    { "at least N pods ready of APP", ready, ">" },
    { "N pods of APP run IMAGE", running, "=" },
    { "pods of APP in N zones", in_zones, "=" },
    { "pods of APP on N nodes", on_nodes, "=" },
    { "N pods of APP on NODE", on_node, "=" },
    { "N endpoints of SERVICE", endpoints, "=" },
    { "at least N endpoints of SERVICE", endpoints, ">" },
    { "N REASON events", events, "=" },
    { "at least N REASON events", events, ">" },
    { "THING exists", exists, "+" },
    { "THING is gone", exists, "-" },
    { "THING has no PATH", field, "-" },
    { "THING PATH is REST", field, "=" },
    { "THING PATH contains REST", field, "~" },
};

bool holds(struct world *w, struct str line, struct buf *actual)
{
    struct str found[WORDS_MAX] = { 0 };
    struct words words = words_of(line);

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (words_fit(&words, rows[i].pattern, found))
            return rows[i].holds(&(struct asked){ w, found, actual }, rows[i].how);
    FAIL("nothing can be expected like: %.*s", STR_ARG(line));
}

void expect(struct world *w, struct str line)
{
    AUTO_BUF struct buf actual = BUF_MAX(64 * KIB);

    if (!holds(w, line, &actual))
        FAIL("expected: %.*s\n  actual: %.*s", STR_ARG(line), (int)actual.n, actual.p);
}
