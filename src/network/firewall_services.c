/* Services in the firewall's maps: from the difference between two plans to element messages. */
#include "network/firewall_internal.h"

#include <netinet/in.h>
#include <stdlib.h>

#define STICKY_CLASS_FIRST 0x01000000u /* below: a class is simply the number of endpoints */

struct endpoint_key {
    uint32_t list, place;
};
struct target_data {
    uint32_t ip;
    uint16_t port, zero;
};
struct sticky_key {
    uint32_t list, ip;
    uint16_t port, zero;
};

/* --- endpoints ------------------------------------------------------------------------------------------------------------ */

static bool same_target(const struct service_target *a, const struct service_target *b)
{
    return a->ip == b->ip && a->port == b->port;
}

static void put_slot(struct firewall *f, struct target_list *l, uint32_t place, const struct service_target *t)
{
    struct endpoint_key key = { l->id, place };
    struct target_data data = { t->ip, t->port, 0 };

    if (place < l->slots_count) {
        if (same_target(&l->slots[place], t))
            return;
        nft_delete_element(&f->batch, "endpoints", &key, sizeof(key));
    } else {
        GROW(l->slots, place, l->capacity);
        l->slots_count = place + 1;
    }
    l->slots[place] = *t;
    nft_add_element(&f->batch, "endpoints", &key, sizeof(key), &data, sizeof(data));
}

static void drop_slots_from(struct firewall *f, struct target_list *l, uint32_t first)
{
    while (l->slots_count > first) {
        struct endpoint_key key = { l->id, --l->slots_count };
        nft_delete_element(&f->batch, "endpoints", &key, sizeof(key));
    }
}

static void change_sticky(struct firewall *f, const struct target_list *l, const struct service_target *t, bool add)
{
    struct sticky_key key = { l->id, t->ip, t->port, 0 };

    if (add)
        nft_add_element(&f->batch, "sticky", &key, sizeof(key), NULL, 0);
    else
        nft_delete_element(&f->batch, "sticky", &key, sizeof(key));
}

static int target_cmp(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct service_target));
}

static bool has_target(const struct service_target *sorted, uint32_t count, const struct service_target *t)
{
    return count && bsearch(t, sorted, count, sizeof(*t), target_cmp);
}

static void remember_removed(struct firewall *f, const struct service_target *t)
{
    struct firewall_removed *r = &f->removed;

    GROW(r->targets, r->count, r->capacity);
    r->targets[r->count++] = *t;
}

/*
 * Order the new targets so that those that stay keep their place. Result: an array of `count` in the heap. What goes is told
 * to conntrack and the sticky set; what comes, to the sticky set.
 */
static struct service_target *arrange(struct firewall *f, const struct loaded_port *p, const struct target_list *l,
                                      const struct service_target *now, uint32_t count)
{
    struct service_target *wanted = xcalloc(count + 1, sizeof(*wanted)), *loose = xcalloc(count + 1, sizeof(*loose));
    struct service_target *before = xcalloc(l->unique + 1, sizeof(*before));
    bool *kept = xcalloc(count + 1, sizeof(bool));
    uint32_t loose_count = 0;

    if (l->unique)
        memcpy(before, l->slots, l->unique * sizeof(*before));
    for (uint32_t i = 0; i < l->unique; i++) {
        if (!has_target(now, count, &l->slots[i])) {
            remember_removed(f, &l->slots[i]);
            if (p->affinity_s)
                change_sticky(f, l, &l->slots[i], false);
        } else if (i < count) {
            wanted[i] = l->slots[i];
            kept[i] = true;
        } else {
            loose[loose_count++] = l->slots[i];
        }
    }
    qsort(before, l->unique, sizeof(*before), target_cmp);
    for (uint32_t i = 0; i < count; i++)
        if (!has_target(before, l->unique, &now[i])) {
            loose[loose_count++] = now[i];
            if (p->affinity_s)
                change_sticky(f, l, &now[i], true);
        }
    for (uint32_t i = 0; i < count; i++)
        if (!kept[i])
            wanted[i] = loose[--loose_count];
    assert(loose_count == 0);
    free(loose);
    free(before);
    free(kept);
    return wanted;
}

/*
 * A packet being looked at while the batch takes effect may still count with the old number of endpoints but see new
 * elements: places that fall away repeat live endpoints until the next change, so that it never finds nothing, nor a removed one.
 */
static void set_targets(struct firewall *f, const struct loaded_port *p, struct target_list *l,
                        const struct service_target *now, uint32_t unique, const struct service_target *near,
                        uint32_t near_count)
{
    uint32_t used_before = l->count, count = unique + near_count * (SERVICE_NEAR_WEIGHT - 1);
    struct service_target *wanted = arrange(f, p, l, now, unique);

    wanted = xrealloc(wanted, (count + 1) * sizeof(*wanted));
    for (uint32_t i = unique; i < count; i++)
        wanted[i] = near[(i - unique) % near_count];
    for (uint32_t i = 0; i < count; i++)
        put_slot(f, l, i, &wanted[i]);
    l->unique = unique;
    l->count = count;
    drop_slots_from(f, l, count ? MAX(count, used_before) : 0);
    for (uint32_t i = count; i < l->slots_count; i++)
        put_slot(f, l, i, &wanted[i % count]);
    free(wanted);
}

/* --- frontends ---------------------------------------------------------------------------------------------------------- */

struct frontend_key {
    unsigned char bytes[12];
    uint32_t n;
};

static struct frontend_key frontend_key(const struct loaded_port *p, const struct service_frontend *fe)
{
    struct frontend_key k = { .n = frontend_has_address(fe->kind) ? 12 : 8 };
    unsigned char *at = k.bytes;

    if (frontend_has_address(fe->kind)) {
        memcpy(at, &fe->ip, 4);
        at += 4;
    }
    at[0] = p->protocol;
    memcpy(at + 4, &fe->port, 2);
    return k;
}

/* Two Services may claim one address and port (externalIPs, a reused ClusterIP): the first has it until it lets go. */
static bool claim(struct firewall *f, const struct loaded_frontend *lf, const struct frontend_key *k, bool take)
{
    unsigned char name[13];
    struct str key = { (char *)name, 1 + k->n };
    const void *owner;

    name[0] = (unsigned char)lf->f.kind;
    memcpy(name + 1, k->bytes, k->n);
    owner = map_get(&f->owners, key);
    if (take) {
        if (owner && owner != lf)
            return false;
        map_put(&f->owners, key, (void *)lf);
    } else if (owner == lf) {
        map_del(&f->owners, key);
        if (f->waiting)
            f->reload = true; /* somebody else gets it now */
    }
    return true;
}

static uint32_t class_of(struct firewall *f, uint32_t count, uint32_t timeout_s)
{
    if (!timeout_s || !count)
        return count;
    for (uint32_t i = 0; i < f->sticky_count; i++)
        if (f->sticky[i].count == count && f->sticky[i].timeout_s == timeout_s)
            return STICKY_CLASS_FIRST + i;
    GROW(f->sticky, f->sticky_count, f->sticky_capacity);
    f->sticky[f->sticky_count] = (struct sticky_class){ count, timeout_s };
    return STICKY_CLASS_FIRST + f->sticky_count++;
}

static const char *refused_set(enum frontend_kind kind)
{
    return frontend_has_address(kind) ? "refused" : "refused-ports";
}

static void remove_frontend(struct firewall *f, const struct loaded_port *p, struct loaded_frontend *lf)
{
    struct frontend_key k = frontend_key(p, &lf->f);

    if (lf->state == FRONTEND_LOADED)
        nft_delete_element(&f->batch, frontend_map(lf->f.kind), k.bytes, k.n);
    else if (lf->state == FRONTEND_REFUSED)
        nft_delete_element(&f->batch, refused_set(lf->f.kind), k.bytes, k.n);
    lf->state = FRONTEND_ABSENT;
}

static void put_frontend(struct firewall *f, struct loaded_port *p, struct loaded_frontend *lf)
{
    const struct target_list *l = &p->lists[lf->f.local];
    struct frontend_key k = frontend_key(p, &lf->f);
    enum frontend_state wanted = l->count || lf->f.local ? FRONTEND_LOADED : FRONTEND_REFUSED;
    uint32_t data[3] = { 0, class_of(f, l->count, p->affinity_s), l->id };

    if (lf->waiting) {
        if (!claim(f, lf, &k, true))
            return;
        lf->waiting = false;
        f->waiting--;
    }
    if (lf->state == wanted && (wanted == FRONTEND_REFUSED || lf->class == data[1]))
        return;
    remove_frontend(f, p, lf);
    if (wanted == FRONTEND_REFUSED) {
        nft_add_element(&f->batch, refused_set(lf->f.kind), k.bytes, k.n, NULL, 0);
    } else {
        if (l->count)
            firewall_add_pick(f, lf->f.kind, data[1], l->count, p->affinity_s);
        nft_add_element(&f->batch, frontend_map(lf->f.kind), k.bytes, k.n, data, sizeof(data));
    }
    lf->state = wanted;
    lf->class = data[1];
}

static void forget_frontend(struct firewall *f, struct loaded_port *p, struct loaded_frontend *lf)
{
    struct frontend_key k = frontend_key(p, &lf->f);

    remove_frontend(f, p, lf);
    if (lf->waiting)
        f->waiting--;
    else
        claim(f, lf, &k, false);
}

static bool same_frontend(const struct service_frontend *a, const struct service_frontend *b)
{
    return a->kind == b->kind && a->ip == b->ip && a->port == b->port && a->local == b->local;
}

static struct loaded_frontend *find_frontend(const struct loaded_port *p, const struct service_frontend *f)
{
    for (uint32_t i = 0; i < p->frontends_count; i++)
        if (same_frontend(&p->frontends[i].f, f))
            return &p->frontends[i];
    return NULL;
}

static bool plan_has_frontend(const struct service_port *p, const struct service_frontend *f)
{
    for (uint32_t i = 0; i < p->frontends_count; i++)
        if (same_frontend(&p->frontends[i], f))
            return true;
    return false;
}

/* Same set of frontends: nothing to move. Otherwise those that stay keep their state; owners are told their new place. */
static void set_frontends(struct firewall *f, struct loaded_port *p, const struct service_port *now)
{
    struct loaded_frontend *list;
    bool same = p->frontends_count == now->frontends_count;

    for (uint32_t i = 0; i < p->frontends_count && same; i++)
        same = plan_has_frontend(now, &p->frontends[i].f);
    if (same)
        return;
    for (uint32_t i = 0; i < p->frontends_count; i++)
        if (!plan_has_frontend(now, &p->frontends[i].f))
            forget_frontend(f, p, &p->frontends[i]);
    list = xcalloc(now->frontends_count + 1, sizeof(*list));
    for (uint32_t i = 0; i < now->frontends_count; i++) {
        struct loaded_frontend *old = find_frontend(p, &now->frontends[i]);

        list[i].f = now->frontends[i];
        list[i].waiting = true;
        if (old && !old->waiting) {
            struct frontend_key k = frontend_key(p, &old->f);
            list[i] = *old;
            claim(f, old, &k, false);
            claim(f, &list[i], &k, true);
        } else if (!old) {
            f->waiting++;
        }
    }
    free(p->frontends);
    p->frontends = list;
    p->frontends_count = now->frontends_count;
}

/* --- ports and services ------------------------------------------------------------------------------------------------- */

static void port_done(struct loaded_port *p)
{
    free(p->name);
    free(p->frontends);
    free(p->lists[0].slots);
    free(p->lists[1].slots);
}

static void remove_port(struct firewall *f, struct loaded_port *p)
{
    for (uint32_t i = 0; i < p->frontends_count; i++)
        forget_frontend(f, p, &p->frontends[i]);
    set_targets(f, p, &p->lists[0], NULL, 0, NULL, 0);
    set_targets(f, p, &p->lists[1], NULL, 0, NULL, 0);
    port_done(p);
}

static bool same_port(const struct loaded_port *p, const struct service_port *now)
{
    return p->protocol == now->protocol && p->affinity_s == now->affinity_s && str_is(now->name, p->name);
}

static bool needs_local_list(const struct service_port *p)
{
    for (uint32_t i = 0; i < p->frontends_count; i++)
        if (p->frontends[i].local)
            return true;
    return false;
}

static void update_port(struct firewall *f, struct loaded_port *p, const struct service_port *now)
{
    set_frontends(f, p, now);
    set_targets(f, p, &p->lists[0], now->targets, now->targets_count, now->near_targets, now->near_targets_count);
    set_targets(f, p, &p->lists[1], now->local_targets, needs_local_list(now) ? now->local_targets_count : 0, NULL, 0);
    for (uint32_t i = 0; i < p->frontends_count; i++)
        put_frontend(f, p, &p->frontends[i]);
}

static void new_port(struct firewall *f, struct loaded_port *p, const struct service_port *now)
{
    *p = (struct loaded_port){ .name = str_dup(now->name), .protocol = now->protocol, .affinity_s = now->affinity_s };
    p->lists[0].id = ++f->next_list;
    p->lists[1].id = ++f->next_list;
}

static void update_service(struct firewall *f, struct loaded_service *s, const struct service_plan *plan)
{
    struct loaded_port *ports = xcalloc(plan->ports_count + 1, sizeof(*ports));
    bool *taken = xcalloc(plan->ports_count + 1, sizeof(bool));

    for (uint32_t i = 0; i < s->ports_count; i++) {
        bool kept = false;
        for (uint32_t j = 0; j < plan->ports_count && !kept; j++)
            if (!taken[j] && same_port(&s->ports[i], &plan->ports[j])) {
                ports[j] = s->ports[i]; /* its frontends stay where they are: owners hold */
                taken[j] = kept = true;
            }
        if (!kept)
            remove_port(f, &s->ports[i]);
    }
    for (uint32_t j = 0; j < plan->ports_count; j++) {
        if (!taken[j])
            new_port(f, &ports[j], &plan->ports[j]);
        update_port(f, &ports[j], &plan->ports[j]);
    }
    free(taken);
    free(s->ports);
    s->ports = ports;
    s->ports_count = plan->ports_count;
}

static void service_free(struct loaded_service *s)
{
    free(s->ports);
    free(s);
}

void firewall_put_service(struct firewall *f, struct str key, const struct service_plan *plan)
{
    static const struct service_plan nothing = { 0 };
    struct loaded_service *s = map_get(&f->services, key);

    f->batch.muted = f->reload;
    if (!plan || !plan->ports_count) {
        if (!s)
            return;
        update_service(f, s, &nothing);
        service_free(map_del(&f->services, key));
        return;
    }
    if (!s)
        map_put(&f->services, key, s = xnew(struct loaded_service));
    update_service(f, s, plan);
}

static void load_list(struct firewall *f, const struct loaded_port *p, struct target_list *l)
{
    l->slots_count = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        put_slot(f, l, i, &l->slots[i]);
        if (p->affinity_s)
            change_sticky(f, l, &l->slots[i], true);
    }
}

void firewall_services_load(struct firewall *f)
{
    size_t i = 0;
    struct str key;
    void *value;

    map_clear(&f->owners);
    map_clear(&f->chains);
    f->sticky_count = 0;
    f->waiting = 0;
    while (map_next(&f->services, &i, &key, &value)) {
        struct loaded_service *s = value;
        for (uint32_t j = 0; j < s->ports_count; j++) {
            struct loaded_port *p = &s->ports[j];
            load_list(f, p, &p->lists[0]);
            load_list(f, p, &p->lists[1]);
            for (uint32_t k = 0; k < p->frontends_count; k++) {
                p->frontends[k].state = FRONTEND_ABSENT;
                p->frontends[k].waiting = true;
                f->waiting++;
                put_frontend(f, p, &p->frontends[k]);
            }
        }
    }
}

void firewall_services_free(struct firewall *f)
{
    size_t i = 0;
    struct str key;
    void *value;

    while (map_next(&f->services, &i, &key, &value)) {
        struct loaded_service *s = value;
        for (uint32_t j = 0; j < s->ports_count; j++)
            port_done(&s->ports[j]);
        service_free(s);
    }
    map_done(&f->services);
    map_done(&f->owners);
    map_done(&f->chains);
    free(f->sticky);
}
