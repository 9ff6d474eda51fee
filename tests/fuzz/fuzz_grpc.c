/* gRPC's framing: the same input, whole and in pieces, gives the same messages and the same answer; what was framed is read back. */
#include "wire/grpc.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse(struct str input, size_t piece, struct buf *seen)
{
    struct grpc_reader r;
    struct str message;
    int result = 0;

    grpc_reader_init(&r, 4096);
    for (size_t at = 0; at < input.n && result == 0; at += piece) {
        result = grpc_reader_feed(&r, str_part(input, at, piece), NULL);
        while (result == 0 && grpc_reader_next(&r, &message)) {
            char *p = grpc_frame(seen, message.n);

            if (p && message.n)
                memcpy(p, message.p, message.n);
        }
    }
    if (result == 0)
        buf_add_text(seen, grpc_reader_is_between(&r) ? "between" : "inside");
    grpc_reader_done(&r);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = { (const char *)data, size };
    AUTO_BUF struct buf whole = BUF_MAX(8 * MIB), cut = BUF_MAX(8 * MIB);
    int a = parse(input, size ? size : 1, &whole), b = parse(input, 1, &cut);
    struct http_header headers[] = { { STR("grpc-status"), str_part(input, 0, 2) },
                                     { STR("grpc-message"), str_from(input, 2) } };
    AUTO_ERROR struct error err = { 0 };
    int status = grpc_status_read(headers, 2, &err);

    if (a != b || (a == 0 && !str_eq(buf_str(&whole), buf_str(&cut))))
        abort();
    if (a == 0 && str_is(str_from(buf_str(&whole), whole.n - 7), "between") &&
        !str_eq(str_part(buf_str(&whole), 0, whole.n - 7), input))
        abort();
    if ((status == GRPC_OK) != (err.code == ERR_NONE))
        abort();
    return 0;
}
