/* Quantities: what is accepted, the canonical text, arithmetic, rounding. */
#include "test.h"

#include "object/quantity.h"

static const struct {
    const char *text, *canonical;
} texts[] = {
    { "0", "0" },
    { "-0", "0" },
    { "0Ki", "0" },
    { "1", "1" },
    { "+1", "1" },
    { "1000", "1k" },
    { "1000k", "1M" },
    { "1500m", "1500m" },
    { "1.5", "1500m" },
    { "0.5", "500m" },
    { ".5", "500m" },
    { "5.", "5" },
    { "100m", "100m" },
    { "1000m", "1" },
    { "0.001", "1m" },
    { "0.0001", "100u" },
    { "1Gi", "1Gi" },
    { "0.5Gi", "512Mi" },
    { "1024Mi", "1Gi" },
    { "1000Mi", "1000Mi" },
    { "1024", "1024" },
    { "512Ki", "512Ki" },
    { "0.1Ki", "102400m" },
    { "1.5Mi", "1536Ki" },
    { "0.1Gi", "107374182400m" },
    { "128974848", "128974848" },
    { "129e6", "129e6" },
    { "129M", "129M" },
    { "123Mi", "123Mi" },
    { "1e3", "1e3" },
    { "1E3", "1e3" },
    { "1000e0", "1e3" },
    { "1e-3", "1e-3" },
    { "1e2", "100" },
    { "15e2", "1500" },
    { "12e4", "120e3" },
    { "1e4", "10e3" },
    { "1E", "1E" },
    { "10E", "10E" },
    { "-1500m", "-1500m" },
    { "-5Gi", "-5Gi" },
    { "1n", "1n" },
    { "1u", "1u" },
    { "0.1n", "1n" },
    { "1.00000000001", "1000000001n" },
    { "0.0000000001", "1n" },
    { "-0.1n", "-1n" },
    { "7Ei", "7Ei" },
    { "8Ei", "9223372036854775807" },
    { "100Ei", "9223372036854775807" },
    { "-9Ei", "-9223372036854775807" },
    { "9223372036854775807", "9223372036854775807" },
    { "9223372036854775808", "9223372036854775808" },
    { "0.000000001Ki", "1024n" },
    { "00012", "12" },
    { "1.000", "1" },
    { "1e18", "1e18" },
    { "0.00000000000000000000000000001Ei", "1n" },
    { "Gi", "0" },
    { "3.141592653589793238462643383279502884197", "3141592654n" },
};

TEST("a text becomes its canonical text, and that is read back as the same")
{
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        AUTO_ERROR struct error err = { 0 };
        struct quantity q, again;
        char text[QUANTITY_TEXT_SIZE];
        ASSERT_OK(quantity_parse(str_of(texts[i].text), &q, &err), &err);
        size_t n = quantity_text(q, text);
        ASSERT_INT(n, strlen(text));
        ASSERT_STR(text, texts[i].canonical);
        ASSERT_OK(quantity_parse(str_of(text), &again, &err), &err);
        ASSERT_INT(quantity_cmp(q, again), 0);
    }
}

TEST("what is no quantity is refused in upstream's words")
{
    static const char *const format[] = { "",    "1 ",   " 1",   "1.1.M",  "1+1.0M", "aoeu",
                                          "1,5", "0x10", "1Gi ", "12e3.5", "1e+-3" };
    static const char *const suffix[] = { "1i", "1ki", "1mi", "--1", "1e", "1e-", "1Gii", "1kk", "1K" };
    AUTO_ERROR struct error err = { 0 };
    struct quantity q;
    for (size_t i = 0; i < ARRAY_SIZE(format); i++)
        ASSERT_FAILS(quantity_parse(str_of(format[i]), &q, &err), &err, ERR_BAD_REQUEST,
                     "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    for (size_t i = 0; i < ARRAY_SIZE(suffix); i++)
        ASSERT_FAILS(quantity_parse(str_of(suffix[i]), &q, &err), &err, ERR_BAD_REQUEST,
                     "unable to parse quantity's suffix");
    ASSERT(!quantity_is_valid((struct str){ "1\0", 2 }));
}

static struct quantity parse(const char *text)
{
    struct quantity q = { 0 };
    ASSERT_OK(quantity_parse(str_of(text), &q, NULL), NULL);
    return q;
}

TEST("values are rounded up, away from zero")
{
    ASSERT_INT(quantity_value(parse("1500m")), 2);
    ASSERT_INT(quantity_value(parse("-1500m")), -2);
    ASSERT_INT(quantity_value(parse("128Mi")), 134217728);
    ASSERT_INT(quantity_value(parse("1n")), 1);
    ASSERT_INT(quantity_milli(parse("1")), 1000);
    ASSERT_INT(quantity_milli(parse("0.0001")), 1);
    ASSERT_INT(quantity_milli(parse("250m")), 250);
    ASSERT_INT(quantity_value(parse("1e25")), INT64_MAX);
    ASSERT_INT(quantity_milli(parse("-1e25")), INT64_MIN);
    ASSERT(quantity_is_whole(parse("2k")));
    ASSERT(!quantity_is_whole(parse("2500m")));
}

TEST("sums are exact and keep the format of the first that is not zero")
{
    char text[QUANTITY_TEXT_SIZE];
    quantity_text(quantity_add(parse("0.1"), parse("0.2")), text);
    ASSERT_STR(text, "300m");
    quantity_text(quantity_add(parse("0"), parse("1Gi")), text);
    ASSERT_STR(text, "1Gi");
    quantity_text(quantity_add(parse("1Gi"), parse("1000M")), text);
    ASSERT_STR(text, "2073741824");
    quantity_text(quantity_sub(parse("1Gi"), parse("1Mi")), text);
    ASSERT_STR(text, "1023Mi");
    quantity_text(quantity_sub(parse("0"), parse("1")), text);
    ASSERT_STR(text, "-1");
    struct quantity most = parse("1e9999");
    ASSERT_INT(quantity_cmp(quantity_add(most, most), most), 0);
    ASSERT_INT(quantity_sign(quantity_sub(quantity_neg(most), most)), -1);
    ASSERT(quantity_text(quantity_neg(most), text) < QUANTITY_TEXT_SIZE);
    ASSERT_INT(quantity_cmp(parse("1024Mi"), parse("1Gi")), 0);
    ASSERT_INT(quantity_cmp(parse("999m"), parse("1")), -1);
    ASSERT_INT(quantity_milli(quantity_of_milli(1, QUANTITY_DECIMAL_SI)), 1);
    ASSERT_INT(quantity_value(quantity_of(INT64_MIN, QUANTITY_DECIMAL_SI)), INT64_MIN);
}

TEST("a long text costs no more than its length")
{
    AUTO_BUF struct buf text = BUF_MAX(8 * MIB);
    buf_add_text(&text, "0.");
    buf_add_repeat(&text, '0', 3 * MIB);
    buf_add_char(&text, '1');
    ASSERT_INT(quantity_value(parse(text.p)), 1);
    ASSERT_INT(quantity_sign(parse("0e9999")), 0);
    ASSERT_INT(quantity_value(parse("1e-9999")), 1);
}
