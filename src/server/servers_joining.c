/* Joining a cluster as a further server. */
#include "server/servers_joining.h"

#include "base/file.h"
#include "base/time.h"
#include "object/value.h"
#include "server/pki_files.h"
#include "transport/http_client.h"

#define LOG_PART "servers"
#include "base/log.h"

#include <stdlib.h>

#define ANSWER_MAX    (1 * MIB)
#define TRY_MS        (15 * SECOND_MS)
#define AGAIN_MIN_MS  50
#define AGAIN_MAX_MS  (1 * SECOND_MS)
#define TELL_EVERY_MS (10 * SECOND_MS)
#define HASH_LENGTH   64

struct servers_joining {
    struct servers_joining_options o;
    struct tls_context *tls;
    struct http_client *client;
    struct http_call *call;
    struct secret bearer;
    struct str hash; /* in o.token */
    struct loop_timer again;
    int64_t wait_ms, told_ms;
    servers_joined_fn *done;
    void *arg;
};

/* --- the answer --------------------------------------------------------------------------------------------------------- */

static struct str text_of(const struct value *v, const char *name)
{
    return value_to_str(value_get_str(v, str_of(name)));
}

static const struct {
    const char *member, *file;
    mode_t mode;
    bool of_etcd; /* only with a member on this machine */
} files[] = {
    /* Keys first: a certificate whose key is missing is an error at the next start, a key without certificate is not. */
    { "serviceAccountKey", "service-account.key", 0600 },
    { "etcdCaKey", "etcd-ca.key", 0600, true },
    { "etcdCa", "etcd-ca.crt", 0644, true },
    { "caKey", "ca.key", 0600 },
    { "ca", "ca.crt", 0644 },
};

/* The authority must be the one the token names, and its key must belong to it. */
static int check_authority(const struct servers_joining *j, const struct value *v, struct error *err)
{
    AUTO_SECRET struct secret pem = { 0 };
    char pin[65];
    struct pki_cert *ca = pki_cert_read(text_of(v, "ca"), err);

    if (!ca)
        return error_context(err, "the cluster's authority");
    pki_cert_public_key_sha256(ca, pin);
    secret_set(&pem, text_of(v, "caKey"));
    struct pki_key *key = str_is(j->hash, pin) ? pki_key_read(&pem, err) : NULL;
    int result = key && pki_files_belong(ca, key)
                     ? 0
                     : fail(err, ERR_UNAUTHORIZED, "the server handed over another authority than the token names");
    pki_key_free(key);
    pki_cert_free(ca);
    return result;
}

/* Keys of another cluster are never overwritten. */
static int check_folder(const struct servers_joining *j, const char *folder, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/ca.crt", folder);
    AUTO_BUF struct buf text = BUF_MAX(PKI_FILE_MAX_BYTES);
    char pin[65] = "";

    if (!file_exists(path))
        return 0;
    struct pki_cert *ca = file_read(path, &text, NULL) == 0 ? pki_cert_read(buf_str(&text), NULL) : NULL;
    if (ca)
        pki_cert_public_key_sha256(ca, pin);
    pki_cert_free(ca);
    if (str_is(j->hash, pin))
        return 0;
    return fail(err, ERR_CONFLICT,
                "'%s' holds the keys of another cluster: give an empty folder as --data, or remove that one",
                j->o.data_folder);
}

static int check_same(const struct value *settings, const char *name, const char *option, const char *own,
                      struct error *err)
{
    struct str theirs = text_of(settings, name);

    if (!theirs.n || str_is(theirs, own))
        return 0;
    return fail(err, ERR_BAD_REQUEST, "the cluster's %s is '%.*s', not '%s': start this server with the same", option,
                STR_ARG(theirs), own);
}

static int check_settings(const struct servers_joining *j, const struct value *v, struct error *err)
{
    const struct value *settings = value_get_str(v, STR("settings"));

    if (check_same(settings, "serviceCidr", "--service-cidr", j->o.service_cidr, err) < 0 ||
        check_same(settings, "podCidr", "--pod-cidr", j->o.pod_cidr, err) < 0)
        return -1;
    return check_same(settings, "serviceAccountIssuer", "--service-account-issuer", j->o.service_account_issuer, err);
}

static int keep(struct servers_joining *j, const struct value *v, struct error *err)
{
    AUTO_FREE char *folder = xasprintf("%s/pki", j->o.data_folder);
    const struct value *etcd = value_get_str(v, STR("etcd")), *list = value_get_str(etcd, STR("endpoints"));
    struct str endpoints[SERVERS_MAX];
    size_t count = value_type(list) == VALUE_ARRAY ? MIN(list->items_count, (uint32_t)SERVERS_MAX) : 0;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (!text_of(v, files[i].member).n && (j->o.peer_url || !files[i].of_etcd))
            return fail(err, ERR_INTERNAL, "the server's answer lacks '%s'", files[i].member);
    if (check_authority(j, v, err) < 0 || check_settings(j, v, err) < 0 || check_folder(j, folder, err) < 0 ||
        file_mkdirs(folder, 0700, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        AUTO_FREE char *path = xasprintf("%s/%s", folder, files[i].file);
        if (files[i].of_etcd && !j->o.peer_url)
            continue;
        if (file_write(path, text_of(v, files[i].member), files[i].mode, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < count; i++)
        endpoints[i] = value_to_str(list->items[i]);
    if (j->o.peer_url)
        server_record_set_endpoints(j->o.record, endpoints, count);
    server_record_set(&j->o.record->cluster_token, text_of(etcd, "clusterToken"));
    server_record_set(&j->o.record->initial_cluster, text_of(etcd, "initialCluster"));
    j->o.record->learning = j->o.peer_url != NULL;
    j->o.record->member = false;
    return server_record_save(j->o.data_folder, j->o.record, err);
}

/* --- asking --------------------------------------------------------------------------------------------------------------- */

static void finish(struct servers_joining *j, const struct error *err)
{
    j->done(j->arg, err);
}

static void later(struct servers_joining *j, const char *why)
{
    int64_t now_ms = loop_now_ms(j->o.loop);

    if (!j->told_ms || now_ms - j->told_ms >= TELL_EVERY_MS) {
        log_info("joining: not yet, asking again", KV("server", "%s", j->o.url), KV("why", "%s", why));
        j->told_ms = now_ms;
    }
    loop_timer_start(&j->again, j->wait_ms);
    j->wait_ms = MIN(j->wait_ms * 2, AGAIN_MAX_MS);
}

static void on_answer(void *arg, const struct http_response *head, struct str body, const struct error *failed)
{
    struct servers_joining *j = arg;
    AUTO_ERROR struct error err = { 0 };
    AUTO_ARENA struct arena a = { 0 };

    j->call = NULL;
    if (failed && failed->code == ERR_UNAUTHORIZED) {
        fail(&err, ERR_UNAUTHORIZED, "%s is not a server of the cluster the token is for: %s", j->o.url,
             error_text(failed));
        finish(j, &err);
        return;
    }
    if (failed) {
        later(j, error_text(failed));
        return;
    }
    struct value *v = value_parse(&a, body, NULL, &err);
    if (head->status == 200) {
        if (v && keep(j, v, &err) == 0)
            finish(j, NULL);
        else
            finish(j, &err);
        return;
    }
    struct str message = text_of(v, "message");
    fail(&err, error_code_of_reason(text_of(v, "reason"), head->status), "the server refused the join: %.*s",
         STR_ARG(message.n ? message : STR("no reason given")));
    if (head->status == 429 || head->status >= 500)
        later(j, error_text(&err));
    else
        finish(j, &err);
}

static void ask(void *arg)
{
    struct servers_joining *j = arg;
    AUTO_BUF struct buf body = BUF_MAX(64 * KIB);
    AUTO_ARENA struct arena a = { 0 };
    const struct http_header headers[] = { { STR_INIT("content-type"), STR_INIT("application/json") } };
    struct value *o = value_object(&a);

    value_put_str(&a, o, STR("name"), value_text(&a, j->o.record->name));
    value_put_str(&a, o, STR("zone"), value_text(&a, j->o.record->zone ? j->o.record->zone : ""));
    if (j->o.peer_url) {
        value_put_str(&a, o, STR("etcdPeerUrl"), value_text(&a, j->o.peer_url));
        value_put_str(&a, o, STR("etcdClientUrl"), value_text(&a, j->o.client_url));
    }
    value_write(&body, o);
    struct http_call_request r = { .method = STR("POST"),
                                   .target = STR("/klein/v1/servers/join"),
                                   .headers = headers,
                                   .headers_count = ARRAY_SIZE(headers),
                                   .bearer = &j->bearer,
                                   .body = buf_str(&body),
                                   .timeout_ms = TRY_MS,
                                   .total_timeout_ms = TRY_MS };
    j->call = http_client_fetch(j->client, &r, ANSWER_MAX, on_answer, j);
}

struct servers_joining *servers_joining_start(const struct servers_joining_options *o, servers_joined_fn *done,
                                              void *arg, struct error *err)
{
    struct str token = str_of(o->token), url = str_of(o->url);
    ptrdiff_t dot = str_find_last(token, '.');

    if (dot < 0 || token.n - (size_t)dot - 1 != HASH_LENGTH)
        return fail_null(err, ERR_BAD_REQUEST,
                         "the token is not of the form ID.SECRET.HASH (`klein token --for-server`)");
    if (!str_starts(url, STR("https://")))
        return fail_null(err, ERR_BAD_REQUEST, "--join must be the https URL of a server, not '%s'", o->url);
    struct servers_joining *j = xnew(struct servers_joining);
    j->o = *o;
    j->done = done;
    j->arg = arg;
    j->wait_ms = AGAIN_MIN_MS;
    j->hash = str_from(token, (size_t)dot + 1);
    secret_set(&j->bearer, str_part(token, 0, (size_t)dot));
    loop_timer_init(&j->again, o->loop, ask, j);
    j->tls = tls_context_new_client(&(struct tls_client_options){ .ca_sha256 = j->hash }, err);
    if (j->tls)
        j->client = http_client_new(
            o->loop,
            &(struct http_client_options){
                .servers = &url, .servers_count = 1, .tls = j->tls, .connect_timeout_ms = 2 * SECOND_MS },
            err);
    if (!j->client) {
        servers_joining_free(j);
        return NULL;
    }
    loop_timer_start(&j->again, 0);
    return j;
}

void servers_joining_free(struct servers_joining *j)
{
    if (!j)
        return;
    loop_timer_stop(&j->again);
    if (j->call)
        http_call_cancel(j->call);
    http_client_free(j->client);
    tls_context_unref(j->tls);
    secret_done(&j->bearer);
    free(j);
}
