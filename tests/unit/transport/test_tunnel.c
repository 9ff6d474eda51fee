/* Tunnels: the server calls the agent over the agent's own connection; silence is noticed on both ends. */
#include "http_test.h"
#include "loop/sim.h"
#include "transport/tunnel.h"

static struct {
    struct tunnel *tunnel;
    struct tunnel_agent *agent;
    bool accepted, closed, silent, alive, up, down;
    int ups;
    int64_t silent_ms;
    char down_text[200];
    int refuse_with;
    enum error_code down_code;
} t;

static void on_silent(struct tunnel *tunnel, int64_t ms, void *arg)
{
    (void)tunnel, (void)arg;
    t.silent = true;
    t.silent_ms = ms;
}

static void on_alive(struct tunnel *tunnel, void *arg)
{
    (void)tunnel, (void)arg;
    t.alive = true;
}

static void on_closed(struct tunnel *tunnel, const struct error *err, void *arg)
{
    (void)tunnel, (void)err, (void)arg;
    t.tunnel = NULL;
    t.closed = true;
}

static const struct tunnel_callbacks tunnel_callbacks = { on_silent, on_alive, on_closed };

static void server_handler(struct http_exchange *x, void *arg)
{
    (void)arg;
    if (t.refuse_with) {
        http_exchange_respond_bytes(x, t.refuse_with, STR("text/plain"), STR("no"));
        return;
    }
    t.tunnel = tunnel_accept(x, NULL, &tunnel_callbacks, NULL);
    t.accepted = t.tunnel != NULL;
    if (!t.tunnel)
        http_exchange_respond_bytes(x, 400, STR("text/plain"), STR("no tunnel"));
}

static void on_up(struct tunnel_agent *agent, void *arg)
{
    (void)agent, (void)arg;
    t.up = true;
    t.ups++;
}

static void on_down(struct tunnel_agent *agent, const struct error *err, void *arg)
{
    (void)agent, (void)arg;
    t.down = true;
    t.down_code = err->code;
}

static const struct tunnel_agent_callbacks agent_callbacks = { on_up, on_down };

static void begin(struct fixture *f)
{
    memset(&t, 0, sizeof(t));
    t.agent = tunnel_agent_new(f->client, &(struct tunnel_agent_options){ .path = STR("/tunnel") }, fixture_handler,
                               NULL, &agent_callbacks, NULL);
}

static void end(struct fixture *f)
{
    tunnel_agent_free(t.agent);
    if (t.tunnel)
        RUN_UNTIL(f->loop, t.closed);
}

#define EACH_TUNNEL_WAY(f)                                                                                             \
    for (int way_ = 0; way_ < WAYS; way_++)                                                                            \
        for (struct fixture *f = fixture_new(way_, NULL, server_handler); f; fixture_free(f), f = NULL)

TEST("the server calls the agent over every way the agent can come")
{
    EACH_TUNNEL_WAY(f)
    {
        struct answer a = { 0 };
        struct http_client *direct = f->client;

        begin(f);
        RUN_UNTIL(f->loop, t.up);
        RUN_UNTIL(f->loop, t.accepted);
        ASSERT(tunnel_agent_is_up(t.agent));
        f->client = tunnel_client(t.tunnel);
        for (int i = 0; i < 20; i++) {
            fetch(f, "POST", "/echo", STR("through the tunnel"), &a);
            ASSERT_STR(a.message, "");
            ASSERT_STR(a.body, "through the tunnel");
        }
        fetch(f, "GET", "/big?5000000", STR_NONE, &a);
        ASSERT_INT(a.body.n, 5000000);
        f->client = direct;
        answer_done(&a);
        end(f);
    }
}

TEST("without an upgrade there is no tunnel")
{
    EACH_TUNNEL_WAY(f)
    {
        struct answer a = { 0 };

        fetch(f, "GET", "/tunnel", STR_NONE, &a);
        ASSERT_INT(a.status, 400);
        answer_done(&a);
    }
}

TEST("a tunnel that ends is dialled again")
{
    EACH_TUNNEL_WAY(f)
    {
        begin(f);
        RUN_UNTIL(f->loop, t.accepted);
        RUN_UNTIL(f->loop, t.up);
        t.up = t.accepted = false;
        tunnel_close(t.tunnel);
        RUN_UNTIL(f->loop, t.closed);
        RUN_UNTIL(f->loop, t.down);
        RUN_UNTIL(f->loop, t.up);
        RUN_UNTIL(f->loop, t.accepted);
        t.closed = false;
        end(f);
    }
}

TEST("an agent that is refused hears why and tries again")
{
    EACH_TUNNEL_WAY(f)
    {
        begin(f);
        t.refuse_with = 401;
        RUN_UNTIL(f->loop, t.down);
        ASSERT_INT(t.down_code, ERR_UNAUTHORIZED);
        t.refuse_with = 0;
        RUN_UNTIL(f->loop, t.up);
        RUN_UNTIL(f->loop, t.accepted);
        end(f);
    }
}

TEST("both bodies stream over a tunnel, and the handler hears when the caller leaves")
{
    EACH_TUNNEL_WAY(f)
    {
        struct answer a = { 0 };

        begin(f);
        RUN_UNTIL(f->loop, t.accepted);
        state.any_gone = false;
        struct http_call *call = http_client_fetch(
            tunnel_client(t.tunnel), &(struct http_call_request){ .method = STR("GET"), .target = STR("/never") }, 100,
            NULL, &a);
        bool reached = false;

        while (!state.held)
            run_until(f->loop, run_until_flag, &reached, 2);
        http_call_cancel(call);
        RUN_UNTIL(f->loop, state.any_gone);
        end(f);
    }
}

TEST("a pause of our own makes nobody silent")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, server_handler);

    begin(f);
    RUN_UNTIL(f->loop, t.accepted);
    RUN_UNTIL(f->loop, t.up);
    loop_sim_advance(f->loop, 1000);
    env_sim_advance(&f->sim, 60000); /* time passes while nothing runs */
    loop_sim_advance(f->loop, 3000);
    ASSERT(!t.silent && !t.down && !t.closed);
    end(f);
    fixture_free(f);
}

TEST("silence is told while it lasts, then life; a long silence closes both ends")
{
    struct fixture *f = fixture_new(WAY_SIM, NULL, server_handler);
    char text[ADDRESS_TEXT_SIZE];

    begin(f);
    RUN_UNTIL(f->loop, t.accepted);
    RUN_UNTIL(f->loop, t.up);
    loop_sim_advance(f->loop, 10000);
    ASSERT(!t.silent && !t.down);
    address_format(&f->bound, text);
    loop_sim_cut(f->loop, STR(""), str_of(text)); /* what the agent sends does not arrive */
    loop_sim_advance(f->loop, 900);
    ASSERT(!t.silent);
    loop_sim_advance(f->loop, 500);
    ASSERT(t.silent);
    ASSERT(t.silent_ms >= 1000 && t.silent_ms < 1600);
    loop_sim_heal(f->loop, STR(""), str_of(text));
    loop_sim_advance(f->loop, 300);
    ASSERT(t.alive);
    ASSERT(!t.down);
    loop_sim_cut(f->loop, str_of(text), STR("")); /* what the server sends does not arrive */
    loop_sim_advance(f->loop, 5000);
    ASSERT(t.down);
    loop_sim_heal(f->loop, str_of(text), STR(""));
    t.up = false;
    RUN_UNTIL(f->loop, t.up);
    t.closed = false;
    end(f);
    fixture_free(f);
}
