/* Frames between server and agent: 1 byte channel, 4 bytes length, payload. */
#include "server/stream.h"

#define RESULT_MAX_BYTES (64 * KIB)

static void add_one(struct buf *to, enum stream_channel channel, struct str payload)
{
    unsigned char head[FRAME_HEAD_BYTES] = { (unsigned char)channel, (unsigned char)(payload.n >> 24),
                                             (unsigned char)(payload.n >> 16), (unsigned char)(payload.n >> 8),
                                             (unsigned char)payload.n };
    buf_add_bytes(to, head, sizeof(head));
    buf_add(to, payload);
}

void stream_frames_add(struct buf *to, enum stream_channel channel, struct str payload)
{
    while (payload.n > FRAME_MAX_BYTES) {
        add_one(to, channel, str_part(payload, 0, FRAME_MAX_BYTES));
        payload = str_from(payload, FRAME_MAX_BYTES);
    }
    add_one(to, channel, payload);
}

static int head_complete(struct stream_frames *f)
{
    uint32_t length = (uint32_t)f->head[1] << 24 | (uint32_t)f->head[2] << 16 | (uint32_t)f->head[3] << 8 | f->head[4];
    if (length > FRAME_MAX_BYTES)
        return -1;
    if (f->head[0] != CHANNEL_STDOUT && f->head[0] != CHANNEL_STDERR && f->head[0] != CHANNEL_RESULT)
        return -1;
    f->left = length;
    return 0;
}

static bool payload_piece(struct stream_frames *f, struct str piece, stream_frame_fn *fn, void *arg)
{
    f->left -= piece.n;
    if (f->left == 0)
        f->head_bytes = 0;
    if (f->head[0] != CHANNEL_RESULT)
        return piece.n == 0 || fn(arg, f->head[0], piece, false);
    if (!f->result.max)
        f->result.max = RESULT_MAX_BYTES + 1;
    buf_add(&f->result, piece);
    return f->left > 0 || fn(arg, CHANNEL_RESULT, buf_str(&f->result), true);
}

int stream_frames_feed(struct stream_frames *f, struct str bytes, stream_frame_fn *fn, void *arg)
{
    while (bytes.n) {
        if (f->head_bytes < FRAME_HEAD_BYTES) {
            f->head[f->head_bytes++] = (unsigned char)bytes.p[0];
            bytes = str_from(bytes, 1);
            if (f->head_bytes < FRAME_HEAD_BYTES)
                continue;
            if (head_complete(f) < 0)
                return -1;
            if (f->left == 0 && !payload_piece(f, STR_NONE, fn, arg))
                return 0;
            continue;
        }
        struct str piece = str_part(bytes, 0, MIN(f->left, bytes.n));
        bytes = str_from(bytes, piece.n);
        if (!payload_piece(f, piece, fn, arg))
            return 0;
    }
    return 0;
}

void stream_frames_done(struct stream_frames *f)
{
    buf_done(&f->result);
}
