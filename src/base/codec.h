/* Small text codings and digests: base64 (RFC 4648), hex, SHA-256 (OpenSSL). */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/buf.h"

#define SHA256_SIZE     32
#define SHA256_HEX_SIZE 65

void base64_encode(struct buf *to, struct str bytes);    /* with padding */
bool base64_decode(struct buf *to, struct str text);     /* strict: no line breaks; false also when `to` is full */
void base64url_encode(struct buf *to, struct str bytes); /* URL alphabet, no padding (JWT) */
bool base64url_decode(struct buf *to, struct str text);
void hex_encode(struct buf *to, struct str bytes); /* lower case */
bool hex_decode(struct buf *to, struct str text);
void sha256(struct str bytes, unsigned char ret[SHA256_SIZE]);
char *sha256_hex(struct str bytes, char ret[SHA256_HEX_SIZE]); /* returns ret */
uint32_t crc32c(uint32_t crc, struct str bytes);               /* Castagnoli; start with 0 */
uint32_t fnv32a(struct str bytes);
void percent_decode(struct buf *to, struct str text, bool plus_is_space, bool *ret_ok);
void percent_encode(struct buf *to, struct str text); /* everything but unreserved characters of RFC 3986 */

#endif
