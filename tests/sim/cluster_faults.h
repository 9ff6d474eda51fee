/* The faults of a whole cluster: part of life_cluster.c, which includes it once. */

static struct process *victim(struct sim *s, const struct fault *f)
{
    struct cluster_sim *c = cluster_of(s);

    for (int i = 0; i < c->servers_count; i++) {
        struct process *p = c->servers[(f->target + i) % c->servers_count].process;
        if (!p->dead)
            return p;
    }
    return c->servers[f->target % c->servers_count].process;
}

static void kill_begin(struct sim *s, struct fault *f)
{
    struct process *p = victim(s, f);

    if (p->dead) { /* none is there: a little later */
        f->begun = false;
        f->at_ms += 50;
    } else {
        sim_crash(p);
    }
}

static uint64_t kill_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return cluster_of(s)->crashes;
}

static void pause_begin(struct sim *s, struct fault *f)
{
    sim_pause(f->process = victim(s, f));
}

static void pause_end(struct sim *s, struct fault *f)
{
    (void)s;
    sim_resume(f->process);
}

static void jump_begin(struct sim *s, struct fault *f)
{
    victim(s, f)->env.wall_offset_ms += (int64_t)sim_below(s, 2 * 3600000) - 3600000;
}

static void slow_begin(struct sim *s, struct fault *f)
{
    (void)f;
    cluster_of(s)->delay_max_ms += 80;
}

static void slow_end(struct sim *s, struct fault *f)
{
    (void)f;
    cluster_of(s)->delay_max_ms = MAX(cluster_of(s)->delay_max_ms - 80, 2);
}

static void loss_begin(struct sim *s, struct fault *f)
{
    (void)f;
    cluster_of(s)->loss_percent += 10;
}

static void loss_end(struct sim *s, struct fault *f)
{
    (void)f;
    cluster_of(s)->loss_percent -= MIN(cluster_of(s)->loss_percent, 10);
}

static uint64_t loss_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return cluster_of(s)->lost_messages;
}

static void member_begin(struct sim *s, struct fault *f)
{
    etcd_model_crash(cluster_of(s)->model, f->target % SERVERS_MAX);
}

static void member_end(struct sim *s, struct fault *f)
{
    etcd_model_start(cluster_of(s)->model, f->target % SERVERS_MAX);
}

static void elect_begin(struct sim *s, struct fault *f)
{
    (void)f;
    etcd_model_elect(cluster_of(s)->model);
}

/* A server and its member; the nodes keep all of their links: the control plane alone is torn. */
static void control_cut(struct sim *s, int zone, bool cut)
{
    struct cluster_sim *c = cluster_of(s);
    void (*const change)(struct etcd_model *, const char *, const char *) = cut ? etcd_model_cut : etcd_model_heal;

    for (int i = 0; i < SERVERS_MAX; i++) {
        if (i == zone)
            continue;
        change(c->model, members[zone], members[i]);
        change(c->model, members[i], members[zone]);
        change(c->model, names[zone], members[i]);
        change(c->model, members[zone], names[i]);
        change(c->model, names[i], members[zone]);
        change(c->model, members[i], names[zone]);
        c->cut[zone][i] = c->cut[i][zone] = cut;
    }
}

static void control_begin(struct sim *s, struct fault *f)
{
    control_cut(s, f->target % SERVERS_MAX, true);
}

static void control_end(struct sim *s, struct fault *f)
{
    control_cut(s, f->target % SERVERS_MAX, false);
}

static uint64_t control_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return etcd_model_stats(cluster_of(s)->model)->cut;
}

/* A node is cut off from everybody; what runs there runs on. */
static void node_cut(struct sim *s, int node, bool cut)
{
    struct cluster_sim *c = cluster_of(s);

    for (int i = 0; i < PLACES; i++)
        if (i != PLACE_OF_NODE(node))
            c->cut[PLACE_OF_NODE(node)][i] = c->cut[i][PLACE_OF_NODE(node)] = cut;
}

static void node_begin(struct sim *s, struct fault *f)
{
    node_cut(s, f->target % NODES, true);
}

static void node_end(struct sim *s, struct fault *f)
{
    node_cut(s, f->target % NODES, false);
}

static uint64_t cut_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return cluster_of(s)->cut_messages;
}

static void power_begin(struct sim *s, struct fault *f)
{
    (void)f;
    disk_faults(cluster_of(s)->disk)->cut_after = 1 + sim_below(s, 30);
}

static uint64_t power_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return disk_stats(cluster_of(s)->disk)->cuts;
}

static void full_begin(struct sim *s, struct fault *f)
{
    (void)f;
    disk_faults(cluster_of(s)->disk)->full++;
}

static void full_end(struct sim *s, struct fault *f)
{
    (void)f;
    disk_faults(cluster_of(s)->disk)->full--;
}

static uint64_t full_effects(struct sim *s, struct fault *f)
{
    (void)f;
    return disk_stats(cluster_of(s)->disk)->refused;
}

static const struct fault_type both[] = {
    { "server killed", kill_begin, NULL, kill_effects, 1, 1 },
    { "server stopped", pause_begin, pause_end, NULL, 100, 4000 },
    { "clock jumps", jump_begin, NULL, NULL, 1, 1 },
    { "network slow", slow_begin, slow_end, NULL, 500, 3000 },
    { "messages lost", loss_begin, loss_end, loss_effects, 500, 2000 },
};

static const struct fault_type on_etcd[] = {
    { "member killed", member_begin, member_end, NULL, 200, 3000 },
    { "election", elect_begin, NULL, NULL, 1, 1 },
    { "control plane of a zone cut off", control_begin, control_end, control_effects, 1000, 5000 },
};

static const struct fault_type on_sqlite[] = {
    { "power cut while it writes", power_begin, NULL, power_effects, 1, 1 },
    { "disk full", full_begin, full_end, full_effects, 200, 1500 },
};

static const struct fault_type of_nodes[] = {
    { "node cut off", node_begin, node_end, cut_effects, 500, 6000 },
};

static size_t add_types(const struct fault_type **to, size_t count, const struct fault_type *types, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[count + i] = &types[i];
    return count + n;
}

static void plan_faults(struct sim *s)
{
    const struct fault_type *types[16];
    struct cluster_sim *c = cluster_of(s);
    size_t count = add_types(types, 0, both, ARRAY_SIZE(both));

    count = c->model ? add_types(types, count, on_etcd, ARRAY_SIZE(on_etcd))
                     : add_types(types, count, on_sqlite, ARRAY_SIZE(on_sqlite));
    if (c->node_faults)
        count = add_types(types, count, of_nodes, ARRAY_SIZE(of_nodes));
    sim_plan(s, types, count, 2 + sim_below(s, 4), FAULTS_MS, SERVERS_MAX);
}
