/* The cluster's keys and certificates in the data folder: read, made, renewed. */
#include "server/ca.h"

#include "base/codec.h"
#include "base/file.h"
#include "base/time.h"
#include "server/pki_files.h"

#include <stdlib.h>

struct ca {
    struct env *env;
    char *folder;
    char *sans[CA_SANS_MAX];
    size_t sans_count;
    struct pki_pair root, server, admin;
    struct pki_key *token_key;
};

static const struct pki_leaf_spec admin_spec = { .name = "admin",
                                                 .common_name = STR_INIT("kubernetes-admin"),
                                                 .organization = STR_INIT("system:masters"),
                                                 .uses = PKI_CLIENT };

void ca_free(struct ca *ca)
{
    if (!ca)
        return;
    pki_pair_done(&ca->root);
    pki_pair_done(&ca->server);
    pki_pair_done(&ca->admin);
    pki_key_free(ca->token_key);
    for (size_t i = 0; i < ca->sans_count; i++)
        free(ca->sans[i]);
    free(ca->folder);
    free(ca);
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

static void san_add(struct ca *ca, struct str san)
{
    if (str_empty(san) || ca->sans_count == CA_SANS_MAX)
        return;
    for (size_t i = 0; i < ca->sans_count; i++)
        if (str_is(san, ca->sans[i]))
            return;
    ca->sans[ca->sans_count++] = str_dup(san);
}

static void sans_init(struct ca *ca, const struct ca_options *o)
{
    struct str domain = str_empty(o->cluster_domain) ? STR("cluster.local") : o->cluster_domain;
    AUTO_FREE char *full = xasprintf("kubernetes.default.svc.%.*s", STR_ARG(domain));
    san_add(ca, STR("kubernetes"));
    san_add(ca, STR("kubernetes.default"));
    san_add(ca, STR("kubernetes.default.svc"));
    san_add(ca, str_of(full));
    san_add(ca, STR("localhost"));
    san_add(ca, STR("127.0.0.1"));
    san_add(ca, str_empty(o->service_ip) ? STR("10.96.0.1") : o->service_ip);
    for (size_t i = 0; i < o->sans_count; i++)
        san_add(ca, o->sans[i]);
}

struct ca *ca_open(const struct ca_options *o, struct error *err)
{
    bool changed = false;
    if (o->folder && file_mkdirs(o->folder, 0700, err) < 0)
        return NULL;
    struct ca *ca = xnew(struct ca);
    ca->env = o->env;
    ca->folder = o->folder ? xstrdup(o->folder) : NULL;
    sans_init(ca, o);
    if (pki_files_root(ca->folder, "ca", STR("klein"), ca->env, &ca->root, err) < 0 ||
        !(ca->token_key = pki_files_key(ca->folder, "service-account", true, err)) || ca_renew(ca, &changed, err) < 0) {
        ca_free(ca);
        return NULL;
    }
    return ca;
}

int ca_renew(struct ca *ca, bool *ret_changed, struct error *err)
{
    struct str sans[CA_SANS_MAX];
    struct pki_leaf_spec server_spec = { .name = "server",
                                         .common_name = STR("kube-apiserver"),
                                         .uses = PKI_SERVER,
                                         .sans = sans,
                                         .sans_count = ca->sans_count };
    *ret_changed = false;
    if (!ca->folder && ca->server.cert)
        return 0;
    for (size_t i = 0; i < ca->sans_count; i++)
        sans[i] = str_of(ca->sans[i]);
    if (pki_files_leaf(ca->folder, &server_spec, &ca->root, ca->env, &ca->server, ret_changed, err) < 0)
        return error_context(err, "serving certificate");
    if (pki_files_leaf(ca->folder, &admin_spec, &ca->root, ca->env, &ca->admin, ret_changed, err) < 0)
        return error_context(err, "administrator's certificate");
    return 0;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

struct str ca_certificate_pem(const struct ca *ca)
{
    return str_of(ca->root.cert_pem);
}

void ca_pin(const struct ca *ca, char ret_hex[65])
{
    pki_cert_public_key_sha256(ca->root.cert, ret_hex);
}

const struct pki_cert *ca_certificate(const struct ca *ca)
{
    return ca->root.cert;
}

struct str ca_server_certificate_pem(const struct ca *ca)
{
    return str_of(ca->server.cert_pem);
}

const struct secret *ca_server_key_pem(const struct ca *ca)
{
    return &ca->server.key_pem;
}

const struct pki_key *ca_token_key(const struct ca *ca)
{
    return ca->token_key;
}

/* --- clients ----------------------------------------------------------------------------------------------------- */

int ca_sign_client(const struct ca *ca, const struct pki_key *key, struct str common_name,
                   const struct str *organizations, size_t organizations_count, int64_t lifetime_ms,
                   struct buf *ret_pem, struct error *err)
{
    struct pki_request request = {
        .common_name = common_name,
        .organizations = organizations,
        .organizations_count = organizations_count,
        .uses = PKI_CLIENT,
        .now_ms = env_wall_ms(ca->env),
        .lifetime_ms = lifetime_ms,
    };
    struct pki_cert *cert = pki_sign(ca->root.cert, ca->root.key, key, &request, err);
    if (!cert)
        return -1;
    pki_cert_pem(cert, ret_pem);
    pki_cert_free(cert);
    return 0;
}

/* Quoted for YAML, whose double-quoted form reads JSON's. */
static void add_quoted(struct buf *to, struct str s)
{
    buf_add_char(to, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            buf_addf(to, "\\%c", c);
        else if (c < 0x20)
            buf_addf(to, "\\u%04x", c);
        else
            buf_add_char(to, (char)c);
    }
    buf_add_char(to, '"');
}

static void kubeconfig_write(const struct ca *ca, struct str cluster, struct str server_url, struct str user,
                             struct str cert_pem, const struct secret *key_pem, struct buf *to)
{
    AUTO_FREE char *context = xasprintf("%.*s@%.*s", STR_ARG(user), STR_ARG(cluster));
    buf_add_text(to, "apiVersion: v1\nkind: Config\nclusters:\n- name: ");
    add_quoted(to, cluster);
    buf_add_text(to, "\n  cluster:\n    server: ");
    add_quoted(to, server_url);
    buf_add_text(to, "\n    certificate-authority-data: ");
    base64_encode(to, ca_certificate_pem(ca));
    buf_add_text(to, "\nusers:\n- name: ");
    add_quoted(to, user);
    buf_add_text(to, "\n  user:\n    client-certificate-data: ");
    base64_encode(to, cert_pem);
    buf_add_text(to, "\n    client-key-data: ");
    base64_encode(to, secret_reveal(key_pem));
    buf_add_text(to, "\ncontexts:\n- name: ");
    add_quoted(to, str_of(context));
    buf_add_text(to, "\n  context:\n    cluster: ");
    add_quoted(to, cluster);
    buf_add_text(to, "\n    user: ");
    add_quoted(to, user);
    buf_add_text(to, "\ncurrent-context: ");
    add_quoted(to, str_of(context));
    buf_add_char(to, '\n');
}

void ca_peer_key(const struct ca *ca, unsigned char ret[32])
{
    AUTO_BUF struct buf text = BUF_MAX(PKI_FILE_MAX_BYTES);
    AUTO_SECRET struct secret pem = { 0 };

    static_assert(SHA256_SIZE == 32, "a key is a hash");
    pki_key_pem(ca->root.key, &pem);
    buf_add_text(&text, "klein peer key 1\n");
    buf_add(&text, secret_reveal(&pem));
    sha256(buf_str(&text), ret);
    explicit_bzero(text.p, text.n);
}

int ca_client_kubeconfig(const struct ca *ca, struct str cluster, struct str server_url, struct str common_name,
                         struct str organization, struct secret *ret_text, struct error *err)
{
    AUTO_BUF struct buf cert = BUF_MAX(PKI_FILE_MAX_BYTES);
    AUTO_BUF struct buf text = BUF_MAX(4 * PKI_FILE_MAX_BYTES);
    AUTO_SECRET struct secret key_pem = { 0 };
    struct pki_key *key = pki_key_new(PKI_ECDSA_P256);
    int r = ca_sign_client(ca, key, common_name, &organization, str_empty(organization) ? 0 : 1, CA_LEAF_LIFETIME_MS,
                           &cert, err);
    pki_key_pem(key, &key_pem);
    pki_key_free(key);
    if (r < 0)
        return -1;
    kubeconfig_write(ca, cluster, server_url, common_name, buf_str(&cert), &key_pem, &text);
    secret_set(ret_text, buf_str(&text));
    explicit_bzero(text.p, text.n);
    return 0;
}

int ca_write_admin_kubeconfig(const struct ca *ca, struct str cluster, struct str server_url, const char *path,
                              struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * PKI_FILE_MAX_BYTES);
    kubeconfig_write(ca, cluster, server_url, admin_spec.common_name, str_of(ca->admin.cert_pem), &ca->admin.key_pem,
                     &text);
    int r = file_write(path, buf_str(&text), 0600, err);
    explicit_bzero(text.p, text.n);
    return r;
}
