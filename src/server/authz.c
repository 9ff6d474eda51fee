/* The authorize phase, and the chain of authorizers behind it. */
#include "server/authz.h"

#include "server/server.h"

#include <stdlib.h>

struct authz {
    struct rbac *rbac;
    struct state_listener *listener;
};

static const struct kind *const rbac_kinds[] = { &kind_role, &kind_clusterrole, &kind_rolebinding,
                                                 &kind_clusterrolebinding };

static void changed(void *arg, const struct change *c)
{
    struct authz *z = arg;
    bool ours = false;
    for (size_t i = 0; i < ARRAY_SIZE(rbac_kinds); i++)
        ours |= c->kind == rbac_kinds[i];
    if (!ours)
        return;
    if (c->type == CHANGE_DELETED)
        rbac_remove(z->rbac, c->kind, object_namespace(c->object), object_name(c->object));
    else
        rbac_put(z->rbac, c->kind, c->object);
}

struct loading {
    struct rbac *rbac;
    const struct kind *kind;
};

static bool load_one(void *arg, const struct object *o)
{
    struct loading *l = arg;
    rbac_put(l->rbac, l->kind, o);
    return true;
}

int authz_init(struct server *s, UNUSED struct error *err)
{
    struct authz *z = xnew(struct authz);
    z->rbac = rbac_new();
    for (size_t i = 0; i < ARRAY_SIZE(rbac_kinds); i++)
        state_each(server_state(s), rbac_kinds[i], STR_NONE, load_one, &(struct loading){ z->rbac, rbac_kinds[i] });
    z->listener = state_listen(server_state(s), NULL, changed, z);
    server_part_set(s, SERVER_PART_authz, z);
    return 0;
}

void authz_done(struct server *s)
{
    struct authz *z = server_part(s, SERVER_PART_authz);
    if (!z)
        return;
    state_unlisten(z->listener);
    rbac_free(z->rbac);
    free(z);
    server_part_set(s, SERVER_PART_authz, NULL);
}

struct rbac *server_rbac(struct server *s)
{
    return ((struct authz *)server_part(s, SERVER_PART_authz))->rbac;
}

bool authz_allows(struct server *s, struct arena *arena, const struct authz_attributes *a, struct str *ret_reason)
{
    struct str reason = STR("");
    bool allowed = identity_in_group(a->identity, STR("system:masters")) ||
                   authz_node(s, arena, a, &reason) == AUTHZ_ALLOW || rbac_allows(server_rbac(s), a);
    if (ret_reason)
        *ret_reason = allowed ? STR("") : reason;
    return allowed;
}

/* As Go's %q does for what can stand in a name: quotes, backslashes and control bytes escaped. */
static void add_quoted(struct buf *to, struct str s)
{
    buf_add_char(to, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            buf_add_char(to, '\\');
        if (c < 0x20 || c == 0x7f)
            buf_addf(to, "\\x%02x", c);
        else
            buf_add_char(to, (char)c);
    }
    buf_add_char(to, '"');
}

/* Source: apiserver/pkg/endpoints/handlers/responsewriters, forbiddenMessage. */
static void add_sentence(struct buf *to, const struct authz_attributes *a)
{
    buf_add_text(to, "User ");
    add_quoted(to, a->identity->user);
    buf_addf(to, " cannot %.*s ", STR_ARG(a->verb));
    if (!a->is_resource) {
        buf_add_text(to, "path ");
        add_quoted(to, a->path);
        return;
    }
    buf_addf(to, "resource \"%.*s%s%.*s\" in API group \"%.*s\" ", STR_ARG(a->resource),
             str_empty(a->subresource) ? "" : "/", STR_ARG(a->subresource), STR_ARG(a->group));
    if (str_empty(a->namespace_)) {
        buf_add_text(to, "at the cluster scope");
    } else {
        buf_add_text(to, "in the namespace ");
        add_quoted(to, a->namespace_);
    }
}

int authz_forbid(const struct authz_attributes *a, struct str reason, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(8 * KIB);
    if (a->is_resource) {
        buf_add(&text, a->resource);
        if (!str_empty(a->group))
            buf_addf(&text, ".%.*s", STR_ARG(a->group));
        if (!str_empty(a->name)) {
            buf_add_char(&text, ' ');
            add_quoted(&text, a->name);
        }
        buf_add_text(&text, " is forbidden: ");
    } else {
        buf_add_text(&text, "forbidden: ");
    }
    add_sentence(&text, a);
    if (!str_empty(reason))
        buf_addf(&text, ": %.*s", STR_ARG(reason));
    fail(err, ERR_FORBIDDEN, "%.*s", STR_ARG(buf_str(&text)));
    error_set_details(err, a->group, a->is_resource ? a->resource : STR(""), a->name);
    return -1;
}

enum phase_result authz_phase(struct request *r)
{
    struct str reason;
    struct authz_attributes a = {
        .identity = &r->identity,
        .is_resource = r->info.is_resource,
        .verb = r->info.verb,
        .group = r->info.group,
        .version = r->info.version,
        .resource = r->info.resource,
        .subresource = r->info.subresource,
        .namespace_ = r->info.namespace_,
        .name = r->info.name,
        .path = r->info.path,
        .field_selector = r->options.field_selector,
    };
    if (server_config(r->server)->allow_all || authz_allows(r->server, &r->arena, &a, &reason))
        return PHASE_DONE;
    authz_forbid(&a, reason, &r->err);
    return PHASE_FAILED;
}
