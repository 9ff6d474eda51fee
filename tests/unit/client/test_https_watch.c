/* A watch over HTTPS that never ends by itself, against a server that the test plays. */
#include "client/https.h"
#include "loop/sim.h"
#include "test.h"

#include "base/time.h"

#include <stdio.h>

static struct {
    struct env_sim env;
    struct loop *loop;
    struct http_client *client;
    struct api *api;
    struct api_watch *watch;
    /* the server */
    const char *pages[4]; /* answers to lists, by number of the page; single quotes stand for double ones */
    int list_status, watch_status;
    struct buf requests; /* targets, a line each */
    struct http_exchange *stream;
    /* the caller */
    struct buf told;
    int lost;
    bool close_at_next;
} s;

static struct str json(const char *text, char buf[1000])
{
    snprintf(buf, 1000, "%s", text);
    for (char *c = buf; *c; c++)
        if (*c == '\'')
            *c = '"';
    return str_of(buf);
}

static void on_gone(struct http_exchange *x, void *user)
{
    (void)user;
    if (s.stream == x)
        s.stream = NULL;
    http_exchange_end(x);
}

static void handler(struct http_exchange *x, void *arg)
{
    static const struct http_exchange_callbacks callbacks = { .on_gone = on_gone };
    struct str page;
    char text[1000];

    (void)arg;
    buf_addf(&s.requests, "%.*s\n", STR_ARG(x->request->target));
    if (http_query_has(x->request->query, STR("watch"))) {
        if (s.watch_status != 200) {
            http_exchange_respond_bytes(x, s.watch_status, STR("application/json"),
                                        json("{'kind':'Status','message':'too old','reason':'Expired'}", text));
            return;
        }
        http_exchange_set_callbacks(x, &callbacks, NULL);
        http_exchange_start(x, &(struct http_response){ .status = 200 });
        s.stream = x;
        return;
    }
    int number = http_query_get(x->request->query, x->arena, STR("continue"), &page) ? page.p[0] - '0' : 0;
    http_exchange_respond_bytes(x, s.pages[number] ? s.list_status : 500, STR("application/json"),
                                json(s.pages[number] ? s.pages[number] : "{}", text));
}

static void on_event(void *arg, const struct api_event *event)
{
    static const char *const types[] = { "ADDED", "MODIFIED", "DELETED", "BOOKMARK", "SYNCED" };
    struct str name = event->object ? object_name(event->object) : STR_NONE;

    (void)arg;
    buf_addf(&s.told, "%s %.*s%s%llu\n", types[event->type], STR_ARG(name), name.n ? " " : "",
             (unsigned long long)event->revision);
    if (s.close_at_next) {
        s.api->ops->watch_close(s.watch);
        s.watch = NULL;
    }
}

static void on_lost(void *arg, const struct error *err)
{
    (void)arg;
    (void)err;
    s.lost++;
}

#define LIST(revision, items)                                                                                          \
    "{'kind':'ConfigMapList','metadata':{'resourceVersion':'" revision "'},'items':[" items "]}"
#define ITEM(name, revision)                                                                                           \
    "{'metadata':{'name':'" name "','namespace':'d','uid':'" name "-uid','resourceVersion':'" revision "'}}"
#define EVENT(type, name, revision)                                                                                    \
    "{'type':'" type "','object':{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'" name                      \
    "','namespace':'d','uid':'" name "-uid','resourceVersion':'" revision "'}}}\n"

static void begin(const char *page)
{
    kinds_init();
    memset(&s, 0, sizeof(s));
    s.requests.max = s.told.max = MIB;
    s.list_status = s.watch_status = 200;
    s.pages[0] = page;
    env_sim_init(&s.env, test_seed(), 1795219200000);
    s.loop = loop_new_sim(&s.env);
    s.client = http_client_new_local(s.loop, handler, NULL, &(struct http_peer){ 0 });
    s.api = https_api_new(s.client, NULL);
    s.watch = api_watch(s.api, &(struct api_watch_request){ .kind = &kind_configmap },
                        &(struct api_watch_callbacks){ .on_event = on_event, .on_lost = on_lost });
    loop_sim_run_until_idle(s.loop);
}

static void end(void)
{
    if (s.watch)
        s.api->ops->watch_close(s.watch);
    loop_sim_run_until_idle(s.loop);
    s.api->ops->free(s.api);
    http_client_free(s.client);
    loop_sim_run_until_idle(s.loop);
    loop_free(s.loop);
    buf_done(&s.requests);
    buf_done(&s.told);
}

static void stream(const char *text)
{
    char buf[1000];

    ASSERT(s.stream);
    http_exchange_write_copy(s.stream, json(text, buf));
    loop_sim_run_until_idle(s.loop);
}

static void cut(void)
{
    struct http_exchange *x = s.stream;

    ASSERT(x);
    s.stream = NULL;
    http_exchange_abort(x);
    loop_sim_run_until_idle(s.loop);
}

/* What was told since the last look. */
static const char *told(void)
{
    static char text[4000];

    snprintf(text, sizeof(text), "%.*s", (int)s.told.n, s.told.n ? s.told.p : "");
    buf_clear(&s.told);
    return text;
}

TEST("the list first, then one SYNCED, then what happens")
{
    begin(LIST("7", ITEM("a", "3") "," ITEM("b", "5")));
    ASSERT_STR(told(), "ADDED a 3\nADDED b 5\nSYNCED 7\n");
    ASSERT_STR(s.requests, "/api/v1/configmaps?limit=500\n"
                           "/api/v1/configmaps?watch=true&allowWatchBookmarks=true&resourceVersion=7\n");
    stream(EVENT("MODIFIED", "a", "8") EVENT("ADDED", "c", "9"));
    stream(EVENT("DELETED", "b", "10"));
    ASSERT_STR(told(), "MODIFIED a 8\nADDED c 9\nDELETED b 10\n");
    end();
}

TEST("pages are put together before anything is told; a page that fails begins the list anew")
{
    begin("{'metadata':{'resourceVersion':'7','continue':'1'},'items':[" ITEM("a", "3") "]}");
    ASSERT_STR(told(), ""); /* the second page is no list yet */
    s.pages[1] = LIST("7", ITEM("b", "5"));
    loop_sim_advance(s.loop, 2000);
    ASSERT_STR(told(), "ADDED a 3\nADDED b 5\nSYNCED 7\n");
    end();
}

TEST("an event may come in pieces")
{
    char text[1000];

    begin(LIST("7", ""));
    told();
    struct str whole = json(EVENT("ADDED", "a", "8"), text);
    for (size_t i = 0; i < whole.n; i++) {
        ASSERT_STR(told(), "");
        http_exchange_write_copy(s.stream, str_part(whole, i, 1));
        loop_sim_run_until_idle(s.loop);
    }
    ASSERT_STR(told(), "ADDED a 8\n");
    end();
}

TEST("a lost stream is resumed where it was, without a new list and without telling anything twice")
{
    begin(LIST("7", ITEM("a", "3")));
    stream(EVENT("ADDED", "b", "9"));
    told();
    buf_clear(&s.requests);
    cut();
    ASSERT_INT(s.lost, 1);
    loop_sim_advance(s.loop, 2000);
    ASSERT_STR(s.requests, "/api/v1/configmaps?watch=true&allowWatchBookmarks=true&resourceVersion=9\n");
    stream(EVENT("ADDED", "c", "10"));
    ASSERT_STR(told(), "ADDED c 10\n");
    end();
}

TEST("a bookmark moves where a lost stream is resumed")
{
    begin(LIST("7", ""));
    stream("{'type':'BOOKMARK','object':{'apiVersion':'v1','kind':'ConfigMap','metadata':{'resourceVersion':'90'}}}\n");
    ASSERT_CONTAINS(told(), "BOOKMARK 90\n");
    buf_clear(&s.requests);
    cut();
    loop_sim_advance(s.loop, 2000);
    ASSERT_CONTAINS(s.requests, "resourceVersion=90\n");
    end();
}

/* Whatever says that history is gone: after the new list only the differences are told. */
static void check_differences(void)
{
    s.watch_status = 200;
    s.pages[0] = LIST("50", ITEM("b", "40") "," ITEM("c", "5") "," ITEM("new", "45"));
    loop_sim_advance(s.loop, 5000);
    ASSERT_STR(told(), "DELETED a 50\nMODIFIED b 40\nADDED new 45\nSYNCED 50\n");
    ASSERT_CONTAINS(s.requests, "resourceVersion=50\n");
}

TEST("410 to the request: list again and tell the differences")
{
    begin(LIST("7", ITEM("a", "3") "," ITEM("b", "4") "," ITEM("c", "5")));
    told();
    s.watch_status = 410;
    cut();
    loop_sim_advance(s.loop, 80); /* the stream is asked for again, and refused */
    check_differences();
    end();
}

TEST("410 as an event: the same")
{
    begin(LIST("7", ITEM("a", "3") "," ITEM("b", "4") "," ITEM("c", "5")));
    told();
    stream("{'type':'ERROR','object':{'kind':'Status','code':410,'reason':'Expired','message':'too old'}}\n");
    cut();
    check_differences();
    end();
}

TEST("an event that cannot be read: the same, whatever follows it on the stream")
{
    begin(LIST("7", ITEM("a", "3") "," ITEM("b", "4") "," ITEM("c", "5")));
    told();
    stream("{'type':'MODIFIED','object':{]}\n" EVENT("MODIFIED", "b", "20"));
    ASSERT_STR(told(), "");
    check_differences();
    end();
}

TEST("an object that was replaced by one of the same name is gone and new")
{
    begin(LIST("7", ITEM("a", "3")));
    told();
    s.watch_status = 410;
    cut();
    loop_sim_advance(s.loop, 80);
    s.watch_status = 200;
    s.pages[0] = LIST("50", "{'metadata':{'name':'a','namespace':'d','uid':'other','resourceVersion':'44'}}");
    loop_sim_advance(s.loop, 5000);
    ASSERT_STR(told(), "DELETED a 44\nADDED a 44\nSYNCED 50\n");
    end();
}

TEST("a server that cannot list is asked again and again, a second apart at most")
{
    begin(LIST("7", ITEM("a", "3")));
    told();
    s.watch_status = 410;
    s.list_status = 503;
    cut();
    loop_sim_advance(s.loop, 20000);
    ASSERT_STR(told(), "");
    ASSERT(s.lost > 10);
    s.list_status = s.watch_status = 200;
    loop_sim_advance(s.loop, 2000);
    ASSERT_STR(told(), "SYNCED 7\n");
    end();
}

TEST("a stream on which nothing comes for 90 s is given up and opened anew")
{
    begin(LIST("7", ""));
    buf_clear(&s.requests);
    loop_sim_advance(s.loop, 89000);
    ASSERT_STR(s.requests, "");
    loop_sim_advance(s.loop, 4000);
    ASSERT_CONTAINS(s.requests, "watch=true");
    ASSERT_INT(s.lost, 1);
    end();
}

TEST("the caller may close the watch from inside any call")
{
    begin(LIST("7", ITEM("a", "3")));
    told();
    s.close_at_next = true;
    stream(EVENT("ADDED", "b", "9") EVENT("ADDED", "c", "10"));
    ASSERT_STR(told(), "ADDED b 9\n");
    loop_sim_advance(s.loop, 5000);
    ASSERT_STR(told(), "");
    end();
}
