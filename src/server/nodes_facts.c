/*
 * What is known of the nodes, of all servers together: this server's own tunnels and the words of the others, and the verdict.
 *
 * A server that was paused (SIGSTOP, a frozen machine) finds out by its clock and holds nothing that it did not hear meanwhile against a node.
 */
#include "server/nodes_internal.h"

#include <stdlib.h>

#define TICK_MS      100
#define PAUSE_MS     700  /* a round that comes so late was a pause of ours */
#define WORD_LATE_MS 1250 /* a server that lives says something every second */

struct nodes_watch {
    struct list link;
    nodes_each_fn *fn;
    void *arg;
    bool first_hand; /* what other servers say is no news */
    bool dead;
    bool orphan; /* the nodes are gone, its owner is not yet */
};

/* --- merging ---------------------------------------------------------------------------------------------------------------- */

static bool counts(const struct node *n, size_t slot)
{
    return n->nodes->slots[slot] && n->words[slot].known;
}

/* A server that calls the node alive heard it until its own last line. */
static int64_t word_heard_ms(const struct node *n, size_t slot)
{
    const struct node_word *w = &n->words[slot];
    return w->silent ? w->heard_ms : MAX(w->heard_ms, n->nodes->slot_heard_ms[slot]);
}

static int64_t heard_ms(const struct node *n)
{
    int64_t latest = node_heard_first_hand_ms(n);
    for (size_t i = 0; i < NODES_SERVERS_MAX; i++)
        if (counts(n, i))
            latest = MAX(latest, word_heard_ms(n, i));
    return latest;
}

/*
 * A server that lives says something every second. One that is late with that and called a node alive which we heard ourselves until
 * then may be gone together with it (a zone): no reason to send requests there. A node that only that server heard needs the time to come
 * to another.
 */
static bool calls_alive(const struct node *n, size_t slot)
{
    int64_t said_ms = n->nodes->slot_heard_ms[slot];

    if (!counts(n, slot) || n->words[slot].silent)
        return false;
    return loop_now_ms(n->nodes->loop) - said_ms <= WORD_LATE_MS ||
           node_heard_first_hand_ms(n) < said_ms - TUNNEL_SILENT_MS;
}

static bool is_silent(const struct node *n)
{
    bool silent = n->silent;
    for (size_t i = 0; i < NODES_SERVERS_MAX; i++)
        silent = silent && !calls_alive(n, i);
    return silent && n->nodes->settled;
}

static bool is_connected(const struct node *n)
{
    bool connected = n->connection != NULL;
    for (size_t i = 0; i < NODES_SERVERS_MAX; i++)
        connected = connected || (counts(n, i) && n->words[i].connected);
    return connected;
}

/* What it said last, to whom it can say anything. */
static const struct node_report *best_report(const struct node *n)
{
    const struct node_report *best = &n->report;
    if (best->has_peers && best->speaks)
        return best;
    for (size_t i = 0; i < NODES_SERVERS_MAX; i++) {
        const struct node_report *r = &n->words[i].report;
        if (n->words[i].known && r->has_peers && (!best->has_peers || (counts(n, i) && r->speaks && !best->speaks)))
            best = r;
    }
    return best;
}

/* Where it is connected it says what it has applied. */
static const struct node_report *applied_report(const struct node *n)
{
    const struct node_report *best = &n->report;
    if (n->connection)
        return best;
    for (size_t i = 0; i < NODES_SERVERS_MAX; i++)
        if (counts(n, i) && n->words[i].connected &&
            n->words[i].report.applied_endpointslices >= best->applied_endpointslices)
            best = &n->words[i].report;
    return best;
}

static struct node_facts facts_of(const struct node *n)
{
    const struct node_report *applied = applied_report(n);
    return (struct node_facts){
        .name = str_of(n->name),
        .connected = is_connected(n),
        .silent = is_silent(n),
        .confirmed = n->confirmed,
        .fenced = n->fenced,
        .last_seen_age_ms = MAX(loop_now_ms(n->nodes->loop) - heard_ms(n), (int64_t)0),
        .applied_endpointslices = applied->applied_endpointslices,
        .applied_json = applied->applied_json ? str_of(applied->applied_json) : STR("{}"),
        .key_sha256 = str_of(n->key),
        .report = best_report(n),
        .connected_here = n->connection != NULL,
    };
}

static struct node_facts own_facts_of(const struct node *n)
{
    return (struct node_facts){
        .name = str_of(n->name),
        .connected = n->connection != NULL,
        .connected_here = n->connection != NULL,
        .silent = n->silent, /* whoever follows us has others to ask: no reconnect window for them */
        .last_seen_age_ms = MAX(loop_now_ms(n->nodes->loop) - node_heard_first_hand_ms(n), (int64_t)0),
        .applied_endpointslices = n->report.applied_endpointslices,
        .applied_json = n->report.applied_json ? str_of(n->report.applied_json) : STR("{}"),
        .key_sha256 = str_of(n->key),
        .report = &n->report,
    };
}

/* --- telling -------------------------------------------------------------------------------------------------------------------- */

static void sweep(struct nodes *nodes)
{
    list_each (&nodes->watches, struct nodes_watch, link, w)
        if (w->dead) {
            list_del(&w->link);
            free(w);
        }
}

static void tell(struct nodes *nodes, struct node *n, bool first_hand)
{
    struct node_facts facts = { 0 };
    if (n) {
        facts = facts_of(n);
        n->told_silent = facts.silent;
    }
    nodes->telling++;
    list_each (&nodes->watches, struct nodes_watch, link, w)
        if (!w->dead && (first_hand || !w->first_hand))
            w->fn(w->arg, n ? &facts : NULL);
    if (--nodes->telling == 0)
        sweep(nodes);
    loop_defer(nodes->loop, &nodes->judge);
}

void nodes_tell(struct nodes *nodes, struct node *n)
{
    tell(nodes, n, true);
}

/* Something another server said, or a verdict. Servers that follow this one are not told: else they would answer each other for ever. */
static void tell_second_hand(struct nodes *nodes, struct node *n)
{
    tell(nodes, n, false);
}

struct nodes_watch *nodes_on_change_first_hand(struct nodes *n, nodes_each_fn *fn, void *arg)
{
    struct nodes_watch *w = nodes_on_change(n, fn, arg);
    w->first_hand = true;
    return w;
}

struct nodes_watch *nodes_on_change(struct nodes *n, nodes_each_fn *fn, void *arg)
{
    struct nodes_watch *w = xnew(struct nodes_watch);
    w->fn = fn;
    w->arg = arg;
    list_add_tail(&n->watches, &w->link);
    return w;
}

/* Freed by the next tell(): the list may be under iteration now. */
void nodes_watch_free(struct nodes_watch *w)
{
    if (w && w->orphan)
        free(w);
    else if (w)
        w->dead = true;
}

/* --- judging -------------------------------------------------------------------------------------------------------------------- */

struct case_file {
    struct judge_node *nodes;
    int64_t (*words)[NODES_SERVERS_MAX + 1];
    struct node **of;
    size_t count;
};

static void add_case(struct case_file *file, struct node *n)
{
    size_t at = file->count++, words = 0;
    const struct node_report *r = best_report(n);

    file->words[at][words++] = node_heard_first_hand_ms(n);
    for (size_t i = 0; i < NODES_SERVERS_MAX; i++)
        if (counts(n, i))
            file->words[at][words++] = word_heard_ms(n, i);
    file->of[at] = n;
    file->nodes[at] = (struct judge_node){ .name = str_of(n->name),
                                           .silent = is_silent(n),
                                           .has_report = r->has_peers,
                                           .has_guard = r->has_guard,
                                           .speaks = r->speaks,
                                           .peers = r->peers,
                                           .peers_count = r->peers_count,
                                           .unheard = r->unheard,
                                           .unheard_count = r->unheard_count,
                                           .servers_count = r->servers_count,
                                           .server_words = file->words[at],
                                           .server_words_count = words };
}

static void take_verdicts(struct nodes *nodes, struct case_file *file)
{
    judge_nodes(file->nodes, file->count, nodes->servers_count, loop_now_ms(nodes->loop), nodes->floor_ms);
    for (size_t i = 0; i < file->count; i++) {
        const struct judge_node *verdict = &file->nodes[i];
        struct node *n = file->of[i];
        if (n->confirmed == verdict->confirmed && n->fenced == verdict->fenced && n->told_silent == verdict->silent)
            continue;
        n->confirmed = verdict->confirmed;
        n->fenced = verdict->fenced;
        tell_second_hand(nodes, n);
    }
}

/* Only with somebody silent there is something to judge, or a verdict to take back. */
static bool is_due(const struct nodes *nodes)
{
    struct str name;
    void *value;
    for (size_t i = 0; map_next(&nodes->by_name, &i, &name, &value);) {
        const struct node *n = value;
        if (n->confirmed || n->told_silent || (nodes->settled && is_silent(n)))
            return true;
    }
    return false;
}

static void judge(void *arg)
{
    struct nodes *nodes = arg;
    size_t count = nodes->by_name.count;
    struct str name;
    void *value;

    if (!is_due(nodes))
        return;
    struct case_file file = { .nodes = xcalloc(count + 1, sizeof(*file.nodes)),
                              .words = xcalloc(count + 1, sizeof(*file.words)),
                              .of = xcalloc(count + 1, sizeof(*file.of)) };
    for (size_t i = 0; map_next(&nodes->by_name, &i, &name, &value);)
        add_case(&file, value);
    take_verdicts(nodes, &file);
    free(file.nodes);
    free(file.words);
    free(file.of);
}

void nodes_look_at_clock(struct nodes *nodes)
{
    int64_t now_ms = loop_now_ms(nodes->loop);
    if (nodes->ticked_ms && now_ms - nodes->ticked_ms > PAUSE_MS)
        nodes->floor_ms = now_ms;
    nodes->ticked_ms = now_ms;
}

static void on_tick(void *arg)
{
    struct nodes *nodes = arg;
    nodes_look_at_clock(nodes);
    judge(nodes);
    loop_timer_start(&nodes->tick, TICK_MS);
}

/* --- words of other servers ------------------------------------------------------------------------------------------------------- */

void nodes_word_begin(struct nodes *nodes, size_t slot)
{
    nodes->slot_round[slot]++;
}

/* The first list is complete. */
static void sweep_words(struct nodes *nodes, size_t slot)
{
    struct str name;
    void *value;

    for (size_t i = 0; map_next(&nodes->by_name, &i, &name, &value);) {
        struct node *n = value;
        if (!n->words[slot].known || n->words[slot].round == nodes->slot_round[slot])
            continue;
        n->words[slot].known = false;
        tell_second_hand(nodes, n);
    }
}

void nodes_word(struct nodes *nodes, size_t slot, struct str line)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *item = value_parse(&a, line, NULL, NULL);
    struct str name = value_to_str(value_get_str(item, STR("name")));
    int64_t now_ms = loop_now_ms(nodes->loop);
    bool bad;

    nodes->slots[slot] = true;
    nodes->slot_heard_ms[slot] = now_ms;
    if (value_get_str(item, STR("settled")))
        sweep_words(nodes, slot);
    bool is_new = !map_has(&nodes->by_name, name);
    struct node *n = name.n ? nodes_make(nodes, name, NULL) : NULL;
    if (!n)
        return;
    struct node_word *w = &n->words[slot];
    bool connected = value_to_bool(value_get_str(item, STR("connected")), false);
    bool silent = value_to_bool(value_get_str(item, STR("silent")), false);
    bool changed = !w->known || w->connected != connected || w->silent != silent;
    int64_t age_ms = value_to_int(value_get_str(item, STR("silentMs")), 0);
    w->known = true;
    w->round = nodes->slot_round[slot];
    w->connected = connected;
    w->silent = silent;
    w->heard_ms = now_ms - MIN(MAX(age_ms, (int64_t)0), (int64_t)1 << 40);
    changed |= node_report_read(&w->report, item, now_ms, &bad);
    if (!value_get_str(item, STR("unheard")))
        w->report.speaks = false;
    if (is_new)
        nodes_tell(nodes, n); /* that it is not heard here is a word that others wait for, before a node is fenced */
    else if (changed)
        tell_second_hand(nodes, n);
}

void nodes_word_lost(struct nodes *nodes, size_t slot)
{
    struct str name;
    void *value;

    if (!nodes->slots[slot])
        return;
    nodes->slots[slot] = false;
    for (size_t i = 0; map_next(&nodes->by_name, &i, &name, &value);)
        if (((struct node *)value)->words[slot].known)
            tell_second_hand(nodes, value);
}

void nodes_word_forget(struct nodes *nodes, size_t slot)
{
    struct str name;
    void *value;

    nodes_word_lost(nodes, slot);
    for (size_t i = 0; map_next(&nodes->by_name, &i, &name, &value);) {
        struct node_word *w = &((struct node *)value)->words[slot];
        node_report_done(&w->report);
        *w = (struct node_word){ 0 };
    }
}

void nodes_set_servers_count(struct nodes *nodes, size_t count)
{
    nodes->servers_count = MAX(count, (size_t)1);
}

/* --- looking ---------------------------------------------------------------------------------------------------------------------- */

bool nodes_get(const struct nodes *nodes, struct str name, struct node_facts *ret)
{
    const struct node *n = map_get(&nodes->by_name, name);
    if (n)
        *ret = facts_of(n);
    return n != NULL;
}

bool nodes_get_first_hand(const struct nodes *nodes, struct str name, struct node_facts *ret)
{
    const struct node *n = map_get(&nodes->by_name, name);
    if (n)
        *ret = own_facts_of(n);
    return n != NULL;
}

void nodes_each(const struct nodes *nodes, nodes_each_fn *fn, void *arg)
{
    struct str name;
    void *value;
    for (size_t i = 0; map_next(&nodes->by_name, &i, &name, &value);) {
        struct node_facts facts = facts_of(value);
        fn(arg, &facts);
    }
}

void nodes_each_first_hand(const struct nodes *nodes, nodes_each_fn *fn, void *arg)
{
    struct str name;
    void *value;
    for (size_t i = 0; map_next(&nodes->by_name, &i, &name, &value);) {
        struct node_facts facts = own_facts_of(value);
        fn(arg, &facts);
    }
}

void nodes_facts_init(struct nodes *nodes)
{
    list_init(&nodes->watches);
    nodes->servers_count = 1;
    nodes->floor_ms = loop_now_ms(nodes->loop);
    nodes->judge = (struct loop_task){ .fn = judge, .arg = nodes };
    loop_timer_init(&nodes->tick, nodes->loop, on_tick, nodes);
    loop_timer_start(&nodes->tick, TICK_MS);
}

void nodes_facts_done(struct nodes *nodes)
{
    loop_timer_stop(&nodes->tick);
    loop_defer_cancel(&nodes->judge);
    list_each (&nodes->watches, struct nodes_watch, link, w) {
        list_del(&w->link);
        w->orphan = true; /* a reader of the stream ends when its connection does */
        if (w->dead)
            free(w);
    }
}
