/* bootstrap_objects(): the list of what must be there is worked off, namespaces first. */
#define LOG_PART "server"
#include "server/rbac_bootstrap.h"

#include "base/file.h"
#include "base/log.h"
#include "kinds/fields.h"

#include <stdlib.h>

struct bootstrap {
    struct server *server;
    struct api *api;
    struct arena arena;
    struct bootstrap_items lists[2]; /* worked off one after the other */
    size_t list;
    size_t in_flight, changed;
    struct str join_token; /* to be written when everything stands */
    struct error err;      /* the first failure that matters */
    server_done_fn *done;
    void *arg;
};

struct step {
    struct bootstrap *b;
    const struct bootstrap_item *item;
};

static void work(struct bootstrap *b);

static void finish(struct bootstrap *b)
{
    if (b->changed)
        log_info("objects every cluster has were made or repaired", KV("count", "%zu", b->changed));
    if (!b->err.code && !str_empty(b->join_token))
        file_write(bootstrap_join_token_path(b->server, &b->arena).p, b->join_token, 0600, &b->err);
    server_done_fn *done = b->done;
    void *arg = b->arg;
    struct error err = { 0 };
    error_move(&err, &b->err);
    b->api->ops->free(b->api);
    for (size_t i = 0; i < ARRAY_SIZE(b->lists); i++)
        free(b->lists[i].items);
    arena_done(&b->arena);
    free(b);
    done(arg, err.code ? &err : NULL);
    error_done(&err);
}

static void written(void *arg, UNUSED const struct object *result, const struct error *err)
{
    struct step *step = arg;
    struct bootstrap *b = step->b;
    struct str name = value_to_str(value_path(step->item->wanted, F_POD_METADATA, F_OBJECT_META_NAME));
    if (!err) {
        b->changed++;
    } else if (err->code != ERR_ALREADY_EXISTS && err->code != ERR_CONFLICT) { /* another server was first */
        log_error("an object every cluster has could not be written", KV("kind", "%s", step->item->kind->kind),
                  KV_STR("name", name), KV_ERR(err));
        if (!b->err.code && step->item->kind == &kind_namespace)
            fail(&b->err, err->code, "namespace '%.*s': %s", STR_ARG(name), error_text(err));
    }
    free(step);
    if (--b->in_flight == 0)
        work(b);
}

static void write_item(struct bootstrap *b, const struct bootstrap_item *item)
{
    const struct value *metadata = value_get(item->wanted, F_POD_METADATA);
    struct str name = value_to_str(value_get(metadata, F_OBJECT_META_NAME));
    struct str namespace_ = value_to_str(value_get(metadata, F_OBJECT_META_NAMESPACE));
    const struct object *now = state_get(server_state(b->server), item->kind, namespace_, name);
    const struct value *tree = now ? bootstrap_repair(&b->arena, item->kind, item->wanted, now) : item->wanted;
    if (!tree)
        return;
    AUTO_OBJECT struct object *body = object_new(tree, &b->err);
    if (!body)
        return;
    struct step *step = xnew(struct step);
    *step = (struct step){ b, item };
    b->in_flight++;
    api_call(b->api,
             &(struct api_call){ .verb = now ? API_UPDATE : API_CREATE,
                                 .kind = item->kind,
                                 .namespace_ = namespace_,
                                 .name = name,
                                 .body = body,
                                 .field_manager = STR("klein-server"),
                                 .grace_seconds = -1 },
             written, step);
}

static void work(struct bootstrap *b)
{
    while (b->list < ARRAY_SIZE(b->lists) && b->in_flight == 0) {
        struct bootstrap_items *l = &b->lists[b->list++];
        for (size_t i = 0; i < l->count; i++)
            write_item(b, &l->items[i]);
    }
    if (b->in_flight == 0)
        finish(b);
}

static void start(void *arg)
{
    work(arg);
}

void bootstrap_add(struct bootstrap_items *l, const struct kind *kind, struct value *wanted)
{
    GROW(l->items, l->count, l->capacity);
    l->items[l->count++] = (struct bootstrap_item){ kind, wanted };
}

static int write_admin_kubeconfig(struct server *s, struct arena *a, struct error *err)
{
    if (!server_config(s)->data_folder)
        return 0;
    struct str path = arena_printf(a, "%s/admin.kubeconfig", server_config(s)->data_folder);
    return ca_write_admin_kubeconfig(server_ca(s), STR("klein"), bootstrap_api_url(s, a), path.p, err);
}

void bootstrap_objects(struct server *s, server_done_fn *done, void *arg)
{
    struct bootstrap *b = xnew(struct bootstrap);
    b->server = s;
    b->api = server_api(s, &identity_server);
    b->done = done;
    b->arg = arg;
    bootstrap_add_namespaces(&b->arena, &b->lists[0]);
    bootstrap_add_kubernetes_service(s, &b->arena, &b->lists[1]);
    if (server_config(s)->data_folder)
        b->join_token = bootstrap_add_join_token(s, &b->arena, &b->lists[1]);
    if (bootstrap_add_facts(&b->arena, &b->lists[1], &b->err) < 0 || write_admin_kubeconfig(s, &b->arena, &b->err) < 0)
        b->list = ARRAY_SIZE(b->lists);
    loop_post(server_loop(s), start, b);
}
