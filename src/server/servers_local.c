/* Opening the store by its kind. */
#include "server/servers_local.h"

#include "backup/pour.h"
#include "base/file.h"
#include "base/time.h"
#include "server/server_internal.h"
#include "server/servers_joining.h"
#include "store/seed.h"

#define LOG_PART "servers"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define AGAIN_MS      30 /* promoting a learner: it catches up in a few round trips */
#define QUORUM_MS     200
#define TELL_EVERY_MS (10 * SECOND_MS)
#define ADMIN_MS      1500 /* a member that is gone must not hold the others up */
#define FILE_MAX      (256 * KIB)

static const struct servers_config *config_of(const struct servers_local *l)
{
    return &l->server->config.servers;
}

static const char *data_of(const struct servers_local *l)
{
    return l->server->config.data_folder;
}

static void end(struct servers_local *l, const struct error *err)
{
    server_done_fn *done = TAKE(l->done);

    done(l->arg, err);
}

static void tell(struct servers_local *l, const char *what, const char *why)
{
    int64_t now_ms = loop_now_ms(l->server->loop);

    if (l->told_ms && now_ms - l->told_ms < TELL_EVERY_MS)
        return;
    l->told_ms = now_ms;
    log_info(what, KV("why", "%s", why));
}

static void later(struct servers_local *l, loop_fn *fn, int64_t ms)
{
    loop_timer_init(&l->again, l->server->loop, fn, l);
    loop_timer_start(&l->again, ms);
}

/* --- the record ------------------------------------------------------------------------------------------------------------- */

bool servers_name_is_good(struct str name)
{
    bool good = name.n >= 1 && name.n <= 63 && name.p[0] != '-' && name.p[name.n - 1] != '-';

    for (size_t i = 0; i < name.n && good; i++)
        good = (name.p[i] >= 'a' && name.p[i] <= 'z') || (name.p[i] >= '0' && name.p[i] <= '9') || name.p[i] == '-';
    return good;
}

static void default_name(struct server_record *r)
{
    char host[256] = "";

    gethostname(host, sizeof(host) - 1);
    struct str all = str_of(host), first;
    str_cut(&all, '.', &first);
    server_record_set(&r->name, first);
}

/* What was decided once is not changed by an option: a store would seem empty, a member would be a stranger. */
static int check_recorded(const struct servers_local *l, const char *option, const char *recorded, const char *given,
                          const char *how, struct error *err)
{
    if (!given || !recorded || !recorded[0] || str_is(str_of(recorded), given))
        return 0;
    return fail(err, ERR_CONFLICT, "the server in '%s' has --%s %s, not %s: %s", data_of(l), option, recorded, given,
                how);
}

static int take_record(struct servers_local *l, struct error *err)
{
    const struct servers_config *c = config_of(l);
    struct server_record *r = &l->record;
    AUTO_FREE char *sqlite = xasprintf("%s/store", data_of(l));
    bool found;

    if (server_record_load(data_of(l), r, &found, err) < 0)
        return -1;
    if (!found && file_exists(sqlite)) /* of a klein that kept no record */
        server_record_set(&r->store, STR("sqlite"));
    if (r->removed)
        return fail(err, ERR_CONFLICT,
                    "server '%s' was removed from its cluster; to join again remove '%s' and start with --join and "
                    "--token",
                    r->name, data_of(l));
    if (check_recorded(l, "store", r->store, c->store, "an existing store is not replaced by another kind", err) < 0)
        return -1;
    if (!r->store || !r->store[0])
        server_record_set(&r->store, str_of(c->store ? c->store : "sqlite"));
    if (!str_is(str_of(r->store), "sqlite") && !str_is(str_of(r->store), "etcd"))
        return fail(err, ERR_BAD_REQUEST, "there is no store '%s': --store is sqlite or etcd", r->store);
    l->is_etcd = str_is(str_of(r->store), "etcd");
    if (r->member && check_recorded(l, "name", r->name, c->name, "leave and join again to change it", err) < 0)
        return -1;
    if (c->name)
        server_record_set(&r->name, str_of(c->name));
    else if (!r->name || !r->name[0])
        default_name(r);
    if (!servers_name_is_good(str_of(r->name)))
        return fail(err, ERR_BAD_REQUEST,
                    "the server's name '%s' is no DNS label of lower case letters, digits and '-': give another with "
                    "--name",
                    r->name);
    if (c->zone || !r->zone)
        server_record_set(&r->zone, str_of(c->zone));
    return 0;
}

static int take_address(struct servers_local *l, struct error *err)
{
    const struct servers_config *c = config_of(l);
    const char *address = c->address ? c->address : l->server->config.advertise;
    AUTO_FREE char *probe = NULL;
    struct address parsed;

    if (l->record.member &&
        check_recorded(l, "address", l->record.address, address, "leave and join again to change it", err) < 0)
        return -1;
    if (!l->record.member || !l->record.address || !l->record.address[0])
        server_record_set(&l->record.address, str_of(address ? address : "127.0.0.1"));
    bool six = str_find(str_of(l->record.address), ':') >= 0;
    probe = xasprintf(six ? "[%s]:1" : "%s:1", l->record.address);
    if (address_parse(str_of(probe), &parsed, NULL) < 0 || str_is(str_of(l->record.address), "0.0.0.0"))
        return fail(err, ERR_BAD_REQUEST, "--address '%s' is no IP address at which other servers could reach this one",
                    l->record.address);
    const char *form = six ? "https://[%s]:%d" : "https://%s:%d";
    l->client_url = xasprintf(form, l->record.address, c->etcd_client_port ? c->etcd_client_port : ETCD_CLIENT_PORT);
    l->peer_url = xasprintf(form, l->record.address, c->etcd_peer_port ? c->etcd_peer_port : ETCD_PEER_PORT);
    return 0;
}

/* --- the engine ------------------------------------------------------------------------------------------------------------- */

static void on_quorum(void *arg, UNUSED uint64_t revision, const struct error *err);

static void ask_quorum(void *arg)
{
    struct servers_local *l = arg;

    store_barrier(l->server->store, on_quorum, l);
}

/* --- a state that moves here from SQLite (klein server migrate) --- */

static char *seed_folder(const struct servers_local *l)
{
    bool has = l->record.seed && str_is(str_of(l->record.seed), "store");

    return has ? xasprintf("%s/store", data_of(l)) : NULL;
}

static void on_poured(void *arg, uint64_t entries, const struct error *failed)
{
    struct servers_local *l = arg;
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *folder = seed_folder(l);
    AUTO_FREE char *kept = xasprintf("%s.moved-%lld", folder, (long long)env_wall_ms(l->server->env));

    l->pour = NULL;
    if (failed) {
        fail(&err, failed->code, "the state of '%s' could not be moved to etcd; it is still there: %s", folder,
             error_text(failed));
        end(l, &err);
        return;
    }
    server_record_set(&l->record.seed, STR_NONE);
    if (server_record_save(data_of(l), &l->record, &err) < 0) {
        end(l, &err);
        return;
    }
    rename(folder, kept); /* a folder that stays where it was is of no use to anybody, and harms nobody */
    log_info("the state moved to etcd", KV("objects", "%llu", (unsigned long long)entries), KV("kept", "%s", kept));
    end(l, NULL);
}

static void pour_or_end(struct servers_local *l)
{
    AUTO_FREE char *folder = seed_folder(l);

    if (folder)
        l->pour = pour_start(l->server->store, folder, on_poured, l);
    else
        end(l, NULL);
}

static void on_quorum(void *arg, UNUSED uint64_t revision, const struct error *err)
{
    struct servers_local *l = arg;

    if (!l->done)
        return;
    if (!err) {
        pour_or_end(l);
        return;
    }
    tell(l, "waiting for a majority of the servers", error_text(err));
    later(l, ask_quorum, QUORUM_MS);
}

static size_t endpoints_of(const struct servers_local *l, bool own_first, struct str to[SERVERS_MAX + 1])
{
    const struct server_record *r = &l->record;
    struct str own = str_of(l->client_url);
    size_t n = 0;

    if (own.n && own_first)
        to[n++] = own;
    for (size_t i = 0; i < r->endpoints_count && n < SERVERS_MAX; i++)
        if (!str_eq(str_of(r->endpoints[i]), own))
            to[n++] = str_of(r->endpoints[i]);
    if (own.n && !own_first)
        to[n++] = own;
    return n;
}

static void open_engine(struct servers_local *l)
{
    AUTO_ERROR struct error err = { 0 };
    struct server *s = l->server;
    struct str endpoints[SERVERS_MAX + 1];
    struct store_etcd_options o = { .endpoints = endpoints,
                                    .endpoints_count = endpoints_of(l, true, endpoints),
                                    .tls = l->tls,
                                    .prefix = str_of(config_of(l)->etcd_prefix),
                                    .server = str_of(l->record.name) };

    AUTO_FREE char *seed = seed_folder(l);
    if (!seed || store_sqlite_last_revision(seed, &o.base_if_new, &err) == 0)
        s->store = store_open_etcd(s->loop, s->env, &o, state_on_change, s->state, &err);
    if (!s->store) {
        end(l, &err);
        return;
    }
    server_follow_store(s);
    ask_quorum(l);
}

/* --- a learner is promoted --------------------------------------------------------------------------------------------------- */

static void look_at_members(void *arg);

static void on_promoted(void *arg, UNUSED uint64_t id, UNUSED const struct etcd_member *members, UNUSED size_t count,
                        const struct error *err)
{
    struct servers_local *l = arg;

    if (!l->done)
        return;
    if (err) /* not in step yet, or the answer was lost: the list tells */
        tell(l, "joining: the local etcd is catching up", error_text(err));
    later(l, look_at_members, err ? AGAIN_MS : 0);
}

static void joined(struct servers_local *l)
{
    AUTO_ERROR struct error err = { 0 };

    l->record.learning = false;
    if (server_record_save(data_of(l), &l->record, &err) < 0) {
        end(l, &err);
        return;
    }
    log_info("joined the cluster", KV("server", "%s", l->record.name));
    open_engine(l);
}

static void on_members(void *arg, UNUSED uint64_t id, const struct etcd_member *members, size_t count,
                       const struct error *err)
{
    struct servers_local *l = arg;
    const struct etcd_member *own = NULL;

    if (!l->done)
        return;
    for (size_t i = 0; i < count && !err; i++)
        for (size_t k = 0; k < members[i].peer_urls_count; k++)
            if (str_is(members[i].peer_urls[k], l->peer_url))
                own = &members[i];
    if (err || !own) {
        tell(l, "joining: looking for this server among the members", err ? error_text(err) : "it is not there");
        later(l, look_at_members, err ? AGAIN_MS : QUORUM_MS);
    } else if (own->learner && !own->name.n) {
        later(l, look_at_members, AGAIN_MS); /* not started yet */
    } else if (own->learner) {
        etcd_admin_member_promote(l->admin, own->id, on_promoted, l);
    } else {
        joined(l);
    }
}

static void look_at_members(void *arg)
{
    struct servers_local *l = arg;

    etcd_admin_member_list(l->admin, on_members, l);
}

/* --- the local member -------------------------------------------------------------------------------------------------------- */

static int make_admin(struct servers_local *l, struct error *err)
{
    struct str endpoints[SERVERS_MAX + 1];
    /* Others first while we join: a learner answers nothing about members. */
    size_t count = endpoints_of(l, !l->record.learning, endpoints);

    l->admin =
        etcd_admin_new(l->server->loop,
                       &(struct etcd_admin_options){
                           .endpoints = endpoints, .endpoints_count = count, .tls = l->tls, .timeout_ms = ADMIN_MS },
                       err);
    return l->admin ? 0 : -1;
}

static int start_member(struct servers_local *l, struct error *err)
{
    const struct servers_config *c = config_of(l);
    struct server_record *r = &l->record;
    AUTO_FREE char *pki = xasprintf("%s/pki", data_of(l));
    bool changed = false;

    if (etcd_pki_open(&l->pki, pki, str_of(r->name), str_of(r->address), l->server->env, &changed, err) < 0 ||
        !(l->tls = etcd_pki_tls(&l->pki, err)))
        return -1;
    if (!r->initial_cluster || !r->initial_cluster[0]) {
        char token[UUID_TEXT_SIZE];
        AUTO_FREE char *alone = xasprintf("%s=%s", r->name, l->peer_url);
        server_record_set(&r->initial_cluster, str_of(alone));
        server_record_set(&r->cluster_token, str_of(env_uuid(l->server->env, token)));
    }
    struct etcd_process_options o = { .folder = data_of(l),
                                      .name = r->name,
                                      .address = r->address,
                                      .client_port = c->etcd_client_port,
                                      .peer_port = c->etcd_peer_port,
                                      .ca_file = l->pki.ca_file,
                                      .certificate_file = l->pki.certificate_file,
                                      .key_file = l->pki.key_file,
                                      .cluster_token = r->cluster_token,
                                      .initial_cluster = r->initial_cluster,
                                      .existing = r->learning };
    /* Noted first: should etcd's data ever be missing from now on, it was lost, and no new cluster is made in its place. */
    r->member = true;
    if (server_record_save(data_of(l), r, err) < 0 || make_admin(l, err) < 0)
        return -1;
    l->process = etcd_process_start(l->server->loop, &o, err);
    return l->process ? 0 : -1;
}

static void go_on(struct servers_local *l)
{
    AUTO_ERROR struct error err = { 0 };

    if (start_member(l, &err) < 0)
        end(l, &err);
    else if (l->record.learning)
        look_at_members(l);
    else
        open_engine(l);
}

/* --- an etcd cluster of one's own ------------------------------------------------------------------------------------------- */

static int read_file(const char *option, const char *path, struct buf *to, struct error *err)
{
    if (!path)
        return 0;
    return file_read(path, to, err) < 0 ? error_context(err, "%s", option) : 0;
}

static int open_external(struct servers_local *l, struct error *err)
{
    const struct servers_config *c = config_of(l);
    AUTO_BUF struct buf ca = BUF_MAX(FILE_MAX);
    AUTO_BUF struct buf certificate = BUF_MAX(FILE_MAX);
    AUTO_BUF struct buf key_text = BUF_MAX(FILE_MAX);
    AUTO_SECRET struct secret key = { 0 };
    struct str endpoints[SERVERS_MAX];
    size_t count = 0;

    for (; c->etcd_endpoints[count] && count < SERVERS_MAX; count++)
        endpoints[count] = str_of(c->etcd_endpoints[count]);
    server_record_set_endpoints(&l->record, endpoints, count);
    if (read_file("--etcd-ca", c->etcd_ca, &ca, err) < 0 ||
        read_file("--etcd-cert", c->etcd_certificate, &certificate, err) < 0 ||
        read_file("--etcd-key", c->etcd_key, &key_text, err) < 0)
        return -1;
    secret_set(&key, buf_str(&key_text));
    if (key_text.p)
        explicit_bzero(key_text.p, key_text.n);
    if (ca.n || certificate.n) {
        struct tls_client_options o = { .ca_pem = buf_str(&ca),
                                        .certificate_pem = buf_str(&certificate),
                                        .key_pem = certificate.n ? &key : NULL };
        l->tls = tls_context_new_client(&o, err);
        if (!l->tls)
            return error_context(err, "etcd's certificates");
    }
    return server_record_save(data_of(l), &l->record, err) < 0 ? -1 : make_admin(l, err);
}

/* --- opening ------------------------------------------------------------------------------------------------------------------ */

static void on_joined(void *arg, const struct error *err)
{
    struct servers_local *l = arg;

    servers_joining_free(l->joining);
    l->joining = NULL;
    if (err)
        end(l, err);
    else if (l->external)
        open_engine(l);
    else
        go_on(l);
}

static int start_joining(struct servers_local *l, struct error *err)
{
    const struct server_config *config = &l->server->config;
    struct servers_joining_options o = { .loop = l->server->loop,
                                         .url = config->servers.join,
                                         .token = config->servers.join_token,
                                         .data_folder = config->data_folder,
                                         .peer_url = l->peer_url,
                                         .client_url = l->client_url,
                                         .service_cidr = config->service_cidr,
                                         .pod_cidr = config->pod_cidr,
                                         .service_account_issuer = config->service_account_issuer,
                                         .record = &l->record };

    if (!o.token)
        return fail(err, ERR_BAD_REQUEST,
                    "--join needs --token or --token-file: `klein token --for-server` on a server of "
                    "the cluster makes one");
    l->joining = servers_joining_start(&o, on_joined, l, err);
    return l->joining ? 0 : -1;
}

/* 0: the end comes later. */
static int open_etcd(struct servers_local *l, struct error *err)
{
    AUTO_FREE char *keys = xasprintf("%s/pki/ca.key", data_of(l));
    bool join = config_of(l)->join != NULL;

    if (l->external) {
        if (open_external(l, err) < 0)
            return -1;
        if (join && !file_exists(keys))
            return start_joining(l, err);
        open_engine(l);
        return 0;
    }
    if (take_address(l, err) < 0)
        return -1;
    if (!etcd_process_has_data(data_of(l)) && join)
        return start_joining(l, err);
    if (!etcd_process_has_data(data_of(l)) && l->record.member && !l->record.learning)
        return fail(
            err, ERR_CONFLICT,
            "the data of etcd is gone from '%s/etcd', and a new store in its place would be empty: with other "
            "servers alive, start this one with --join URL and --token (`klein token --for-server` on one of them)",
            data_of(l));
    go_on(l);
    return 0;
}

void servers_open(struct server *s, server_done_fn *done, void *arg)
{
    AUTO_ERROR struct error err = { 0 };
    struct servers_local *l = xnew(struct servers_local);
    AUTO_FREE char *folder = xasprintf("%s/store", s->config.data_folder);

    s->local = l;
    l->server = s;
    l->done = done;
    l->arg = arg;
    l->external = s->config.servers.etcd_endpoints && s->config.servers.etcd_endpoints[0];
    if (file_mkdirs(s->config.data_folder, 0700, &err) < 0 || take_record(l, &err) < 0) {
        end(l, &err);
        return;
    }
    if (l->is_etcd) {
        s->config.name = l->record.name;
        if (open_etcd(l, &err) < 0)
            end(l, &err);
        return;
    }
    s->store = store_open_sqlite(s->loop, s->env, folder, state_on_change, s->state, &err);
    if (s->store)
        server_follow_store(s);
    end(l, s->store ? NULL : &err);
}

struct servers_local *servers_local(struct server *s)
{
    return s->local;
}

void servers_local_set_endpoints(struct servers_local *l, const struct str *endpoints, size_t count)
{
    AUTO_ERROR struct error err = { 0 };
    struct str all[SERVERS_MAX + 1];
    bool same = count == l->record.endpoints_count;

    for (size_t i = 0; i < count && same; i++)
        same = str_is(endpoints[i], l->record.endpoints[i]);
    if (same || !l->is_etcd || l->external)
        return;
    server_record_set_endpoints(&l->record, endpoints, count);
    count = endpoints_of(l, true, all);
    store_etcd_set_endpoints(l->server->store, all, count);
    if (etcd_admin_set_endpoints(l->admin, all, count, &err) < 0 ||
        server_record_save(data_of(l), &l->record, &err) < 0)
        log_warn("the servers' addresses could not be noted", KV_ERR(&err));
}

void servers_local_stop(struct servers_local *l)
{
    if (!l)
        return;
    l->done = NULL;
    loop_timer_stop(&l->again);
    servers_joining_free(l->joining);
    l->joining = NULL;
    pour_cancel(l->pour);
    l->pour = NULL;
}

void servers_local_renew(struct servers_local *l)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *pki = xasprintf("%s/pki", data_of(l));
    struct etcd_pki now = { 0 };
    bool changed = false;

    if (!l->pki.folder)
        return;
    if (etcd_pki_open(&now, pki, str_of(l->record.name), str_of(l->record.address), l->server->env, &changed, &err) <
        0) {
        log_error("etcd's certificate cannot be renewed; trying again", KV_ERR(&err));
        return;
    }
    struct tls_context *tls = changed ? etcd_pki_tls(&now, &err) : NULL;
    if (tls) {
        /* etcd itself reads the files anew with each connection. */
        store_etcd_set_tls(l->server->store, tls);
        etcd_admin_set_tls(l->admin, tls);
        tls_context_unref(l->tls);
        l->tls = tls;
        log_info("etcd's certificate renewed");
    }
    etcd_pki_done(&now);
}

void servers_local_end_admin(struct servers_local *l)
{
    struct etcd_admin *admin = TAKE(l->admin);

    etcd_admin_free(admin);
}

void servers_local_free(struct servers_local *l)
{
    if (!l)
        return;
    servers_local_stop(l);
    servers_local_end_admin(l);
    etcd_process_free(l->process);
    tls_context_unref(l->tls);
    etcd_pki_done(&l->pki);
    server_record_done(&l->record);
    free(l->client_url);
    free(l->peer_url);
    free(l);
}
