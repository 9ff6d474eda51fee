/*
 * POST /klein/v1/servers/join: a further server gets the cluster's keys and a place among the members of etcd.
 * The other side is servers_joining.c.
 *
 * What is handed over opens everything: only to a bootstrap token of the group system:bootstrappers:klein-servers, only over TLS (whose
 * server the caller has pinned), counted per address like every join, and a token belongs to the name that used it first. The member is
 * added as a learner; the joining server has it promoted. Every step may be repeated.
 */
#include "base/file.h"
#include "base/time.h"
#include "server/authn.h"
#include "server/servers_internal.h"
#include "server/servers_plan.h"

#define LOG_PART "servers"
#include "base/log.h"

#define STEPS_MAX 8 /* of the plan: remove the old member, remove a learner that gave up, add */

struct join {
    struct request *request;
    struct servers *servers;
    struct str name, zone, peer_url, client_url, token_id;
    int steps;
};

static struct str text_of(const struct value *v, const char *name)
{
    return value_to_str(value_get_str(v, str_of(name)));
}

/* https://IP:PORT and nothing after it: it goes into etcd's arguments. */
static bool is_url(struct str url)
{
    struct address a;
    struct str rest = str_from(url, STR("https://").n);

    if (!str_starts(url, STR("https://")) || rest.n > 64 || str_find(rest, '/') >= 0 || str_find(rest, ',') >= 0)
        return false;
    return address_parse(rest, &a, NULL) == 0 && !address_is_unix(&a) && address_port(&a) != 0;
}

static enum phase_result check_identity(struct request *r)
{
    const struct http_peer *peer = r->exchange ? r->exchange->peer : NULL;

    if (!peer || (!peer->tls && !peer->in_process))
        return request_fail(r, ERR_FORBIDDEN, "servers join over TLS only");
    if (!str_starts(r->identity.user, STR("system:bootstrap:")) || !str_empty(r->impersonator.user) ||
        !identity_in_group(&r->identity, STR(SERVERS_BOOTSTRAP_GROUP)))
        return request_fail(r, ERR_FORBIDDEN,
                            "User \"%.*s\" may not join as a server: that needs a token of the group "
                            "%s (`klein token --for-server`)",
                            STR_ARG(r->identity.user), SERVERS_BOOTSTRAP_GROUP);
    return PHASE_DONE;
}

static enum phase_result read_body(struct request *r, struct join *j)
{
    struct value *body = value_parse(&r->arena, r->body, NULL, &r->err);

    if (!body)
        return PHASE_FAILED;
    j->name = text_of(body, "name");
    j->zone = text_of(body, "zone");
    j->peer_url = text_of(body, "etcdPeerUrl");
    j->client_url = text_of(body, "etcdClientUrl");
    if (!servers_name_is_good(j->name))
        return request_fail(r, ERR_BAD_REQUEST, "name is no DNS label of lower case letters, digits and '-'");
    if (j->servers->local->external)
        return PHASE_DONE;
    if (!is_url(j->peer_url))
        return request_fail(r, ERR_BAD_REQUEST, "etcdPeerUrl is not https://IP:PORT");
    if (!is_url(j->client_url))
        return request_fail(r, ERR_BAD_REQUEST, "etcdClientUrl is not https://IP:PORT");
    return PHASE_DONE;
}

/* --- the answer ---------------------------------------------------------------------------------------------------------------- */

static int put_file(struct request *r, struct value *o, const char *member, const char *file)
{
    AUTO_FREE char *path = xasprintf("%s/pki/%s", server_config(r->server)->data_folder, file);
    AUTO_BUF struct buf text = BUF_MAX(PKI_FILE_MAX_BYTES);

    if (file_read(path, &text, &r->err) < 0)
        return error_context(&r->err, "the cluster's keys");
    value_put_str(&r->arena, o, str_of(member), value_str(&r->arena, arena_str(&r->arena, buf_str(&text))));
    explicit_bzero(text.p, text.n);
    return 0;
}

static void put(struct arena *a, struct value *o, const char *name, struct str text)
{
    value_put_str(a, o, str_of(name), value_str(a, text));
}

/* "NAME=PEERURL,..." of all members; the new one has no name yet. */
static struct str initial_cluster(struct join *j, const struct etcd_member *members, size_t count)
{
    AUTO_BUF struct buf text = BUF_MAX(16 * KIB);

    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < members[i].peer_urls_count; k++) {
            bool own = str_eq(members[i].peer_urls[k], j->peer_url);
            struct str name = own ? j->name : members[i].name;
            buf_addf(&text, "%s%.*s=%.*s", text.n ? "," : "", STR_ARG(name), STR_ARG(members[i].peer_urls[k]));
        }
    return arena_str(&j->request->arena, buf_str(&text));
}

static struct value *endpoints(struct join *j, const struct etcd_member *members, size_t count)
{
    struct arena *a = &j->request->arena;
    struct value *list = value_array(a);

    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < members[i].client_urls_count && !members[i].learner; k++)
            value_append(a, list, value_str(a, arena_str(a, members[i].client_urls[k])));
    return list;
}

static enum phase_result answer(struct join *j, const struct etcd_member *members, size_t count)
{
    struct request *r = j->request;
    struct arena *a = &r->arena;
    const struct server_config *config = server_config(r->server);
    AUTO_BUF struct buf text = BUF_MAX(MIB);
    struct value *o = value_object(a), *etcd = value_object(a), *settings = value_object(a);

    if (put_file(r, o, "ca", "ca.crt") < 0 || put_file(r, o, "caKey", "ca.key") < 0 ||
        put_file(r, o, "serviceAccountKey", "service-account.key") < 0)
        return PHASE_FAILED;
    if (!j->servers->local->external &&
        (put_file(r, o, "etcdCa", "etcd-ca.crt") < 0 || put_file(r, o, "etcdCaKey", "etcd-ca.key") < 0))
        return PHASE_FAILED;
    put(a, etcd, "clusterToken", str_of(j->servers->local->record.cluster_token));
    put(a, etcd, "initialCluster", initial_cluster(j, members, count));
    value_put_str(a, etcd, STR("endpoints"), endpoints(j, members, count));
    value_put_str(a, o, STR("etcd"), etcd);
    put(a, settings, "serviceCidr", str_of(config->service_cidr));
    put(a, settings, "podCidr", str_of(config->pod_cidr));
    put(a, settings, "serviceAccountIssuer", str_of(config->service_account_issuer));
    value_put_str(a, o, STR("settings"), settings);
    value_write(&text, o);
    log_warn("the cluster's keys were handed to a joining server", KV_STR("server", j->name),
             KV_STR("by", r->identity.user), KV_STR("etcd", j->peer_url));
    enum phase_result result = request_answer(r, 200, STR("application/json"), buf_str(&text));
    explicit_bzero(text.p, text.n);
    return result;
}

/* --- towards a member, step by step ---------------------------------------------------------------------------------------------- */

static void refuse(struct join *j, const struct error *err)
{
    struct request *r = j->request;

    request_fail(r, err->code, "%s", error_text(err));
    if (err->code == ERR_UNAVAILABLE)
        r->err.retry_after_s = 1;
    request_resume(r, PHASE_FAILED);
}

static void step(struct join *j);

static void on_added(void *arg, UNUSED uint64_t id, const struct etcd_member *members, size_t count,
                     const struct error *err)
{
    struct join *j = arg;
    AUTO_ERROR struct error later = { 0 };

    if (!err) {
        request_resume(j->request, answer(j, members, count));
        return;
    }
    /* Too many learners, an election: the joining server asks again. */
    fail(&later, err->code == ERR_ALREADY_EXISTS ? ERR_CONFLICT : ERR_UNAVAILABLE, "%s", error_text(err));
    refuse(j, &later);
}

static void on_removed(void *arg, UNUSED uint64_t id, UNUSED const struct etcd_member *members, UNUSED size_t count,
                       const struct error *err)
{
    struct join *j = arg;

    if (err && err->code != ERR_NOT_FOUND)
        refuse(j, err);
    else
        step(j);
}

static void on_members(void *arg, const struct plan_member *plan, const struct etcd_member *etcd, size_t count,
                       const struct error *failed)
{
    struct join *j = arg;
    AUTO_ERROR struct error err = { 0 };
    struct etcd_admin *admin = j->servers->local->admin;

    if (failed) {
        fail(&err, ERR_UNAVAILABLE, "the members cannot be asked: %s", error_text(failed));
        refuse(j, &err);
        return;
    }
    struct servers_plan next = servers_plan_join(j->name, j->peer_url, plan, count, &err);
    if (next.step == SERVERS_KEEP) {
        request_resume(j->request, answer(j, etcd, count));
    } else if (next.step == SERVERS_ADD) {
        etcd_admin_member_add(admin, j->peer_url, true, on_added, j);
    } else if (next.step == SERVERS_REMOVE) {
        log_warn("an old member makes place for a joining server", KV_STR("server", j->name),
                 KV("member", "%llx", (unsigned long long)next.id));
        etcd_admin_member_remove(admin, next.id, on_removed, j);
    } else {
        refuse(j, &err);
    }
}

static void step(struct join *j)
{
    AUTO_ERROR struct error err = { 0 };

    if (++j->steps > STEPS_MAX) {
        fail(&err, ERR_UNAVAILABLE, "the members change all the time: try again");
        refuse(j, &err);
        return;
    }
    if (j->servers->local->external)
        request_resume(j->request, answer(j, NULL, 0));
    else
        servers_members_ask(j->servers, on_members, j);
}

/* --- a token is one server's ------------------------------------------------------------------------------------------------------- */

static void check_token_use(struct join *j)
{
    AUTO_ERROR struct error err = { 0 };
    struct raw_value used;
    struct str key = arena_printf(&j->request->arena, "/klein/joins/%.*s", STR_ARG(j->token_id));

    if (raw_get(server_state(j->request->server), key, &used) && str_eq(used.value, j->name)) {
        step(j);
        return;
    }
    fail(&err, ERR_FORBIDDEN, "the token was used by server \"%.*s\": a token is for one server", STR_ARG(used.value));
    refuse(j, &err);
}

static void on_token_used(void *arg, UNUSED uint64_t revision, const struct error *err)
{
    struct join *j = arg;

    if (!err)
        step(j);
    else if (err->code == ERR_ALREADY_EXISTS)
        check_token_use(j);
    else
        refuse(j, err);
}

static enum phase_result use_token(struct join *j)
{
    struct request *r = j->request;

    j->token_id = str_from(r->identity.user, STR("system:bootstrap:").n);
    struct raw_write w = { .type = STORE_PUT,
                           .key = arena_printf(&r->arena, "/klein/joins/%.*s", STR_ARG(j->token_id)),
                           .value = j->name,
                           .expect = STORE_EXPECT_ABSENT };
    raw_write(server_state(r->server), &w, on_token_used, j);
    return PHASE_WAIT;
}

enum phase_result servers_join(struct request *r)
{
    struct join *j = arena_new(&r->arena, struct join);

    *j = (struct join){ .request = r, .servers = servers_of(r->server) };
    if (!str_is(r->info.verb, "post"))
        return request_fail(r, ERR_METHOD_NOT_ALLOWED,
                            "the server does not allow this method on the requested resource");
    if (!authn_attempt(r)) {
        request_fail(r, ERR_TOO_MANY_REQUESTS, "too many attempts from this address, try again later");
        r->err.retry_after_s = 1;
        return PHASE_FAILED;
    }
    if (check_identity(r) == PHASE_FAILED)
        return PHASE_FAILED;
    if (!j->servers->local || !j->servers->local->is_etcd)
        return request_fail(r, ERR_CONFLICT,
                            "this cluster has one server with a store of its own, which no other can share: "
                            "`klein grow` makes it one on etcd");
    if (read_body(r, j) == PHASE_FAILED)
        return PHASE_FAILED;
    return use_token(j);
}
