/* Times and durations of the API: canonical text out, and Go's time.Parse sentences when they do not parse. */
#include "object/schema_scalar.h"
#include "base/time.h"

#include <stdio.h>

#define LAYOUT       "2006-01-02T15:04:05Z07:00"
#define LAYOUT_MICRO "2006-01-02T15:04:05.000000Z07:00"

/* The parts of the layouts in order; a number has a width and, where Go checks it, a range. */
static const struct part {
    const char *layout, *range;
    int width, low, high;
} parts[] = {
    { "2006", NULL, 4, 0, 9999 }, { "-", NULL, 0, 0, 0 }, { "01", "month", 2, 1, 12 },  { "-", NULL, 0, 0, 0 },
    { "02", "day", 2, 1, 31 },    { "T", NULL, 0, 0, 0 }, { "15", "hour", 2, 0, 23 },   { ":", NULL, 0, 0, 0 },
    { "04", "minute", 2, 0, 59 }, { ":", NULL, 0, 0, 0 }, { "05", "second", 2, 0, 59 },
};

/* The first `width` bytes as a number; false when they are not digits. */
static bool take_digits(struct str *rest, int width, int *ret)
{
    *ret = 0;
    if (rest->n < (size_t)width)
        return false;
    for (int i = 0; i < width; i++) {
        if (rest->p[i] < '0' || rest->p[i] > '9')
            return false;
        *ret = *ret * 10 + (rest->p[i] - '0');
    }
    *rest = str_from(*rest, (size_t)width);
    return true;
}

static bool take_fraction(struct str *rest, bool micro)
{
    size_t n = 0;

    if (rest->n > 0 && rest->p[0] == '.')
        while (n + 1 < rest->n && rest->p[n + 1] >= '0' && rest->p[n + 1] <= '9')
            n++;
    if (micro && n != 6)
        return false;
    if (n > 0)
        *rest = str_from(*rest, n + 1);
    return true;
}

static bool take_zone(struct str *rest)
{
    int hours, minutes;
    struct str at = *rest;

    if (at.n > 0 && at.p[0] == 'Z') {
        *rest = str_from(at, 1);
        return true;
    }
    if (at.n < 6 || (at.p[0] != '+' && at.p[0] != '-') || at.p[3] != ':')
        return false;
    at = str_from(at, 1);
    if (!take_digits(&at, 2, &hours))
        return false;
    at = str_from(at, 1);
    if (!take_digits(&at, 2, &minutes))
        return false;
    *rest = at;
    return true;
}

static void cannot_parse(struct schema_walk *w, struct str text, bool micro, struct str rest, const char *as)
{
    AUTO_BUF struct buf quoted = BUF_MAX(4 * KIB), at = BUF_MAX(4 * KIB);

    go_quote(&quoted, str_part(text, 0, KIB));
    go_quote(&at, str_part(rest, 0, KIB));
    schema_own_error(w, "parsing time %s as \"%s\": cannot parse %s as \"%s\"", quoted.p, micro ? LAYOUT_MICRO : LAYOUT,
                     at.p, as);
}

/* Say what Go's time.Parse would have said about text that does not parse. */
static void explain(struct schema_walk *w, struct str text, bool micro)
{
    AUTO_BUF struct buf quoted = BUF_MAX(4 * KIB), extra = BUF_MAX(4 * KIB);
    struct str rest = text;
    const char *out_of_range = "day";
    bool wrong = false;

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        const struct part *part = &parts[i];
        struct str before = rest;
        int number;

        if (part->width == 0 ? rest.n == 0 || rest.p[0] != part->layout[0]
                             : !take_digits(&rest, part->width, &number)) {
            cannot_parse(w, text, micro, before, part->layout);
            return;
        }
        if (part->width == 0)
            rest = str_from(rest, 1);
        else if (part->range && !wrong && (number < part->low || number > part->high)) {
            out_of_range = part->range;
            wrong = true;
        }
    }
    if (!wrong && !take_fraction(&rest, micro)) {
        cannot_parse(w, text, micro, rest, ".000000");
        return;
    }
    if (!wrong && !take_zone(&rest)) {
        cannot_parse(w, text, micro, rest, "Z07:00");
        return;
    }
    go_quote(&quoted, str_part(text, 0, KIB));
    go_quote(&extra, str_part(rest, 0, KIB));
    if (!wrong && rest.n > 0)
        schema_own_error(w, "parsing time %s: extra text: %s", quoted.p, extra.p);
    else
        schema_own_error(w, "parsing time %s: %s out of range", quoted.p, out_of_range);
}

static struct value *normalize_time(struct schema_walk *w, struct value *v, bool micro)
{
    char text[TIME_TEXT_SIZE];
    struct str rest = str_from(v->string, 19); /* after the seconds */
    int micros = 0;
    int64_t ms;

    if (!time_parse(v->string, &ms) || (micro && !take_fraction(&rest, true))) {
        explain(w, v->string, micro);
        return v;
    }
    if (micro) {
        struct str digits = str_part(v->string, 20, 6);
        take_digits(&digits, 6, &micros);
        int64_t seconds = ms / 1000 - (ms % 1000 < 0);
        time_format_micro(seconds * 1000000 + micros, text);
    } else {
        time_format(ms, text);
    }
    return str_is(v->string, text) ? v : value_str(w->arena, arena_str(w->arena, str_of(text)));
}

/* time.Duration's String(), from milliseconds. */
static struct value *normalize_duration(struct schema_walk *w, struct value *v)
{
    int64_t ms;

    if (!time_parse_duration(v->string, &ms)) {
        AUTO_BUF struct buf quoted = BUF_MAX(4 * KIB);
        go_quote(&quoted, str_part(v->string, 0, KIB));
        schema_own_error(w, "time: invalid duration %s", quoted.p);
        return v;
    }
    if (ms == 0)
        return value_text(w->arena, "0s");
    const char *sign = ms < 0 ? "-" : "";
    int64_t n = ms < 0 ? -ms : ms;
    if (n < 1000)
        return value_strf(w->arena, "%s%lldms", sign, (long long)n);
    char seconds[32];
    snprintf(seconds, sizeof(seconds), "%lld.%03d", (long long)(n / 1000 % 60), (int)(n % 1000));
    for (size_t i = strlen(seconds); seconds[i - 1] == '0' || seconds[i - 1] == '.';) {
        bool dot = seconds[--i] == '.';
        seconds[i] = '\0';
        if (dot)
            break;
    }
    if (n >= HOUR_MS)
        return value_strf(w->arena, "%s%lldh%lldm%ss", sign, (long long)(n / HOUR_MS), (long long)(n / MINUTE_MS % 60),
                          seconds);
    if (n >= MINUTE_MS)
        return value_strf(w->arena, "%s%lldm%ss", sign, (long long)(n / MINUTE_MS), seconds);
    return value_strf(w->arena, "%s%ss", sign, seconds);
}

struct value *schema_scalar_time(struct schema_walk *w, const struct schema *s, struct value *v,
                                 const struct schema_frame *f)
{
    static const struct schema string = { .type = SCHEMA_STRING, .go_name = "string" };

    if (v->type != VALUE_STRING) {
        schema_type_error(w, w->style == SCHEMA_CONVERT ? s : &string, v, false, f);
        w->aborted = true;
        return v;
    }
    if (s->type == SCHEMA_DURATION)
        return normalize_duration(w, v);
    return normalize_time(w, v, s->type == SCHEMA_MICRO_TIME);
}
