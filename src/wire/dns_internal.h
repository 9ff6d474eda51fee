/* What reading and writing DNS share. */
#ifndef WIRE_DNS_INTERNAL_H
#define WIRE_DNS_INTERNAL_H

#include "wire/dns.h"

bool dns_read_name(const uint8_t *p, size_t size, size_t at, char *text, size_t *ret_n, size_t *ret_end);

#endif
