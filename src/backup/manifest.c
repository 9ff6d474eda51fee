/* The manifest as JSON text that ends with its seal and digest. */
#include "backup/manifest.h"

#include "base/file.h"
#include "base/time.h"
#include "object/value.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#define TAIL_MARK STR(",\n\"seal\":\"")

void manifest_done(struct manifest *m)
{
    free(m->files);
    *m = (struct manifest){ 0 };
}

void backup_id(int64_t time_ms, uint64_t revision, char ret[BACKUP_ID_SIZE])
{
    char text[TIME_TEXT_SIZE];
    size_t n = 0;

    time_format(time_ms, text);
    for (const char *p = text; *p; p++)
        if (*p != '-' && *p != ':')
            ret[n++] = *p;
    snprintf(ret + n, BACKUP_ID_SIZE - n, "-%llu", (unsigned long long)revision);
}

bool backup_id_parse(struct str id, int64_t *ret_time_ms, uint64_t *ret_revision)
{
    /* 20261121T080102Z-12345 */
    char text[TIME_TEXT_SIZE];
    struct str t = str_part(id, 0, 16);

    if (id.n < 18 || id.n >= BACKUP_ID_SIZE || id.p[8] != 'T' || id.p[15] != 'Z' || id.p[16] != '-' ||
        !str_to_u64(str_from(id, 17), ret_revision))
        return false;
    snprintf(text, sizeof(text), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", t.p, t.p + 4, t.p + 6, t.p + 9, t.p + 11, t.p + 13);
    return time_parse(str_of(text), ret_time_ms);
}

/* --- writing ------------------------------------------------------------------------------------------------------- */

static void add_str(struct buf *to, const char *name, const char *text)
{
    buf_addf(to, "\"%s\":", name);
    json_write_str(to, str_of(text));
    buf_add_text(to, ",\n");
}

static void seal_of(struct str text, struct str key, struct buf *hex)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (!HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)text.p, text.n, mac, &n))
        abort();
    hex_encode(hex, (struct str){ (const char *)mac, n });
}

int manifest_write(const char *folder, const struct manifest *m, struct str seal_key, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/" MANIFEST_FILE, folder);
    AUTO_BUF struct buf text = BUF_MAX(MANIFEST_BYTES_MAX), seal = BUF_MAX(128);
    char time[TIME_TEXT_SIZE], digest[SHA256_HEX_SIZE];

    buf_addf(&text, "{\"formatVersion\":%d,\n", m->format);
    add_str(&text, "id", m->id);
    add_str(&text, "kleinVersion", m->klein_version);
    add_str(&text, "cluster", m->cluster);
    add_str(&text, "server", m->server);
    add_str(&text, "engine", m->engine);
    buf_addf(&text, "\"revision\":\"%llu\",\n", (unsigned long long)m->revision);
    add_str(&text, "time", time_format(m->time_ms, time));
    buf_addf(&text, "\"timeMs\":%lld,\n\"objects\":%llu,\n", (long long)m->time_ms, (unsigned long long)m->objects);
    add_str(&text, "contentDigest", m->content_digest);
    buf_addf(&text, "\"keys\":%s,\n", m->has_keys ? "true" : "false");
    add_str(&text, "salt", m->salt);
    buf_add_text(&text, "\"files\":[");
    for (size_t i = 0; i < m->files_count; i++)
        buf_addf(&text, "%s\n{\"name\":\"%s\",\"bytes\":%llu,\"sha256\":\"%s\"}", i ? "," : "", m->files[i].name,
                 (unsigned long long)m->files[i].bytes, m->files[i].sha256);
    buf_add_char(&text, ']');
    if (seal_key.n)
        seal_of(buf_str(&text), seal_key, &seal);
    buf_add(&text, TAIL_MARK);
    buf_add(&text, buf_str(&seal));
    sha256_hex(buf_str(&text), digest);
    buf_addf(&text, "\",\"digest\":\"%s\"}\n", digest);
    if (text.full)
        return fail(err, ERR_TOO_LARGE, "the manifest of this backup would have more than %zu bytes",
                    (size_t)MANIFEST_BYTES_MAX);
    return file_write(path, buf_str(&text), 0600, err);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

static ptrdiff_t find_tail(struct str text)
{
    for (size_t i = text.n; i-- > 0;)
        if (str_starts(str_from(text, i), TAIL_MARK))
            return (ptrdiff_t)i;
    return -1;
}

static int check_digest(struct str text, struct str *ret_seal, struct error *err)
{
    static const char middle[] = "\",\"digest\":\"";
    char digest[SHA256_HEX_SIZE];
    ptrdiff_t tail = find_tail(text);

    if (tail < 0)
        return fail(err, ERR_BAD_REQUEST, "it is cut off or no manifest");
    struct str rest = str_from(text, (size_t)tail + TAIL_MARK.n), seal;
    ptrdiff_t quote = str_find(rest, '"');
    seal = str_part(rest, 0, quote < 0 ? 0 : (size_t)quote);
    struct str digested = str_part(text, 0, (size_t)tail + TAIL_MARK.n + seal.n);
    AUTO_FREE char *wanted = xasprintf("%s%s\"}\n", middle, sha256_hex(digested, digest));
    if (!str_is(str_from(text, digested.n), wanted))
        return fail(err, ERR_BAD_REQUEST, "it has been changed: its digest does not match its text");
    *ret_seal = seal;
    return 0;
}

static bool take_text(const struct value *v, const char *name, char *to, size_t size)
{
    struct str s = value_to_str(value_get_str(v, str_of(name)));

    if (s.n >= size || (s.n && memchr(s.p, 0, s.n)))
        return false;
    memcpy(to, s.p ? s.p : "", s.n);
    to[s.n] = '\0';
    return true;
}

static int take_files(const struct value *list, struct manifest *m, struct error *err)
{
    if (value_type(list) != VALUE_ARRAY || list->items_count > MANIFEST_FILES_MAX)
        return fail(err, ERR_BAD_REQUEST, "files: a list of at most %d files is expected", MANIFEST_FILES_MAX);
    for (uint32_t i = 0; i < list->items_count; i++) {
        const struct value *item = list->items[i];
        GROW(m->files, m->files_count, m->files_capacity);
        struct segment_file *f = &m->files[m->files_count++];
        *f = (struct segment_file){ .bytes = (uint64_t)value_to_int(value_get_str(item, STR("bytes")), 0) };
        if (!take_text(item, "name", f->name, sizeof(f->name)) || !segment_name_is_valid(str_of(f->name)) ||
            !take_text(item, "sha256", f->sha256, sizeof(f->sha256)))
            return fail(err, ERR_BAD_REQUEST, "files[%u]: no valid name or digest", i);
    }
    return 0;
}

int manifest_parse(struct str text, struct manifest *ret, struct error *err)
{
    AUTO_ARENA struct arena a = { 0 };
    AUTO_MANIFEST struct manifest m = { 0 };
    struct str seal;

    if (check_digest(text, &seal, err) < 0)
        return -1;
    struct value *v = value_parse_limit(&a, text, MANIFEST_BYTES_MAX, err);
    if (!v)
        return -1;
    m.format = (int)value_to_int(value_get_str(v, STR("formatVersion")), 0);
    if (m.format > BACKUP_FORMAT)
        return fail(err, ERR_BAD_REQUEST,
                    "it has format %d, this klein knows formats up to %d: use the newer klein that made it", m.format,
                    BACKUP_FORMAT);
    m.time_ms = value_to_int(value_get_str(v, STR("timeMs")), 0);
    m.objects = (uint64_t)value_to_int(value_get_str(v, STR("objects")), 0);
    m.has_keys = value_to_bool(value_get_str(v, STR("keys")), false);
    m.sealed = seal.n > 0;
    if (m.format < 1 || !take_text(v, "id", m.id, sizeof(m.id)) ||
        !take_text(v, "kleinVersion", m.klein_version, sizeof(m.klein_version)) ||
        !take_text(v, "cluster", m.cluster, sizeof(m.cluster)) || !take_text(v, "server", m.server, sizeof(m.server)) ||
        !take_text(v, "engine", m.engine, sizeof(m.engine)) || !take_text(v, "salt", m.salt, sizeof(m.salt)) ||
        !take_text(v, "contentDigest", m.content_digest, sizeof(m.content_digest)) ||
        !str_to_u64(value_to_str(value_get_str(v, STR("revision"))), &m.revision))
        return fail(err, ERR_BAD_REQUEST, "a field is missing or too long");
    if (take_files(value_get_str(v, STR("files")), &m, err) < 0)
        return -1;
    *ret = m;
    m = (struct manifest){ 0 };
    return 0;
}

static int read_text(const char *folder, struct buf *to, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/" MANIFEST_FILE, folder);

    return file_read(path, to, err);
}

int manifest_read(const char *folder, struct manifest *ret, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(MANIFEST_BYTES_MAX);
    struct str name = str_of(folder);

    while (name.n > 1 && name.p[name.n - 1] == '/')
        name.n--;
    name = str_from(name, (size_t)(str_find_last(name, '/') + 1));
    if (read_text(folder, &text, err) < 0 || manifest_parse(buf_str(&text), ret, err) < 0)
        return error_context(err, MANIFEST_FILE " of backup '%.*s'", STR_ARG(name));
    if (!str_is(name, ret->id)) {
        fail(err, ERR_BAD_REQUEST,
             MANIFEST_FILE " of backup '%.*s' belongs to backup '%s': an old or foreign backup was put in its place",
             STR_ARG(name), ret->id);
        manifest_done(ret);
        return -1;
    }
    return 0;
}

int manifest_check_seal(const char *folder, struct str seal_key, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(MANIFEST_BYTES_MAX), wanted = BUF_MAX(128);
    struct str seal;

    if (read_text(folder, &text, err) < 0 || check_digest(buf_str(&text), &seal, err) < 0)
        return -1;
    seal_of(str_part(buf_str(&text), 0, (size_t)find_tail(buf_str(&text))), seal_key, &wanted);
    if (!str_eq_constant_time(seal, buf_str(&wanted)))
        return fail(err, ERR_FORBIDDEN,
                    "the seal of " MANIFEST_FILE
                    " does not match the passphrase: it is another passphrase, or somebody "
                    "without it has changed the manifest");
    return 0;
}
