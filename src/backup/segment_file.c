/* Segments as files: written one after the other, measured, read block by block. */
#include "backup/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

bool segment_name_is_valid(struct str name)
{
    if (name.n == 0 || name.n > SEGMENT_NAME_MAX || name.p[0] == '.')
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
              c == '_'))
            return false;
    }
    return true;
}

int segment_file_measure(const char *folder, const char *name, struct segment_file *ret, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", folder, name);
    AUTO_FREE char *block = xmalloc(MIB);
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    unsigned char digest[SHA256_SIZE];
    AUTO_BUF struct buf hex = BUF_MAX(SHA256_HEX_SIZE);
    ssize_t n;

    *ret = (struct segment_file){ 0 };
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    if (fd < 0 && errno == ENOENT)
        return fail(err, ERR_NOT_FOUND, "file '%s' is missing", name);
    if (fd < 0)
        return fail_sys(err, errno, "read '%s'", path);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        abort();
    while ((n = read(fd, block, MIB)) > 0) {
        EVP_DigestUpdate(context, block, (size_t)n);
        ret->bytes += (uint64_t)n;
    }
    int failed = n < 0 ? errno : 0;
    EVP_DigestFinal_ex(context, digest, NULL);
    EVP_MD_CTX_free(context);
    if (failed)
        return fail_sys(err, failed, "read '%s'", path);
    hex_encode(&hex, (struct str){ (const char *)digest, sizeof(digest) });
    memcpy(ret->sha256, hex.p, SHA256_HEX_SIZE - 1);
    return 0;
}

/* --- writing ------------------------------------------------------------------------------------------------------- */

static int write_all(int fd, struct str bytes, struct error *err)
{
    while (bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_sys(err, n < 0 ? errno : ENOSPC, "write a segment");
        bytes = str_from(bytes, (size_t)n);
    }
    return 0;
}

static void file_name(const struct segment_writer *w, char to[SEGMENT_NAME_MAX + 1])
{
    snprintf(to, SEGMENT_NAME_MAX + 1, "%s-%04d.seg", w->prefix, w->number);
}

static int begin_file(struct segment_writer *w, struct error *err)
{
    char name[SEGMENT_NAME_MAX + 1];

    file_name(w, name);
    AUTO_FREE char *path = xasprintf("%s/%s", w->folder, name);
    w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0)
        return fail_sys(err, errno, "make '%s'", path);
    w->written = SEGMENT_MAGIC.n;
    return write_all(w->fd, SEGMENT_MAGIC, err);
}

static int end_block(struct segment_writer *w, struct error *err)
{
    AUTO_BUF struct buf block = BUF_MAX(3 * BLOCK_PLAIN_MAX);

    if (!w->plain.n)
        return 0;
    block_write(&block, buf_str(&w->plain), 0, 0, 0);
    buf_clear(&w->plain);
    w->written += block.n;
    return write_all(w->fd, buf_str(&block), err);
}

static int end_file(struct segment_writer *w, struct error *err)
{
    char name[SEGMENT_NAME_MAX + 1];

    if (end_block(w, err) < 0)
        return -1;
    if (fsync(w->fd) < 0)
        return fail_sys(err, errno, "write a segment to the disk");
    close(TAKE_FD(w->fd));
    file_name(w, name);
    w->number++;
    GROW(*w->files, *w->files_count, *w->files_capacity);
    return segment_file_measure(w->folder, name, &(*w->files)[(*w->files_count)++], err);
}

int segment_writer_add(struct segment_writer *w, const struct record *r, struct error *err)
{
    if (w->fd <= 0 && begin_file(w, err) < 0)
        return -1;
    w->plain.max = BLOCK_PLAIN_MAX;
    segment_record_write(&w->plain, r);
    if (w->plain.n >= BLOCK_BYTES && end_block(w, err) < 0)
        return -1;
    return w->written >= SEGMENT_BYTES ? end_file(w, err) : 0;
}

int segment_writer_end(struct segment_writer *w, struct error *err)
{
    return w->fd > 0 ? end_file(w, err) : 0;
}

void segment_writer_done(struct segment_writer *w)
{
    if (w->fd > 0)
        close(w->fd);
    buf_done(&w->plain);
    *w = (struct segment_writer){ 0 };
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

static int read_records(const struct segment_reader *reader, struct str plain, struct error *err)
{
    struct record r;
    int got;

    while ((got = segment_record_read(&plain, &r, err)) > 0)
        if (reader->record && reader->record(reader->arg, &r, err) < 0)
            return -1;
    return got < 0 ? -1 : plain.n ? fail(err, ERR_BAD_REQUEST, "a record is cut off") : 0;
}

/* All whole blocks of `have`; what remains stays in it. */
static int read_blocks(const struct segment_reader *reader, struct buf *have, struct buf *plain, struct error *err)
{
    struct str rest = buf_str(have);
    struct block b;
    int got;

    while ((got = block_read(&rest, &b, err)) > 0) {
        if (block_unpack(&b, plain, err) < 0 || (reader->block && reader->block(reader->arg, &b, err) < 0) ||
            read_records(reader, buf_str(plain), err) < 0)
            return -1;
    }
    if (got < 0)
        return -1;
    buf_drop(have, have->n - rest.n);
    return 0;
}

static int read_file(int fd, const struct segment_reader *reader, struct error *err)
{
    AUTO_BUF struct buf have = BUF_MAX(4 * BLOCK_PLAIN_MAX), plain = BUF_MAX(BLOCK_PLAIN_MAX + 1);
    bool begun = false;
    ssize_t n;

    while ((n = read(fd, buf_reserve(&have, MIB), MIB)) > 0) {
        have.n += (size_t)n;
        if (!begun && have.n >= SEGMENT_MAGIC.n) {
            if (!str_starts(buf_str(&have), SEGMENT_MAGIC))
                return fail(err, ERR_BAD_REQUEST, "it is no segment of this format");
            buf_drop(&have, SEGMENT_MAGIC.n);
            begun = true;
        }
        if (begun && read_blocks(reader, &have, &plain, err) < 0)
            return -1;
    }
    if (n < 0)
        return fail_sys(err, errno, "read it");
    if ((have.n || !begun) && !reader->torn_end)
        return fail(err, ERR_BAD_REQUEST, "it is cut off");
    return 0;
}

int segment_read(const char *path, const struct segment_reader *reader, struct error *err)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return fail_sys(err, errno, "read '%s'", path);
    if (read_file(fd, reader, err) < 0)
        return error_context(err, "segment '%s'", path);
    return 0;
}
