/* /openapi/v2 and /openapi/v3: documents of object/openapi.h for the kinds of this server, made when first asked for. */
#include "server/discovery.h"
#include "server/negotiate.h"
#include "server/response.h"
#include "server/server_internal.h"

#include "kinds/schemas.h"
#include "object/openapi.h"

#include <stdlib.h>

static_assert((int)OPENAPI_GET == (int)VERB_GET && (int)OPENAPI_DELETECOLLECTION == (int)VERB_DELETECOLLECTION,
              "openapi.h and kinds.h count verbs alike");

/* The v2 documents are asked for by every kubectl and take a while to write: kept. v3 is small pieces, written each time. */
struct openapi_part {
    struct openapi_resource *resources;
    struct openapi_api api;
    struct buf v2_json, v2_protobuf;
};

static void add_kind(struct openapi_part *p, const struct kind *k)
{
    struct openapi_resource row = {
        .group = k->group,
        .version = k->version,
        .plural = k->plural,
        .namespaced = k->namespaced,
        .verbs = k->verbs,
        .schema = k->schema,
        .list_kind = k->verbs & VERB_LIST ? k->list_kind : NULL,
    };
    p->resources[p->api.count++] = row;
    for (const struct kind_subresource *s = k->subresources; s && s->name; s++) {
        const struct schema *schema = schema_of_kind(subresource_kind(k, s));
        row.subresource = s->name;
        row.verbs = s->verbs;
        row.list_kind = NULL;
        row.schema = schema ? schema : k->schema;
        p->resources[p->api.count++] = row;
    }
}

int openapi_init(struct server *s, struct error *err)
{
    (void)err;
    struct openapi_part *p = xnew(struct openapi_part);
    size_t count = 0;
    for (size_t i = 0; i < kinds_count; i++) {
        count++;
        for (const struct kind_subresource *sub = kinds[i]->subresources; sub && sub->name; sub++)
            count++;
    }
    p->resources = xcalloc(count, sizeof(*p->resources));
    p->api = (struct openapi_api){
        .version = SERVER_VERSION,
        .resources = p->resources,
        .status = &schema_meta_v1_status,
        .delete_options = &schema_meta_v1_delete_options,
        .list_meta = &schema_meta_v1_list_meta,
    };
    for (size_t i = 0; i < kinds_count; i++)
        add_kind(p, kinds[i]);
    p->v2_json.max = p->v2_protobuf.max = OPENAPI_BYTES_MAX;
    server_part_set(s, SERVER_PART_openapi, p);
    return 0;
}

void openapi_done(struct server *s)
{
    struct openapi_part *p = server_part(s, SERVER_PART_openapi);
    if (!p)
        return;
    buf_done(&p->v2_json);
    buf_done(&p->v2_protobuf);
    free(p->resources);
    free(p);
}

enum phase_result openapi_v2_path(struct request *r)
{
    struct openapi_part *p = server_part(r->server, SERVER_PART_openapi);
    struct media_range ranges[MEDIA_RANGES_MAX];
    size_t count = media_ranges(request_header(r, "accept"), ranges);
    bool protobuf = count && str_is(ranges[0].type, OPENAPI_V2_PROTOBUF);
    struct buf *to = protobuf ? &p->v2_protobuf : &p->v2_json;
    if (to->n == 0 &&
        (protobuf ? openapi_v2_protobuf(to, &p->api, &r->err) : openapi_v2_json(to, &p->api, &r->err)) < 0) {
        buf_done(to);
        return PHASE_FAILED;
    }
    return answer_with_etag(r, protobuf ? STR("application/octet-stream") : STR("application/json"), buf_str(to));
}

enum phase_result openapi_v3_path(struct request *r)
{
    struct openapi_part *p = server_part(r->server, SERVER_PART_openapi);
    AUTO_BUF struct buf text = BUF_MAX(OPENAPI_BYTES_MAX);
    struct str rest = r->info.path, part, group = STR_NONE, version = STR_NONE;
    int n = 0;
    bool core = false;
    while (str_next(&rest, '/', &part)) {
        if (n == 3)
            core = str_is(part, "api");
        if (n == 4)
            *(core ? &version : &group) = part;
        if (n == 5)
            version = part;
        n++;
    }
    int rc =
        n <= 3 ? openapi_v3_index(&text, &p->api, &r->err) : openapi_v3_json(&text, &p->api, group, version, &r->err);
    if (rc < 0)
        return PHASE_FAILED;
    return answer_with_etag(r, STR("application/json"), buf_str(&text));
}
