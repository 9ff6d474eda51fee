/* Lease: who leads, and until when. Source: pkg/apis/coordination/validation. */
#include "kinds/cells.h"
#include "kinds/check_format.h"
#include "kinds/schemas.h"

static void validate(struct kind_context *c, struct view lease, struct view old, struct error *causes)
{
    struct view spec = view_get(lease, F_LEASE_SPEC), duration = view_get(spec, F_LEASE_SPEC_LEASE_DURATION_SECONDS);
    struct view transitions = view_get(spec, F_LEASE_SPEC_LEASE_TRANSITIONS);
    const struct at *at = AT(AT_ROOT, "spec");
    struct check *k = CHECK(c, causes);

    (void)old;
    if (view_present(duration) && view_int(duration, 0) <= 0)
        check_invalid(k, AT(at, "leaseDurationSeconds"), duration, "must be greater than 0");
    if (view_present(transitions))
        check_not_negative(k, AT(at, "leaseTransitions"), view_int(transitions, 0));
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Holder", "string", "", "Who holds it.", 0 },
    COLUMN_AGE,
    { NULL },
};

static void row(struct arena *a, struct view lease, int64_t now_ms, struct value *cells)
{
    cell_name(a, cells, lease);
    cell_str(a, cells, view_str_at(lease, F_LEASE_SPEC, F_LEASE_SPEC_HOLDER_IDENTITY));
    cell_age(a, cells, lease, now_ms);
}

const struct kind kind_lease = {
    .group = "coordination.k8s.io",
    .version = "v1",
    .kind = "Lease",
    .list_kind = "LeaseList",
    .plural = "leases",
    .singular = "lease",
    .namespaced = true,
    .verbs = VERBS_ALL,
    .schema = &schema_coordination_v1_lease,
    .columns = columns,
    .row = row,
    .validate = validate,
    .update_needs_revision = true,
};
