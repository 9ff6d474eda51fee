/*
 * The session key: what makes a missing answer harmless.
 *
 * Every transaction compares the mod_revision of this server's session key. Once the key has been written anew, no earlier transaction can
 * commit any more; once the watch has told that write, whatever committed before has been told. So what is in doubt is
 * settled by writing the key and waiting for the watch. Writing it is harmless to repeat, and is repeated on one member after the
 * other every 100 ms until one answers: a proposal made while there is no leader is lost, so the freshest one counts.
 */
#define LOG_PART "store"
#include "store/etcd_internal.h"

#include "base/crash_point.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

struct session_try {
    struct etcd_engine *engine;
    size_t slot, endpoint;
    int64_t passed; /* what the watch had told when it was sent */
    bool opening;
};

static struct str session_value(struct etcd_engine *e, char *to, size_t size, uint32_t position)
{
    char text[64];
    struct str value, key = str_from(str_of(e->key_session), strlen(e->prefix));
    size_t n;

    snprintf(text, sizeof(text), "%s %llu", e->instance, (unsigned long long)++e->session_count);
    value = str_of(text);
    n = etcd_header_write(to, key, value, position, 0);
    assert(n + value.n <= size);
    memcpy(to + n, value.p, value.n);
    return (struct str){ to, n + value.n };
}

static void stop_calls(struct etcd_engine *e)
{
    for (size_t i = 0; i < SESSION_CALLS; i++) {
        etcd_call_cancel(e->session_calls[i]);
        free(e->session_tries[i]);
        e->session_calls[i] = NULL;
        e->session_tries[i] = NULL;
    }
    loop_timer_stop(&e->session_timer);
}

void etcd_session_stop(struct etcd_engine *e)
{
    stop_calls(e);
}

static void attempt(void *arg);

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* The key of the base exists or was made now, and our session is written: one transaction, harmless to repeat. */
static bool opened(struct etcd_engine *e, const Etcdpb__TxnResponse *m, struct error *err)
{
    uint64_t base = e->o.base_if_new;

    if (!m->succeeded) {
        const Etcdpb__ResponseOp *op = m->n_responses ? m->responses[0] : NULL;
        bool has = op && op->response_case == ETCDPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE && op->response_range->n_kvs;
        struct str key, value;
        uint64_t revision;

        if (!has || etcd_decode_kv(0, e->o.prefix, op->response_range->kvs[0], &key, &value, &revision, err) < 0 ||
            !str_to_u64(value, &base)) {
            if (!err->code)
                fail(err, ERR_INTERNAL, "the base of revisions in etcd is no number");
            return false;
        }
    }
    e->first_revision = base;
    e->session = m->header->revision;
    e->passed = e->session - 1;
    e->delivered = etcd_revision(base, e->session, 1);
    return true;
}

static void answered(struct etcd_engine *e, struct session_try *t, const ProtobufCMessage *answer)
{
    const Etcdpb__TxnResponse *txn = (const Etcdpb__TxnResponse *)answer;
    const Etcdpb__PutResponse *put = (const Etcdpb__PutResponse *)answer;
    bool opening = t->opening;
    const Etcdpb__ResponseHeader *h = opening ? txn->header : put->header;
    AUTO_ERROR struct error err = { 0 };

    e->session_failures = 0;
    e->endpoint = t->endpoint % etcd_client_count(e->client);
    if (!h || (opening && !opened(e, txn, &err))) {
        if (err.code)
            etcd_damaged(&err);
        return;
    }
    CRASH_POINT(opening ? "etcd.opened" : "etcd.bumped");
    if (etcd_went_back(e, t->passed, h)) /* stops the other tries; ours is freed by the caller */
        return;
    etcd_accepted(e, h);
    stop_calls(e);
    if (opening) {
        e->phase = ETCD_RUNNING;
        log_info("the store is open on etcd", KV("server", "%s", e->server),
                 KV("base", "%llu", (unsigned long long)e->first_revision),
                 KV_STR("endpoint", etcd_client_url(e->client, e->endpoint)));
        etcd_watch_start(e);
    } else {
        e->session = MAX(e->session, h->revision);
        e->settle_at = h->revision;
        etcd_watch_owes(e, h->revision);
        etcd_session_passed(e);
    }
    etcd_later(e);
}

static void on_answer(void *arg, const ProtobufCMessage *answer, int status, const struct error *err)
{
    struct session_try *t = arg;
    struct etcd_engine *e = t->engine;

    (void)status;
    e->session_calls[t->slot] = NULL;
    e->session_tries[t->slot] = NULL;
    if (answer) {
        answered(e, t, answer);
    } else {
        e->session_failures++;
        etcd_failed(e, err);
        /* Nobody there: ask the next member at once, until all have been asked. */
        if (status == GRPC_NOT_SENT && (size_t)e->session_failures % etcd_client_count(e->client))
            loop_timer_start(&e->session_timer, 0);
    }
    free(t);
}

static struct etcd_call *send_opening(struct etcd_engine *e, int64_t timeout_ms, struct session_try *t)
{
    Etcdpb__TxnRequest txn = ETCDPB__TXN_REQUEST__INIT;
    Etcdpb__Compare compare = ETCDPB__COMPARE__INIT, *compares[] = { &compare };
    Etcdpb__RequestOp ops[3] = { ETCDPB__REQUEST_OP__INIT, ETCDPB__REQUEST_OP__INIT, ETCDPB__REQUEST_OP__INIT };
    Etcdpb__RequestOp *success[] = { &ops[0], &ops[1] }, *failure[] = { &ops[2], &ops[1] };
    Etcdpb__PutRequest base = ETCDPB__PUT_REQUEST__INIT, session = ETCDPB__PUT_REQUEST__INIT;
    Etcdpb__RangeRequest range = ETCDPB__RANGE_REQUEST__INIT;
    char base_text[ETCD_HEADER_MAX + 24], session_text[ETCD_HEADER_MAX + 64], number[24];
    size_t n;

    snprintf(number, sizeof(number), "%llu", (unsigned long long)e->o.base_if_new);
    n = etcd_header_write(base_text, STR(ETCD_KEY_BASE), str_of(number), 0, 0);
    memcpy(base_text + n, number, strlen(number));
    compare.target = ETCDPB__COMPARE__COMPARE_TARGET__CREATE;
    compare.target_union_case = ETCDPB__COMPARE__TARGET_UNION_CREATE_REVISION;
    compare.key = etcd_bytes(str_of(e->key_base));
    base.key = range.key = compare.key;
    base.value = etcd_bytes((struct str){ base_text, n + strlen(number) });
    session.key = etcd_bytes(str_of(e->key_session));
    session.value = etcd_bytes(session_value(e, session_text, sizeof(session_text), 1));
    ops[0].request_case = ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    ops[0].request_put = &base;
    ops[1].request_case = ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    ops[1].request_put = &session;
    ops[2].request_case = ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    ops[2].request_range = &range;
    txn.n_compare = 1;
    txn.compare = compares;
    txn.n_success = txn.n_failure = 2;
    txn.success = success;
    txn.failure = failure;
    return etcd_client_call(e->client, e->endpoint, &etcd_txn, &txn.base, timeout_ms, on_answer, t);
}

static struct etcd_call *send_session(struct etcd_engine *e, int64_t timeout_ms, struct session_try *t)
{
    Etcdpb__PutRequest put = ETCDPB__PUT_REQUEST__INIT;
    char text[ETCD_HEADER_MAX + 64];

    put.key = etcd_bytes(str_of(e->key_session));
    put.value = etcd_bytes(session_value(e, text, sizeof(text), 0));
    return etcd_client_call(e->client, e->endpoint, &etcd_put, &put.base, timeout_ms, on_answer, t);
}

static void attempt(void *arg)
{
    struct etcd_engine *e = arg;
    size_t slot = 0;
    int rounds = e->session_failures / (int)etcd_client_count(e->client);
    /* The last ones get more time: a slow cluster must come to an end, too. */
    int64_t timeout_ms = MAX(etcd_attempt_ms(e), e->o.attempt_ms << MIN(rounds, 4));
    struct session_try *t;

    loop_timer_start(&e->session_timer, SESSION_EVERY_MS);
    while (slot < SESSION_CALLS && e->session_tries[slot])
        slot++;
    if (slot == SESSION_CALLS)
        return;
    t = xnew(struct session_try);
    *t = (struct session_try){
        .engine = e, .slot = slot, .endpoint = e->endpoint, .passed = e->passed, .opening = e->phase == ETCD_OPENING
    };
    e->session_tries[slot] = t;
    CRASH_POINT(t->opening ? "etcd.before-open" : "etcd.before-bump");
    e->session_calls[slot] = t->opening ? send_opening(e, timeout_ms, t) : send_session(e, timeout_ms, t);
    CRASH_POINT(e->phase == ETCD_OPENING ? "etcd.open-sent" : "etcd.bump-sent");
    e->endpoint = (e->endpoint + 1) % etcd_client_count(e->client); /* the answer brings it back */
}

void etcd_session_open(struct etcd_engine *e)
{
    e->phase = ETCD_OPENING;
    loop_timer_init(&e->session_timer, e->base.loop, attempt, e);
    loop_timer_start(&e->session_timer, 0);
}

/* --- settling ----------------------------------------------------------------------------------------------------- */

void etcd_settle(struct etcd_engine *e)
{
    if (e->phase != ETCD_RUNNING)
        return; /* what comes into doubt meanwhile is settled by the same change: see etcd_session_passed() */
    e->phase = ETCD_SETTLING;
    e->settle_at = 0;
    e->settlements++;
    e->session_failures = 0;
    loop_timer_start(&e->session_timer, 0);
}

void etcd_session_adopt(struct etcd_engine *e, int64_t mod)
{
    e->session = MAX(e->session, mod);
}

/* The watch tells a change of the session key. */
void etcd_session_seen(struct etcd_engine *e, const struct etcd_event *ev)
{
    if (!str_is(ev->server, e->server) || ev->change.type != STORE_PUT)
        return;
    if (!str_starts(ev->change.value, str_of(e->instance))) {
        if (ev->mod > e->session)
            etcd_lost(e, ERR_CONFLICT, "another process uses the name '%s' of this server in etcd", e->server);
        return;
    }
    etcd_session_adopt(e, ev->mod); /* a late one of our own */
}

/*
 * The watch has passed the change that settles: each batch compared an older session, so it was seen or never happens. Batches that
 * came into doubt after that change was proposed compared an older session too, since none is sent while settling.
 */
void etcd_session_passed(struct etcd_engine *e)
{
    if (e->phase != ETCD_SETTLING || !e->settle_at || e->passed < e->settle_at)
        return;
    CRASH_POINT("etcd.settled");
    e->phase = ETCD_RUNNING;
    e->settle_at = 0;
    list_each (&e->batches, struct etcd_batch, link, b)
        if (!b->seen && !b->answered)
            etcd_batch_repeat(b);
    etcd_later(e);
}
