/* The path and query of an API call, as text. */
#include "client/https_internal.h"

#include "base/codec.h"

#include <stdio.h>

static void add_param(struct buf *to, bool *first, const char *name, struct str value)
{
    if (!value.n)
        return;
    buf_add_char(to, *first ? '?' : '&');
    *first = false;
    buf_add_text(to, name);
    buf_add_char(to, '=');
    percent_encode(to, value);
}

static void add_segment(struct buf *to, struct str segment)
{
    buf_add_char(to, '/');
    percent_encode(to, segment);
}

void target_write_path(struct buf *to, const struct kind *kind, struct str namespace_, struct str name,
                       struct str subresource)
{
    buf_addf(to, kind->group[0] ? "/apis/%s/%s" : "/api%s/%s", kind->group, kind->version);
    if (kind->namespaced && namespace_.n) {
        buf_add_text(to, "/namespaces");
        add_segment(to, namespace_);
    }
    add_segment(to, str_of(kind->plural));
    if (name.n)
        add_segment(to, name);
    if (subresource.n)
        add_segment(to, subresource);
}

void target_write_call(struct buf *to, const struct api_call *call)
{
    bool first = true;

    target_write_path(to, call->kind, call->namespace_, call->name, call->subresource);
    add_param(to, &first, "fieldManager", call->field_manager);
    add_param(to, &first, "labelSelector", call->label_selector);
    add_param(to, &first, "fieldSelector", call->field_selector);
    if (call->verb == API_PATCH && call->patch_type == API_PATCH_APPLY && call->force)
        add_param(to, &first, "force", STR("true"));
    if (call->dry_run)
        add_param(to, &first, "dryRun", STR("All"));
}

void target_write_list(struct buf *to, const struct api_watch_request *request, struct str continue_)
{
    bool first = true;

    target_write_path(to, request->kind, request->namespace_, STR_NONE, STR_NONE);
    add_param(to, &first, "limit", STR("500"));
    add_param(to, &first, "labelSelector", request->label_selector);
    add_param(to, &first, "fieldSelector", request->field_selector);
    add_param(to, &first, "continue", continue_);
}

void target_write_watch(struct buf *to, const struct api_watch_request *request, uint64_t revision)
{
    char text[24];
    bool first = true;

    snprintf(text, sizeof(text), "%llu", (unsigned long long)revision);
    target_write_path(to, request->kind, request->namespace_, STR_NONE, STR_NONE);
    add_param(to, &first, "watch", STR("true"));
    add_param(to, &first, "allowWatchBookmarks", STR("true"));
    add_param(to, &first, "labelSelector", request->label_selector);
    add_param(to, &first, "fieldSelector", request->field_selector);
    add_param(to, &first, "resourceVersion", str_of(text));
}
