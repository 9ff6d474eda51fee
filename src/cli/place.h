/* What `klein backup` and `klein restore` have in common: where the cluster is, where backups are, secrets, temporary folders. */
#ifndef CLI_PLACE_H
#define CLI_PLACE_H

#include "backup/target.h"
#include "cli/args.h"
#include "cli/remote.h"

/* Rows for the table of options. */
#define PLACE_OPTIONS                                                                                                  \
    { "name", "NAME", NULL, "a local cluster of `klein up`" },                                                         \
        { "data", "FOLDER", "/var/lib/klein/server", "a server's data folder on this machine" },                       \
        { "passphrase-file", "FILE", NULL, "its first line seals the keys and certificates" },                         \
        { "credentials-file", "FILE", NULL, "of S3: KEY:SECRET; else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" },   \
        { "identity-file", "FILE", NULL, "of ssh" }, { "known-hosts-file", "FILE", NULL, "of ssh" },                   \
    {                                                                                                                  \
        "work", "FOLDER", "/var/tmp", "for temporary copies and sandboxes"                                             \
    }
#define BACKUP_FOLDER "/var/backups/klein"

char *place_data(const struct args *a, struct error *err); /* heap: DATA of the server on this machine; NULL with err */
char *place_data_with_keys(const struct args *a, struct error *err); /* the same, of a server whose keys are there */
char *place_url(const struct args *a);                               /* heap: of its API */
struct target *place_target(const struct args *a, const char *option, struct error *err);
/* 0 also without --passphrase-file: then nothing is set. */
int place_passphrase(const struct args *a, struct secret *ret, struct error *err);
char *place_work(const struct args *a, struct error *err); /* heap: a new temporary folder; remove it */
/* Fetches a backup into WORK/ID and gives that path (heap). id NULL: the newest; *ret_id needs BACKUP_ID_SIZE bytes. */
char *place_fetch(struct target *t, const char *id, const char *work, char *ret_id, struct error *err);

#endif
