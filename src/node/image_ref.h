/*
 * Image names: "nginx", "registry:5000/team/web:v1", "web@sha256:...", taken apart and completed as clients do.
 * Source: github.com/distribution/reference: docker.io, "library/" and ":latest" are implied.
 */
#ifndef NODE_IMAGE_REF_H
#define NODE_IMAGE_REF_H

#include "base/arena.h"
#include "base/error.h"

#define IMAGE_NAME_MAX 512

struct image_ref {
    struct str host;       /* "docker.io", "registry:5000" */
    struct str repository; /* "library/nginx" */
    struct str tag;        /* "latest"; empty with only a digest */
    struct str digest;     /* "sha256:..." or empty */
    struct str full;       /* completed: "docker.io/library/nginx:latest" */
};

/* ERR_INVALID with what is wrong with the name. Strings are the arena's. */
int image_ref_parse(struct arena *a, struct str name, struct image_ref *ret, struct error *err);
/* "sha256:" and 64 lower-case hex digits. */
bool image_digest_is_valid(struct str digest);

#endif
