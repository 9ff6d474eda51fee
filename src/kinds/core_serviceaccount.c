/* ServiceAccount: who a pod is. */
#include "kinds/cells.h"
#include "kinds/schemas.h"

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Secrets", "string", "", "Number of secrets that its pods may use.", 0 },
    COLUMN_AGE,
    { NULL },
};

static void row(struct arena *a, struct view account, int64_t now_ms, struct value *cells)
{
    cell_name(a, cells, account);
    cell_int(a, cells, (int64_t)view_count(view_get(account, F_SERVICE_ACCOUNT_SECRETS)));
    cell_age(a, cells, account, now_ms);
}

static const struct kind_subresource subresources[] = {
    { "token", VERB_CREATE, "authentication.k8s.io", "v1", "TokenRequest" },
    { NULL },
};

const struct kind kind_serviceaccount = {
    .group = "",
    .version = "v1",
    .kind = "ServiceAccount",
    .list_kind = "ServiceAccountList",
    .plural = "serviceaccounts",
    .singular = "serviceaccount",
    .short_names = (const char *const[]){ "sa", NULL },
    .namespaced = true,
    .verbs = VERBS_ALL,
    .schema = &schema_core_v1_service_account,
    .subresources = subresources,
    .columns = columns,
    .row = row,
    .delete_returns_object = true,
};
