/* Messages between agents: fixed format, HMAC-SHA-256. */
#include "wire/peer.h"

#include "base/codec.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#define MAC_SIZE 32
#define MAC_AT   (PEER_MESSAGE_SIZE - MAC_SIZE)

enum { AT_TYPE = 4, AT_FROM = 8, AT_TO = 24, AT_SESSION = 40, AT_STAMP = 48, AT_ECHO_SESSION = 56, AT_ECHO_STAMP = 64 };
static_assert(AT_ECHO_STAMP + 8 == MAC_AT, "nothing between the fields and the code");

static const uint8_t magic[4] = { 'K', 'L', 'P', '1' };

void peer_id(struct str node_name, uint8_t ret[PEER_ID_SIZE])
{
    unsigned char hash[SHA256_SIZE];

    sha256(node_name, hash);
    memcpy(ret, hash, PEER_ID_SIZE);
}

static void put_u64(uint8_t *to, uint64_t n)
{
    for (int i = 7; i >= 0; i--, n >>= 8)
        to[i] = (uint8_t)n;
}

static uint64_t get_u64(const uint8_t *from)
{
    uint64_t n = 0;

    for (int i = 0; i < 8; i++)
        n = n << 8 | from[i];
    return n;
}

static void make_mac(const uint8_t *message, const uint8_t key[PEER_KEY_SIZE], uint8_t ret[MAC_SIZE])
{
    HMAC(EVP_sha256(), key, PEER_KEY_SIZE, message, MAC_AT, ret, NULL);
}

void peer_message_write(const struct peer_message *m, const uint8_t key[PEER_KEY_SIZE], uint8_t ret[PEER_MESSAGE_SIZE])
{
    memset(ret, 0, PEER_MESSAGE_SIZE);
    memcpy(ret, magic, sizeof(magic));
    ret[AT_TYPE] = (uint8_t)m->type;
    memcpy(ret + AT_FROM, m->from, PEER_ID_SIZE);
    memcpy(ret + AT_TO, m->to, PEER_ID_SIZE);
    put_u64(ret + AT_SESSION, m->session);
    put_u64(ret + AT_STAMP, m->stamp);
    put_u64(ret + AT_ECHO_SESSION, m->echo_session);
    put_u64(ret + AT_ECHO_STAMP, m->echo_stamp);
    make_mac(ret, key, ret + MAC_AT);
}

bool peer_message_read(struct str bytes, const uint8_t key[PEER_KEY_SIZE], struct peer_message *ret)
{
    const uint8_t *p = (const uint8_t *)bytes.p;
    uint8_t mac[MAC_SIZE];

    if (bytes.n != PEER_MESSAGE_SIZE || memcmp(p, magic, sizeof(magic)) != 0)
        return false;
    make_mac(p, key, mac);
    if (CRYPTO_memcmp(mac, p + MAC_AT, MAC_SIZE) != 0)
        return false;
    if (p[AT_TYPE] < PEER_ASK || p[AT_TYPE] > PEER_CHALLENGE || p[AT_TYPE + 1] || p[AT_TYPE + 2] || p[AT_TYPE + 3])
        return false;
    *ret = (struct peer_message){ .type = (enum peer_message_type)p[AT_TYPE],
                                  .session = get_u64(p + AT_SESSION),
                                  .stamp = get_u64(p + AT_STAMP),
                                  .echo_session = get_u64(p + AT_ECHO_SESSION),
                                  .echo_stamp = get_u64(p + AT_ECHO_STAMP) };
    memcpy(ret->from, p + AT_FROM, PEER_ID_SIZE);
    memcpy(ret->to, p + AT_TO, PEER_ID_SIZE);
    return true;
}
