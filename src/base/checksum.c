/* Checksums that find accidents, not attackers: CRC-32C (RFC 3720, appendix B.4) and FNV-1a. */
#include "base/codec.h"

#include <pthread.h>

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_hardware(uint32_t crc, const unsigned char *p, size_t n)
{
    uint64_t wide = crc;

    for (; n >= 8; p += 8, n -= 8) {
        uint64_t word;

        memcpy(&word, p, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; n; p++, n--)
        crc = _mm_crc32_u8(crc, *p);
    return crc;
}
#endif

static uint32_t crc_table[256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0); /* Castagnoli's polynomial, reflected */
        crc_table[i] = crc;
    }
}

static uint32_t crc32c_table(uint32_t crc, const unsigned char *p, size_t n)
{
    pthread_once(&crc_once, crc_init);
    for (; n; p++, n--)
        crc = crc >> 8 ^ crc_table[(crc ^ *p) & 255];
    return crc;
}

uint32_t crc32c(uint32_t crc, struct str bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.p;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_hardware(~crc, p, bytes.n);
#endif
    return ~crc32c_table(~crc, p, bytes.n);
}

uint32_t fnv32a(struct str bytes)
{
    uint32_t hash = 0x811c9dc5;

    for (size_t i = 0; i < bytes.n; i++)
        hash = (hash ^ (unsigned char)bytes.p[i]) * 0x01000193;
    return hash;
}
