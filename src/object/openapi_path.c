/* Paths and operations: what kubectl reads to know which verbs, parameters and media types a kind has. */
#include "object/openapi_build.h"

#include <stdio.h>

struct parameter {
    const char *name, *type, *doc;
    unsigned operations; /* enum openapi_verb */
};

#define WRITES  (OPENAPI_CREATE | OPENAPI_UPDATE | OPENAPI_PATCH)
#define LISTS   (OPENAPI_LIST | OPENAPI_DELETECOLLECTION)
#define DELETES (OPENAPI_DELETE | OPENAPI_DELETECOLLECTION)

static const struct parameter query_parameters[] = {
    { "allowWatchBookmarks", "boolean", "Send BOOKMARK events on a watch.", OPENAPI_LIST },
    { "continue", "string", "Go on with a list where the answer with this token ended.", LISTS },
    { "dryRun", "string", "All: do everything but store the result.", WRITES | DELETES },
    { "fieldManager", "string", "The name of who makes these changes.", WRITES },
    { "fieldSelector", "string", "Only objects with these field values.", LISTS },
    { "fieldValidation", "string", "Unknown and duplicate fields: Ignore, Warn or Strict.", WRITES },
    { "force", "boolean", "Apply: take over fields that others own.", OPENAPI_PATCH },
    { "gracePeriodSeconds", "integer", "Seconds before the object is deleted.", DELETES },
    { "labelSelector", "string", "Only objects with these labels.", LISTS },
    { "limit", "integer", "At most this many items in one answer.", LISTS },
    { "orphanDependents", "boolean", "Deprecated: use propagationPolicy.", DELETES },
    { "propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground.", DELETES },
    { "resourceVersion", "string", "The oldest state the answer may show.", LISTS },
    { "resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan.", LISTS },
    { "sendInitialEvents", "boolean", "Begin a watch with the state as ADDED events.", LISTS },
    { "timeoutSeconds", "integer", "Seconds after which a list or watch ends.", LISTS },
    { "watch", "boolean", "Send changes instead of a list.", OPENAPI_LIST },
};

struct operation {
    unsigned verb;
    enum openapi_place place; /* PLACE_ALL_NAMESPACES: lists only */
    const char *method, *action, *id, *doc;
};

static const struct operation operations[] = {
    { OPENAPI_LIST, PLACE_COLLECTION, "get", "list", "list", "list objects" },
    { OPENAPI_CREATE, PLACE_COLLECTION, "post", "post", "create", "create an object" },
    { OPENAPI_DELETECOLLECTION, PLACE_COLLECTION, "delete", "deletecollection", "deleteCollection", "delete objects" },
    { OPENAPI_GET, PLACE_OBJECT, "get", "get", "read", "read the object" },
    { OPENAPI_UPDATE, PLACE_OBJECT, "put", "put", "replace", "replace the object" },
    { OPENAPI_CREATE, PLACE_OBJECT, "post", "post", "create", "create the subresource" },
    { OPENAPI_DELETE, PLACE_OBJECT, "delete", "delete", "delete", "delete the object" },
    { OPENAPI_PATCH, PLACE_OBJECT, "patch", "patch", "patch", "change parts of the object" },
    { OPENAPI_LIST, PLACE_ALL_NAMESPACES, "get", "list", "list", "list objects of all namespaces" },
};

static const char *const answer_types[] = { "application/json", "application/yaml",
                                            "application/vnd.kubernetes.protobuf", NULL };
static const char *const list_types[] = { "application/json",
                                          "application/yaml",
                                          "application/vnd.kubernetes.protobuf",
                                          "application/json;stream=watch",
                                          "application/vnd.kubernetes.protobuf;stream=watch",
                                          NULL };
static const char *const patch_types[] = { "application/json-patch+json", "application/merge-patch+json",
                                           "application/strategic-merge-patch+json", "application/apply-patch+yaml",
                                           NULL };
static const char *const body_types[] = { "*/*", NULL };

static struct value *parameter(struct openapi_build *b, const char *name, const char *in, const char *type,
                               const char *doc, bool required)
{
    struct value *p = value_object(b->arena), *schema = p;

    openapi_put_text(b, p, "description", doc);
    openapi_put_text(b, p, "in", in);
    openapi_put_text(b, p, "name", name);
    if (required)
        openapi_put(b, p, "required", value_bool(b->arena, true));
    if (b->version == OPENAPI_V3) {
        schema = value_object(b->arena);
        openapi_put(b, p, "schema", schema);
    }
    openapi_put_text(b, schema, "type", type);
    openapi_put(b, schema, "uniqueItems", value_bool(b->arena, true));
    return p;
}

static struct value *text_list(struct openapi_build *b, const char *const *list)
{
    struct value *array = value_array(b->arena);

    for (; *list; list++)
        value_append(b->arena, array, value_text(b->arena, *list));
    return array;
}

static struct value *content(struct openapi_build *b, const char *const *types, struct value *schema)
{
    struct value *all = value_object(b->arena);

    for (; *types; types++) {
        struct value *one = value_object(b->arena);
        openapi_put(b, one, "schema", schema);
        openapi_put(b, all, *types, one);
    }
    return all;
}

static struct value *ref_or_string(struct openapi_build *b, const struct schema *s)
{
    struct value *type;

    if (s && s->name)
        return openapi_ref(b, str_of(s->name));
    type = value_object(b->arena);
    openapi_put_text(b, type, "type", "string");
    return type;
}

/* What the operation answers. */
static struct value *answer(struct openapi_build *b, const struct openapi_resource *r, const struct operation *o)
{
    if (o->verb == OPENAPI_LIST && r->list_kind)
        return openapi_ref(b, openapi_list_name(b->arena, r));
    if ((o->verb & DELETES) && b->api->status)
        return ref_or_string(b, b->api->status);
    return ref_or_string(b, r->schema);
}

static void put_body(struct openapi_build *b, struct value *op, struct value *parameters,
                     const struct openapi_resource *r, const struct operation *o)
{
    const struct schema *s = (o->verb & DELETES) ? b->api->delete_options : r->schema;
    struct value *schema, *body;

    if (!(o->verb & (WRITES | DELETES)) || !s || !s->name)
        return;
    schema = openapi_ref(b, str_of(s->name));
    if (o->verb == OPENAPI_PATCH) {
        schema = value_object(b->arena);
        openapi_put_text(b, schema, "type", "object");
    }
    body = value_object(b->arena);
    if (b->version == OPENAPI_V2) {
        openapi_put_text(b, body, "in", "body");
        openapi_put_text(b, body, "name", "body");
        if (o->verb & WRITES)
            openapi_put(b, body, "required", value_bool(b->arena, true));
        openapi_put(b, body, "schema", schema);
        value_append(b->arena, parameters, body);
        openapi_put(b, op, "consumes", text_list(b, o->verb == OPENAPI_PATCH ? patch_types : body_types));
        return;
    }
    openapi_put(b, body, "content", content(b, o->verb == OPENAPI_PATCH ? patch_types : body_types, schema));
    if (o->verb & WRITES)
        openapi_put(b, body, "required", value_bool(b->arena, true));
    openapi_put(b, op, "requestBody", body);
}

static void put_responses(struct openapi_build *b, struct value *op, const struct openapi_resource *r,
                          const struct operation *o)
{
    const char *const *types = o->verb == OPENAPI_LIST ? list_types : answer_types;
    struct value *responses = value_object(b->arena), *ok = value_object(b->arena), *denied = value_object(b->arena);
    struct value *schema = answer(b, r, o);

    openapi_put_text(b, ok, "description", "OK");
    if (b->version == OPENAPI_V2)
        openapi_put(b, ok, "schema", schema);
    else
        openapi_put(b, ok, "content", content(b, types, schema));
    openapi_put(b, responses, "200", ok);
    openapi_put_text(b, denied, "description", "Unauthorized");
    openapi_put(b, responses, "401", denied);
    if (b->version == OPENAPI_V2)
        openapi_put(b, op, "produces", text_list(b, types));
    openapi_put(b, op, "responses", responses);
}

/* "rbac.authorization.k8s.io" -> RbacAuthorization. */
static void group_words(struct buf *to, const char *group)
{
    struct str rest = str_of(group), word;

    if (str_ends(rest, STR(".k8s.io")))
        rest.n -= sizeof(".k8s.io") - 1;
    while (str_next(&rest, '.', &word)) {
        if (word.n == 0)
            continue;
        buf_add_char(to, (char)(word.p[0] >= 'a' && word.p[0] <= 'z' ? word.p[0] - 'a' + 'A' : word.p[0]));
        buf_add(to, str_from(word, 1));
    }
}

static void put_id_and_tags(struct openapi_build *b, struct value *op, const struct openapi_resource *r,
                            const struct operation *o, const char *kind)
{
    AUTO_BUF struct buf words = BUF_MAX(KIB);
    struct value *tags = value_array(b->arena);
    const char *version = r->version[0] == 'v' ? r->version + 1 : r->version;
    const char *all = o->place == PLACE_ALL_NAMESPACES ? "ForAllNamespaces" : "";
    AUTO_BUF struct buf sub = BUF_MAX(KIB);

    group_words(&words, r->group[0] ? r->group : "core");
    if (r->subresource)
        group_words(&sub, r->subresource);
    openapi_put(b, op, "operationId",
                value_strf(b->arena, "%s%sV%s%s%s%s%s", o->id, words.p, version,
                           r->namespaced && !all[0] ? "Namespaced" : "", kind, sub.p ? sub.p : "", all));
    if (words.n)
        words.p[0] = (char)(words.p[0] >= 'A' && words.p[0] <= 'Z' ? words.p[0] - 'A' + 'a' : words.p[0]);
    value_append(b->arena, tags, value_strf(b->arena, "%s_%s", words.p, r->version));
    openapi_put(b, op, "tags", tags);
}

/* The kind of the resource itself, for the names of its subresources' operations. */
static const char *kind_of(const struct openapi_build *b, const struct openapi_resource *r)
{
    for (size_t i = 0; i < b->api->count; i++) {
        const struct openapi_resource *one = &b->api->resources[i];
        if (!one->subresource && one->schema && one->schema->kind && strcmp(one->plural, r->plural) == 0 &&
            strcmp(one->group, r->group) == 0 && strcmp(one->version, r->version) == 0)
            return one->schema->kind;
    }
    return r->schema && r->schema->kind ? r->schema->kind : r->plural;
}

static struct value *operation(struct openapi_build *b, const struct openapi_resource *r, const struct operation *o)
{
    struct value *op = value_object(b->arena), *parameters = value_array(b->arena);

    openapi_put_text(b, op, "description", o->doc);
    put_id_and_tags(b, op, r, o, kind_of(b, r));
    for (size_t i = 0; i < ARRAY_SIZE(query_parameters); i++) {
        const struct parameter *p = &query_parameters[i];
        if (p->operations & o->verb)
            value_append(b->arena, parameters, parameter(b, p->name, "query", p->type, p->doc, false));
    }
    put_body(b, op, parameters, r, o);
    if (parameters->items_count)
        openapi_put(b, op, "parameters", parameters);
    put_responses(b, op, r, o);
    if (b->version == OPENAPI_V2)
        openapi_put(b, op, "schemes", text_list(b, (const char *const[]){ "https", NULL }));
    openapi_put_text(b, op, "x-kubernetes-action", o->action);
    if (r->schema && r->schema->kind)
        openapi_put(b, op, "x-kubernetes-group-version-kind", openapi_gvk(b, r->schema));
    return op;
}

static struct str path_text(struct arena *a, const struct openapi_resource *r, enum openapi_place place)
{
    return arena_printf(a, "%s%s/%s%s/%s%s%s%s", r->group[0] ? "/apis/" : "/api", r->group, r->version,
                        r->namespaced && place != PLACE_ALL_NAMESPACES ? "/namespaces/{namespace}" : "", r->plural,
                        place == PLACE_OBJECT ? "/{name}" : "", r->subresource ? "/" : "",
                        r->subresource ? r->subresource : "");
}

struct value *openapi_path(struct openapi_build *b, const struct openapi_resource *r, enum openapi_place place,
                           struct str *ret_path)
{
    struct value *item = value_object(b->arena), *parameters = value_array(b->arena);

    if (place == PLACE_ALL_NAMESPACES && !r->namespaced)
        return NULL;
    for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
        const struct operation *o = &operations[i];
        /* A subresource is created below its object, a resource in its collection. */
        if (o->place == place && (r->verbs & o->verb) &&
            (o->verb != OPENAPI_CREATE || (place == PLACE_OBJECT) == (r->subresource != NULL)) &&
            (place == PLACE_OBJECT || !r->subresource))
            openapi_put(b, item, o->method, operation(b, r, o));
    }
    if (item->members_count == 0)
        return NULL;
    if (place == PLACE_OBJECT)
        value_append(b->arena, parameters, parameter(b, "name", "path", "string", "The name of the object.", true));
    if (r->namespaced && place != PLACE_ALL_NAMESPACES)
        value_append(b->arena, parameters,
                     parameter(b, "namespace", "path", "string", "The namespace of the object.", true));
    if (parameters->items_count)
        openapi_put(b, item, "parameters", parameters);
    *ret_path = path_text(b->arena, r, place);
    return item;
}
