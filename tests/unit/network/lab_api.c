/* An API that says what the test wants: only watches work. */
#include "lab.h"

#include "base/list.h"
#include "kinds/api.h"

#include <stdio.h>

struct fake_api {
    struct api api;
    struct list watches;
};

struct api_watch {
    struct list link;
    const struct kind *kind;
    struct api_watch_callbacks cb;
};

static uint64_t revision = 100;

uint64_t lab_revision(void)
{
    return revision;
}

static struct api_watch *watch(struct api *api, const struct api_watch_request *request,
                               const struct api_watch_callbacks *cb)
{
    struct fake_api *f = container_of(api, struct fake_api, api);
    struct api_watch *w = xnew(struct api_watch);

    w->kind = request->kind;
    w->cb = *cb;
    list_add_tail(&f->watches, &w->link);
    return w;
}

static void watch_close(struct api_watch *w)
{
    list_del(&w->link);
    free(w);
}

struct api *lab_api(void)
{
    static const struct api_ops ops = { .watch = watch, .watch_close = watch_close };
    struct fake_api *f = xnew(struct fake_api);

    kinds_init();
    f->api.ops = &ops;
    list_init(&f->watches);
    return &f->api;
}

void lab_api_free(struct api *api)
{
    free(container_of(api, struct fake_api, api));
}

static void emit(struct api *api, enum api_event_type type, const char *kind, const struct object *o)
{
    struct fake_api *f = container_of(api, struct fake_api, api);
    struct api_event event = { .type = type, .object = o, .revision = revision };

    list_each (&f->watches, struct api_watch, link, w)
        if (!kind || str_is(str_of(kind), w->kind->kind))
            w->cb.on_event(w->cb.arg, &event);
}

static void emit_json(struct api *api, enum api_event_type type, const char *json)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_OBJECT struct object *parsed = object_parse(str_of(json), &err), *o = NULL;
    AUTO_FREE char *kind = NULL;

    ASSERT_OK(parsed, &err);
    kind = str_dup(view_str(view_get_str(object_root(parsed), STR("kind"))));
    o = object_with_revision(parsed, ++revision);
    emit(api, type, kind, o);
}

void lab_say(struct api *api, const char *json)
{
    emit_json(api, API_MODIFIED, json);
}

void lab_take_back(struct api *api, const char *json)
{
    emit_json(api, API_DELETED, json);
}

void lab_synced(struct api *api)
{
    emit(api, API_SYNCED, NULL, NULL);
}

void lab_bookmark(struct api *api, const char *kind)
{
    revision++;
    emit(api, API_BOOKMARK, kind, NULL);
}

void lab_say_node(struct api *api, const struct lab_node *n, int cidr)
{
    char json[512];

    snprintf(json, sizeof(json),
             "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\"},\"spec\":{\"podCIDR\":"
             "\"10.244.%d.0/24\"},\"status\":{\"addresses\":[{\"type\":\"Hostname\",\"address\":\"x\"},{\"type\":"
             "\"InternalIP\",\"address\":\"%s\"}]}}",
             n->name, cidr, n->address);
    lab_say(api, json);
}

void lab_say_service(struct api *api, const char *name, const char *cluster_ip, const char *protocol, const char *extra)
{
    char json[1024];

    snprintf(json, sizeof(json),
             "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"default\"},"
             "\"spec\":{%s\"clusterIP\":\"%s\",\"ports\":[{\"name\":\"web\",\"port\":80,\"nodePort\":30080,"
             "\"protocol\":\"%s\"}]}}",
             name, extra, cluster_ip, protocol);
    lab_say(api, json);
}

void lab_say_endpoints(struct api *api, const char *service, const char *protocol, const char *const *endpoints)
{
    AUTO_BUF struct buf json = BUF_MAX(MIB);

    buf_addf(&json,
             "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"%s-1\","
             "\"namespace\":\"default\",\"labels\":{\"kubernetes.io/service-name\":\"%s\"}},\"addressType\":\"IPv4\","
             "\"ports\":[{\"name\":\"web\",\"port\":8080,\"protocol\":\"%s\"}],\"endpoints\":[",
             service, service, protocol);
    for (size_t i = 0; endpoints[i]; i++) {
        struct str rest = str_of(endpoints[i]), ip, node = STR_NONE;
        str_next(&rest, '@', &ip);
        str_next(&rest, '@', &node);
        buf_addf(&json,
                 "%s{\"addresses\":[\"%.*s\"],\"nodeName\":\"%.*s\",\"zone\":\"%.*s\",\"conditions\":{\"ready\":true}}",
                 i ? "," : "", STR_ARG(ip), STR_ARG(node), STR_ARG(rest));
    }
    buf_add_text(&json, "]}");
    lab_say(api, json.p);
}
