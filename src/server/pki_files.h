/*
 * Keys and certificates as files of a folder: read, made when absent, renewed when a third of their life is left.
 *
 *     FOLDER/NAME.key   private, mode 0600
 *     FOLDER/NAME.crt   mode 0644
 *
 * Every file is written atomically, so a crash leaves the old or the new content. Without a folder (NULL) all of it lives in memory (tests).
 * A root whose key is lost is an error, never replaced: a new one would lock out everybody who trusts it. Blocking.
 */
#ifndef SERVER_PKI_FILES_H
#define SERVER_PKI_FILES_H

#include "base/env.h"
#include "wire/pki.h"

#define PKI_FILE_MAX_BYTES (64 * KIB)

struct pki_pair { /* a key and its certificate, also as PEM */
    struct pki_key *key;
    struct pki_cert *cert;
    struct secret key_pem;
    char *cert_pem;
};
void pki_pair_done(struct pki_pair *p);

struct pki_leaf_spec {
    const char *name; /* of the files */
    struct str common_name;
    struct str organization; /* empty: none */
    unsigned uses;           /* enum pki_use */
    const struct str *sans;
    size_t sans_count;
};

/* The key in FOLDER/NAME.key; made and written when absent and `may_create`. */
struct pki_key *pki_files_key(const char *folder, const char *name, bool may_create, struct error *err);
/* A root: read, or made when neither file is there. */
int pki_files_root(const char *folder, const char *name, struct str common_name, struct env *env, struct pki_pair *ret,
                   struct error *err);
bool pki_files_belong(const struct pki_cert *cert, const struct pki_key *key); /* has the certificate this key? */
/*
 * Bring a leaf up to date: read it, or make it when it is absent, about to expire, lacks a name, or belongs to another key or another
 * root. *ret_changed is set to true when a new certificate was made, and left alone otherwise.
 */
int pki_files_leaf(const char *folder, const struct pki_leaf_spec *spec, const struct pki_pair *root, struct env *env,
                   struct pki_pair *leaf, bool *ret_changed, struct error *err);

#endif
