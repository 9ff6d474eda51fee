/* Exec and attach frames. */
#include "node/frames.h"

#define HEAD 5

void frames_init(struct frames *f)
{
    *f = (struct frames){ .pending = BUF_MAX(HEAD + FRAME_MAX + 256 * KIB) };
}

void frames_done(struct frames *f)
{
    buf_done(&f->pending);
}

static size_t length_of(const unsigned char *p)
{
    return (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
}

static bool channel_is_known(unsigned char c)
{
    return c == FRAME_STDIN || c == FRAME_SIZE || c == FRAME_STDIN_END;
}

int frames_feed(struct frames *f, struct str bytes, frame_fn *fn, void *arg, struct error *err)
{
    while (bytes.n) {
        struct str part = str_part(bytes, 0, FRAME_MAX); /* so that pending stays small whatever arrives */
        bytes = str_from(bytes, part.n);
        buf_add(&f->pending, part);
        size_t used = 0;
        while (f->pending.n - used >= HEAD) {
            const unsigned char *p = (const unsigned char *)f->pending.p + used;
            size_t n = length_of(p);
            if (n > FRAME_MAX || !channel_is_known(p[0]))
                return fail(err, ERR_BAD_REQUEST, "a frame that the protocol does not know");
            if (f->pending.n - used < HEAD + n)
                break;
            fn(arg, (enum frame_channel)p[0], (struct str){ (const char *)p + HEAD, n });
            used += HEAD + n;
        }
        buf_drop(&f->pending, used);
    }
    return 0;
}

void frame_write(struct buf *to, enum frame_channel channel, struct str payload)
{
    do {
        struct str part = str_part(payload, 0, FRAME_MAX);
        const char head[HEAD] = { (char)channel, (char)(part.n >> 24), (char)(part.n >> 16), (char)(part.n >> 8),
                                  (char)part.n };
        buf_add_bytes(to, head, HEAD);
        buf_add(to, part);
        payload = str_from(payload, part.n);
    } while (payload.n);
}
