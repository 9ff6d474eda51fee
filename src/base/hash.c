/*
 * The hash of strings: SipHash-1-3 under a key drawn once per process, so that nobody outside can choose keys that
 * collide. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF".
 */
#include "base/str.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void hash_init(void)
{
    if (getrandom(hash_key, sizeof(hash_key), 0) != (ssize_t)sizeof(hash_key))
        abort(); /* up to 256 bytes getrandom is never short; a kernel without it is not one we run on */
}

static inline uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint64_t str_hash(struct str s)
{
    uint64_t v[4], word = 0;
    size_t i;

    pthread_once(&hash_once, hash_init);
    v[0] = hash_key[0] ^ 0x736f6d6570736575;
    v[1] = hash_key[1] ^ 0x646f72616e646f6d;
    v[2] = hash_key[0] ^ 0x6c7967656e657261;
    v[3] = hash_key[1] ^ 0x7465646279746573;
    for (i = 0; i + 8 <= s.n; i += 8) {
        memcpy(&word, s.p + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = 0;
    if (s.n > i)
        memcpy(&word, s.p + i, s.n - i);
    word |= (uint64_t)s.n << 56;
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
