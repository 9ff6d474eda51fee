/* The opening handshake of WebSocket: keys and subprotocols. */
#include "wire/websocket.h"
#include "base/codec.h"

#include <openssl/evp.h>

bool ws_accept_key(struct str key, char ret[WS_ACCEPT_SIZE])
{
    AUTO_BUF struct buf plain = BUF_MAX(64), text = BUF_MAX(128), out = BUF_MAX(64);
    unsigned char digest[20];

    key = str_trim(key);
    if (key.n != 24 || !base64_decode(&plain, key) || plain.n != 16)
        return false;
    buf_add(&text, key);
    buf_add_text(&text, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    EVP_Digest(text.p, text.n, digest, NULL, EVP_sha1(), NULL);
    base64_encode(&out, (struct str){ (const char *)digest, sizeof(digest) });
    memcpy(ret, out.p, WS_ACCEPT_SIZE);
    return true;
}

void ws_random_key(struct env *env, char ret[25])
{
    char bytes[16];
    AUTO_BUF struct buf out = BUF_MAX(64);

    env->random(env, bytes, sizeof(bytes));
    base64_encode(&out, (struct str){ bytes, sizeof(bytes) });
    memcpy(ret, out.p, 25);
}

const char *ws_choose_protocol(struct str offered, const char *const *ours)
{
    for (; *ours; ours++) {
        struct str rest = offered, part;

        while (str_next(&rest, ',', &part))
            if (str_is(str_trim(part), *ours))
                return *ours;
    }
    return NULL;
}
