/*
 * The files HAProxy reads: configuration, maps, certificates. Written from a plan by an encoder that checks every word, never
 * from templates with holes.
 */
#ifndef GATEWAY_CONFIG_H
#define GATEWAY_CONFIG_H

#include "gateway/gateway.h"
#include "gateway/plan.h"
#include "gateway/slots.h"

#include "base/codec.h"

struct config_paths {
    const char *folder;
    const char *listen_ip; /* NULL: all */
    uint16_t http_port, https_port;
    bool zoned; /* near and far servers are told apart */
};

/* What a reload is needed for, as one digest: backends, certificates and listeners, but not slots and routes. */
void config_structure(const struct gateway_plan *p, const struct config_paths *paths, char ret[SHA256_HEX_SIZE]);
/* Write everything into the folder; the configuration as haproxy.cfg.new, for `haproxy -c` to look at first. */
int config_write(const struct gateway_plan *p, const struct slots *slots, const struct config_paths *paths,
                 struct error *err);
/* A certificate of our own for clients that ask for a host without one. Kept when it is there and valid. */
int config_default_certificate(const struct config_paths *paths, int64_t now_ms, struct error *err);

#endif
