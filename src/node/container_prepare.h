/*
 * From a pod's container and its image to a container_spec. Two halves: container_prepare() on the loop reads objects and fails
 * with what the user did wrong; container_finish() on a worker looks into the mounted root (users by name) and writes config.json.
 */
#ifndef NODE_CONTAINER_PREPARE_H
#define NODE_CONTAINER_PREPARE_H

#include "node/pod.h"

struct prepared_subpath {
    struct str volume, path; /* inside the volume */
    struct str target;       /* where it is bound to on the node */
};

struct prepared {
    struct arena arena;
    struct container_spec spec;
    struct map variables;
    struct str lower;  /* overlayfs lower folders */
    struct str folder; /* DATA/pods/UID/c/NAME */
    struct str log_path;
    struct str message_path; /* termination message on the node */
    struct str user;         /* "name", "uid:gid"; empty when runAsUser says it */
    bool user_set;           /* runAsUser was given */
    bool group_set;
    bool non_root;                                   /* runAsNonRoot */
    struct str pod_name, namespace_, container_name; /* for messages */
    struct spec_mount *mounts;
    size_t mounts_count;
    struct prepared_subpath *subpaths;
    size_t subpaths_count;
    int64_t *groups;
    size_t groups_count;
    bool terminal, stdin_open, stdin_once;
    struct buf config;
    struct error err;
};

/* ERR_UNAVAILABLE: something is not known yet; other errors: CreateContainerConfigError. */
int container_prepare(struct pod_container *c, struct prepared *p, struct error *err);
/* Blocking: mounts the root, binds subpaths, resolves the user, fills p->config. */
int container_finish(struct prepared *p, struct error *err);
void prepared_done(struct prepared *p);
/* Blocking: unmount and remove what container_finish() made. */
void container_folder_remove(const char *folder);

#endif
