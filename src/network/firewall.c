/* The owner of klein's tables: loading, committing, checking, and the elements of pods. */
#include "network/firewall_internal.h"

#include <errno.h>
#include <stdlib.h>

#define LOG_PART "network"
#include "base/log.h"

#define CHECKS_BETWEEN_COUNTS 30 /* also look when the generation says that nobody changed anything */

struct firewall *firewall_new(const struct firewall_config *config, struct error *err)
{
    struct firewall *f = xnew(struct firewall);

    f->config = *config;
    if (nft_open(&f->nft, err) < 0) {
        free(f);
        return NULL;
    }
    nft_begin(&f->batch, NFPROTO_IPV4, TABLE);
    nft_begin(&f->bridge_batch, NFPROTO_BRIDGE, TABLE);
    f->reload = true;
    return f;
}

void firewall_free(struct firewall *f)
{
    if (!f)
        return;
    nft_close(&f->nft);
    nft_batch_done(&f->batch);
    nft_batch_done(&f->bridge_batch);
    firewall_services_free(f);
    free(f->nodes);
    free(f->removed.targets);
    free(f);
}

void firewall_remove_tables(struct firewall *f)
{
    struct nft_batch *batches[] = { &f->batch, &f->bridge_batch };
    AUTO_ERROR struct error err = { 0 };

    for (size_t i = 0; i < ARRAY_SIZE(batches); i++) {
        nft_begin(batches[i], batches[i]->family, TABLE);
        nft_add_table(batches[i]);
        nft_delete_table(batches[i]);
        if (nft_commit(&f->nft, batches[i], &err) < 0)
            log_warn("firewall table not removed", KV_ERR(&err));
    }
    f->loaded = f->bridge_loaded = false;
    f->reload = true;
}

void firewall_reload(struct firewall *f)
{
    f->reload = true;
}

void firewall_configure(struct firewall *f, const struct ip_prefix *pod_range, uint32_t dns_ip)
{
    f->config.pod_range = *pod_range;
    f->config.dns_ip = dns_ip;
    f->reload = true;
}

void firewall_set_nodes(struct firewall *f, const uint32_t *ips, size_t count)
{
    if (count == f->nodes_count && (count == 0 || memcmp(ips, f->nodes, count * sizeof(*ips)) == 0))
        return;
    for (size_t i = 0; i < f->nodes_count; i++)
        nft_delete_element(&f->batch, "nodes", &f->nodes[i], 4);
    free(f->nodes);
    f->nodes = xcalloc(count + 1, sizeof(*ips));
    f->nodes_count = 0;
    for (size_t i = 0; i < count; i++) {
        bool twice = false;
        for (size_t j = 0; j < f->nodes_count && !twice; j++)
            twice = f->nodes[j] == ips[i];
        if (twice)
            continue;
        f->nodes[f->nodes_count++] = ips[i];
        nft_add_element(&f->batch, "nodes", &ips[i], 4, NULL, 0);
    }
}

struct firewall_removed *firewall_removed_targets(struct firewall *f)
{
    return &f->removed;
}

/* --- pods ------------------------------------------------------------------------------------------------------------- */

struct host_port_key {
    uint32_t ip;
    uint8_t protocol, zero[3];
    uint16_t port, zero_2;
};
struct host_port_data {
    uint32_t ip;
    uint16_t port, zero;
};

static void change_host_ports(struct firewall *f, const struct net_pod *pod, bool add)
{
    for (size_t i = 0; i < pod->host_ports_count; i++) {
        const struct pod_host_port *p = &pod->host_ports[i];
        struct host_port_key key = { .ip = p->host_ip, .protocol = p->protocol, .port = htons(p->host_port) };
        struct host_port_data data = { .ip = pod->ip, .port = htons(p->container_port) };

        if (add)
            nft_add_element(&f->batch, "host-ports", &key, sizeof(key), &data, sizeof(data));
        else
            nft_delete_element(&f->batch, "host-ports", &key, sizeof(key));
    }
}

static void change_pod(struct firewall *f, const struct net_pod *pod, bool add)
{
    uint32_t pair[2] = { pod->ip, pod->ip };

    if (add)
        nft_add_element(&f->batch, "hairpin", pair, sizeof(pair), NULL, 0);
    else
        nft_delete_element(&f->batch, "hairpin", pair, sizeof(pair));
    change_host_ports(f, pod, add);
}

static void change_sender(struct firewall *f, const struct net_pod *pod, bool add)
{
    unsigned char key[20] = { 0 };

    memcpy(key, pod->link, sizeof(pod->link));
    memcpy(key + 16, &pod->ip, 4);
    if (add)
        nft_add_element(&f->bridge_batch, "senders", key, sizeof(key), NULL, 0);
    else
        nft_delete_element(&f->bridge_batch, "senders", key, sizeof(key));
}

static int load_bridge(struct firewall *f, struct error *err)
{
    nft_begin(&f->bridge_batch, NFPROTO_BRIDGE, TABLE);
    firewall_add_bridge_table(f, &f->bridge_batch);
    f->bridge_loaded = nft_commit(&f->nft, &f->bridge_batch, err) == 0;
    return f->bridge_loaded ? 0 : -1;
}

static void note_generation(struct firewall *f)
{
    if (nft_generation(&f->nft, &f->generation, NULL) < 0)
        f->generation = 0;
}

int firewall_put_pod(struct firewall *f, struct net_pod *pod, struct error *err)
{
    if (!f->bridge_loaded) {
        if (load_bridge(f, err) < 0) /* with this pod */
            return -1;
    } else if (!pod->in_bridge_table) {
        change_sender(f, pod, true);
        if (nft_commit(&f->nft, &f->bridge_batch, NULL) < 0 && load_bridge(f, err) < 0)
            return -1;
        pod->in_bridge_table = true;
    }
    note_generation(f);
    if (!f->loaded || f->reload || pod->in_ip_table)
        return 0;
    change_pod(f, pod, true);
    pod->in_ip_table = true;
    return firewall_commit(f, err);
}

void firewall_delete_pod(struct firewall *f, struct net_pod *pod)
{
    AUTO_ERROR struct error err = { 0 };

    if (f->bridge_loaded && pod->in_bridge_table) {
        change_sender(f, pod, false);
        if (nft_commit(&f->nft, &f->bridge_batch, &err) < 0)
            f->bridge_loaded = false; /* loaded again by the next pod or check */
        note_generation(f);
    }
    pod->in_bridge_table = false;
    if (f->loaded && !f->reload && pod->in_ip_table) {
        change_pod(f, pod, false);
        pod->in_ip_table = false;
        if (firewall_commit(f, &err) < 0)
            log_warn("a pod's rules not removed, all rules are loaded again", KV_ERR(&err));
    }
}

int firewall_set_host_ports(struct firewall *f, struct net_pod *pod, struct pod_host_port *ports, size_t count,
                            struct error *err)
{
    bool live = f->loaded && !f->reload && pod->in_ip_table;

    if (live)
        change_host_ports(f, pod, false);
    free(pod->host_ports);
    pod->host_ports = ports;
    pod->host_ports_count = count;
    if (!live)
        return 0;
    change_host_ports(f, pod, true);
    return firewall_commit(f, err);
}

/* --- commit ------------------------------------------------------------------------------------------------------------ */

static void build_all(struct firewall *f)
{
    struct net_pod *pod;

    nft_begin(&f->batch, NFPROTO_IPV4, TABLE);
    firewall_add_fixed(f);
    for (size_t i = 0; pods_next(f->config.pods, &i, &pod);) {
        change_pod(f, pod, true);
        pod->in_ip_table = true;
    }
    firewall_services_load(f);
}

int firewall_commit(struct firewall *f, struct error *err)
{
    AUTO_ERROR struct error inner = { 0 };

    if (!f->reload && nft_commit(&f->nft, &f->batch, &inner) == 0) {
        note_generation(f);
        return 0;
    }
    if (inner.code)
        log_warn("firewall change refused, everything is loaded again", KV_ERR(&inner));
    f->reload = false;
    build_all(f);
    if (nft_commit(&f->nft, &f->batch, err) < 0) {
        f->reload = true;
        return -1;
    }
    f->loaded = true;
    note_generation(f);
    return 0;
}

bool firewall_is_in_kernel(struct firewall *f)
{
    return nft_has_table(&f->nft, NFPROTO_IPV4, TABLE);
}

bool firewall_is_changed(const struct firewall *f)
{
    return f->reload || f->batch.messages > 0;
}

static bool is_complete(struct firewall *f, const struct nft_batch *b)
{
    struct nft_counts now;

    return nft_count(&f->nft, b->family, TABLE, &now, NULL) == 0 && memcmp(&now, &b->counts, sizeof(now)) == 0;
}

bool firewall_check(struct firewall *f)
{
    uint32_t generation = 0;
    AUTO_ERROR struct error err = { 0 };

    if (!f->loaded || f->batch.messages)
        return false;
    if (nft_generation(&f->nft, &generation, NULL) == 0 && generation == f->generation &&
        ++f->checks < CHECKS_BETWEEN_COUNTS)
        return false;
    f->checks = 0;
    f->generation = generation;
    if ((f->bridge_loaded || pods_count(f->config.pods)) && !is_complete(f, &f->bridge_batch)) {
        log_warn("somebody changed klein's bridge rules, loaded again");
        if (load_bridge(f, &err) < 0)
            log_warn("bridge rules not loaded", KV_ERR(&err));
        note_generation(f);
    }
    if (is_complete(f, &f->batch))
        return false;
    log_warn("somebody changed klein's firewall rules, loaded again");
    f->reload = true;
    return true;
}
