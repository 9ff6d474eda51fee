/* A small table of names for the tests of object/; the generated one belongs to kinds/. */
#ifndef TESTS_UNIT_OBJECT_OBJECT_NAMES_H
#define TESTS_UNIT_OBJECT_OBJECT_NAMES_H

#include "object/name.h"

/* It takes `namespace` and `operator` for C++. */
/* clang-format off */
#define TEST_NAMES(X)                                                                                                  \
    X(apiVersion) X(kind) X(metadata) X(name) X(namespace) X(uid) X(resourceVersion) X(labels) X(annotations)          \
    X(spec) X(status) X(containers) X(image) X(ports) X(containerPort) X(replicas) X(nodeName) X(data) X(value)        \
    X(matchLabels) X(matchExpressions) X(key) X(operator) X(values) X(phase) X(type) X(conditions) X(env)
/* clang-format on */

enum {
    N_none,
#define X(name) N_##name,
    TEST_NAMES(X)
#undef X
};

__attribute__((constructor)) static void set_test_names(void)
{
    static const struct str names[] = { { 0 },
#define X(name) STR_INIT(#name),
                                        TEST_NAMES(X)
#undef X
    };
    name_table_set(names, ARRAY_SIZE(names));
}

#endif
