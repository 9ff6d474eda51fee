/* Agents' tunnels: connecting, facts, logs, proxying, acknowledged removal. The agent here is a handler in this file. */
#include "front.h"

#include "base/time.h"
#include "kinds/fields.h"
#include "server/nodes.h"
#include "transport/tunnel.h"

static struct front f;

/* --- an agent ------------------------------------------------------------------------------------------------------- */

struct agent {
    struct http_client *client;
    struct tunnel_agent *tunnel;
    struct http_exchange *status;    /* the open status stream */
    char *last_target, *last_header; /* of the last call that was no status stream */
    struct buf body;
    int downs;
};

static void status_gone(struct http_exchange *x, void *user)
{
    ((struct agent *)user)->status = NULL;
    http_exchange_abort(x);
}

static void report(struct agent *a, uint64_t revision)
{
    AUTO_FREE char *line = xasprintf("{\"applied\":{\"endpointslices\":%llu}}\n", (unsigned long long)revision);
    ASSERT(a->status);
    http_exchange_write_copy(a->status, str_of(line));
}

static void agent_body(struct http_exchange *x, struct str body, UNUSED const struct error *err, void *arg)
{
    struct agent *a = arg;
    buf_clear(&a->body);
    buf_add(&a->body, body);
    http_exchange_respond_bytes(x, 200, STR("text/plain"), STR("from the pod"));
}

static void agent_handler(struct http_exchange *x, void *arg)
{
    static const struct http_exchange_callbacks callbacks = { .on_gone = status_gone };
    static const struct http_header type = { STR_INIT("content-type"), STR_INIT("application/x-ndjson") };
    struct agent *a = arg;
    if (str_is(x->request->target, "/status-stream")) {
        a->status = x;
        http_exchange_set_callbacks(x, &callbacks, a);
        http_exchange_start(x, &(struct http_response){ .status = 200, .headers = &type, .headers_count = 1 });
        report(a, 0);
        return;
    }
    free(a->last_target);
    free(a->last_header);
    a->last_target = str_dup(x->request->target);
    a->last_header = str_dup(http_request_header(x->request, STR("authorization")));
    if (str_starts(x->request->path, STR("/containerLogs/")))
        http_exchange_respond_bytes(x, 200, STR("application/octet-stream"), STR("line one\nline two\n"));
    else if (str_starts(x->request->path, STR("/podProxy/")))
        http_exchange_collect(x, MIB, agent_body, a);
    else
        http_exchange_respond_bytes(x, 404, STR("application/json"), STR("{\"kind\":\"Status\",\"code\":404}"));
}

static void on_down(UNUSED struct tunnel_agent *t, UNUSED const struct error *err, void *arg)
{
    ((struct agent *)arg)->downs++;
}

static const struct str nodes_group = STR_INIT("system:nodes");

static void agent_start(struct agent *a, const char *name, const char *path_name, const char *key)
{
    static const struct tunnel_agent_callbacks callbacks = { .on_down = on_down };
    AUTO_FREE char *user = xasprintf("system:node:%s", name), *path = xasprintf("/klein/v1/nodes/%s/tunnel", path_name);
    struct http_peer peer = { .certificate = true,
                              .common_name = str_of(user),
                              .organizations = &nodes_group,
                              .organizations_count = 1,
                              .certificate_der_sha256 = str_of(key) };
    *a = (struct agent){ .body = BUF_MAX(MIB) };
    a->client = http_client_new_local(f.loop, server_handler, f.server, &peer);
    a->tunnel = tunnel_agent_new(a->client, &(struct tunnel_agent_options){ .path = str_of(path) }, agent_handler, a,
                                 &callbacks, a);
}

static void agent_stop(struct agent *a)
{
    tunnel_agent_free(a->tunnel);
    a->tunnel = NULL;
    front_pass(&f, 50);
    http_client_free(a->client);
    free(a->last_target);
    free(a->last_header);
    buf_done(&a->body);
    front_pass(&f, 50);
}

static struct node_facts facts(const char *name)
{
    struct node_facts n = { 0 };
    nodes_get(server_nodes(f.server), str_of(name), &n);
    return n;
}

#define KEY_1 "1111111111111111111111111111111111111111111111111111111111111111"
#define KEY_2 "2222222222222222222222222222222222222222222222222222222222222222"

/* --- a user --------------------------------------------------------------------------------------------------------- */

static int status;
static struct buf text;
static bool answered;

static void on_fetched(UNUSED void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    answered = true;
    status = head ? head->status : -1;
    buf_clear(&text);
    buf_add(&text, err ? str_of(error_text(err)) : body);
}

static bool is_true(void *flag)
{
    return *(bool *)flag;
}

static void ask_as(const char *user, const char *group, const char *method, const char *target, const char *body)
{
    struct str groups[] = { str_of(group) };
    struct http_peer peer = {
        .certificate = true, .common_name = str_of(user), .organizations = groups, .organizations_count = 1
    };
    struct http_header secret = { STR("authorization"), STR("Bearer users-own-secret") };
    struct http_client *client = http_client_new_local(f.loop, server_handler, f.server, &peer);
    answered = false;
    text.max = MIB;
    http_client_fetch(client,
                      &(struct http_call_request){ .method = str_of(method),
                                                   .target = str_of(target),
                                                   .body = str_of(body),
                                                   .headers = &secret,
                                                   .headers_count = 1 },
                      MIB, on_fetched, NULL);
    if (!loop_sim_run_until(f.loop, is_true, &answered, 60000))
        FAIL("no answer to %s %s within a minute", method, target);
    http_client_free(client);
}

static void ask(const char *method, const char *target, const char *body)
{
    ask_as("root", "system:masters", method, target, body);
}

#define POD(name, node)                                                                                                \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name "\"},\"spec\":{\"nodeName\":\"" node      \
    "\",\"automountServiceAccountToken\":false,\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"

static void start(void)
{
    front_start(&f, NULL);
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"default\"}}"),
              &f.err);
}

static void stop(void)
{
    buf_done(&text);
    front_stop(&f);
}

/* --- sentences ------------------------------------------------------------------------------------------------------ */

TEST("an agent connects as itself and its facts follow what it reports")
{
    struct agent a;
    start();
    agent_start(&a, "a", "a", KEY_1);
    front_pass(&f, 200);
    ASSERT(facts("a").connected);
    ASSERT(!facts("a").silent);
    ASSERT_INT(facts("a").applied_endpointslices, 0);
    report(&a, 77);
    front_pass(&f, 20);
    ASSERT_INT(facts("a").applied_endpointslices, 77);
    ask("GET", "/klein/v1/nodes", "");
    ASSERT_INT(status, 200);
    ASSERT_CONTAINS(text, "\"settled\":false");
    ASSERT_CONTAINS(text, "{\"name\":\"a\",\"connected\":true,\"silent\":false,\"silentMs\":");
    ASSERT_CONTAINS(text, "\"applied\":{\"endpointslices\":77}");
    agent_stop(&a);
    stop();
}

TEST("nobody opens another node's tunnel, and the facts are not for everybody")
{
    struct agent a;
    start();
    agent_start(&a, "a", "b", KEY_1);
    front_pass(&f, 500);
    ASSERT(!facts("b").connected);
    ASSERT(!facts("a").connected);
    ASSERT(a.downs > 0);
    agent_stop(&a);
    ask_as("jane", "devs", "GET", "/klein/v1/nodes", "");
    ASSERT_INT(status, 403);
    ask_as("system:kube-controller-manager", "", "GET", "/klein/v1/nodes", "");
    ASSERT_INT(status, 200);
    ask("GET", "/klein/v1/nodes/a/tunnel", "");
    ASSERT_INT(status, 403);
    stop();
}

TEST("a restarted server calls nobody silent before the reconnect window has passed")
{
    struct agent a;
    start();
    agent_start(&a, "a", "a", KEY_1);
    front_pass(&f, 200);
    agent_stop(&a);
    front_pass(&f, 3000);
    ASSERT(!nodes_settled(server_nodes(f.server)));
    ASSERT(!facts("a").silent);
    front_pass(&f, 3000);
    ASSERT(nodes_settled(server_nodes(f.server)));
    ASSERT(facts("a").silent);
    ASSERT(!facts("a").connected);
    ASSERT(facts("a").last_seen_age_ms > 5000);
    stop();
}

static void count_change(void *arg, const struct node_facts *n)
{
    if (n && n->silent)
        ++*(int *)arg;
}

TEST("a node that is gone is told to be silent a second after it was last heard")
{
    struct agent a;
    int silences = 0;
    start();
    front_pass(&f, NODES_RECONNECT_WINDOW_MS + 1);
    struct nodes_watch *w = nodes_on_change(server_nodes(f.server), count_change, &silences);
    agent_start(&a, "a", "a", KEY_1);
    front_pass(&f, 1000);
    ASSERT_INT(silences, 0);
    agent_stop(&a);
    front_pass(&f, 700);
    ASSERT_INT(silences, 0);
    front_pass(&f, 500);
    ASSERT(silences > 0);
    nodes_watch_free(w);
    agent_start(&a, "a", "a", KEY_1);
    front_pass(&f, 200);
    ASSERT(!facts("a").silent);
    agent_stop(&a);
    stop();
}

TEST("a live node's name is not taken over with another key; the same key replaces its own connection")
{
    struct agent first, second, third;
    start();
    agent_start(&first, "a", "a", KEY_1);
    front_pass(&f, 200);
    agent_start(&second, "a", "a", KEY_2);
    front_pass(&f, 300);
    ASSERT_STR(facts("a").key_sha256, KEY_1);
    ASSERT(second.downs > 0);
    ASSERT_INT(first.downs, 0);
    agent_stop(&second);
    agent_start(&third, "a", "a", KEY_1);
    front_pass(&f, 20);
    ASSERT_INT(first.downs, 1);
    agent_stop(&first);
    front_pass(&f, 5000);
    ASSERT(facts("a").connected);
    agent_stop(&third);
    stop();
}

TEST("logs come from the pod's node, with checked options")
{
    struct agent a;
    start();
    agent_start(&a, "a", "a", KEY_1);
    ASSERT_OK(front_create(&f, f.admin, "default", POD("p", "a")), &f.err);
    front_pass(&f, 200);
    ask("GET", "/api/v1/namespaces/default/pods/p/log?tailLines=5&follow=true&container=c", "");
    ASSERT_STR(text, "line one\nline two\n");
    ASSERT(str_starts(str_of(a.last_target), STR("/containerLogs/default/p/c?uid=")));
    ASSERT_CONTAINS(str_of(a.last_target), "&tailLines=5&follow=true");
    ASSERT_STR(a.last_header, "");
    ask("GET", "/api/v1/namespaces/default/pods/p/log?tailLines=-1", "");
    ASSERT_INT(status, 422);
    ask("GET", "/api/v1/namespaces/default/pods/p/log?container=none", "");
    ASSERT_INT(status, 400);
    ASSERT_CONTAINS(text, "container none is not valid for pod p");
    ask("GET", "/api/v1/namespaces/default/pods/gone/log", "");
    ASSERT_INT(status, 404);
    agent_stop(&a);
    ask("GET", "/api/v1/namespaces/default/pods/p/log", "");
    ASSERT_INT(status, 503);
    stop();
}

TEST("exec without an upgrade, or for a pod without a node, is refused with words")
{
    start();
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},\"spec\":{"
                           "\"containers\":[{\"name\":\"c\","
                           "\"image\":\"i\"}]}}"),
              &f.err);
    ask("POST", "/api/v1/namespaces/default/pods/p/exec?command=ls&stdout=true", "");
    ASSERT_INT(status, 400);
    ASSERT_CONTAINS(text, "Upgrade request required");
    ask("GET", "/api/v1/namespaces/default/pods/p/log", "");
    ASSERT_INT(status, 400);
    ASSERT_CONTAINS(text, "pod p does not have a host assigned");
    stop();
}

TEST("a pod is reached through the proxy without the caller's credentials, and paths do not climb")
{
    struct agent a;
    start();
    agent_start(&a, "a", "a", KEY_1);
    ASSERT_OK(front_create(&f, f.admin, "default", POD("p", "a")), &f.err);
    front_pass(&f, 200);
    ask("POST", "/api/v1/namespaces/default/pods/p:8080/proxy/some/path?q=1", "hello");
    ASSERT_INT(status, 200);
    ASSERT_STR(text, "from the pod");
    ASSERT_STR(a.last_target, "/podProxy/default/p/8080/some/path?q=1");
    ASSERT_STR(a.last_header, "");
    ASSERT_STR(a.body, "hello");
    ask("GET", "/api/v1/namespaces/default/pods/https:p:8080/proxy/", "");
    ASSERT_INT(status, 400);
    ask("GET", "/api/v1/namespaces/default/pods/p:8080/proxy/%2e%2e/%2e%2e/exec", "");
    ASSERT(status != 200);
    ASSERT_OK(front_create(&f, f.admin, "", "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"a\"}}"),
              &f.err);
    ask("GET", "/api/v1/nodes/a/proxy/exec/default/p/c", "");
    ASSERT_INT(status, 404);
    agent_stop(&a);
    stop();
}

TEST("a service is proxied to a ready pod of its own, and to nothing else")
{
    struct agent a;
    start();
    agent_start(&a, "a", "a", KEY_1);
    ASSERT_OK(front_create(&f, f.admin, "default", POD("p", "a")), &f.err);
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\"},\"spec\":{"
                           "\"ports\":[{\"name\":\"http\",\"port\":80}]}}"),
              &f.err);
    front_pass(&f, 200);
    ask("GET", "/api/v1/namespaces/default/services/web/proxy/", "");
    ASSERT_INT(status, 503);
    ASSERT_OK(
        front_create(&f, f.admin, "default",
                     "{\"apiVersion\":\"discovery.k8s.io/"
                     "v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"web-1\",\"labels\":{"
                     "\"kubernetes.io/"
                     "service-name\":\"web\"}},\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"http\",\"port\":8080}],"
                     "\"endpoints\":[{\"addresses\":[\"10.9.9.9\"],\"conditions\":{\"ready\":true}}]}"),
        &f.err);
    ask("GET", "/api/v1/namespaces/default/services/web/proxy/", "");
    ASSERT_INT(status, 503); /* an endpoint that is no pod is not dialled */
    ASSERT_OK(front_patch(&f, f.admin, &kind_endpointslice, "default", "web-1", "",
                          "{\"endpoints\":[{\"addresses\":[\"10.9.9.9\"],\"conditions\":{\"ready\":true},\"targetRef\":"
                          "{\"kind\":\"Pod\","
                          "\"name\":\"p\",\"namespace\":\"default\"}}]}"),
              &f.err);
    ask("GET", "/api/v1/namespaces/default/services/web:http/proxy/x", "");
    ASSERT_INT(status, 200);
    ASSERT_STR(a.last_target, "/podProxy/default/p/8080/x");
    agent_stop(&a);
    stop();
}

/* --- acknowledged removal ------------------------------------------------------------------------------------------- */

static struct http_client *removal_client;

static void ask_removal(const char *uid)
{
    AUTO_FREE char *target = xasprintf("/klein/v1/nodes/a/removal?namespace=default&pod=p&uid=%s", uid);
    struct http_peer peer = { .certificate = true,
                              .common_name = STR("system:node:a"),
                              .organizations = &nodes_group,
                              .organizations_count = 1 };
    removal_client = http_client_new_local(f.loop, server_handler, f.server, &peer);
    answered = false;
    text.max = MIB;
    http_client_fetch(removal_client, &(struct http_call_request){ .method = STR("GET"), .target = str_of(target) },
                      MIB, on_fetched, NULL);
}

#define SLICE(ready)                                                                                                   \
    "{\"endpoints\":[{\"addresses\":[\"10.9.9.9\"],\"conditions\":{\"ready\":" ready                                   \
    "},\"targetRef\":{\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"u-1\"}}]}"

TEST("a removal is acknowledged once no slice calls the pod ready and every live node applied that")
{
    struct agent a, b;
    start();
    agent_start(&a, "a", "a", KEY_1);
    agent_start(&b, "b", "b", KEY_2);
    ASSERT_OK(
        front_create(
            &f, f.admin, "default",
            "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"web-1\"},"
            "\"addressType\":\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.9.9.9\"],\"conditions\":{\"ready\":true},"
            "\"targetRef\":{\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"u-1\"}}]}"),
        &f.err);
    front_pass(&f, 200);
    ask_removal("u-1");
    front_pass(&f, 500);
    ASSERT(!answered);
    ASSERT_OK(front_patch(&f, f.admin, &kind_endpointslice, "default", "web-1", "", SLICE("false")), &f.err);
    uint64_t revision = object_revision(f.result);
    report(&a, revision);
    report(&b, revision - 1);
    front_pass(&f, 100);
    ASSERT(!answered);
    report(&b, revision);
    front_pass(&f, 100);
    ASSERT(answered);
    ASSERT_STR(text, "{\"acknowledged\":true}");
    http_client_free(removal_client);
    agent_stop(&a);
    agent_stop(&b);
    stop();
}

TEST("a removal that is not applied is told so after two seconds")
{
    struct agent a;
    start();
    agent_start(&a, "a", "a", KEY_1);
    ASSERT_OK(
        front_create(
            &f, f.admin, "default",
            "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"web-1\"},"
            "\"addressType\":\"IPv4\",\"endpoints\":[]}"),
        &f.err);
    front_pass(&f, 200);
    ask_removal("u-1");
    front_pass(&f, 1900);
    ASSERT(!answered);
    front_pass(&f, 200);
    ASSERT(answered);
    ASSERT_STR(text, "{\"acknowledged\":false}");
    http_client_free(removal_client);
    agent_stop(&a);
    stop();
}

/* --- several servers -------------------------------------------------------------------------------------------------------------- */

static void word(size_t slot, const char *line)
{
    nodes_word(server_nodes(f.server), slot, str_of(line));
}

#define HEARD(name)                                                                                                    \
    "{\"name\":\"" name "\",\"connected\":true,\"silent\":false,\"silentMs\":10,\"applied\":{\"endpointslices\":5}"

TEST("a node that another server hears is not silent; when that server is lost its word lasts until it is taken back")
{
    struct agent a;
    start();
    front_pass(&f, 5100);
    agent_start(&a, "a", "a", KEY_1);
    front_pass(&f, 100);
    word(0, HEARD("a") "}");
    agent_stop(&a);
    front_pass(&f, 1100);
    ASSERT(facts("a").connected && !facts("a").silent && !facts("a").connected_here);
    ASSERT_INT(facts("a").applied_endpointslices, 5);
    word(0, ""); /* the other server is there: what it said last is still so */
    ASSERT(facts("a").last_seen_age_ms < 100);
    nodes_word_lost(server_nodes(f.server), 0);
    ASSERT(!facts("a").connected && facts("a").silent);
    word(0, "{\"name\":\"a\",\"connected\":false,\"silent\":true,\"silentMs\":4000,\"applied\":{}}");
    ASSERT(facts("a").silent);
    word(0, HEARD("a") "}");
    ASSERT(!facts("a").silent);
    nodes_word_forget(server_nodes(f.server), 0);
    ASSERT(facts("a").silent);
    stop();
}

TEST("a server that restarted no longer speaks for the nodes it knew before")
{
    start();
    front_pass(&f, 5100);
    word(0, HEARD("a") "}");
    word(0, HEARD("b") "}");
    nodes_word_begin(server_nodes(f.server), 0);
    word(0, HEARD("b") "}");
    ASSERT(facts("a").connected); /* the list may still name it */
    word(0, "{\"settled\":false}");
    ASSERT(!facts("a").connected && facts("a").silent);
    ASSERT(facts("b").connected && !facts("b").silent);
    stop();
}

TEST("what one server was told by another it does not tell as its own")
{
    start();
    word(0, HEARD("x") "}");
    ask("GET", "/klein/v1/nodes", "");
    ASSERT_CONTAINS(text, "{\"name\":\"x\",\"connected\":true,\"silent\":false");
    struct node_facts own;
    ASSERT(nodes_get_first_hand(server_nodes(f.server), STR("x"), &own));
    ASSERT(!own.connected);
    stop();
}

static void count_call(void *arg, UNUSED const struct node_facts *facts)
{
    ++*(int *)arg;
}

TEST("the same said again is no news, and what another server says is none for servers that follow this one")
{
    int all = 0, own = 0;
    start();
    struct nodes_watch *a = nodes_on_change(server_nodes(f.server), count_call, &all);
    struct nodes_watch *b = nodes_on_change_first_hand(server_nodes(f.server), count_call, &own);
    for (int i = 0; i < 5; i++)
        word(0, HEARD("x") ",\"servers\":2,\"peers\":[\"y\"],\"unheard\":{\"z\":1200}}");
    ASSERT_INT(all, 1);
    word(0, HEARD("x") ",\"servers\":2,\"peers\":[\"y\"],\"unheard\":{}}");
    ASSERT_INT(all, 2);
    ASSERT_INT(own, 1); /* that it is not heard here, once */
    nodes_watch_free(a);
    nodes_watch_free(b);
    stop();
}

TEST("peers confirm a silent node, and once it cannot have had contact it is fenced")
{
    struct agent a, b, c;
    struct agent *all[] = { &a, &b, &c };
    static const char *const names[] = { "a", "b", "c" };
    start();
    for (int i = 0; i < 3; i++)
        agent_start(all[i], names[i], names[i], KEY_1);
    front_pass(&f, 5100);
#define SAYS(agent, peers, unheard)                                                                                    \
    http_exchange_write_copy((agent).status, STR("{\"applied\":{},\"servers\":1,\"fence\":true,\"peers\":" peers       \
                                                 ",\"unheard\":" unheard "}\n"))
    SAYS(a, "[\"b\",\"c\"]", "{}");
    SAYS(b, "[\"a\",\"c\"]", "{}");
    SAYS(c, "[\"a\",\"b\"]", "{}");
    front_pass(&f, 100);
    agent_stop(&a);
    front_pass(&f, 2000);
    ASSERT(facts("a").silent && !facts("a").confirmed);
    SAYS(b, "[\"a\",\"c\"]", "{\"a\":1900}");
    front_pass(&f, 200);
    ASSERT(!facts("a").confirmed); /* c still hears it */
    SAYS(c, "[\"a\",\"b\"]", "{\"a\":1000}");
    front_pass(&f, 200);
    ASSERT(facts("a").confirmed && !facts("a").fenced);
    ask("GET", "/klein/v1/nodes", "");
    ASSERT_CONTAINS(text, "\"confirmed\":true,\"servers\":1,\"fence\":true,\"peers\":[\"b\",\"c\"]");
    ASSERT_CONTAINS(text, "\"unheard\":{\"a\":");
    front_pass(&f, 5500);
    ASSERT(!facts("a").fenced); /* 7 s after c heard it last, and not before */
    front_pass(&f, 500);
    ASSERT(facts("a").fenced);
    agent_start(&a, "a", "a", KEY_1);
    front_pass(&f, 300);
    ASSERT(!facts("a").fenced && !facts("a").confirmed && !facts("a").silent);
    for (int i = 0; i < 3; i++)
        agent_stop(all[i]);
    stop();
}

TEST("a Node that never came is known as silent when the reconnect window is over")
{
    start();
    ASSERT_OK(front_create(&f, f.admin, "", "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n9\"}}"),
              &f.err);
    front_pass(&f, 3000);
    ASSERT(!facts("n9").silent);
    front_pass(&f, 4000);
    ASSERT(facts("n9").silent && !facts("n9").connected && facts("n9").last_seen_age_ms > 5000);
    stop();
}
