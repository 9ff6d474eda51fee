/* Server slots of HAProxy: assigned, drained, free again. Source: HAProxy 2.6 management guide, 9.3. */
#include "gateway/slots.h"

#include <stdlib.h>

#define SLOTS_MIN 8
#define BODY      ":body"

static void free_table(struct slot_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->slots[i].name);
        free(t->slots[i].address);
    }
    free(t->slots);
    free(t);
}

void slots_done(struct slots *s)
{
    struct str key;
    void *table;

    for (size_t i = 0; map_next(&s->tables, &i, &key, &table);)
        free_table(table);
    map_done(&s->tables);
}

const struct slot_table *slots_of(const struct slots *s, struct str backend)
{
    return map_get(&s->tables, backend);
}

static void occupy(struct slot *slot, const struct gateway_server *server)
{
    free(slot->name);
    free(slot->address);
    *slot = (struct slot){
        .name = str_dup(server->name), .address = str_dup(server->address), .state = SLOT_SERVING, .far = server->far
    };
}

static void vacate(struct slot *slot)
{
    free(slot->name);
    free(slot->address);
    *slot = (struct slot){ .far = slot->far }; /* HAProxy keeps the weight */
}

void slots_renew(struct slots *s, const struct gateway_plan *p)
{
    slots_done(s);
    for (size_t i = 0; i < p->backends_count; i++) {
        const struct gateway_backend *b = p->backends[i];
        struct slot_table *t = xnew(struct slot_table);
        t->count = SLOTS_MIN;
        while (t->count < 2 * b->count)
            t->count *= 2;
        t->slots = xcalloc(t->count, sizeof(*t->slots));
        for (size_t k = 0; k < b->count; k++)
            occupy(&t->slots[k], &b->servers[k]);
        map_put(&s->tables, b->name, t);
    }
}

/* --- from one plan to the next -------------------------------------------------------------------------------------------------- */

static void command(struct buf *to, struct str backend, size_t i, const char *what)
{
    buf_addf(to, "set server %.*s/s%zu %s\n", STR_ARG(backend), i + 1, what);
    buf_addf(to, "set server %.*s" BODY "/s%zu %s\n", STR_ARG(backend), i + 1, what);
}

static void weigh(struct buf *to, struct str backend, size_t i, bool far)
{
    AUTO_FREE char *what = xasprintf("weight %d", far ? SLOT_WEIGHT_FAR : SLOT_WEIGHT_NEAR);

    command(to, backend, i, what);
}

static void serve(struct buf *to, struct str backend, size_t i, const struct slot *slot)
{
    struct str address = str_of(slot->address);
    size_t colon = 0;

    for (size_t k = 0; k < address.n; k++)
        if (address.p[k] == ':')
            colon = k;
    AUTO_FREE char *where =
        xasprintf("addr %.*s port %.*s", (int)colon, address.p, STR_ARG(str_from(address, colon + 1)));
    command(to, backend, i, where);
    command(to, backend, i, "state ready");
}

static bool has_name(const struct gateway_server *servers, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (str_is(servers[i].name, name))
            return true;
    return false;
}

/*
 * A request with a body to a node that fell silent cannot be sent again and would hang until `timeout server`: it is ended. The
 * others end by themselves within a second and are sent elsewhere, which ending their sessions would spoil.
 */
static void take_out(struct buf *to, const struct gateway_backend *b, size_t i, struct slot *slot)
{
    command(to, b->name, i, "state maint");
    if (has_name(b->lost, b->lost_count, slot->name))
        buf_addf(to, "shutdown sessions server %.*s" BODY "/s%zu\n", STR_ARG(b->name), i + 1);
    slot->state = SLOT_DRAINING;
}

static struct slot *place_for(struct slot_table *t, const struct gateway_server *server)
{
    struct slot *free_slot = NULL;

    for (size_t i = t->count; i-- > 0;) {
        if (t->slots[i].state == SLOT_FREE)
            free_slot = &t->slots[i];
        else if (str_is(server->name, t->slots[i].name))
            return &t->slots[i];
    }
    return free_slot;
}

static bool assign_backend(struct slot_table *t, const struct gateway_backend *b, struct buf *commands)
{
    for (size_t i = 0; i < b->count; i++) {
        struct slot *slot = place_for(t, &b->servers[i]);
        if (!slot)
            return false;
        if (slot->far != b->servers[i].far)
            weigh(commands, b->name, (size_t)(slot - t->slots), b->servers[i].far);
        slot->far = b->servers[i].far;
        if (slot->state == SLOT_SERVING)
            continue;
        occupy(slot, &b->servers[i]);
        serve(commands, b->name, (size_t)(slot - t->slots), slot);
    }
    for (size_t i = 0; i < t->count; i++)
        if (t->slots[i].state == SLOT_SERVING && !has_name(b->servers, b->count, t->slots[i].name))
            take_out(commands, b, i, &t->slots[i]);
    return true;
}

bool slots_assign(struct slots *s, const struct gateway_plan *p, struct buf *commands)
{
    for (size_t i = 0; i < p->backends_count; i++) {
        struct slot_table *t = map_get(&s->tables, p->backends[i]->name);
        if (!t || !assign_backend(t, p->backends[i], commands))
            return false;
    }
    return true;
}

/* --- draining ------------------------------------------------------------------------------------------------------------------- */

static bool drains(const struct slot_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->slots[i].state == SLOT_DRAINING)
            return true;
    return false;
}

bool slots_ask(const struct slots *s, struct buf *commands)
{
    bool any = false;
    struct str backend;
    void *table;

    for (size_t i = 0; map_next(&s->tables, &i, &backend, &table);) {
        if (!drains(table))
            continue;
        any = true;
        buf_addf(commands, "show servers conn %.*s\n", STR_ARG(backend));
        buf_addf(commands, "show servers conn %.*s" BODY "\n", STR_ARG(backend));
    }
    return any;
}

/* "B/s3 3/1 ADDRESS PORT - PURGE USED USED_MAX NEED UNSAFE SAFE IDLE_LIMIT IDLE ...": is anything used or idle there? */
static bool has_connections(struct str line)
{
    static const size_t used = 6, idle = 12;
    struct str word;
    uint64_t n;

    for (size_t i = 0; i <= idle; i++)
        if (!str_next(&line, ' ', &word) || ((i == used || i == idle) && (!str_to_u64(word, &n) || n)))
            return true;
    return false;
}

/* The slot that a line of the answer is about; NULL for other lines. */
static struct slot *slot_of_line(const struct slots *s, struct str line)
{
    struct str backend, name;
    struct slot_table *t;
    uint64_t number;

    if (!str_next(&line, '/', &backend) || !str_next(&line, ' ', &name) || !str_starts(name, STR("s")))
        return NULL;
    if (str_ends(backend, STR(BODY)))
        backend.n -= strlen(BODY);
    t = map_get(&s->tables, backend);
    return t && str_to_u64(str_from(name, 1), &number) && number && number <= t->count ? &t->slots[number - 1] : NULL;
}

void slots_settle(struct slots *s, struct str answer)
{
    struct str line, key;
    void *table;

    while (str_next(&answer, '\n', &line)) {
        struct slot *slot = slot_of_line(s, line);
        if (slot && !has_connections(line))
            slot->idle++;
    }
    for (size_t i = 0; map_next(&s->tables, &i, &key, &table);) {
        struct slot_table *t = table;
        for (size_t k = 0; k < t->count; k++) {
            struct slot *slot = &t->slots[k];
            if (slot->state == SLOT_DRAINING && slot->idle == 2) /* both of its servers */
                vacate(slot);
            slot->idle = 0;
        }
    }
}
