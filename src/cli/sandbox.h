/*
 * The proof of a backup: it is restored into a folder of its own, a `klein server` that changes nothing is started on it, and
 * everything that server shows is compared with the digests the cluster gave when the backup was made. Nothing is left of it.
 */
#ifndef CLI_SANDBOX_H
#define CLI_SANDBOX_H

#include "backup/check.h"
#include "backup/dump.h"
#include "backup/keys.h"

#include <sys/types.h>

struct proof {
    struct findings findings; /* empty: the backup is good */
    uint64_t objects;
    int64_t restore_ms, total_ms;
    bool keys_opened;
};
#define AUTO_PROOF CLEANUP(proof_done)
void proof_done(struct proof *p);

/*
 * `folder` is the backup here on this machine, `work` an existing folder for the sandbox. keys may be NULL: then neither seal nor keys are
 * tried. What is wrong with the backup stands in the findings; -1 is for what kept the proof from being made.
 */
int sandbox_prove(const char *folder, const struct secret *passphrase, const char *work, struct proof *ret,
                  struct error *err);
/* Without the sandbox: files, digests, objects in the files. */
int sandbox_check(const char *folder, const struct secret *passphrase, struct manifest *ret, struct proof *p,
                  struct error *err);

/* A server that only shows what is in a data folder (--no-control); its files go to `work`. */
struct sandbox_server {
    pid_t pid;
    char address[128];
};
/* ERR_BAD_REQUEST with the end of its log when it ended by itself. */
int sandbox_server_start(const char *data, const char *work, struct sandbox_server *ret, struct error *err);
/* Everything it shows; `reader` is initialised by the caller and has seen the end of the dump afterwards. */
int sandbox_server_dump(const struct sandbox_server *s, const char *data, struct dump_reader *reader,
                        struct error *err);
void sandbox_server_stop(struct sandbox_server *s);

/* keys.h's keys for a backup with this salt. */
int manifest_keys(const struct manifest *m, const struct secret *passphrase, struct backup_keys *ret,
                  struct error *err);

#endif
