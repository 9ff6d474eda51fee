/* The comparisons that call a backup good or bad. */
#include "backup/check.h"

#include "base/file.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define KEY_ROOT STR("/registry/")

void findings_done(struct findings *f)
{
    buf_done(&f->text);
    f->count = 0;
}

void finding(struct findings *f, const char *format, ...)
{
    char line[1024];
    va_list args;

    f->text.max = 64 * KIB;
    if (f->count++ >= FINDINGS_MAX)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    buf_addf(&f->text, "  %s\n", line);
}

/* --- files --------------------------------------------------------------------------------------------------------- */

static const struct segment_file *file_of(const struct manifest *m, const char *name)
{
    for (size_t i = 0; i < m->files_count; i++)
        if (str_is(str_of(name), m->files[i].name))
            return &m->files[i];
    return NULL;
}

static void check_extra(const char *folder, const struct manifest *m, struct findings *f)
{
    DIR *d = opendir(folder);
    struct dirent *entry;

    while (d && (entry = readdir(d)))
        if (entry->d_name[0] != '.' && !str_is(str_of(entry->d_name), MANIFEST_FILE) && !file_of(m, entry->d_name))
            finding(f, "file '%s' does not belong to this backup", entry->d_name);
    if (d)
        closedir(d);
}

void backup_check_files(const char *folder, const struct manifest *m, struct findings *f)
{
    for (size_t i = 0; i < m->files_count; i++) {
        const struct segment_file *want = &m->files[i];
        AUTO_ERROR struct error err = { 0 };
        struct segment_file have;
        if (segment_file_measure(folder, want->name, &have, &err) < 0)
            finding(f, "%s", error_text(&err));
        else if (have.bytes != want->bytes)
            finding(f, "file '%s' has %llu bytes, the manifest says %llu", want->name, (unsigned long long)have.bytes,
                    (unsigned long long)want->bytes);
        else if (strcmp(have.sha256, want->sha256))
            finding(f, "file '%s' has been changed: its digest is not the one in the manifest", want->name);
    }
    if (m->has_keys && !file_of(m, KEYS_FILE))
        finding(f, "file '" KEYS_FILE "' is missing from the manifest, which says there are keys");
    check_extra(folder, m, f);
}

/* --- objects ------------------------------------------------------------------------------------------------------- */

struct known_object {
    uint64_t revision;
    unsigned char digest[SHA256_SIZE];
    bool seen;
};

void known_objects_done(struct known_objects *k)
{
    void *o;

    for (size_t i = 0; map_next(&k->by_key, &i, NULL, &o);)
        free(o);
    map_done(&k->by_key);
}

static struct str name_of(struct str key)
{
    return str_starts(key, KEY_ROOT) ? str_from(key, KEY_ROOT.n) : key;
}

struct loading {
    struct known_objects *known;
    EVP_MD_CTX *all;
};

static int load_digest(void *arg, const struct record *r, struct error *err)
{
    struct loading *l = arg;

    if (r->type != RECORD_DIGEST || r->value.n != SHA256_SIZE)
        return fail(err, ERR_BAD_REQUEST, "it holds something else than digests");
    struct known_object *o = xnew(struct known_object);
    o->revision = r->revision;
    memcpy(o->digest, r->value.p, SHA256_SIZE);
    EVP_DigestUpdate(l->all, o->digest, SHA256_SIZE);
    free(map_put(&l->known->by_key, r->key, o));
    return 0;
}

static int read_files(const char *folder, const struct manifest *m, const char *prefix,
                      const struct segment_reader *reader, struct error *err)
{
    for (size_t i = 0; i < m->files_count; i++) {
        if (!str_starts(str_of(m->files[i].name), str_of(prefix)))
            continue;
        AUTO_FREE char *path = xasprintf("%s/%s", folder, m->files[i].name);
        if (segment_read(path, reader, err) < 0)
            return -1;
    }
    return 0;
}

void known_objects_load(struct known_objects *k, const char *folder, const struct manifest *m, struct findings *f)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf hex = BUF_MAX(SHA256_HEX_SIZE);
    struct loading l = { k, EVP_MD_CTX_new() };
    unsigned char digest[SHA256_SIZE];

    if (!l.all || EVP_DigestInit_ex(l.all, EVP_sha256(), NULL) != 1)
        abort();
    int result = read_files(folder, m, "digests-", &(struct segment_reader){ .record = load_digest, .arg = &l }, &err);
    EVP_DigestFinal_ex(l.all, digest, NULL);
    EVP_MD_CTX_free(l.all);
    hex_encode(&hex, (struct str){ (const char *)digest, sizeof(digest) });
    if (result < 0)
        finding(f, "%s", error_text(&err));
    else if (!str_is(buf_str(&hex), m->content_digest))
        finding(f, "the digests of the objects are not those the server gave: digests-*.seg come from another backup");
    else if (k->by_key.count != m->objects)
        finding(f, "there are digests of %zu objects, the manifest says %llu", k->by_key.count,
                (unsigned long long)m->objects);
}

void known_objects_begin(struct known_objects *k)
{
    void *o;

    k->seen = 0;
    for (size_t i = 0; map_next(&k->by_key, &i, NULL, &o);)
        ((struct known_object *)o)->seen = false;
}

void known_objects_compare(struct known_objects *k, const char *where, struct str key, uint64_t revision,
                           struct str value, struct findings *f)
{
    struct known_object *o = map_get(&k->by_key, key);
    unsigned char digest[SHA256_SIZE];
    struct str name = name_of(key);

    if (!o) {
        finding(f, "object '%.*s' is in %s, but was not in the cluster", STR_ARG(name), where);
        return;
    }
    if (o->seen)
        finding(f, "object '%.*s' is in %s twice", STR_ARG(name), where);
    k->seen += !o->seen;
    o->seen = true;
    record_digest(key, revision, value, digest);
    if (revision != o->revision)
        finding(f, "object '%.*s' has revision %llu in %s, in the cluster it had %llu", STR_ARG(name),
                (unsigned long long)revision, where, (unsigned long long)o->revision);
    else if (memcmp(digest, o->digest, SHA256_SIZE))
        finding(f, "object '%.*s' is not in %s what it was in the cluster: its digest differs", STR_ARG(name), where);
}

void known_objects_end(struct known_objects *k, const char *where, struct findings *f)
{
    struct str key;
    void *o;

    for (size_t i = 0; k->seen < k->by_key.count && map_next(&k->by_key, &i, &key, &o);)
        if (!((struct known_object *)o)->seen)
            finding(f, "object '%.*s' is missing in %s", STR_ARG(name_of(key)), where);
}

struct checking {
    struct known_objects *known;
    struct findings *findings;
};

static int check_object(void *arg, const struct record *r, struct error *err)
{
    struct checking *c = arg;

    if (r->type != RECORD_OBJECT)
        return fail(err, ERR_BAD_REQUEST, "it holds something else than objects");
    known_objects_compare(c->known, "the backup's files", r->key, r->revision, r->value, c->findings);
    return 0;
}

void backup_check_objects(const char *folder, const struct manifest *m, struct known_objects *k, struct findings *f)
{
    AUTO_ERROR struct error err = { 0 };
    struct checking c = { k, f };

    known_objects_begin(k);
    if (read_files(folder, m, "objects-", &(struct segment_reader){ .record = check_object, .arg = &c }, &err) < 0)
        finding(f, "%s", error_text(&err));
    known_objects_end(k, "the backup's files", f);
}
