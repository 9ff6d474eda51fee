/*
 * Just enough JSON to read a few members of a token's header and claims; object/ has the real codec, which wire/ may
 * not use. Only top-level members are seen; a member that appears twice makes the whole text invalid.
 */
#ifndef WIRE_JSON_SCAN_H
#define WIRE_JSON_SCAN_H

#include "base/str.h"

bool json_scan_is_object(struct str json); /* a whole, well-formed object */
bool json_scan_has(struct str json, const char *name);
bool json_scan_text(struct str json, const char *name, struct str *ret); /* a string without escapes; false otherwise */
/* An integer or a number whose fraction is dropped; absent: true and 0. False when it is something else. */
bool json_scan_number(struct str json, const char *name, int64_t *ret);

#endif
