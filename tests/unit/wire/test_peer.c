/* Messages between agents. */
#include "test.h"
#include "wire/peer.h"

static const uint8_t key[PEER_KEY_SIZE] = { 1, 2, 3 };

static struct str text(const uint8_t bytes[PEER_MESSAGE_SIZE])
{
    return (struct str){ (const char *)bytes, PEER_MESSAGE_SIZE };
}

static void example(uint8_t bytes[PEER_MESSAGE_SIZE])
{
    struct peer_message m = {
        .type = PEER_ANSWER, .session = 1, .stamp = 2, .echo_session = 3, .echo_stamp = UINT64_MAX
    };

    peer_id(STR("node-a"), m.from);
    peer_id(STR("node-b"), m.to);
    peer_message_write(&m, key, bytes);
}

TEST("a message is read back as it was written")
{
    uint8_t bytes[PEER_MESSAGE_SIZE], id[PEER_ID_SIZE];
    struct peer_message m;

    example(bytes);
    ASSERT(peer_message_read(text(bytes), key, &m));
    ASSERT_INT(m.type, PEER_ANSWER);
    ASSERT_INT(m.session, 1);
    ASSERT_INT(m.stamp, 2);
    ASSERT_INT(m.echo_session, 3);
    ASSERT(m.echo_stamp == UINT64_MAX);
    peer_id(STR("node-b"), id);
    ASSERT(memcmp(id, m.to, sizeof(id)) == 0);
}

TEST("one changed bit anywhere, another key or another length is refused")
{
    static const uint8_t other[PEER_KEY_SIZE] = { 1, 2, 4 };
    uint8_t bytes[PEER_MESSAGE_SIZE];
    struct peer_message m;

    example(bytes);
    for (size_t i = 0; i < PEER_MESSAGE_SIZE * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        ASSERT(!peer_message_read(text(bytes), key, &m));
        bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    ASSERT(peer_message_read(text(bytes), key, &m));
    ASSERT(!peer_message_read(text(bytes), other, &m));
    ASSERT(!peer_message_read((struct str){ (const char *)bytes, PEER_MESSAGE_SIZE - 1 }, key, &m));
    ASSERT(!peer_message_read(STR(""), key, &m));
}
