/* ControllerRevision: a remembered template of a workload; its data never changes. Source: pkg/apis/apps. */
#include "kinds/cells.h"
#include "kinds/check.h"
#include "kinds/schemas.h"

#include <ctype.h>

static void validate(struct kind_context *c, struct view revision, struct view old, struct error *causes)
{
    struct view data = view_get(revision, F_CONTROLLER_REVISION_DATA);
    struct check *k = CHECK(c, causes);

    if (view_type(data) == VALUE_ABSENT || view_type(data) == VALUE_NULL)
        check_required(k, AT(AT_ROOT, "data"), "data is mandatory");
    check_not_negative(k, AT(AT_ROOT, "revision"), view_int_at(revision, 0, F_CONTROLLER_REVISION_REVISION));
    if (!c->create)
        check_immutable(k, AT(AT_ROOT, "data"), data, view_get(old, F_CONTROLLER_REVISION_DATA));
}

static const struct kind_column columns[] = {
    COLUMN_NAME,
    { "Controller", "string", "", "The workload it belongs to.", 0 },
    { "Revision", "string", "", "Its number, growing with time.", 0 },
    COLUMN_AGE,
    { NULL },
};

/* "daemonset.apps/web" */
static struct str controller_text(struct arena *a, struct view revision)
{
    struct view_iter it = { 0 };

    while (view_next(view_path(revision, F_CONTROLLER_REVISION_METADATA, F_OBJECT_META_OWNER_REFERENCES), &it)) {
        struct str group = view_str_at(it.value, F_OWNER_REFERENCE_API_VERSION), head = STR_NONE;
        char *kind = arena_strdup(a, view_str_at(it.value, F_OWNER_REFERENCE_KIND));

        if (!view_bool_at(it.value, false, F_OWNER_REFERENCE_CONTROLLER))
            continue;
        for (char *p = kind; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        if (!str_cut(&group, '/', &head))
            head = STR_NONE;
        return arena_printf(a, "%s%s%.*s/%.*s", kind, head.n ? "." : "", STR_ARG(head),
                            STR_ARG(view_str_at(it.value, F_OWNER_REFERENCE_NAME)));
    }
    return STR(CELL_NONE);
}

static void row(struct arena *a, struct view revision, int64_t now_ms, struct value *cells)
{
    cell_name(a, cells, revision);
    cell_str(a, cells, controller_text(a, revision));
    cell_int(a, cells, view_int_at(revision, 0, F_CONTROLLER_REVISION_REVISION));
    cell_age(a, cells, revision, now_ms);
}

const struct kind kind_controllerrevision = {
    .group = "apps",
    .version = "v1",
    .kind = "ControllerRevision",
    .list_kind = "ControllerRevisionList",
    .plural = "controllerrevisions",
    .singular = "controllerrevision",
    .namespaced = true,
    .verbs = VERBS_ALL,
    .schema = &schema_apps_v1_controller_revision,
    .columns = columns,
    .row = row,
    .validate = validate,
};
