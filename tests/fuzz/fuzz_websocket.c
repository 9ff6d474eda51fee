/* WebSocket, both roles: the same input, whole and in pieces, gives the same messages and the same answer. */
#include "wire/websocket.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_message(struct websocket *ws, bool text, struct str bytes, bool first, bool last, void *arg)
{
    (void)ws;
    if (first)
        buf_add_text(arg, text ? "t(" : "b(");
    buf_add(arg, bytes);
    if (last)
        buf_add_text(arg, ")");
}

static void on_pong(struct websocket *ws, struct str payload, void *arg)
{
    (void)ws;
    buf_add(arg, payload);
}

static void on_close(struct websocket *ws, uint16_t code, struct str reason, void *arg)
{
    (void)ws;
    buf_addf(arg, "close %u %.*s", code, STR_ARG(reason));
}

static const struct ws_callbacks callbacks = { on_message, on_pong, on_close };

static int parse(enum ws_role role, struct str input, size_t piece, struct buf *seen)
{
    struct env_sim sim;
    struct websocket *ws;
    int r = 0;

    env_sim_init(&sim, 1, 0);
    ws = ws_new(role, &(struct ws_options){ .message_max_bytes = 100000 }, &callbacks, seen, &sim.env);
    for (size_t at = 0; at < input.n && r == 0; at += piece)
        r = ws_feed(ws, str_part(input, at, piece), NULL);
    buf_addf(seen, " state %d output ", ws_state(ws));
    buf_add(seen, buf_str(ws_output(ws)));
    ws_free(ws);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = { (const char *)data, size };
    char accept[WS_ACCEPT_SIZE];

    ws_accept_key(input, accept);
    for (int role = WS_SERVER; role <= WS_CLIENT; role++) {
        AUTO_BUF struct buf whole = BUF_MAX(8 * MIB), cut = BUF_MAX(8 * MIB);
        int a = parse(role, input, size ? size : 1, &whole), b = parse(role, input, 1, &cut);

        if (a != b || (a == 0 && !str_eq(buf_str(&whole), buf_str(&cut))))
            abort();
    }
    return 0;
}
