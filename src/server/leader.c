/*
 * The election, as a machine over keys of the store:
 *
 *   STANDBY -> (no beat for a second, and a barrier later still none) -> CLAIMING: /klein/epoch is written on the revision known
 *   CLAIMING -> (written) -> CATCHING_UP: a barrier -> (passed) -> LEADING
 *   CLAIMING, CATCHING_UP, LEADING -> (another epoch seen, a write refused) -> STANDBY
 *
 * Time without beats counts while this server is up: one that was paused first reads what it missed, since its question to the store
 * (the barrier) is answered after that.
 */
#include "server/leader.h"

#include "base/time.h"
#include "server/raw_keys.h"
#include "server/server_internal.h"

#define LOG_PART "leader"
#include "base/log.h"

#include <stdlib.h>

#define EPOCH_KEY     STR("/klein/epoch")
#define LEADER_KEY    STR("/klein/leader")
#define ASIDE_MS      (2 * SECOND_MS) /* after giving the lead back */
#define RETRY_MS      100             /* after a claim that failed for another reason than a rival */
#define NAME_MAX_SIZE 254

enum leader_state { STANDBY, CLAIMING, CATCHING_UP, LEADING };

struct leader {
    struct server *server;
    enum leader_state state;
    bool candidate, asked, closing; /* asked: a barrier is on its way that decides about a claim */
    uint64_t known_epoch;           /* revision of /klein/epoch as seen; 0: there is none */
    uint64_t epoch;                 /* of the own term, from CATCHING_UP on */
    char name[NAME_MAX_SIZE];       /* of the leader */
    bool released;                  /* the last leader gave the lead back */
    int64_t beat_ms;                /* monotonic; when the last sign of the leader was seen */
    int64_t aside_until_ms;
    uint64_t beats, elections;
    bool beating;     /* a beat is on its way */
    unsigned waiting; /* answers of the store that will come */
    struct raw_listener *epoch_listener, *leader_listener;
    struct list listeners;
    struct loop_timer timer;
};

struct leader_listener {
    struct list link;
    struct leader *leader;
    struct leader_callbacks cb;
    void *arg;
    bool told; /* elected, and not yet lost */
    struct loop_task task;
};

struct question { /* to the store; it outlives the leader */
    struct leader *leader;
    uint64_t epoch;
    int64_t beat_ms; /* the last beat when it was asked */
};

static void on_timer(void *arg);

static int64_t now_ms(const struct leader *l)
{
    return env_monotonic_ms(l->server->env);
}

static bool is_shared(const struct leader *l)
{
    return l->server->store->shared;
}

static void wake_in(struct leader *l, int64_t ms)
{
    if (l->candidate && !l->closing)
        loop_timer_start(&l->timer, MAX(ms, 0));
}

static struct question *question_new(struct leader *l)
{
    struct question *q = xnew(struct question);
    *q = (struct question){ l, l->epoch, l->beat_ms };
    l->waiting++;
    return q;
}

/* The store answered; false: nobody wants to know any more. */
static bool question_end(struct question *q)
{
    struct leader *l = q->leader;
    free(q);
    l->waiting--;
    if (!l->closing)
        return true;
    if (l->waiting == 0)
        free(l);
    return false;
}

/* --- the term ------------------------------------------------------------------------------------------------------------ */

static void tell_elected(struct leader *l)
{
    list_each (&l->listeners, struct leader_listener, link, x) {
        if (x->told)
            continue;
        x->told = true;
        x->cb.elected(x->arg, l->epoch);
    }
}

static void tell_lost(struct leader *l)
{
    list_each (&l->listeners, struct leader_listener, link, x) {
        if (!x->told)
            continue;
        x->told = false;
        x->cb.lost(x->arg);
    }
}

static void end_term(struct leader *l, const char *why)
{
    if (l->state == STANDBY)
        return;
    bool led = l->state == LEADING;
    if (led)
        log_info("this server leads no more", KV("epoch", "%llu", (unsigned long long)l->epoch), KV("why", "%s", why));
    l->state = STANDBY;
    l->epoch = 0;
    l->beat_ms = now_ms(l);
    if (led)
        tell_lost(l);
    wake_in(l, LEADER_SILENT_MS);
}

static void on_beaten(void *arg, uint64_t revision, const struct error *err)
{
    (void)revision;
    struct question *q = arg;
    struct leader *l = q->leader;
    uint64_t epoch = q->epoch;
    if (!question_end(q))
        return;
    l->beating = false;
    if (err && err->code == ERR_TERM_OVER)
        leader_refused(l, epoch);
}

static void write_leader(struct leader *l, struct str holder, store_done_fn *done, void *arg)
{
    AUTO_BUF struct buf value = BUF_MAX(KIB);
    buf_add_text(&value, "{\"holder\":");
    json_write_str(&value, holder);
    buf_addf(&value, ",\"beat\":%llu}", (unsigned long long)++l->beats);
    raw_write(l->server->state,
              &(struct raw_write){ .type = STORE_PUT,
                                   .key = LEADER_KEY,
                                   .value = buf_str(&value),
                                   .expect = STORE_EXPECT_ANY,
                                   .epoch = l->epoch },
              done, arg);
}

/* One beat at a time: a store that is slow is not asked faster than it answers. */
static void beat(struct leader *l)
{
    if (is_shared(l) && !l->beating) {
        l->beating = true;
        write_leader(l, str_of(l->server->config.name), on_beaten, question_new(l));
    }
    if (is_shared(l))
        wake_in(l, LEADER_BEAT_MS);
}

static void on_caught_up(void *arg, uint64_t revision, const struct error *err)
{
    struct question *q = arg;
    struct leader *l = q->leader;
    uint64_t epoch = q->epoch;
    if (!question_end(q) || l->state != CATCHING_UP || l->epoch != epoch)
        return;
    if (err) {
        end_term(l, "the store does not answer");
        return;
    }
    l->state = LEADING;
    l->elections++;
    log_info("this server leads", KV("epoch", "%llu", (unsigned long long)epoch),
             KV("revision", "%llu", (unsigned long long)revision));
    tell_elected(l);
}

static void on_claimed(void *arg, uint64_t revision, const struct error *err)
{
    struct question *q = arg;
    struct leader *l = q->leader;
    if (!question_end(q) || l->state != CLAIMING)
        return;
    if (err) {
        bool rival = err->code == ERR_CONFLICT || err->code == ERR_ALREADY_EXISTS || err->code == ERR_NOT_FOUND;
        l->state = STANDBY;
        if (rival)
            l->beat_ms = now_ms(l);
        else
            log_warn("this server could not take the lead; trying again", KV_ERR(err));
        wake_in(l, rival ? LEADER_SILENT_MS : RETRY_MS);
        return;
    }
    if (l->known_epoch != revision) { /* somebody else's has been delivered already */
        end_term(l, "another server was elected");
        return;
    }
    l->state = CATCHING_UP;
    l->epoch = revision;
    store_barrier(l->server->store, on_caught_up, question_new(l));
    beat(l);
}

static void claim(struct leader *l)
{
    AUTO_BUF struct buf value = BUF_MAX(KIB);
    buf_add_text(&value, "{\"holder\":");
    json_write_str(&value, str_of(l->server->config.name));
    buf_add_char(&value, '}');
    l->state = CLAIMING;
    raw_write(l->server->state,
              &(struct raw_write){ .type = STORE_PUT,
                                   .key = EPOCH_KEY,
                                   .value = buf_str(&value),
                                   .expect = l->known_epoch ? l->known_epoch : STORE_EXPECT_ABSENT },
              on_claimed, question_new(l));
}

/* --- the standby ------------------------------------------------------------------------------------------------------ */

/* Nobody has to be waited for: no leader ever, one that gave up, or this server's own earlier life. */
static bool is_vacant(const struct leader *l)
{
    return !is_shared(l) || l->known_epoch == 0 || l->released || !strcmp(l->name, l->server->config.name);
}

static void on_asked(void *arg, uint64_t revision, const struct error *err)
{
    (void)revision;
    struct question *q = arg;
    struct leader *l = q->leader;
    bool heard = q->beat_ms != l->beat_ms;
    if (!question_end(q))
        return;
    l->asked = false;
    if (l->state != STANDBY || !l->candidate)
        return;
    if (err) /* this server's own store does not answer: it has no ground to judge others */
        wake_in(l, RETRY_MS);
    else if (heard && !is_vacant(l))
        wake_in(l, l->beat_ms + LEADER_SILENT_MS - now_ms(l));
    else
        claim(l);
}

static void on_timer(void *arg)
{
    struct leader *l = arg;
    int64_t now = now_ms(l), silent_at = l->beat_ms + LEADER_SILENT_MS;
    if (l->state == LEADING || l->state == CATCHING_UP) {
        beat(l);
        return;
    }
    if (l->state != STANDBY || l->asked)
        return;
    if (now < l->aside_until_ms) {
        wake_in(l, l->aside_until_ms - now);
    } else if (is_vacant(l)) {
        claim(l);
    } else if (now < silent_at) {
        wake_in(l, silent_at - now);
    } else {
        l->asked = true;
        store_barrier(l->server->store, on_asked, question_new(l));
    }
}

/* --- what is seen ------------------------------------------------------------------------------------------------------ */

static void note_holder(struct leader *l, struct str value)
{
    AUTO_ARENA struct arena a = { 0 };
    struct str holder = value_to_str(value_get_str(value_parse(&a, value, NULL, NULL), STR("holder")));
    size_t n = MIN(holder.n, sizeof(l->name) - 1);
    memcpy(l->name, holder.p ? holder.p : "", n);
    l->name[n] = '\0';
    l->released = n == 0;
    l->beat_ms = now_ms(l);
}

static void on_epoch(void *arg, const struct raw_value *now, bool gone)
{
    struct leader *l = arg;
    l->known_epoch = gone ? 0 : now->revision;
    note_holder(l, gone ? STR_NONE : now->value);
    if (l->epoch && l->epoch != l->known_epoch)
        end_term(l, "another server was elected");
    if (l->state == STANDBY)
        wake_in(l, l->released ? 0 : LEADER_SILENT_MS);
}

static void on_leader(void *arg, const struct raw_value *now, bool gone)
{
    struct leader *l = arg;
    if (!gone)
        note_holder(l, now->value);
    if (l->state == STANDBY)
        wake_in(l, l->released ? 0 : LEADER_SILENT_MS);
}

/* --- for the others ---------------------------------------------------------------------------------------------------- */

static void tell_late(void *arg)
{
    struct leader_listener *x = arg;
    struct leader *l = x->leader;
    if (!l->candidate) {
        l->candidate = true;
        on_timer(l);
    }
    if (l->state == LEADING)
        tell_elected(l);
}

struct leader_listener *leader_listen(struct leader *l, const struct leader_callbacks *cb, void *arg)
{
    struct leader_listener *x = xnew(struct leader_listener);
    *x = (struct leader_listener){ .leader = l, .cb = *cb, .arg = arg };
    x->task = (struct loop_task){ .fn = tell_late, .arg = x };
    list_add_tail(&l->listeners, &x->link);
    loop_defer(l->server->loop, &x->task);
    return x;
}

void leader_unlisten(struct leader_listener *x)
{
    if (!x)
        return;
    struct leader *l = x->leader;
    loop_defer_cancel(&x->task);
    list_del(&x->link);
    free(x);
    if (!list_empty(&l->listeners))
        return;
    leader_release(l);
    l->candidate = false;
    loop_timer_stop(&l->timer);
}

void leader_release(struct leader *l)
{
    if (l->state != LEADING && l->state != CATCHING_UP)
        return;
    write_leader(l, STR_NONE, NULL, NULL);
    l->aside_until_ms = now_ms(l) + (is_shared(l) ? ASIDE_MS : 0);
    end_term(l, "it gave the lead back");
}

void leader_refused(struct leader *l, uint64_t epoch)
{
    if (epoch && epoch == l->epoch)
        end_term(l, "the store refused a write of its term");
}

bool leader_is_me(const struct leader *l)
{
    return l->state == LEADING;
}

uint64_t leader_epoch(const struct leader *l)
{
    return l->state == LEADING ? l->epoch : 0;
}

uint64_t leader_epoch_seen(const struct leader *l)
{
    return l->known_epoch;
}

struct str leader_name(const struct leader *l)
{
    return str_of(l->name);
}

uint64_t leader_elections(const struct leader *l)
{
    return l->elections;
}

int64_t leader_silent_ms(const struct leader *l)
{
    return l->state == LEADING || !l->beat_ms ? 0 : now_ms(l) - l->beat_ms;
}

struct leader *server_leader(struct server *s)
{
    return server_part(s, SERVER_PART_leader);
}

int leader_init(struct server *s, struct error *err)
{
    (void)err;
    struct leader *l = xnew(struct leader);
    struct raw_value epoch, beat;
    l->server = s;
    list_init(&l->listeners);
    loop_timer_init(&l->timer, s->loop, on_timer, l);
    if (raw_get(s->state, EPOCH_KEY, &epoch)) {
        l->known_epoch = epoch.revision;
        note_holder(l, epoch.value);
    }
    if (raw_get(s->state, LEADER_KEY, &beat) && beat.revision > l->known_epoch)
        note_holder(l, beat.value);
    l->epoch_listener = raw_listen(s->state, EPOCH_KEY, on_epoch, l);
    l->leader_listener = raw_listen(s->state, LEADER_KEY, on_leader, l);
    server_part_set(s, SERVER_PART_leader, l);
    return 0;
}

void leader_done(struct server *s)
{
    struct leader *l = server_leader(s);
    if (!l)
        return;
    loop_timer_stop(&l->timer);
    raw_unlisten(l->epoch_listener);
    raw_unlisten(l->leader_listener);
    list_each (&l->listeners, struct leader_listener, link, x) {
        loop_defer_cancel(&x->task);
        free(x);
    }
    l->closing = true;
    if (l->waiting == 0)
        free(l);
    server_part_set(s, SERVER_PART_leader, NULL);
}
