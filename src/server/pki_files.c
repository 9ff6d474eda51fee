/* Keys and certificates as files of a folder. */
#include "server/pki_files.h"

#include "base/file.h"
#include "server/ca.h"

#include <stdlib.h>

void pki_pair_done(struct pki_pair *p)
{
    pki_key_free(p->key);
    pki_cert_free(p->cert);
    secret_done(&p->key_pem);
    free(p->cert_pem);
    *p = (struct pki_pair){ 0 };
}

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

struct pki_key *pki_files_key(const char *folder, const char *name, bool may_create, struct error *err)
{
    if (!folder)
        return pki_key_new(PKI_ECDSA_P256);
    AUTO_FREE char *path = xasprintf("%s/%s.key", folder, name);
    AUTO_BUF struct buf text = BUF_MAX(PKI_FILE_MAX_BYTES);
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

static struct pki_cert *cert_load(const char *folder, const char *name, struct error *err, bool *ret_failed)
{
    *ret_failed = false;
    if (!folder)
        return NULL;
    AUTO_FREE char *path = xasprintf("%s/%s.crt", folder, name);
    AUTO_BUF struct buf text = BUF_MAX(PKI_FILE_MAX_BYTES);
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

static int cert_store(const char *folder, const char *name, const struct pki_cert *cert, struct error *err)
{
    if (!folder)
        return 0;
    AUTO_FREE char *path = xasprintf("%s/%s.crt", folder, name);
    AUTO_BUF struct buf pem = BUF_MAX(PKI_FILE_MAX_BYTES);
    pki_cert_pem(cert, &pem);
    return file_write(path, buf_str(&pem), 0644, err);
}

static void pair_set(struct pki_pair *p, struct pki_key *key, struct pki_cert *cert)
{
    AUTO_BUF struct buf pem = BUF_MAX(PKI_FILE_MAX_BYTES);
    pki_pair_done(p);
    p->key = key;
    p->cert = cert;
    pki_key_pem(key, &p->key_pem);
    pki_cert_pem(cert, &pem);
    p->cert_pem = buf_take(&pem, NULL);
}

int pki_files_root(const char *folder, const char *name, struct str common_name, struct env *env, struct pki_pair *ret,
                   struct error *err)
{
    bool failed;
    struct pki_cert *cert = cert_load(folder, name, err, &failed);
    if (failed)
        return -1;
    struct pki_key *key = pki_files_key(folder, name, !cert, err);
    if (!key) {
        pki_cert_free(cert);
        return -1;
    }
    if (!cert) {
        cert = pki_ca_new(key, common_name, env_wall_ms(env), CA_LIFETIME_MS);
        if (cert_store(folder, name, cert, err) < 0) {
            pki_cert_free(cert);
            pki_key_free(key);
            return -1;
        }
    }
    pair_set(ret, key, cert);
    return 0;
}

bool pki_files_belong(const struct pki_cert *cert, const struct pki_key *key)
{
    AUTO_BUF struct buf of_cert = BUF_MAX(PKI_FILE_MAX_BYTES);
    AUTO_BUF struct buf of_key = BUF_MAX(PKI_FILE_MAX_BYTES);
    AUTO_BUF struct buf cert_pem = BUF_MAX(PKI_FILE_MAX_BYTES);
    pki_cert_pem(cert, &cert_pem);
    struct pki_key *public_key = pki_key_read_public(buf_str(&cert_pem), NULL);
    if (!public_key)
        return false;
    pki_key_public_pem(public_key, &of_cert);
    pki_key_public_pem(key, &of_key);
    pki_key_free(public_key);
    return str_eq(buf_str(&of_cert), buf_str(&of_key));
}

static bool leaf_is_good(const struct pki_leaf_spec *spec, const struct pki_pair *root, struct env *env,
                         const struct pki_key *key, const struct pki_cert *cert)
{
    if (!cert || pki_cert_not_after_ms(cert) - env_wall_ms(env) <= CA_RENEW_BEFORE_MS ||
        !pki_cert_is_signed_by(cert, root->cert))
        return false;
    for (size_t i = 0; i < spec->sans_count; i++)
        if (!pki_cert_has_san(cert, spec->sans[i]))
            return false;
    /* A certificate left over from a crash between two files belongs to another key. */
    return pki_files_belong(cert, key);
}

static struct pki_cert *leaf_sign(const struct pki_leaf_spec *spec, const struct pki_pair *root, struct env *env,
                                  const struct pki_key *key, struct error *err)
{
    struct pki_request request = {
        .common_name = spec->common_name,
        .organizations = &spec->organization,
        .organizations_count = str_empty(spec->organization) ? 0 : 1,
        .sans = spec->sans,
        .sans_count = spec->sans_count,
        .uses = spec->uses,
        .now_ms = env_wall_ms(env),
        .lifetime_ms = CA_LEAF_LIFETIME_MS,
    };
    return pki_sign(root->cert, root->key, key, &request, err);
}

int pki_files_leaf(const char *folder, const struct pki_leaf_spec *spec, const struct pki_pair *root, struct env *env,
                   struct pki_pair *leaf, bool *ret_changed, struct error *err)
{
    bool failed;
    struct pki_key *key = pki_files_key(folder, spec->name, true, err);
    if (!key)
        return -1;
    struct pki_cert *cert = cert_load(folder, spec->name, err, &failed);
    if (failed)
        goto failed;
    if (!leaf_is_good(spec, root, env, key, cert)) {
        pki_cert_free(cert);
        cert = leaf_sign(spec, root, env, key, err);
        if (!cert || cert_store(folder, spec->name, cert, err) < 0)
            goto failed;
        *ret_changed = true;
    }
    pair_set(leaf, key, cert);
    return 0;
failed:
    pki_cert_free(cert);
    pki_key_free(key);
    return -1;
}
