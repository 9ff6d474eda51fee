/*
 * The server's side of backups: the dump (backup.c), the change log beside the store (backup_changes.c), the schedule
 * (backup_schedule.c). What a backup is: backup/manifest.h; how it is used: docs/guide/backup.md.
 */
#ifndef SERVER_BACKUP_H
#define SERVER_BACKUP_H

#include "backup/segment.h"
#include "server/server_internal.h"

/* The record of an object as the store has it, and with ret_digest (may be NULL) the digest's record after it. */
void backup_write_object(struct buf *to, const struct kind *k, const struct object *o, enum record_type type,
                         int64_t time_ms, unsigned char ret_digest[SHA256_SIZE]);
/* Who this cluster is: the UID of Namespace kube-system, as everybody does it. Borrowed. */
struct str backup_cluster_id(struct server *s);

/* Of the note that is left of the last backup and proof; -1: there was none. */
double metric_backup_age(struct server *s);
double metric_backup_proof_age(struct server *s);
double metric_backup_proof_seconds(struct server *s);
double metric_backup_failures(struct server *s);

#endif
