/* Messages between agents: any datagram; with the right code put onto it, what is read is written back as it was. */
#include "wire/peer.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[PEER_KEY_SIZE] = { 1, 2, 3 };
    uint8_t signed_[PEER_MESSAGE_SIZE] = { 0 }, again[PEER_MESSAGE_SIZE];
    struct peer_message m;

    peer_message_read((struct str){ (const char *)data, size }, key, &m);
    memcpy(signed_, data, MIN(size, (size_t)PEER_MESSAGE_SIZE - 32));
    HMAC(EVP_sha256(), key, PEER_KEY_SIZE, signed_, PEER_MESSAGE_SIZE - 32, signed_ + PEER_MESSAGE_SIZE - 32, NULL);
    if (!peer_message_read((struct str){ (const char *)signed_, sizeof(signed_) }, key, &m))
        return 0;
    peer_message_write(&m, key, again);
    if (memcmp(signed_, again, sizeof(again)) != 0)
        abort();
    signed_[size % PEER_MESSAGE_SIZE] ^= 1; /* one bit, anywhere */
    if (peer_message_read((struct str){ (const char *)signed_, sizeof(signed_) }, key, &m))
        abort();
    return 0;
}
