/*
 * A dump: what a server answers to GET /klein/v1/backup, and how it becomes a backup's files.
 *
 *     HEAD    {"formatVersion","kleinVersion","cluster","server","engine","revision":"N","time","timeMs"}
 *     OBJECT  and after each its DIGEST, in the order of kinds, namespaces, names; all at the one revision of the head
 *     END     {"objects":N,"digest":SHA-256 over all digests in their order}
 *
 * A dump without its END is broken off, and nothing is made of it.
 */
#ifndef BACKUP_DUMP_H
#define BACKUP_DUMP_H

#include "backup/manifest.h"

#include <openssl/types.h>

/* Records out of pieces as they arrive. */
struct dump_reader {
    struct buf pending;
    int (*record)(void *arg, const struct record *r, struct error *err);
    void *arg;
    struct manifest head; /* of HEAD and END; files are not filled in */
    EVP_MD_CTX *digests;
    uint64_t objects, digests_count;
    bool begun, ended;
};
void dump_reader_init(struct dump_reader *d, int (*record)(void *arg, const struct record *r, struct error *err),
                      void *arg);
int dump_reader_feed(struct dump_reader *d, struct str bytes, struct error *err);
int dump_reader_end(struct dump_reader *d, struct error *err); /* fails unless END came and told what came before it */
void dump_reader_done(struct dump_reader *d);

/* A dump into the files of `folder`, which exists and is empty. Nothing is valid before backup_writer_end(), which leaves the manifest to the
 * caller: *ret has all but keys, seal and id. */
struct backup_writer {
    struct dump_reader reader;
    struct segment_writer objects, digests;
    struct manifest manifest;
};
void backup_writer_init(struct backup_writer *w, const char *folder);
int backup_writer_feed(struct backup_writer *w, struct str bytes, struct error *err);
int backup_writer_end(struct backup_writer *w, struct manifest *ret, struct error *err);
void backup_writer_done(struct backup_writer *w);

#endif
