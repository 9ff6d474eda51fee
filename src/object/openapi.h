/*
 * OpenAPI documents from schemas and a list of resources: v2 (JSON, and the protobuf form kubectl 1.20 asks for) and v3 (one document
 * per group-version, and the index). object/ knows no kinds: the caller describes what it serves in struct openapi_api.
 *
 * Written straight into a buf, nothing is kept: the server builds a document when it is first asked for, and caches or drops it.
 * Sizes for the kinds of issue 1: v2 about 1 MB, a v3 document at most 0.8 MB. Pass a buf with a maximum of OPENAPI_BYTES_MAX.
 * Functions fail only with ERR_TOO_LARGE, when `to` is full.
 * Source: kube-openapi; github.com/google/gnostic-models/openapiv2/OpenAPIv2.proto; what kubectl reads (explain, apply, create --validate).
 */
#ifndef OBJECT_OPENAPI_H
#define OBJECT_OPENAPI_H

#include "base/buf.h"
#include "object/schema.h"

#define OPENAPI_BYTES_MAX (16 * MIB)

enum openapi_verb {
    OPENAPI_GET = 1 << 0,
    OPENAPI_LIST = 1 << 1,
    OPENAPI_WATCH = 1 << 2,
    OPENAPI_CREATE = 1 << 3,
    OPENAPI_UPDATE = 1 << 4,
    OPENAPI_PATCH = 1 << 5,
    OPENAPI_DELETE = 1 << 6,
    OPENAPI_DELETECOLLECTION = 1 << 7, /* the bits of kinds.h's enum kind_verbs */
};

/* One served resource or subresource. */
struct openapi_resource {
    const char *group, *version; /* of the path: "" and "v1", "apps" and "v1" */
    const char *plural;
    const char *subresource; /* NULL for the resource itself */
    bool namespaced;
    uint16_t verbs;              /* enum openapi_verb */
    const struct schema *schema; /* body and answer; for a subresource its own kind (Scale) */
    const char *list_kind;       /* "PodList": its definition is made up from schema's; NULL when not listed */
};

struct openapi_api {
    const char *version; /* info.version: "v1.36.0+klein" */
    const struct openapi_resource *resources;
    size_t count;
    const struct schema
        *status; /* meta/v1 Status, DeleteOptions, ListMeta: for answers and lists; NULL leaves them out */
    const struct schema *delete_options;
    const struct schema *list_meta;
};

/* What kubectl asks for in Accept, and the media type of the answer: "@" is not allowed in one, and Go's parser refuses it. */
#define OPENAPI_V2_PROTOBUF              "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
#define OPENAPI_V2_PROTOBUF_CONTENT_TYPE "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
/* v3 is offered as JSON only: clients fall back to it. */

int openapi_v2_json(struct buf *to, const struct openapi_api *api, struct error *err);
int openapi_v2_protobuf(struct buf *to, const struct openapi_api *api, struct error *err);
/* /openapi/v3: {"paths":{"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=..."}}}. */
int openapi_v3_index(struct buf *to, const struct openapi_api *api, struct error *err);
/* /openapi/v3/api/v1 (group "") or /openapi/v3/apis/GROUP/VERSION. ERR_NOT_FOUND when the api has no such group-version. */
int openapi_v3_json(struct buf *to, const struct openapi_api *api, struct str group, struct str version,
                    struct error *err);

#endif
