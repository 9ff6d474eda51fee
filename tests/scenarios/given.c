/* What a scenario starts from: nodes, and objects in short or in full. */
#include "steps.h"

#include <stdio.h>

#define TEMPLATE                                                                                                       \
    "\"selector\":{\"matchLabels\":{\"app\":\"%.*s\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"%.*s\"}},"    \
    "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"%.*s\"}]}}"

static void create(struct world *w, struct str json)
{
    AUTO_ERROR struct error err = { 0 };
    struct value *tree = value_parse(&w->arena, json, NULL, &err);

    if (!tree)
        FAIL("%s in %.*s", error_text(&err), STR_ARG(json));
    world_create(w, tree);
}

/* "3 nodes in 3 zones": n1 in zone a, n2 in b, n3 in c, n4 in a ... */
static void nodes(struct world *w, const struct str *words)
{
    int64_t zones = words_number(words[1]);

    for (int64_t i = 0; i < words_number(words[0]); i++) {
        char name[24], zone[2] = { (char)('a' + i % zones), 0 };
        snprintf(name, sizeof(name), "n%lld", (long long)i + 1);
        agent_add(w, name, zone);
    }
}

static void deployment_with(struct world *w, struct str thing, struct str replicas, struct str image, struct str surge,
                            struct str unavailable)
{
    struct thing t = thing_of(thing);

    create(w, arena_printf(&w->arena,
                           "{\"apiVersion\":\"apps/v1\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%.*s\",\"namespace\":"
                           "\"%.*s\"},\"spec\":{\"replicas\":%.*s,%.*s" TEMPLATE "}}",
                           t.kind->kind, STR_ARG(t.name), STR_ARG(t.namespace_), STR_ARG(replicas),
                           STR_ARG(surge.n ? arena_printf(&w->arena,
                                                          "\"strategy\":{\"rollingUpdate\":{\"maxSurge\":%.*s,"
                                                          "\"maxUnavailable\":%.*s}},",
                                                          STR_ARG(surge), STR_ARG(unavailable))
                                           : STR_NONE),
                           STR_ARG(t.name), STR_ARG(t.name), STR_ARG(image)));
}

static void workload(struct world *w, const struct str *words)
{
    deployment_with(w, words[0], words[1], STR("v1"), STR_NONE, STR_NONE);
}

static void workload_of(struct world *w, const struct str *words)
{
    deployment_with(w, words[0], words[1], words[2], STR_NONE, STR_NONE);
}

static void workload_limits(struct world *w, const struct str *words)
{
    deployment_with(w, words[0], words[1], STR("v1"), words[2], words[3]);
}

static void thing(struct world *w, const struct str *words)
{
    struct thing t = thing_of(words[0]);

    if (t.kind == &kind_service)
        create(w,
               arena_printf(&w->arena,
                            "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"%.*s\",\"namespace\":"
                            "\"%.*s\"},\"spec\":{\"selector\":{\"app\":\"%.*s\"},\"ports\":[{\"port\":80}]}}",
                            STR_ARG(t.name), STR_ARG(t.namespace_), STR_ARG(t.name)));
    else if (t.kind == &kind_namespace)
        create(w, arena_printf(&w->arena,
                               "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%.*s\"}}",
                               STR_ARG(t.name)));
    else if (t.kind == &kind_serviceaccount)
        create(w, arena_printf(&w->arena,
                               "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"%.*s\"}}",
                               STR_ARG(t.name)));
    else
        FAIL("write %.*s in full", STR_ARG(words[0]));
}

static void budget(struct world *w, const struct str *words)
{
    struct thing t = thing_of(words[0]);

    create(w,
           arena_printf(&w->arena,
                        "{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"metadata\":{\"name\":"
                        "\"%.*s\"},\"spec\":{\"minAvailable\":%.*s,\"selector\":{\"matchLabels\":{\"app\":\"%.*s\"}}}}",
                        STR_ARG(t.name), STR_ARG(words[1]), STR_ARG(t.name)));
}

static const struct {
    const char *pattern;
    void (*make)(struct world *w, const struct str *words);
} rows[] = {
    { "N nodes in N zones", nodes },
    { "THING with N replicas", workload },
    { "THING with N replicas of IMAGE", workload_of },
    { "THING with N replicas, surge N unavailable N", workload_limits },
    { "THING with minAvailable N", budget },
    { "THING", thing },
};

void given(struct world *w, struct value *item)
{
    struct str found[WORDS_MAX] = { 0 };

    if (value_type(item) == VALUE_OBJECT) {
        world_create(w, item);
        return;
    }
    struct words words = words_of(value_to_str(item));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (words_fit(&words, rows[i].pattern, found)) {
            rows[i].make(w, found);
            return;
        }
    FAIL("nothing is given by: %.*s", STR_ARG(words.line));
}
