/* Requests in flight are bounded, and shared fairly between clients. */
#include "world.h"

#define SECRETS "/api/v1/namespaces/default/secrets"

struct shot {
    int status;
    bool done;
};

static void on_answer(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct shot *s = arg;
    (void)body;
    (void)err;
    s->done = true;
    s->status = head ? head->status : -1;
}

static struct http_client *client_of(struct world *w, const char *user)
{
    struct http_peer peer = { .certificate = true, .common_name = str_of(user) };
    return http_client_new_local(w->loop, server_handler, w->server, &peer);
}

static void shoot(struct http_client *c, struct shot *s, int i)
{
    AUTO_FREE char *body = xasprintf("{\"metadata\":{\"name\":\"s%d\"}}", i);
    static const struct http_header json = { STR_INIT("content-type"), STR_INIT("application/json") };
    struct http_call_request request = {
        .method = STR("POST"), .target = STR(SECRETS), .headers = &json, .headers_count = 1, .body = str_of(body)
    };
    http_client_fetch(c, &request, MIB, on_answer, s);
}

TEST("writes beyond the limit wait their turn and all succeed when the store is quick")
{
    struct world w;
    struct shot shots[40] = { 0 };
    world_start_with(&w, &(struct server_config){ .mutating_requests_max = 4, .allow_all = true });
    struct http_client *c = client_of(&w, "busy");
    for (int i = 0; i < 40; i++)
        shoot(c, &shots[i], i);
    world_advance(&w, 500);
    for (int i = 0; i < 40; i++)
        ASSERT_INT(shots[i].status, 201);
    http_client_free(c);
    world_stop(&w);
}

static void on_slow_done(struct http_call *call, const struct error *err, void *arg)
{
    (void)call;
    (void)err;
    (void)arg;
}

/* A request whose body does not end holds its place. */
static struct http_call *hold(struct http_client *c)
{
    static const struct http_call_callbacks callbacks = { .on_done = on_slow_done };
    struct http_call_request request = { .method = STR("POST"), .target = STR(SECRETS), .stream_body = true };
    return http_client_call(c, &request, &callbacks, NULL);
}

TEST("one client holds at most half of the places: its next request is shed, others are served")
{
    struct world w;
    struct shot own = { 0 }, other = { 0 };
    struct http_call *slow[2];
    world_start_with(&w, &(struct server_config){ .mutating_requests_max = 4, .allow_all = true });
    struct http_client *greedy = client_of(&w, "greedy"), *modest = client_of(&w, "modest");
    for (int i = 0; i < 2; i++)
        slow[i] = hold(greedy);
    loop_sim_run_until_idle(w.loop);
    shoot(greedy, &own, 1);
    shoot(modest, &other, 2);
    world_advance(&w, 100);
    ASSERT_INT(other.status, 201);
    ASSERT(!own.done);
    world_advance(&w, 1200);
    ASSERT_INT(own.status, 429);
    for (int i = 0; i < 2; i++)
        http_call_cancel(slow[i]);
    world_advance(&w, 100);
    own = (struct shot){ 0 };
    shoot(greedy, &own, 3);
    world_advance(&w, 100);
    ASSERT_INT(own.status, 201); /* the places came back */
    http_client_free(greedy);
    http_client_free(modest);
    world_stop(&w);
}
