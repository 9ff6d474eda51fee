/*
 * pods/exec and pods/attach: a session between a client (SPDY or WebSocket) and a container (frames to its agent).
 *
 *     handler -> call to the agent -> its 200 -> upgrade of the client -> the client opens its streams -> bytes both ways -> result
 *
 * Output waits at the agent until the client is ready. The session ends when the result was sent, or either side is gone.
 */
#define LOG_PART "server"
#include "server/stream.h"

#include "base/codec.h"
#include "base/log.h"

#include <stdlib.h>

#define REFUSAL_MAX_BYTES (64 * KIB)
#define OPEN_TIMEOUT_MS   30000 /* upstream: DefaultStreamCreationTimeout */
#define CLOSE_TIMEOUT_MS  5000
#define COMMANDS_MAX      4096

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* Frees once nothing holds the session any more. */
static void exec_release(struct exec_session *e)
{
    if (e->exchange || e->call || e->client || e->agent)
        return;
    loop_timer_stop(&e->deadline);
    if (e->front_data)
        e->front->done(e);
    stream_frames_done(&e->frames);
    buf_done(&e->refusal);
    free(e);
}

/* Let go of the agent: its end kills the process. */
static void drop_agent(struct exec_session *e)
{
    if (e->agent)
        channel_close(e->agent);
}

void exec_fail(struct exec_session *e)
{
    e->finished = true;
    drop_agent(e);
    if (e->client)
        channel_close_after_write(e->client, CLOSE_TIMEOUT_MS);
}

static void send_result(struct exec_session *e, struct str status)
{
    if (e->finished || !e->client)
        return;
    e->finished = true;
    e->front->result(e, status);
    channel_close_after_write(e->client, CLOSE_TIMEOUT_MS);
}

/* --- the client's side -------------------------------------------------------------------------------------------- */

void exec_to_client(struct exec_session *e, struct buf *output)
{
    if (e->client && output->n && !channel_write(e->client, buf_str(output)) && !e->client_full) {
        e->client_full = true;
        if (e->agent)
            channel_pause(e->agent);
    }
    buf_clear(output);
}

static void client_read(UNUSED struct channel *c, struct str bytes, void *arg)
{
    struct exec_session *e = arg;
    if (!e->finished)
        e->front->received(e, bytes);
}

static void client_drained(UNUSED struct channel *c, void *arg)
{
    struct exec_session *e = arg;
    e->client_full = false;
    if (e->agent && e->ready)
        channel_resume(e->agent);
}

static void client_closed(UNUSED struct channel *c, UNUSED const struct error *err, void *arg)
{
    struct exec_session *e = arg;
    e->client = NULL;
    e->finished = true;
    drop_agent(e);
    exec_release(e);
}

void exec_ready(struct exec_session *e)
{
    if (e->ready)
        return;
    e->ready = true;
    loop_timer_stop(&e->deadline);
    if (e->agent && !e->client_full)
        channel_resume(e->agent);
}

static void open_timeout(void *arg)
{
    struct exec_session *e = arg;
    log_debug("exec: the client did not open its streams in time");
    exec_fail(e);
}

/* --- the agent's side --------------------------------------------------------------------------------------------- */

void exec_to_agent(struct exec_session *e, enum stream_channel channel, struct str bytes)
{
    AUTO_BUF struct buf frames = BUF_MAX(64 * MIB);
    if (!e->agent || e->finished)
        return;
    stream_frames_add(&frames, channel, bytes);
    if (!channel_write(e->agent, buf_str(&frames)) && !e->agent_full) {
        e->agent_full = true;
        if (e->client)
            channel_pause(e->client);
    }
}

static bool agent_frame(void *arg, enum stream_channel channel, struct str payload, bool last)
{
    struct exec_session *e = arg;
    if (channel != CHANNEL_RESULT)
        e->front->send(e, channel, payload);
    else if (last)
        send_result(e, payload);
    return !e->finished;
}

static void agent_read(UNUSED struct channel *c, struct str bytes, void *arg)
{
    struct exec_session *e = arg;
    if (!e->finished && stream_frames_feed(&e->frames, bytes, agent_frame, e) < 0) {
        log_warn("exec: the node broke the protocol of frames");
        exec_fail(e);
    }
}

static void agent_drained(UNUSED struct channel *c, void *arg)
{
    struct exec_session *e = arg;
    e->agent_full = false;
    if (e->client)
        channel_resume(e->client);
}

static void agent_closed(UNUSED struct channel *c, UNUSED const struct error *err, void *arg)
{
    struct exec_session *e = arg;
    e->agent = NULL;
    /* Without a result before: the node or its container's monitor went away in the middle. */
    send_result(e, STR("{\"metadata\":{},\"status\":\"Failure\",\"message\":\"the connection to the node was lost\","
                       "\"reason\":\"InternalError\",\"code\":500}"));
    exec_release(e);
}

/* The agent said yes: now, and only now, the client is upgraded (CVE-2018-1002105). */
static void upgrade(struct exec_session *e)
{
    static const struct channel_callbacks client_callbacks = { .on_read = client_read,
                                                               .on_drained = client_drained,
                                                               .on_closed = client_closed };
    static const struct channel_callbacks agent_callbacks = { .on_read = agent_read,
                                                              .on_drained = agent_drained,
                                                              .on_closed = agent_closed };
    e->agent = http_call_channel(e->call);
    channel_set_callbacks(e->agent, &agent_callbacks, e);
    channel_pause(e->agent);
    e->client = e->front->upgrade(e, e->exchange);
    if (!e->client) {
        stream_respond_agent(TAKE(e->exchange), 400, STR("text/plain"), STR("Upgrade request required\n"));
        drop_agent(e);
        return;
    }
    e->exchange = NULL;
    channel_set_callbacks(e->client, &client_callbacks, e);
    loop_timer_start(&e->deadline, OPEN_TIMEOUT_MS);
    if (e->front->started)
        e->front->started(e);
}

static void call_head(struct http_call *call, const struct http_response *head, void *arg)
{
    struct exec_session *e = arg;
    e->refusal_status = head->status;
    if (head->status == 200)
        upgrade(e);
    else
        http_call_end(call);
}

static void call_body(UNUSED struct http_call *call, struct str bytes, void *arg)
{
    struct exec_session *e = arg;
    buf_add(&e->refusal, bytes);
}

static void call_done(UNUSED struct http_call *call, const struct error *err, void *arg)
{
    struct exec_session *e = arg;
    e->call = NULL;
    if (e->exchange && !err && e->refusal_status) {
        stream_respond_agent(TAKE(e->exchange), e->refusal_status, STR("application/json"), buf_str(&e->refusal));
    } else if (e->exchange) {
        AUTO_ERROR struct error why = { 0 };
        fail(&why, ERR_UNAVAILABLE, "the node did not answer: %s", error_text(err));
        stream_respond_error(TAKE(e->exchange), &why);
    }
    exec_release(e);
}

static void exchange_gone(struct http_exchange *x, void *user)
{
    struct exec_session *e = user;
    e->exchange = NULL;
    http_exchange_abort(x);
    if (e->call)
        http_call_cancel(TAKE(e->call));
    exec_release(e);
}

/* --- the handlers ------------------------------------------------------------------------------------------------- */

static const struct exec_front *front_of(struct request *r)
{
    struct str upgrade = request_header(r, "upgrade");
    if (!r->exchange || !r->exchange->request->upgrade)
        return NULL;
    if (str_eq_nocase(upgrade, STR("websocket")))
        return &exec_front_websocket;
    return str_eq_nocase(upgrade, STR("SPDY/3.1")) ? &exec_front_spdy : NULL;
}

/* Appends the commands in their order; -1 when there are too many. */
static int add_commands(struct request *r, struct buf *path, size_t *ret_count)
{
    struct str query = r->exchange->request->query, name, value;
    *ret_count = 0;
    while (http_query_next(&query, &r->arena, &name, &value)) {
        if (!str_is(name, "command"))
            continue;
        buf_add_text(path, "&command=");
        percent_encode(path, value);
        if (++*ret_count > COMMANDS_MAX)
            return fail(&r->err, ERR_BAD_REQUEST, "too many command arguments");
    }
    return 0;
}

static void add_flag(struct buf *path, const char *name, bool on)
{
    if (on)
        stream_add_query(path, name, STR("true"));
}

static int make_path(struct request *r, const char *verb, const struct stream_target *target,
                     const struct exec_options *o, struct buf *path)
{
    size_t commands;
    stream_path(path, verb, target);
    if (!strcmp(verb, "exec")) {
        if (add_commands(r, path, &commands) < 0)
            return -1;
        if (!commands)
            return fail(&r->err, ERR_BAD_REQUEST, "you must specify a command for the container");
    }
    add_flag(path, "stdin", o->stdin_);
    add_flag(path, "stdout", o->stdout_);
    add_flag(path, "stderr", o->stderr_);
    add_flag(path, "tty", o->tty);
    return path->full ? fail(&r->err, ERR_TOO_LARGE, "the command is too long") : 0;
}

static enum phase_result start(struct request *r, const char *verb)
{
    static const struct http_call_callbacks call_callbacks = { .on_head = call_head,
                                                               .on_body = call_body,
                                                               .on_done = call_done };
    static const struct http_exchange_callbacks exchange_callbacks = { .on_gone = exchange_gone };
    AUTO_BUF struct buf path = BUF_MAX(128 * KIB);
    struct stream_target target = { 0 };
    struct exec_options o = { .stdin_ = stream_query_bool(r, "stdin"),
                              .stdout_ = stream_query_bool(r, "stdout"),
                              .stderr_ = stream_query_bool(r, "stderr"),
                              .tty = stream_query_bool(r, "tty") };
    const struct exec_front *front = front_of(r);
    if (!front)
        return request_fail(r, ERR_BAD_REQUEST, "Upgrade request required");
    if (o.tty)
        o.stderr_ = false; /* upstream: a terminal has one output */
    if (!o.stdin_ && !o.stdout_ && !o.stderr_)
        return request_fail(r, ERR_BAD_REQUEST, "you must specify at least 1 of stdin, stdout, stderr");
    if (stream_find_container(r, stream_query(r, "container"), &target, &r->err) < 0 ||
        make_path(r, verb, &target, &o, &path) < 0)
        return PHASE_FAILED;
    struct exec_session *e = xnew(struct exec_session);
    e->front = front;
    e->options = o;
    e->env = server_env(r->server);
    e->loop = server_loop(r->server);
    e->exchange = TAKE(r->exchange);
    e->refusal = (struct buf)BUF_MAX(REFUSAL_MAX_BYTES);
    loop_timer_init(&e->deadline, e->loop, open_timeout, e);
    http_exchange_set_callbacks(e->exchange, &exchange_callbacks, e);
    e->call = http_client_call(
        target.agent,
        &(struct http_call_request){ .method = STR("POST"), .target = buf_str(&path), .stream_body = true },
        &call_callbacks, e);
    return PHASE_ANSWERED;
}

enum phase_result stream_exec(struct request *r)
{
    return start(r, "exec");
}

enum phase_result stream_attach(struct request *r)
{
    return start(r, "attach");
}
