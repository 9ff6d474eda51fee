/*
 * Service, split by topic: core_service.c the kind, service_prepare.c what an update carries over, service_validate.c rules.
 *
 * Seam: addresses and ports are given out by the server's admission, between prepare and validate: spec.clusterIP and clusterIPs
 * (not for ExternalName, not for headless "None"), nodePort of every port that needs one, healthCheckNodePort. Here they are
 * only checked for form and carried over by updates. ipFamilies and ipFamilyPolicy are filled here, for a cluster of IPv4 alone.
 * Source: pkg/apis/core/v1/defaults.go, pkg/registry/core/service/storage.go and alloc.go, pkg/apis/core/validation.
 */
#ifndef KINDS_SERVICE_H
#define KINDS_SERVICE_H

#include "kinds/check_format.h"
#include "kinds/tree.h"

void service_prepare(struct kind_context *c, struct value *service, struct view old);
void service_validate(struct kind_context *c, struct view service, struct view old, struct error *causes);

#endif
