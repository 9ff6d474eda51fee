/* SPDY/3.1, both roles, on raw frames; the first byte cuts the rest into pieces. */
#include "wire/spdy.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_stream(struct spdy *s, uint32_t id, const struct http_header *headers, size_t count, bool fin, void *arg)
{
    size_t *total = arg;

    (void)fin;
    for (size_t i = 0; i < count; i++)
        *total += headers[i].name.n + headers[i].value.n;
    if (id % 4 == 3) {
        spdy_reset(s, id, SPDY_REFUSED_STREAM);
        return;
    }
    spdy_reply(s, id, headers, count, id % 8 == 1);
    spdy_data(s, id, STR("hello"), id % 8 == 5);
}

static void on_data(struct spdy *s, uint32_t id, struct str bytes, bool fin, void *arg)
{
    size_t *total = arg;

    *total += bytes.n;
    spdy_consume(s, id, bytes.n);
    if (fin)
        spdy_data(s, id, bytes, true);
}

static const struct spdy_callbacks callbacks = { .on_stream = on_stream, .on_data = on_data };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t piece = size ? data[0] % 16 + 1u : 1, total = 0;

    for (int role = SPDY_SERVER; role <= SPDY_CLIENT && size; role++) {
        struct spdy *s = spdy_new(role, NULL, &callbacks, &total);
        struct http_header header = { STR("streamtype"), STR("stdin") };

        if (role == SPDY_CLIENT)
            spdy_open(s, &header, 1, false);
        for (size_t at = 1; at < size; at += piece)
            if (spdy_feed(s, (struct str){ (const char *)data + at, MIN(piece, size - at) }, NULL) < 0)
                break;
        if (spdy_streams_count(s) > 100)
            abort();
        spdy_free(s);
    }
    return 0;
}
