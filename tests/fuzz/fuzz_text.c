/* The small text forms of base/: times, durations, numbers, base64, hex, percent-encoding, UTF-8, log values. */
#include "base/codec.h"
#include "base/log.h"
#include "base/time.h"

#include <fcntl.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

/* What was decoded and is encoded again decodes to the same bytes; base64 in its only form even to the same text. */
static void check_codecs(struct str text)
{
    AUTO_BUF struct buf bytes = BUF_MAX(1 * MIB), again = BUF_MAX(4 * MIB), third = BUF_MAX(4 * MIB);
    bool ok;

    if (base64_decode(&bytes, text)) {
        base64_encode(&again, buf_str(&bytes));
        MUST(str_eq(buf_str(&again), text));
    }
    buf_clear(&bytes);
    buf_clear(&again);
    if (base64url_decode(&bytes, text)) {
        base64url_encode(&again, buf_str(&bytes));
        MUST(str_eq(buf_str(&again), text));
    }
    buf_clear(&bytes);
    buf_clear(&again);
    if (hex_decode(&bytes, text)) {
        hex_encode(&again, buf_str(&bytes));
        MUST(str_eq_nocase(buf_str(&again), text));
    }
    buf_clear(&again);
    percent_encode(&again, text);
    percent_decode(&third, buf_str(&again), true, &ok);
    MUST(ok && str_eq(buf_str(&third), text));
    percent_decode(&third, text, false, &ok);
}

static void check_times(struct str text)
{
    char formatted[TIME_TEXT_SIZE];
    int64_t ms, again;

    if (time_parse(text, &ms) && ms >= -62167219200000 && ms < 253402300800000) { /* years 0 to 9999 */
        MUST(time_parse(str_of(time_format_micro(ms * 1000, formatted)), &again));
        MUST(again == ms);
    }
    if (time_parse_duration(text, &ms))
        time_format_age(ms, formatted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = { (const char *)data, size };
    static int null_fd = -1;
    uint64_t number;

    if (null_fd < 0) {
        null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        log_set_fd(null_fd);
    }
    check_codecs(text);
    check_times(text);
    str_to_u64(text, &number);
    str_is_utf8(text);
    log_info("input", KV_STR("text", text));
    return 0;
}
