/* Who a request comes from: certificates, tokens, nobody; and what is refused. Over HTTP in process. */
#include "front.h"

#include "base/codec.h"
#include "base/time.h"
#include "kinds/fields.h"
#include "server/tokens.h"
#include "transport/http_client.h"

static struct front f;

struct answer {
    bool done;
    int status;
    struct buf body;
};
static struct answer a;

static void on_fetched(UNUSED void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    if (err)
        FAIL("no answer: %s", error_text(err));
    a.status = head->status;
    buf_clear(&a.body);
    buf_add(&a.body, body);
    a.done = true;
}

static bool is_true(void *flag)
{
    return *(bool *)flag;
}

static void call(const struct http_peer *peer, const char *method, const char *target, const char *body,
                 const struct http_header *headers, size_t count)
{
    static const struct http_peer nobody = { 0 };
    struct http_client *client = http_client_new_local(f.loop, server_handler, f.server, peer ? peer : &nobody);
    a.done = false;
    a.body.max = MIB;
    http_client_fetch(client,
                      &(struct http_call_request){ .method = str_of(method),
                                                   .target = str_of(target),
                                                   .headers = headers,
                                                   .headers_count = count,
                                                   .body = str_of(body) },
                      MIB, on_fetched, NULL);
    if (!loop_sim_run_until(f.loop, is_true, &a.done, 60000))
        FAIL("no answer to %s %s within a minute", method, target);
    http_client_free(client);
}

static void bearer(const char *token, const char *target)
{
    AUTO_FREE char *value = xasprintf("Bearer %s", token);
    call(NULL, "GET", target, "", &(struct http_header){ STR("authorization"), str_of(value) }, 1);
}

static void stop(void)
{
    buf_done(&a.body);
    a = (struct answer){ 0 };
    front_stop(&f);
}

#define WHO     "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
#define ME      "/apis/authentication.k8s.io/v1/selfsubjectreviews"
#define ME_BODY "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"SelfSubjectReview\"}"

static void who(const struct http_peer *peer, const struct http_header *headers, size_t count)
{
    struct http_header all[8] = { { STR("content-type"), STR("application/json") } };
    for (size_t i = 0; i < count; i++)
        all[i + 1] = headers[i];
    call(peer, "POST", ME, ME_BODY, all, count + 1);
}

TEST("without a credential a request is anonymous: public paths are served, the rest is forbidden")
{
    front_start(&f, NULL);
    call(NULL, "GET", "/version", "", NULL, 0);
    ASSERT_INT(a.status, 200);
    call(NULL, "GET", "/api/v1/namespaces/default/pods", "", NULL, 0);
    ASSERT_INT(a.status, 403);
    ASSERT_CONTAINS(a.body, "pods is forbidden: User \\\"system:anonymous\\\" cannot list resource \\\"pods\\\" in API "
                            "group \\\"\\\" in the "
                            "namespace \\\"default\\\"");
    stop();
}

TEST("anonymous requests can be switched off")
{
    front_start(&f, &(struct server_config){ .no_anonymous = true });
    call(NULL, "GET", "/version", "", NULL, 0);
    ASSERT_INT(a.status, 401);
    ASSERT_CONTAINS(a.body, "\"reason\":\"Unauthorized\"");
    stop();
}

TEST("a certificate gives the user its common name and its organizations as groups")
{
    struct str organizations[] = { STR("devs") };
    struct http_peer peer = {
        .certificate = true, .common_name = STR("jane"), .organizations = organizations, .organizations_count = 1
    };
    front_start(&f, NULL);
    who(&peer, NULL, 0);
    ASSERT_INT(a.status, 201);
    ASSERT_CONTAINS(a.body, "\"username\":\"jane\"");
    ASSERT_CONTAINS(a.body, "\"groups\":[\"devs\",\"system:authenticated\"]");
    stop();
}

TEST("a foreign or expired certificate is 401 and never anonymous")
{
    struct http_peer peer = { .certificate = true,
                              .certificate_error = "certificate has expired",
                              .common_name = STR("admin") };
    front_start(&f, NULL);
    call(&peer, "GET", "/version", "", NULL, 0);
    ASSERT_INT(a.status, 401);
    peer = (struct http_peer){ .certificate = true }; /* no common name: nobody */
    call(&peer, "GET", "/version", "", NULL, 0);
    ASSERT_INT(a.status, 401);
    stop();
}

TEST("what is shown as a credential and is none is 401 and never anonymous")
{
    static const char *const values[] = {
        "Bearer nonsense",
        "Bearer ",
        "Bearer a.b.c",
        "Basic YTpi",
        "Bearer abcdef.0123456789abcdef",
        "bearer",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJzeXN0ZW06YWRtaW4iLCJleHAiOjk5OTk5OTk5OTl9."
    };
    front_start(&f, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        call(NULL, "GET", "/version", "", &(struct http_header){ STR("authorization"), str_of(values[i]) }, 1);
        if (a.status != 401)
            FAIL("'%s' gives %d", values[i], a.status);
    }
    stop();
}

/* --- service account tokens ---------------------------------------------------------------------------------------- */

static char *token_for(const char *request)
{
    AUTO_FREE char *json =
        xasprintf("{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\",\"spec\":{%s}}", request);
    ASSERT_OK(front_create_in(&f, f.admin, &kind_serviceaccount, "default", "bot", "token", json), &f.err);
    return str_dup(front_result(&f, "status.token"));
}

static void start_with_bot(void)
{
    front_start(&f, NULL);
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"bot\"}}"),
              &f.err);
}

TEST("a service account's token is its user, its groups and its credential's name")
{
    start_with_bot();
    AUTO_FREE char *token = token_for("");
    AUTO_FREE char *value = xasprintf("Bearer %s", token);
    who(NULL, &(struct http_header){ STR("authorization"), str_of(value) }, 1);
    ASSERT_INT(a.status, 201);
    ASSERT_CONTAINS(a.body, "\"username\":\"system:serviceaccount:default:bot\"");
    ASSERT_CONTAINS(a.body, "[\"system:serviceaccounts\",\"system:serviceaccounts:default\",\"system:authenticated\"]");
    ASSERT_CONTAINS(a.body, "\"authentication.kubernetes.io/credential-id\":[\"JTI=");
    stop();
}

TEST("a token ends with its time, and a changed one never began")
{
    start_with_bot();
    AUTO_FREE char *token = token_for("\"expirationSeconds\":600");
    bearer(token, "/version");
    ASSERT_INT(a.status, 200);
    size_t n = strlen(token);
    token[n - 5] = token[n - 5] == 'A' ? 'B' : 'A';
    bearer(token, "/version");
    ASSERT_INT(a.status, 401);
    AUTO_FREE char *good = token_for("\"expirationSeconds\":600");
    front_pass(&f, 601 * SECOND_MS);
    bearer(good, "/version");
    ASSERT_INT(a.status, 401);
    stop();
}

TEST("a token for somebody else's audience is refused here")
{
    start_with_bot();
    AUTO_FREE char *token = token_for("\"audiences\":[\"vault\"]");
    bearer(token, "/version");
    ASSERT_INT(a.status, 401);
    AUTO_FREE char *review =
        xasprintf("{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{\"token\":\"%s\","
                  "\"audiences\":[\"vault\",\"other\"]}}",
                  token);
    ASSERT_OK(front_create(&f, f.admin, "", review), &f.err);
    ASSERT_STR(front_result(&f, "status.authenticated"), "true");
    ASSERT_STR(front_result(&f, "status.audiences"), "[\"vault\"]");
    ASSERT_STR(front_result(&f, "status.user.username"), "system:serviceaccount:default:bot");
    stop();
}

TEST("a token dies with its service account, also when one of the same name comes back")
{
    start_with_bot();
    AUTO_FREE char *token = token_for("");
    ASSERT_OK(front_delete(&f, f.admin, &kind_serviceaccount, "default", "bot"), &f.err);
    bearer(token, "/version");
    ASSERT_INT(a.status, 401);
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"bot\"}}"),
              &f.err);
    bearer(token, "/version");
    ASSERT_INT(a.status, 401);
    stop();
}

TEST("a token bound to a pod names it and dies with it")
{
    start_with_bot();
    ASSERT_OK(front_create(&f, f.admin, "default",
                           "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},\"spec\":{"
                           "\"serviceAccountName\":\"bot\","
                           "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"),
              &f.err);
    AUTO_FREE char *token = token_for("\"boundObjectRef\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\"}");
    AUTO_FREE char *value = xasprintf("Bearer %s", token);
    who(NULL, &(struct http_header){ STR("authorization"), str_of(value) }, 1);
    ASSERT_CONTAINS(a.body, "\"authentication.kubernetes.io/pod-name\":[\"p\"]");
    ASSERT_OK(front_delete(&f, f.admin, &kind_pod, "default", "p"), &f.err);
    bearer(token, "/version");
    ASSERT_INT(a.status, 401);
    ASSERT_FAILS(
        front_create_in(
            &f, f.admin, &kind_serviceaccount, "default", "bot", "token",
            "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\",\"spec\":{\"boundObjectRef\":"
            "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\"}}}"),
        &f.err, ERR_NOT_FOUND, "pods \"p\" not found");
    stop();
}

TEST("a token request below ten minutes is refused")
{
    start_with_bot();
    ASSERT_FAILS(front_create_in(&f, f.admin, &kind_serviceaccount, "default", "bot", "token",
                                 "{\"apiVersion\":\"authentication.k8s.io/"
                                 "v1\",\"kind\":\"TokenRequest\",\"spec\":{\"expirationSeconds\":60}}"),
                 &f.err, ERR_INVALID, "may not specify a duration less than 10 minutes");
    stop();
}

TEST("others can check our tokens: discovery and keys are public to service accounts")
{
    start_with_bot();
    AUTO_FREE char *token = token_for("");
    bearer(token, "/.well-known/openid-configuration");
    ASSERT_INT(a.status, 200);
    ASSERT_CONTAINS(a.body, "\"issuer\":\"https://kubernetes.default.svc.cluster.local\"");
    bearer(token, "/openid/v1/jwks");
    ASSERT_INT(a.status, 200);
    ASSERT_CONTAINS(a.body, "\"kty\":\"EC\"");
    call(NULL, "GET", "/openid/v1/jwks", "", NULL, 0);
    ASSERT_INT(a.status, 403);
    stop();
}

/* --- bootstrap tokens ----------------------------------------------------------------------------------------------- */

static void put_bootstrap_token(const char *more)
{
    AUTO_FREE char *json =
        xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"bootstrap-token-abcdef\"},"
                  "\"type\":\"bootstrap.kubernetes.io/token\",\"stringData\":{\"token-id\":\"abcdef\","
                  "\"token-secret\":\"0123456789abcdef\",\"usage-bootstrap-authentication\":\"true\"%s}}",
                  more);
    ASSERT_OK(front_create(&f, f.admin, "kube-system", json), &f.err);
}

#define TOKEN "abcdef.0123456789abcdef"

TEST("a bootstrap token is its own user in system:bootstrappers and the groups its secret adds")
{
    front_start(&f, NULL);
    put_bootstrap_token(",\"auth-extra-groups\":\"system:bootstrappers:workers,system:masters\"");
    who(NULL, &(struct http_header){ STR("authorization"), STR("Bearer " TOKEN) }, 1);
    ASSERT_INT(a.status, 201);
    ASSERT_CONTAINS(a.body, "\"username\":\"system:bootstrap:abcdef\"");
    ASSERT_CONTAINS(a.body, "[\"system:bootstrappers\",\"system:bootstrappers:workers\",\"system:authenticated\"]");
    stop();
}

TEST("a wrong, expired, unusable or deleted bootstrap token is 401")
{
    static const char *const spoiled[] = { ",\"expiration\":\"2020-01-01T00:00:00Z\"", ",\"expiration\":\"soon\"",
                                           ",\"usage-bootstrap-authentication\":\"false\"",
                                           ",\"token-secret\":\"0123456789abcdeX\"" };
    front_start(&f, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(spoiled); i++) {
        put_bootstrap_token(spoiled[i]);
        bearer(TOKEN, "/version");
        if (a.status != 401)
            FAIL("%s gives %d", spoiled[i], a.status);
        ASSERT_OK(front_delete(&f, f.admin, &kind_secret, "kube-system", "bootstrap-token-abcdef"), &f.err);
    }
    put_bootstrap_token("");
    bearer(TOKEN, "/version");
    ASSERT_INT(a.status, 200);
    bearer("abcdef.0123456789abcdee", "/version");
    ASSERT_INT(a.status, 401);
    ASSERT_OK(front_delete(&f, f.admin, &kind_secret, "kube-system", "bootstrap-token-abcdef"), &f.err);
    bearer(TOKEN, "/version");
    ASSERT_INT(a.status, 401);
    stop();
}

/* --- impersonation -------------------------------------------------------------------------------------------------- */

static const struct str masters = STR_INIT("system:masters");
static const struct http_peer admin = {
    .certificate = true, .common_name = STR_INIT("root"), .organizations = &masters, .organizations_count = 1
};
static const struct http_peer plain = { .certificate = true, .common_name = STR_INIT("jane") };

TEST("who may impersonate acts as somebody else, with that one's rights alone")
{
    struct http_header as[] = { { STR("impersonate-user"), STR("bob") },
                                { STR("impersonate-group"), STR("devs") },
                                { STR("impersonate-extra-scopes"), STR("view") } };
    front_start(&f, NULL);
    who(&admin, as, 3);
    ASSERT_INT(a.status, 201);
    ASSERT_CONTAINS(a.body, "\"username\":\"bob\"");
    ASSERT_CONTAINS(a.body, "\"groups\":[\"devs\",\"system:authenticated\"]");
    ASSERT_CONTAINS(a.body, "\"scopes\":[\"view\"]");
    call(&admin, "GET", "/api/v1/secrets", "", as, 1);
    ASSERT_INT(a.status, 403);
    stop();
}

TEST("impersonation without the right is refused, and groups without a user are an error")
{
    struct http_header user = { STR("impersonate-user"), STR("root") },
                       group = { STR("impersonate-group"), STR("system:masters") };
    front_start(&f, NULL);
    call(&plain, "GET", "/api", "", &user, 1);
    ASSERT_INT(a.status, 403);
    ASSERT_CONTAINS(a.body, "users \\\"root\\\" is forbidden: User \\\"jane\\\" cannot impersonate resource "
                            "\\\"users\\\" in API group \\\"\\\" at the "
                            "cluster scope");
    call(&admin, "GET", "/api", "", &group, 1);
    ASSERT_INT(a.status, 500);
    stop();
}

TEST("the right to impersonate users is not the right to give oneself groups")
{
    struct http_header as[] = { { STR("impersonate-user"), STR("bob") },
                                { STR("impersonate-group"), STR("system:masters") } };
    front_start(&f, NULL);
    ASSERT_OK(
        front_create(
            &f, f.admin, "",
            "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"ClusterRole\",\"metadata\":{\"name\":\"i\"},"
            "\"rules\":[{\"verbs\":[\"impersonate\"],\"apiGroups\":[\"\"],\"resources\":[\"users\"]}]}"),
        &f.err);
    ASSERT_OK(
        front_create(
            &f, f.admin, "",
            "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"ClusterRoleBinding\",\"metadata\":"
            "{\"name\":\"i\"},\"subjects\":[{\"kind\":\"User\",\"apiGroup\":\"rbac.authorization.k8s.io\","
            "\"name\":\"jane\"}],\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\","
            "\"name\":\"i\"}}"),
        &f.err);
    who(&plain, as, 1);
    ASSERT_INT(a.status, 201);
    who(&plain, as, 2);
    ASSERT_INT(a.status, 403);
    ASSERT_CONTAINS(a.body, "cannot impersonate resource \\\"groups\\\"");
    stop();
}

/* --- joining --------------------------------------------------------------------------------------------------------- */

static char *csr(const char *common_name, const char *organization, const char *san)
{
    struct str organizations[] = { str_of(organization) }, sans[] = { str_of(san) };
    AUTO_BUF struct buf pem = BUF_MAX(64 * KIB), json = BUF_MAX(64 * KIB);
    struct pki_key *key = pki_key_new(PKI_ECDSA_P256);
    pki_csr_new(key,
                &(struct pki_request){ .common_name = str_of(common_name),
                                       .organizations = organizations,
                                       .organizations_count = 1,
                                       .sans = sans,
                                       .sans_count = san[0] ? 1 : 0,
                                       .uses = PKI_CLIENT },
                &pem);
    pki_key_free(key);
    json_write_str(&json, buf_str(&pem));
    return buf_take(&json, NULL);
}

static void join(const struct http_peer *peer, const char *token, const char *name, const char *request)
{
    AUTO_FREE char *body = xasprintf("{\"nodeName\":\"%s\",\"csr\":%s}", name, request);
    AUTO_FREE char *value = xasprintf("Bearer %s", token);
    struct http_header headers[] = { { STR("content-type"), STR("application/json") },
                                     { STR("authorization"), str_of(value) } };
    call(peer, "POST", "/klein/v1/join", body, headers, token[0] ? 2 : 1);
}

TEST("a node joins with a bootstrap token and a request for its own name")
{
    front_start(&f, NULL);
    put_bootstrap_token("");
    AUTO_FREE char *request = csr("system:node:a", "system:nodes", "");
    join(NULL, TOKEN, "a", request);
    ASSERT_INT(a.status, 200);
    AUTO_ARENA struct arena arena = { 0 };
    struct value *answer = value_parse(&arena, buf_str(&a.body), NULL, NULL);
    struct pki_cert *cert = pki_cert_read(value_to_str(value_get_str(answer, STR("certificate"))), NULL);
    ASSERT(cert);
    ASSERT_STR(pki_cert_common_name(cert), "system:node:a");
    ASSERT_STR(pki_cert_organization(cert, 0), "system:nodes");
    ASSERT_CONTAINS(value_to_str(value_get_str(answer, STR("ca"))), "BEGIN CERTIFICATE");
    pki_cert_free(cert);
    stop();
}

TEST("a join for another subject, with alternative names, without a request or without a right is refused")
{
    front_start(&f, NULL);
    put_bootstrap_token("");
    AUTO_FREE char *master = csr("system:node:a", "system:masters", ""),
                   *other = csr("system:node:b", "system:nodes", "");
    AUTO_FREE char *named = csr("system:node:a", "system:nodes", "kubernetes.default.svc"),
                   *good = csr("system:node:a", "system:nodes", "");
    join(NULL, TOKEN, "a", master);
    ASSERT_INT(a.status, 400);
    join(NULL, TOKEN, "a", other);
    ASSERT_INT(a.status, 400);
    join(NULL, TOKEN, "a", named);
    ASSERT_INT(a.status, 400);
    join(NULL, TOKEN, "a", "\"nonsense\"");
    ASSERT_INT(a.status, 400);
    join(NULL, TOKEN, "../a", good);
    ASSERT_INT(a.status, 400);
    join(NULL, "abcdef.0123456789abcdee", "a", good);
    ASSERT_INT(a.status, 401);
    join(NULL, "", "a", good);
    ASSERT_INT(a.status, 403);
    join(&plain, "", "a", good);
    ASSERT_INT(a.status, 403);
    join(&admin, "", "a", good);
    ASSERT_INT(a.status, 403);
    stop();
}

TEST("a node renews its certificate for its own name alone")
{
    struct str nodes = STR("system:nodes");
    struct http_peer node = { .certificate = true,
                              .common_name = STR("system:node:a"),
                              .organizations = &nodes,
                              .organizations_count = 1,
                              .certificate_der_sha256 =
                                  STR("0123456789012345678901234567890123456789012345678901234567890123") };
    front_start(&f, NULL);
    AUTO_FREE char *own = csr("system:node:a", "system:nodes", ""), *other = csr("system:node:b", "system:nodes", "");
    join(&node, "", "a", own);
    ASSERT_INT(a.status, 200);
    join(&node, "", "b", other);
    ASSERT_INT(a.status, 403);
    stop();
}

TEST("joining as a gateway is a right of its own, and is kept by renewals alone")
{
    struct str nodes = STR("system:nodes"), both[] = { STR("system:nodes"), STR("system:klein-gateways") };
    struct http_peer node = { .certificate = true,
                              .common_name = STR("system:node:a"),
                              .organizations = &nodes,
                              .organizations_count = 1,
                              .certificate_der_sha256 =
                                  STR("0123456789012345678901234567890123456789012345678901234567890123") };
    struct http_header token[] = { { STR("content-type"), STR("application/json") },
                                   { STR("authorization"), STR("Bearer " TOKEN) } };
    front_start(&f, NULL);
    AUTO_FREE char *request = csr("system:node:a", "system:nodes", "");
    AUTO_FREE char *body = xasprintf("{\"nodeName\":\"a\",\"gateway\":true,\"csr\":%s}", request);
    put_bootstrap_token("");
    call(NULL, "POST", "/klein/v1/join", body, token, 2);
    ASSERT_INT(a.status, 403);
    call(&node, "POST", "/klein/v1/join", body, token, 1);
    ASSERT_INT(a.status, 403);
    node.organizations = both;
    node.organizations_count = 2;
    call(&node, "POST", "/klein/v1/join", body, token, 1);
    ASSERT_INT(a.status, 200);
    ASSERT_OK(front_delete(&f, f.admin, &kind_secret, "kube-system", "bootstrap-token-abcdef"), &f.err);
    put_bootstrap_token(",\"auth-extra-groups\":\"system:bootstrappers:klein-gateways\"");
    call(NULL, "POST", "/klein/v1/join", body, token, 2);
    ASSERT_INT(a.status, 200);
    AUTO_ARENA struct arena arena = { 0 };
    struct value *answer = value_parse(&arena, buf_str(&a.body), NULL, NULL);
    struct pki_cert *cert = pki_cert_read(value_to_str(value_get_str(answer, STR("certificate"))), NULL);
    ASSERT(cert);
    ASSERT_INT(pki_cert_organizations_count(cert), 2);
    pki_cert_free(cert);
    stop();
}

TEST("too many attempts with bootstrap tokens from one address are answered 429, and other addresses are not")
{
    struct http_peer one = { 0 }, two = { 0 };
    int refused = 0;
    front_start(&f, NULL);
    ASSERT_OK(address_parse(STR("10.0.0.1:1"), &one.address, NULL), NULL);
    ASSERT_OK(address_parse(STR("10.0.0.2:1"), &two.address, NULL), NULL);
    struct http_header wrong = { STR("authorization"), STR("Bearer abcdef.0123456789abcdee") };
    for (int i = 0; i < 100; i++) {
        call(&one, "GET", "/version", "", &wrong, 1);
        refused += a.status == 429;
    }
    ASSERT(refused > 0);
    call(&two, "GET", "/version", "", &wrong, 1);
    ASSERT_INT(a.status, 401);
    stop();
}
