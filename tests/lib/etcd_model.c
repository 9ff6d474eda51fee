/* The members of the model and the network between them and the servers: docs in etcd_model.h. */
#include "etcd_model_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define TICK_MS         20
#define ELECTION_MIN_MS 300
#define ELECTION_MAX_MS 600

static void tick(void *arg);
static void deliver(struct message *x);
static bool watch_arrive(struct etcd_model *m, struct message *x);

bool model_chance(struct etcd_model *m, unsigned percent)
{
    return percent && env_random_below(m->env, 100) < percent;
}

int64_t model_delay_ms(struct etcd_model *m)
{
    int64_t spread = m->config.delay_max_ms - m->config.delay_min_ms;

    return m->config.delay_min_ms + (spread > 0 ? (int64_t)env_random_below(m->env, (uint64_t)spread + 1) : 0);
}

int model_place(struct etcd_model *m, const char *name)
{
    for (int i = 0; i < m->places; i++)
        if (strcmp(m->names[i], name) == 0)
            return i;
    assert(m->places < PLACES_MAX);
    m->names[m->places] = xstrdup(name);
    return m->places++;
}

static int64_t now_ms(const struct etcd_model *m)
{
    return env_monotonic_ms(m->env);
}

struct etcd_model *etcd_model_new(struct loop *world, struct env *env, const struct etcd_model_config *config)
{
    struct etcd_model *m = xnew(struct etcd_model);

    m->loop = world;
    m->env = env;
    m->config = *config;
    m->config.members = config->members ? config->members : 3;
    assert(m->config.members <= ETCD_MODEL_MEMBERS_MAX);
    list_init(&m->messages);
    list_init(&m->stalled);
    list_init(&m->proposed);
    list_init(&m->watches);
    list_init(&m->engines);
    for (int i = 0; i < m->config.members; i++) {
        char name[16];
        snprintf(name, sizeof(name), "m%d", i);
        model_place(m, name);
        m->members[i].leader = 0;
        list_init(&m->members[i].inbox);
    }
    m->mod = 1; /* as a fresh etcd */
    loop_timer_init(&m->tick, world, tick, m);
    loop_timer_start(&m->tick, TICK_MS);
    return m;
}

static void free_messages(struct list *head)
{
    list_each (head, struct message, link, x)
        message_free(x);
}

void etcd_model_free(struct etcd_model *m)
{
    if (!m)
        return;
    loop_timer_stop(&m->tick);
    free_messages(&m->messages);
    free_messages(&m->stalled);
    for (int i = 0; i < m->config.members; i++)
        free_messages(&m->members[i].inbox);
    list_each (&m->proposed, struct txn, proposed, t)
        txn_unref(t);
    list_each (&m->watches, struct watch, link, w)
        free(w);
    while (!list_empty(&m->engines))
        engine_free(m->engines.next);
    model_content_free(m);
    for (int i = 0; i < m->places; i++)
        free(m->names[i]);
    free(m);
}

struct etcd_model_config *etcd_model_config(struct etcd_model *m)
{
    return &m->config;
}

const struct etcd_model_stats *etcd_model_stats(const struct etcd_model *m)
{
    return &m->stats;
}

int etcd_model_leader(const struct etcd_model *m)
{
    return m->leader;
}

uint64_t etcd_model_revision(const struct etcd_model *m)
{
    return m->events_count ? m->events[m->events_count - 1].revision : model_revision(m, m->mod, 0);
}

/* --- the network -------------------------------------------------------------------------------------------------------- */

void message_free(struct message *x)
{
    loop_timer_stop(&x->timer);
    list_del(&x->link);
    txn_unref(x->txn);
    free(x);
}

static void arrive(void *arg)
{
    struct message *x = arg;
    struct etcd_model *m = x->model;

    m->stats.cut += m->cut[x->from][x->to];
    if (x->type == MESSAGE_ENTRY) {
        if (watch_arrive(m, x))
            deliver(x);
        else
            message_free(x);
    } else if (!m->cut[x->from][x->to]) {
        deliver(x);
    } else if (x->reliable || model_chance(m, 50)) {
        list_del(&x->link);
        list_add_tail(&m->stalled, &x->link);
    } else {
        message_free(x);
    }
}

void model_send(struct etcd_model *m, const struct message *what, int64_t delay_ms)
{
    struct message *x = xnew(struct message);

    *x = *what;
    x->model = m;
    txn_ref(x->txn);
    list_add_tail(&m->messages, &x->link);
    loop_timer_init(&x->timer, m->loop, arrive, x);
    loop_timer_start(&x->timer, delay_ms);
}

static void unstall(struct etcd_model *m)
{
    list_each (&m->stalled, struct message, link, x) {
        if (m->cut[x->from][x->to])
            continue;
        list_del(&x->link);
        list_add_tail(&m->messages, &x->link);
        loop_timer_start(&x->timer, model_delay_ms(m));
        m->stats.late++;
    }
}

void etcd_model_cut(struct etcd_model *m, const char *from, const char *to)
{
    m->cut[model_place(m, from)][model_place(m, to)] = true;
}

void etcd_model_heal(struct etcd_model *m, const char *from, const char *to)
{
    m->cut[model_place(m, from)][model_place(m, to)] = false;
    unstall(m);
}

void etcd_model_heal_all(struct etcd_model *m)
{
    memset(m->cut, 0, sizeof(m->cut));
    unstall(m);
    for (int i = 0; i < m->config.members; i++) {
        etcd_model_start(m, i);
        etcd_model_resume(m, i);
    }
}

static bool works(const struct etcd_model *m, int i)
{
    return !m->members[i].down && !m->members[i].paused;
}

static bool reach(const struct etcd_model *m, int a, int b)
{
    return a == b || (works(m, b) && !m->cut[a][b] && !m->cut[b][a]);
}

static bool has_majority(const struct etcd_model *m, int i)
{
    int n = 0;

    if (i < 0 || !works(m, i))
        return false;
    for (int k = 0; k < m->config.members; k++)
        n += reach(m, i, k);
    return n > m->config.members / 2;
}

/* --- watches: a stream each, in order, nothing lost until it breaks ------------------------------------------------------- */

static void watch_pump(struct etcd_model *m, struct watch *w)
{
    int64_t lag_ms = m->config.watch_lag_max_ms;

    if (w->broken || !works(m, w->member) || m->cut[w->member][w->place])
        return;
    for (; w->next < m->members[w->member].applied; w->next++) {
        struct message x = { .type = MESSAGE_ENTRY,
                             .from = w->member,
                             .to = w->place,
                             .engine = w->engine,
                             .number = w->id,
                             .entry = w->next,
                             .txn = m->log[w->next] };
        int64_t arrives_ms = now_ms(m) + model_delay_ms(m);
        if (lag_ms)
            arrives_ms += (int64_t)env_random_below(m->env, (uint64_t)lag_ms + 1);
        w->free_at_ms = MAX(w->free_at_ms, arrives_ms);
        model_send(m, &x, w->free_at_ms - now_ms(m));
        if (model_chance(m, m->config.watch_break_percent)) {
            m->stats.broken++;
            w->broken = true; /* half open: nobody is told */
            return;
        }
    }
}

/* Returns whether the entry may be handed out; what a cut path swallowed is sent again from there. */
static bool watch_arrive(struct etcd_model *m, struct message *x)
{
    list_each (&m->watches, struct watch, link, w) {
        if (w->engine != x->engine || w->id != x->number)
            continue;
        if (!m->cut[x->from][x->to] && x->entry == w->expect) {
            w->expect++;
            return true;
        }
        if (x->entry >= w->expect)
            w->next = w->expect;
        return false;
    }
    return false;
}

void model_watch_end(struct etcd_model *m, struct engine *e)
{
    list_each (&m->watches, struct watch, link, w) {
        if (w->engine != e)
            continue;
        list_del(&w->link);
        free(w);
    }
}

static void watch_open(struct etcd_model *m, struct message *x)
{
    struct message cancel = {
        .type = MESSAGE_CANCEL, .from = x->to, .to = x->from, .engine = x->engine, .number = x->number, .reliable = true
    };

    if (engine_is_gone(x->engine))
        return;
    if (x->entry <= m->compacted) {
        model_send(m, &cancel, model_delay_ms(m));
        return;
    }
    struct watch *w = xnew(struct watch);
    *w = (struct watch){ .engine = x->engine, .id = x->number, .member = x->to, .place = x->from };
    while (w->next < m->log_count && (!m->log[w->next]->mod || m->log[w->next]->mod < x->entry))
        w->next++;
    w->expect = w->next;
    model_watch_end(m, x->engine);
    list_add_tail(&m->watches, &w->link);
    m->stats.watches++;
    watch_pump(m, w);
}

/* --- members ---------------------------------------------------------------------------------------------------------------- */

/* A member has applied the log up to here: it answers whom it has promised to, and its watches go on. */
static void advance(struct etcd_model *m, int i, size_t to)
{
    struct member *member = &m->members[i];

    for (; member->applied < MIN(to, m->log_count); member->applied++) {
        struct txn *t = m->log[member->applied];
        if (t->via != i || t->via_life != member->life)
            continue;
        if (model_chance(m, m->config.lose_answer_percent)) {
            m->stats.answers_lost++;
            continue;
        }
        struct message x = { .type = MESSAGE_ANSWER, .from = i, .to = t->from_place, .engine = t->from, .txn = t };
        model_send(m, &x, model_delay_ms(m));
    }
    list_each (&m->watches, struct watch, link, w)
        if (w->member == i)
            watch_pump(m, w);
}

static void commit(struct etcd_model *m, struct txn *t)
{
    list_del(&t->proposed);
    txn_apply(m, t);
    for (int i = 0; i < m->config.members; i++) {
        struct message x = { .type = MESSAGE_APPEND, .from = m->leader, .to = i, .entry = m->log_count };
        if (i == m->leader)
            advance(m, i, m->log_count);
        else
            model_send(m, &x, model_delay_ms(m));
    }
    txn_unref(t);
}

static void commit_due(struct etcd_model *m)
{
    struct txn *t;

    while ((t = list_first(&m->proposed, struct txn, proposed)) && t->due_ms <= now_ms(m) && has_majority(m, m->leader))
        commit(m, t);
}

static void on_due(struct etcd_model *m)
{
    commit_due(m);
}

static void propose(struct etcd_model *m, int i, struct message *x)
{
    struct txn *t = x->txn;
    struct txn *last = list_empty(&m->proposed) ? NULL : container_of(m->proposed.prev, struct txn, proposed);
    int64_t wait_ms = model_delay_ms(m) * 2;

    if (x->from >= m->config.members) { /* from a server: this member will answer */
        t->via = i;
        t->via_life = m->members[i].life;
    }
    if (m->members[i].leader != i) { /* to whom it takes for the leader, or into nothing */
        struct message onward = { .type = MESSAGE_PROPOSE, .from = i, .to = m->members[i].leader, .txn = t };
        if (onward.to >= 0 && x->from >= m->config.members)
            model_send(m, &onward, model_delay_ms(m));
        else
            m->stats.dropped++;
        return;
    }
    if (m->leader != i || t->applied || t->proposed.next || model_chance(m, m->config.drop_percent)) {
        m->stats.dropped++; /* an old leader's proposals go nowhere */
        return;
    }
    if (m->config.commit_max_ms)
        wait_ms += (int64_t)env_random_below(m->env, (uint64_t)m->config.commit_max_ms + 1);
    t->leader = i;
    t->due_ms = MAX(now_ms(m) + wait_ms, last ? last->due_ms : 0);
    for (int k = 0; k < m->config.members; k++)
        t->replicated |= k != i && works(m, k) && !m->cut[i][k];
    list_add_tail(&m->proposed, &txn_ref(t)->proposed);
    struct message due = { .type = MESSAGE_DUE, .from = i, .to = i };
    model_send(m, &due, t->due_ms - now_ms(m));
}

static void refuse(struct etcd_model *m, struct message *x)
{
    if (x->from < m->config.members)
        return;
    struct message no = {
        .type = MESSAGE_REFUSED, .from = x->to, .to = x->from, .engine = x->engine, .txn = x->txn, .number = x->number
    };
    model_send(m, &no, model_delay_ms(m));
}

static void read_check(struct etcd_model *m, struct message *x)
{
    struct message answer = { .type = MESSAGE_READ_ANSWER,
                              .from = x->to,
                              .to = x->from,
                              .engine = x->engine,
                              .number = x->number,
                              .ok = x->entry >= m->compacted };

    model_send(m, &answer, model_delay_ms(m));
}

static void member_receive(struct etcd_model *m, struct message *x)
{
    struct member *member = &m->members[x->to];

    if (member->down) {
        refuse(m, x);
        return;
    }
    switch (x->type) {
    case MESSAGE_PROPOSE:
        propose(m, x->to, x);
        break;
    case MESSAGE_APPEND:
        member->leader = x->from == m->leader ? m->leader : member->leader;
        advance(m, x->to, x->entry);
        break;
    case MESSAGE_READ:
        read_check(m, x);
        break;
    case MESSAGE_WATCH:
        watch_open(m, x);
        break;
    case MESSAGE_DUE:
        on_due(m);
        break;
    default:
        assert(!"not for a member");
    }
}

static void deliver(struct message *x)
{
    struct etcd_model *m = x->model;

    if (x->to >= m->config.members) {
        if (engine_is_gone(x->engine))
            message_free(x);
        else
            loop_post(engine_loop(x->engine), engine_receive, x);
        return;
    }
    if (m->members[x->to].paused && !m->members[x->to].down) {
        list_del(&x->link);
        list_add_tail(&m->members[x->to].inbox, &x->link);
        return;
    }
    member_receive(m, x);
    message_free(x);
}

/* --- elections -------------------------------------------------------------------------------------------------------------- */

/* What the old leader had proposed: a prefix of what others have may survive, the rest never happened. */
static void inherit(struct etcd_model *m, int old)
{
    bool survives = true;

    list_each (&m->proposed, struct txn, proposed, t) {
        survives = survives && (m->leader == old || (t->replicated && model_chance(m, 60)));
        if (survives) {
            t->leader = m->leader;
            t->due_ms = now_ms(m);
            continue;
        }
        list_del(&t->proposed);
        m->stats.dropped++;
        txn_unref(t);
    }
}

static void elect(struct etcd_model *m, int not_this)
{
    int candidates[ETCD_MODEL_MEMBERS_MAX], count = 0, old = m->leader;

    for (int i = 0; i < m->config.members; i++)
        if (i != not_this && has_majority(m, i))
            candidates[count++] = i;
    if (!count)
        return;
    m->leader = candidates[env_random_below(m->env, (uint64_t)count)];
    m->leaderless_since_ms = 0;
    m->stats.elections++;
    inherit(m, old);
    m->members[m->leader].leader = m->leader;
    advance(m, m->leader, m->log_count);
    commit_due(m);
}

void etcd_model_elect(struct etcd_model *m)
{
    elect(m, m->config.members > 1 ? m->leader : -1);
}

static void follow_leader(struct etcd_model *m)
{
    for (int i = 0; i < m->config.members; i++) {
        if (!works(m, i) || m->leader < 0)
            continue;
        if (has_majority(m, m->leader) && reach(m, m->leader, i) && !m->cut[i][m->leader]) {
            m->members[i].leader = m->leader;
            advance(m, i, m->log_count);
        }
    }
    list_each (&m->watches, struct watch, link, w)
        watch_pump(m, w);
}

static void tick(void *arg)
{
    struct etcd_model *m = arg;

    loop_timer_start(&m->tick, TICK_MS);
    if (has_majority(m, m->leader)) {
        m->leaderless_since_ms = 0;
    } else if (!m->leaderless_since_ms) {
        m->leaderless_since_ms = now_ms(m) + 1;
        m->election_after_ms =
            ELECTION_MIN_MS + (int64_t)env_random_below(m->env, ELECTION_MAX_MS - ELECTION_MIN_MS + 1);
    } else if (now_ms(m) - m->leaderless_since_ms >= m->election_after_ms) {
        elect(m, -1);
    }
    for (int a = 0; a < m->config.members; a++) /* peers keep their streams alive */
        for (int b = 0; b < m->config.members; b++)
            m->stats.cut += m->cut[a][b] && works(m, a);
    commit_due(m);
    follow_leader(m);
}

/* --- faults of members --------------------------------------------------------------------------------------------------- */

void etcd_model_crash(struct etcd_model *m, int i)
{
    struct member *member = &m->members[i];

    if (member->down)
        return;
    member->down = true;
    member->paused = false;
    member->life++;
    member->leader = -1;
    free_messages(&member->inbox);
    list_init(&member->inbox);
    list_each (&m->watches, struct watch, link, w)
        if (w->member == i)
            w->broken = true;
}

void etcd_model_start(struct etcd_model *m, int i)
{
    m->members[i].down = false;
}

void etcd_model_pause(struct etcd_model *m, int i)
{
    m->members[i].paused = !m->members[i].down;
}

void etcd_model_resume(struct etcd_model *m, int i)
{
    struct list *inbox = &m->members[i].inbox;

    m->members[i].paused = false;
    list_each (inbox, struct message, link, x) {
        list_del(&x->link);
        list_add_tail(&m->messages, &x->link);
        loop_timer_start(&x->timer, 0);
        m->stats.late++;
    }
}
