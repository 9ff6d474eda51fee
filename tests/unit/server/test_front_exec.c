/* exec through a server: WebSocket and SPDY clients on one side, frames to an agent on the other. */
#include "front.h"

#include "kinds/fields.h"
#include "server/nodes.h"
#include "server/stream.h"
#include "transport/tunnel.h"
#include "wire/spdy.h"
#include "wire/websocket.h"

static struct front f;

/* --- an agent that echoes stdin to stdout and ends with an exit code when stdin ends ---------------------------------- */

struct agent {
    struct http_client *client;
    struct tunnel_agent *tunnel;
    char *target;
    struct channel *exec;
    struct buf frames; /* from the server, raw */
    bool closed;
    int refuse;  /* answer exec with this status */
    bool vanish; /* close in the middle instead of a result */
};
static struct agent agent;

#define RESULT                                                                                                         \
    "{\"metadata\":{},\"status\":\"Failure\",\"reason\":\"NonZeroExitCode\",\"message\":\"command terminated with "    \
    "exit code 3\","                                                                                                   \
    "\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"3\"}]}}"

static void agent_frame(unsigned char channel, struct str payload)
{
    AUTO_BUF struct buf out = BUF_MAX(MIB);
    if (channel == CHANNEL_STDIN) {
        stream_frames_add(&out, CHANNEL_STDOUT, payload);
        channel_write(agent.exec, buf_str(&out));
    } else if (channel == CHANNEL_RESIZE) {
        stream_frames_add(&out, CHANNEL_STDOUT, payload);
        channel_write(agent.exec, buf_str(&out));
    } else if (channel == CHANNEL_CLOSE && agent.vanish) {
        channel_close(agent.exec);
    } else if (channel == CHANNEL_CLOSE) {
        stream_frames_add(&out, CHANNEL_RESULT, STR(RESULT));
        channel_write(agent.exec, buf_str(&out));
        channel_shutdown(agent.exec);
    }
}

static void agent_read(UNUSED struct channel *c, struct str bytes, UNUSED void *arg)
{
    buf_add(&agent.frames, bytes);
    while (agent.frames.n >= FRAME_HEAD_BYTES) {
        const unsigned char *h = (const unsigned char *)agent.frames.p;
        size_t n = (size_t)h[1] << 24 | (size_t)h[2] << 16 | (size_t)h[3] << 8 | h[4];
        if (agent.frames.n < FRAME_HEAD_BYTES + n)
            return;
        agent_frame(h[0], str_part(buf_str(&agent.frames), FRAME_HEAD_BYTES, n));
        buf_drop(&agent.frames, FRAME_HEAD_BYTES + n);
    }
}

static void agent_eof(struct channel *c, UNUSED void *arg)
{
    channel_close(c);
}

static void agent_closed(UNUSED struct channel *c, UNUSED const struct error *err, UNUSED void *arg)
{
    agent.exec = NULL;
    agent.closed = true;
}

static void status_gone(struct http_exchange *x, UNUSED void *user)
{
    http_exchange_abort(x);
}

static void agent_handler(struct http_exchange *x, UNUSED void *arg)
{
    static const struct http_exchange_callbacks gone = { .on_gone = status_gone };
    static const struct channel_callbacks callbacks = { .on_read = agent_read,
                                                        .on_eof = agent_eof,
                                                        .on_closed = agent_closed };
    static const struct http_header type = { STR_INIT("content-type"), STR_INIT("application/vnd.klein.frames") };
    struct http_response head = { .status = 200, .headers = &type, .headers_count = 1 };
    if (str_is(x->request->target, "/status-stream")) {
        http_exchange_set_callbacks(x, &gone, NULL);
        http_exchange_start(x, &head);
        return;
    }
    free(agent.target);
    agent.target = str_dup(x->request->target);
    if (agent.refuse) {
        http_exchange_respond_bytes(x, agent.refuse, STR("application/json"),
                                    STR("{\"kind\":\"Status\",\"message\":\"no such process\"}"));
        return;
    }
    agent.exec = http_exchange_channel(x, &head);
    channel_set_callbacks(agent.exec, &callbacks, NULL);
}

static void start(void)
{
    struct str nodes = STR("system:nodes");
    struct http_peer peer = {
        .certificate = true, .common_name = STR("system:node:a"), .organizations = &nodes, .organizations_count = 1
    };
    front_start(&f, NULL);
    agent = (struct agent){ .frames = BUF_MAX(MIB) };
    agent.client = http_client_new_local(f.loop, server_handler, f.server, &peer);
    agent.tunnel =
        tunnel_agent_new(agent.client, &(struct tunnel_agent_options){ .path = STR("/klein/v1/nodes/a/tunnel") },
                         agent_handler, NULL, NULL, NULL);
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"default\"}}"),
              &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},\"spec\":{"
                           "\"nodeName\":\"a\",\"containers\":"
                           "[{\"name\":\"c\",\"image\":\"i\"}]}}"),
              &f.err);
    front_pass(&f, 100);
}

/* --- a client --------------------------------------------------------------------------------------------------------- */

struct client {
    struct http_client *http;
    struct channel *channel;
    int status;
    struct buf refusal, out, result;
    struct str protocol;
    char protocol_text[64];
    bool ended, done;
    struct websocket *ws;
    struct spdy *spdy;
    uint32_t error_id, stdin_id, stdout_id, resize_id;
    int message_channel;
};
static struct client user;

static void user_flush(void)
{
    struct buf *output = user.ws ? ws_output(user.ws) : spdy_output(user.spdy);
    if (user.channel && output->n)
        channel_write(user.channel, buf_str(output));
    buf_clear(output);
}

static void user_read(UNUSED struct channel *c, struct str bytes, UNUSED void *arg)
{
    AUTO_ERROR struct error err = { 0 };
    int rc = user.ws ? ws_feed(user.ws, bytes, &err) : spdy_feed(user.spdy, bytes, &err);
    if (rc < 0)
        FAIL("the server broke the protocol: %s", error_text(&err));
    user_flush();
}

static void user_closed(UNUSED struct channel *c, UNUSED const struct error *err, UNUSED void *arg)
{
    user.channel = NULL;
    user.ended = true;
}

static void on_message(UNUSED struct websocket *ws, UNUSED bool text, struct str bytes, bool first, UNUSED bool last,
                       UNUSED void *arg)
{
    if (first) {
        user.message_channel = bytes.p[0];
        bytes = str_from(bytes, 1);
    }
    buf_add(user.message_channel == CHANNEL_RESULT ? &user.result : &user.out, bytes);
}

static void on_data(struct spdy *s, uint32_t id, struct str bytes, UNUSED bool fin, UNUSED void *arg)
{
    buf_add(id == user.error_id ? &user.result : &user.out, bytes);
    spdy_consume(s, id, bytes.n);
}

static void on_upgraded(UNUSED struct http_call *call, const struct http_response *head, struct channel *channel,
                        UNUSED void *arg)
{
    static const struct channel_callbacks callbacks = { .on_read = user_read, .on_closed = user_closed };
    struct str protocol =
        http_response_header(head, user.ws ? STR("sec-websocket-protocol") : STR("x-stream-protocol-version"));
    user.status = head->status;
    user.protocol = (struct str){ user.protocol_text, MIN(protocol.n, sizeof(user.protocol_text)) };
    memcpy(user.protocol_text, protocol.n ? protocol.p : "", user.protocol.n);
    user.channel = channel;
    channel_set_callbacks(channel, &callbacks, NULL);
}

static void on_head(UNUSED struct http_call *call, const struct http_response *head, UNUSED void *arg)
{
    user.status = head->status;
}

static void on_body(UNUSED struct http_call *call, struct str bytes, UNUSED void *arg)
{
    buf_add(&user.refusal, bytes);
}

static void on_done(UNUSED struct http_call *call, UNUSED const struct error *err, UNUSED void *arg)
{
    user.done = true;
}

static void connect_user(const char *upgrade, const char *query, const struct http_header *headers, size_t count)
{
    static const struct http_call_callbacks callbacks = {
        .on_head = on_head, .on_body = on_body, .on_upgraded = on_upgraded, .on_done = on_done
    };
    struct str group = STR("system:masters");
    struct http_peer peer = {
        .certificate = true, .common_name = STR("root"), .organizations = &group, .organizations_count = 1
    };
    AUTO_FREE char *target = xasprintf("/api/v1/namespaces/default/pods/p/exec?%s", query);
    user.refusal = user.out = user.result = (struct buf)BUF_MAX(MIB);
    user.http = http_client_new_local(f.loop, server_handler, f.server, &peer);
    http_client_call(user.http,
                     &(struct http_call_request){ .method = user.ws ? STR("GET") : STR("POST"),
                                                  .target = str_of(target),
                                                  .headers = headers,
                                                  .headers_count = count,
                                                  .upgrade = str_of(upgrade) },
                     &callbacks, NULL);
    front_pass(&f, 100);
}

static void connect_websocket(const char *query, const char *protocols)
{
    static const struct ws_callbacks callbacks = { .on_message = on_message };
    char key[25];
    user = (struct client){ 0 };
    user.ws = ws_new(WS_CLIENT, NULL, &callbacks, NULL, &f.sim.env);
    ws_random_key(&f.sim.env, key);
    struct http_header headers[] = { { STR("sec-websocket-key"), str_of(key) },
                                     { STR("sec-websocket-version"), STR("13") },
                                     { STR("sec-websocket-protocol"), str_of(protocols) } };
    connect_user("websocket", query, headers, 3);
}

static void connect_spdy(const char *query)
{
    static const struct spdy_callbacks callbacks = { .on_data = on_data };
    struct http_header headers[] = { { STR("x-stream-protocol-version"), STR("v4.channel.k8s.io") },
                                     { STR("x-stream-protocol-version"), STR("v3.channel.k8s.io") } };
    user = (struct client){ 0 };
    user.spdy = spdy_new(SPDY_CLIENT, NULL, &callbacks, NULL);
    connect_user("SPDY/3.1", query, headers, 2);
}

static uint32_t open_stream(const char *type)
{
    struct http_header header = { STR("streamtype"), str_of(type) };
    uint32_t id = spdy_open(user.spdy, &header, 1, false);
    user_flush();
    return id;
}

static void send_message(unsigned char channel, struct str bytes)
{
    ws_send_parts(user.ws, false, (struct str){ (const char *)&channel, 1 }, bytes);
    user_flush();
    front_pass(&f, 50);
}

static void stop(void)
{
    if (user.channel)
        channel_close(user.channel);
    front_pass(&f, 50);
    ws_free(user.ws);
    spdy_free(user.spdy);
    http_client_free(user.http);
    buf_done(&user.refusal);
    buf_done(&user.out);
    buf_done(&user.result);
    tunnel_agent_free(agent.tunnel);
    front_pass(&f, 50);
    http_client_free(agent.client);
    buf_done(&agent.frames);
    free(agent.target);
    front_pass(&f, 50);
    front_stop(&f);
}

/* --- sentences --------------------------------------------------------------------------------------------------------- */

TEST("exec over WebSocket carries stdin, stdout, the end of stdin and the exit code")
{
    start();
    connect_websocket("command=cat&command=-n&stdin=true&stdout=true", "v5.channel.k8s.io");
    ASSERT_INT(user.status, 101);
    ASSERT_STR(user.protocol, "v5.channel.k8s.io");
    ASSERT_CONTAINS(agent.target, "/exec/default/p/c?uid=");
    ASSERT_CONTAINS(agent.target, "&command=cat&command=-n&stdin=true&stdout=true");
    send_message(CHANNEL_STDIN, STR("hello"));
    ASSERT_STR(user.out, "hello");
    send_message(CHANNEL_CLOSE, (struct str){ "\0", 1 });
    ASSERT_STR(user.result, RESULT);
    front_pass(&f, 100);
    ASSERT(agent.closed);
    stop();
}

TEST("exec over SPDY carries stdin, stdout, the end of stdin and the exit code")
{
    start();
    connect_spdy("command=cat&stdin=true&stdout=true");
    ASSERT_INT(user.status, 101);
    ASSERT_STR(user.protocol, "v4.channel.k8s.io");
    user.error_id = open_stream("error");
    user.stdin_id = open_stream("stdin");
    user.stdout_id = open_stream("stdout");
    spdy_data(user.spdy, user.stdin_id, STR("hello"), false);
    user_flush();
    front_pass(&f, 100);
    ASSERT_STR(user.out, "hello");
    spdy_data(user.spdy, user.stdin_id, STR_NONE, true);
    user_flush();
    front_pass(&f, 100);
    ASSERT_STR(user.result, RESULT);
    front_pass(&f, 6000);
    ASSERT(agent.closed);
    stop();
}

TEST("a terminal's size reaches the agent whole, however it was cut")
{
    start();
    connect_spdy("command=sh&stdin=true&stdout=true&stderr=true&tty=true");
    user.error_id = open_stream("error");
    user.stdin_id = open_stream("stdin");
    user.stdout_id = open_stream("stdout");
    user.resize_id = open_stream("resize");
    ASSERT(!str_contains(str_of(agent.target), STR("stderr")));
    spdy_data(user.spdy, user.resize_id, STR("{\"Width\":80,"), false);
    spdy_data(user.spdy, user.resize_id, STR("\"Height\":24}\n"), false);
    user_flush();
    front_pass(&f, 100);
    ASSERT_STR(user.out, "{\"Width\":80,\"Height\":24}");
    stop();
}

TEST("output waits until the client has opened its streams")
{
    start();
    connect_spdy("command=cat&stdin=true&stdout=true");
    user.error_id = open_stream("error");
    user.stdin_id = open_stream("stdin");
    spdy_data(user.spdy, user.stdin_id, STR("early"), false);
    user_flush();
    front_pass(&f, 100);
    ASSERT_STR(user.out, "");
    user.stdout_id = open_stream("stdout");
    front_pass(&f, 100);
    ASSERT_STR(user.out, "early");
    stop();
}

TEST("a client that never opens its streams is dropped")
{
    start();
    connect_spdy("command=cat&stdin=true&stdout=true");
    front_pass(&f, 40000);
    ASSERT(user.ended);
    ASSERT(agent.closed);
    stop();
}

TEST("when the agent refuses, the client gets its answer and no tunnel stays open")
{
    start();
    agent.refuse = 404;
    connect_websocket("command=cat&stdout=true", "v4.channel.k8s.io");
    ASSERT_INT(user.status, 404);
    ASSERT(!user.channel);
    ASSERT_CONTAINS(user.refusal, "no such process");
    stop();
}

TEST("a WebSocket that offers no protocol known here is refused before it is upgraded")
{
    start();
    connect_websocket("command=cat&stdout=true", "v9.example.org");
    ASSERT_INT(user.status, 400);
    ASSERT(!user.channel);
    front_pass(&f, 100);
    ASSERT(agent.closed);
    stop();
}

TEST("a client that leaves ends the process")
{
    start();
    connect_websocket("command=cat&stdin=true&stdout=true", "v4.channel.k8s.io");
    ASSERT(agent.exec);
    channel_close(user.channel);
    front_pass(&f, 200);
    ASSERT(agent.closed);
    stop();
}

TEST("an agent that vanishes in the middle is an error, not a success")
{
    start();
    agent.vanish = true;
    connect_websocket("command=cat&stdin=true&stdout=true", "v5.channel.k8s.io");
    send_message(CHANNEL_CLOSE, (struct str){ "\0", 1 });
    front_pass(&f, 200);
    ASSERT_CONTAINS(user.result, "\"status\":\"Failure\"");
    ASSERT_CONTAINS(user.result, "the connection to the node was lost");
    stop();
}

TEST("exec needs a command and at least one stream")
{
    start();
    connect_websocket("stdout=true", "v4.channel.k8s.io");
    ASSERT_INT(user.status, 400);
    stop();
    start();
    connect_websocket("command=ls", "v4.channel.k8s.io");
    ASSERT_INT(user.status, 400);
    stop();
}
