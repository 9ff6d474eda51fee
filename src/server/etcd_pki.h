/*
 * etcd's keys and certificates: an authority of its own, so that no client certificate of the cluster opens the store.
 *
 *     FOLDER/etcd-ca.{crt,key}     signs the members; ten years; the same on every server (handed over by the join)
 *     FOLDER/etcd.{crt,key}        this member, towards clients and peers, and this server towards etcd; one year
 *
 * etcd reads its certificate anew for every connection: renewing is writing the file. Blocking.
 */
#ifndef SERVER_ETCD_PKI_H
#define SERVER_ETCD_PKI_H

#include "server/pki_files.h"
#include "wire/tls.h"

struct etcd_pki {
    char *folder, *ca_file, *certificate_file, *key_file;
    struct pki_pair root, leaf;
};

/* `address`: the member's IP address. Makes what is missing, renews what is old. *ret_changed as pki_files_leaf(). */
int etcd_pki_open(struct etcd_pki *p, const char *folder, struct str name, struct str address, struct env *env,
                  bool *ret_changed, struct error *err);
void etcd_pki_done(struct etcd_pki *p);
/* For connections of this server to the members. */
struct tls_context *etcd_pki_tls(const struct etcd_pki *p, struct error *err);

#endif
