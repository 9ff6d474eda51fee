/*
 * Kernel settings of the calling thread's own network namespace, through /proc/sys/net: the kernel shows each task its own.
 * Nothing is written when the value is already right, so a read-only /proc/sys with the right values is fine.
 */
#ifndef NETWORK_SYSCTL_H
#define NETWORK_SYSCTL_H

#include "base/error.h"

/* `path` below /proc/sys/net, e.g. "ipv4/ip_forward". A setting this kernel does not have (no IPv6) is no error. */
int sysctl_put(const char *path, const char *value, struct error *err);

#endif
