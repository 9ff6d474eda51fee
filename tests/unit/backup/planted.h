/* Backups made by hand, as a server's dump would make them, and damaged. */
#ifndef TESTS_BACKUP_PLANTED_H
#define TESTS_BACKUP_PLANTED_H

#include "test.h"

#include "backup/check.h"
#include "backup/dump.h"
#include "backup/rebuild.h"
#include "base/file.h"
#include "base/time.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define PLANTED_TIME     ((int64_t)1795248062000) /* 2026-11-21T08:01:02Z */
#define PLANTED_REVISION 100

/* The dump of a cluster with `count` objects "/registry/core/configmaps/default/aN", value "vN", revision N + 1. */
static inline void planted_dump(struct buf *to, int count)
{
    AUTO_BUF struct buf json = BUF_MAX(4 * KIB), hex = BUF_MAX(128);
    EVP_MD_CTX *all = EVP_MD_CTX_new();
    unsigned char digest[SHA256_SIZE];

    buf_addf(&json,
             "{\"formatVersion\":1,\"kleinVersion\":\"0\",\"cluster\":\"c\",\"server\":\"s\",\"engine\":\"sqlite\","
             "\"revision\":\"%d\",\"timeMs\":%lld}",
             PLANTED_REVISION, (long long)PLANTED_TIME);
    segment_record_write(to, &(struct record){ .type = RECORD_HEAD, .value = buf_str(&json) });
    EVP_DigestInit_ex(all, EVP_sha256(), NULL);
    for (int i = 0; i < count; i++) {
        char key[80], value[32];
        snprintf(key, sizeof(key), "/registry/core/configmaps/default/a%d", i);
        snprintf(value, sizeof(value), "v%d", i);
        segment_record_write(
            to, &(struct record){
                    .type = RECORD_OBJECT, .key = str_of(key), .value = str_of(value), .revision = (uint64_t)i + 1 });
        record_digest(str_of(key), (uint64_t)i + 1, str_of(value), digest);
        segment_record_write(to, &(struct record){ .type = RECORD_DIGEST,
                                                   .key = str_of(key),
                                                   .value = { (char *)digest, sizeof(digest) },
                                                   .revision = (uint64_t)i + 1 });
        EVP_DigestUpdate(all, digest, sizeof(digest));
    }
    EVP_DigestFinal_ex(all, digest, NULL);
    EVP_MD_CTX_free(all);
    hex_encode(&hex, (struct str){ (char *)digest, sizeof(digest) });
    buf_clear(&json);
    buf_addf(&json, "{\"objects\":%d,\"digest\":\"%s\"}", count, hex.p);
    segment_record_write(to, &(struct record){ .type = RECORD_END, .value = buf_str(&json) });
}

/* A whole backup in a folder of the test; its path lives as long as the test. */
static inline const char *planted_backup(int count, struct manifest *m)
{
    AUTO_BUF struct buf dump = BUF_MAX(64 * MIB);
    AUTO_ERROR struct error err = { 0 };
    struct backup_writer w;
    char id[BACKUP_ID_SIZE];

    backup_id(PLANTED_TIME, PLANTED_REVISION, id);
    const char *folder = test_path(id);
    ASSERT_OK(file_mkdirs(folder, 0700, &err), &err);
    planted_dump(&dump, count);
    backup_writer_init(&w, folder);
    /* In pieces that end anywhere. */
    for (size_t at = 0, n; at < dump.n; at += n) {
        n = MIN(dump.n - at, (size_t)77);
        ASSERT_OK(backup_writer_feed(&w, (struct str){ dump.p + at, n }, &err), &err);
    }
    ASSERT_OK(backup_writer_end(&w, m, &err), &err);
    backup_writer_done(&w);
    ASSERT_OK(manifest_write(folder, m, STR_NONE, &err), &err);
    return folder;
}

/* Change one byte of a file. */
static inline void flip(const char *folder, const char *name, long at)
{
    AUTO_FREE char *path = xasprintf("%s/%s", folder, name);
    FILE *f = fopen(path, "r+b");

    ASSERT(f != NULL);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    long place = ftell(f);
    int c = fgetc(f);
    fseek(f, place, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

#endif
