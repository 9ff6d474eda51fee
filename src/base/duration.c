/* Durations as text: kubectl's age, and Go's form that settings use. */
#include "base/time.h"

#include <stdio.h>

/* "3h" or "3h20m": the second unit is left out when it is zero. */
static char *format_pair(char text[TIME_TEXT_SIZE], int64_t first, char first_unit, int64_t second, char second_unit)
{
    if (second)
        snprintf(text, TIME_TEXT_SIZE, "%lld%c%lld%c", (long long)first, first_unit, (long long)second, second_unit);
    else
        snprintf(text, TIME_TEXT_SIZE, "%lld%c", (long long)first, first_unit);
    return text;
}

char *time_format_age(int64_t ms, char text[TIME_TEXT_SIZE])
{
    int64_t seconds = ms / SECOND_MS, minutes = ms / MINUTE_MS, hours = ms / HOUR_MS, days = hours / 24;

    /* Clocks of machines differ a little: up to two seconds in the future is "now". */
    if (seconds < -1) {
        snprintf(text, TIME_TEXT_SIZE, "<invalid>");
        return text;
    }
    if (seconds < 120)
        return format_pair(text, MAX(seconds, 0), 's', 0, 0);
    if (minutes < 10)
        return format_pair(text, minutes, 'm', seconds % 60, 's');
    if (minutes < 180)
        return format_pair(text, minutes, 'm', 0, 0);
    if (hours < 8)
        return format_pair(text, hours, 'h', minutes % 60, 'm');
    if (hours < 48)
        return format_pair(text, hours, 'h', 0, 0);
    if (days < 8)
        return format_pair(text, days, 'd', hours % 24, 'h');
    if (days < 365 * 2)
        return format_pair(text, days, 'd', 0, 0);
    if (days < 365 * 8)
        return format_pair(text, days / 365, 'y', days % 365, 'd');
    return format_pair(text, days / 365, 'y', 0, 0);
}

static const struct {
    struct str name;
    int64_t ns;
} units[] = {
    /* longer names first, since "m" is also how "ms" begins */
    { STR_INIT("ns"), 1 },           { STR_INIT("us"), 1000 },
    { STR_INIT("\xc2\xb5s"), 1000 }, { STR_INIT("\xce\xbcs"), 1000 }, /* U+00B5 and U+03BC, as in Go */
    { STR_INIT("ms"), 1000000 },     { STR_INIT("s"), 1000000000 },
    { STR_INIT("m"), 60000000000 },  { STR_INIT("h"), 3600000000000 },
};

static bool take_unit(struct str *s, int64_t *ret_ns)
{
    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        if (str_starts(*s, units[i].name)) {
            *ret_ns = units[i].ns;
            *s = str_from(*s, units[i].name.n);
            return true;
        }
    }
    return false;
}

/* Digits as a number; false on overflow. Digits of a fraction past the eighteenth are below a nanosecond: skipped. */
static bool take_digits(struct str *s, bool fraction, int64_t *ret, int64_t *ret_scale, size_t *ret_count)
{
    int64_t value = 0, scale = 1;
    size_t i = 0;

    for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
        if (fraction && i >= 18)
            continue;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, s->p[i] - '0', &value))
            return false;
        if (fraction)
            scale *= 10;
    }
    *s = str_from(*s, i);
    *ret = value;
    *ret_scale = scale;
    *ret_count = i;
    return true;
}

/* One "1.5h" added to *total_ns. */
static bool take_term(struct str *s, int64_t *total_ns)
{
    int64_t whole, fraction = 0, scale = 1, unit_ns, ns;
    size_t whole_digits, fraction_digits = 0;

    if (!take_digits(s, false, &whole, &scale, &whole_digits))
        return false;
    if (s->n && s->p[0] == '.') {
        *s = str_from(*s, 1);
        if (!take_digits(s, true, &fraction, &scale, &fraction_digits))
            return false;
    }
    if (whole_digits + fraction_digits == 0 || !take_unit(s, &unit_ns))
        return false;
    if (__builtin_mul_overflow(whole, unit_ns, &ns))
        return false;
    fraction = (int64_t)(__extension__(__int128) fraction * unit_ns / scale);
    return !__builtin_add_overflow(ns, fraction, &ns) && !__builtin_add_overflow(*total_ns, ns, total_ns);
}

bool time_parse_duration(struct str text, int64_t *ret_ms)
{
    bool negative = text.n && text.p[0] == '-';
    int64_t total_ns = 0;

    if (text.n && (text.p[0] == '-' || text.p[0] == '+'))
        text = str_from(text, 1);
    if (text.n == 0)
        return false;
    if (!str_is(text, "0")) /* the one number that needs no unit */
        while (text.n)
            if (!take_term(&text, &total_ns))
                return false;
    *ret_ms = (negative ? -total_ns : total_ns) / 1000000;
    return true;
}
