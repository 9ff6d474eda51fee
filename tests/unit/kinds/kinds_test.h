/*
 * Objects as a user writes them, through the rules of their kind: decode, defaults, strategy, validation.
 *
 *     given_create("{...}")            the stored JSON, or "invalid: MESSAGE"
 *     given_update(OLD, NEW, "status") the same for an update through a door; OLD is what is stored already
 *     given_row("{...}")               the cells of `kubectl get -o wide`, joined by "|"
 *
 * Results live as long as the test; a test ends with given_done(). The clock stands at 2026-11-21T10:00:00Z.
 */
#ifndef TESTS_KINDS_TEST_H
#define TESTS_KINDS_TEST_H

#include "test.h"

#include "base/time.h"
#include "kinds/fields.h"
#include "kinds/kinds.h"
#include "kinds/tree.h"
#include "object/schema_walk.h"

const char *given_create(const char *json);
const char *given_update(const char *old_json, const char *new_json, const char *subresource);
const char *given_row(const char *json);
/* One member of a JSON text by a path of names and numbers: at("{...}", "spec.containers.0.image"). "" when absent. */
const char *at(const char *json, const char *path);
void given_done(void);

#endif
