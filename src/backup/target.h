/*
 * Where backups are kept: a folder, an S3-compatible bucket, or a folder of another machine by rsync over ssh. One shape for
 * all: folders named by backup ids with files in them, and a folder `changes`.
 *
 *     /var/backups/klein                                    a folder
 *     s3://BUCKET/PREFIX?endpoint=https://HOST&region=R     credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a file
 *     rsync://USER@HOST[:PORT]/PATH                         ssh's own keys and known hosts; see `identity`
 *
 * Always true: a backup's manifest arrives after all its other files, so what is half there is no backup. Secrets come from
 * the environment or a file and are never arguments of a process nor in a log.
 *
 * Blocking; for commands.
 */
#ifndef BACKUP_TARGET_H
#define BACKUP_TARGET_H

#include "backup/manifest.h"

#define TARGET_NAMES_MAX 100000

struct target_options {
    const char *
        credentials_file; /* S3: "ACCESS_KEY:SECRET" in one line, or a [default] section as awscli has it; NULL: environment */
    const char *identity_file;    /* rsync: ssh -i; NULL: ssh's own choice */
    const char *known_hosts_file; /* rsync: NULL: ssh's own */
};

struct target_names {
    char **names;
    size_t count, capacity;
};
#define AUTO_TARGET_NAMES CLEANUP(target_names_done)
void target_names_done(struct target_names *n);
void target_names_add(struct target_names *n, struct str name);

struct target;
struct target_ops {
    /* Every file of `local` to NAME/; those that are there with the same size are left out when `only_new`. */
    int (*put)(struct target *t, const char *local, const char *name, bool only_new, struct error *err);
    /* Every file of NAME/ into `local`, which exists. Nothing there is ERR_NOT_FOUND. */
    int (*get)(struct target *t, const char *name, const char *local, struct error *err);
    int (*list)(struct target *t, struct target_names *ret, struct error *err); /* names of folders; in any order */
    int (*remove)(struct target *t, const char *name, struct error *err);
    void (*free)(struct target *t);
};
struct target {
    const struct target_ops *ops;
    char *text; /* for people: the URL without its query */
};

/* Nothing is contacted. Errors: ERR_BAD_REQUEST with the form that is expected. */
struct target *target_open(const char *url, const struct target_options *o, struct error *err);
void target_free(struct target *t); /* NULL is fine */
/* Ids of backups, oldest first. */
int target_backups(struct target *t, struct target_names *ret, struct error *err);
/* For the implementations: plain files of a local folder, by name, the manifest last. */
int target_local_files(const char *folder, struct target_names *ret, struct error *err);

struct target *target_open_folder(const char *path);
struct target *target_open_s3(const char *url, const struct target_options *o, struct error *err);
struct target *target_open_rsync(const char *url, const struct target_options *o, struct error *err);

#endif
