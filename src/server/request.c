/* The phases of a request: one door that every step goes through, and what phases share. */
#include "server/admission/service_reserve.h"
#include "server/fresh.h"
#include "server/local.h"
#include "server/server_internal.h"

#define LOG_PART "server"
#include "base/log.h"
#include "base/time.h"
#include "kinds/schemas.h"

#include <stdlib.h>

#define ANSWER_AFTER_MS   (10 * SECOND_MS) /* a write that is sent and not answered by the store: the client is told so */
#define RESTARTS_MAX      5                /* upstream: MaxRetryWhenPatchConflicts */
#define WARNINGS_MAX      32
#define WARNING_BYTES_MAX 512

static const struct {
    const char *name;
    enum phase_result (*run)(struct request *r);
} phases[] = {
#define PHASE(name, fn) [PHASE_OF_##name] = { #name, fn },
#include "server/phases.def"
#undef PHASE
};

/* Audit-ID: unique, in the form of a UUID, but not secret. Half of it is random per server, half counts: a system call for
 * each request costs more than reading an object. */
static void set_id(struct request *r)
{
    static const char hex[] = "0123456789abcdef", form[] = "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx";
    struct server *s = r->server;
    if (!s->request_id_prefix)
        s->request_id_prefix = env_random_u64(s->env) | 1;
    uint64_t parts[2] = { s->request_id_prefix, ++s->request_id_counter };
    int digit = 0;
    for (size_t i = 0; i < sizeof(form); i++) {
        if (form[i] != 'x') {
            r->id[i] = form[i];
            continue;
        }
        /* 30 digits: 15 of the prefix, 15 of the counter. */
        r->id[i] = hex[parts[digit / 15] >> (4 * (14 - digit % 15)) & 15];
        digit++;
    }
}

struct request *request_new(struct server *s, enum request_source source)
{
    struct request *r = xnew(struct request);
    r->server = s;
    r->source = source;
    r->started_ms = env_monotonic_ms(s->env);
    r->wall_ms = env_wall_ms(s->env);
    r->delete_options.grace_s = -1;
    r->options.validation = FIELD_VALIDATION_WARN;
    set_id(r);
    list_add_tail(&s->requests, &r->core.link);
    s->requests_count++;
    return r;
}

static void request_free(struct request *r)
{
    struct server *s = r->server;
    key_unlock(s->state, &r->core.lock);
    reserve_release(r);
    list_del(&r->core.link);
    s->requests_count--;
    local_release(r);
    object_unref(r->old);
    object_unref(r->object);
    object_unref(r->result);
    error_done(&r->err);
    http_exchange_release(r->core.answered_exchange);
    arena_done(&r->arena);
    free(r);
}

/* A write lost its race: forget what was made of the older object. */
static void forget_attempt(struct request *r)
{
    key_unlock(r->server->state, &r->core.lock);
    reserve_release(r);
    object_unref(TAKE(r->old));
    object_unref(TAKE(r->object));
    object_unref(TAKE(r->result));
    r->core.no_change = r->core.delete_now = false;
    r->created = false;
    error_done(&r->err);
}

/* The one door: from the present phase with its result to the next. */
static void step(struct request *r, enum phase_result result)
{
    if (r->core.answered_late && result == PHASE_RESTART)
        result = PHASE_FAILED;
    switch (result) {
    case PHASE_DONE:
        r->phase++;
        break;
    case PHASE_FAILED:
        if (r->err.code == ERR_NONE)
            fail(&r->err, ERR_INTERNAL, "the phase '%s' failed without saying why", phases[r->phase].name);
        r->phase = r->phase < PHASE_OF_encode ? PHASE_OF_encode : r->phase + 1;
        break;
    case PHASE_RESTART:
        if (!TAKE(r->core.afresh) && ++r->attempts > RESTARTS_MAX) {
            if (r->err.code == ERR_NONE)
                fail(&r->err, ERR_CONFLICT, "the object keeps changing; please try again");
            r->phase = PHASE_OF_encode;
            break;
        }
        forget_attempt(r);
        /* What a create makes of the tree is made of the body: its own names and addresses must not look like wishes. */
        r->phase = r->creating && str_is(r->info.verb, "create") ? PHASE_OF_decode : PHASE_OF_fresh;
        break;
    case PHASE_ANSWERED:
        r->phase = PHASE_OF_audit_complete;
        break;
    case PHASE_WAIT:
        assert(!"a request cannot be resumed to wait");
    }
    r->core.admission_step = 0;
    if (r->phase >= PHASE_OF_encode)
        loop_timer_stop(&r->core.deadline);
}

/*
 * The store tells the outcome of a write that it was sent only when that is certain, which may take as long as there is no majority. The
 * client is told meanwhile; the request lives on until the answer comes, because its object is still locked for others.
 */
static void on_deadline(void *arg)
{
    struct request *r = arg;
    if (r->gone)
        return;
    error_done(&r->err);
    if (r->phase < PHASE_OF_perform)
        request_fail(r, ERR_UNAVAILABLE,
                     "nothing was written: an earlier write of the same object still waits for the store, which has no "
                     "majority of its members, or they are slow");
    else
        request_fail(r, ERR_TIMEOUT,
                     "the store has not told within %d s whether this was written: it has no majority of its members, "
                     "or they are "
                     "slow; the write may still happen, so look before you repeat it",
                     (int)(ANSWER_AFTER_MS / SECOND_MS));
    r->core.answered_late = true;
    encode_late(r);
}

static void watch_deadline(struct request *r)
{
    if (r->phase < PHASE_OF_fresh || r->phase > PHASE_OF_perform || !fresh_is_needed(r->server) ||
        r->core.answered_late || loop_timer_running(&r->core.deadline) || str_is(r->info.verb, "get") ||
        str_is(r->info.verb, "list") || request_is_long_running(r))
        return;
    loop_timer_init(&r->core.deadline, r->server->loop, on_deadline, r);
    loop_timer_start(&r->core.deadline, ANSWER_AFTER_MS);
}

static void run(struct request *r)
{
    while (r->phase < PHASE_COUNT) {
        r->core.running = true;
        enum phase_result result = phases[r->phase].run(r);
        r->core.running = false;
        if (result == PHASE_WAIT) {
            watch_deadline(r);
            return;
        }
        if ((result == PHASE_FAILED || result == PHASE_RESTART) && fresh_holds_back(r, result))
            return;
        step(r, result);
    }
    request_free(r);
}

void request_start(struct request *r)
{
    run(r);
}

void request_resume(struct request *r, enum phase_result result)
{
    assert(!r->core.running);
    r->cancel = NULL;
    if (r->core.answered_late && r->phase < PHASE_OF_perform)
        result = PHASE_FAILED; /* what was not sent will not be */
    /* Admission goes on with its next step, in the same phase. */
    if (result == PHASE_DONE && (r->phase == PHASE_OF_mutate || r->phase == PHASE_OF_admit)) {
        r->core.admission_step++;
        run(r);
        return;
    }
    if ((result == PHASE_FAILED || result == PHASE_RESTART) && fresh_holds_back(r, result))
        return;
    step(r, result);
    run(r);
}

void request_step(struct request *r, enum phase_result result)
{
    step(r, result);
    run(r);
}

/* --- the way in --------------------------------------------------------------------------------------------------- */

static void on_gone(struct http_exchange *x, void *user)
{
    (void)x;
    struct request *r = user;
    r->gone = true;
    if (r->cancel)
        r->cancel(r);
}

void server_handler(struct http_exchange *x, void *server)
{
    static const struct http_exchange_callbacks callbacks = { .on_gone = on_gone };
    struct server *s = server;
    if (s->stopping || s->requests_count >= REQUESTS_MAX) {
        http_exchange_respond_bytes(x, 503, STR("text/plain"), STR("the server is stopping or full\n"));
        return;
    }
    struct request *r = request_new(s, REQUEST_HTTP);
    r->exchange = x;
    http_exchange_set_callbacks(x, &callbacks, r);
    run(r);
}

/* --- what phases share ---------------------------------------------------------------------------------------------- */

enum phase_result request_fail(struct request *r, enum error_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct str message = arena_vprintf(&r->arena, format, args);
    va_end(args);
    fail(&r->err, code, "%.*s", STR_ARG(message));
    return PHASE_FAILED;
}

void request_warn(struct request *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct str message = arena_vprintf(&r->arena, format, args);
    va_end(args);
    message.n = MIN(message.n, (size_t)WARNING_BYTES_MAX);
    if (!r->warnings)
        r->warnings = value_array(&r->arena);
    if (r->warnings->items_count >= WARNINGS_MAX)
        return;
    for (uint32_t i = 0; i < r->warnings->items_count; i++)
        if (str_eq(value_to_str(r->warnings->items[i]), message))
            return;
    value_append(&r->arena, r->warnings, value_str(&r->arena, message));
}

struct str request_header(const struct request *r, const char *lower_case_name)
{
    return r->exchange ? http_request_header(r->exchange->request, str_of(lower_case_name)) : STR_NONE;
}

struct str request_resource_text(struct request *r)
{
    if (str_empty(r->info.group))
        return r->info.resource;
    return arena_printf(&r->arena, "%.*s.%.*s", STR_ARG(r->info.resource), STR_ARG(r->info.group));
}

struct str request_namespace(const struct request *r)
{
    return r->kind && !r->kind->namespaced ? STR_NONE : r->info.namespace_;
}

struct kind_context request_kind_context(struct request *r)
{
    return (struct kind_context){
        .arena = &r->arena,
        .now_ms = r->wall_ms,
        .subresource = r->sub ? r->sub->name : "",
        .create = r->creating,
    };
}

bool request_is_long_running(const struct request *r)
{
    static const char *const streams[] = { "log", "exec", "attach", "portforward", "proxy", NULL };
    if (!r->info.is_resource)
        return str_ends(r->info.path, STR("/tunnel")) || str_is(r->info.path, "/klein/v1/backup");
    if (str_is(r->info.verb, "watch"))
        return true;
    for (const char *const *s = streams; *s; s++)
        if (str_is(r->info.subresource, *s))
            return true;
    return false;
}

subresource_handler *subresource_find(struct str group, struct str plural, struct str sub)
{
    static const struct {
        const char *group, *plural, *sub;
        subresource_handler *handler;
    } rows[] = {
#define SUBRESOURCE(group, plural, sub, handler) { group, plural, sub, handler },
#include "server/subresources.def"
#undef SUBRESOURCE
        { 0 },
    };
    for (size_t i = 0; rows[i].handler; i++)
        if (str_is(group, rows[i].group) && str_is(plural, rows[i].plural) && str_is(sub, rows[i].sub))
            return rows[i].handler;
    return NULL;
}

struct group_version_kind subresource_kind(const struct kind *k, const struct kind_subresource *s)
{
    if (!s || !s->kind)
        return (struct group_version_kind){ k->group, k->version, k->kind };
    return (struct group_version_kind){ s->group ? s->group : k->group, s->version ? s->version : k->version, s->kind };
}

const struct schema *schema_of_kind(struct group_version_kind id)
{
    for (size_t i = 0; i < ARRAY_SIZE(schemas_named); i++) {
        const struct schema *s = schemas_named[i];
        if (s->kind && !strcmp(s->kind, id.kind) && !strcmp(s->version, id.version) && !strcmp(s->group, id.group))
            return s;
    }
    return NULL;
}
