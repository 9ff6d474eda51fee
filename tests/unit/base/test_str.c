/* What reading strings promises. */
#include "base/str.h"
#include "test.h"

TEST("strings are ordered by bytes, a prefix first")
{
    ASSERT(str_cmp(STR("a"), STR("b")) < 0);
    ASSERT(str_cmp(STR("b"), STR("aa")) > 0);
    ASSERT(str_cmp(STR("a"), STR("aa")) < 0);
    ASSERT(str_cmp(STR("\xff"), STR("a")) > 0);
    ASSERT(str_cmp(STR_NONE, STR("")) == 0);
}

TEST("an empty string without a pointer behaves like any empty string")
{
    struct str head, rest = STR_NONE;

    ASSERT(str_eq(STR_NONE, STR("")));
    ASSERT(str_is(STR_NONE, ""));
    ASSERT(str_is(STR_NONE, NULL));
    ASSERT(str_starts(STR_NONE, STR_NONE));
    ASSERT(str_ends(STR_NONE, STR("")));
    ASSERT(str_contains(STR_NONE, STR("")));
    ASSERT(!str_contains(STR_NONE, STR("a")));
    ASSERT_INT(str_find(STR_NONE, 'a'), -1);
    ASSERT(!str_next(&rest, ',', &head));
    ASSERT_STR(str_trim(STR_NONE), "");
    ASSERT(str_hash(STR_NONE) == str_hash(STR("")));
}

TEST("case is ignored for ASCII letters only")
{
    ASSERT(str_eq_nocase(STR("Content-Type"), STR("content-TYPE")));
    ASSERT(!str_eq_nocase(STR("[\\]"), STR("{|}")));
    ASSERT(!str_eq_nocase(STR("\xc3\x84"), STR("\xc3\xa4"))); /* A and a with two dots */
    ASSERT(!str_eq_nocase(STR("a"), STR("ab")));
}

TEST("parts are clipped to the string")
{
    ASSERT_STR(str_from(STR("hello"), 2), "llo");
    ASSERT_STR(str_from(STR("hello"), 9), "");
    ASSERT_STR(str_part(STR("hello"), 1, 3), "ell");
    ASSERT_STR(str_part(STR("hello"), 4, SIZE_MAX), "o");
    ASSERT_STR(str_trim(STR(" \t\r\n a b \v\f")), "a b");
}

TEST("a string is cut at the first separator")
{
    struct str rest = STR("a=b=c"), head;

    ASSERT(str_cut(&rest, '=', &head));
    ASSERT_STR(head, "a");
    ASSERT_STR(rest, "b=c");
}

TEST("without a separator the head is everything")
{
    struct str rest = STR("abc"), head;

    ASSERT(!str_cut(&rest, '=', &head));
    ASSERT_STR(head, "abc");
    ASSERT_STR(rest, "");
}

TEST("parts between separators may be empty, and nothing follows the last separator")
{
    struct str rest = STR("a,,b,"), part;

    ASSERT(str_next(&rest, ',', &part));
    ASSERT_STR(part, "a");
    ASSERT(str_next(&rest, ',', &part));
    ASSERT_STR(part, "");
    ASSERT(str_next(&rest, ',', &part));
    ASSERT_STR(part, "b");
    ASSERT(!str_next(&rest, ',', &part));
}

TEST("numbers are whole strings of digits within their type")
{
    int64_t i;
    uint64_t u;

    ASSERT(str_to_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
    ASSERT(str_to_i64(STR("9223372036854775807"), &i) && i == INT64_MAX);
    ASSERT(!str_to_i64(STR("9223372036854775808"), &i));
    ASSERT(!str_to_i64(STR("-9223372036854775809"), &i));
    ASSERT(str_to_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    ASSERT(!str_to_u64(STR("18446744073709551616"), &u));
    ASSERT(str_to_u64(STR("007"), &u) && u == 7);
    ASSERT(!str_to_i64(STR(""), &i));
    ASSERT(!str_to_i64(STR("-"), &i));
    ASSERT(!str_to_i64(STR("+1"), &i));
    ASSERT(!str_to_i64(STR("--1"), &i));
    ASSERT(!str_to_i64(STR(" 1"), &i));
    ASSERT(!str_to_i64(STR("1a"), &i));
    ASSERT(!str_to_u64(STR("-1"), &u));
}

TEST("secrets are compared whole")
{
    ASSERT(str_eq_constant_time(STR("token"), STR("token")));
    ASSERT(!str_eq_constant_time(STR("token"), STR("tokem")));
    ASSERT(!str_eq_constant_time(STR("xoken"), STR("token")));
    ASSERT(!str_eq_constant_time(STR("token"), STR("token1")));
    ASSERT(str_eq_constant_time(STR_NONE, STR("")));
}

/* The boundaries of Unicode's table of well-formed sequences. */
TEST("UTF-8 is what Unicode calls well-formed")
{
    ASSERT(str_is_utf8(STR("")));
    ASSERT(str_is_utf8(STR("a\xc2\x80\xdf\xbf")));
    ASSERT(str_is_utf8(STR("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf")));
    ASSERT(str_is_utf8(STR("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")));
    ASSERT(!str_is_utf8(STR("\x80")));     /* a continuation alone */
    ASSERT(!str_is_utf8(STR("\xc0\xaf"))); /* overlong "/" */
    ASSERT(!str_is_utf8(STR("\xc1\xbf")));
    ASSERT(!str_is_utf8(STR("\xe0\x9f\xbf")));     /* overlong */
    ASSERT(!str_is_utf8(STR("\xed\xa0\x80")));     /* a surrogate */
    ASSERT(!str_is_utf8(STR("\xf0\x8f\xbf\xbf"))); /* overlong */
    ASSERT(!str_is_utf8(STR("\xf4\x90\x80\x80"))); /* past U+10FFFF */
    ASSERT(!str_is_utf8(STR("\xf5\x80\x80\x80")));
    ASSERT(!str_is_utf8(STR("\xe2\x82"))); /* cut off */
    ASSERT(!str_is_utf8(STR("\xe2\x82z")));
}

TEST("the hash depends on every byte and on the length")
{
    char bytes[40] = { 0 };

    for (size_t n = 0; n < sizeof(bytes); n++) {
        uint64_t before = str_hash((struct str){ bytes, n });

        ASSERT(before == str_hash((struct str){ bytes, n }));
        ASSERT(before != str_hash((struct str){ bytes, n + 1 }));
        for (size_t i = 0; i < n; i++) {
            bytes[i] ^= 1;
            ASSERT(before != str_hash((struct str){ bytes, n }));
            bytes[i] ^= 1;
        }
    }
}
