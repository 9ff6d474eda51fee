/* The scale subresource: autoscaling/v1 Scale as another face of spec.replicas. Source: pkg/registry/apps/deployment/storage. */
#include "server/write.h"

#include "kinds/fields.h"
#include "kinds/schemas.h"
#include "object/jsonpatch.h"
#include "object/mergepatch.h"
#include "object/strategic.h"

#include <stdlib.h>

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct member *)a)->name, ((const struct member *)b)->name);
}

static void add_labels(struct arena *a, struct buf *to, struct view labels)
{
    struct value *v = value_of_view(a, labels);
    if (value_type(v) != VALUE_OBJECT)
        return;
    qsort(v->members, v->members_count, sizeof(v->members[0]), by_name);
    for (uint32_t i = 0; i < v->members_count; i++) {
        if (to->n)
            buf_add_char(to, ',');
        buf_add(to, v->members[i].name);
        buf_add_char(to, '=');
        buf_add(to, value_to_str(v->members[i].value));
    }
}

static void add_expression(struct buf *to, struct view e)
{
    struct str key = view_str_at(e, F_LABEL_SELECTOR_REQUIREMENT_KEY),
               op = view_str_at(e, F_LABEL_SELECTOR_REQUIREMENT_OPERATOR);
    if (to->n)
        buf_add_char(to, ',');
    if (str_is(op, "DoesNotExist"))
        buf_add_char(to, '!');
    buf_add(to, key);
    if (!str_is(op, "In") && !str_is(op, "NotIn"))
        return;
    buf_add_text(to, str_is(op, "In") ? " in (" : " notin (");
    struct view values = view_get(e, F_LABEL_SELECTOR_REQUIREMENT_VALUES);
    struct view_iter it = { 0 };
    for (bool first = true; view_next(values, &it); first = false) {
        if (!first)
            buf_add_char(to, ',');
        buf_add(to, view_str(it.value));
    }
    buf_add_char(to, ')');
}

/* The selector as text, the form kubectl autoscale and HorizontalPodAutoscalers parse. */
static struct str selector_text(struct arena *a, struct view selector)
{
    AUTO_BUF struct buf text = BUF_MAX(256 * KIB);
    add_labels(a, &text, view_get(selector, F_LABEL_SELECTOR_MATCH_LABELS));
    struct view_iter it = { 0 };
    while (view_next(view_get(selector, F_LABEL_SELECTOR_MATCH_EXPRESSIONS), &it))
        add_expression(&text, it.value);
    return arena_str(a, buf_str(&text));
}

struct value *scale_of(struct arena *a, const struct object *o)
{
    static const name_id kept[] = { F_OBJECT_META_NAME, F_OBJECT_META_NAMESPACE, F_OBJECT_META_UID,
                                    F_OBJECT_META_RESOURCE_VERSION, F_OBJECT_META_CREATION_TIMESTAMP };
    struct view root = object_root(o), meta = view_get(root, F_POD_METADATA);
    struct value *scale = value_object(a), *scale_meta, *spec, *status;
    value_set_text(a, scale, F_SCALE_KIND, "Scale");
    value_set_text(a, scale, F_SCALE_API_VERSION, "autoscaling/v1");
    scale_meta = value_make_object(a, scale, F_SCALE_METADATA);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        value_put(a, scale_meta, kept[i], value_of_view(a, view_get(meta, kept[i])));
    spec = value_make_object(a, scale, F_SCALE_SPEC);
    int64_t replicas = view_int_at(root, 0, F_DEPLOYMENT_SPEC, F_DEPLOYMENT_SPEC_REPLICAS);
    if (replicas)
        value_set_int(a, spec, F_SCALE_SPEC_REPLICAS, replicas);
    status = value_make_object(a, scale, F_SCALE_STATUS);
    value_set_int(a, status, F_SCALE_STATUS_REPLICAS,
                  view_int_at(root, 0, F_DEPLOYMENT_STATUS, F_DEPLOYMENT_STATUS_REPLICAS));
    struct str selector = selector_text(a, view_path(root, F_DEPLOYMENT_SPEC, F_DEPLOYMENT_SPEC_SELECTOR));
    if (!str_empty(selector))
        value_set(a, status, F_SCALE_STATUS_SELECTOR, selector);
    return scale;
}

static struct value *patched_scale(struct request *r, struct error *err)
{
    struct value *live = scale_of(&r->arena, r->old), *out;
    if (r->patch_type == PATCH_JSON)
        out = json_patch_apply(&r->arena, live, r->patch, err);
    else if (r->patch_type == PATCH_STRATEGIC)
        out = strategic_merge(&r->arena, &schema_autoscaling_v1_scale, live, r->patch, err);
    else if (r->patch_type == PATCH_MERGE)
        out = merge_patch_apply(&r->arena, live, r->patch);
    else
        return fail_null(err, ERR_UNSUPPORTED_MEDIA_TYPE, "apply is not offered for scale; use a merge patch");
    if (!out)
        return NULL;
    out = value_copy(&r->arena, out);
    struct schema_options options = { .style = SCHEMA_DECODE_PLAIN, .validation = r->options.validation };
    return schema_normalize(&r->arena, &schema_autoscaling_v1_scale, out, &options, err) < 0 ? NULL : out;
}

static int check_scale(struct request *r, const struct value *scale, int64_t replicas, struct error *err)
{
    struct str name = value_to_str(value_path(scale, F_SCALE_METADATA, F_OBJECT_META_NAME));
    if (!str_empty(name) && !str_eq(name, r->info.name))
        return fail(err, ERR_BAD_REQUEST, "the name of the object (%.*s) does not match the name on the URL (%.*s)",
                    STR_ARG(name), STR_ARG(r->info.name));
    if (replicas >= 0)
        return 0;
    fail(err, ERR_INVALID,
         "Scale.autoscaling \"%.*s\" is invalid: spec.replicas: Invalid value: %lld: should be a non-negative integer",
         STR_ARG(r->info.name), (long long)replicas);
    error_set_details(err, STR("autoscaling"), STR("Scale"), r->info.name);
    error_add_cause(err, "FieldValueInvalid", STR("spec.replicas"),
                    "Invalid value: %lld: should be a non-negative integer", (long long)replicas);
    return -1;
}

int write_scale(struct request *r, struct error *err)
{
    struct arena *a = &r->arena;
    if (str_is(r->info.verb, "update") && !r->perform)
        r->perform = r->tree; /* the Scale that was sent; r->tree becomes the object */
    const struct value *scale = str_is(r->info.verb, "update") ? r->perform : patched_scale(r, err);
    if (!scale)
        return -1;
    int64_t replicas = value_to_int(value_path(scale, F_SCALE_SPEC, F_SCALE_SPEC_REPLICAS), 0);
    if (check_scale(r, scale, replicas, err) < 0)
        return -1;
    struct value *tree = value_of_view(a, object_root(r->old)), *meta = value_get(tree, F_DEPLOYMENT_METADATA);
    value_put(a, meta, F_OBJECT_META_RESOURCE_VERSION,
              value_path(scale, F_SCALE_METADATA, F_OBJECT_META_RESOURCE_VERSION));
    value_set_int(a, value_make_object(a, tree, F_DEPLOYMENT_SPEC), F_DEPLOYMENT_SPEC_REPLICAS, replicas);
    return write_finish_update(r, tree, err);
}
