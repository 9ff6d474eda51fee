/* Sealing and opening DATA/pki. */
#include "backup/keys.h"

#include "backup/segment.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS_MAGIC   STR("KLEIN KEYS 1\n")
#define NONCE_BYTES  12
#define TAG_BYTES    16
#define DEPTH_MAX    3
#define FILE_MAX     (64 * KIB)
#define PLAIN_MAX    (16 * MIB)
#define SCRYPT_N     32768 /* with r = 8: 32 MiB, about 0.1 s; OWASP's and RFC 7914's interactive figures */
#define SCRYPT_R     8
#define SCRYPT_P     1
#define SCRYPT_BYTES (64 * MIB)

void backup_keys_done(struct backup_keys *k)
{
    secret_done(&k->files);
    secret_done(&k->manifest);
}

int backup_keys_derive(const struct secret *passphrase, struct str salt, struct backup_keys *ret, struct error *err)
{
    struct str text = secret_reveal(passphrase);
    unsigned char out[64];

    if (text.n < 8)
        return fail(err, ERR_BAD_REQUEST, "a passphrase needs at least 8 characters");
    if (salt.n != KEYS_SALT_BYTES)
        return fail(err, ERR_BAD_REQUEST, "the salt in the manifest is not one");
    if (EVP_PBE_scrypt(text.p, text.n, (const unsigned char *)salt.p, salt.n, SCRYPT_N, SCRYPT_R, SCRYPT_P,
                       SCRYPT_BYTES, out, sizeof(out)) != 1)
        return fail(err, ERR_INTERNAL, "no key could be made from the passphrase");
    secret_set(&ret->files, (struct str){ (const char *)out, 32 });
    secret_set(&ret->manifest, (struct str){ (const char *)out + 32, 32 });
    explicit_bzero(out, sizeof(out));
    return 0;
}

int passphrase_read(const char *path, struct secret *ret, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(4 * KIB);
    struct str rest, line;

    if (file_read(path, &text, err) < 0)
        return error_context(err, "passphrase");
    rest = buf_str(&text);
    str_cut(&rest, '\n', &line);
    secret_set(ret, line);
    explicit_bzero(text.p, text.n);
    return line.n ? 0 : fail(err, ERR_BAD_REQUEST, "the passphrase file '%s' is empty", path);
}

/* --- gathering ----------------------------------------------------------------------------------------------------- */

static int gather(const char *folder, const char *below, int depth, struct buf *to, int *count, struct error *err);

static int gather_entry(const char *folder, const char *path, int depth, struct buf *to, int *count, struct error *err)
{
    AUTO_FREE char *full = xasprintf("%s/%s", folder, path);
    AUTO_BUF struct buf content = BUF_MAX(FILE_MAX);
    struct stat st;

    if (lstat(full, &st) < 0)
        return fail_sys(err, errno, "look at '%s'", full);
    if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
        return gather(folder, path, depth + 1, to, count, err);
    if (!S_ISREG(st.st_mode))
        return 0;
    if (++*count > KEYS_FILES_MAX || strlen(path) > RECORD_KEY_MAX)
        return fail(err, ERR_TOO_LARGE, "'%s' holds more than keys and certificates", folder);
    if (file_read(full, &content, err) < 0)
        return -1;
    segment_record_write(
        to, &(struct record){
                .type = RECORD_FILE, .key = str_of(path), .revision = st.st_mode & 0777, .value = buf_str(&content) });
    explicit_bzero(content.p, content.n);
    return 0;
}

static int gather(const char *folder, const char *below, int depth, struct buf *to, int *count, struct error *err)
{
    AUTO_FREE char *path = *below ? xasprintf("%s/%s", folder, below) : xstrdup(folder);
    DIR *d = opendir(path);
    struct dirent *entry;
    int result = 0;

    if (!d)
        return fail_sys(err, errno, "read '%s'", path);
    while (result == 0 && (entry = readdir(d))) {
        if (entry->d_name[0] == '.')
            continue;
        AUTO_FREE char *name = *below ? xasprintf("%s/%s", below, entry->d_name) : xstrdup(entry->d_name);
        result = gather_entry(folder, name, depth, to, count, err);
    }
    closedir(d);
    return result;
}

/* --- sealing ------------------------------------------------------------------------------------------------------- */

static bool cipher(bool seal, const struct secret *key, struct str nonce, struct str in, unsigned char *out,
                   unsigned char tag[TAG_BYTES])
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    struct str k = secret_reveal(key);
    int n = 0, last = 0;
    bool ok = c && EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, (const unsigned char *)k.p,
                                     (const unsigned char *)nonce.p, seal) == 1;

    ok = ok && EVP_CipherUpdate(c, NULL, &n, (const unsigned char *)KEYS_MAGIC.p, (int)KEYS_MAGIC.n) == 1;
    ok = ok && EVP_CipherUpdate(c, out, &n, (const unsigned char *)in.p, (int)in.n) == 1;
    if (ok && !seal)
        ok = EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1;
    ok = ok && EVP_CipherFinal_ex(c, out + n, &last) == 1;
    if (ok && seal)
        ok = EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

int keys_seal(const char *pki_folder, const struct backup_keys *keys, struct env *env, const char *path,
              struct error *err)
{
    AUTO_BUF struct buf plain = BUF_MAX(PLAIN_MAX), file = BUF_MAX(PLAIN_MAX + KIB);
    char nonce[NONCE_BYTES];
    unsigned char tag[TAG_BYTES];
    int count = 0;

    if (gather(pki_folder, "", 0, &plain, &count, err) < 0)
        return error_context(err, "keys and certificates");
    if (!count)
        return fail(err, ERR_NOT_FOUND, "there are no keys in '%s'", pki_folder);
    env->random(env, nonce, sizeof(nonce));
    buf_add(&file, KEYS_MAGIC);
    buf_add_bytes(&file, nonce, sizeof(nonce));
    char *room = buf_reserve(&file, plain.n);
    bool ok =
        room && !plain.full &&
        cipher(true, &keys->files, (struct str){ nonce, sizeof(nonce) }, buf_str(&plain), (unsigned char *)room, tag);
    file.n += ok ? plain.n : 0;
    explicit_bzero(plain.p, plain.n);
    if (!ok)
        return fail(err, ERR_INTERNAL, "the keys could not be sealed");
    buf_add_bytes(&file, tag, sizeof(tag));
    return file_write(path, buf_str(&file), 0600, err);
}

/* --- opening ------------------------------------------------------------------------------------------------------- */

static int write_file(const char *folder, const struct record *r, struct error *err)
{
    struct str rest = r->key, part;

    while (str_next(&rest, '/', &part))
        if (!segment_name_is_valid(part))
            return fail(err, ERR_BAD_REQUEST, "the sealed keys name a file that may not be: '%.*s'", STR_ARG(r->key));
    AUTO_FREE char *path = xasprintf("%s/%.*s", folder, STR_ARG(r->key));
    AUTO_FREE char *parent = str_dup(str_part(str_of(path), 0, (size_t)str_find_last(str_of(path), '/')));
    if (file_mkdirs(parent, 0700, err) < 0)
        return -1;
    return file_write(path, r->value, (mode_t)(r->revision & 0777), err);
}

int keys_unseal(const char *path, const struct backup_keys *keys, const char *pki_folder, struct error *err)
{
    AUTO_BUF struct buf file = BUF_MAX(PLAIN_MAX + KIB), plain = BUF_MAX(PLAIN_MAX + 1);
    unsigned char tag[TAG_BYTES];
    struct record r;
    int got;

    if (file_read(path, &file, err) < 0)
        return -1;
    struct str rest = buf_str(&file);
    if (!str_starts(rest, KEYS_MAGIC) || rest.n < KEYS_MAGIC.n + NONCE_BYTES + TAG_BYTES)
        return fail(err, ERR_BAD_REQUEST, "'%s' does not hold sealed keys", path);
    rest = str_from(rest, KEYS_MAGIC.n);
    struct str nonce = str_part(rest, 0, NONCE_BYTES);
    struct str sealed = str_part(rest, NONCE_BYTES, rest.n - NONCE_BYTES - TAG_BYTES);
    memcpy(tag, rest.p + rest.n - TAG_BYTES, TAG_BYTES);
    char *room = buf_reserve(&plain, sealed.n + 1);
    if (!room || !cipher(false, &keys->files, nonce, sealed, (unsigned char *)room, tag))
        return fail(err, ERR_FORBIDDEN, "the keys cannot be opened: it is another passphrase, or the file was changed");
    plain.n = sealed.n;
    rest = buf_str(&plain);
    if (file_mkdirs(pki_folder, 0700, err) < 0)
        return -1;
    while ((got = segment_record_read(&rest, &r, err)) > 0)
        if (r.type == RECORD_FILE && write_file(pki_folder, &r, err) < 0) {
            got = -1;
            break;
        }
    explicit_bzero(plain.p, plain.n);
    return got;
}
