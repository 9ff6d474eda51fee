/* What text codings and digests promise. Vectors: RFC 4648 section 10, FIPS 180-2, RFC 3720 B.4, Noll's FNV pages. */
#include "base/codec.h"
#include "base/env.h"
#include "test.h"

static const char *const base64_vectors[][2] = {
    { "", "" },
    { "f", "Zg==" },
    { "fo", "Zm8=" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg==" },
    { "fooba", "Zm9vYmE=" },
    { "foobar", "Zm9vYmFy" },
};

TEST("base64 is RFC 4648's, both ways")
{
    AUTO_BUF struct buf b = BUF_MAX(64);

    for (size_t i = 0; i < ARRAY_SIZE(base64_vectors); i++) {
        buf_clear(&b);
        base64_encode(&b, str_of(base64_vectors[i][0]));
        ASSERT_STR(b, base64_vectors[i][1]);
        buf_clear(&b);
        ASSERT(base64_decode(&b, str_of(base64_vectors[i][1])));
        ASSERT_STR(b, base64_vectors[i][0]);
    }
}

TEST("the URL form has its own alphabet and no padding")
{
    AUTO_BUF struct buf b = BUF_MAX(64);

    base64url_encode(&b, STR("\xfb\xff\xfe\xff"));
    ASSERT_STR(b, "-__-_w");
    buf_clear(&b);
    ASSERT(base64url_decode(&b, STR("-__-_w")));
    ASSERT_STR(b, "\xfb\xff\xfe\xff");
    ASSERT(!base64url_decode(&b, STR("-__-_w==")));
    ASSERT(!base64url_decode(&b, STR("+//+/w")));
    ASSERT(!base64_decode(&b, STR("-__-_w==")));
}

TEST("base64 that is not exactly what encoding gives is refused, and the buffer stays as it was")
{
    static const char *const bad[] = { "Z",    "Zg",       "Zg=",   "Zg===",  "Zh==",    "Zm9=", "=",
                                       "====", "Zg==Zg==", "Zm 9v", "Zm9v\n", "Zm9\x80", "Zm=v", "Z===" };
    AUTO_BUF struct buf b = BUF_MAX(64);

    buf_add_text(&b, "before");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (base64_decode(&b, str_of(bad[i])))
            FAIL("'%s' was accepted", bad[i]);
        ASSERT_STR(b, "before");
        ASSERT_INT(b.p[b.n], 0);
    }
}

TEST("hex is lower case when written and either case when read")
{
    AUTO_BUF struct buf b = BUF_MAX(64);

    hex_encode(&b, STR("\x00\x7f\xff\xa0"));
    ASSERT_STR(b, "007fffa0");
    buf_clear(&b);
    ASSERT(hex_decode(&b, STR("DEADbeef")));
    ASSERT_STR(b, "\xde\xad\xbe\xef");
    ASSERT(!hex_decode(&b, STR("abc")));
    ASSERT(!hex_decode(&b, STR("0g")));
    ASSERT_STR(b, "\xde\xad\xbe\xef");
}

TEST("percent-encoding keeps only unreserved characters")
{
    AUTO_BUF struct buf b = BUF_MAX(64);
    bool ok;

    percent_encode(&b, STR("aZ09-._~/ +%\xc3\xa4"));
    ASSERT_STR(b, "aZ09-._~%2F%20%2B%25%C3%A4");
    buf_clear(&b);
    percent_decode(&b, STR("a%2fb+c%00"), false, &ok);
    ASSERT(ok);
    ASSERT(str_eq(buf_str(&b), STR("a/b+c\0")));
    buf_clear(&b);
    percent_decode(&b, STR("a+b"), true, &ok);
    ASSERT_STR(b, "a b");
}

TEST("broken percent-encoding is refused")
{
    static const char *const bad[] = { "%", "%1", "%zz", "a%2", "%2x", "%%41" };
    AUTO_BUF struct buf b = BUF_MAX(64);
    bool ok;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        percent_decode(&b, str_of(bad[i]), false, &ok);
        ASSERT(!ok);
        ASSERT_INT(b.n, 0);
    }
}

TEST("a full buffer makes every decoding fail")
{
    AUTO_BUF struct buf b = BUF_MAX(2);
    bool ok;

    ASSERT(!base64_decode(&b, STR("Zm9v")));
    buf_clear(&b);
    ASSERT(!hex_decode(&b, STR("666f6f")));
    buf_clear(&b);
    percent_decode(&b, STR("foo"), false, &ok);
    ASSERT(!ok);
    buf_clear(&b);
    base64_encode(&b, STR("foo"));
    ASSERT(b.full);
}

TEST("random bytes survive every coding")
{
    struct env_sim sim;
    char bytes[100];

    env_sim_init(&sim, test_seed(), 0);
    for (int i = 0; i < 500; i++) {
        AUTO_BUF struct buf text = BUF_MAX(1 * KIB), back = BUF_MAX(1 * KIB);
        struct str input = { bytes, env_random_below(&sim.env, sizeof(bytes) + 1) };

        sim.env.random(&sim.env, bytes, input.n);
        base64_encode(&text, input);
        ASSERT(base64_decode(&back, buf_str(&text)) && str_eq(buf_str(&back), input));
        buf_clear(&text);
        buf_clear(&back);
        base64url_encode(&text, input);
        ASSERT(base64url_decode(&back, buf_str(&text)) && str_eq(buf_str(&back), input));
    }
}

TEST("SHA-256 gives the published digests")
{
    char hex[SHA256_HEX_SIZE];

    ASSERT_STR(sha256_hex(STR_NONE, hex), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    ASSERT_STR(sha256_hex(STR("abc"), hex), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST("CRC-32C gives the published checksums, in one piece or several")
{
    char zeros[32] = { 0 };
    uint32_t whole;

    ASSERT_INT(crc32c(0, STR("123456789")), 0xe3069283);
    ASSERT_INT(crc32c(0, (struct str){ zeros, 32 }), 0x8a9136aa);
    ASSERT_INT(crc32c(0, STR_NONE), 0);
    whole = crc32c(0, STR("hello, world of checksums"));
    for (size_t cut = 0; cut <= 25; cut++)
        ASSERT_INT(crc32c(crc32c(0, str_part(STR("hello, world of checksums"), 0, cut)),
                          str_from(STR("hello, world of checksums"), cut)),
                   whole);
}

TEST("FNV-1a gives the published hashes")
{
    ASSERT_INT(fnv32a(STR("")), 0x811c9dc5);
    ASSERT_INT(fnv32a(STR("a")), 0xe40c292c);
    ASSERT_INT(fnv32a(STR("foobar")), 0xbf9cf968);
}
