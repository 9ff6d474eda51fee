/* POST /klein/v1/join: a certificate for a node, asked with a bootstrap token or with the present certificate.
 * The protocol is section 1 of docs/reference/agent-protocol.md. */
#define LOG_PART "server"
#include "server/nodes.h"

#include "base/log.h"
#include "server/authz.h"
#include "server/authn.h"
#include "server/rbac_bootstrap.h"

#define NAME_MAX_BYTES 253

/* RFC 1123 subdomain, as Node names are. */
static bool is_node_name(struct str name)
{
    if (name.n == 0 || name.n > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool edge = i == 0 || i + 1 == name.n || name.p[i - 1] == '.' || name.p[i + 1] == '.';
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (!edge && (c == '-' || c == '.')) ||
              (c == '.' && i > 0 && i + 1 < name.n && name.p[i - 1] != '.' && name.p[i - 1] != '-')))
            return false;
    }
    return true;
}

static int check_request(const struct pki_csr *csr, struct str name, struct error *err)
{
    struct str wanted = STR("system:node:"), common_name = pki_csr_common_name(csr);
    if (!str_starts(common_name, wanted) || !str_eq(str_from(common_name, wanted.n), name))
        return fail(err, ERR_BAD_REQUEST, "the certificate request is not for CN=system:node:%.*s", STR_ARG(name));
    if (pki_csr_organizations_count(csr) != 1 || !str_is(pki_csr_organization(csr, 0), "system:nodes"))
        return fail(err, ERR_BAD_REQUEST, "the certificate request is not for O=system:nodes alone");
    if (pki_csr_sans_count(csr))
        return fail(err, ERR_BAD_REQUEST, "the certificate request holds alternative names");
    return 0;
}

/* A gateway reads TLS secrets of all namespaces: who may make one is a right of its own. */
static int check_gateway(struct request *r)
{
    bool node = !str_empty(authz_node_name(&r->identity));
    if (identity_in_group(&r->identity, node ? STR(NODES_GATEWAYS_GROUP) : STR("system:bootstrappers:klein-gateways")))
        return 0;
    return fail(&r->err, ERR_FORBIDDEN,
                node ? "the node did not join as a gateway: join again with a token"
                     : "the token is not for gateways: its secret lacks the group "
                       "system:bootstrappers:klein-gateways");
}

/* May this identity have a certificate of this name? */
static int check_identity(struct request *r, struct str name)
{
    struct str own = authz_node_name(&r->identity);
    struct node_facts facts;
    if (!str_empty(own)) {
        if (str_eq(own, name) && !str_empty(authn_certificate_key(r)))
            return 0;
        return fail(&r->err, ERR_FORBIDDEN, "node \"%.*s\" may not have a certificate for node \"%.*s\"", STR_ARG(own),
                    STR_ARG(name));
    }
    if (!str_starts(r->identity.user, STR("system:bootstrap:")) ||
        !identity_in_group(&r->identity, STR("system:bootstrappers")))
        return fail(&r->err, ERR_FORBIDDEN, "User \"%.*s\" is neither a bootstrap token nor a node",
                    STR_ARG(r->identity.user));
    /* A name in use stays with who has it: a token alone does not take a running node over. */
    if (nodes_get(server_nodes(r->server), name, &facts) && facts.connected && !facts.silent)
        return fail(&r->err, ERR_CONFLICT, "node \"%.*s\" is connected with another key", STR_ARG(name));
    return 0;
}

static enum phase_result answer(struct request *r, struct str certificate)
{
    AUTO_BUF struct buf text = BUF_MAX(256 * KIB);
    struct arena *a = &r->arena;
    struct value *o = value_object(a), *servers = value_array(a);
    value_append(a, servers, value_str(a, bootstrap_api_url(r->server, a)));
    value_put_str(a, o, STR("certificate"), value_str(a, certificate));
    value_put_str(a, o, STR("ca"), value_str(a, ca_certificate_pem(server_ca(r->server))));
    value_put_str(a, o, STR("servers"), servers);
    value_write(&text, o);
    return request_answer(r, 200, STR("application/json"), buf_str(&text));
}

static int sign(struct request *r, struct str name, bool gateway, struct str pem, struct buf *ret)
{
    static const struct str organizations[] = { STR_INIT("system:nodes"), STR_INIT(NODES_GATEWAYS_GROUP) };
    struct pki_csr *csr = pki_csr_read(pem, &r->err);
    if (!csr) {
        r->err.code = ERR_BAD_REQUEST;
        return -1;
    }
    int rc = check_request(csr, name, &r->err);
    if (rc == 0) {
        struct pki_key *key = pki_csr_key(csr);
        rc = ca_sign_client(server_ca(r->server), key, pki_csr_common_name(csr), organizations, gateway ? 2 : 1,
                            CA_LEAF_LIFETIME_MS, ret, &r->err);
        pki_key_free(key);
    }
    pki_csr_free(csr);
    return rc;
}

enum phase_result nodes_join(struct request *r)
{
    AUTO_BUF struct buf certificate = BUF_MAX(64 * KIB);
    if (!str_is(r->info.verb, "post"))
        return request_fail(r, ERR_METHOD_NOT_ALLOWED,
                            "the server does not allow this method on the requested resource");
    if (!authn_attempt(r)) {
        request_fail(r, ERR_TOO_MANY_REQUESTS, "too many attempts from this address, try again later");
        r->err.retry_after_s = 1;
        return PHASE_FAILED;
    }
    struct value *body = value_parse(&r->arena, r->body, NULL, &r->err);
    struct str name = value_to_str(value_get_str(body, STR("nodeName")));
    if (!body)
        return PHASE_FAILED;
    if (!is_node_name(name))
        return request_fail(r, ERR_BAD_REQUEST, "nodeName is no DNS-1123 subdomain");
    bool gateway = value_to_bool(value_get_str(body, STR("gateway")), false);
    if (check_identity(r, name) < 0 || (gateway && check_gateway(r) < 0) ||
        sign(r, name, gateway, value_to_str(value_get_str(body, STR("csr"))), &certificate) < 0)
        return PHASE_FAILED;
    log_info("node certificate issued", KV_STR("node", name), KV_STR("by", r->identity.user));
    return answer(r, buf_str(&certificate));
}
