/* Two channels joined: bytes both ways, with back-pressure and half close. */
#include "transport/channel_internal.h"

#include <stdlib.h>

#define LAST_BYTES_MS 5000 /* for what is queued when the other side has gone */

struct join {
    struct channel *side[2];
    bool ended[2];
    loop_fn *done;
    void *arg;
};

static int side_of(const struct join *j, const struct channel *c)
{
    return c == j->side[0] ? 0 : 1;
}

static void on_read(struct channel *c, struct str bytes, void *arg)
{
    struct join *j = arg;
    struct channel *to = j->side[!side_of(j, c)];

    if (to && !channel_write(to, bytes))
        channel_pause(c);
}

static void on_drained(struct channel *c, void *arg)
{
    struct join *j = arg;
    struct channel *from = j->side[!side_of(j, c)];

    if (from)
        channel_resume(from);
}

static void on_eof(struct channel *c, void *arg)
{
    struct join *j = arg;
    int i = side_of(j, c);

    j->ended[i] = true;
    if (j->side[!i])
        channel_shutdown(j->side[!i]);
    if (j->ended[0] && j->ended[1])
        for (i = 0; i < 2; i++)
            if (j->side[i])
                channel_close_after_write(j->side[i], LAST_BYTES_MS);
}

static void on_closed(struct channel *c, const struct error *err, void *arg)
{
    struct join *j = arg;
    int i = side_of(j, c);

    (void)err;
    j->side[i] = NULL;
    if (j->side[!i]) {
        channel_close_after_write(j->side[!i], LAST_BYTES_MS);
        return;
    }
    if (j->done)
        j->done(j->arg);
    free(j);
}

static const struct channel_callbacks callbacks = {
    .on_read = on_read, .on_eof = on_eof, .on_drained = on_drained, .on_closed = on_closed
};

void channel_join(struct channel *a, struct channel *b, loop_fn *done, void *arg)
{
    struct join *j = xnew(struct join);

    *j = (struct join){ .side = { a, b }, .done = done, .arg = arg };
    channel_set_callbacks(a, &callbacks, j);
    channel_set_callbacks(b, &callbacks, j);
}
