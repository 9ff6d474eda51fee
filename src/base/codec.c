/* Base64, hex, percent-encoding and SHA-256. */
#include "base/codec.h"

#include <openssl/sha.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char hex_digits[] = "0123456789abcdef";

static void encode64(struct buf *to, struct str bytes, const char *alphabet, bool padding)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    size_t whole = bytes.n / 3 * 3, left = bytes.n - whole, start = to->n;
    char *out;

    if (bytes.n > SIZE_MAX / 2 || !buf_reserve(to, bytes.n / 3 * 4 + 4)) {
        to->full = true;
        return;
    }
    out = to->p + start;
    for (size_t i = 0; i < whole; i += 3) {
        uint32_t word = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];

        *out++ = alphabet[word >> 18];
        *out++ = alphabet[word >> 12 & 63];
        *out++ = alphabet[word >> 6 & 63];
        *out++ = alphabet[word & 63];
    }
    if (left) {
        uint32_t word = (uint32_t)p[whole] << 16 | (left == 2 ? (uint32_t)p[whole + 1] << 8 : 0);

        *out++ = alphabet[word >> 18];
        *out++ = alphabet[word >> 12 & 63];
        if (left == 2)
            *out++ = alphabet[word >> 6 & 63];
        for (size_t i = left; padding && i < 3; i++)
            *out++ = '=';
    }
    *out = '\0';
    to->n = (size_t)(out - to->p);
}

static int digit64(char c, const char *alphabet)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == alphabet[62])
        return 62;
    return c == alphabet[63] ? 63 : -1;
}

/* `text` without padding. Bits left over must be zero, so that each content has exactly one form. */
static bool decode64(struct buf *to, struct str text, const char *alphabet)
{
    uint32_t word = 0;
    int bits = 0;
    char *out;

    if (text.n % 4 == 1)
        return false;
    out = buf_reserve(to, text.n / 4 * 3 + text.n % 4 * 3 / 4);
    if (!out)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        int digit = digit64(text.p[i], alphabet);

        if (digit < 0) {
            to->p[to->n] = '\0';
            return false;
        }
        word = word << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *out++ = (char)(word >> bits);
            word &= (1u << bits) - 1;
        }
    }
    if (word) {
        to->p[to->n] = '\0';
        return false;
    }
    *out = '\0';
    to->n = (size_t)(out - to->p);
    return true;
}

void base64_encode(struct buf *to, struct str bytes)
{
    encode64(to, bytes, standard, true);
}

void base64url_encode(struct buf *to, struct str bytes)
{
    encode64(to, bytes, url, false);
}

bool base64_decode(struct buf *to, struct str text)
{
    if (text.n % 4 != 0)
        return false;
    for (int i = 0; i < 2 && text.n && text.p[text.n - 1] == '='; i++)
        text.n--;
    return decode64(to, text, standard);
}

bool base64url_decode(struct buf *to, struct str text)
{
    return decode64(to, text, url);
}

void hex_encode(struct buf *to, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        char pair[2] = { hex_digits[c >> 4], hex_digits[c & 15] };

        buf_add_bytes(to, pair, 2);
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that two hex digits at text[at] give, or -1. */
static int hex_byte(struct str text, size_t at)
{
    int high, low;

    if (text.n < 2 || at > text.n - 2)
        return -1;
    high = hex_digit(text.p[at]);
    low = hex_digit(text.p[at + 1]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

bool hex_decode(struct buf *to, struct str text)
{
    size_t start = to->n;

    if (text.n % 2)
        return false;
    for (size_t i = 0; i < text.n; i += 2) {
        int byte = hex_byte(text, i);

        if (byte < 0) {
            buf_truncate(to, start);
            return false;
        }
        buf_add_char(to, (char)byte);
    }
    return !to->full;
}

void sha256(struct str bytes, unsigned char ret[SHA256_SIZE])
{
    SHA256((const unsigned char *)(bytes.p ? bytes.p : ""), bytes.n, ret);
}

char *sha256_hex(struct str bytes, char ret[SHA256_HEX_SIZE])
{
    unsigned char digest[SHA256_SIZE];

    sha256(bytes, digest);
    for (size_t i = 0; i < SHA256_SIZE; i++) {
        ret[2 * i] = hex_digits[digest[i] >> 4];
        ret[2 * i + 1] = hex_digits[digest[i] & 15];
    }
    ret[2 * SHA256_SIZE] = '\0';
    return ret;
}

void percent_decode(struct buf *to, struct str text, bool plus_is_space, bool *ret_ok)
{
    size_t start = to->n;

    *ret_ok = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c == '%') {
            int byte = hex_byte(text, i + 1);

            if (byte < 0) {
                buf_truncate(to, start);
                return;
            }
            c = (char)byte;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        buf_add_char(to, c);
    }
    *ret_ok = !to->full;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

void percent_encode(struct buf *to, struct str text)
{
    static const char upper[] = "0123456789ABCDEF"; /* RFC 3986, 2.1: upper case is the normal form */

    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        char escaped[3] = { '%', upper[c >> 4], upper[c & 15] };

        if (is_unreserved(text.p[i]))
            buf_add_char(to, text.p[i]);
        else
            buf_add_bytes(to, escaped, 3);
    }
}
