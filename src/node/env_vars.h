/*
 * The environment, command and arguments of a container: service variables, envFrom, env with valueFrom, and $(NAME) expansion.
 * Pure apart from reading `sources`. Source: kubelet's makeEnvironmentVariables, third_party/forked/golang/expansion.
 */
#ifndef NODE_ENV_VARS_H
#define NODE_ENV_VARS_H

#include "base/map.h"
#include "node/pod_fields.h"
#include "node/sources.h"

struct env_input {
    const struct pod_fields *fields;
    const struct sources *sources;
    struct view container;
    struct view image_env; /* array of "NAME=value" of the image */
    struct str hostname;
};

/*
 * All variables as "NAME=value" in the arena; `ret_map` (name -> value, arena strings) is for expanding command and arguments.
 * ERR_NOT_FOUND and ERR_INVALID are configuration errors to show the user, ERR_UNAVAILABLE means: not known yet.
 */
int env_vars_make(const struct env_input *in, struct arena *a, struct map *ret_map, struct str **ret, size_t *ret_count,
                  struct error *err);
/* $(NAME) is replaced where NAME is known, $$ is a dollar sign. */
struct str env_expand(struct arena *a, struct str text, const struct map *variables);

#endif
