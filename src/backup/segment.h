/*
 * Segments: the files that hold what a backup saved, and the change log. Records in compressed blocks, each with a digest.
 *
 *     file    "KLEIN SEGMENT 1\n", then blocks
 *     block   "KBLK", then little endian: u32 bytes stored, u32 bytes unpacked, u32 0, u64 from, u64 to, i64 time_ms,
 *             SHA-256 of all of these and of what is stored; then zstd
 *     record  u8 type, u8 0, u16 bytes of key, u32 bytes of value, u64 revision, i64 time_ms, key, value
 *
 * In the change log a block says: every change with a revision in (from, to] that is kept at all is in here, and time_ms is when
 * that was known. In a backup these are 0. A record never spans blocks.
 *
 * Always true: what is read was digested by whoever wrote it; a block that does not match is never handed out. A file may
 * end in the middle of a block only where the reader allows it (the log of a server that lost power).
 *
 * Blocking file access: for commands and workers.
 */
#ifndef BACKUP_SEGMENT_H
#define BACKUP_SEGMENT_H

#include "base/buf.h"
#include "base/codec.h"
#include "base/error.h"

#define SEGMENT_MAGIC      STR("KLEIN SEGMENT 1\n")
#define SEGMENT_BYTES      (32 * MIB)              /* a writer begins a new file from here on */
#define BLOCK_BYTES        MIB                     /* unpacked: a writer ends a block from here on */
#define BLOCK_PLAIN_MAX    (BLOCK_BYTES + 4 * MIB) /* and one record may still follow */
#define BLOCK_HEADER_SIZE  (40 + SHA256_SIZE)
#define RECORD_HEADER_SIZE 24
#define RECORD_KEY_MAX     KIB
#define RECORD_VALUE_MAX   (3 * MIB)

enum record_type {
    RECORD_HEAD = 'H',   /* JSON: what follows is a dump */
    RECORD_OBJECT = 'O', /* key, revision, value as the store has it */
    RECORD_DIGEST = 'D', /* key, revision, SHA-256 (record_digest()) as the server computed it */
    RECORD_END = 'E',    /* JSON: how many objects, and a digest over their digests */
    RECORD_PUT = 'P',    /* change log: value is the new one */
    RECORD_DELETE = 'X',
    RECORD_FILE = 'F', /* key: a relative path; revision: its mode; value: content */
};

struct record {
    enum record_type type;
    struct str key, value; /* borrowed */
    uint64_t revision;
    int64_t time_ms;
};

void segment_record_write(struct buf *to, const struct record *r);
/* Take one record off *rest. 1: done; 0: *rest is empty or holds only a part of one; -1: no record, or one past the limits. */
int segment_record_read(struct str *rest, struct record *ret, struct error *err);
/* What makes an object the same object: SHA-256 over key, revision and value. */
void record_digest(struct str key, uint64_t revision, struct str value, unsigned char ret[SHA256_SIZE]);

struct block {
    uint64_t from, to;
    int64_t time_ms;
    struct str stored;
    size_t plain_bytes;
};
/* A whole block appended to `to`, which must be able to hold it. */
void block_write(struct buf *to, struct str plain, uint64_t from, uint64_t to_revision, int64_t time_ms);
/* Take one block off *rest, its digest checked. 1, 0 (nothing or a part of one is left), or -1. */
int block_read(struct str *rest, struct block *ret, struct error *err);
int block_unpack(const struct block *b, struct buf *ret, struct error *err); /* replaces the content of ret */

/* --- files --------------------------------------------------------------------------------------------------------- */

#define SEGMENT_NAME_MAX 80

struct segment_file { /* one row of a manifest */
    char name[SEGMENT_NAME_MAX + 1];
    uint64_t bytes;
    char sha256[SHA256_HEX_SIZE];
};
/* Size and digest of a file as it is. */
int segment_file_measure(const char *folder, const char *name, struct segment_file *ret, struct error *err);
bool segment_name_is_valid(struct str name); /* letters, digits, ".", "-", "_"; does not begin with "." */

struct segment_writer { /* of backups: a file after the other, FOLDER/PREFIX-0000.seg ... */
    const char *folder, *prefix;
    int number, fd;
    uint64_t written;
    struct buf plain;
    struct segment_file **files; /* where finished files are told */
    size_t *files_count, *files_capacity;
};
int segment_writer_add(struct segment_writer *w, const struct record *r, struct error *err);
int segment_writer_end(struct segment_writer *w, struct error *err); /* fsyncs; not on failure */
void segment_writer_done(struct segment_writer *w);

struct segment_reader {
    int (*record)(void *arg, const struct record *r, struct error *err); /* -1 ends the walk */
    int (*block)(void *arg, const struct block *b, struct error *err);   /* before its records; may be NULL */
    void *arg;
    bool torn_end; /* a last block that is not whole is left out instead of being an error */
};
int segment_read(const char *path, const struct segment_reader *reader, struct error *err);

#endif
