/*
 * What the cluster knows of its backups: ConfigMap kube-system/klein-backup, written by whoever made or proved one, read by
 * `klein status` and the servers' metrics. All values are texts:
 *
 *     lastGood lastGoodId lastGoodRevision lastGoodObjects lastGoodBytes target     the last backup that was made
 *     lastProof lastProofId lastProofSeconds      the last restore into a sandbox that was found good
 *     lastFailure lastError failures              failures: since the last good one
 */
#ifndef CLI_BACKUP_REPORT_H
#define CLI_BACKUP_REPORT_H

#include "backup/manifest.h"
#include "cli/remote.h"

#define BACKUP_REPORT "/api/v1/namespaces/kube-system/configmaps/klein-backup"

struct backup_report {
    const struct manifest *made; /* NULL: none was made */
    uint64_t bytes;
    const char *target;
    const char *proved_id; /* NULL: none was proved */
    int64_t proof_ms;
    const char *error; /* NULL: all went well */
};
int backup_report_write(struct remote *r, const struct backup_report *report, struct error *err);

#endif
