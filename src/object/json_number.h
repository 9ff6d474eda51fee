/* Writing a floating-point number as Go's encoding/json does: shortest digits, exponent only below 1e-6 and from 1e21. */
#ifndef OBJECT_JSON_NUMBER_H
#define OBJECT_JSON_NUMBER_H

#include "base/buf.h"

void json_write_double(struct buf *to, double d); /* not finite: null */

#endif
