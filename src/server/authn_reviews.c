/* TokenReview and SelfSubjectReview: who is the bearer of a token, and who am I. Source: authentication/v1. */
#include "kinds/fields.h"
#include "server/authn.h"

#define AUDIENCES_MAX 100

struct value *authn_user_info(struct arena *a, const struct identity *i)
{
    struct value *info = value_object(a);
    if (!str_empty(i->user))
        value_set(a, info, F_USER_INFO_USERNAME, i->user);
    if (!str_empty(i->uid))
        value_set(a, info, F_USER_INFO_UID, i->uid);
    for (size_t g = 0; g < i->groups_count; g++)
        value_append(a, value_make_array(a, info, F_USER_INFO_GROUPS), value_str(a, i->groups[g]));
    for (size_t e = 0; e < i->extra_count; e++) {
        struct value *values = value_array(a);
        for (size_t v = 0; v < i->extra[e].values_count; v++)
            value_append(a, values, value_str(a, i->extra[e].values[v]));
        value_put_str(a, value_make_object(a, info, F_USER_INFO_EXTRA), i->extra[e].key, values);
    }
    return info;
}

enum phase_result authn_token_review(struct request *r)
{
    struct arena *a = &r->arena;
    struct value *spec = value_get(r->tree, F_TOKEN_REVIEW_SPEC), *status = value_object(a);
    struct value *audiences = value_get(spec, F_TOKEN_REVIEW_SPEC_AUDIENCES);
    struct str token = value_to_str(value_get(spec, F_TOKEN_REVIEW_SPEC_TOKEN)), wanted[AUDIENCES_MAX];
    struct authn_audiences asked = { wanted, 0 }, both = { 0 };
    struct identity identity = { 0 };
    AUTO_ERROR struct error err = { 0 };
    if (str_empty(token))
        return request_fail(r, ERR_BAD_REQUEST, "token is required for TokenReview in authentication");
    if (value_type(audiences) == VALUE_ARRAY && audiences->items_count > AUDIENCES_MAX)
        return request_fail(r, ERR_BAD_REQUEST, "too many audiences, the limit is %d", AUDIENCES_MAX);
    for (uint32_t i = 0; value_type(audiences) == VALUE_ARRAY && i < audiences->items_count; i++)
        wanted[asked.count++] = value_to_str(audiences->items[i]);
    if (authn_token(r->server, a, token, asked, &identity, &both, &err) == 0) {
        value_set_bool(a, status, F_TOKEN_REVIEW_STATUS_AUTHENTICATED, true);
        value_put(a, status, F_TOKEN_REVIEW_STATUS_USER, authn_user_info(a, &identity));
        for (size_t i = 0; i < both.count; i++)
            value_append(a, value_make_array(a, status, F_TOKEN_REVIEW_STATUS_AUDIENCES), value_str(a, both.items[i]));
    } else {
        value_put(a, status, F_TOKEN_REVIEW_STATUS_USER, value_object(a));
        value_set_text(a, status, F_TOKEN_REVIEW_STATUS_ERROR, "invalid bearer token");
    }
    value_put(a, r->tree, F_TOKEN_REVIEW_STATUS, status);
    return request_answer_tree(r, 201, r->tree);
}

enum phase_result authn_self_subject_review(struct request *r)
{
    struct value *status = value_object(&r->arena);
    value_put(&r->arena, status, F_SELF_SUBJECT_REVIEW_STATUS_USER_INFO, authn_user_info(&r->arena, &r->identity));
    value_put(&r->arena, r->tree, F_SELF_SUBJECT_REVIEW_STATUS, status);
    return request_answer_tree(r, 201, r->tree);
}
