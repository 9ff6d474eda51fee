/* The stream on which servers follow each other's nodes, and that it comes to rest. */
#include "front.h"

#include "server/nodes.h"

static struct front f;

static size_t count_lines(struct str bytes)
{
    size_t n = 0;
    for (struct str line; str_next(&bytes, '\n', &line);)
        n += line.n > 0;
    return n;
}

static void count_body(UNUSED struct http_call *call, struct str bytes, void *arg)
{
    *(size_t *)arg += count_lines(bytes);
}

static void count_done(UNUSED struct http_call *call, UNUSED const struct error *err, UNUSED void *arg)
{
}

#define HEARD_A                                                                                                        \
    "{\"name\":\"a\",\"connected\":true,\"silent\":false,\"silentMs\":10,\"applied\":{\"endpointslices\":5},"          \
    "\"servers\":3,\"fence\":true,\"peers\":[\"b\"],\"unheard\":{}}"

static void word(const char *line)
{
    nodes_word(server_nodes(f.server), 0, str_of(line));
}

TEST("a server's word is not told back to servers, or two of them would answer each other without end")
{
    static const struct http_call_callbacks callbacks = { .on_body = count_body, .on_done = count_done };
    struct str masters = STR("system:masters");
    struct http_peer admin = {
        .certificate = true, .common_name = STR("admin"), .organizations = &masters, .organizations_count = 1
    };
    size_t first_hand = 0, all = 0;
    front_start(&f, NULL);
    struct http_client *client = http_client_new_local(f.loop, server_handler, f.server, &admin);
    struct http_call *calls[2];
    for (int i = 0; i < 2; i++)
        calls[i] =
            http_client_call(client,
                             &(struct http_call_request){ .method = STR("GET"),
                                                          .target = i ? STR("/klein/v1/nodes?watch=true&firstHand=true")
                                                                      : STR("/klein/v1/nodes?watch=true") },
                             &callbacks, i ? &first_hand : &all);
    front_pass(&f, 100);
    ASSERT(first_hand == 1 && all == 1); /* "settled" */
    word(HEARD_A);
    front_pass(&f, 50);
    ASSERT(first_hand == 2 && all == 2); /* that it is not heard here, once */
    for (int i = 0; i < 5; i++)
        word(HEARD_A);
    nodes_word_lost(server_nodes(f.server), 0);
    front_pass(&f, 50);
    ASSERT_INT(first_hand, 2);
    ASSERT(all > 2);
    for (int i = 0; i < 2; i++)
        http_call_cancel(calls[i]);
    http_client_free(client);
    front_stop(&f);
}
