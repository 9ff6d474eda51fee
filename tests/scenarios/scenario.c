/*
 * Runs one scenario: SCENARIO=tests/scenarios/deleted-pod.yaml tests/scenarios/scenario
 *
 *     scenario: a deleted pod is replaced
 *     given:  what is there before; nodes come first       (given.c lists the words)
 *     always: what must hold after every 50 ms of the rest  (expect.c)
 *     when:   what happens                                  (steps.c)
 *     expect: what must hold at the end                     (expect.c)
 *
 * Further keys: tolerations (seconds injected into pods; 300), durable (true: SQLite in a folder, so that the server can restart).
 */
#include "steps.h"

#include "base/file.h"
#include "object/yaml.h"

#include <stdio.h>
#include <stdlib.h>

static struct value *list_of(const struct value *scenario, const char *name)
{
    static struct value none = { .type = VALUE_ARRAY };
    struct value *list = value_get_str(scenario, str_of(name));

    return value_type(list) == VALUE_ARRAY ? list : &none;
}

static void check_always(struct world *w)
{
    const struct value *always = w->each_step_arg;

    for (uint32_t i = 0; i < always->items_count; i++)
        expect(w, value_to_str(always->items[i]));
}

static void run(const struct value *scenario)
{
    static struct world w;
    struct value *list = list_of(scenario, "given");
    bool durable = value_to_bool(value_get_str(scenario, STR("durable")), false);

    world_start(&w, value_to_int(value_get_str(scenario, STR("tolerations")), 300), durable ? test_folder() : NULL);
    for (uint32_t i = 0; i < list->items_count; i++)
        given(&w, list->items[i]);
    world_settle(&w);
    w.each_step_arg = list_of(scenario, "always");
    w.each_step = check_always;
    list = list_of(scenario, "when");
    for (uint32_t i = 0; i < list->items_count; i++) {
        printf("%8.2f s  %.*s\n", (double)env_monotonic_ms(&w.env.env) / 1000, STR_ARG(value_to_str(list->items[i])));
        step(&w, value_to_str(list->items[i]));
    }
    list = list_of(scenario, "expect");
    for (uint32_t i = 0; i < list->items_count; i++)
        expect(&w, value_to_str(list->items[i]));
    w.each_step = NULL;
    world_stop(&w);
}

TEST("the scenario of $SCENARIO")
{
    AUTO_ARENA struct arena arena = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(MIB);
    const char *path = getenv("SCENARIO");
    struct value *scenario;

    if (!path)
        FAIL("SCENARIO is not set to the file of a scenario");
    ASSERT_OK(file_read(path, &text, &err), &err);
    scenario = yaml_parse(&arena, buf_str(&text), NULL, &err);
    if (!scenario)
        FAIL("%s: %s", path, error_text(&err));
    printf("%.*s\n", STR_ARG(value_to_str(value_get_str(scenario, STR("scenario")))));
    ASSERT(list_of(scenario, "expect")->items_count > 0);
    run(scenario);
}
