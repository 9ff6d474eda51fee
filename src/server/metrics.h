/* Counting requests and answering /metrics. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "server/request.h"

void metrics_count(struct request *r); /* once per request, when it is complete */

#endif
