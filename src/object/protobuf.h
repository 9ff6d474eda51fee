/*
 * The API's protobuf form, both ways, by schema: `k8s\0` + runtime.Unknown{TypeMeta, raw, contentEncoding, contentType} around
 * the message of the kind. Byte-exact with Kubernetes' generated marshallers (fields in number order, zero values of required
 * scalars written, pointers and omitempty scalars as gogo does, maps sorted by key).
 *
 * Untrusted input: size OBJECT_SIZE_MAX, depth OBJECT_DEPTH_MAX, and PROTOBUF_VALUES_MAX values. Unknown fields are skipped.
 * Source: apimachinery/pkg/runtime/serializer/protobuf, generated.proto of each group.
 */
#ifndef OBJECT_PROTOBUF_H
#define OBJECT_PROTOBUF_H

#include "base/buf.h"
#include "object/schema.h"

#define PROTOBUF_VALUES_MAX 1000000

/*
 * What the envelope says, before a schema is known. Strings are borrowed from `bytes`. Fails with ERR_BAD_REQUEST when
 * `bytes` is not a k8s protobuf envelope.
 */
struct protobuf_envelope {
    struct str api_version, kind;
    struct str raw;          /* the message */
    struct str content_type; /* "" or "application/json": raw is JSON then, as clients send unregistered types */
};
int protobuf_open(struct str bytes, struct protobuf_envelope *ret, struct error *err);

/* The message as a tree, apiVersion and kind first. The result is normalized. Strings are borrowed from `raw` or live in the arena. */
struct value *protobuf_decode(struct arena *a, const struct schema *schema, const struct protobuf_envelope *envelope,
                              struct error *err);

/* A normalized tree with its envelope. `schema` is that of the whole object. Fails when `to` is full or a value does not fit its type. */
int protobuf_encode(struct buf *to, const struct schema *schema, const struct value *tree, struct error *err);
/* The same for a frozen object, without building a tree for the caller. */
int protobuf_encode_object(struct buf *to, const struct schema *schema, const struct object *o, struct error *err);

/* Parts of what is not stored: a message of any schema without an envelope, and an envelope around given bytes. */
int protobuf_encode_message(struct buf *to, const struct schema *schema, const struct value *tree, struct error *err);
void protobuf_wrap(struct buf *to, struct str api_version, struct str kind, struct str raw);
/*
 * A List from already encoded items: call begin, then item for each, then end. `item` takes the message of one object (without envelope).
 * Watch events: protobuf_watch_event() writes meta/v1 WatchEvent{type, object: RawExtension{envelope bytes}} without length framing.
 */
void protobuf_list(struct buf *to, struct str api_version, struct str list_kind, struct str list_meta_message,
                   const struct str *items, size_t count);
/*
 * The same list written forward, for one too long to hold: the lengths stand before the items, so their sum must be known. Call begin
 * with the sum of protobuf_list_item_bytes(size of each message), then item for each, then end.
 */
size_t protobuf_list_item_bytes(size_t message_bytes);
void protobuf_list_begin(struct buf *to, struct str api_version, struct str list_kind, struct str list_meta_message,
                         uint64_t items_bytes);
void protobuf_list_item(struct buf *to, struct str message);
void protobuf_list_end(struct buf *to);
void protobuf_watch_event(struct buf *to, struct str type, struct str object_with_envelope);

#endif
