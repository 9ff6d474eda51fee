/* The cluster's keys and certificates in the data folder: read, made, renewed. */
#include "server/ca.h"

#include "base/codec.h"
#include "base/file.h"
#include "base/time.h"

#include <stdlib.h>

#define PEM_MAX_BYTES (64 * KIB)

struct leaf {
    struct pki_key *key;
    struct pki_cert *cert;
    struct secret key_pem;
    char *cert_pem;
};

struct ca {
    struct env *env;
    char *folder;
    char *sans[CA_SANS_MAX];
    size_t sans_count;
    struct leaf root, server, admin;
    struct pki_key *token_key;
};

struct leaf_spec {
    const char *name; /* of the files */
    struct str common_name;
    struct str organization; /* empty: none */
    unsigned uses;
    bool with_sans;
};

static const struct leaf_spec server_spec = {
    .name = "server", .common_name = STR_INIT("kube-apiserver"), .uses = PKI_SERVER, .with_sans = true
};
static const struct leaf_spec admin_spec = { .name = "admin",
                                             .common_name = STR_INIT("kubernetes-admin"),
                                             .organization = STR_INIT("system:masters"),
                                             .uses = PKI_CLIENT };

static void leaf_done(struct leaf *l)
{
    pki_key_free(l->key);
    pki_cert_free(l->cert);
    secret_done(&l->key_pem);
    free(l->cert_pem);
    *l = (struct leaf){ 0 };
}

void ca_free(struct ca *ca)
{
    if (!ca)
        return;
    leaf_done(&ca->root);
    leaf_done(&ca->server);
    leaf_done(&ca->admin);
    pki_key_free(ca->token_key);
    for (size_t i = 0; i < ca->sans_count; i++)
        free(ca->sans[i]);
    free(ca->folder);
    free(ca);
}

/* --- files ------------------------------------------------------------------------------------------------------- */

/* 1 read, 0 absent, -1 failed. */
static int pem_read(const char *path, struct buf *ret, struct error *err)
{
    AUTO_ERROR struct error problem = { 0 };
    if (file_read(path, ret, &problem) == 0)
        return 1;
    if (problem.code == ERR_NOT_FOUND)
        return 0;
    error_move(err, &problem);
    return error_context(err, "read '%s'", path);
}

/* The key in FOLDER/name.key; made and written when absent and `may_create`. */
static struct pki_key *key_load(const struct ca *ca, const char *name, bool may_create, struct error *err)
{
    if (!ca->folder)
        return pki_key_new(PKI_ECDSA_P256);
    AUTO_FREE char *path = xasprintf("%s/%s.key", ca->folder, name);
    AUTO_BUF struct buf text = BUF_MAX(PEM_MAX_BYTES);
    AUTO_SECRET struct secret pem = { 0 };
    int found = pem_read(path, &text, err);
    if (found < 0)
        return NULL;
    if (!found && !may_create)
        return fail_null(err, ERR_INTERNAL, "private key '%s' is missing, its certificate is not", path);
    if (!found) {
        struct pki_key *key = pki_key_new(PKI_ECDSA_P256);
        pki_key_pem(key, &pem);
        if (file_write(path, secret_reveal(&pem), 0600, err) == 0)
            return key;
        pki_key_free(key);
        return NULL;
    }
    secret_set(&pem, buf_str(&text));
    explicit_bzero(text.p, text.n);
    struct pki_key *key = pki_key_read(&pem, err);
    if (!key)
        error_context(err, "private key '%s'", path);
    return key;
}

static struct pki_cert *cert_load(const struct ca *ca, const char *name, struct error *err, bool *ret_failed)
{
    *ret_failed = false;
    if (!ca->folder)
        return NULL;
    AUTO_FREE char *path = xasprintf("%s/%s.crt", ca->folder, name);
    AUTO_BUF struct buf text = BUF_MAX(PEM_MAX_BYTES);
    int found = pem_read(path, &text, err);
    *ret_failed = found < 0;
    if (found <= 0)
        return NULL;
    struct pki_cert *cert = pki_cert_read(buf_str(&text), err);
    if (!cert) {
        *ret_failed = true;
        error_context(err, "certificate '%s'", path);
    }
    return cert;
}

static int cert_store(const struct ca *ca, const char *name, const struct pki_cert *cert, struct error *err)
{
    if (!ca->folder)
        return 0;
    AUTO_FREE char *path = xasprintf("%s/%s.crt", ca->folder, name);
    AUTO_BUF struct buf pem = BUF_MAX(PEM_MAX_BYTES);
    pki_cert_pem(cert, &pem);
    return file_write(path, buf_str(&pem), 0644, err);
}

static void leaf_set(struct leaf *l, struct pki_key *key, struct pki_cert *cert)
{
    AUTO_BUF struct buf pem = BUF_MAX(PEM_MAX_BYTES);
    leaf_done(l);
    l->key = key;
    l->cert = cert;
    pki_key_pem(key, &l->key_pem);
    pki_cert_pem(cert, &pem);
    l->cert_pem = buf_take(&pem, NULL);
}

/* --- certificates ------------------------------------------------------------------------------------------------ */

static int root_open(struct ca *ca, struct error *err)
{
    bool failed;
    struct pki_cert *cert = cert_load(ca, "ca", err, &failed);
    if (failed)
        return -1;
    struct pki_key *key = key_load(ca, "ca", !cert, err);
    if (!key) {
        pki_cert_free(cert);
        return -1;
    }
    if (!cert) {
        cert = pki_ca_new(key, STR("klein"), env_wall_ms(ca->env), CA_LIFETIME_MS);
        if (cert_store(ca, "ca", cert, err) < 0) {
            pki_cert_free(cert);
            pki_key_free(key);
            return -1;
        }
    }
    leaf_set(&ca->root, key, cert);
    return 0;
}

static bool leaf_is_good(const struct ca *ca, const struct leaf_spec *spec, const struct pki_key *key,
                         const struct pki_cert *cert)
{
    if (!cert || pki_cert_not_after_ms(cert) - env_wall_ms(ca->env) <= CA_RENEW_BEFORE_MS)
        return false;
    for (size_t i = 0; spec->with_sans && i < ca->sans_count; i++)
        if (!pki_cert_has_san(cert, str_of(ca->sans[i])))
            return false;
    /* A certificate left over from a crash between two files belongs to another key. */
    AUTO_BUF struct buf of_cert = BUF_MAX(PEM_MAX_BYTES);
    AUTO_BUF struct buf of_key = BUF_MAX(PEM_MAX_BYTES);
    AUTO_BUF struct buf cert_pem = BUF_MAX(PEM_MAX_BYTES);
    pki_cert_pem(cert, &cert_pem);
    struct pki_key *public_key = pki_key_read_public(buf_str(&cert_pem), NULL);
    if (!public_key)
        return false;
    pki_key_public_pem(public_key, &of_cert);
    pki_key_public_pem(key, &of_key);
    pki_key_free(public_key);
    return str_eq(buf_str(&of_cert), buf_str(&of_key));
}

static struct pki_cert *leaf_sign(const struct ca *ca, const struct leaf_spec *spec, const struct pki_key *key,
                                  struct error *err)
{
    struct str sans[CA_SANS_MAX];
    for (size_t i = 0; i < ca->sans_count; i++)
        sans[i] = str_of(ca->sans[i]);
    struct pki_request request = {
        .common_name = spec->common_name,
        .organizations = &spec->organization,
        .organizations_count = str_empty(spec->organization) ? 0 : 1,
        .sans = sans,
        .sans_count = spec->with_sans ? ca->sans_count : 0,
        .uses = spec->uses,
        .now_ms = env_wall_ms(ca->env),
        .lifetime_ms = CA_LEAF_LIFETIME_MS,
    };
    return pki_sign(ca->root.cert, ca->root.key, key, &request, err);
}

/* Bring a leaf up to date; *ret_changed tells whether a new certificate was made. */
static int leaf_open(struct ca *ca, const struct leaf_spec *spec, struct leaf *leaf, bool *ret_changed,
                     struct error *err)
{
    bool failed;
    struct pki_key *key = key_load(ca, spec->name, true, err);
    if (!key)
        return -1;
    struct pki_cert *cert = cert_load(ca, spec->name, err, &failed);
    if (failed)
        goto failed;
    if (!leaf_is_good(ca, spec, key, cert)) {
        pki_cert_free(cert);
        cert = leaf_sign(ca, spec, key, err);
        if (!cert || cert_store(ca, spec->name, cert, err) < 0)
            goto failed;
        *ret_changed = true;
    }
    leaf_set(leaf, key, cert);
    return 0;
failed:
    pki_cert_free(cert);
    pki_key_free(key);
    return -1;
}

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
    if (root_open(ca, err) < 0 || !(ca->token_key = key_load(ca, "service-account", true, err)) ||
        ca_renew(ca, &changed, err) < 0) {
        ca_free(ca);
        return NULL;
    }
    return ca;
}

int ca_renew(struct ca *ca, bool *ret_changed, struct error *err)
{
    *ret_changed = false;
    if (!ca->folder && ca->server.cert)
        return 0;
    if (leaf_open(ca, &server_spec, &ca->server, ret_changed, err) < 0)
        return error_context(err, "serving certificate");
    if (leaf_open(ca, &admin_spec, &ca->admin, ret_changed, err) < 0)
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

int ca_client_kubeconfig(const struct ca *ca, struct str cluster, struct str server_url, struct str common_name,
                         struct str organization, struct secret *ret_text, struct error *err)
{
    AUTO_BUF struct buf cert = BUF_MAX(PEM_MAX_BYTES);
    AUTO_BUF struct buf text = BUF_MAX(4 * PEM_MAX_BYTES);
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
    AUTO_BUF struct buf text = BUF_MAX(4 * PEM_MAX_BYTES);
    kubeconfig_write(ca, cluster, server_url, admin_spec.common_name, str_of(ca->admin.cert_pem), &ca->admin.key_pem,
                     &text);
    int r = file_write(path, buf_str(&text), 0600, err);
    explicit_bzero(text.p, text.n);
    return r;
}
