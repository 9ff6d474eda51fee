/* What the files of the firewall share. */
#ifndef NETWORK_FIREWALL_INTERNAL_H
#define NETWORK_FIREWALL_INTERNAL_H

#include "network/firewall.h"

#define TABLE        "klein"
#define MARK_SERVICE 0x4000u /* bit of the packet mark: klein chose this packet's destination (kube-proxy's bit) */
#define POD_LINKS    "kp"

#define CHAIN_NAME_SIZE 48

/* One list of endpoints in the map `endpoints`: slots 0 .. count-1 are in use, those up to slots_count repeat live ones. */
struct target_list {
    uint32_t id, slots_count, capacity;
    uint32_t unique; /* the first so many slots hold each target once */
    uint32_t count;  /* the first so many are drawn from: near targets come several times */
    struct service_target *slots;
};

enum frontend_state { FRONTEND_ABSENT, FRONTEND_LOADED, FRONTEND_REFUSED };

struct loaded_frontend {
    struct service_frontend f;
    enum frontend_state state;
    uint32_t class; /* while loaded */
    bool waiting;   /* another Service owns this address and port */
};

struct loaded_port {
    char *name;
    uint8_t protocol;
    uint32_t affinity_s;
    struct target_list lists[2]; /* all, local */
    struct loaded_frontend *frontends;
    uint32_t frontends_count;
};

struct loaded_service {
    struct loaded_port *ports;
    uint32_t ports_count;
};

struct sticky_class {
    uint32_t count, timeout_s;
};

struct firewall {
    struct firewall_config config;
    struct nft nft;
    struct nft_batch batch;
    bool loaded; /* the kernel has our table and we know what is in it */
    bool reload; /* build everything again at the next commit */
    bool bridge_loaded;
    struct nft_batch bridge_batch;
    uint32_t generation;
    int checks;          /* since everything was counted */
    struct map services; /* key -> struct loaded_service */
    struct map owners;   /* kind and key of a frontend -> its service's key pointer, as identity */
    struct map chains;   /* names of pick chains that exist */
    struct sticky_class *sticky;
    uint32_t sticky_count, sticky_capacity;
    uint32_t next_list;
    size_t waiting;
    uint32_t *nodes;
    size_t nodes_count;
    struct firewall_removed removed;
};

/* --- firewall_rules.c: the fixed part -------------------------------------------------------------------------------- */
void firewall_add_fixed(struct firewall *f);
void firewall_add_bridge_table(const struct firewall *f, struct nft_batch *b);
/* The chain that picks one of `count` endpoints for frontends of a kind; timeout_s 0: no affinity. */
void firewall_add_pick(struct firewall *f, enum frontend_kind kind, uint32_t class, uint32_t count, uint32_t timeout_s);
const char *frontend_map(enum frontend_kind kind);
bool frontend_has_address(enum frontend_kind kind);

/* --- firewall_services.c ---------------------------------------------------------------------------------------------- */
void firewall_services_load(struct firewall *f); /* all of them into an empty table */
void firewall_services_free(struct firewall *f);

#endif
