/* Watch events as bytes. Source: meta/v1 WatchEvent; KEP-956 (bookmarks), KEP-3157 (watch-list). */
#include "server/watch_frames.h"

#include "kinds/fields.h"
#include "kinds/schemas.h"
#include "object/protobuf.h"
#include "server/alias.h"
#include "server/response.h"
#include "server/table.h"

#include <stdlib.h>

struct change_frames {
    char *protobuf; /* envelope and message of the change's object, in the storage's own kind */
    size_t protobuf_n;
};

void change_frames_free(struct change_frames *f)
{
    if (!f)
        return;
    free(f->protobuf);
    free(f);
}

static const char *const type_names[] = {
    [WATCH_ADDED] = "ADDED",       [WATCH_MODIFIED] = "MODIFIED", [WATCH_DELETED] = "DELETED",
    [WATCH_BOOKMARK] = "BOOKMARK", [WATCH_ERROR] = "ERROR",
};

/* Length-delimited: four bytes, big endian, then the message. Source: apimachinery/pkg/util/framer. */
static int add_protobuf(struct buf *to, enum watch_event_type type, struct str object, struct error *err)
{
    size_t at = to->n;
    buf_add_repeat(to, 0, 4);
    protobuf_watch_event(to, str_of(type_names[type]), object);
    if (to->full)
        return fail(err, ERR_TOO_LARGE, "the event is too large");
    size_t n = to->n - at - 4;
    for (int i = 0; i < 4; i++)
        to->p[at + (size_t)i] = (char)(n >> (24 - 8 * i));
    return 0;
}

static int add_tree(struct buf *to, const struct watch_format *f, enum watch_event_type type,
                    const struct schema *schema, const struct value *tree, struct error *err)
{
    if (f->type == MEDIA_PROTOBUF) {
        AUTO_BUF struct buf bytes = BUF_MAX(OBJECT_SIZE_MAX);
        return protobuf_encode(&bytes, schema, tree, err) < 0 ? -1 : add_protobuf(to, type, buf_str(&bytes), err);
    }
    buf_addf(to, "{\"type\":\"%s\",\"object\":", type_names[type]);
    value_write(to, tree);
    buf_add_text(to, "}\n");
    return 0;
}

static struct str shared_protobuf(const struct kind *k, const struct object *o, struct change *c, struct buf *own,
                                  struct error *err)
{
    bool sharing = c && c->object == o && c->kind == k;
    if (sharing && c->frames)
        return (struct str){ c->frames->protobuf, c->frames->protobuf_n };
    AUTO_OBJECT struct object *shown = alias_object(k, o);
    if (protobuf_encode_object(own, k->schema, shown, err) < 0)
        return STR_NONE;
    if (!sharing)
        return buf_str(own);
    c->frames = xnew(struct change_frames);
    c->frames->protobuf = buf_take(own, &c->frames->protobuf_n);
    return (struct str){ c->frames->protobuf, c->frames->protobuf_n };
}

static struct value *partial_tree(struct arena *a, const struct object *o)
{
    struct value *v = value_object(a);
    value_set_text(a, v, F_POD_KIND, "PartialObjectMetadata");
    value_set_text(a, v, F_POD_API_VERSION, "meta.k8s.io/v1");
    value_put(a, v, F_POD_METADATA, value_of_view(a, view_get(object_root(o), F_POD_METADATA)));
    return v;
}

int watch_frame(struct buf *to, struct watch_format *f, enum watch_event_type type, const struct object *o,
                struct change *c, int64_t now_ms, struct error *err)
{
    if (f->type == MEDIA_PROTOBUF && f->as == AS_PARTIAL) {
        AUTO_ARENA struct arena a = { 0 };
        return add_tree(to, f, type, &schema_meta_v1_partial_object_metadata, partial_tree(&a, o), err);
    }
    if (f->type == MEDIA_PROTOBUF) {
        AUTO_BUF struct buf own = BUF_MAX(2 * OBJECT_SIZE_MAX);
        struct str bytes = shared_protobuf(f->kind, o, c, &own, err);
        return bytes.p ? add_protobuf(to, type, bytes, err) : -1;
    }
    AUTO_OBJECT struct object *shown = alias_object(f->kind, o);
    buf_addf(to, "{\"type\":\"%s\",\"object\":", type_names[type]);
    if (f->as == AS_TABLE) {
        table_write_one(to, f->kind, shown, f->include_object, now_ms, !f->columns_sent);
        f->columns_sent = true;
    } else if (f->as == AS_PARTIAL) {
        partial_write(to, shown);
    } else {
        buf_add(to, object_json(shown));
    }
    buf_add_text(to, "}\n");
    return to->full ? fail(err, ERR_TOO_LARGE, "the event is too large") : 0;
}

int watch_frame_bookmark(struct buf *to, const struct watch_format *f, uint64_t revision, bool initial_end,
                         struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    const struct kind *k = f->kind;
    struct value *v = value_object(&a), *meta;
    bool partial = f->as == AS_PARTIAL;
    value_set(&a, v, F_POD_KIND, partial ? STR("PartialObjectMetadata") : str_of(k->kind));
    value_set(&a, v, F_POD_API_VERSION,
              partial       ? STR("meta.k8s.io/v1")
              : k->group[0] ? arena_printf(&a, "%s/%s", k->group, k->version)
                            : str_of(k->version));
    meta = value_make_object(&a, v, F_POD_METADATA);
    value_put(&a, meta, F_OBJECT_META_RESOURCE_VERSION, value_strf(&a, "%llu", (unsigned long long)revision));
    value_put(&a, meta, F_OBJECT_META_CREATION_TIMESTAMP, value_null(&a));
    if (initial_end)
        value_put_str(&a, value_make_object(&a, meta, F_OBJECT_META_ANNOTATIONS), STR("k8s.io/initial-events-end"),
                      value_text(&a, "true"));
    if (f->as == AS_TABLE) {
        buf_addf(
            to,
            "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{"
            "\"resourceVersion\":\"%llu\"},\"columnDefinitions\":null,\"rows\":[{\"cells\":[],\"object\":",
            (unsigned long long)revision);
        value_write(to, v);
        buf_add_text(to, "}]}}\n");
        return 0;
    }
    if (f->type != MEDIA_PROTOBUF)
        return add_tree(to, f, WATCH_BOOKMARK, NULL, v, err);
    value_del(meta, F_OBJECT_META_CREATION_TIMESTAMP);
    const struct schema *schema = partial ? &schema_meta_v1_partial_object_metadata : k->schema;
    return schema_normalize(&a, schema, v, NULL, err) < 0 ? -1 : add_tree(to, f, WATCH_BOOKMARK, schema, v, err);
}

int watch_frame_error(struct buf *to, const struct watch_format *f, const struct error *status, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    return add_tree(to, f, WATCH_ERROR, &schema_meta_v1_status, status_of_error(&a, status), err);
}
