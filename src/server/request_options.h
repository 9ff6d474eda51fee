/* Query parameters of a request, checked. Source: meta/v1 *Options and their validation (apimachinery/pkg/apis/meta/v1/validation). */
#ifndef SERVER_REQUEST_OPTIONS_H
#define SERVER_REQUEST_OPTIONS_H

#include "server/request.h"

/* Fills r->options and r->delete_options. Unknown parameters are ignored, as upstream does. ERR_BAD_REQUEST, ERR_INVALID. */
int request_options_parse(struct request *r, struct str query, struct error *err);
/* The rules a verb adds: fieldManager's form, apply needs one, force only with apply, resourceVersionMatch ... */
int request_options_check(struct request *r, struct error *err);
/* dryRun and propagationPolicy values of a DeleteOptions body go through the same checks. */
int options_check_dry_run(struct str value, bool *ret, struct error *err);
int options_check_delete(struct delete_options *o, struct error *err);

#endif
