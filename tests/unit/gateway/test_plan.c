/* From Ingress resources to what HAProxy should do, and HAProxy's own opinion of the files. */
#include "base/file.h"
#include "base/time.h"
#include "gateway/config.h"
#include "gateway/plan.h"
#include "loop/process.h"
#include "loop/sim.h"
#include "seen.h"

static struct seen s;
static struct gateway_plan plan;

static struct gateway_seen seen_caches(void)
{
    struct gateway_seen g = {
        .ingresses = cluster_cache(s.cluster, &kind_ingress),
        .classes = cluster_cache(s.cluster, &kind_ingressclass),
        .services = cluster_cache(s.cluster, &kind_service),
        .slices = cluster_cache(s.cluster, &kind_endpointslice),
        .secrets = cluster_cache(s.cluster, &kind_secret),
    };

    loop_sim_run_until_idle(s.loop);
    return g;
}

static void make(void)
{
    struct gateway_seen g = seen_caches();

    gateway_plan_make(&plan, &g);
}

static void add_web(void)
{
    seen_add(&s, &kind_service,
             "{'metadata':{'name':'web'},'spec':{'ports':[{'name':'http','port':80,'targetPort':8080}]}}");
    seen_add(&s, &kind_endpointslice,
             "{'metadata':{'name':'web-1','labels':{'kubernetes.io/"
             "service-name':'web'}},'ports':[{'name':'http','port':8080}],"
             "'endpoints':[{'addresses':['10.0.0.2'],'conditions':{'ready':true}},"
             "{'addresses':['10.0.0.1'],'conditions':{'ready':true}},{'addresses':['10.0.0.3'],'conditions':{'ready':"
             "false}}]}");
}

static void add_ingress(const char *host, const char *path, const char *type)
{
    seen_add(&s, &kind_ingress,
             "{'metadata':{'name':'i'},'spec':{'rules':[{'host':'%s','http':{'paths':[{'path':'%s','pathType':'%s',"
             "'backend':{'service':{'name':'web','port':{'number':80}}}}]}}]}}",
             host, path, type);
}

static void finish(void)
{
    gateway_plan_done(&plan);
    seen_done(&s);
}

TEST("a backend has the endpoints that serve now, by address")
{
    seen_init(&s);
    add_web();
    add_ingress("a.example", "/", "Prefix");
    make();
    ASSERT_INT(plan.backends_count, 1);
    ASSERT_STR(plan.backends[0]->name, "be_default_web_80");
    ASSERT_INT(plan.backends[0]->count, 2);
    ASSERT_STR(plan.backends[0]->servers[0].address, "10.0.0.1:8080");
    ASSERT_STR(plan.backends[0]->servers[0].name, "10-0-0-1-8080");
    finish();
}

TEST("a prefix matches whole path elements, an exact path only itself")
{
    seen_init(&s);
    add_web();
    add_ingress("a.example", "/shop/", "Prefix");
    make();
    ASSERT_INT(plan.prefix.count, 1);
    ASSERT_STR(plan.prefix.items[0].key, "a.example/shop/");
    gateway_plan_done(&plan);
    add_ingress("a.example", "/shop", "Exact");
    make();
    ASSERT_INT(plan.prefix.count, 0);
    ASSERT_STR(plan.exact.items[0].key, "a.example/shop");
    finish();
}

TEST("a rule without a host has keys that start with the path")
{
    seen_init(&s);
    add_web();
    add_ingress("", "/", "Prefix");
    make();
    ASSERT_STR(plan.prefix.items[0].key, "/");
    finish();
}

TEST("hosts and paths that could mean something to HAProxy are left out and named")
{
    seen_init(&s);
    add_web();
    add_ingress("a.example", "/x; shutdown frontend http", "Prefix");
    make();
    ASSERT_INT(plan.prefix.count + plan.exact.count, 0);
    ASSERT_INT(plan.refused_count, 1);
    ASSERT_CONTAINS(plan.refused[0].text, "path '/x; shutdown");
    finish();
}

TEST("a route to a Service that does not exist answers 503 instead of falling through")
{
    seen_init(&s);
    add_ingress("a.example", "/", "Prefix");
    make();
    ASSERT_STR(plan.prefix.items[0].backend, "be_none");
    finish();
}

TEST("an Ingress of another controller's class is left alone")
{
    seen_init(&s);
    add_web();
    seen_add(&s, &kind_ingressclass, "{'metadata':{'name':'other'},'spec':{'controller':'example.com/other'}}");
    seen_add(
        &s, &kind_ingress,
        "{'metadata':{'name':'i'},'spec':{'ingressClassName':'other','defaultBackend':{'service':{'name':'web','port':"
        "{'name':'http'}}}}}");
    make();
    ASSERT_INT(plan.prefix.count, 0);
    finish();
}

TEST("HAProxy accepts the files")
{
    AUTO_BUF struct buf out = BUF_MAX(64 * KIB);
    AUTO_BUF struct buf words = BUF_MAX(64 * KIB);
    AUTO_ERROR struct error err = { 0 };
    struct process_exit how;
    struct slots slots = { 0 };
    char folder[4096];

    seen_init(&s);
    add_web();
    add_ingress("*.example", "/", "Prefix");
    make();
    ASSERT(realpath(test_folder(), folder));
    struct config_paths paths = { .folder = folder, .http_port = 18080, .https_port = 18443 };
    ASSERT_INT(config_default_certificate(&paths, time_wall_ms(), &err), 0);
    slots_renew(&slots, &plan);
    ASSERT_INT(config_write(&plan, &slots, &paths, &err), 0);
    slots_done(&slots);
    AUTO_FREE char *config = xasprintf("%s/haproxy.cfg.new", folder);
    const char *const argv[] = { "haproxy", "-c", "-f", config, NULL };
    ASSERT_INT(process_run(&(struct process_options){ .argv = argv }, STR_NONE, &out, &words, 20000, &how, &err), 0);
    if (how.code != 0)
        FAIL("%.*s", STR_ARG(buf_str(&words)));
    finish();
}

TEST("endpoints change nothing that needs a reload, a new Service does")
{
    char before[SHA256_HEX_SIZE], after[SHA256_HEX_SIZE];
    struct config_paths paths = { .folder = "/x", .http_port = 80, .https_port = 443 };

    seen_init(&s);
    add_web();
    add_ingress("a.example", "/", "Prefix");
    make();
    config_structure(&plan, &paths, before);
    gateway_plan_done(&plan);
    seen_remove(&s, &kind_endpointslice, "default", "web-1");
    make();
    config_structure(&plan, &paths, after);
    ASSERT_STR(str_of(after), before);
    gateway_plan_done(&plan);
    seen_remove(&s, &kind_service, "default", "web");
    make();
    config_structure(&plan, &paths, after);
    ASSERT(!str_is(str_of(after), before));
    finish();
}

static void add_endpoints(const char *endpoints)
{
    add_web();
    seen_add(&s, &kind_endpointslice,
             "{'metadata':{'name':'web-1','labels':{'kubernetes.io/service-name':'web'}},"
             "'ports':[{'name':'http','port':8080}],'endpoints':[%s]}",
             endpoints);
    add_ingress("a.example", "/", "Prefix");
    make();
}

#define SERVING "{'addresses':['10.0.0.1'],'conditions':{'ready':true,'serving':true,'terminating':false}}"
#define ENDING  "{'addresses':['10.0.0.2'],'conditions':{'ready':false,'serving':true,'terminating':true}}"
#define UNHEARD "{'addresses':['10.0.0.3'],'conditions':{'ready':false,'serving':true,'terminating':false}}"
#define FAILING "{'addresses':['10.0.0.4'],'conditions':{'ready':false,'serving':false,'terminating':false}}"

TEST("while something is ready nothing else is used, and what is unheard is named as lost")
{
    seen_init(&s);
    add_endpoints(SERVING "," ENDING "," UNHEARD "," FAILING);
    ASSERT_INT(plan.backends[0]->count, 1);
    ASSERT_STR(plan.backends[0]->servers[0].address, "10.0.0.1:8080");
    ASSERT_INT(plan.backends[0]->lost_count, 1);
    ASSERT_STR(plan.backends[0]->lost[0].address, "10.0.0.3:8080");
    finish();
}

TEST("without a ready endpoint those that may still serve are used")
{
    seen_init(&s);
    add_endpoints(ENDING "," UNHEARD "," FAILING);
    ASSERT_INT(plan.backends[0]->count, 2);
    ASSERT_INT(plan.backends[0]->lost_count, 0);
    finish();
}

TEST("an address used by another pod is another server")
{
    seen_init(&s);
    add_endpoints("{'addresses':['10.0.0.1'],'targetRef':{'kind':'Pod','name':'a','uid':'one'}}");
    AUTO_FREE char *before = str_dup(plan.backends[0]->servers[0].name);
    gateway_plan_done(&plan);
    add_endpoints("{'addresses':['10.0.0.1'],'targetRef':{'kind':'Pod','name':'b','uid':'two'}}");
    ASSERT(!str_is(plan.backends[0]->servers[0].name, before));
    ASSERT_STR(plan.backends[0]->servers[0].address, "10.0.0.1:8080");
    finish();
}

TEST("addresses that are none do not become servers")
{
    seen_init(&s);
    add_endpoints("{'addresses':['10.0.0.1;x']},{'addresses':['fd00::1']},{'addresses':['host']},{'addresses':[]}");
    ASSERT_INT(plan.backends[0]->count, 0);
    finish();
}

TEST("an encoded path is compared decoded, and refused when that means something to HAProxy")
{
    seen_init(&s);
    add_web();
    add_ingress("a.example", "/%61b", "Exact");
    make();
    ASSERT_STR(plan.exact.items[0].key, "a.example/ab");
    gateway_plan_done(&plan);
    add_ingress("a.example", "/a%0Ashutdown", "Exact");
    make();
    ASSERT_INT(plan.exact.count, 0);
    ASSERT_INT(plan.refused_count, 1);
    finish();
}

TEST("hosts that are no host names are refused")
{
    static const char *const hosts[] = { "*", "*a.example", "a.*.example", "a b", "A.example", "a/b", "a;b", "a\\nb" };

    for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
        seen_init(&s);
        add_web();
        add_ingress(hosts[i], "/", "Prefix");
        make();
        ASSERT_INT(plan.prefix.count, 0);
        ASSERT_INT(plan.refused_count, 1);
        finish();
    }
}

TEST("a resource backend is refused and answers 503")
{
    seen_init(&s);
    seen_add(&s, &kind_ingress,
             "{'metadata':{'name':'i'},'spec':{'defaultBackend':{'resource':{'kind':'Bucket','name':'b'}}}}");
    make();
    ASSERT_STR(plan.prefix.items[0].key, "/");
    ASSERT_STR(plan.prefix.items[0].backend, "be_none");
    ASSERT_STR(plan.refused[0].text, "resource backend 'b' is left out");
    finish();
}

TEST("a TLS secret that is missing or broken is refused, and the Ingress serves the rest")
{
    seen_init(&s);
    add_web();
    seen_add(&s, &kind_secret,
             "{'metadata':{'name':'bad'},'type':'kubernetes.io/tls','data':{'tls.crt':'eHg=','tls.key':'eHg='}}");
    seen_add(&s, &kind_ingress,
             "{'metadata':{'name':'i'},'spec':{'defaultBackend':{'service':{'name':'web','port':{'number':80}}},"
             "'tls':[{'hosts':['a.example'],'secretName':'bad'},{'hosts':['b.example'],'secretName':'missing'}]}}");
    make();
    ASSERT_INT(plan.certificates_count, 0);
    ASSERT_INT(plan.refused_count, 2);
    ASSERT_STR(plan.prefix.items[0].backend, "be_default_web_80");
    finish();
}
