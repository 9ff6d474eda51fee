/* Asking and answering other agents, and what follows from it. */
#include "node/peers.h"

#include "base/map.h"
#include "base/time.h"
#include "object/value.h"

#define LOG_PART "node"
#include "base/log.h"

#include <stdlib.h>

#define ECHO_MAX_MS   2000
#define CHANGE_MS     (10 * SECOND_MS)
#define STRANGERS_MAX 64               /* nodes that ask us and are no peers of ours, remembered */
#define FORGET_MS     (10 * MINUTE_MS) /* such a one is forgotten when it asked no more for so long */
#define NAMES_MAX     2000             /* bytes of names of peers in a report: a line has 4096 */
#define ANSWERS_MAX   8 /* messages answered to one node between two ticks: nobody is flooded through us */

/* A node of the cluster. Also one that left while it is a peer of the time before. */
struct peer {
    char *name;
    uint8_t id[PEER_ID_SIZE];
    struct address address;
    bool present;             /* in the last list of nodes */
    bool asked, asked_before; /* a peer; a peer before the last change */
    bool asks;                /* it asked us */
    bool told;                /* as not heard */
    int64_t heard_ms;         /* last round trip, either way; our start before the first */
    int64_t answered_ms;      /* when we sent the last ask that was answered; INT64_MIN */
    uint64_t session, stamp;  /* the last it sent */
    uint64_t asked_stamp;     /* of the last ask counted, in that session */
    unsigned answers;         /* since the last tick */
};

struct peers {
    struct loop *loop;
    struct peers_config config;
    char *name;
    uint8_t id[PEER_ID_SIZE], key[PEER_KEY_SIZE];
    bool has_key, had_peers;
    uint64_t session;
    struct udp *udp;
    struct map by_name, by_id;
    struct loop_timer timer;
    int64_t started_ms, changed_ms;
    size_t count;
};

static uint64_t stamp_now(const struct peers *p)
{
    return (uint64_t)loop_now_ms(p->loop) + 1; /* never 0 */
}

static struct str id_text(const uint8_t id[PEER_ID_SIZE])
{
    return (struct str){ (const char *)id, PEER_ID_SIZE };
}

/* --- messages ------------------------------------------------------------------------------------------------------------------ */

static void send_message(struct peers *p, const struct peer *to, enum peer_message_type type)
{
    struct peer_message m = {
        .type = type, .session = p->session, .stamp = stamp_now(p), .echo_session = to->session, .echo_stamp = to->stamp
    };
    uint8_t bytes[PEER_MESSAGE_SIZE];

    memcpy(m.from, p->id, PEER_ID_SIZE);
    memcpy(m.to, to->id, PEER_ID_SIZE);
    peer_message_write(&m, p->key, bytes);
    udp_send(p->udp, &to->address, (struct str){ (const char *)bytes, sizeof(bytes) });
}

static void heard(struct peers *p, struct peer *n)
{
    n->heard_ms = loop_now_ms(p->loop);
    if (n->told) {
        n->told = false;
        p->config.on_change(p->config.arg);
    }
}

/* What we sent a moment ago came back. */
static bool echo_is_fresh(const struct peers *p, const struct peer_message *m)
{
    uint64_t now = stamp_now(p);
    return m->echo_session == p->session && m->echo_stamp <= now && now - m->echo_stamp <= ECHO_MAX_MS;
}

static void take_ask(struct peers *p, struct peer *n, const struct peer_message *m)
{
    bool fresh = echo_is_fresh(p, m) && (m->session != n->session || m->stamp > n->asked_stamp);

    if (n->answers++ >= ANSWERS_MAX)
        return;
    n->session = m->session;
    n->stamp = m->stamp;
    n->asks = true;
    if (fresh) {
        n->asked_stamp = m->stamp;
        heard(p, n);
    }
    send_message(p, n, fresh ? PEER_ANSWER : PEER_CHALLENGE);
}

/* The stamp of ours that it answers is when we asked: the time of sending counts. */
static void take_answer(struct peers *p, struct peer *n, const struct peer_message *m)
{
    if (!echo_is_fresh(p, m))
        return;
    n->session = m->session;
    n->stamp = m->stamp;
    n->answered_ms = MAX(n->answered_ms, (int64_t)m->echo_stamp - 1);
    heard(p, n);
    p->config.on_contact(p->config.arg);
}

static void take_challenge(struct peers *p, struct peer *n, const struct peer_message *m)
{
    if (!echo_is_fresh(p, m) || !(n->asked || n->asked_before) || n->answers++ >= ANSWERS_MAX)
        return;
    n->session = m->session;
    n->stamp = m->stamp;
    send_message(p, n, PEER_ASK);
}

static void on_datagram(struct udp *u, const struct address *from, struct str bytes, void *arg)
{
    struct peers *p = arg;
    struct peer_message m;
    struct peer *n;

    (void)u, (void)from; /* answers go to the address in the Node: a forged source reaches nobody */
    if (!p->has_key || !peer_message_read(bytes, p->key, &m) || memcmp(m.to, p->id, PEER_ID_SIZE) != 0)
        return;
    n = map_get(&p->by_id, id_text(m.from));
    if (!n || !n->present)
        return;
    if (m.type == PEER_ASK)
        take_ask(p, n, &m);
    else if (m.type == PEER_ANSWER)
        take_answer(p, n, &m);
    else
        take_challenge(p, n, &m);
}

/* --- every quarter of a second -------------------------------------------------------------------------------------------------- */

static bool is_watched(const struct peer *n)
{
    return n->present && (n->asked || n->asks);
}

static void on_timer(void *arg)
{
    struct peers *p = arg;
    int64_t now_ms = loop_now_ms(p->loop);
    bool changed = false;
    struct str name;
    void *value;

    for (size_t i = 0; map_next(&p->by_name, &i, &name, &value);) {
        struct peer *n = value;
        n->answers = 0;
        if (n->asks && !n->asked && now_ms - n->heard_ms > FORGET_MS)
            n->asks = false;
        if (p->has_key && n->present && (n->asked || (n->asked_before && now_ms - p->changed_ms < CHANGE_MS)))
            send_message(p, n, PEER_ASK);
        bool unheard = is_watched(n) && now_ms - n->heard_ms >= PEERS_SILENT_MS;
        changed |= unheard != n->told;
        n->told = unheard;
    }
    if (changed)
        p->config.on_change(p->config.arg);
    loop_timer_start(&p->timer, PEERS_ASK_MS);
}

/* --- who is a peer --------------------------------------------------------------------------------------------------------------- */

struct rank {
    struct peer *peer;
    uint64_t weight;
};

static int by_weight(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;
    return x->weight < y->weight   ? 1
           : x->weight > y->weight ? -1
                                   : str_cmp(str_of(x->peer->name), str_of(y->peer->name));
}

/* Rendezvous: a weight for each pair, so that a node that comes or goes moves few others. */
static uint64_t weight_of(const struct peers *p, const struct peer *n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < PEER_ID_SIZE; i++)
        h = (h ^ p->id[i]) * 0x100000001b3u;
    for (size_t i = 0; i < PEER_ID_SIZE; i++)
        h = (h ^ n->id[i]) * 0x100000001b3u;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    return h ^ h >> 33;
}

static void choose(struct peers *p)
{
    struct rank *ranks = xcalloc(p->by_name.count + 1, sizeof(*ranks));
    size_t count = 0, bytes = 0;
    bool changed = false;
    struct str name;
    void *value;

    for (size_t i = 0; map_next(&p->by_name, &i, &name, &value);) {
        struct peer *n = value;
        if (n->present)
            ranks[count++] = (struct rank){ n, weight_of(p, n) };
    }
    qsort(ranks, count, sizeof(*ranks), by_weight);
    struct map chosen = { 0 };
    for (size_t i = 0; i < count && chosen.count < PEERS_MAX; i++) {
        bytes += strlen(ranks[i].peer->name) + 3;
        if (bytes <= NAMES_MAX)
            map_put(&chosen, str_of(ranks[i].peer->name), ranks[i].peer);
    }
    for (size_t i = 0; map_next(&p->by_name, &i, &name, &value);)
        changed |= ((struct peer *)value)->asked != map_has(&chosen, name);
    for (size_t i = 0; changed && map_next(&p->by_name, &i, &name, &value);) {
        struct peer *n = value;
        n->asked_before = n->asked;
        n->asked = map_has(&chosen, name);
    }
    if (changed) {
        p->changed_ms = p->had_peers ? loop_now_ms(p->loop) : p->started_ms - CHANGE_MS;
        p->had_peers |= chosen.count > 0;
    }
    p->count = chosen.count;
    map_done(&chosen);
    free(ranks);
    if (changed)
        p->config.on_change(p->config.arg);
}

static struct peer *peer_make(struct peers *p, struct str name)
{
    struct peer *n = map_get(&p->by_name, name);

    if (n)
        return n;
    n = xnew(struct peer);
    n->name = str_dup(name);
    peer_id(name, n->id);
    n->heard_ms = loop_now_ms(p->loop);
    n->answered_ms = INT64_MIN;
    map_put(&p->by_name, name, n);
    map_put(&p->by_id, id_text(n->id), n);
    return n;
}

static void peer_free(struct peer *n)
{
    free(n->name);
    free(n);
}

void peers_set_nodes(struct peers *p, const struct peers_node *nodes, size_t count)
{
    struct str name;
    void *value;

    for (size_t i = 0; map_next(&p->by_name, &i, &name, &value);)
        ((struct peer *)value)->present = false;
    for (size_t i = 0; i < count; i++) {
        if (!nodes[i].address.length || str_is(nodes[i].name, p->name))
            continue;
        struct peer *n = peer_make(p, nodes[i].name);
        n->present = true;
        n->address = nodes[i].address;
    }
    choose(p);
    for (size_t i = 0; map_next(&p->by_name, &i, &name, &value);) {
        struct peer *n = value;
        if (n->present || n->asked_before)
            continue;
        map_del(&p->by_id, id_text(n->id));
        map_del(&p->by_name, name);
        peer_free(n);
    }
}

/* --- what follows -------------------------------------------------------------------------------------------------------------------- */

static int by_time_latest_first(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return *x < *y ? 1 : *x > *y ? -1 : 0;
}

static int64_t contact_of(const struct peers *p, bool before)
{
    int64_t times[PEERS_MAX];
    size_t n = 0;
    struct str name;
    void *value;

    for (size_t i = 0; map_next(&p->by_name, &i, &name, &value);) {
        const struct peer *peer = value;
        if ((before ? peer->asked_before : peer->asked) && n < PEERS_MAX)
            times[n++] = peer->answered_ms;
    }
    if (n == 0)
        return before ? INT64_MAX : INT64_MIN;
    qsort(times, n, sizeof(times[0]), by_time_latest_first);
    return times[(n + 1) / 2 - 1]; /* as judge_peers_needed() of the servers */
}

size_t peers_count(const struct peers *p)
{
    return p->count;
}

int64_t peers_contact_ms(const struct peers *p)
{
    bool changing = loop_now_ms(p->loop) - p->changed_ms < CHANGE_MS;

    return MIN(contact_of(p, false), changing ? contact_of(p, true) : INT64_MAX);
}

void peers_write_report(const struct peers *p, struct buf *to, size_t max)
{
    size_t from = to->n, written = 0;
    int64_t now_ms = loop_now_ms(p->loop);
    struct str name;
    void *value;

    buf_add_text(to, ",\"peers\":[");
    for (size_t i = 0; map_next(&p->by_name, &i, &name, &value);) {
        if (!((struct peer *)value)->asked)
            continue;
        if (written++)
            buf_add_char(to, ',');
        json_write_str(to, name);
    }
    buf_add_text(to, "],\"unheard\":{");
    written = 0;
    for (size_t i = 0; map_next(&p->by_name, &i, &name, &value);) {
        const struct peer *n = value;
        if (!n->told || to->n - from + name.n + 32 > max)
            continue;
        if (written++)
            buf_add_char(to, ',');
        json_write_str(to, name);
        buf_addf(to, ":%lld", (long long)(now_ms - n->heard_ms));
    }
    buf_add_char(to, '}');
}

/* --- life ------------------------------------------------------------------------------------------------------------------------- */

void peers_set_key(struct peers *p, const uint8_t key[PEER_KEY_SIZE])
{
    memcpy(p->key, key, PEER_KEY_SIZE);
    p->has_key = true;
}

struct peers *peers_new(struct loop *loop, const struct peers_config *c, struct error *err)
{
    static const struct udp_callbacks callbacks = { .on_datagram = on_datagram };
    struct peers *p = xnew(struct peers);

    p->loop = loop;
    p->config = *c;
    p->name = str_dup(c->node_name);
    peer_id(c->node_name, p->id);
    p->session = env_random_u64(loop_env(loop)) | 1;
    p->started_ms = loop_now_ms(loop);
    p->changed_ms = p->started_ms - CHANGE_MS;
    p->udp = udp_open(loop, &c->bind, NULL, &callbacks, p, err);
    if (!p->udp) {
        free(p->name);
        free(p);
        error_context(err, "listen for the messages of other nodes");
        return NULL;
    }
    loop_timer_init(&p->timer, loop, on_timer, p);
    loop_timer_start(&p->timer, 0);
    return p;
}

void peers_free(struct peers *p)
{
    struct str name;
    void *value;

    if (!p)
        return;
    loop_timer_stop(&p->timer);
    udp_close(p->udp);
    for (size_t i = 0; map_next(&p->by_name, &i, &name, &value);)
        peer_free(value);
    map_done(&p->by_name);
    map_done(&p->by_id);
    explicit_bzero(p->key, sizeof(p->key));
    free(p->name);
    free(p);
}
