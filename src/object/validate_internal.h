/* What the files of validate.h share. Private to object/. */
#ifndef OBJECT_VALIDATE_INTERNAL_H
#define OBJECT_VALIDATE_INTERNAL_H

#include "object/validate.h"

bool validate_add(struct validate_messages *ret, const char *message); /* always false */

#endif
