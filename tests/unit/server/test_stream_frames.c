/* Frames between server and agent. */
#include "test.h"

#include "server/stream.h"

struct got {
    struct buf out, result;
    unsigned results;
};

static bool on_frame(void *arg, enum stream_channel channel, struct str payload, bool last)
{
    struct got *g = arg;
    if (channel == CHANNEL_RESULT) {
        ASSERT(last);
        g->results++;
        buf_add(&g->result, payload);
    } else {
        buf_add_char(&g->out, channel == CHANNEL_STDOUT ? '1' : '2');
        buf_add(&g->out, payload);
    }
    return true;
}

static int feed(struct got *g, struct str bytes, size_t step)
{
    struct stream_frames f = { 0 };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < bytes.n; i += step)
        rc = stream_frames_feed(&f, str_part(bytes, i, step), on_frame, g);
    stream_frames_done(&f);
    return rc;
}

TEST("frames cut anywhere are put together again")
{
    AUTO_BUF struct buf wire = BUF_MAX(KIB);
    stream_frames_add(&wire, CHANNEL_STDOUT, STR("hello"));
    stream_frames_add(&wire, CHANNEL_STDERR, STR_NONE);
    stream_frames_add(&wire, CHANNEL_STDERR, STR("x"));
    stream_frames_add(&wire, CHANNEL_RESULT, STR("{\"status\":\"Success\"}"));
    for (size_t step = 1; step <= wire.n; step++) {
        struct got g = { .out = BUF_MAX(KIB), .result = BUF_MAX(KIB) };
        ASSERT_INT(feed(&g, buf_str(&wire), step), 0);
        ASSERT_STR(g.result, "{\"status\":\"Success\"}");
        ASSERT_INT(g.results, 1);
        if (step == wire.n)
            ASSERT_STR(g.out, "1hello2x");
        buf_done(&g.out);
        buf_done(&g.result);
    }
}

TEST("a long payload goes out as several frames")
{
    AUTO_BUF struct buf wire = BUF_MAX(MIB), text = BUF_MAX(MIB);
    buf_add_repeat(&text, 'a', FRAME_MAX_BYTES + 1);
    stream_frames_add(&wire, CHANNEL_STDIN, buf_str(&text));
    ASSERT_INT(wire.n, FRAME_MAX_BYTES + 1 + 2 * FRAME_HEAD_BYTES);
}

TEST("a frame that is too long or of an unknown channel is refused")
{
    struct got g = { .out = BUF_MAX(KIB), .result = BUF_MAX(KIB) };
    ASSERT_INT(feed(&g, STR("\x01\x00\x01\x00\x01zzz"), 3), -1);
    ASSERT_INT(feed(&g, STR("\x09\x00\x00\x00\x01z"), 6), -1);
    ASSERT_INT(feed(&g, STR("\x00\x00\x00\x00\x01z"), 6), -1);
    ASSERT_INT(feed(&g, STR("\xff\xff\xff\xff\xffz"), 1), -1);
    buf_done(&g.out);
    buf_done(&g.result);
}
