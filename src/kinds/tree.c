/* Small changes of trees that defaults and strategies are made of. */
#include "kinds/tree.h"

bool value_unset(const struct value *v)
{
    return value_type(v) == VALUE_ABSENT || value_type(v) == VALUE_NULL;
}

bool value_empty(const struct value *v)
{
    switch (value_type(v)) {
    case VALUE_ABSENT:
    case VALUE_NULL:
        return true;
    case VALUE_BOOL:
        return !v->boolean;
    case VALUE_INT:
        return v->integer == 0;
    case VALUE_STRING:
        return v->string.n == 0;
    case VALUE_ARRAY:
        return v->items_count == 0;
    case VALUE_OBJECT:
        return v->members_count == 0;
    default:
        return false;
    }
}

void default_text(struct arena *a, struct value *object, name_id name, const char *literal)
{
    if (value_empty(value_get(object, name)))
        value_set_text(a, object, name, literal);
}

void default_int(struct arena *a, struct value *object, name_id name, int64_t i)
{
    if (value_unset(value_get(object, name)))
        value_set_int(a, object, name, i);
}

void default_zero_int(struct arena *a, struct value *object, name_id name, int64_t i)
{
    if (value_empty(value_get(object, name)))
        value_set_int(a, object, name, i);
}

void default_bool(struct arena *a, struct value *object, name_id name, bool b)
{
    if (value_unset(value_get(object, name)))
        value_set_bool(a, object, name, b);
}

struct value *value_at(const struct value *list, size_t i)
{
    return value_type(list) == VALUE_ARRAY && i < list->items_count ? list->items[i] : NULL;
}

void strategy_keep(struct kind_context *c, struct value *object, struct view old, name_id name)
{
    value_put(c->arena, object, name, value_of_view(c->arena, view_get(old, name)));
}

bool context_is(const struct kind_context *c, const char *subresource)
{
    return strcmp(c->subresource ? c->subresource : "", subresource) == 0;
}

void strategy_spec_and_status(struct kind_context *c, struct value *object, struct view old)
{
    if (c->create)
        value_put(c->arena, object, F_DEPLOYMENT_STATUS, value_object(c->arena));
    else if (context_is(c, "status"))
        strategy_keep(c, object, old, F_DEPLOYMENT_SPEC);
    else
        strategy_keep(c, object, old, F_DEPLOYMENT_STATUS);
}
