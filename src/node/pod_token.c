/* Service account tokens of projected volumes: asked for once per audience and lifetime, renewed at 80 %. */
#include "base/time.h"
#include "kinds/fields.h"
#include "node/pod.h"
#include "object/value.h"
#define LOG_PART "node"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define RETRY_MS       1000
#define REFRESH_MAX_MS (24 * HOUR_MS) /* kubelet's maxTTL */

/* A call outlives its pod: it finds the pod again by uid. */
struct token_call {
    struct agent *agent;
    char *uid, *audience;
    int64_t expiration_s;
};

static struct pod_token *find(struct pod *p, struct str audience, int64_t expiration_s)
{
    list_each (&p->tokens, struct pod_token, link, t) {
        if (str_is(audience, t->audience) && t->expiration_s == expiration_s)
            return t;
    }
    return NULL;
}

/* One timer for the token that is due first. */
static void set_timer(struct pod *p)
{
    int64_t now = env_wall_ms(p->agent->env), first = -1;

    list_each (&p->tokens, struct pod_token, link, t) {
        if (!t->asking && t->token.n && (first < 0 || t->refresh_wall_ms < first))
            first = t->refresh_wall_ms;
    }
    if (first >= 0)
        loop_timer_start(&p->token_timer, MAX(first - now, 1000));
}

static void on_answer(void *arg, const struct object *result, const struct error *err)
{
    struct token_call *c = arg;
    struct pod *p = map_get(&c->agent->pods, str_of(c->uid));
    struct pod_token *t = p ? find(p, str_of(c->audience), c->expiration_s) : NULL;

    if (t) {
        struct view status = view_get(object_root(result), F_TOKEN_REQUEST_STATUS);
        struct str token = result ? view_str_at(status, F_TOKEN_REQUEST_STATUS_TOKEN) : STR_NONE;
        int64_t now = env_wall_ms(c->agent->env), expires;
        t->asking = false;
        if (token.n) {
            secret_set(&t->token, token);
            if (!time_parse(view_str_at(status, F_TOKEN_REQUEST_STATUS_EXPIRATION_TIMESTAMP), &expires))
                expires = now + c->expiration_s * SECOND_MS;
            t->refresh_wall_ms = now + MIN((expires - now) * 8 / 10, REFRESH_MAX_MS);
            set_timer(p);
            pod_refresh_content(p);
        } else {
            log_warn("no service account token", KV_STR("pod", p->name), KV_ERR(err));
            t->retry_ms = loop_now_ms(c->agent->loop) + RETRY_MS;
            if (p->facts.volumes != PART_READY)
                pod_event(p, NULL, "Warning", "FailedMount", "failed to fetch token: %s", error_text(err));
        }
    }
    free(c->uid);
    free(c->audience);
    free(c);
}

static struct object *make_request(const struct pod *p, const struct pod_token *t, struct arena *a)
{
    struct value *root = value_object(a), *spec, *ref;

    value_set_text(a, root, F_TOKEN_REQUEST_API_VERSION, "authentication.k8s.io/v1");
    value_set_text(a, root, F_TOKEN_REQUEST_KIND, "TokenRequest");
    spec = value_make_object(a, root, F_TOKEN_REQUEST_SPEC);
    struct value *audiences = value_make_array(a, spec, F_TOKEN_REQUEST_SPEC_AUDIENCES);
    if (t->audience[0])
        value_append(a, audiences, value_text(a, t->audience));
    value_set_int(a, spec, F_TOKEN_REQUEST_SPEC_EXPIRATION_SECONDS, t->expiration_s);
    ref = value_make_object(a, spec, F_TOKEN_REQUEST_SPEC_BOUND_OBJECT_REF);
    value_set_text(a, ref, F_BOUND_OBJECT_REFERENCE_KIND, "Pod");
    value_set_text(a, ref, F_BOUND_OBJECT_REFERENCE_API_VERSION, "v1");
    value_set(a, ref, F_BOUND_OBJECT_REFERENCE_NAME, p->name);
    value_set(a, ref, F_BOUND_OBJECT_REFERENCE_UID, p->uid);
    return object_new(root, NULL);
}

static void ask(struct pod *p, struct pod_token *t)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_OBJECT struct object *body = make_request(p, t, &a);
    struct str account = view_str_at(pod_spec(p), F_POD_SPEC_SERVICE_ACCOUNT_NAME);
    struct token_call *c = xnew(struct token_call);
    struct api_call call = { .verb = API_CREATE,
                             .kind = &kind_serviceaccount,
                             .namespace_ = p->namespace_,
                             .name = account.n ? account : STR("default"),
                             .subresource = STR("token"),
                             .body = body,
                             .grace_seconds = -1 };

    *c = (struct token_call){ p->agent, str_dup(p->uid), xstrdup(t->audience), t->expiration_s };
    t->asking = true;
    api_call(p->agent->api, &call, on_answer, c);
}

bool pod_token_get(void *pod, struct str audience, int64_t expiration_s, struct str *ret)
{
    struct pod *p = pod;
    struct pod_token *t = find(p, audience, expiration_s);

    if (!t) {
        t = xnew(struct pod_token);
        *t = (struct pod_token){ .audience = str_dup(audience), .expiration_s = expiration_s };
        list_add_tail(&p->tokens, &t->link);
    }
    bool due = !t->token.n || env_wall_ms(p->agent->env) >= t->refresh_wall_ms;
    if (due && !t->asking && loop_now_ms(p->agent->loop) >= t->retry_ms)
        ask(p, t);
    *ret = secret_reveal(&t->token);
    return t->token.n > 0;
}
