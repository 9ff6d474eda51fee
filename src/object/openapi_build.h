/* Private to object/: the pieces of OpenAPI documents, built one at a time as small trees and written out at once. */
#ifndef OBJECT_OPENAPI_BUILD_H
#define OBJECT_OPENAPI_BUILD_H

#include "base/map.h"
#include "object/openapi.h"

enum openapi_version { OPENAPI_V2, OPENAPI_V3 };

struct openapi_build {
    struct arena *arena; /* reset after each piece */
    enum openapi_version version;
    const struct openapi_api *api;
};

/* A member that is known to be new. */
static inline void openapi_put(struct openapi_build *b, struct value *object, const char *name, struct value *v)
{
    value_add_member(b->arena, object, name_find(str_of(name)), str_of(name), v);
}
static inline void openapi_put_text(struct openapi_build *b, struct value *object, const char *name, const char *text)
{
    openapi_put(b, object, name, value_text(b->arena, text));
}

/* {"$ref": ...} to a definition. */
struct value *openapi_ref(struct openapi_build *b, struct str name);
/* The definition of a named schema. */
struct value *openapi_definition(struct openapi_build *b, const struct schema *s);
/* {"group","kind","version"} of a root. */
struct value *openapi_gvk(struct openapi_build *b, const struct schema *s);

/* Lists have no schema of their own: "io.k8s.api.core.v1.PodList" and its definition. */
struct str openapi_list_name(struct arena *a, const struct openapi_resource *r);
struct value *openapi_list_definition(struct openapi_build *b, const struct openapi_resource *r);

/*
 * The paths of a resource: the collection in a namespace (or cluster-wide), one object, and the collection over all
 * namespaces. NULL when it has no such path.
 */
enum openapi_place { PLACE_COLLECTION, PLACE_OBJECT, PLACE_ALL_NAMESPACES, PLACES };
struct value *openapi_path(struct openapi_build *b, const struct openapi_resource *r, enum openapi_place place,
                           struct str *ret_path);

/* A v2 path item or schema as gnostic's messages. */
void openapi_put_schema(struct buf *to, uint32_t number, struct str name, const struct value *schema);
void openapi_put_path(struct buf *to, uint32_t number, struct str path, const struct value *item);

#endif
