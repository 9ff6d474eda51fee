/* Keys under a passphrase. */
#include "test.h"

#include "backup/keys.h"
#include "base/file.h"

#include <stdio.h>
#include <sys/stat.h>

static void derive(const char *passphrase, struct backup_keys *ret)
{
    AUTO_SECRET struct secret secret = { 0 };
    AUTO_ERROR struct error err = { 0 };

    secret_set(&secret, str_of(passphrase));
    ASSERT_OK(backup_keys_derive(&secret, STR("0123456789abcdef"), ret, &err), &err);
}

static void plant(void)
{
    ASSERT_INT(file_mkdirs(test_path("pki/etcd"), 0700, NULL), 0);
    ASSERT_INT(file_write(test_path("pki/ca.key"), STR("secret key"), 0600, NULL), 0);
    ASSERT_INT(file_write(test_path("pki/ca.crt"), STR("certificate"), 0644, NULL), 0);
    ASSERT_INT(file_write(test_path("pki/etcd/ca.key"), STR("another"), 0600, NULL), 0);
}

TEST("keys come back with the passphrase, with their folders and modes")
{
    AUTO_BACKUP_KEYS struct backup_keys keys = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(KIB), sealed = BUF_MAX(64 * KIB);
    struct stat st;

    plant();
    derive("correct horse", &keys);
    ASSERT_OK(keys_seal(test_path("pki"), &keys, env_system(), test_path("sealed"), &err), &err);
    ASSERT_INT(file_read(test_path("sealed"), &sealed, NULL), 0);
    ASSERT(!str_contains(buf_str(&sealed), STR("secret key")));
    ASSERT_OK(keys_unseal(test_path("sealed"), &keys, test_path("back"), &err), &err);
    ASSERT_OK(file_read(test_path("back/etcd/ca.key"), &text, &err), &err);
    ASSERT_STR(text, "another");
    ASSERT_INT(stat(test_path("back/ca.key"), &st), 0);
    ASSERT_INT(st.st_mode & 0777, 0600);
}

TEST("another passphrase and a changed byte open nothing")
{
    AUTO_BACKUP_KEYS struct backup_keys keys = { 0 }, other = { 0 };
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf sealed = BUF_MAX(64 * KIB);

    plant();
    derive("correct horse", &keys);
    derive("correct mouse", &other);
    ASSERT_OK(keys_seal(test_path("pki"), &keys, env_system(), test_path("sealed"), &err), &err);
    ASSERT_FAILS(keys_unseal(test_path("sealed"), &other, test_path("back"), &err), &err, ERR_FORBIDDEN,
                 "another passphrase");
    ASSERT_INT(file_read(test_path("sealed"), &sealed, NULL), 0);
    for (size_t i = 0; i < sealed.n; i += 7) {
        sealed.p[i] ^= 1;
        ASSERT_INT(file_write(test_path("changed"), buf_str(&sealed), 0600, NULL), 0);
        ASSERT(keys_unseal(test_path("changed"), &keys, test_path("back"), NULL) < 0);
        sealed.p[i] ^= 1;
    }
    ASSERT(!file_exists(test_path("back")));
}

TEST("a short passphrase is refused")
{
    AUTO_BACKUP_KEYS struct backup_keys keys = { 0 };
    AUTO_SECRET struct secret secret = { 0 };
    AUTO_ERROR struct error err = { 0 };

    secret_set(&secret, STR("short"));
    ASSERT_FAILS(backup_keys_derive(&secret, STR("0123456789abcdef"), &keys, &err), &err, ERR_BAD_REQUEST,
                 "at least 8 characters");
}
