/* What the API's text forms of times and durations promise. */
#include "base/time.h"
#include "test.h"

static const char *formatted(int64_t ms)
{
    static char text[TIME_TEXT_SIZE];

    return time_format(ms, text);
}

TEST("times are written in UTC, whole seconds, micro- and nanoseconds")
{
    char text[TIME_TEXT_SIZE];

    ASSERT_STR(formatted(0), "1970-01-01T00:00:00Z");
    ASSERT_STR(formatted(1795255200999), "2026-11-21T10:00:00Z");
    ASSERT_STR(formatted(951782400000), "2000-02-29T00:00:00Z");
    ASSERT_STR(formatted(-1), "1969-12-31T23:59:59Z");
    ASSERT_STR(formatted(253402300799000), "9999-12-31T23:59:59Z");
    ASSERT_STR(formatted(-62135596800000), "0001-01-01T00:00:00Z");
    ASSERT_STR(time_format_micro(1795255200000001, text), "2026-11-21T10:00:00.000001Z");
    ASSERT_STR(time_format_micro(-1, text), "1969-12-31T23:59:59.999999Z");
    ASSERT_STR(time_format_nano(1795255200123456789, text), "2026-11-21T10:00:00.123456789Z");
}

TEST("even times no calendar has fit the text")
{
    char text[TIME_TEXT_SIZE];

    ASSERT(strlen(time_format(INT64_MAX, text)) < TIME_TEXT_SIZE - 1);
    ASSERT(strlen(time_format(INT64_MIN, text)) < TIME_TEXT_SIZE - 1);
    ASSERT(strlen(time_format_micro(INT64_MIN, text)) < TIME_TEXT_SIZE - 1);
    ASSERT_STR(time_format_nano(INT64_MAX, text), "2262-04-11T23:47:16.854775807Z");
    ASSERT_STR(time_format_nano(INT64_MIN, text), "1677-09-21T00:12:43.145224192Z");
}

TEST("every day of a thousand years is written and read back")
{
    for (int64_t day = -200000; day < 200000; day++) {
        int64_t back;

        ASSERT(time_parse(str_of(formatted(day * 86400000)), &back));
        ASSERT_INT(back, day * 86400000);
    }
}

static const struct {
    const char *text;
    int64_t ms; /* -1: must be refused */
} times[] = {
    { "2026-11-21T10:00:00Z", 1795255200000 },
    { "2026-11-21T10:00:00.5Z", 1795255200500 },
    { "2026-11-21T10:00:00,5Z", 1795255200500 },
    { "2026-11-21T10:00:00.123456789123Z", 1795255200123 },
    { "2026-11-21T15:30:00+05:30", 1795255200000 },
    { "2026-11-21T02:00:00-08:00", 1795255200000 },
    { "2026-11-22T09:59:00.001+23:59", 1795255200001 },
    { "2024-02-29T00:00:00Z", 1709164800000 },
    { "", -1 },
    { "2026-11-21", -1 },
    { "2026-11-21T10:00:00", -1 },
    { "2026-11-21 10:00:00Z", -1 },
    { "2026-11-21t10:00:00z", -1 },
    { "2026-11-21T10:00:00ZZ", -1 },
    { "2026-11-21T10:00:00.Z", -1 },
    { "2026-11-21T10:00:60Z", -1 },
    { "2026-11-21T24:00:00Z", -1 },
    { "2026-11-21T10:60:00Z", -1 },
    { "2026-02-29T00:00:00Z", -1 },
    { "2100-02-29T00:00:00Z", -1 },
    { "2026-00-21T10:00:00Z", -1 },
    { "2026-13-21T10:00:00Z", -1 },
    { "2026-11-00T10:00:00Z", -1 },
    { "2026-11-31T10:00:00Z", -1 },
    { "26-11-21T10:00:00Z", -1 },
    { "2026-1-21T10:00:00Z", -1 },
    { "+026-11-21T10:00:00Z", -1 },
    { "2026-11-21T10:00:00+24:00", -1 },
    { "2026-11-21T10:00:00+0530", -1 },
    { "2026-11-21T10:00:00+05:60", -1 },
};

TEST("RFC 3339 is read with any zone and fraction, and nothing else is")
{
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        int64_t ms = -1;

        if (time_parse(str_of(times[i].text), &ms) != (times[i].ms >= 0) || ms != times[i].ms)
            FAIL("'%s': expected %lld, came %lld", times[i].text, (long long)times[i].ms, (long long)ms);
    }
}

/* The cases of HumanDuration's own comments and the edges of its branches. */
static const struct {
    int64_t seconds;
    const char *text;
} ages[] = {
    { -2, "<invalid>" },
    { -1, "0s" },
    { 0, "0s" },
    { 119, "119s" },
    { 120, "2m" },
    { 150, "2m30s" },
    { 599, "9m59s" },
    { 600, "10m" },
    { 659, "10m" },
    { 179 * 60 + 59, "179m" },
    { 3 * 3600, "3h" },
    { 3 * 3600 + 20 * 60, "3h20m" },
    { 7 * 3600 + 59 * 60 + 59, "7h59m" },
    { 8 * 3600 + 59 * 60, "8h" },
    { 47 * 3600 + 3599, "47h" },
    { 48 * 3600, "2d" },
    { 49 * 3600, "2d1h" },
    { 8 * 86400 - 1, "7d23h" },
    { 8 * 86400, "8d" },
    { 2 * 365 * 86400 - 1, "729d" },
    { 2 * 365 * 86400, "2y" },
    { (2 * 365 + 1) * 86400, "2y1d" },
    { 8 * 365 * 86400 - 1, "7y364d" },
    { 8 * 365 * 86400 + 86400, "8y" },
};

TEST("an age reads as kubectl prints it")
{
    char text[TIME_TEXT_SIZE];

    for (size_t i = 0; i < ARRAY_SIZE(ages); i++)
        ASSERT_STR(time_format_age(ages[i].seconds * 1000, text), ages[i].text);
    ASSERT_STR(time_format_age(-1999, text), "0s");
    ASSERT_STR(time_format_age(INT64_MIN, text), "<invalid>");
    ASSERT_STR(time_format_age(INT64_MAX, text), "292471208y");
}

static const struct {
    const char *text;
    bool valid;
    int64_t ms;
} durations[] = {
    { "0", true, 0 },
    { "-0", true, 0 },
    { "5s", true, 5000 },
    { "1h30m", true, 5400000 },
    { "250ms", true, 250 },
    { "1.5s", true, 1500 },
    { ".5s", true, 500 },
    { "1.s", true, 1000 },
    { "-1m", true, -60000 },
    { "+1m", true, 60000 },
    { "1s500us500\xc2\xb5s", true, 1001 },
    { "999999ns", true, 0 },
    { "1000\xce\xbcs", true, 1 },
    { "1m1h", true, 3660000 },
    { "0.1000000000000000000000000001h", true, 360000 },
    { "2562047h47m16.854775807s", true, 9223372036854 },
    { "2562047h47m16.854775808s", false, 0 },
    { "99999999999999999999s", false, 0 },
    { "", false, 0 },
    { "-", false, 0 },
    { "3", false, 0 },
    { "s", false, 0 },
    { ".s", false, 0 },
    { "1d", false, 0 },
    { "1 s", false, 0 },
    { "1s ", false, 0 },
    { "--1s", false, 0 },
    { "1s-1s", false, 0 },
    { "1h30", false, 0 },
    { "00", false, 0 },
};

TEST("durations are read as Go's ParseDuration reads them")
{
    for (size_t i = 0; i < ARRAY_SIZE(durations); i++) {
        int64_t ms = 0;
        bool valid = time_parse_duration(str_of(durations[i].text), &ms);

        if (valid != durations[i].valid || (valid && ms != durations[i].ms))
            FAIL("'%s': expected %d %lld, came %d %lld", durations[i].text, durations[i].valid,
                 (long long)durations[i].ms, valid, (long long)ms);
    }
}
