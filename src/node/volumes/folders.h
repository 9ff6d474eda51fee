/*
 * The folders klein's own volumes are on this node: DATA/volumes/pv/NAME, NAME being that of the PersistentVolume. Made when the
 * first pod mounts one; removed when the PersistentVolume is deleted, which is then told by taking the finalizer away. What
 * a volume's spec says of paths plays no part, and nothing is opened that does not lie beneath the folder of volumes.
 *
 * Capacity is not enforced: volumes share the file system of DATA.
 */
#ifndef NODE_VOLUMES_FOLDERS_H
#define NODE_VOLUMES_FOLDERS_H

#include "kinds/api.h"
#include "loop/loop.h"

/* Blocking. Make the folder; idempotent. */
int volume_folder_make(const char *volumes, const char *name, struct error *err);
/* Blocking. Remove it with all it holds; a missing one is fine. */
int volume_folder_remove(const char *volumes, const char *name, struct error *err);
/* Blocking. Give everything beneath `path` to the group, writable for it; links are not followed. With `only_if_needed` a root that
 * is right already counts for all (fsGroupChangePolicy OnRootMismatch). */
int volume_set_group(const char *path, int64_t group, bool only_if_needed, struct error *err);

/* Does a container of this node still use the claim? */
typedef bool volume_in_use_fn(void *arg, struct str namespace_, struct str claim);
struct volume_folders;
struct volume_folders *volume_folders_start(struct loop *loop, struct api *api, const char *volumes,
                                            const char *node_name, volume_in_use_fn *in_use, void *arg);
void volume_folders_stop(
    struct volume_folders *f); /* NULL is fine; a removal under way is finished by the next start */

#endif
