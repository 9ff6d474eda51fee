/* etcd's keys and certificates. */
#include "server/etcd_pki.h"

#include "base/file.h"

#include <stdlib.h>

int etcd_pki_open(struct etcd_pki *p, const char *folder, struct str name, struct str address, struct env *env,
                  bool *ret_changed, struct error *err)
{
    const struct str sans[] = { address, STR("127.0.0.1"), STR("localhost") };
    struct pki_leaf_spec spec = { .name = "etcd",
                                  .common_name = name,
                                  .uses = PKI_SERVER | PKI_CLIENT, /* each side of peers and clients is both */
                                  .sans = sans,
                                  .sans_count = ARRAY_SIZE(sans) };

    etcd_pki_done(p);
    if (file_mkdirs(folder, 0700, err) < 0 ||
        pki_files_root(folder, "etcd-ca", STR("klein etcd"), env, &p->root, err) < 0 ||
        pki_files_leaf(folder, &spec, &p->root, env, &p->leaf, ret_changed, err) < 0) {
        etcd_pki_done(p);
        return error_context(err, "etcd's certificates");
    }
    p->folder = xstrdup(folder);
    p->ca_file = xasprintf("%s/etcd-ca.crt", folder);
    p->certificate_file = xasprintf("%s/etcd.crt", folder);
    p->key_file = xasprintf("%s/etcd.key", folder);
    return 0;
}

void etcd_pki_done(struct etcd_pki *p)
{
    pki_pair_done(&p->root);
    pki_pair_done(&p->leaf);
    free(p->folder);
    free(p->ca_file);
    free(p->certificate_file);
    free(p->key_file);
    *p = (struct etcd_pki){ 0 };
}

struct tls_context *etcd_pki_tls(const struct etcd_pki *p, struct error *err)
{
    return tls_context_new_client(&(struct tls_client_options){ .ca_pem = str_of(p->root.cert_pem),
                                                                .certificate_pem = str_of(p->leaf.cert_pem),
                                                                .key_pem = &p->leaf.key_pem },
                                  err);
}
