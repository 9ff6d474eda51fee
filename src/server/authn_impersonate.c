/* The impersonate phase: a caller who may acts as somebody else. Source: apiserver/pkg/endpoints/filters/impersonation.go. */
#define LOG_PART "server"
#include "server/authn.h"

#include "base/codec.h"
#include "base/log.h"
#include "server/seams.h"

#define IMPERSONATED_MAX 256 /* groups and extra values of one request */

struct wanted {
    struct str user, uid;
    struct authn_groups groups;
    struct identity_extra *extra;
    size_t extra_count;
    size_t values; /* of all extras */
    bool any;
};

static void extra_add(struct request *r, struct wanted *w, struct str key, struct str value)
{
    struct identity_extra *found = NULL;
    for (size_t i = 0; i < w->extra_count; i++)
        if (str_eq(w->extra[i].key, key))
            found = &w->extra[i];
    if (!found) {
        found = &w->extra[w->extra_count++];
        found->key = key;
    }
    struct str *values = arena_alloc_array(&r->arena, found->values_count + 1, sizeof(*values));
    if (found->values_count)
        memcpy(values, found->values, found->values_count * sizeof(*values));
    values[found->values_count++] = value;
    found->values = values;
    w->values++;
}

/* The key of Impersonate-Extra-KEY, percent-decoded, in lower case. */
static struct str extra_key(struct request *r, struct str text)
{
    AUTO_BUF struct buf key = BUF_MAX(KIB);
    bool ok;
    percent_decode(&key, text, false, &ok);
    struct str copy = arena_str(&r->arena, ok ? buf_str(&key) : text);
    char *p = (char *)copy.p;
    for (size_t i = 0; i < copy.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] - 'A' + 'a');
    return copy;
}

static int read_headers(struct request *r, struct wanted *w)
{
    const struct http_request *q = r->exchange->request;
    struct str extra_prefix = STR("impersonate-extra-");
    w->extra = arena_alloc_array(&r->arena, q->headers_count, sizeof(*w->extra));
    for (size_t i = 0; i < q->headers_count; i++) {
        struct str name = q->headers[i].name, value = q->headers[i].value;
        if (!str_starts(name, STR("impersonate-")))
            continue;
        if (str_is(name, "impersonate-user"))
            w->user = value;
        else if (str_is(name, "impersonate-uid"))
            w->uid = value;
        else if (str_is(name, "impersonate-group"))
            authn_groups_add(&w->groups, &r->arena, value);
        else if (str_starts(name, extra_prefix))
            extra_add(r, w, extra_key(r, str_from(name, extra_prefix.n)), value);
        else
            continue;
        w->any = true;
        if (w->groups.count + w->values > IMPERSONATED_MAX)
            return fail(&r->err, ERR_BAD_REQUEST, "too many impersonated groups and extra values");
    }
    if (w->any && str_empty(w->user))
        return fail(&r->err, ERR_INTERNAL,
                    "Internal error occurred: requested impersonation of a group, uid or extra value without "
                    "impersonating a user");
    return 0;
}

static int may(struct request *r, const char *group, const char *resource, struct str subresource,
               struct str namespace_, struct str name)
{
    struct str reason;
    struct authz_attributes a = {
        .identity = &r->identity,
        .is_resource = true,
        .verb = STR("impersonate"),
        .group = str_of(group),
        .version = str_is(STR("authentication.k8s.io"), group) ? STR("v1") : STR_NONE,
        .resource = str_of(resource),
        .subresource = subresource,
        .namespace_ = namespace_,
        .name = name,
    };
    if (authz_allows(r->server, &r->arena, &a, &reason))
        return 0;
    return authz_forbid(&a, reason, &r->err);
}

static int may_all(struct request *r, const struct wanted *w, struct str namespace_, struct str account)
{
    if (!str_empty(account) ? may(r, "", "serviceaccounts", STR_NONE, namespace_, account) < 0
                            : may(r, "", "users", STR_NONE, STR_NONE, w->user) < 0)
        return -1;
    for (size_t i = 0; i < w->groups.count; i++)
        if (may(r, "", "groups", STR_NONE, STR_NONE, w->groups.items[i]) < 0)
            return -1;
    for (size_t i = 0; i < w->extra_count; i++)
        for (size_t j = 0; j < w->extra[i].values_count; j++)
            if (may(r, "authentication.k8s.io", "userextras", w->extra[i].key, STR_NONE, w->extra[i].values[j]) < 0)
                return -1;
    return str_empty(w->uid) ? 0 : may(r, "authentication.k8s.io", "uids", STR_NONE, STR_NONE, w->uid);
}

enum phase_result impersonate_phase(struct request *r)
{
    struct wanted w = { 0 };
    struct str namespace_ = STR_NONE, account = STR_NONE;
    if (r->source == REQUEST_LOCAL)
        return PHASE_DONE;
    if (read_headers(r, &w) < 0)
        return PHASE_FAILED;
    if (!w.any)
        return PHASE_DONE;
    authn_service_account(w.user, &namespace_, &account);
    if (may_all(r, &w, namespace_, account) < 0)
        return PHASE_FAILED;
    if (!str_empty(account) && w.groups.count == 0) {
        authn_groups_add(&w.groups, &r->arena, STR("system:serviceaccounts"));
        authn_groups_add(&w.groups, &r->arena,
                         arena_printf(&r->arena, "system:serviceaccounts:%.*s", STR_ARG(namespace_)));
    }
    authn_groups_add(&w.groups, &r->arena,
                     str_is(w.user, "system:anonymous") ? STR("system:unauthenticated") : STR("system:authenticated"));
    log_debug("acting as somebody else", KV_STR("user", r->identity.user), KV_STR("as", w.user));
    r->impersonator = r->identity;
    r->identity = (struct identity){ .user = w.user,
                                     .uid = w.uid,
                                     .groups = w.groups.items,
                                     .groups_count = w.groups.count,
                                     .extra = w.extra,
                                     .extra_count = w.extra_count };
    return PHASE_DONE;
}
