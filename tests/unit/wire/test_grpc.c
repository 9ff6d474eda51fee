/* gRPC's framing and status. */
#include "test.h"
#include "wire/grpc.h"

static void frame(struct buf *to, const char *text)
{
    char *p = grpc_frame(to, strlen(text));

    memcpy(p, text, strlen(text));
}

TEST("messages are read back in order, however the bytes are cut")
{
    AUTO_BUF struct buf bytes = BUF_MAX(4096), seen = BUF_MAX(4096);

    frame(&bytes, "one");
    frame(&bytes, "");
    frame(&bytes, "three");
    for (size_t piece = 1; piece <= bytes.n; piece++) {
        CLEANUP(grpc_reader_done) struct grpc_reader r;
        struct str m;

        buf_clear(&seen);
        grpc_reader_init(&r, 5);
        for (size_t at = 0; at < bytes.n; at += piece) {
            ASSERT_INT(grpc_reader_feed(&r, str_part(buf_str(&bytes), at, piece), NULL), 0);
            while (grpc_reader_next(&r, &m))
                buf_addf(&seen, "%.*s;", STR_ARG(m));
        }
        ASSERT_STR(buf_str(&seen), "one;;three;");
        ASSERT(grpc_reader_is_between(&r));
    }
}

TEST("a message that is too long or compressed is refused at its prefix")
{
    CLEANUP(grpc_reader_done) struct grpc_reader r;
    AUTO_ERROR struct error err = { 0 };

    grpc_reader_init(&r, 5);
    ASSERT_FAILS(grpc_reader_feed(&r, (struct str){ "\0\0\0\0\6", 5 }, &err), &err, ERR_TOO_LARGE, "6 bytes");
    grpc_reader_done(&r);
    grpc_reader_init(&r, 5);
    ASSERT_FAILS(grpc_reader_feed(&r, (struct str){ "\1\0\0\0\1", 5 }, &err), &err, ERR_INTERNAL, "compressed");
    grpc_reader_done(&r);
    grpc_reader_init(&r, 5);
    ASSERT_INT(grpc_reader_feed(&r, (struct str){ "\0\0\0\0\2x", 6 }, &err), 0);
    ASSERT(!grpc_reader_is_between(&r));
}

TEST("the status comes with its message, decoded")
{
    struct http_header ok[] = { { STR("grpc-status"), STR("0") } };
    struct http_header no[] = { { STR("grpc-status"), STR("14") }, { STR("grpc-message"), STR("no%20leader%2E") } };
    struct http_header bad[] = { { STR("grpc-status"), STR("many") } };
    AUTO_ERROR struct error err = { 0 };

    ASSERT_INT(grpc_status_read(ok, 1, &err), GRPC_OK);
    ASSERT_INT(err.code, ERR_NONE);
    ASSERT_INT(grpc_status_read(no, 2, &err), GRPC_UNAVAILABLE);
    ASSERT_INT(err.code, ERR_UNAVAILABLE);
    ASSERT_STR(error_text(&err), "no leader.");
    ASSERT_INT(grpc_status_read(bad, 1, &err), GRPC_UNKNOWN);
    ASSERT_INT(err.code, ERR_INTERNAL);
}

TEST("a deadline has at most eight digits")
{
    char text[GRPC_TIMEOUT_SIZE];

    ASSERT_STR(grpc_timeout_text(250, text), "250m");
    ASSERT_STR(grpc_timeout_text(99999999, text), "99999999m");
    ASSERT_STR(grpc_timeout_text(100000000, text), "100000S");
    ASSERT_STR(grpc_timeout_text(-1, text), "0m");
}
