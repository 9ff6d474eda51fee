/* Protobuf from outside: whatever decodes is canonical, and encodes to bytes that decode to the same object. */
#include "kinds/schemas.h"
#include "object/protobuf.h"
#include "object/schema_walk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void check(const struct schema *s, const struct protobuf_envelope *envelope)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf bytes = BUF_MAX(16 * MIB), again = BUF_MAX(16 * MIB);
    struct protobuf_envelope second;
    struct value *tree = protobuf_decode(&a, s, envelope, &err), *other;

    if (!tree || protobuf_encode(&bytes, s, tree, &err) < 0 || bytes.n > OBJECT_SIZE_MAX)
        return;
    MUST(protobuf_open(buf_str(&bytes), &second, &err) == 0);
    MUST((other = protobuf_decode(&a, s, &second, &err)));
    MUST(protobuf_encode(&again, s, other, &err) == 0);
    MUST(str_eq(buf_str(&bytes), buf_str(&again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct schema *const tried[] = { &schema_core_v1_pod,
                                                  &schema_core_v1_service,
                                                  &schema_core_v1_secret,
                                                  &schema_apps_v1_deployment,
                                                  &schema_apps_v1_controller_revision,
                                                  &schema_coordination_v1_lease,
                                                  &schema_authentication_v1_token_review };
    struct str bytes = { (const char *)data, size };
    struct protobuf_envelope envelope;

    name_table_set(schema_names, ARRAY_SIZE(schema_names));
    if (protobuf_open(bytes, &envelope, NULL) == 0)
        for (size_t i = 0; i < ARRAY_SIZE(tried); i++)
            if (str_is(envelope.kind, tried[i]->kind))
                check(tried[i], &envelope);
    /* The first byte chooses a kind, the rest is a bare message. */
    if (size > 1) {
        envelope = (struct protobuf_envelope){ .raw = str_from(bytes, 1) };
        check(tried[data[0] % ARRAY_SIZE(tried)], &envelope);
    }
    return 0;
}
