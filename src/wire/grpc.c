/* gRPC's framing and status. */
#include "wire/grpc.h"

#include "base/codec.h"

#include <stdio.h>

#define MESSAGE_TEXT_MAX 1024 /* of grpc-message: it goes into logs */

char *grpc_frame(struct buf *to, size_t n)
{
    char *p = n > UINT32_MAX ? NULL : buf_reserve(to, GRPC_PREFIX_SIZE + n);

    if (!p) {
        to->full = true;
        return NULL;
    }
    p[0] = 0;
    for (int i = 0; i < 4; i++)
        p[1 + i] = (char)(n >> (24 - 8 * i));
    to->n += GRPC_PREFIX_SIZE + n;
    return p + GRPC_PREFIX_SIZE;
}

void grpc_reader_init(struct grpc_reader *r, size_t message_max_bytes)
{
    *r = (struct grpc_reader){ .in = BUF_MAX(SIZE_MAX / 2), .message_max = message_max_bytes };
}

void grpc_reader_done(struct grpc_reader *r)
{
    buf_done(&r->in);
    r->at = 0;
}

/* Length of the message whose prefix starts at `at`; false when the prefix is not whole. */
static bool prefix_read(const struct grpc_reader *r, size_t at, size_t *ret_n, bool *ret_compressed)
{
    const unsigned char *p = (const unsigned char *)r->in.p + at;

    if (r->in.n - at < GRPC_PREFIX_SIZE)
        return false;
    *ret_compressed = p[0] != 0;
    *ret_n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    return true;
}

int grpc_reader_feed(struct grpc_reader *r, struct str bytes, struct error *err)
{
    size_t n;
    bool compressed;

    if (r->at) {
        buf_drop(&r->in, r->at);
        r->at = 0;
    }
    buf_add(&r->in, bytes);
    for (size_t at = 0; prefix_read(r, at, &n, &compressed); at += GRPC_PREFIX_SIZE + n) {
        if (compressed)
            return fail(err, ERR_INTERNAL, "gRPC: a compressed message that nobody asked for");
        if (n > r->message_max)
            return fail(err, ERR_TOO_LARGE, "gRPC: a message of %zu bytes, at most %zu are taken", n, r->message_max);
        if (n > r->in.n - at - GRPC_PREFIX_SIZE)
            break;
    }
    return 0;
}

bool grpc_reader_next(struct grpc_reader *r, struct str *ret_message)
{
    size_t n;
    bool compressed;

    if (!prefix_read(r, r->at, &n, &compressed) || n > r->in.n - r->at - GRPC_PREFIX_SIZE)
        return false;
    *ret_message = (struct str){ r->in.p + r->at + GRPC_PREFIX_SIZE, n };
    r->at += GRPC_PREFIX_SIZE + n;
    return true;
}

bool grpc_reader_is_between(const struct grpc_reader *r)
{
    return r->at == r->in.n;
}

/* --- status --- */

enum error_code grpc_error_code(int status)
{
    switch (status) {
    case GRPC_OK:
        return ERR_NONE;
    case GRPC_INVALID_ARGUMENT:
    case GRPC_OUT_OF_RANGE:
        return ERR_BAD_REQUEST;
    case GRPC_DEADLINE_EXCEEDED:
        return ERR_TIMEOUT;
    case GRPC_NOT_FOUND:
        return ERR_NOT_FOUND;
    case GRPC_ALREADY_EXISTS:
        return ERR_ALREADY_EXISTS;
    case GRPC_PERMISSION_DENIED:
    case GRPC_UNAUTHENTICATED:
        return ERR_UNAUTHORIZED;
    case GRPC_RESOURCE_EXHAUSTED:
        return ERR_TOO_MANY_REQUESTS;
    case GRPC_FAILED_PRECONDITION:
    case GRPC_ABORTED:
        return ERR_CONFLICT;
    case GRPC_UNAVAILABLE:
    case GRPC_CANCELLED:
        return ERR_UNAVAILABLE;
    default:
        return ERR_INTERNAL;
    }
}

int grpc_status_read(const struct http_header *headers, size_t count, struct error *err)
{
    struct str message = http_header_get(headers, count, STR("grpc-message"));
    AUTO_BUF struct buf text = BUF_MAX(MESSAGE_TEXT_MAX + 1);
    int64_t status;
    bool ok = true;

    if (!str_to_i64(http_header_get(headers, count, STR("grpc-status")), &status) || status < 0 ||
        status > GRPC_UNAUTHENTICATED) {
        fail(err, ERR_INTERNAL, "gRPC: the answer has no status");
        return GRPC_UNKNOWN;
    }
    if (status == GRPC_OK)
        return GRPC_OK;
    percent_decode(&text, str_part(message, 0, MESSAGE_TEXT_MAX), false, &ok);
    if (!ok || !text.n) {
        buf_clear(&text);
        buf_addf(&text, "gRPC status %d", (int)status);
    }
    fail(err, grpc_error_code((int)status), "%.*s", STR_ARG(buf_str(&text)));
    return (int)status;
}

char *grpc_timeout_text(int64_t ms, char text[GRPC_TIMEOUT_SIZE])
{
    if (ms < 0)
        ms = 0;
    if (ms < 100000000)
        snprintf(text, GRPC_TIMEOUT_SIZE, "%lldm", (long long)ms);
    else
        snprintf(text, GRPC_TIMEOUT_SIZE, "%lldS", (long long)MIN(ms / 1000, (int64_t)99999999));
    return text;
}
