/* Protobuf's wire form: tags, varints, lengths. Source: protobuf.dev, "Encoding". */
#include "object/protobuf_wire.h"

#include <endian.h>
#include <stdlib.h>

bool wire_varint(struct str *rest, uint64_t *ret)
{
    uint64_t n = 0;

    for (size_t i = 0; i < 10 && i < rest->n; i++) {
        unsigned char byte = (unsigned char)rest->p[i];

        if (i == 9 && byte > 1)
            return false;
        n |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *rest = str_from(*rest, i + 1);
            *ret = n;
            return true;
        }
    }
    return false;
}

static bool take(struct str *rest, size_t n, struct str *ret)
{
    if (rest->n < n)
        return false;
    *ret = str_part(*rest, 0, n);
    *rest = str_from(*rest, n);
    return true;
}

int wire_next(struct str *rest, struct wire_field *ret, struct error *err)
{
    uint64_t tag, length;
    struct str fixed;
    bool ok = true;

    if (rest->n == 0)
        return 0;
    if (!wire_varint(rest, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return fail(err, ERR_BAD_REQUEST, "proto: illegal tag");
    *ret = (struct wire_field){ .number = (uint32_t)(tag >> 3), .type = (enum wire_type)(tag & 7) };
    switch (ret->type) {
    case WIRE_VARINT:
        ok = wire_varint(rest, &ret->integer);
        break;
    case WIRE_FIXED64:
        if ((ok = take(rest, 8, &fixed))) {
            memcpy(&ret->integer, fixed.p, 8);
            ret->integer = le64toh(ret->integer);
        }
        break;
    case WIRE_BYTES:
        ok = wire_varint(rest, &length) && take(rest, length, &ret->bytes);
        break;
    case WIRE_FIXED32:
        if ((ok = take(rest, 4, &fixed))) {
            uint32_t bits;
            memcpy(&bits, fixed.p, 4);
            ret->integer = le32toh(bits);
        }
        break;
    default:
        return fail(err, ERR_BAD_REQUEST, "proto: illegal wireType %d", (int)(tag & 7));
    }
    return ok ? 1 : fail(err, ERR_BAD_REQUEST, "unexpected EOF");
}

void wire_back_done(struct wire_back *b)
{
    free(b->block);
    *b = (struct wire_back){ .max = b->max };
}

struct str wire_back_str(const struct wire_back *b)
{
    return (struct str){ b->block ? b->block + b->capacity - b->n : NULL, b->n };
}

void wire_put_bytes(struct wire_back *b, struct str bytes)
{
    if (b->full || bytes.n > b->max - b->n) {
        b->full = true;
        return;
    }
    if (bytes.n > b->capacity - b->n) {
        size_t capacity = MAX(MAX(b->capacity * 2, b->n + bytes.n), (size_t)1024);
        char *block = xmalloc(capacity);

        if (b->n)
            memcpy(block + capacity - b->n, b->block + b->capacity - b->n, b->n);
        free(b->block);
        b->block = block;
        b->capacity = capacity;
    }
    b->n += bytes.n;
    if (bytes.n)
        memcpy(b->block + b->capacity - b->n, bytes.p, bytes.n);
}

void wire_put_varint(struct wire_back *b, uint64_t n)
{
    char bytes[10];
    size_t count = 0;

    for (; n >= 0x80; n >>= 7)
        bytes[count++] = (char)(n | 0x80);
    bytes[count++] = (char)n;
    wire_put_bytes(b, (struct str){ bytes, count });
}

void wire_put_tag(struct wire_back *b, uint32_t number, enum wire_type type)
{
    wire_put_varint(b, (uint64_t)number << 3 | type);
}

void wire_put_message(struct wire_back *b, uint32_t number, size_t before)
{
    wire_put_varint(b, b->n - before);
    wire_put_tag(b, number, WIRE_BYTES);
}

void wire_put_str(struct wire_back *b, uint32_t number, struct str s)
{
    size_t before = b->n;

    wire_put_bytes(b, s);
    wire_put_message(b, number, before);
}

void wire_put_integer(struct wire_back *b, uint32_t number, int64_t n)
{
    wire_put_varint(b, (uint64_t)n);
    wire_put_tag(b, number, WIRE_VARINT);
}

void wire_put_fixed64(struct wire_back *b, uint32_t number, uint64_t bits)
{
    uint64_t little = htole64(bits);

    wire_put_bytes(b, (struct str){ (const char *)&little, 8 });
    wire_put_tag(b, number, WIRE_FIXED64);
}
