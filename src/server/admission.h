/* What admission steps share. A step is one file admission/NAME.c and one line in admission.def; see struct admission_step. */
#ifndef SERVER_ADMISSION_H
#define SERVER_ADMISSION_H

#include "server/request.h"

/* 403 as upstream's NewForbidden: `pods "web" is forbidden: ...`, details set. Returns PHASE_FAILED. */
enum phase_result admission_forbid(struct request *r, const char *format, ...) PRINTF(2, 3);
/* 422 as NewInvalid with one cause: `Service "web" is invalid: FIELD: MESSAGE`. Returns PHASE_FAILED. */
enum phase_result admission_invalid(struct request *r, const char *reason, struct str field, const char *format, ...)
    PRINTF(4, 5);

/* A create of this kind itself (no subresource), also by PUT or apply. */
bool admission_is_create(const struct request *r, const struct kind *kind);
/* A change of what exists, of this kind itself. */
bool admission_is_update(const struct request *r, const struct kind *kind);
bool admission_is_delete(const struct request *r); /* delete and deletecollection */
/* The name of the object, also of one being made. */
struct str admission_name(const struct request *r);

#endif
