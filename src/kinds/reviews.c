/* Reviews: questions about identity and rights, answered and never stored. Source: pkg/apis/authorization/validation. */
#include "kinds/check.h"
#include "kinds/schemas.h"

/* resourceAttributes or nonResourceAttributes, one of them; all access reviews name these fields alike. */
static void check_attributes(struct check *k, struct view spec)
{
    struct view resource = view_get(spec, F_SUBJECT_ACCESS_REVIEW_SPEC_RESOURCE_ATTRIBUTES);
    struct view other = view_get(spec, F_SUBJECT_ACCESS_REVIEW_SPEC_NON_RESOURCE_ATTRIBUTES);
    const struct at *at = AT(AT_ROOT, "spec");

    if (view_present(resource) && view_present(other))
        check_invalid(k, AT(at, "nonResourceAttributes"), other,
                      "cannot be specified in combination with resourceAttributes");
    if (!view_present(resource) && !view_present(other))
        check_invalid(k, AT(at, "resourceAttributes"), resource,
                      "exactly one of nonResourceAttributes or resourceAttributes must be specified");
}

static void check_subject(struct check *k, struct view spec)
{
    struct str user = view_str_at(spec, F_SUBJECT_ACCESS_REVIEW_SPEC_USER);

    if (!user.n && !view_count(view_get(spec, F_SUBJECT_ACCESS_REVIEW_SPEC_GROUPS)))
        check_invalid_str(k, AT(AT(AT_ROOT, "spec"), "user"), user, "at least one of user or group must be specified");
}

static void check_no_metadata(struct check *k, struct view review, bool namespace_allowed)
{
    struct view metadata = view_get(review, F_SUBJECT_ACCESS_REVIEW_METADATA);
    struct view_iter it = { 0 };

    while (view_next(metadata, &it))
        if (!str_is(it.key, "managedFields") && !str_is(it.key, "creationTimestamp") &&
            !(namespace_allowed && str_is(it.key, "namespace"))) {
            check_invalid(k, AT(AT_ROOT, "metadata"), metadata, "must be empty");
            return;
        }
}

static void validate_self(struct kind_context *c, struct view review, struct view old, struct error *causes)
{
    (void)old;
    check_attributes(CHECK(c, causes), view_get(review, F_SELF_SUBJECT_ACCESS_REVIEW_SPEC));
    check_no_metadata(CHECK(c, causes), review, false);
}

static void validate_subject(struct kind_context *c, struct view review, struct view old, struct error *causes)
{
    struct view spec = view_get(review, F_SUBJECT_ACCESS_REVIEW_SPEC);

    (void)old;
    check_attributes(CHECK(c, causes), spec);
    check_subject(CHECK(c, causes), spec);
    check_no_metadata(CHECK(c, causes), review, false);
}

static void validate_local(struct kind_context *c, struct view review, struct view old, struct error *causes)
{
    struct view spec = view_get(review, F_LOCAL_SUBJECT_ACCESS_REVIEW_SPEC);
    struct view resource = view_get(spec, F_SUBJECT_ACCESS_REVIEW_SPEC_RESOURCE_ATTRIBUTES);
    struct view other = view_get(spec, F_SUBJECT_ACCESS_REVIEW_SPEC_NON_RESOURCE_ATTRIBUTES);
    struct view namespace_ = view_get(resource, F_RESOURCE_ATTRIBUTES_NAMESPACE);
    const struct at *at = AT(AT_ROOT, "spec");
    struct check *k = CHECK(c, causes);

    (void)old;
    check_attributes(k, spec);
    check_subject(k, spec);
    check_no_metadata(k, review, true);
    if (view_present(resource) &&
        !str_eq(view_str(namespace_),
                view_str_at(review, F_LOCAL_SUBJECT_ACCESS_REVIEW_METADATA, F_OBJECT_META_NAMESPACE)))
        check_invalid_str(k, AT(AT(at, "resourceAttributes"), "namespace"), view_str(namespace_),
                          "must match metadata.namespace");
    if (view_present(other))
        check_invalid(k, AT(at, "nonResourceAttributes"), other, "disallowed on this kind of request");
}

const struct kind kind_selfsubjectaccessreview = {
    .group = "authorization.k8s.io",
    .version = "v1",
    .kind = "SelfSubjectAccessReview",
    .list_kind = "SelfSubjectAccessReviewList",
    .plural = "selfsubjectaccessreviews",
    .singular = "selfsubjectaccessreview",
    .verbs = VERBS_CREATE_ONLY,
    .schema = &schema_authorization_v1_self_subject_access_review,
    .validate = validate_self,
};

const struct kind kind_selfsubjectrulesreview = {
    .group = "authorization.k8s.io",
    .version = "v1",
    .kind = "SelfSubjectRulesReview",
    .list_kind = "SelfSubjectRulesReviewList",
    .plural = "selfsubjectrulesreviews",
    .singular = "selfsubjectrulesreview",
    .verbs = VERBS_CREATE_ONLY,
    .schema = &schema_authorization_v1_self_subject_rules_review,
};

const struct kind kind_subjectaccessreview = {
    .group = "authorization.k8s.io",
    .version = "v1",
    .kind = "SubjectAccessReview",
    .list_kind = "SubjectAccessReviewList",
    .plural = "subjectaccessreviews",
    .singular = "subjectaccessreview",
    .verbs = VERBS_CREATE_ONLY,
    .schema = &schema_authorization_v1_subject_access_review,
    .validate = validate_subject,
};

const struct kind kind_localsubjectaccessreview = {
    .group = "authorization.k8s.io",
    .version = "v1",
    .kind = "LocalSubjectAccessReview",
    .list_kind = "LocalSubjectAccessReviewList",
    .plural = "localsubjectaccessreviews",
    .singular = "localsubjectaccessreview",
    .namespaced = true,
    .verbs = VERBS_CREATE_ONLY,
    .schema = &schema_authorization_v1_local_subject_access_review,
    .validate = validate_local,
};

const struct kind kind_tokenreview = {
    .group = "authentication.k8s.io",
    .version = "v1",
    .kind = "TokenReview",
    .list_kind = "TokenReviewList",
    .plural = "tokenreviews",
    .singular = "tokenreview",
    .verbs = VERBS_CREATE_ONLY,
    .schema = &schema_authentication_v1_token_review,
};

const struct kind kind_selfsubjectreview = {
    .group = "authentication.k8s.io",
    .version = "v1",
    .kind = "SelfSubjectReview",
    .list_kind = "SelfSubjectReviewList",
    .plural = "selfsubjectreviews",
    .singular = "selfsubjectreview",
    .verbs = VERBS_CREATE_ONLY,
    .schema = &schema_authentication_v1_self_subject_review,
};
