/* Private to object/: which number a field has in the message at hand, where Go embeds structs that JSON shows flat. */
#ifndef OBJECT_PROTOBUF_LAYOUT_H
#define OBJECT_PROTOBUF_LAYOUT_H

#include "object/schema.h"

#define PROTOBUF_INLINE_MAX 2

/* The message of an object, or one embedded in it: the fields whose first `depth` embedding numbers are `numbers`. */
struct protobuf_layout {
    const struct schema *schema;
    size_t depth;
    uint8_t numbers[PROTOBUF_INLINE_MAX];
};

/* 0: not in this message. *ret_embedded: the number is that of an embedded message that holds the field. */
static inline uint32_t protobuf_number(const struct protobuf_layout *l, const struct schema_field *f,
                                       bool *ret_embedded)
{
    for (size_t i = 0; i < l->depth; i++)
        if (f->proto_inline[i] != l->numbers[i])
            return 0;
    *ret_embedded = l->depth < PROTOBUF_INLINE_MAX && f->proto_inline[l->depth] != 0;
    return *ret_embedded ? f->proto_inline[l->depth] : f->proto_number;
}

static inline struct protobuf_layout protobuf_embedded(const struct protobuf_layout *l, uint32_t number)
{
    struct protobuf_layout inner = *l;
    inner.numbers[inner.depth++] = (uint8_t)number;
    return inner;
}

#endif
