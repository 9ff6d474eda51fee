/*
 * A backup is a folder:
 *
 *     manifest.json        what is in it; written last, so a folder without one is no backup
 *     objects-NNNN.seg     every object at one revision (segment.h)
 *     digests-NNNN.seg     the digest of every object, computed by the server from its memory while it answered
 *     keys.sealed          DATA/pki under a passphrase (keys.h); absent when the backup was made without keys
 *
 * Its name is its id, TIME-REVISION ("20261121T080102Z-12345"); backups of one place sort by time. Beside them lies
 * `changes/`, the change log (changes.h).
 *
 * The manifest names size and SHA-256 of every file, and ends with a digest of its own text; with a passphrase also with a seal (HMAC), so
 * that only who has the passphrase can make one that verifies with it. Limits: MANIFEST_BYTES_MAX, MANIFEST_FILES_MAX.
 */
#ifndef BACKUP_MANIFEST_H
#define BACKUP_MANIFEST_H

#include "backup/segment.h"
#include "base/secret.h"

#define BACKUP_FORMAT      1
#define MANIFEST_FILE      "manifest.json"
#define KEYS_FILE          "keys.sealed"
#define MANIFEST_BYTES_MAX (4 * MIB)
#define MANIFEST_FILES_MAX 20000
#define BACKUP_ID_SIZE     64

struct manifest {
    int format;
    char id[BACKUP_ID_SIZE];
    char klein_version[32], cluster[64], server[64], engine[16];
    uint64_t revision;
    int64_t time_ms;
    uint64_t objects;
    char content_digest[SHA256_HEX_SIZE]; /* over all digests, as the server told them at the end of its answer */
    bool has_keys, sealed;
    char salt[33]; /* hex: of the key derivation, of keys and seal alike */
    struct segment_file *files;
    size_t files_count, files_capacity;
};
#define AUTO_MANIFEST CLEANUP(manifest_done)
void manifest_done(struct manifest *m);

void backup_id(int64_t time_ms, uint64_t revision, char ret[BACKUP_ID_SIZE]);
/* What a name says; false when it is no id. */
bool backup_id_parse(struct str id, int64_t *ret_time_ms, uint64_t *ret_revision);

/* seal_key: 32 bytes (keys.h), or empty. */
int manifest_write(const char *folder, const struct manifest *m, struct str seal_key, struct error *err);
/* The digest is checked, and that the folder's name (its last part) is the id. A newer format is refused with a sentence. */
int manifest_read(const char *folder, struct manifest *ret, struct error *err);
int manifest_parse(struct str text, struct manifest *ret, struct error *err); /* the same for its text alone */
/* After manifest_read(): is the seal the one of this key? */
int manifest_check_seal(const char *folder, struct str seal_key, struct error *err);

#endif
