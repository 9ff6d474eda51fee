/* A tunnel to every server, a client for the API, and a list that is kept current. */
#include "node/servers.h"

#include "base/file.h"
#include "base/list.h"
#include "node/json_out.h"
#include "object/value.h"

#define LOG_PART "node"
#include "base/log.h"

#include <stdlib.h>

#define LIST_MAX_BYTES     (256 * KIB)
#define LIST_TIMEOUT_MS    2000
#define CONNECT_TIMEOUT_MS 1000 /* with several servers: the next one is there */
#define API_PING_MS        250  /* a server that does not answer three of them is left */
#define FALLBACK_MS        3000

struct one {
    struct list link;
    struct servers *all;
    char *url;
    bool near_by; /* in our zone */
    bool fallback;
    bool listed; /* in the list that is being taken over */
    struct http_client *client;
    struct tunnel_agent *tunnel;
};

struct servers {
    struct servers_config config;
    struct tls_context *tls;
    char *node_name, *zone, *file;
    struct list servers; /* struct one */
    size_t count;        /* without the fallback */
    struct http_client *api;
    char *order; /* of the API's client, as last set: setting it anew would forget which servers just failed */
    struct http_call *asking;
    struct loop_timer refresh, fallback;
    bool started;
};

/* --- the API's client -------------------------------------------------------------------------------------------------------------- */

/* Of our zone and up, up, the rest. */
static int preference(const struct one *o)
{
    bool up = o->tunnel && tunnel_agent_is_up(o->tunnel);
    return up ? (o->near_by ? 0 : 1) : (o->near_by ? 2 : 3) + (o->fallback ? 2 : 0);
}

static bool is_listed(const struct servers *s, struct str url)
{
    list_each (&s->servers, struct one, link, o)
        if (str_is(url, o->url))
            return true;
    return false;
}

static void order_api(struct servers *s)
{
    struct str urls[2 * SERVERS_LIST_MAX];
    size_t n = 0;

    for (int wanted = 0; wanted <= 5; wanted++)
        list_each (&s->servers, struct one, link, o)
            if (preference(o) == wanted && n < ARRAY_SIZE(urls))
                urls[n++] = str_of(o->url);
    for (size_t i = 0; i < s->config.given_count && n < ARRAY_SIZE(urls); i++)
        if (!is_listed(s, str_of(s->config.given[i])))
            urls[n++] = str_of(s->config.given[i]);
    AUTO_BUF struct buf order = BUF_MAX(16 * KIB);
    for (size_t i = 0; i < n; i++) {
        buf_add(&order, urls[i]);
        buf_add_char(&order, ' ');
    }
    if (s->order && str_is(buf_str(&order), s->order))
        return;
    free(s->order);
    s->order = str_dup(buf_str(&order));
    http_client_set_servers(s->api, urls, n);
}

/* --- tunnels ------------------------------------------------------------------------------------------------------------------------- */

static void ask_list(void *arg);

static void on_up(struct tunnel_agent *t, void *arg)
{
    struct one *o = arg;
    struct servers *s = o->all;

    (void)t;
    log_info("connected to the server", KV("server", "%s", o->url));
    order_api(s);
    loop_timer_start(&s->refresh, 0);
    s->config.on_up(s->config.arg);
}

static void on_down(struct tunnel_agent *t, const struct error *err, void *arg)
{
    struct one *o = arg;

    (void)t;
    log_debug("not connected to the server", KV("server", "%s", o->url), KV_ERR(err));
    order_api(o->all);
    if (!servers_any_up(o->all) && !loop_timer_running(&o->all->fallback))
        loop_timer_start(&o->all->fallback, FALLBACK_MS);
}

static void on_contact(struct tunnel_agent *t, void *arg)
{
    struct one *o = arg;

    (void)t;
    o->all->config.on_contact(o->all->config.arg);
}

static const struct tunnel_agent_callbacks tunnel_callbacks = { .on_up = on_up,
                                                                .on_down = on_down,
                                                                .on_contact = on_contact };

static void one_dial(struct one *o)
{
    struct servers *s = o->all;
    AUTO_FREE char *path = xasprintf("/klein/v1/nodes/%s/tunnel", s->node_name);
    struct tunnel_agent_options options = { .path = str_of(path) };

    if (o->client && !o->tunnel)
        o->tunnel =
            tunnel_agent_new(o->client, &options, s->config.handler, s->config.handler_arg, &tunnel_callbacks, o);
}

static struct one *one_add(struct servers *s, struct str url, bool fallback)
{
    AUTO_ERROR struct error err = { 0 };
    struct http_client_options options = { .servers = &url, .servers_count = 1, .tls = s->tls, .bind = s->config.bind };
    struct http_client *client = http_client_new(s->config.loop, &options, &err);

    if (!client) {
        log_warn("a server's address cannot be used", KV_STR("server", url), KV_ERR(&err));
        return NULL;
    }
    struct one *o = xnew(struct one);
    *o = (struct one){ .all = s, .url = str_dup(url), .client = client, .fallback = fallback };
    list_add_tail(&s->servers, &o->link);
    s->count += !fallback;
    if (s->started)
        one_dial(o);
    return o;
}

static void one_remove(struct one *o)
{
    list_del(&o->link);
    o->all->count -= !o->fallback;
    tunnel_agent_free(o->tunnel);
    http_client_free(o->client);
    free(o->url);
    free(o);
}

bool servers_any_up(const struct servers *s)
{
    list_each (&s->servers, struct one, link, o)
        if (o->tunnel && tunnel_agent_is_up(o->tunnel))
            return true;
    return false;
}

/* Nothing of the list can be reached: perhaps the cluster moved, and the addresses we were started with are right. */
static void on_fallback(void *arg)
{
    struct servers *s = arg;

    if (servers_any_up(s))
        return;
    for (size_t i = 0; i < s->config.given_count; i++)
        if (!is_listed(s, str_of(s->config.given[i])) && s->count + i < SERVERS_LIST_MAX)
            one_add(s, str_of(s->config.given[i]), true);
}

/* One server by two names would be two tunnels that replace each other. */
static void drop_fallback(struct servers *s)
{
    list_each (&s->servers, struct one, link, o)
        if (o->fallback)
            one_remove(o);
}

/* --- the list ------------------------------------------------------------------------------------------------------------------------- */

static void save(const struct servers *s)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct json_out j = { .to = &text };

    if (!s->file)
        return;
    json_array(&j, NULL);
    list_each (&s->servers, struct one, link, o)
        if (!o->fallback)
            json_text(&j, NULL, o->url);
    json_array_end(&j);
    if (file_write(s->file, buf_str(&text), 0600, &err) < 0)
        log_warn("the list of servers could not be kept", KV_ERR(&err));
}

/* Returns whether the list is another one now. An empty or unreadable list changes nothing. */
static bool take_list(struct servers *s, const struct value *items)
{
    bool changed = false, any = false;

    list_each (&s->servers, struct one, link, o)
        o->listed = false;
    for (size_t i = 0; i < items->items_count && i < SERVERS_LIST_MAX; i++) {
        struct str url = value_to_str(value_get_str(items->items[i], STR("url")));
        struct str zone = value_to_str(value_get_str(items->items[i], STR("zone")));
        struct one *found = NULL;
        if (!str_starts(url, STR("https://")) && !str_starts(url, STR("http://")))
            continue;
        list_each (&s->servers, struct one, link, o)
            if (str_is(url, o->url) && !o->fallback)
                found = o;
        if (!found && (found = one_add(s, url, false)))
            changed = true;
        if (!found)
            continue;
        found->listed = any = true;
        found->near_by = s->zone && zone.n && str_is(zone, s->zone);
    }
    if (!any)
        return changed;
    list_each (&s->servers, struct one, link, o)
        if (!o->listed && !o->fallback) {
            log_info("a server has left the cluster", KV("server", "%s", o->url));
            one_remove(o);
            changed = true;
        }
    return changed;
}

static void on_list(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    struct servers *s = arg;

    s->asking = NULL;
    if (err || head->status != 200)
        return; /* not now, or a version that has no such list */
    const struct value *items = value_get_str(value_parse(&a, body, NULL, NULL), STR("items"));
    if (value_type(items) != VALUE_ARRAY || !take_list(s, items)) {
        order_api(s);
        return;
    }
    drop_fallback(s);
    save(s);
    order_api(s);
    s->config.on_change(s->config.arg);
}

static void ask_list(void *arg)
{
    struct servers *s = arg;
    int64_t jitter_ms = (int64_t)env_random_below(loop_env(s->config.loop), SERVERS_REFRESH_MS / 5);

    loop_timer_start(&s->refresh, SERVERS_REFRESH_MS - SERVERS_REFRESH_MS / 10 + jitter_ms);
    if (s->asking)
        return;
    struct http_call_request r = { .method = STR("GET"),
                                   .target = STR("/klein/v1/servers"),
                                   .timeout_ms = LIST_TIMEOUT_MS,
                                   .total_timeout_ms = LIST_TIMEOUT_MS };
    s->asking = http_client_fetch(s->api, &r, LIST_MAX_BYTES, on_list, s);
}

/* --- contact -------------------------------------------------------------------------------------------------------------------------- */

size_t servers_count(const struct servers *s)
{
    return s->count;
}

size_t servers_urls(const struct servers *s, const char *ret_urls[SERVERS_LIST_MAX])
{
    size_t n = 0;

    list_each (&s->servers, struct one, link, o)
        if (!o->fallback && n < SERVERS_LIST_MAX)
            ret_urls[n++] = o->url;
    return n;
}

static int by_time_latest_first(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? 1 : *x > *y ? -1 : 0;
}

int64_t servers_contact_ms(const struct servers *s)
{
    int64_t times[2 * SERVERS_LIST_MAX];
    size_t n = 0;

    list_each (&s->servers, struct one, link, o)
        if (n < ARRAY_SIZE(times) && (!o->fallback || s->count == 1)) /* the only server, by another name */
            times[n++] = o->tunnel ? tunnel_agent_contact_ms(o->tunnel) : INT64_MIN;
    if (n < s->count / 2 + 1)
        return INT64_MIN;
    qsort(times, n, sizeof(times[0]), by_time_latest_first);
    return times[s->count / 2]; /* as judge_servers_needed() of the servers */
}

/* --- life ------------------------------------------------------------------------------------------------------------------------------ */

struct servers *servers_new(const struct servers_config *c, struct error *err)
{
    struct servers *s = xnew(struct servers);
    struct str first[SERVERS_LIST_MAX];
    size_t n = 0;

    s->config = *c;
    s->tls = c->tls;
    if (s->tls)
        tls_context_ref(s->tls);
    s->node_name = xstrdup(c->node_name);
    s->zone = c->zone ? xstrdup(c->zone) : NULL;
    s->file = c->file ? xstrdup(c->file) : NULL;
    list_init(&s->servers);
    loop_timer_init(&s->refresh, c->loop, ask_list, s);
    loop_timer_init(&s->fallback, c->loop, on_fallback, s);
    const char *const *list = c->stored_count ? c->stored : c->given;
    for (size_t i = 0; i < (c->stored_count ? c->stored_count : c->given_count) && n < ARRAY_SIZE(first); i++) {
        if (is_listed(s, str_of(list[i])))
            continue;
        if (!one_add(s, str_of(list[i]), false))
            continue;
        first[n++] = str_of(list[i]);
    }
    struct http_client_options options = { .servers = first,
                                           .servers_count = n,
                                           .tls = s->tls,
                                           .bind = c->bind,
                                           .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                           .ping_interval_ms = API_PING_MS };
    if (n == 0)
        fail(err, ERR_BAD_REQUEST, "no server is named");
    else
        s->api = http_client_new(c->loop, &options, err);
    if (!s->api) {
        servers_free(s);
        return NULL;
    }
    order_api(s);
    return s;
}

void servers_start(struct servers *s)
{
    s->started = true;
    list_each (&s->servers, struct one, link, o)
        one_dial(o);
    loop_timer_start(&s->refresh, SERVERS_REFRESH_MS);
    loop_timer_start(&s->fallback, FALLBACK_MS);
}

void servers_free(struct servers *s)
{
    if (!s)
        return;
    loop_timer_stop(&s->refresh);
    loop_timer_stop(&s->fallback);
    http_call_cancel(s->asking);
    list_each (&s->servers, struct one, link, o)
        one_remove(o);
    http_client_free(s->api);
    tls_context_unref(s->tls);
    free(s->node_name);
    free(s->zone);
    free(s->file);
    free(s->order);
    free(s);
}

struct http_client *servers_client(struct servers *s)
{
    return s->api;
}

void servers_set_tls(struct servers *s, struct tls_context *tls)
{
    if (tls)
        tls_context_ref(tls);
    tls_context_unref(s->tls);
    s->tls = tls;
    http_client_set_tls(s->api, tls);
    list_each (&s->servers, struct one, link, o)
        http_client_set_tls(o->client, tls);
}
