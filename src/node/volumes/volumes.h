/*
 * The volumes of a pod: collected on the loop (pure: objects and tokens in, a list of what shall be there out), applied by a
 * worker (folders, tmpfs, files), removed with the pod.
 *
 * Content volumes (configMap, secret, projected, downwardAPI) lie on the agent's tmpfs and change atomically: a new folder
 * "..HASH" is written and the link "..data" moved over to it. Source: kubelet's atomic_writer.go, documented layout.
 */
#ifndef NODE_VOLUMES_VOLUMES_H
#define NODE_VOLUMES_VOLUMES_H

#include "node/pod_fields.h"
#include "node/sources.h"

enum volume_type {
    VOLUME_EMPTY_DIR,
    VOLUME_MEMORY,
    VOLUME_CONTENT,
    VOLUME_HOST_PATH,
    VOLUME_FOLDER, /* a PersistentVolume of klein's own: volumes/folders.h */
    VOLUME_LOCAL,  /* a PersistentVolume at a path somebody prepared */
};

struct volume_file {
    struct str path; /* relative, checked: no "..", no leading slash */
    struct str content;
    unsigned mode;
};

struct volume {
    enum volume_type type;
    struct str name;
    struct str path; /* on the node: what is mounted into containers */
    struct str host_path_type;
    struct str persistent;    /* VOLUME_FOLDER: name of the PersistentVolume */
    bool read_only;           /* the pod's volume says so, for all mounts */
    bool group_if_needed;     /* fsGroupChangePolicy OnRootMismatch */
    int64_t size_limit_bytes; /* VOLUME_MEMORY */
    int64_t fs_group;         /* -1: none */
    int64_t owner;            /* of token files, -1: root */
    struct volume_file *files;
    size_t files_count;
};

#define VOLUME_FILES_MAX 4096

struct volume_set {
    struct volume *items;
    size_t count;
};

/* A service account token: true with the token, false while it is being fetched. */
typedef bool volume_token_fn(void *arg, struct str audience, int64_t expiration_s, struct str *ret);

struct volume_input {
    const struct pod_fields *fields;
    const struct sources *sources;
    struct str pod_folder;     /* DATA/pods/UID */
    struct str content_folder; /* RUN/v/UID */
    struct str volumes_folder; /* DATA/volumes/pv */
    struct str node_name;
    volume_token_fn *token;
    void *token_arg;
    bool paths_only; /* where they are, not what they hold: never fails for absent objects */
};

/* ERR_UNAVAILABLE: something is not known yet. Other errors are for the FailedMount event. */
int volumes_collect(const struct volume_input *in, struct arena *a, struct volume_set *ret, struct error *err);
/* Blocking. Idempotent: applying an equal set again does nothing; a changed one updates the contents. */
int volumes_apply(const struct volume_set *set, struct error *err);
/* Blocking. Unmount and remove everything below both folders; errors are logged. */
void volumes_remove(const char *pod_folder, const char *content_folder);
const struct volume *volumes_find(const struct volume_set *set, struct str name);

/* Which objects do the pod's volumes and variables need? Calls fn for each. */
typedef void volume_source_fn(void *arg, const struct kind *kind, struct str namespace_, struct str name);
void pod_each_source(struct view pod, volume_source_fn *fn, void *arg);

/* content.c: make `folder` show exactly these files. */
int content_write(const char *folder, const struct volume_file *files, size_t count, int64_t owner, int64_t group,
                  struct error *err);

/*
 * subpath.c: bind the file or folder `path` of the volume onto `target` (made for it), without ever following a link out of the
 * volume: opened with openat2(RESOLVE_BENEATH), mounted by descriptor. A missing folder is created. Blocking.
 * CVE-2017-1002101, CVE-2021-25741.
 */
int subpath_mount(struct str volume, struct str path, const char *target, struct error *err);
void subpath_unmount_all(const char *folder);

#endif
