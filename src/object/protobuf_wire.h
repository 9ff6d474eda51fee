/*
 * The wire form of protobuf, private to object/: reading tags from the front, writing messages from the back (so that a
 * message's length is known when its tag is written, without a pass to measure).
 */
#ifndef OBJECT_PROTOBUF_WIRE_H
#define OBJECT_PROTOBUF_WIRE_H

#include "base/buf.h"
#include "base/error.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t integer; /* varint, fixed64, fixed32 */
    struct str bytes; /* WIRE_BYTES */
};

/* 1: a field was read; 0: the end; -1: malformed (ERR_BAD_REQUEST). */
int wire_next(struct str *rest, struct wire_field *ret, struct error *err);
bool wire_varint(struct str *rest, uint64_t *ret);

/* Content grows from the end of the block to its front. */
struct wire_back {
    char *block;
    size_t n, capacity, max;
    bool full;
};

void wire_back_done(struct wire_back *b);
struct str wire_back_str(const struct wire_back *b);
void wire_put_bytes(struct wire_back *b, struct str bytes);
void wire_put_varint(struct wire_back *b, uint64_t n);
void wire_put_tag(struct wire_back *b, uint32_t number, enum wire_type type);
/* Tag and length before what was put since the content was `before` bytes long. */
void wire_put_message(struct wire_back *b, uint32_t number, size_t before);
void wire_put_str(struct wire_back *b, uint32_t number, struct str s);
void wire_put_integer(struct wire_back *b, uint32_t number, int64_t n);
void wire_put_fixed64(struct wire_back *b, uint32_t number, uint64_t bits);

#endif
