/* Administration of an etcd cluster: its members. */
#include "store/etcd_admin_internal.h"

static const struct etcd_method method_list = ETCD_METHOD("Cluster", "MemberList", members_response);
static const struct etcd_method method_add = ETCD_METHOD("Cluster", "MemberAdd", member_add_response);
static const struct etcd_method method_promote = ETCD_METHOD("Cluster", "MemberPromote", members_response);
static const struct etcd_method method_remove = ETCD_METHOD("Cluster", "MemberRemove", members_response);
static const struct etcd_method method_update = ETCD_METHOD("Cluster", "MemberUpdate", members_response);

static const struct str *texts(struct arena *a, char **from, size_t n)
{
    struct str *to = arena_alloc_array(a, n + 1, sizeof(*to));

    for (size_t i = 0; i < n; i++)
        to[i] = str_of(from[i]);
    return to;
}

static void tell(struct admin_call *call, uint64_t id, Etcdpb__Member **members, size_t n, const struct error *err)
{
    AUTO_ARENA struct arena arena = { 0 };
    struct etcd_member *to = arena_alloc_array(&arena, n + 1, sizeof(*to));

    for (size_t i = 0; i < n; i++) {
        const Etcdpb__Member *m = members[i];

        to[i] = (struct etcd_member){
            .id = m->id,
            .name = str_of(m->name),
            .learner = m->islearner,
            .peer_urls = texts(&arena, m->peerurls, m->n_peerurls),
            .peer_urls_count = m->n_peerurls,
            .client_urls = texts(&arena, m->clienturls, m->n_clienturls),
            .client_urls_count = m->n_clienturls,
        };
    }
    call->done.members(call->arg, id, to, n, err);
}

static void tell_members(struct admin_call *call, const ProtobufCMessage *answer, const struct error *err)
{
    const Etcdpb__MembersResponse *m = (const Etcdpb__MembersResponse *)answer;

    tell(call, 0, m ? m->members : NULL, m ? m->n_members : 0, err);
}

static void tell_added(struct admin_call *call, const ProtobufCMessage *answer, const struct error *err)
{
    const Etcdpb__MemberAddResponse *m = (const Etcdpb__MemberAddResponse *)answer;

    tell(call, m && m->member ? m->member->id : 0, m ? m->members : NULL, m ? m->n_members : 0, err);
}

void etcd_admin_member_list(struct etcd_admin *a, etcd_members_fn *done, void *arg)
{
    Etcdpb__MemberListRequest r = ETCDPB__MEMBER_LIST_REQUEST__INIT;

    r.linearizable = true; /* 3.5 and later; before that the field is unknown */
    admin_start(a, &method_list, &r.base, STR_NONE, true, tell_members, arg)->done.members = done;
}

void etcd_admin_member_add(struct etcd_admin *a, struct str peer_url, bool learner, etcd_members_fn *done, void *arg)
{
    Etcdpb__MemberAddRequest r = ETCDPB__MEMBER_ADD_REQUEST__INIT;
    AUTO_FREE char *url = str_dup(peer_url);

    r.n_peerurls = 1;
    r.peerurls = &url;
    r.islearner = learner;
    admin_start(a, &method_add, &r.base, STR_NONE, false, tell_added, arg)->done.members = done;
}

void etcd_admin_member_promote(struct etcd_admin *a, uint64_t id, etcd_members_fn *done, void *arg)
{
    Etcdpb__MemberPromoteRequest r = ETCDPB__MEMBER_PROMOTE_REQUEST__INIT;

    r.id = id;
    admin_start(a, &method_promote, &r.base, STR_NONE, false, tell_members, arg)->done.members = done;
}

void etcd_admin_member_remove(struct etcd_admin *a, uint64_t id, etcd_members_fn *done, void *arg)
{
    Etcdpb__MemberRemoveRequest r = ETCDPB__MEMBER_REMOVE_REQUEST__INIT;

    r.id = id;
    admin_start(a, &method_remove, &r.base, STR_NONE, false, tell_members, arg)->done.members = done;
}

void etcd_admin_member_update(struct etcd_admin *a, uint64_t id, struct str peer_url, etcd_members_fn *done, void *arg)
{
    Etcdpb__MemberUpdateRequest r = ETCDPB__MEMBER_UPDATE_REQUEST__INIT;
    AUTO_FREE char *url = str_dup(peer_url);

    r.id = id;
    r.n_peerurls = 1;
    r.peerurls = &url;
    admin_start(a, &method_update, &r.base, STR_NONE, false, tell_members, arg)->done.members = done;
}
