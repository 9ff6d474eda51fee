/* Conditions in a status tree: set one, keeping its transition time while its status stays. */
#ifndef CONTROLLERS_CONDITION_H
#define CONTROLLERS_CONDITION_H

#include "object/value.h"

/* Returns whether anything changed. `conditions` is the array. */
bool condition_set(struct arena *a, struct value *conditions, int64_t now_ms, const char *type, const char *status,
                   const char *reason, struct str message);

#endif
