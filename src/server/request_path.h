/*
 * From method and URL path to what is asked for. Strict, and done once: percent-encoding is undone exactly once, empty and
 * dot segments and encoded slashes are refused (CVE-2022-3162, CVE-2019-11247 are of this family).
 * Source of the rules: apiserver/pkg/endpoints/request/requestinfo.go.
 */
#ifndef SERVER_REQUEST_PATH_H
#define SERVER_REQUEST_PATH_H

#include "server/request.h"

/* `path` as it came; strings of *ret live in the arena. ERR_BAD_REQUEST on a path that is not canonical. */
int request_path_parse(struct arena *a, struct str method, struct str path, struct request_info *ret,
                       struct error *err);

#endif
