/*
 * Every namespace has the ConfigMap kube-root-ca.crt with the cluster CA, which pods mount beside their token. Made when a namespace
 * appears, put back when it is changed or deleted. Source: pkg/controller/certificates/rootcacertpublisher.
 */
#define LOG_PART "server"
#include "server/server_internal.h"

#include "base/log.h"
#include "base/map.h"
#include "base/time.h"
#include "kinds/fields.h"

#include <stdio.h>
#include <stdlib.h>

#define NAME          STR("kube-root-ca.crt")
#define RETRY_MS      1000
#define IN_FLIGHT_MAX 16

struct publisher {
    struct server *server;
    struct api *api;
    struct state_listener *listener;
    struct map wanted; /* names of namespaces to look at; the values mean nothing */
    struct loop_timer timer;
    size_t in_flight;
    bool ended;
};

struct writing {
    struct publisher *p;
    struct str namespace_;
    char text[256];
};

static void look(struct publisher *p, struct str namespace_)
{
    map_put(&p->wanted, namespace_, p);
    if (!p->ended && !loop_timer_running(&p->timer))
        loop_timer_start(&p->timer, 0);
}

static void changed(void *arg, const struct change *c)
{
    if (c->kind == &kind_namespace && c->type != CHANGE_DELETED)
        look(arg, object_name(c->object));
    else if (c->kind == &kind_configmap && str_eq(object_name(c->object), NAME))
        look(arg, object_namespace(c->object));
}

static void publisher_free(struct publisher *p)
{
    if (p->in_flight)
        return;
    p->api->ops->free(p->api);
    map_done(&p->wanted);
    free(p);
}

static void written(void *arg, UNUSED const struct object *result, const struct error *err)
{
    struct writing *w = arg;
    struct publisher *p = w->p;
    p->in_flight--;
    /* A namespace that ends takes no more objects; everything else is tried again. */
    if (err && err->code != ERR_FORBIDDEN && err->code != ERR_NOT_FOUND && err->code != ERR_ALREADY_EXISTS &&
        !p->ended) {
        log_warn("kube-root-ca.crt could not be written, trying again in 1 s", KV_STR("namespace", w->namespace_),
                 KV_ERR(err));
        map_put(&p->wanted, w->namespace_, p);
        if (!loop_timer_running(&p->timer))
            loop_timer_start(&p->timer, RETRY_MS);
    } else if (p->wanted.count && !p->ended && !loop_timer_running(&p->timer)) {
        loop_timer_start(&p->timer, 0);
    }
    free(w);
    if (p->ended)
        publisher_free(p);
}

static void write_one(struct publisher *p, struct str namespace_)
{
    struct str pem = ca_certificate_pem(server_ca(p->server));
    const struct object *now = state_get(server_state(p->server), &kind_configmap, namespace_, NAME);
    const struct object *home = state_get(server_state(p->server), &kind_namespace, STR_NONE, namespace_);
    struct view data = view_get(object_root(now), F_CONFIG_MAP_DATA);
    if (!home || view_present(view_path(object_root(home), F_POD_METADATA, F_OBJECT_META_DELETION_TIMESTAMP)))
        return;
    if (now && view_count(data) == 1 && str_eq(view_str(view_get_str(data, STR("ca.crt"))), pem))
        return;
    AUTO_ARENA struct arena a = { 0 };
    struct value *tree = value_of_view(&a, object_root(now));
    if (!tree) {
        tree = value_object(&a);
        value_set_text(&a, tree, F_POD_API_VERSION, "v1");
        value_set_text(&a, tree, F_POD_KIND, "ConfigMap");
        struct value *metadata = value_make_object(&a, tree, F_POD_METADATA);
        value_set(&a, metadata, F_OBJECT_META_NAME, NAME);
        value_set(&a, metadata, F_OBJECT_META_NAMESPACE, namespace_);
        value_put_str(
            &a, value_make_object(&a, metadata, F_OBJECT_META_ANNOTATIONS), STR("kubernetes.io/description"),
            value_text(&a, "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
                           "endpoints such as the internal service IP or kubernetes.default.svc."));
    }
    struct value *wanted = value_object(&a);
    value_put_str(&a, wanted, STR("ca.crt"), value_str(&a, pem));
    value_put(&a, tree, F_CONFIG_MAP_DATA, wanted);
    AUTO_OBJECT struct object *body = object_new(tree, NULL);
    struct writing *w = xnew(struct writing);
    w->p = p;
    w->namespace_ = (struct str){ w->text, (size_t)snprintf(w->text, sizeof(w->text), "%.*s", STR_ARG(namespace_)) };
    p->in_flight++;
    api_call(p->api,
             &(struct api_call){ .verb = now ? API_UPDATE : API_CREATE,
                                 .kind = &kind_configmap,
                                 .namespace_ = w->namespace_,
                                 .name = NAME,
                                 .body = body,
                                 .field_manager = STR("klein-server"),
                                 .grace_seconds = -1 },
             written, w);
}

static void work(void *arg)
{
    struct publisher *p = arg;
    struct str namespace_;
    void *value;
    for (size_t i = 0; p->in_flight < IN_FLIGHT_MAX && map_next(&p->wanted, &i, &namespace_, &value);) {
        char text[256];
        int n = snprintf(text, sizeof(text), "%.*s", STR_ARG(namespace_));
        map_del(&p->wanted, namespace_);
        write_one(p, (struct str){ text, (size_t)n });
    }
}

static bool look_each(void *arg, const struct object *o)
{
    look(arg, object_name(o));
    return true;
}

int ca_publish_init(struct server *s, UNUSED struct error *err)
{
    struct publisher *p = xnew(struct publisher);
    p->server = s;
    p->api = server_api(s, &identity_server);
    loop_timer_init(&p->timer, server_loop(s), work, p);
    p->listener = state_listen(server_state(s), NULL, changed, p);
    server_part_set(s, SERVER_PART_ca_publish, p);
    state_each(server_state(s), &kind_namespace, STR_NONE, look_each, p);
    return 0;
}

void ca_publish_done(struct server *s)
{
    struct publisher *p = server_part(s, SERVER_PART_ca_publish);
    if (!p)
        return;
    server_part_set(s, SERVER_PART_ca_publish, NULL);
    state_unlisten(p->listener);
    loop_timer_stop(&p->timer);
    p->ended = true;
    publisher_free(p);
}
