/* What happens in a scenario: what people do, what breaks, and time. */
#include "steps.h"

#include "kinds/fields.h"

#include <stdio.h>

#define DRAIN_LIMIT_MS 300000
#define DRAIN_PAUSE_MS 1000 /* kubectl pauses 5 s after a refusal */

static void settle(struct world *w, const struct str *words)
{
    (void)words;
    world_settle(w);
}

static void wait_for(struct world *w, const struct str *words)
{
    world_advance(w, words_duration_ms(words[0]));
}

/* --- people --------------------------------------------------------------------------------------------------------------- */

static void delete_with(struct world *w, struct str word, const char *propagation)
{
    struct thing t = thing_of(word);

    world_do(w, &(struct api_call){ .verb = API_DELETE,
                                    .kind = t.kind,
                                    .namespace_ = t.namespace_,
                                    .name = t.name,
                                    .propagation = propagation,
                                    .grace_seconds = -1 });
}

static void delete_thing(struct world *w, const struct str *words)
{
    delete_with(w, words[0], NULL);
}

static void delete_foreground(struct world *w, const struct str *words)
{
    delete_with(w, words[0], "Foreground");
}

static void delete_orphan(struct world *w, const struct str *words)
{
    delete_with(w, words[0], "Orphan");
}

/* As an administrator who knows that the node is gone. */
static void force_delete(struct world *w, const struct str *words)
{
    static struct pods pods;

    pods_of(w, words[0], false, &pods);
    for (size_t i = 0; i < pods.count; i++)
        if (str_eq(view_str_at(object_root(pods.items[i]), F_POD_SPEC, F_POD_SPEC_NODE_NAME), words[1]))
            world_do(w, &(struct api_call){ .verb = API_DELETE,
                                            .kind = &kind_pod,
                                            .namespace_ = object_namespace(pods.items[i]),
                                            .name = object_name(pods.items[i]),
                                            .grace_seconds = 0 });
}

static void delete_pod(struct world *w, const struct str *words)
{
    static struct pods pods;
    size_t i = (size_t)words_number(words[0]);

    pods_of(w, words[1], false, &pods);
    ASSERT(i < pods.count);
    world_do(w, &(struct api_call){ .verb = API_DELETE,
                                    .kind = &kind_pod,
                                    .namespace_ = object_namespace(pods.items[i]),
                                    .name = object_name(pods.items[i]),
                                    .grace_seconds = -1 });
}

static void create_thing(struct world *w, const struct str *words)
{
    given(w, value_str(&w->arena, words[0]));
}

static void patch_thing(struct world *w, const struct str *words)
{
    struct thing t = thing_of(words[0]);

    world_patch(w, t.kind, t.namespace_, t.name, "", words[1]);
}

static void scale(struct world *w, const struct str *words)
{
    struct thing t = thing_of(words[0]);

    world_patch(w, t.kind, t.namespace_, t.name, "",
                arena_printf(&w->arena, "{\"spec\":{\"replicas\":%.*s}}", STR_ARG(words[1])));
}

static void set_image(struct world *w, const struct str *words)
{
    struct thing t = thing_of(words[0]);

    world_patch(
        w, t.kind, t.namespace_, t.name, "",
        arena_printf(&w->arena,
                     "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"%.*s\"}]}}}}",
                     STR_ARG(words[1])));
}

static void cordon(struct world *w, const struct str *words)
{
    world_patch(w, &kind_node, STR_NONE, words[0], "", STR("{\"spec\":{\"unschedulable\":true}}"));
}

struct evictions {
    struct world *world;
    struct str node;
    const struct object *pod; /* one that is still there and not yet ending */
    size_t left;
};

static bool look_for_pod(void *arg, const struct object *o)
{
    struct evictions *e = arg;

    if (!str_eq(view_str_at(object_root(o), F_POD_SPEC, F_POD_SPEC_NODE_NAME), e->node))
        return true;
    e->left++;
    return true;
}

static bool evict_pod(void *arg, const struct object *o)
{
    struct evictions *e = arg;

    if (str_eq(view_str_at(object_root(o), F_POD_SPEC, F_POD_SPEC_NODE_NAME), e->node) &&
        !view_present(view_path(object_root(o), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP)))
        e->pod = o;
    return !e->pod;
}

static enum error_code evict(struct world *w, const struct object *pod)
{
    AUTO_ERROR struct error err = { 0 };
    struct str json =
        arena_printf(&w->arena,
                     "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"%.*s\","
                     "\"namespace\":\"%.*s\"}}",
                     STR_ARG(object_name(pod)), STR_ARG(object_namespace(pod)));
    AUTO_OBJECT struct object *body = object_parse(json, &err);

    return world_call(w, &(struct api_call){ .verb = API_CREATE,
                                             .kind = &kind_pod,
                                             .namespace_ = arena_str(&w->arena, object_namespace(pod)),
                                             .name = arena_str(&w->arena, object_name(pod)),
                                             .subresource = STR("eviction"),
                                             .body = body,
                                             .grace_seconds = -1 });
}

/* kubectl drain: cordon, evict, try again what the budget refuses, until the node is empty. */
static void drain(struct world *w, const struct str *words)
{
    cordon(w, words);
    for (int64_t t = 0; t < DRAIN_LIMIT_MS; t += DRAIN_PAUSE_MS) {
        struct evictions e = { .world = w, .node = words[0] };
        for (;;) {
            e.pod = NULL;
            state_each(server_state(w->server), &kind_pod, STR_NONE, evict_pod, &e);
            enum error_code code = e.pod ? evict(w, e.pod) : ERR_NONE;
            if (code && code != ERR_TOO_MANY_REQUESTS && code != ERR_NOT_FOUND)
                FAIL("an eviction fails with %d", (int)code);
            if (!e.pod || code == ERR_TOO_MANY_REQUESTS)
                break;
        }
        e.left = 0;
        state_each(server_state(w->server), &kind_pod, STR_NONE, look_for_pod, &e);
        if (e.left == 0)
            return;
        world_advance(w, DRAIN_PAUSE_MS);
    }
    FAIL("%.*s is not drained within %d s", STR_ARG(words[0]), DRAIN_LIMIT_MS / 1000);
}

static void drain_fails(struct world *w, const struct str *words)
{
    struct evictions e = { .world = w, .node = words[0] };

    cordon(w, words);
    state_each(server_state(w->server), &kind_pod, STR_NONE, evict_pod, &e);
    ASSERT(e.pod);
    ASSERT_INT(evict(w, e.pod), ERR_TOO_MANY_REQUESTS);
}

static void uncordon(struct world *w, const struct str *words)
{
    world_patch(w, &kind_node, STR_NONE, words[0], "", STR("{\"spec\":{\"unschedulable\":null}}"));
}

/* --- what breaks ------------------------------------------------------------------------------------------------------------ */

static void cut_node(struct world *w, const struct str *words)
{
    agent_cut(agent_find(w, words[0]));
}

static void heal_node(struct world *w, const struct str *words)
{
    agent_heal(agent_find(w, words[0]));
}

static void cut_zone(struct world *w, const struct str *words)
{
    for (size_t i = 0; i < w->agents_count; i++)
        if (str_eq(agent_zone(w->agents[i]), words[0]))
            agent_cut(w->agents[i]);
}

static void heal_zone(struct world *w, const struct str *words)
{
    for (size_t i = 0; i < w->agents_count; i++)
        if (str_eq(agent_zone(w->agents[i]), words[0]))
            agent_heal(w->agents[i]);
}

static void cut_all(struct world *w, const struct str *words)
{
    (void)words;
    for (size_t i = 0; i < w->agents_count; i++) {
        agent_cut(w->agents[i]);
        world_advance(w, WORLD_STEP_MS); /* never all in the same moment */
    }
}

static void heal_all(struct world *w, const struct str *words)
{
    (void)words;
    for (size_t i = 0; i < w->agents_count; i++)
        agent_heal(w->agents[i]);
}

static void restart(struct world *w, const struct str *words)
{
    (void)words;
    world_restart(w);
}

/* --- looking on ------------------------------------------------------------------------------------------------------------- */

static void within(struct world *w, const struct str *words)
{
    AUTO_BUF struct buf actual = BUF_MAX(64 * KIB);

    for (int64_t t = 0; t < words_duration_ms(words[0]); t += WORLD_STEP_MS) {
        buf_clear(&actual);
        if (holds(w, words[1], &actual))
            return;
        world_advance(w, WORLD_STEP_MS);
    }
    if (!holds(w, words[1], &actual))
        FAIL("not within %.*s: %.*s\n  actual: %.*s", STR_ARG(words[0]), STR_ARG(words[1]), (int)actual.n, actual.p);
}

static void see(struct world *w, const struct str *words)
{
    expect(w, words[0]);
}

static const struct {
    const char *pattern;
    void (*run)(struct world *w, const struct str *words);
} rows[] = {
    { "settle", settle },
    { "wait DURATION", wait_for },
    { "create REST", create_thing },
    { "delete pod N of APP", delete_pod },
    { "force delete the pods of APP on NODE", force_delete },
    { "delete THING", delete_thing },
    { "delete THING in the foreground", delete_foreground },
    { "delete THING and orphan its dependents", delete_orphan },
    { "set image of THING to IMAGE", set_image },
    { "scale THING to N", scale },
    { "patch THING REST", patch_thing },
    { "drain NODE", drain },
    { "drain NODE is refused", drain_fails },
    { "uncordon NODE", uncordon },
    { "node NAME falls silent", cut_node },
    { "node NAME is heard again", heal_node },
    { "zone NAME is cut off", cut_zone },
    { "zone NAME is back", heal_zone },
    { "the control plane is cut off", cut_all },
    { "the control plane is back", heal_all },
    { "restart the server", restart },
    { "within DURATION REST", within },
    { "see REST", see },
};

void step(struct world *w, struct str line)
{
    struct str found[WORDS_MAX] = { 0 };
    struct words words = words_of(line);

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (words_fit(&words, rows[i].pattern, found)) {
            rows[i].run(w, found);
            return;
        }
    FAIL("no such step: %.*s", STR_ARG(line));
}
