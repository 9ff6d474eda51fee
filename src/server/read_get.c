/* Get one object, or one of its generic subresources. */
#include "server/read.h"
#include "server/server_internal.h"
#include "server/write.h"

int read_revision(struct request *r, uint64_t *ret, struct error *err)
{
    *ret = 0;
    struct str text = r->options.resource_version;
    if (str_empty(text))
        return 0;
    if (!str_to_u64(text, ret))
        return fail(err, ERR_BAD_REQUEST, "resourceVersion: Invalid value: \"%.*s\": not a number", STR_ARG(text));
    uint64_t now = state_revision(r->server->state);
    if (*ret <= now)
        return 0;
    /* Source: apiserver/pkg/storage/errors.go NewTooLargeResourceVersionError. */
    fail(err, ERR_TIMEOUT, "Timeout: Too large resource version: %llu, current: %llu", (unsigned long long)*ret,
         (unsigned long long)now);
    error_add_cause(err, "ResourceVersionTooLarge", STR_NONE, "Too large resource version");
    err->retry_after_s = 1;
    return -1;
}

enum phase_result read_get(struct request *r)
{
    uint64_t revision;
    if (read_revision(r, &revision, &r->err) < 0)
        return PHASE_FAILED;
    const struct object *stored = state_get(r->server->state, r->kind, request_namespace(r), r->info.name);
    if (!stored) {
        fail_not_found(r, r->kind, r->info.name, &r->err);
        return PHASE_FAILED;
    }
    r->result = alias_object(r->kind, stored);
    if (!r->sub || strcmp(r->sub->name, "scale"))
        return PHASE_DONE;
    AUTO_OBJECT struct object *whole = TAKE(r->result);
    return request_answer_tree(r, 200, scale_of(&r->arena, whole));
}
