/* Records and blocks: encoding, limits, digests. */
#include "backup/segment.h"

#include <endian.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <zstd.h>

#define BLOCK_MAGIC     STR("KBLK")
#define COMPRESS_LEVEL  3
#define DIGESTED_HEADER 40 /* bytes of a block's header that its digest covers */

static void put_u32(struct buf *to, uint32_t n)
{
    n = htole32(n);
    buf_add_bytes(to, &n, sizeof(n));
}

static void put_u64(struct buf *to, uint64_t n)
{
    n = htole64(n);
    buf_add_bytes(to, &n, sizeof(n));
}

static uint32_t get_u32(const char *p)
{
    uint32_t n;
    memcpy(&n, p, sizeof(n));
    return le32toh(n);
}

static uint64_t get_u64(const char *p)
{
    uint64_t n;
    memcpy(&n, p, sizeof(n));
    return le64toh(n);
}

/* --- records ------------------------------------------------------------------------------------------------------- */

void segment_record_write(struct buf *to, const struct record *r)
{
    uint16_t key_n = htole16((uint16_t)r->key.n);

    assert(r->key.n <= RECORD_KEY_MAX && r->value.n <= RECORD_VALUE_MAX);
    buf_add_char(to, (char)r->type);
    buf_add_char(to, 0);
    buf_add_bytes(to, &key_n, sizeof(key_n));
    put_u32(to, (uint32_t)r->value.n);
    put_u64(to, r->revision);
    put_u64(to, (uint64_t)r->time_ms);
    buf_add(to, r->key);
    buf_add(to, r->value);
}

static bool type_is_known(char c)
{
    return c && strchr("HODEPXF", c);
}

int segment_record_read(struct str *rest, struct record *ret, struct error *err)
{
    if (rest->n < RECORD_HEADER_SIZE)
        return 0;
    uint16_t key_n;
    memcpy(&key_n, rest->p + 2, sizeof(key_n));
    key_n = le16toh(key_n);
    uint32_t value_n = get_u32(rest->p + 4);
    if (!type_is_known(rest->p[0]) || rest->p[1] || key_n > RECORD_KEY_MAX || value_n > RECORD_VALUE_MAX)
        return fail(err, ERR_BAD_REQUEST, "not a record of a klein backup");
    if (rest->n < (size_t)RECORD_HEADER_SIZE + key_n + value_n)
        return 0;
    *ret = (struct record){
        .type = (enum record_type)rest->p[0],
        .revision = get_u64(rest->p + 8),
        .time_ms = (int64_t)get_u64(rest->p + 16),
        .key = str_part(*rest, RECORD_HEADER_SIZE, key_n),
        .value = str_part(*rest, (size_t)RECORD_HEADER_SIZE + key_n, value_n),
    };
    *rest = str_from(*rest, (size_t)RECORD_HEADER_SIZE + key_n + value_n);
    return 1;
}

static void digest_of(const struct str *parts, size_t count, unsigned char ret[SHA256_SIZE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        abort();
    for (size_t i = 0; i < count; i++)
        EVP_DigestUpdate(context, parts[i].p, parts[i].n);
    EVP_DigestFinal_ex(context, ret, NULL);
    EVP_MD_CTX_free(context);
}

void record_digest(struct str key, uint64_t revision, struct str value, unsigned char ret[SHA256_SIZE])
{
    uint64_t number = htole64(revision);

    digest_of((struct str[]){ key, STR("\0"), { (const char *)&number, sizeof(number) }, value }, 4, ret);
}

/* --- blocks -------------------------------------------------------------------------------------------------------- */

void block_write(struct buf *to, struct str plain, uint64_t from, uint64_t to_revision, int64_t time_ms)
{
    AUTO_BUF struct buf stored = BUF_MAX(2 * BLOCK_PLAIN_MAX), header = BUF_MAX(BLOCK_HEADER_SIZE);
    unsigned char digest[SHA256_SIZE];
    size_t room = ZSTD_compressBound(plain.n);

    assert(plain.n <= BLOCK_PLAIN_MAX);
    char *p = buf_reserve(&stored, room);
    stored.n = ZSTD_compress(p, room, plain.p ? plain.p : "", plain.n, COMPRESS_LEVEL);
    assert(!ZSTD_isError(stored.n));
    buf_add(&header, BLOCK_MAGIC);
    put_u32(&header, (uint32_t)stored.n);
    put_u32(&header, (uint32_t)plain.n);
    put_u32(&header, 0);
    put_u64(&header, from);
    put_u64(&header, to_revision);
    put_u64(&header, (uint64_t)time_ms);
    assert(header.n == DIGESTED_HEADER);
    digest_of((struct str[]){ buf_str(&header), buf_str(&stored) }, 2, digest);
    buf_add(to, buf_str(&header));
    buf_add_bytes(to, digest, sizeof(digest));
    buf_add(to, buf_str(&stored));
}

int block_read(struct str *rest, struct block *ret, struct error *err)
{
    unsigned char digest[SHA256_SIZE];

    if (rest->n < BLOCK_HEADER_SIZE)
        return 0;
    uint32_t stored_n = get_u32(rest->p + 4), plain_n = get_u32(rest->p + 8);
    if (!str_starts(*rest, BLOCK_MAGIC) || plain_n > BLOCK_PLAIN_MAX || stored_n > 2 * BLOCK_PLAIN_MAX)
        return fail(err, ERR_BAD_REQUEST, "not a block of a klein backup");
    if (rest->n < (size_t)BLOCK_HEADER_SIZE + stored_n)
        return 0;
    *ret = (struct block){
        .from = get_u64(rest->p + 16),
        .to = get_u64(rest->p + 24),
        .time_ms = (int64_t)get_u64(rest->p + 32),
        .stored = str_part(*rest, BLOCK_HEADER_SIZE, stored_n),
        .plain_bytes = plain_n,
    };
    digest_of((struct str[]){ str_part(*rest, 0, DIGESTED_HEADER), ret->stored }, 2, digest);
    if (memcmp(digest, rest->p + DIGESTED_HEADER, SHA256_SIZE))
        return fail(err, ERR_BAD_REQUEST, "the digest of a block does not match its content");
    *rest = str_from(*rest, (size_t)BLOCK_HEADER_SIZE + stored_n);
    return 1;
}

int block_unpack(const struct block *b, struct buf *ret, struct error *err)
{
    buf_clear(ret);
    char *p = buf_reserve(ret, b->plain_bytes + 1);
    if (!p)
        return fail(err, ERR_TOO_LARGE, "a block of %zu bytes", b->plain_bytes);
    size_t n = ZSTD_decompress(p, b->plain_bytes, b->stored.p, b->stored.n);
    if (ZSTD_isError(n) || n != b->plain_bytes)
        return fail(err, ERR_BAD_REQUEST, "a block cannot be unpacked");
    ret->n = n;
    return 0;
}
