/* Calls to the API over HTTPS. */
#include "client/https_internal.h"

#include "kinds/fields.h"
#include "object/value.h"

#include <stdlib.h>

#define ANSWER_MAX (64 * MIB) /* lists of one page are far smaller */

struct call {
    api_done_fn *done;
    void *arg;
};

void status_to_error(struct str body, int http_status, struct error *err)
{
    AUTO_ERROR struct error parse = { 0 };
    struct object *status = object_parse(body, &parse);
    struct view root = object_root(status);
    struct str message = view_str_at(root, F_STATUS_MESSAGE);
    struct str reason = view_str_at(root, F_STATUS_REASON);

    fail(err, error_code_of_reason(reason, http_status), "%.*s", STR_ARG(message));
    if (!message.n)
        fail(err, error_code_of_reason(STR_NONE, http_status), "the server answered %d", http_status);
    err->retry_after_s = (int)view_int_at(root, 0, F_STATUS_DETAILS, F_STATUS_DETAILS_RETRY_AFTER_SECONDS);
    struct view_iter it = { 0 };
    while (view_next(view_path(root, F_STATUS_DETAILS, F_STATUS_DETAILS_CAUSES), &it)) {
        AUTO_FREE char *cause = str_dup(view_str_at(it.value, F_STATUS_CAUSE_REASON));
        error_add_cause(err, cause, view_str_at(it.value, F_STATUS_CAUSE_FIELD), "%.*s",
                        STR_ARG(view_str_at(it.value, F_STATUS_CAUSE_MESSAGE)));
    }
    object_unref(status);
}

static void on_fetched(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct call *c = arg;
    AUTO_ERROR struct error status = { 0 };
    struct object *result = NULL;

    if (!err && head->status / 100 != 2) {
        status_to_error(body, head->status, &status);
        err = &status;
    } else if (!err) {
        result = object_parse(body, &status);
        if (!result)
            err = &status;
    }
    c->done(c->arg, result, err);
    object_unref(result);
    free(c);
}

static struct str method_of(enum api_verb verb)
{
    switch (verb) {
    case API_CREATE:
        return STR("POST");
    case API_UPDATE:
        return STR("PUT");
    case API_PATCH:
        return STR("PATCH");
    case API_DELETE:
    case API_DELETE_COLLECTION:
        return STR("DELETE");
    case API_GET:
    case API_LIST:
        break;
    }
    return STR("GET");
}

static struct str content_type_of(const struct api_call *call)
{
    static const char *const patches[] = {
        [API_PATCH_JSON] = "application/json-patch+json",
        [API_PATCH_MERGE] = "application/merge-patch+json",
        [API_PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
        [API_PATCH_APPLY] = "application/apply-patch+yaml",
    };

    return call->verb == API_PATCH ? str_of(patches[call->patch_type]) : STR("application/json");
}

static void write_delete_options(struct arena *a, struct buf *to, const struct api_call *call)
{
    struct value *options = value_object(a);
    struct value *preconditions = value_object(a);

    value_set_text(a, options, F_DELETE_OPTIONS_API_VERSION, "v1");
    value_set_text(a, options, F_DELETE_OPTIONS_KIND, "DeleteOptions");
    if (call->propagation)
        value_set_text(a, options, F_DELETE_OPTIONS_PROPAGATION_POLICY, call->propagation);
    if (call->grace_seconds >= 0)
        value_set_int(a, options, F_DELETE_OPTIONS_GRACE_PERIOD_SECONDS, call->grace_seconds);
    if (call->uid_precondition.n)
        value_set(a, preconditions, F_META_PRECONDITIONS_UID, call->uid_precondition);
    if (call->revision_precondition)
        value_set(a, preconditions, F_META_PRECONDITIONS_RESOURCE_VERSION,
                  arena_printf(a, "%llu", (unsigned long long)call->revision_precondition));
    if (preconditions->members_count)
        value_put(a, options, F_DELETE_OPTIONS_PRECONDITIONS, preconditions);
    value_write(to, options);
}

static void https_call(struct api *api, const struct api_call *call, api_done_fn *done, void *arg)
{
    struct https_api *h = container_of(api, struct https_api, base);
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf target = BUF_MAX(16 * KIB);
    AUTO_BUF struct buf body = BUF_MAX(OBJECT_SIZE_MAX);
    struct call *c = xnew(struct call);
    int64_t timeout_ms = call->timeout_ms ? call->timeout_ms : 30000;

    *c = (struct call){ done, arg };
    target_write_call(&target, call);
    if (call->verb == API_DELETE || call->verb == API_DELETE_COLLECTION)
        write_delete_options(&a, &body, call);
    struct http_header headers[] = {
        { STR("Accept"), STR("application/json") },
        { STR("Content-Type"), content_type_of(call) },
    };
    http_client_fetch(h->client,
                      &(struct http_call_request){
                          .method = method_of(call->verb),
                          .target = buf_str(&target),
                          .headers = headers,
                          .headers_count = call->verb == API_GET || call->verb == API_LIST ? 1 : 2,
                          .bearer = h->bearer.n ? &h->bearer : NULL,
                          .body = body.n                    ? buf_str(&body)
                                  : call->verb == API_PATCH ? call->patch
                                  : call->body              ? object_json(call->body)
                                                            : STR_NONE,
                          .timeout_ms = timeout_ms,
                          .total_timeout_ms = timeout_ms,
                      },
                      ANSWER_MAX, on_fetched, c);
}

static void https_free(struct api *api)
{
    struct https_api *h = container_of(api, struct https_api, base);

    secret_done(&h->bearer);
    free(h);
}

static const struct api_ops https_ops = {
    .call = https_call,
    .watch = https_watch_open,
    .watch_close = https_watch_close,
    .free = https_free,
};

struct api *https_api_new(struct http_client *client, const struct secret *bearer)
{
    struct https_api *h = xnew(struct https_api);

    h->base.ops = &https_ops;
    h->client = client;
    if (bearer)
        secret_set(&h->bearer, secret_reveal(bearer));
    return &h->base;
}

void https_api_set_bearer(struct api *api, const struct secret *bearer)
{
    struct https_api *h = container_of(api, struct https_api, base);

    secret_set(&h->bearer, secret_reveal(bearer));
}
