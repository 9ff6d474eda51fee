/* Blocks, records and manifests of backups: what is read is written back as the same, and nothing crashes. */
#include "backup/dump.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int ignore(void *arg, const struct record *r, struct error *err)
{
    (void)arg;
    (void)r;
    (void)err;
    return 0;
}

static void read_records(struct str rest)
{
    struct record r;

    while (segment_record_read(&rest, &r, NULL) > 0) {
        AUTO_BUF struct buf again = BUF_MAX(RECORD_VALUE_MAX + 2 * RECORD_KEY_MAX);
        struct record same;
        segment_record_write(&again, &r);
        struct str text = buf_str(&again);
        if (segment_record_read(&text, &same, NULL) != 1 || !str_eq(same.key, r.key) || !str_eq(same.value, r.value) ||
            same.revision != r.revision || same.time_ms != r.time_ms || same.type != r.type)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = { (const char *)data, size }, rest = input;
    AUTO_BUF struct buf plain = BUF_MAX(BLOCK_PLAIN_MAX + 1), whole = BUF_MAX(16 * MIB);
    AUTO_MANIFEST struct manifest m = { 0 };
    struct dump_reader d;
    struct block b;

    while (block_read(&rest, &b, NULL) > 0)
        if (block_unpack(&b, &plain, NULL) == 0)
            read_records(buf_str(&plain));
    read_records(input);
    manifest_parse(input, &m, NULL);
    dump_reader_init(&d, ignore, NULL);
    if (dump_reader_feed(&d, input, NULL) == 0)
        dump_reader_end(&d, NULL);
    dump_reader_done(&d);
    /* A block is read back as what was written, and not when one byte of it differs. */
    if (size && size < 4096) {
        block_write(&whole, input, size, size + 1, (int64_t)size);
        rest = buf_str(&whole);
        if (block_read(&rest, &b, NULL) != 1 || block_unpack(&b, &plain, NULL) < 0 || !str_eq(buf_str(&plain), input))
            abort();
        whole.p[data[0] % whole.n] ^= 1;
        rest = buf_str(&whole);
        if (block_read(&rest, &b, NULL) == 1)
            abort();
    }
    return 0;
}
