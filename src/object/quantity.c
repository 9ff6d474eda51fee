/* Quantities: exact decimal arithmetic in 128 bits, suffixes in and out. */
#include "object/quantity.h"

#define NANO          ((__int128)1000000000)
#define FORMAT_WRONG  "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
#define NUMERIC_WRONG "unable to parse numeric part of quantity"
#define SUFFIX_WRONG  "unable to parse quantity's suffix"

/* The parts of a text: sign, digits before and after the point (zeros in front dropped), suffix. */
struct parts {
    bool negative;
    struct str whole, fraction, suffix;
};

static struct str take_while(struct str *rest, const char *set)
{
    size_t n = 0;
    while (n < rest->n && rest->p[n] && strchr(set, rest->p[n]))
        n++;
    struct str taken = { rest->p, n };
    *rest = str_from(*rest, n);
    return taken;
}

static bool split(struct str text, struct parts *ret)
{
    struct str rest = text;
    *ret = (struct parts){ 0 };
    if (text.n == 0)
        return false;
    if (*rest.p == '-' || *rest.p == '+') {
        ret->negative = *rest.p == '-';
        rest = str_from(rest, 1);
    }
    take_while(&rest, "0");
    ret->whole = take_while(&rest, "0123456789");
    if (str_starts(rest, STR("."))) {
        rest = str_from(rest, 1);
        ret->fraction = take_while(&rest, "0123456789");
    }
    ret->suffix = rest;
    take_while(&rest, "eEinumkKMGTP");
    if (str_starts(rest, STR("-")) || str_starts(rest, STR("+")))
        rest = str_from(rest, 1);
    take_while(&rest, "0123456789");
    return rest.n == 0;
}

static const struct {
    struct str text;
    int exponent;
    enum quantity_format format;
} suffixes[] = {
    { STR_INIT(""), 0, QUANTITY_DECIMAL_SI },   { STR_INIT("m"), -3, QUANTITY_DECIMAL_SI },
    { STR_INIT("Mi"), 20, QUANTITY_BINARY_SI }, { STR_INIT("Gi"), 30, QUANTITY_BINARY_SI },
    { STR_INIT("Ki"), 10, QUANTITY_BINARY_SI }, { STR_INIT("Ti"), 40, QUANTITY_BINARY_SI },
    { STR_INIT("Pi"), 50, QUANTITY_BINARY_SI }, { STR_INIT("Ei"), 60, QUANTITY_BINARY_SI },
    { STR_INIT("k"), 3, QUANTITY_DECIMAL_SI },  { STR_INIT("M"), 6, QUANTITY_DECIMAL_SI },
    { STR_INIT("G"), 9, QUANTITY_DECIMAL_SI },  { STR_INIT("T"), 12, QUANTITY_DECIMAL_SI },
    { STR_INIT("P"), 15, QUANTITY_DECIMAL_SI }, { STR_INIT("E"), 18, QUANTITY_DECIMAL_SI },
    { STR_INIT("u"), -6, QUANTITY_DECIMAL_SI }, { STR_INIT("n"), -9, QUANTITY_DECIMAL_SI },
};

static bool read_suffix(struct str suffix, int *ret_exponent, enum quantity_format *ret_format)
{
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        if (str_eq(suffix, suffixes[i].text)) {
            *ret_exponent = suffixes[i].exponent;
            *ret_format = suffixes[i].format;
            return true;
        }
    }
    if (suffix.n < 2 || (suffix.p[0] | 0x20) != 'e')
        return false;
    struct str number = str_from(suffix, suffix.p[1] == '+' ? 2 : 1);
    int64_t exponent;
    if (str_starts(number, STR("+")) || !str_to_i64(number, &exponent))
        return false;
    *ret_exponent = (int)MAX(MIN(exponent, 10000), -10000); /* far past what matters on both sides */
    *ret_format = QUANTITY_DECIMAL_EXPONENT;
    return true;
}

/*
 * The first `count` digits of whole and fraction as a number, with zeros where they end; stops at QUANTITY_NANO_MAX. Sets
 * *ret_rest when a digit that is not zero comes after.
 */
static __int128 leading_digits(const struct parts *p, int64_t count, bool *ret_rest)
{
    __int128 n = 0;
    int64_t digits = (int64_t)(p->whole.n + p->fraction.n);
    *ret_rest = false;
    for (int64_t i = 0; i < MAX(count, digits); i++) {
        int digit = 0;
        if (i < digits)
            digit = (i < (int64_t)p->whole.n ? p->whole.p[i] : p->fraction.p[i - (int64_t)p->whole.n]) - '0';
        if (i >= count) {
            *ret_rest |= digit != 0;
            continue;
        }
        n = n * 10 + digit;
        if (n > QUANTITY_NANO_MAX)
            return QUANTITY_NANO_MAX;
        if (n == 0 && i >= digits)
            break;
    }
    return n;
}

static __int128 decimal_nano(const struct parts *p, int exponent)
{
    bool rest;
    __int128 n = leading_digits(p, (int64_t)p->whole.n + exponent + 9, &rest);
    return n + rest; /* whoever asks for some should get some: too fine a number is rounded up */
}

/* whole * 2^exponent, and ceil(fraction * 2^exponent * 10^9) from its first 27 digits, which fit 128 bits in two halves. */
static __int128 binary_nano(const struct parts *p, int exponent)
{
    const __int128 half = 1000000000000000000;
    struct parts whole = { .whole = p->whole }, fraction = { .fraction = p->fraction };
    bool rest;
    __int128 w = leading_digits(&whole, (int64_t)p->whole.n, &rest);
    if (w > INT64_MAX)
        return (__int128)INT64_MAX * NANO;
    __int128 f = leading_digits(&fraction, 27, &rest);
    __int128 low = ((f % half) << exponent) + rest;
    __int128 units = w << exponent, nano = ((f / half) << exponent) + low / half + (low % half != 0);
    if (units >= INT64_MAX)
        return (__int128)INT64_MAX * NANO;
    return MIN(units * NANO + nano, (__int128)INT64_MAX * NANO);
}

static const char *parse(struct str text, struct quantity *ret)
{
    struct parts p;
    int exponent;
    enum quantity_format format;
    if (!split(text, &p))
        return FORMAT_WRONG;
    if (!read_suffix(p.suffix, &exponent, &format))
        return SUFFIX_WRONG;
    __int128 nano = format == QUANTITY_BINARY_SI ? binary_nano(&p, exponent) : decimal_nano(&p, exponent);
    if (format == QUANTITY_BINARY_SI && nano < NANO)
        format = QUANTITY_DECIMAL_SI; /* less than one has no binary suffix */
    *ret = (struct quantity){ p.negative ? -nano : nano, format };
    return NULL;
}

int quantity_parse(struct str text, struct quantity *ret, struct error *err)
{
    const char *wrong = parse(text, ret);
    return wrong ? fail(err, ERR_BAD_REQUEST, "%s", wrong) : 0;
}

bool quantity_is_valid(struct str text)
{
    struct quantity q;
    return !parse(text, &q);
}

struct quantity quantity_of(int64_t n, enum quantity_format format)
{
    return (struct quantity){ n * NANO, format };
}

struct quantity quantity_of_milli(int64_t n, enum quantity_format format)
{
    return (struct quantity){ n * (NANO / 1000), format };
}

static size_t write_number(char *to, __int128 n, const char *suffix)
{
    char digits[48];
    size_t count = 0, bytes = 0;
    unsigned __int128 rest = n < 0 ? -(unsigned __int128)n : (unsigned __int128)n;
    do
        digits[count++] = (char)('0' + (int)(rest % 10));
    while ((rest /= 10) != 0);
    if (n < 0)
        to[bytes++] = '-';
    while (count)
        to[bytes++] = digits[--count];
    size_t suffix_bytes = strlen(suffix);
    memcpy(to + bytes, suffix, suffix_bytes + 1);
    return bytes + suffix_bytes;
}

static size_t decimal_text(__int128 nano, bool exponent_form, char *ret)
{
    static const char *const names[] = { "n", "u", "m", "", "k", "M", "G", "T", "P", "E" };
    static const char *const exponents[] = { "e-9", "e-6", "e-3", "",    "e3",  "e6", "e9",
                                             "e12", "e15", "e18", "e21", "e24", "e27" };
    size_t step = 0, last = exponent_form ? ARRAY_SIZE(exponents) - 1 : ARRAY_SIZE(names) - 1;
    while (step < last && nano % 1000 == 0) {
        nano /= 1000;
        step++;
    }
    return write_number(ret, nano, exponent_form ? exponents[step] : names[step]);
}

static size_t binary_text(__int128 n, char *ret)
{
    static const char *const names[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
    size_t step = 0;
    while (step + 1 < ARRAY_SIZE(names) && n % 1024 == 0) {
        n /= 1024;
        step++;
    }
    return write_number(ret, n, names[step]);
}

size_t quantity_text(struct quantity q, char ret[QUANTITY_TEXT_SIZE])
{
    if (q.nano == 0)
        return write_number(ret, 0, "");
    /* A binary suffix would hide a fraction, and below 1024 there is none to use. */
    bool small = q.nano > -1024 * NANO && q.nano < 1024 * NANO;
    if (q.format == QUANTITY_BINARY_SI && !small && q.nano % NANO == 0)
        return binary_text(q.nano / NANO, ret);
    return decimal_text(q.nano, q.format == QUANTITY_DECIMAL_EXPONENT, ret);
}

void quantity_write(struct buf *to, struct quantity q)
{
    char text[QUANTITY_TEXT_SIZE];
    buf_add_bytes(to, text, quantity_text(q, text));
}

int quantity_cmp(struct quantity a, struct quantity b)
{
    return (a.nano > b.nano) - (a.nano < b.nano);
}

int quantity_sign(struct quantity q)
{
    return (q.nano > 0) - (q.nano < 0);
}

bool quantity_is_zero(struct quantity q)
{
    return q.nano == 0;
}

static struct quantity sum(struct quantity a, __int128 nano, enum quantity_format format)
{
    __int128 n = MAX(MIN(a.nano + nano, QUANTITY_NANO_MAX), -QUANTITY_NANO_MAX);
    return (struct quantity){ n, a.nano == 0 ? format : a.format };
}

struct quantity quantity_add(struct quantity a, struct quantity b)
{
    return sum(a, b.nano, b.format);
}

struct quantity quantity_sub(struct quantity a, struct quantity b)
{
    return sum(a, -b.nano, b.format);
}

struct quantity quantity_neg(struct quantity q)
{
    return (struct quantity){ -q.nano, q.format };
}

static int64_t scaled(__int128 nano, __int128 unit)
{
    __int128 n = nano / unit;
    if (nano % unit != 0)
        n += nano > 0 ? 1 : -1;
    return (int64_t)MAX(MIN(n, (__int128)INT64_MAX), (__int128)INT64_MIN);
}

int64_t quantity_value(struct quantity q)
{
    return scaled(q.nano, NANO);
}

int64_t quantity_milli(struct quantity q)
{
    return scaled(q.nano, NANO / 1000);
}

bool quantity_is_whole(struct quantity q)
{
    return q.nano % NANO == 0;
}
