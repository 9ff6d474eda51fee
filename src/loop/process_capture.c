/* Run a child to its end: feed it, collect what it says up to a maximum, kill it at the deadline. */
#include "loop/process.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct process_capture {
    struct loop *loop;
    struct process *process;
    struct stream *in, *out[2]; /* stdin; stdout and stderr */
    struct buf text[2];
    struct process_result result;
    struct loop_timer deadline;
    struct loop_task failed_task;
    process_captured *done; /* NULL: cancelled */
    void *arg;
    struct error err;
    bool exited;
};

static void finish_when_over(struct process_capture *c)
{
    if (!c->exited || c->in || c->out[0] || c->out[1])
        return;
    loop_timer_stop(&c->deadline);
    c->result.out = buf_str(&c->text[0]);
    c->result.err_out = buf_str(&c->text[1]);
    if (c->done)
        c->done(c->arg, &c->result, c->err.code ? &c->err : NULL);
    buf_done(&c->text[0]);
    buf_done(&c->text[1]);
    error_done(&c->err);
    free(c);
}

static void on_exit_seen(struct process *p, struct process_exit how, void *arg)
{
    struct process_capture *c = arg;

    (void)p;
    c->process = NULL;
    c->exited = true;
    c->result.exit = how;
    stream_close(c->in);
    /* A grandchild may hold the pipes open for ever: what was written before the exit is there already. */
    loop_timer_start(&c->deadline, 100);
    finish_when_over(c);
}

static void on_output(struct stream *s, struct str bytes, void *arg)
{
    struct process_capture *c = arg;
    struct buf *to = &c->text[s == c->out[0] ? 0 : 1];
    size_t fit = MIN(bytes.n, to->max - to->n);

    buf_add(to, str_part(bytes, 0, fit));
    c->result.truncated |= fit < bytes.n;
}

static void on_stream_closed(struct stream *s, const struct error *err, void *arg)
{
    struct process_capture *c = arg;

    (void)err;
    if (s == c->in)
        c->in = NULL;
    if (s == c->out[0])
        c->out[0] = NULL;
    if (s == c->out[1])
        c->out[1] = NULL;
    finish_when_over(c);
}

static void ignore_input(struct stream *s, struct str bytes, void *arg)
{
    (void)s, (void)bytes, (void)arg;
}

static const struct stream_callbacks output_callbacks = { .on_read = on_output, .on_closed = on_stream_closed };
static const struct stream_callbacks input_callbacks = { .on_read = ignore_input, .on_closed = on_stream_closed };

static void on_deadline(void *arg)
{
    struct process_capture *c = arg;

    if (c->process) {
        fail(&c->err, ERR_TIMEOUT, "still running at its deadline, killed");
        process_kill(c->process, SIGKILL);
    }
    stream_close(c->in);
    stream_close(c->out[0]);
    stream_close(c->out[1]);
}

static void on_failed(void *arg)
{
    struct process_capture *c = arg;

    c->exited = true;
    c->result.exit.code = -1;
    finish_when_over(c);
}

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
}

static int start(struct process_capture *c, const struct process_options *o, struct str input, struct error *err)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err_out[2] = { -1, -1 };
    struct process_options with = *o;
    struct process_fd fds[PROCESS_FDS_MAX];
    bool sim = loop_is_sim(c->loop);

    if (o->fds_count + 3 > PROCESS_FDS_MAX)
        return fail(err, ERR_INTERNAL, "more than %d descriptors for a child", PROCESS_FDS_MAX);
    if (!sim && (process_pipe(in, err) < 0 || process_pipe(out, err) < 0 || process_pipe(err_out, err) < 0)) {
        close_pair(in);
        close_pair(out);
        close_pair(err_out);
        return -1;
    }
    for (size_t i = 0; i < o->fds_count; i++)
        fds[i] = o->fds[i];
    fds[o->fds_count] = (struct process_fd){ 0, in[0] };
    fds[o->fds_count + 1] = (struct process_fd){ 1, out[1] };
    fds[o->fds_count + 2] = (struct process_fd){ 2, err_out[1] };
    with.fds = fds;
    with.fds_count = o->fds_count + 3;
    c->process = process_spawn(c->loop, &with, on_exit_seen, c, err);
    if (!c->process || sim) {
        close_pair(in);
        close_pair(out);
        close_pair(err_out);
        return c->process ? 0 : -1;
    }
    close(in[0]);
    close(out[1]);
    close(err_out[1]);
    c->out[0] = stream_wrap(c->loop, out[0], NULL, &output_callbacks, c);
    c->out[1] = stream_wrap(c->loop, err_out[0], NULL, &output_callbacks, c);
    c->in = stream_wrap(c->loop, in[1], NULL, &input_callbacks, c);
    stream_pause(c->in);
    stream_write(c->in, input);
    stream_shutdown(c->in);
    return 0;
}

struct process_capture *process_capture(struct loop *loop, const struct process_options *o, struct str input,
                                        size_t output_max_bytes, int64_t timeout_ms, process_captured *done, void *arg)
{
    struct process_capture *c = xnew(struct process_capture);

    c->loop = loop;
    c->done = done;
    c->arg = arg;
    c->text[0].max = c->text[1].max = output_max_bytes;
    c->failed_task = (struct loop_task){ .fn = on_failed, .arg = c };
    loop_timer_init(&c->deadline, loop, on_deadline, c);
    loop_timer_start(&c->deadline, timeout_ms);
    if (start(c, o, input, &c->err) < 0)
        loop_defer(loop, &c->failed_task);
    return c;
}

void process_capture_cancel(struct process_capture *c)
{
    if (!c)
        return;
    c->done = NULL;
    on_deadline(c);
}

struct blocking_run {
    struct loop *loop;
    struct buf *out, *err_out;
    struct process_exit *exit;
    struct error *err;
    int result;
};

static void on_blocking_done(void *arg, const struct process_result *result, const struct error *err)
{
    struct blocking_run *b = arg;

    if (b->out)
        buf_add(b->out, result->out);
    if (b->err_out)
        buf_add(b->err_out, result->err_out);
    if (b->exit)
        *b->exit = result->exit;
    if (err)
        b->result = fail(b->err, err->code, "%s", error_text(err));
    loop_stop(b->loop);
}

int process_run(const struct process_options *o, struct str input, struct buf *ret_out, struct buf *ret_err,
                int64_t timeout_ms, struct process_exit *ret_exit, struct error *err)
{
    struct blocking_run b = {
        .loop = loop_new_system(env_system()), .out = ret_out, .err_out = ret_err, .exit = ret_exit, .err = err
    };
    size_t max = MAX(ret_out ? ret_out->max : 0, ret_err ? ret_err->max : 0);

    process_capture(b.loop, o, input, max, timeout_ms, on_blocking_done, &b);
    loop_run(b.loop);
    loop_free(b.loop);
    return b.result;
}
