/* placeholder for linking */
#include "network/dns_server.h"
struct dns_server *dns_server_new(UNUSED struct loop *loop, UNUSED struct env *env, UNUSED const char *cluster_domain,
                                  UNUSED uint32_t ip, UNUSED const char *upstream, UNUSED struct error *err)
{
    return NULL;
}
void dns_server_free(UNUSED struct dns_server *s)
{
}
void dns_server_put_service(UNUSED struct dns_server *s, UNUSED struct str key, UNUSED const struct object *service,
                            UNUSED const struct object *const *slices, UNUSED size_t slices_count)
{
}
