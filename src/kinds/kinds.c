/* The table of kinds: finding them, and the rules that every kind shares around its own. */
#include "kinds/kinds.h"

#include "base/map.h"
#include "kinds/check.h"
#include "kinds/meta.h"
#include "kinds/schemas.h"
#include "kinds/tree.h"
#include "object/schema_walk.h"

#define KIND(id) &kind_##id,
const struct kind *const kinds[] = {
#include "kinds/kinds.def"
    NULL
};
#undef KIND
const size_t kinds_count = ARRAY_SIZE(kinds) - 1;

void kinds_init(void)
{
    name_table_set(schema_names, ARRAY_SIZE(schema_names));
}

const struct kind *kind_find(struct str group, struct str version, struct str kind)
{
    for (size_t i = 0; i < kinds_count; i++)
        if (str_is(kind, kinds[i]->kind) && str_is(group, kinds[i]->group) && str_is(version, kinds[i]->version))
            return kinds[i];
    return NULL;
}

const struct kind *kind_find_resource(struct str group, struct str version, struct str plural)
{
    for (size_t i = 0; i < kinds_count; i++)
        if (str_is(plural, kinds[i]->plural) && str_is(group, kinds[i]->group) && str_is(version, kinds[i]->version))
            return kinds[i];
    return NULL;
}

const struct kind *kind_find_group_kind(struct str group, struct str kind)
{
    for (size_t i = 0; i < kinds_count; i++)
        if (str_is(kind, kinds[i]->kind) && str_is(group, kinds[i]->group))
            return kinds[i];
    return NULL;
}

size_t kind_index(const struct kind *k)
{
    for (size_t i = 0; i < kinds_count; i++)
        if (kinds[i] == k)
            return i;
    assert(!"a kind that is not in kinds.def");
    return 0;
}

const struct kind_subresource *kind_subresource(const struct kind *k, struct str name)
{
    for (const struct kind_subresource *s = k->subresources; s && s->name; s++)
        if (str_is(name, s->name))
            return s;
    return NULL;
}

void kind_run_default(const struct kind *k, struct kind_context *c, struct value *object)
{
    schema_default(c->arena, k->schema, object);
    if (k->default_)
        k->default_(c, object);
}

void kind_run_prepare(const struct kind *k, struct kind_context *c, struct value *object, struct view old)
{
    const struct schema_field *status = schema_field(k->schema, F_DEPLOYMENT_STATUS);

    if (k->prepare)
        k->prepare(c, object, old);
    /* An emptied status has the form that Go gives it: {"loadBalancer":{}} for a Service. */
    if (status && value_empty(value_get(object, F_DEPLOYMENT_STATUS)) && !(status->flags & FIELD_POINTER))
        value_put(c->arena, object, F_DEPLOYMENT_STATUS, schema_zero(c->arena, status->schema));
}

/* "Deployment.apps \"web\" is invalid: [a, b]"; the same complaint twice is said once, as upstream's ToAggregate does. */
static int fail_invalid(const struct kind *k, struct str name, struct error *causes, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(256 * KIB);
    AUTO_MAP struct map said = { 0 };
    struct error result = { 0 };

    for (size_t i = 0; i < causes->causes_count; i++) {
        AUTO_FREE char *one = xasprintf("%s: %s", causes->causes[i].field, causes->causes[i].message);

        if (map_put(&said, str_of(one), causes))
            continue;
        buf_add_text(&text, said.count > 1 ? ", " : "");
        buf_add_text(&text, one);
    }
    fail(&result, ERR_INVALID, "%s%s%s \"%.*s\" is invalid: %s%s%s", k->kind, k->group[0] ? "." : "", k->group,
         STR_ARG(name), said.count > 1 ? "[" : "", text.p, said.count > 1 ? "]" : "");
    error_set_details(&result, str_of(k->group), str_of(k->kind), name);
    result.causes = TAKE(causes->causes);
    result.causes_count = causes->causes_count;
    result.causes_capacity = causes->causes_capacity;
    causes->causes_count = causes->causes_capacity = 0;
    error_move(err, &result);
    return -1;
}

int kind_run_validate(const struct kind *k, struct kind_context *c, struct view object, struct view old,
                      struct error *err)
{
    AUTO_ERROR struct error causes = { 0 };
    struct view metadata = view_get(object, F_POD_METADATA);

    if (!(k->verbs == VERBS_CREATE_ONLY)) /* reviews are not stored and need no name */
        meta_validate(CHECK(c, &causes), k, AT(AT_ROOT, "metadata"), metadata, view_get(old, F_POD_METADATA));
    if (k->validate)
        k->validate(c, object, old, &causes);
    if (!causes.causes_count)
        return 0;
    return fail_invalid(k, view_str_at(metadata, F_OBJECT_META_NAME), &causes, err);
}
