/*
 * The cluster's keys and certificates, made at the first start in the data folder and renewed from then on.
 *
 *     FOLDER/ca.{crt,key}              signs everything below; ECDSA P-256, ten years
 *     FOLDER/server.{crt,key}          the front's serving certificate; one year
 *     FOLDER/service-account.key       signs service account tokens
 *     FOLDER/admin.{crt,key}           a client, CN=kubernetes-admin O=system:masters; one year
 *
 * Private keys have mode 0600 and every file is written atomically, so a crash leaves the old or the new content. A lost
 * ca.key is an error, never replaced: a new CA would lock every node out.
 *
 * Blocking file access: ca_open() at start, ca_renew() on a worker or at start. The other functions are reads of what is in memory
 * and may be called from any thread, except while ca_renew() runs.
 */
#ifndef SERVER_CA_H
#define SERVER_CA_H

#include "base/env.h"
#include "base/time.h"
#include "wire/pki.h"

#define CA_LIFETIME_MS      (10 * 365 * 24 * HOUR_MS)
#define CA_LEAF_LIFETIME_MS (365 * 24 * HOUR_MS)
#define CA_RENEW_BEFORE_MS  (CA_LEAF_LIFETIME_MS / 3)
#define CA_SANS_MAX         64

struct ca;

struct ca_options {
    const char *folder;     /* created with mode 0700; NULL: keys live in memory only (tests) */
    const struct str *sans; /* names and addresses of the front besides the built-in ones */
    size_t sans_count;
    struct str service_ip;     /* of the Service default/kubernetes; empty: 10.96.0.1 */
    struct str cluster_domain; /* empty: cluster.local */
    struct env *env;
};

/* Read what is there, make what is missing or about to expire. */
struct ca *ca_open(const struct ca_options *o, struct error *err);
void ca_free(struct ca *ca); /* NULL is fine */

/* Renew the serving and the admin certificate where a third of the lifetime or less is left. *ret_changed: reload TLS. */
int ca_renew(struct ca *ca, bool *ret_changed, struct error *err);

struct str ca_certificate_pem(const struct ca *ca);
void ca_pin(const struct ca *ca, char ret_hex[65]); /* the CAHASH of join tokens: SHA-256 of the SubjectPublicKeyInfo */
const struct pki_cert *ca_certificate(const struct ca *ca);
struct str ca_server_certificate_pem(const struct ca *ca);
const struct secret *ca_server_key_pem(const struct ca *ca);
const struct pki_key *ca_token_key(const struct ca *ca); /* of service account tokens */

/* The key of the messages agents exchange (wire/peer.h): the same on all servers that share this CA. */
void ca_peer_key(const struct ca *ca, unsigned char ret[32]);

/* A client certificate for a key somebody else holds. organizations may be NULL. */
int ca_sign_client(const struct ca *ca, const struct pki_key *key, struct str common_name,
                   const struct str *organizations, size_t organizations_count, int64_t lifetime_ms,
                   struct buf *ret_pem, struct error *err);
/* Kubeconfig text for a new client key and certificate (a process of klein's own, or a person). */
int ca_client_kubeconfig(const struct ca *ca, struct str cluster, struct str server_url, struct str common_name,
                         struct str organization, struct secret *ret_text, struct error *err);
/* The administrator's, from admin.{crt,key}; written with mode 0600. */
int ca_write_admin_kubeconfig(const struct ca *ca, struct str cluster, struct str server_url, const char *path,
                              struct error *err);

#endif
