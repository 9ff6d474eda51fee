/*
 * The cluster's keys and certificates (DATA/pki) under a passphrase: scrypt (RFC 7914) makes a key, AES-256-GCM seals.
 *
 * The file: "KLEIN KEYS 1\n", a nonce of 12 bytes, the sealed records (segment.h, RECORD_FILE), a tag of 16 bytes. The salt stands in
 * the manifest. Only plain files of at most 64 KiB are taken, at most KEYS_FILES_MAX of them, with their folders.
 */
#ifndef BACKUP_KEYS_H
#define BACKUP_KEYS_H

#include "base/env.h"
#include "base/error.h"
#include "base/secret.h"

#define KEYS_SALT_BYTES 16
#define KEYS_FILES_MAX  1000

/* Two keys of 32 bytes each: one seals the files, the other the manifest. */
struct backup_keys {
    struct secret files, manifest;
};
#define AUTO_BACKUP_KEYS CLEANUP(backup_keys_done)
void backup_keys_done(struct backup_keys *k);
/* About 0.1 s and 32 MiB. The salt is KEYS_SALT_BYTES bytes. A passphrase of fewer than 8 bytes is refused. */
int backup_keys_derive(const struct secret *passphrase, struct str salt, struct backup_keys *ret, struct error *err);
/* The first line of a file. */
int passphrase_read(const char *path, struct secret *ret, struct error *err);

int keys_seal(const char *pki_folder, const struct backup_keys *keys, struct env *env, const char *path,
              struct error *err);
/* Writes the files below pki_folder, which is made. Nothing is written when the seal does not match. */
int keys_unseal(const char *path, const struct backup_keys *keys, const char *pki_folder, struct error *err);

#endif
