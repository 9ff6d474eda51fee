/* Writes of several managers, one a line: + applies, ! applies by force, anything else updates. Applying twice changes nothing. */
#include "kinds/schemas.h"
#include "object/managed.h"
#include "object/schema_walk.h"

#include <stdlib.h>

#define WRITES_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static struct value *update(struct arena *a, const struct managed_call *call, const struct value *live,
                            struct value *object)
{
    if (schema_normalize(a, call->schema, object, NULL, NULL) < 0)
        return NULL;
    managed_update(a, call, live, object);
    return object;
}

static struct value *apply(struct arena *a, const struct managed_call *call, const struct value *live,
                           struct value *config, bool force)
{
    struct value *object, *again, *same = value_copy(a, config);
    bool changed;

    if (managed_apply(a, call, live, config, force, &object, NULL, NULL) < 0)
        return NULL;
    /* A config of quantities and times that are not canonical meets its own canonical form: not equal, as upstream. */
    if (managed_apply(a, call, object, same, true, &again, &changed, NULL) == 0 && !changed)
        MUST(value_equal(object, again));
    return object;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const managers[] = { "kubectl", "ann", "bob" };
    AUTO_ARENA struct arena a = { 0 };
    struct str rest = { (const char *)data, size }, line;
    struct value *live = NULL, *next;

    name_table_set(schema_names, ARRAY_SIZE(schema_names));
    for (int i = 0; i < WRITES_MAX && str_next(&rest, '\n', &line); i++) {
        struct managed_call call = { .schema = &schema_apps_v1_deployment,
                                     .manager = str_of(managers[i % 3]),
                                     .now_ms = 1700000000000 + i * 1000,
                                     .subresource = i == 5 ? STR("status") : STR_NONE };
        bool applied = line.n && (line.p[0] == '+' || line.p[0] == '!');
        struct value *tree = value_parse(&a, str_from(line, applied), NULL, NULL);

        if (!tree)
            continue;
        next = applied ? apply(&a, &call, live, tree, line.p[0] == '!') : update(&a, &call, live, tree);
        if (!next)
            continue;
        value_put_str(&a, value_get_str(next, STR("metadata")), STR("uid"), value_text(&a, "u"));
        schema_order(call.schema, next);
        live = next;
    }
    return 0;
}
