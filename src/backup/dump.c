/* Reading a dump piece by piece, and writing it down. */
#include "backup/dump.h"

#include "object/value.h"

#include <openssl/evp.h>
#include <stdlib.h>

void dump_reader_init(struct dump_reader *d, int (*record)(void *arg, const struct record *r, struct error *err),
                      void *arg)
{
    *d = (struct dump_reader){ .pending = BUF_MAX(16 * MIB), .record = record, .arg = arg };
    d->digests = EVP_MD_CTX_new();
    if (!d->digests || EVP_DigestInit_ex(d->digests, EVP_sha256(), NULL) != 1)
        abort();
}

void dump_reader_done(struct dump_reader *d)
{
    EVP_MD_CTX_free(d->digests);
    buf_done(&d->pending);
    manifest_done(&d->head);
    *d = (struct dump_reader){ 0 };
}

static bool take_text(const struct value *v, const char *name, char *to, size_t size)
{
    struct str s = value_to_str(value_get_str(v, str_of(name)));

    snprintf(to, size, "%.*s", STR_ARG(s));
    return s.n < size;
}

static int read_head(struct dump_reader *d, struct str json, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    struct value *v = value_parse(&a, json, NULL, err);
    struct manifest *m = &d->head;

    if (!v)
        return -1;
    m->format = (int)value_to_int(value_get_str(v, STR("formatVersion")), 0);
    m->time_ms = value_to_int(value_get_str(v, STR("timeMs")), 0);
    if (m->format != BACKUP_FORMAT)
        return fail(err, ERR_BAD_REQUEST,
                    "the server's backups have format %d, this klein knows %d: use the server's own", m->format,
                    BACKUP_FORMAT);
    if (!take_text(v, "kleinVersion", m->klein_version, sizeof(m->klein_version)) ||
        !take_text(v, "cluster", m->cluster, sizeof(m->cluster)) ||
        !take_text(v, "server", m->server, sizeof(m->server)) ||
        !take_text(v, "engine", m->engine, sizeof(m->engine)) ||
        !str_to_u64(value_to_str(value_get_str(v, STR("revision"))), &m->revision))
        return fail(err, ERR_BAD_REQUEST, "the head of the server's answer is not one");
    backup_id(m->time_ms, m->revision, m->id);
    d->begun = true;
    return 0;
}

static int read_end(struct dump_reader *d, struct str json, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_BUF struct buf hex = BUF_MAX(SHA256_HEX_SIZE);
    struct value *v = value_parse(&a, json, NULL, err);
    unsigned char digest[SHA256_SIZE];

    if (!v)
        return -1;
    EVP_DigestFinal_ex(d->digests, digest, NULL);
    hex_encode(&hex, (struct str){ (const char *)digest, sizeof(digest) });
    if (value_to_int(value_get_str(v, STR("objects")), -1) != (int64_t)d->objects || d->digests_count != d->objects ||
        !str_eq(value_to_str(value_get_str(v, STR("digest"))), buf_str(&hex)))
        return fail(err, ERR_BAD_REQUEST, "the server's answer is not what the server says it is: %llu objects came",
                    (unsigned long long)d->objects);
    d->head.objects = d->objects;
    memcpy(d->head.content_digest, hex.p, SHA256_HEX_SIZE - 1);
    d->ended = true;
    return 0;
}

static int take(struct dump_reader *d, const struct record *r, struct error *err)
{
    if (d->ended || (r->type == RECORD_HEAD) == d->begun)
        return fail(err, ERR_BAD_REQUEST, "the server's answer is out of order");
    switch (r->type) {
    case RECORD_HEAD:
        return read_head(d, r->value, err);
    case RECORD_END:
        return read_end(d, r->value, err);
    case RECORD_OBJECT:
        d->objects++;
        return d->record(d->arg, r, err);
    case RECORD_DIGEST:
        if (r->value.n != SHA256_SIZE)
            break;
        d->digests_count++;
        EVP_DigestUpdate(d->digests, r->value.p, r->value.n);
        return d->record(d->arg, r, err);
    default:
        break;
    }
    return fail(err, ERR_BAD_REQUEST, "the server's answer holds a record that does not belong there");
}

int dump_reader_feed(struct dump_reader *d, struct str bytes, struct error *err)
{
    struct record r;
    int got;

    buf_add(&d->pending, bytes);
    if (d->pending.full)
        return fail(err, ERR_TOO_LARGE, "a record of the server's answer is too large");
    struct str rest = buf_str(&d->pending);
    while ((got = segment_record_read(&rest, &r, err)) > 0)
        if (take(d, &r, err) < 0)
            return -1;
    if (got < 0)
        return -1;
    buf_drop(&d->pending, d->pending.n - rest.n);
    return 0;
}

int dump_reader_end(struct dump_reader *d, struct error *err)
{
    if (!d->ended || d->pending.n)
        return fail(err, ERR_UNAVAILABLE, "the server's answer broke off after %llu objects",
                    (unsigned long long)d->objects);
    return 0;
}

/* --- into files ---------------------------------------------------------------------------------------------------- */

static int write_record(void *arg, const struct record *r, struct error *err)
{
    struct backup_writer *w = arg;

    return segment_writer_add(r->type == RECORD_OBJECT ? &w->objects : &w->digests, r, err);
}

void backup_writer_init(struct backup_writer *w, const char *folder)
{
    *w = (struct backup_writer){ 0 };
    dump_reader_init(&w->reader, write_record, w);
    struct segment_writer base = { .folder = folder,
                                   .fd = -1,
                                   .files = &w->manifest.files,
                                   .files_count = &w->manifest.files_count,
                                   .files_capacity = &w->manifest.files_capacity };
    w->objects = base;
    w->objects.prefix = "objects";
    w->digests = base;
    w->digests.prefix = "digests";
}

int backup_writer_feed(struct backup_writer *w, struct str bytes, struct error *err)
{
    return dump_reader_feed(&w->reader, bytes, err);
}

int backup_writer_end(struct backup_writer *w, struct manifest *ret, struct error *err)
{
    if (dump_reader_end(&w->reader, err) < 0 || segment_writer_end(&w->objects, err) < 0 ||
        segment_writer_end(&w->digests, err) < 0)
        return -1;
    *ret = w->reader.head;
    w->reader.head = (struct manifest){ 0 };
    ret->files = w->manifest.files;
    ret->files_count = w->manifest.files_count;
    ret->files_capacity = w->manifest.files_capacity;
    w->manifest = (struct manifest){ 0 };
    return 0;
}

void backup_writer_done(struct backup_writer *w)
{
    dump_reader_done(&w->reader);
    segment_writer_done(&w->objects);
    segment_writer_done(&w->digests);
    manifest_done(&w->manifest);
}
