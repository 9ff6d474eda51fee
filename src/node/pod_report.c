/* What the server hears of a pod: status, events, the request to delete it, the question whether traffic has ended. */
#include "base/codec.h"
#include "base/time.h"
#include "kinds/fields.h"
#include "node/pod.h"
#include "object/value.h"
#define LOG_PART "node"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define RETRY_FIRST_MS  50
#define RETRY_MAX_MS    5000
#define EVENT_MAX_BYTES 1024

/* Calls outlive pods: they find them again by uid. */
struct report_call {
    struct agent *agent;
    char *uid;
    struct object *status; /* what was sent */
};

static struct report_call *report_call_new(struct pod *p, struct object *status)
{
    struct report_call *c = xnew(struct report_call);
    *c = (struct report_call){ p->agent, str_dup(p->uid), status };
    return c;
}

static void report_call_free(struct report_call *c)
{
    free(c->uid);
    object_unref(c->status);
    free(c);
}

/* --- status ------------------------------------------------------------------------------------------------------------------ */

/* The object is not in the API any more, or another one of its name is. */
static void vanished(struct pod *p)
{
    pod_begin_deletion(p, 0, true);
    pod_touch(p);
}

static void on_status_sent(void *arg, const struct object *result, const struct error *err)
{
    struct report_call *c = arg;
    struct pod *p = map_get(&c->agent->pods, str_of(c->uid));

    if (!p)
        goto done;
    p->status_sending = false;
    if (result) {
        p->status_failures = 0;
        p->facts.status_current = !p->status_again;
        bool again = p->status_again;
        p->status_again = false;
        if (again)
            pod_report(p);
        else if (p->facts.deleting)
            pod_touch(p);
    } else if (err->code == ERR_NOT_FOUND ||
               (err->code == ERR_CONFLICT && str_contains(str_of(error_text(err)), STR("UID")))) {
        vanished(p);
    } else {
        object_unref(p->status_sent);
        p->status_sent = NULL; /* nobody knows what the server has */
        int64_t wait = MIN((int64_t)RETRY_FIRST_MS << MIN(p->status_failures, 10), RETRY_MAX_MS);
        if (p->status_failures++ % 20 == 0)
            log_warn("a pod's status was not taken; trying again", KV_STR("pod", p->name), KV_ERR(err));
        loop_timer_start(&p->status_retry, wait);
    }
done:
    report_call_free(c);
}

/* Lists that strategic merge would add to: an address that changed replaces the old one. */
static void replace_list(struct arena *a, struct value *status, name_id list)
{
    struct value *directive = value_object(a), *items = value_get(status, list);

    if (!items)
        return;
    value_put_str(a, directive, STR("$patch"), value_text(a, "replace"));
    value_insert(a, items, 0, directive);
}

/* Strategic merge: conditions of others (readiness gates, disruption) stay. The uid makes it a conflict when another pod stands there. */
static void send_status(struct pod *p, struct arena *a, struct value *status, struct object *frozen)
{
    struct value *patch = value_object(a), *meta = value_make_object(a, patch, F_POD_METADATA);
    AUTO_BUF struct buf text = BUF_MAX(OBJECT_SIZE_MAX);

    replace_list(a, status, F_POD_STATUS_POD_IPS);
    replace_list(a, status, F_POD_STATUS_HOST_IPS);
    value_set(a, meta, F_OBJECT_META_UID, p->uid);
    value_put(a, patch, F_POD_STATUS, status);
    value_write(&text, patch);
    struct api_call call = { .verb = API_PATCH,
                             .kind = &kind_pod,
                             .namespace_ = p->namespace_,
                             .name = p->name,
                             .subresource = STR("status"),
                             .patch = buf_str(&text),
                             .patch_type = API_PATCH_STRATEGIC,
                             .grace_seconds = -1 };
    p->status_sending = true;
    p->facts.status_current = false;
    object_unref(p->status_sent);
    p->status_sent = object_ref(frozen);
    api_call(p->agent->api, &call, on_status_sent, report_call_new(p, object_ref(frozen)));
}

void pod_report(struct pod *p)
{
    AUTO_ARENA struct arena a = { 0 };
    struct agent *agent = p->agent;

    if (p->muted)
        p->facts.status_current = true;
    if (p->muted || p->facts.gone || p->facts.deleted || p->dead || loop_timer_running(&p->status_retry))
        return;
    struct value *status = pod_status_make(p, &a, env_wall_ms(agent->env), loop_now_ms(agent->loop));
    AUTO_OBJECT struct object *frozen = object_new(status, NULL);
    if (!frozen)
        return;
    if (p->status_sent && view_equal(object_root(frozen), object_root(p->status_sent))) {
        p->status_again = false;
        if (!p->status_sending && !p->facts.status_current && !loop_timer_running(&p->status_retry))
            p->facts.status_current = true;
        return;
    }
    p->facts.status_current = false;
    if (p->status_sending) {
        p->status_again = true; /* one write under way at a time; the newest follows it */
        return;
    }
    send_status(p, &a, status, frozen);
}

/* --- the end of the object ---------------------------------------------------------------------------------------------------- */

static void on_deleted(void *arg, const struct object *result, const struct error *err)
{
    struct report_call *c = arg;
    struct pod *p = map_get(&c->agent->pods, str_of(c->uid));
    (void)result;

    if (p) {
        if (!err || err->code == ERR_NOT_FOUND || err->code == ERR_CONFLICT) {
            p->facts.deleted = true;
        } else {
            p->facts.delete_asked = false;
            loop_timer_start(&p->wake, RETRY_MAX_MS / 5);
            report_call_free(c);
            return;
        }
        pod_touch(p);
    }
    report_call_free(c);
}

void pod_delete_object(struct pod *p)
{
    struct api_call call = { .verb = API_DELETE,
                             .kind = &kind_pod,
                             .namespace_ = p->namespace_,
                             .name = p->name,
                             .uid_precondition = p->uid,
                             .grace_seconds = 0 };

    p->facts.delete_asked = true;
    api_call(p->agent->api, &call, on_deleted, report_call_new(p, NULL));
}

/* --- acknowledged removal: docs/reference/agent-protocol.md, section 5 ------------------------------------------------------------ */

static void on_removal(void *arg, const struct http_response *head, struct str body, const struct error *err)
{
    struct pod *p = arg;
    (void)body, (void)err;

    p->removal_call = NULL;
    /* An answer of another kind means the server cannot tell: only the deadline helps then, unless it does not know the question. */
    if (head && (head->status == 200 || head->status == 404 || head->status == 403))
        p->facts.removal = HOOK_DONE;
    pod_touch(p);
}

void pod_ask_removal(struct pod *p)
{
    AUTO_BUF struct buf target = BUF_MAX(4096);

    p->facts.removal = p->agent->http ? HOOK_RUNNING : HOOK_DONE;
    if (!p->agent->http)
        return;
    buf_add_text(&target, "/klein/v1/nodes/");
    percent_encode(&target, str_of(p->agent->config->node_name));
    buf_add_text(&target, "/removal?namespace=");
    percent_encode(&target, p->namespace_);
    buf_add_text(&target, "&pod=");
    percent_encode(&target, p->name);
    buf_add_text(&target, "&uid=");
    percent_encode(&target, p->uid);
    struct http_call_request r = { .method = STR("GET"),
                                   .target = buf_str(&target),
                                   .timeout_ms = REMOVAL_WAIT_MS + 500,
                                   .total_timeout_ms = REMOVAL_WAIT_MS + 500 };
    p->removal_call = http_client_fetch(p->agent->http, &r, 4096, on_removal, p);
}

/* --- events ------------------------------------------------------------------------------------------------------------------------- */

void pod_event(struct pod *p, const struct pod_container *c, const char *type, const char *reason, const char *format,
               ...)
{
    AUTO_BUF struct buf path = BUF_MAX(512);
    char message[EVENT_MAX_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (c)
        buf_addf(&path, "spec.%s{%s}", c->facts->kind == CONTAINER_MAIN ? "containers" : "initContainers",
                 c->facts->name);
    log_debug("event", KV_STR("pod", p->name), KV("reason", "%s", reason), KV("message", "%s", message));
    if (p->agent->events)
        event_record(p->agent->events, &kind_pod, p->object, c ? path.p : NULL, type, reason, str_of(message));
}
