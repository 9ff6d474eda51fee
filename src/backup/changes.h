/*
 * The change log: what a server writes beside its store, so that a state between two backups can be had again.
 *
 * Files `NAME-TIMEMS-FROM.seg` (segment.h) in DATA/changes; NAME is the server's. Every server writes a log of its own from what
 * its store delivers, so no log ends with a leader; together they are one, for each block says which revisions it covers. Leases
 * and events are left out. Blocks are on the disk a second after the change, and a block without changes says every ten seconds that
 * there were none. A server that starts fills the time it was away from the store's history; where that does not reach back, the
 * gap stands in the log as revisions that no block covers, and is told as such.
 */
#ifndef BACKUP_CHANGES_H
#define BACKUP_CHANGES_H

#include "backup/check.h"

#define CHANGES_FOLDER   "changes"
#define CHANGES_FILE_MAX (8 * MIB)
#define CHANGES_FILE_MS                                                                                                \
    (5 * 60 * (int64_t)1000) /* a file is ended after so long, so that whole ones can be shipped and removed */
#define CHANGES_FILES 20000  /* more in one folder are not read */

/* --- writing: blocking, on a worker, one call at a time ------------------------------------------------------------ */

struct change_log {
    char *folder, *server;
    int fd;
    uint64_t written;
    int64_t begun_ms;
};
/* Makes the folder. *ret_to: up to which revision the newest file of this server covers; 0 when there is none. */
int change_log_open(struct change_log *l, const char *folder, const char *server, uint64_t *ret_to, struct error *err);
/* `records` are PUT and DELETE records of the changes in (from, to] that are kept. On the disk when it returns 0. */
int change_log_append(struct change_log *l, struct str records, uint64_t from, uint64_t to, int64_t time_ms,
                      struct error *err);
/* Remove what was ended more than keep_ms ago, and the oldest while all take more than bytes_max. */
void change_log_trim(struct change_log *l, int64_t now_ms, int64_t keep_ms, uint64_t bytes_max);
void change_log_done(struct change_log *l);

/* --- reading ------------------------------------------------------------------------------------------------------- */

struct changed {
    bool gone;
    uint64_t revision;
    struct str value; /* of the set */
};
/* The last change of every key in (from, to]. */
struct change_set {
    struct map by_key;         /* -> struct changed * */
    uint64_t from, to;         /* everything up to `to` is in it */
    int64_t to_ms;             /* the log knows of no change after `to` until then */
    uint64_t changes, highest; /* highest: revision any block speaks of, for a base above all that were handed out */
    bool reached;              /* the target is within; else the log ends or has a gap before it: `why` */
    char why[256];
};
#define AUTO_CHANGE_SET CLEANUP(change_set_done)
void change_set_done(struct change_set *s);

struct changes_target {
    uint64_t revision; /* up to and with this one; 0: none */
    int64_t time_ms;   /* what was there at that time; 0: none. Neither: as far as the log goes without a gap */
};
/* From the logs in these folders (absent ones are fine). Damaged blocks become findings and count as not covered. */
int changes_gather(const char *const *folders, size_t folders_count, uint64_t from, int64_t from_ms,
                   const struct changes_target *target, struct change_set *ret, struct findings *f, struct error *err);

#endif
