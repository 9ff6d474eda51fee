/* The hash of field names: length and both ends only, because the table's names are ours and fixed (not keyed). */
#ifndef OBJECT_NAME_HASH_H
#define OBJECT_NAME_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t name_hash(const char *p, size_t n)
{
    uint64_t head = 0, tail = 0;
    if (n >= 8) {
        memcpy(&head, p, 8);
        memcpy(&tail, p + n - 8, 8);
    } else if (n >= 4) {
        memcpy(&head, p, 4);
        memcpy(&tail, p + n - 4, 4);
    } else if (n > 0) {
        head = (unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << 8;
        tail = (unsigned char)p[n - 1];
    }
    uint64_t h = (head ^ (tail << 27 | tail >> 37) ^ n) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32) ^ (uint32_t)(h >> 15);
}

#endif
