/*
 * What the other servers hear of the nodes: a stream from each of them (GET /klein/v1/nodes?watch=true&firstHand=true), for as long as it is
 * in the list of servers.
 *
 * A stream says something every second. One that said nothing for 1.5 s is opened anew; 2 s after its last word a server counts as unknown, so
 * that agents had time to come to another.
 */
#include "server/nodes.h"
#include "server/server_internal.h"
#include "server/servers.h"

#include <stdlib.h>

#define STALE_MS       1500
#define GRACE_MS       2000
#define RETRY_MS       250
#define LINE_MAX_BYTES (64 * KIB)

struct followed {
    struct list link;
    struct follow *all;
    char *name;
    size_t slot;
    bool listed; /* in the list that is being looked at */
    struct http_call *call;
    int status;
    struct buf line;
    struct loop_timer retry, stale, grace;
};

struct follow {
    struct server *server;
    struct list servers;
    struct servers_watch *watch;
    bool slots[NODES_SERVERS_MAX];
};

static void stream_open(void *arg);

static void heard(struct followed *f)
{
    loop_timer_start(&f->stale, STALE_MS);
    loop_timer_start(&f->grace, GRACE_MS);
}

static void on_head(struct http_call *call, const struct http_response *head, void *arg)
{
    struct followed *f = arg;
    (void)call;
    f->status = head->status;
    if (head->status == 200)
        nodes_word_begin(server_nodes(f->all->server), f->slot);
}

static void on_body(struct http_call *call, struct str bytes, void *arg)
{
    struct followed *f = arg;
    struct str rest = bytes, line;
    (void)call;
    if (f->status != 200)
        return;
    heard(f);
    while (rest.n) {
        bool whole = str_cut(&rest, '\n', &line);
        buf_add(&f->line, line);
        if (!whole)
            return;
        if (!f->line.full)
            nodes_word(server_nodes(f->all->server), f->slot, buf_str(&f->line));
        buf_clear(&f->line);
    }
}

static void on_done(struct http_call *call, const struct error *err, void *arg)
{
    struct followed *f = arg;
    (void)call, (void)err;
    f->call = NULL;
    loop_timer_stop(&f->stale);
    loop_timer_start(&f->retry, RETRY_MS);
}

static void stream_open(void *arg)
{
    static const struct http_call_callbacks callbacks = { .on_head = on_head, .on_body = on_body, .on_done = on_done };
    struct followed *f = arg;
    struct http_client *client = servers_reach(f->all->server, str_of(f->name));
    buf_clear(&f->line);
    f->status = 0;
    if (!client) {
        loop_timer_start(&f->retry, 4 * RETRY_MS);
        return;
    }
    f->call = http_client_call(
        client,
        &(struct http_call_request){ .method = STR("GET"), .target = STR("/klein/v1/nodes?watch=true&firstHand=true") },
        &callbacks, f);
    loop_timer_start(&f->stale, STALE_MS);
}

static void on_stale(void *arg)
{
    struct followed *f = arg;
    if (f->call)
        http_call_cancel(TAKE(f->call));
    loop_timer_start(&f->retry, 0);
}

static void on_grace(void *arg)
{
    struct followed *f = arg;
    nodes_word_lost(server_nodes(f->all->server), f->slot);
}

static void follow(struct follow *all, struct str name)
{
    size_t slot = 0;
    while (slot < NODES_SERVERS_MAX && all->slots[slot])
        slot++;
    if (slot == NODES_SERVERS_MAX)
        return; /* more servers than anybody has: this one's word is unknown */
    struct followed *f = xnew(struct followed);
    *f = (struct followed){
        .all = all, .name = str_dup(name), .slot = slot, .listed = true, .line = BUF_MAX(LINE_MAX_BYTES)
    };
    all->slots[slot] = true;
    list_add_tail(&all->servers, &f->link);
    loop_timer_init(&f->retry, server_loop(all->server), stream_open, f);
    loop_timer_init(&f->stale, server_loop(all->server), on_stale, f);
    loop_timer_init(&f->grace, server_loop(all->server), on_grace, f);
    loop_timer_start(&f->retry, 0);
}

static void unfollow(struct followed *f)
{
    list_del(&f->link);
    loop_timer_stop(&f->retry);
    loop_timer_stop(&f->stale);
    loop_timer_stop(&f->grace);
    if (f->call)
        http_call_cancel(f->call);
    if (server_nodes(f->all->server))
        nodes_word_forget(server_nodes(f->all->server), f->slot);
    f->all->slots[f->slot] = false;
    buf_done(&f->line);
    free(f->name);
    free(f);
}

static bool look_server(void *arg, const struct server_entry *e)
{
    struct follow *all = arg;
    if (e->own)
        return true;
    list_each (&all->servers, struct followed, link, f)
        if (str_is(e->name, f->name)) {
            f->listed = true;
            return true;
        }
    follow(all, e->name);
    return true;
}

static void look(void *arg)
{
    struct follow *all = arg;
    list_each (&all->servers, struct followed, link, f)
        f->listed = false;
    servers_each(all->server, look_server, all);
    list_each (&all->servers, struct followed, link, f)
        if (!f->listed)
            unfollow(f);
    nodes_set_servers_count(server_nodes(all->server), servers_known(all->server));
}

int nodes_follow_init(struct server *s, UNUSED struct error *err)
{
    struct follow *all = xnew(struct follow);
    all->server = s;
    list_init(&all->servers);
    server_part_set(s, SERVER_PART_nodes_follow, all);
    all->watch = servers_on_change(s, look, all);
    look(all);
    return 0;
}

void nodes_follow_done(struct server *s)
{
    struct follow *all = server_part(s, SERVER_PART_nodes_follow);
    if (!all)
        return;
    servers_watch_free(all->watch);
    list_each (&all->servers, struct followed, link, f)
        unfollow(f);
    free(all);
    server_part_set(s, SERVER_PART_nodes_follow, NULL);
}
