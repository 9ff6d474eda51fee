/* Conditions in a status tree. The names of the fields are those of meta/v1 Condition, which all kinds share. */
#include "controllers/condition.h"

#include "base/time.h"
#include "kinds/fields.h"

bool condition_set(struct arena *a, struct value *conditions, int64_t now_ms, const char *type, const char *status,
                   const char *reason, struct str message)
{
    struct value *c = NULL;
    char now[TIME_TEXT_SIZE];

    for (uint32_t i = 0; i < conditions->items_count && !c; i++)
        if (str_is(value_to_str(value_get(conditions->items[i], F_CONDITION_TYPE)), type))
            c = conditions->items[i];
    if (c && str_is(value_to_str(value_get(c, F_CONDITION_STATUS)), status) &&
        str_is(value_to_str(value_get(c, F_CONDITION_REASON)), reason) &&
        str_eq(value_to_str(value_get(c, F_CONDITION_MESSAGE)), message))
        return false;
    if (!c) {
        c = value_object(a);
        value_set_text(a, c, F_CONDITION_TYPE, type);
        value_append(a, conditions, c);
    }
    if (!str_is(value_to_str(value_get(c, F_CONDITION_STATUS)), status))
        value_set(a, c, F_CONDITION_LAST_TRANSITION_TIME, arena_str(a, str_of(time_format(now_ms, now))));
    value_set_text(a, c, F_CONDITION_STATUS, status);
    value_set_text(a, c, F_CONDITION_REASON, reason);
    value_set(a, c, F_CONDITION_MESSAGE, message);
    return true;
}
