/*
 * The addresses and node ports that Services have: what is taken follows the state, what was just given out is held until the
 * state shows it or RANGE_HOLD_MS passed, so that two creates in flight never get the same. One per server (part services).
 * With several servers what is on its way is kept in the store instead: service_reserve.h.
 */
#ifndef SERVER_ADMISSION_SERVICE_RANGE_H
#define SERVER_ADMISSION_SERVICE_RANGE_H

#include "server/request.h"

#define RANGE_HOLD_MS 30000

struct service_range;
struct service_range *server_service_range(struct server *s);

/* IPv4 only. `hold` false (dry run): nothing is kept. */
bool service_range_has_ip(const struct service_range *r, struct str ip);       /* is it an address Services can have */
bool service_range_take_ip(struct service_range *r, struct str ip, bool hold); /* false: taken */
struct str service_range_any_ip(struct service_range *r, struct arena *a, bool hold); /* "" when the range is full */
struct str service_range_cidr(const struct service_range *r); /* as messages say it: "10.96.0.0/16" */

bool service_range_has_port(const struct service_range *r, int64_t port);
bool service_range_take_port(struct service_range *r, int64_t port, bool hold);
int64_t service_range_any_port(struct service_range *r, bool hold); /* 0 when the range is full */
struct str service_range_ports(const struct service_range *r);      /* "30000-32767" */

/* Has a Service of the state this address, or node port in decimal? */
bool service_range_is_used(const struct service_range *r, struct str what);

int service_range_init(struct server *s, struct error *err); /* parts.def */
void service_range_done(struct server *s);

#endif
