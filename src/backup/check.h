/*
 * Is a backup good? Everything is compared with what the server that was backed up said: the digests of its objects, and the
 * manifest's digests of files. What is wrong becomes a sentence that names the object or file.
 */
#ifndef BACKUP_CHECK_H
#define BACKUP_CHECK_H

#include "backup/manifest.h"
#include "base/map.h"

#define FINDINGS_MAX 20 /* sentences; more are counted only */

struct findings {
    struct buf text; /* one a line, indented */
    int count;
};
#define AUTO_FINDINGS CLEANUP(findings_done)
void findings_done(struct findings *f);
void finding(struct findings *f, const char *format, ...) PRINTF(2, 3);

/* Size and digest of every file, and no file too many. */
void backup_check_files(const char *folder, const struct manifest *m, struct findings *f);

struct known_object;
struct known_objects {
    struct map by_key; /* -> struct known_object * */
    uint64_t seen;
};
#define AUTO_KNOWN_OBJECTS CLEANUP(known_objects_done)
void known_objects_done(struct known_objects *k);
/* The digests of a backup; findings say where they are not those the manifest vouches for. */
void known_objects_load(struct known_objects *k, const char *folder, const struct manifest *m, struct findings *f);
void known_objects_begin(struct known_objects *k); /* nothing is seen yet */
void known_objects_compare(struct known_objects *k, const char *where, struct str key, uint64_t revision,
                           struct str value, struct findings *f);
void known_objects_end(struct known_objects *k, const char *where,
                       struct findings *f); /* what was not seen is missing */

/* The objects in the backup's own files against them. */
void backup_check_objects(const char *folder, const struct manifest *m, struct known_objects *k, struct findings *f);

#endif
