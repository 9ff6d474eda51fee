/* From what is asked to steps. Pure. */
#include "chaos/fault.h"

#include <stdio.h>

#define RATE_DEFAULT  (1000 * 1000)
#define BYTES_DEFAULT ((int64_t)(256 * MIB))
#define DELAY_DEFAULT 100

const struct fault_verb fault_verbs[] = {
    { "kill",
      "server|etcd|agent|fence|haproxy|registry|conmon|container|pod|node|zone|leader|store-leader|control-plane",
      "kill -9 processes; a node or zone loses its power" },
    { "pause", "server|etcd|agent|fence|haproxy|registry|container|pod|leader|store-leader|control-plane",
      "stop processes without ending them" },
    { "stop", "server|control-plane", "end servers and etcd and keep them away" },
    { "cut", "zone|node", "links down; --from or --to: one direction only; --port: only this TCP port" },
    { "slow", "zone|node", "a link of --rate bits a second" },
    { "disturb", "zone|node", "frames are delayed, lost, doubled, reordered" },
    { "fill", "server|node", "fill the disk (clusters made with --disk-size)" },
    { "eat", "cpu|memory", "eat a node's processor, or memory by --bytes" },
    { 0 },
};

static struct step *add(struct fault *f, enum step_kind kind, pid_t pid, uint64_t start_time)
{
    struct step *s = &f->steps[f->steps_count];

    if (f->steps_count == FAULT_STEPS_MAX)
        return NULL; /* callers check the count at the end */
    f->steps_count++;
    *s = (struct step){ .kind = kind, .pid = pid, .start_time = start_time };
    return s;
}

static bool is(const char *a, const char *b)
{
    return str_is(str_of(a), b);
}

static const struct seen_machine *edge_of(const struct seen *s)
{
    for (int i = 0; i < s->machines_count; i++)
        if (s->machines[i].kind == MACHINE_EDGE)
            return &s->machines[i];
    return NULL;
}

/* --- processes -------------------------------------------------------------------------------------------------------------- */

static bool process_is_meant(const struct seen *s, const struct seen_process *p, enum role role,
                             const struct fault_request *r)
{
    const struct seen_machine *m = &s->machines[p->machine];

    if (p->role != role)
        return false;
    if (is(r->what, "leader"))
        return m->leader;
    if (is(r->what, "store-leader"))
        return m->store_leader;
    if (!r->target)
        return true;
    return is(r->target, m->name) || (p->pod_uid[0] && is(r->target, p->pod_uid));
}

/* One process and its like: haproxy has a master and workers, a pod has many processes; of the others the first is enough. */
static bool takes_all(const struct fault_request *r, enum role role)
{
    return role == ROLE_HAPROXY || (role == ROLE_CONTAINER && r->target) || is(r->what, "control-plane");
}

static void add_processes(const struct seen *s, const struct fault_request *r, enum role role, enum step_kind kind,
                          struct fault *f)
{
    for (int i = 0; i < s->processes_count; i++) {
        const struct seen_process *p = &s->processes[i];
        if (!process_is_meant(s, p, role, r))
            continue;
        add(f, kind, p->pid, p->start_time);
        if (!takes_all(r, role))
            return;
    }
}

static int plan_processes(const struct seen *s, const struct fault_request *r, enum step_kind kind, struct fault *f,
                          struct error *err)
{
    enum role role;

    if (is(r->what, "leader") || is(r->what, "server") || is(r->what, "control-plane"))
        add_processes(s, r, ROLE_SERVER, kind, f);
    else if (is(r->what, "store-leader"))
        add_processes(s, r, ROLE_ETCD, kind, f);
    else if (is(r->what, "pod")) {
        add_processes(s, r, ROLE_CONMON, kind, f);
        add_processes(s, r, ROLE_CONTAINER, kind, f);
    } else if (role_of_name(r->what, &role))
        add_processes(s, r, role, kind, f);
    else
        return fail(err, ERR_BAD_REQUEST, "'%s %s' is not a fault: see `klein chaos --help`", r->verb, r->what);
    if (is(r->what, "control-plane"))
        add_processes(s, r, ROLE_ETCD, kind, f);
    return 0;
}

/* Servers and etcd end, and the inits that would start them again stand still. */
static int plan_stop(const struct seen *s, const struct fault_request *r, struct fault *f, struct error *err)
{
    struct fault_request servers = *r;

    if (!is(r->what, "server") && !is(r->what, "control-plane"))
        return fail(err, ERR_BAD_REQUEST, "'stop' is for server or control-plane, not for '%s'", r->what);
    servers.what = "control-plane";
    for (int m = 0; m < s->machines_count; m++)
        for (int i = 0; i < s->processes_count; i++)
            if (s->processes[i].machine == m && process_is_meant(s, &s->processes[i], ROLE_SERVER, &servers)) {
                add(f, STEP_STOP, s->machines[m].init, s->machines[m].start_time);
                break;
            }
    add_processes(s, &servers, ROLE_SERVER, STEP_KILL, f);
    add_processes(s, &servers, ROLE_ETCD, STEP_KILL, f);
    return 0;
}

/* --- machines and links ------------------------------------------------------------------------------------------------------ */

static bool machine_is_meant(const struct seen_machine *m, const struct fault_request *r)
{
    if (!m->init || m->kind == MACHINE_EDGE)
        return false;
    if (is(r->what, "zone"))
        return is(m->zone, r->target);
    return r->target ? is(m->name, r->target) : m->kind == MACHINE_NODE;
}

static void plan_power(const struct seen *s, const struct fault_request *r, struct fault *f)
{
    for (int i = 0; i < s->machines_count; i++)
        if (machine_is_meant(&s->machines[i], r)) {
            add(f, STEP_POWER_OFF, s->machines[i].init, s->machines[i].start_time);
            if (!is(r->what, "zone"))
                return;
        }
}

static void add_drop(struct fault *f, const struct seen_machine *edge, const char *link, const struct fault_request *r,
                     bool frames)
{
    struct step *step = add(f, STEP_DROP, edge->init, edge->start_time);

    if (!step)
        return;
    snprintf(step->link, sizeof(step->link), "%s", link);
    step->way = r->way;
    step->port = r->port;
    step->frames = frames;
}

static void add_link(struct fault *f, enum step_kind kind, const struct seen_machine *where, const char *link,
                     const struct fault_request *r)
{
    struct step *step = add(f, kind, where->init, where->start_time);

    if (!step)
        return;
    snprintf(step->link, sizeof(step->link), "%s", link);
    step->amount = r->rate_bits ? r->rate_bits : RATE_DEFAULT;
}

static void add_relay(struct fault *f, const struct seen_machine *edge, const struct seen_machine *m,
                      const struct fault_request *r)
{
    bool nothing = !r->delay_ms && !r->jitter_ms && !r->loss_permille && !r->duplicate_permille && !r->reorder_permille;
    struct step *step = add(f, STEP_RELAY, edge->init, edge->start_time);

    if (!step)
        return;
    snprintf(step->link, sizeof(step->link), "%s", m->link);
    snprintf(step->bridge, sizeof(step->bridge), "br-%.12s", m->zone);
    step->delay_ms = nothing ? DELAY_DEFAULT : r->delay_ms;
    step->jitter_ms = r->jitter_ms;
    step->loss_permille = r->loss_permille;
    step->duplicate_permille = r->duplicate_permille;
    step->reorder_permille = r->reorder_permille;
}

static void plan_machine_link(const struct seen_machine *edge, const struct seen_machine *m,
                              const struct fault_request *r, struct fault *f)
{
    if (is(r->verb, "disturb"))
        add_relay(f, edge, m, r);
    else if (is(r->verb, "slow")) {
        add_link(f, STEP_SLOW, edge, m->link, r);
        add_link(f, STEP_SLOW, m, "eth0", r);
    } else if (r->way != DROP_BOTH || r->port)
        add_drop(f, edge, m->link, r, true);
    else
        add_link(f, STEP_LINK_DOWN, edge, m->link, r);
}

static int plan_links(const struct seen *s, const struct fault_request *r, struct fault *f, struct error *err)
{
    const struct seen_machine *edge = edge_of(s);
    char bridge[16];
    bool found = false;

    if (!is(r->what, "zone") && !is(r->what, "node") && !is(r->what, "server"))
        return fail(err, ERR_BAD_REQUEST, "'%s' is for a zone or a node, not for '%s'", r->verb, r->what);
    if (!edge || !edge->init)
        return fail(err, ERR_NOT_FOUND, "the cluster's own namespace is gone: `klein up --name %s`", s->name);
    snprintf(bridge, sizeof(bridge), "br-%.12s", r->target ? r->target : "a");
    /* A zone is cut at its edge: what its machines say to each other goes on. */
    for (int i = 0; i < s->machines_count; i++) {
        const struct seen_machine *m = &s->machines[i];
        if (!machine_is_meant(m, r))
            continue;
        found = true;
        if (!is(r->what, "zone") || !is(r->verb, "cut"))
            plan_machine_link(edge, m, r, f);
        if (!is(r->what, "zone"))
            break;
    }
    if (found && is(r->what, "zone") && is(r->verb, "cut") && (r->way != DROP_BOTH || r->port))
        add_drop(f, edge, bridge, r, false);
    else if (found && is(r->what, "zone") && is(r->verb, "cut"))
        add_link(f, STEP_LINK_DOWN, edge, bridge, r);
    return 0;
}

/* --- disks, processor, memory ------------------------------------------------------------------------------------------------ */

static void plan_fill(const struct seen *s, const struct fault_request *r, struct fault *f)
{
    for (int i = 0; i < s->machines_count; i++) {
        const struct seen_machine *m = &s->machines[i];
        bool meant = r->target             ? is(m->name, r->target)
                     : is(r->what, "node") ? m->kind == MACHINE_NODE
                                           : m->kind != MACHINE_NODE && m->leader;
        if (!meant || !m->data[0])
            continue;
        struct step *step = add(f, STEP_FILL, 0, 0);
        if (step)
            snprintf(step->path, sizeof(step->path), "%.200s/klein-chaos-fill", m->data);
        return;
    }
}

static int plan_eat(const struct seen *s, const struct fault_request *r, struct fault *f, struct error *err)
{
    if (!is(r->what, "cpu") && !is(r->what, "memory"))
        return fail(err, ERR_BAD_REQUEST, "'eat' is for cpu or memory, not for '%s'", r->what);
    for (int i = 0; i < s->machines_count; i++) {
        const struct seen_machine *m = &s->machines[i];
        if (!m->init || m->kind != MACHINE_NODE || (r->target && !is(m->name, r->target)))
            continue;
        struct step *step = add(f, STEP_EAT, m->init, m->start_time);
        if (step) {
            snprintf(step->path, sizeof(step->path), "klein/%s/%s", s->name, m->name);
            step->amount = is(r->what, "cpu") ? 0 : r->bytes ? r->bytes : BYTES_DEFAULT;
        }
        break;
    }
    return 0;
}

static int plan(const struct seen *s, const struct fault_request *r, struct fault *f, struct error *err)
{
    if (is(r->verb, "kill") && (is(r->what, "node") || is(r->what, "zone")))
        return plan_power(s, r, f), 0;
    if (is(r->verb, "kill"))
        return plan_processes(s, r, STEP_KILL, f, err);
    if (is(r->verb, "pause"))
        return plan_processes(s, r, STEP_STOP, f, err);
    if (is(r->verb, "stop"))
        return plan_stop(s, r, f, err);
    if (is(r->verb, "cut") || is(r->verb, "slow") || is(r->verb, "disturb"))
        return plan_links(s, r, f, err);
    if (is(r->verb, "fill"))
        return plan_fill(s, r, f), 0;
    if (is(r->verb, "eat"))
        return plan_eat(s, r, f, err);
    return fail(err, ERR_BAD_REQUEST, "there is no fault '%s': see `klein chaos --help`", r->verb);
}

static void tell(const struct fault_request *r, struct fault *f)
{
    const char *target = r->said ? r->said : r->target;
    char port[32] = "";

    if (r->port)
        snprintf(port, sizeof(port), " (port %u only)", (unsigned)r->port);
    snprintf(f->text, sizeof(f->text), "%s %s%s%.80s%s%s", r->verb, r->what, target ? " " : "", target ? target : "",
             r->way == DROP_FROM ? " (what it sends)"
             : r->way == DROP_TO ? " (what is sent to it)"
                                 : "",
             port);
}

int fault_plan(const struct seen *s, const struct fault_request *asked, struct fault *ret, struct error *err)
{
    struct fault_request r = *asked;

    *ret = (struct fault){ 0 };
    if (!r.what)
        r.what = is(r.verb, "cut") || is(r.verb, "slow") || is(r.verb, "disturb") ? "zone"
                 : is(r.verb, "eat")                                              ? "cpu"
                                                                                  : "server";
    if (is(r.what, "zone") && !r.target)
        r.target = "a";
    if (plan(s, &r, ret, err) < 0)
        return -1;
    tell(&r, ret);
    if (ret->steps_count == FAULT_STEPS_MAX)
        return fail(err, ERR_TOO_LARGE, "'%s' concerns more than %d processes and links", ret->text, FAULT_STEPS_MAX);
    if (!ret->steps_count)
        return fail(err, ERR_NOT_FOUND, "'%s': nothing like that runs in cluster '%s'", ret->text, s->name);
    return 0;
}
