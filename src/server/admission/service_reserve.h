/*
 * Addresses and node ports that a Service is about to get, kept from the other servers until the Service stands.
 * Only on a store that several servers share; a server alone knows all it has given out (service_range.h).
 *
 * The rule: a request writes what it wants under a key of its own, /klein/allocations/ID. When that is done this server has seen
 * everything written before it, so whoever has it already (a Service) or wanted it earlier (a reservation with a lower
 * revision) is known: those keep it, the others choose again. The Service is written with the reservation as guard and the
 * key deleted afterwards. A reservation that a dead server left is deleted by the leader after RESERVE_KEPT_MS; the guard then
 * refuses the Service of one that was only slow.
 */
#ifndef SERVER_ADMISSION_SERVICE_RESERVE_H
#define SERVER_ADMISSION_SERVICE_RESERVE_H

#include "server/request.h"

#define RESERVE_KEPT_MS 60000

struct reserve;
/* Does somebody want it just now? `what` is an address or a port in decimal. */
bool reserve_has(const struct reserve *v, struct str what);

bool reserve_is_busy(const struct reserve *v); /* is anything reserved? */

/* Reserve every text of `wanted` (an array) for the request. won: nobody has or wanted any of it before. err: not written. */
typedef void reserve_done_fn(void *arg, bool won, const struct error *err);
void reserve_take(struct request *r, const struct value *wanted, reserve_done_fn *done, void *arg);
void reserve_release(struct request *r); /* no reservation: nothing */

struct reserve *server_reserve(struct server *s);

#endif
