/* Clocks, and the API's text forms of times and durations. The only file that reads a clock. */
#include "base/time.h"

#include <stdio.h>
#include <time.h>

#define SECOND_NS ((int64_t)1000000000)
#define DAY_S     ((int64_t)86400)

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

int64_t time_wall_ms(void)
{
    return clock_ns(CLOCK_REALTIME) / 1000000;
}

int64_t time_monotonic_ms(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

int64_t time_monotonic_us(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t floor_mod(int64_t a, int64_t b)
{
    return a % b < 0 ? a % b + b : a % b;
}

/* Days since 1970 of a date in the proleptic Gregorian calendar; years are counted from March, so leap days come last. */
static int64_t days_of_date(int64_t year, int month, int day)
{
    int64_t y = year - (month <= 2), era = floor_div(y, 400), year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void date_of_days(int64_t days, int64_t *ret_year, int *ret_month, int *ret_day)
{
    int64_t shifted = days + 719468, era = floor_div(shifted, 146097), day = shifted - era * 146097;
    int64_t year_of_era = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_from_march = (int)((5 * day_of_year + 2) / 153);

    *ret_day = (int)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *ret_month = month_from_march + (month_from_march < 10 ? 3 : -9);
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

static char *format_seconds(int64_t seconds, const char *fraction, char text[TIME_TEXT_SIZE])
{
    int64_t days = floor_div(seconds, DAY_S), year;
    int of_day = (int)(seconds - days * DAY_S), month, day;

    date_of_days(days, &year, &month, &day);
    snprintf(text, TIME_TEXT_SIZE, "%04lld-%02d-%02dT%02d:%02d:%02d%sZ", (long long)year, month, day, of_day / 3600,
             of_day / 60 % 60, of_day % 60, fraction);
    return text;
}

char *time_format(int64_t wall_ms, char text[TIME_TEXT_SIZE])
{
    return format_seconds(floor_div(wall_ms, 1000), "", text);
}

char *time_format_micro(int64_t wall_us, char text[TIME_TEXT_SIZE])
{
    char fraction[16];

    snprintf(fraction, sizeof(fraction), ".%06d", (int)floor_mod(wall_us, 1000000));
    return format_seconds(floor_div(wall_us, 1000000), fraction, text);
}

char *time_format_nano(int64_t wall_ns, char text[TIME_TEXT_SIZE])
{
    char fraction[16];

    snprintf(fraction, sizeof(fraction), ".%09d", (int)floor_mod(wall_ns, SECOND_NS));
    return format_seconds(floor_div(wall_ns, SECOND_NS), fraction, text);
}

/* Take exactly `digits` digits, at most `max`, and then the character `after` (0 for none). */
static bool take_number(struct str *s, size_t digits, int max, char after, int *ret)
{
    int value = 0;

    if (s->n < digits + (after ? 1 : 0) || (after && s->p[digits] != after))
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        value = value * 10 + (s->p[i] - '0');
    }
    if (value > max)
        return false;
    *s = str_from(*s, digits + (after ? 1 : 0));
    *ret = value;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

/* ".25" -> 250; finer digits are cut off. A comma is allowed as Go's time.Parse allows it. */
static bool take_fraction(struct str *s, int *ret_ms)
{
    int ms = 0, scale = 100;
    size_t i = 1;

    *ret_ms = 0;
    if (s->n == 0 || (s->p[0] != '.' && s->p[0] != ','))
        return true;
    for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++) {
        ms += (s->p[i] - '0') * scale;
        scale /= 10;
    }
    if (i == 1)
        return false;
    *s = str_from(*s, i);
    *ret_ms = ms;
    return true;
}

static bool take_zone(struct str *s, int *ret_offset_s)
{
    int hours, minutes, sign;

    if (str_is(*s, "Z")) {
        *s = STR_NONE;
        *ret_offset_s = 0;
        return true;
    }
    if (s->n == 0 || (s->p[0] != '+' && s->p[0] != '-'))
        return false;
    sign = s->p[0] == '-' ? -1 : 1;
    *s = str_from(*s, 1);
    if (!take_number(s, 2, 23, ':', &hours) || !take_number(s, 2, 59, 0, &minutes))
        return false;
    *ret_offset_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* As strict as Go's time.Parse(time.RFC3339): capital T and Z, no leap second, real days of the month. */
bool time_parse(struct str text, int64_t *ret_wall_ms)
{
    int year, month, day, hour, minute, second, ms, offset_s;

    if (!take_number(&text, 4, 9999, '-', &year) || !take_number(&text, 2, 12, '-', &month) ||
        !take_number(&text, 2, 31, 'T', &day) || !take_number(&text, 2, 23, ':', &hour) ||
        !take_number(&text, 2, 59, ':', &minute) || !take_number(&text, 2, 59, 0, &second) ||
        !take_fraction(&text, &ms) || !take_zone(&text, &offset_s) || text.n > 0)
        return false;
    if (month < 1 || day < 1 || day > days_in_month(year, month))
        return false;
    *ret_wall_ms =
        (days_of_date(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second - offset_s) * SECOND_MS + ms;
    return true;
}
