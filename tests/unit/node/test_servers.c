/* The agent's list of servers in virtual time: servers that come, go, fall silent, or are too old to have a list. */
#include "loop/sim.h"
#include "node/servers.h"
#include "test.h"

#include <stdio.h>

#define N 4

struct server { /* a model: takes tunnels, tells the list */
    int number;
    struct http_server *http;
    struct tunnel *tunnel;
    int tunnels;
};

static struct env_sim env;
static struct loop *loop;
static struct server all[N];
static struct servers *servers;
static const char *list; /* NULL: 404 */
static int ups, changes, calls[N];

static void tunnel_closed(struct tunnel *t, const struct error *err, void *arg)
{
    struct server *s = arg;
    (void)t, (void)err;
    s->tunnel = NULL;
}

static void handle(struct http_exchange *x, void *arg)
{
    static const struct tunnel_callbacks callbacks = { .on_closed = tunnel_closed };
    struct server *s = arg;

    if (str_is(x->request->path, "/klein/v1/nodes/n/tunnel")) {
        s->tunnel = tunnel_accept(x, NULL, &callbacks, s);
        s->tunnels++;
        return;
    }
    calls[s->number]++;
    if (str_is(x->request->path, "/klein/v1/servers") && !list)
        http_exchange_respond_bytes(x, 404, STR("text/plain"), STR("no such path"));
    else
        http_exchange_respond_bytes(x, 200, STR("application/json"), str_of(list ? list : "{}"));
}

static void on_up(void *arg)
{
    (void)arg;
    ups++;
}
static void on_change(void *arg)
{
    (void)arg;
    changes++;
}
static void on_contact(void *arg)
{
    (void)arg;
}
static void serve_nothing(struct http_exchange *x, void *arg)
{
    (void)arg;
    http_exchange_respond_bytes(x, 404, STR("text/plain"), STR(""));
}

static void server_start(int i)
{
    AUTO_ERROR struct error err = { 0 };
    struct address at;
    char text[32];

    snprintf(text, sizeof(text), "10.0.0.%d:6443", i + 1);
    ASSERT_OK(address_parse(str_of(text), &at, &err), &err);
    all[i] = (struct server){ .number = i, .tunnels = all[i].tunnels };
    all[i].http = http_server_new(loop, &(struct http_server_options){ 0 }, handle, &all[i]);
    ASSERT_OK(http_server_listen(all[i].http, &at, NULL, &err), &err);
}

#define ITEM(n, zone) "{\"name\":\"s" #n "\",\"zone\":\"" zone "\",\"url\":\"http://10.0.0." #n ":6443\"}"
#define LIST(...)     "{\"items\":[" __VA_ARGS__ "]}"

static void start(const char *const *stored, size_t count, const char *first_list)
{
    static const char *const given[] = { "http://10.0.0.4:6443" };
    AUTO_ERROR struct error err = { 0 };
    struct servers_config c = { .node_name = "n",
                                .zone = "b",
                                .stored = stored,
                                .stored_count = count,
                                .given = given,
                                .given_count = 1,
                                .handler = serve_nothing,
                                .on_up = on_up,
                                .on_change = on_change,
                                .on_contact = on_contact };

    env_sim_init(&env, test_seed(), 1800000000000);
    loop = loop_new_sim(&env);
    list = first_list;
    ups = changes = 0;
    memset(all, 0, sizeof(all));
    memset(calls, 0, sizeof(calls));
    for (int i = 0; i < N; i++)
        server_start(i);
    ASSERT(address_of_ip(STR("10.0.9.9"), 0, &c.bind, NULL) == 0);
    c.loop = loop;
    ASSERT_OK(servers = servers_new(&c, &err), &err);
    servers_start(servers);
    loop_sim_advance(loop, 1000);
}

static void stop(void)
{
    servers_free(servers);
    loop_sim_advance(loop, 1000);
    for (int i = 0; i < N; i++) {
        if (all[i].tunnel)
            tunnel_close(all[i].tunnel);
        http_server_shutdown(all[i].http, 0, NULL, NULL);
    }
    loop_sim_advance(loop, 5000);
    loop_free(loop);
}

static void cut(int i)
{
    char ip[16];
    snprintf(ip, sizeof(ip), "10.0.0.%d", i + 1);
    loop_sim_cut(loop, str_of(ip), STR(""));
    loop_sim_cut(loop, STR(""), str_of(ip));
}

static int64_t contact_age_ms(void)
{
    return loop_now_ms(loop) - servers_contact_ms(servers);
}

static const char *const one[] = { "http://10.0.0.1:6443" };

TEST("from one server an agent learns of all, and keeps a tunnel to each; the others notice nothing when one leaves")
{
    start(one, 1, LIST(ITEM(1, "a") "," ITEM(2, "b") "," ITEM(3, "c")));
    ASSERT_INT(servers_count(servers), 3);
    ASSERT(all[0].tunnel && all[1].tunnel && all[2].tunnel && !all[3].tunnel);
    ASSERT_INT(changes, 1);
    ASSERT(contact_age_ms() <= 2 * TUNNEL_PING_MS);
    list = LIST(ITEM(1, "a") "," ITEM(3, "c"));
    loop_sim_advance(loop, 12000);
    ASSERT_INT(servers_count(servers), 2);
    ASSERT(all[0].tunnel && !all[1].tunnel && all[2].tunnel);
    ASSERT_INT(all[0].tunnels + all[2].tunnels, 2);
    stop();
}

TEST("a server of an older version has no list: what is known stays")
{
    static const char *const two[] = { "http://10.0.0.1:6443", "http://10.0.0.2:6443" };

    start(two, 2, NULL);
    loop_sim_advance(loop, 30000);
    ASSERT_INT(servers_count(servers), 2);
    ASSERT_INT(changes, 0);
    ASSERT_INT(all[0].tunnels + all[1].tunnels, 2);
    stop();
}

TEST("a list that is empty or foolish changes nothing")
{
    start(one, 1, LIST("{\"url\":\"file:///etc\"},{},7"));
    ASSERT_INT(servers_count(servers), 1);
    ASSERT(all[0].tunnel);
    stop();
}

TEST("contact is a majority of the servers: one of three is not enough")
{
    start(one, 1, LIST(ITEM(1, "a") "," ITEM(2, "b") "," ITEM(3, "c")));
    cut(0);
    loop_sim_advance(loop, 3000);
    ASSERT(contact_age_ms() <= 2 * TUNNEL_PING_MS);
    cut(1);
    loop_sim_advance(loop, 3000);
    ASSERT(contact_age_ms() >= 2900);
    ASSERT(servers_any_up(servers));
    stop();
}

static bool fetched;
static void on_fetched(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    (void)arg, (void)body, (void)err;
    fetched = head != NULL;
}

TEST("calls go to a server of the own zone; when it falls silent they go to another that is up")
{
    start(one, 1, LIST(ITEM(1, "a") "," ITEM(2, "b") "," ITEM(3, "c")));
    loop_sim_advance(loop, 100000); /* idle connections from before the list are gone */
    calls[0] = calls[1] = 0;
    struct http_call_request r = { .method = STR("GET"), .target = STR("/x") };
    http_client_fetch(servers_client(servers), &r, 1000, on_fetched, NULL);
    loop_sim_advance(loop, 100);
    ASSERT(fetched);
    cut(0), cut(1);
    fetched = false;
    loop_sim_advance(loop, 15000); /* plain HTTP/1.1 has no pings: the question for the list found out */
    http_client_fetch(servers_client(servers), &r, 1000, on_fetched, NULL);
    loop_sim_advance(loop, 2500);
    ASSERT(fetched && calls[2] > 0);
    stop();
}

TEST("when nothing of the list can be reached, the address the agent was started with is tried")
{
    static const char *const gone[] = { "http://10.0.7.7:6443" };

    start(gone, 1, NULL);
    loop_sim_advance(loop, 10000);
    ASSERT(all[3].tunnel);
    ASSERT_INT(servers_count(servers), 1);
    ASSERT(contact_age_ms() <= 2 * TUNNEL_PING_MS);
    stop();
}
