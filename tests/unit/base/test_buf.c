/* What the growing buffer promises. */
#include "base/buf.h"
#include "test.h"

TEST("what is appended stands one after the other, with a zero byte behind")
{
    AUTO_BUF struct buf b = BUF_MAX(1 * KIB);

    buf_add_text(&b, "a");
    buf_add(&b, STR("bc"));
    buf_add_char(&b, 'd');
    buf_add_repeat(&b, '-', 3);
    buf_addf(&b, "%d%s", 42, "x");
    buf_add_u64(&b, UINT64_MAX);
    buf_add_i64(&b, INT64_MIN);
    buf_add_i64(&b, 0);
    ASSERT_STR(b, "abcd---42x18446744073709551615-92233720368547758080");
    ASSERT_INT(b.p[b.n], 0);
    ASSERT(!b.full);
}

TEST("the maximum can be reached and not passed")
{
    AUTO_BUF struct buf b = BUF_MAX(4);

    buf_add_text(&b, "abcd");
    ASSERT(!b.full);
    buf_add_char(&b, 'e');
    ASSERT(b.full);
    ASSERT_STR(b, "abcd");
}

TEST("after something did not fit, nothing is appended, however small")
{
    AUTO_BUF struct buf b = BUF_MAX(4);

    buf_add_text(&b, "abc");
    buf_add_text(&b, "too long");
    buf_add_text(&b, "d");
    buf_addf(&b, "%s", "d");
    ASSERT(buf_reserve(&b, 0) == NULL);
    ASSERT(b.full);
    ASSERT_STR(b, "abc");
}

TEST("a buffer without a maximum takes nothing")
{
    struct buf b = { 0 };

    buf_add_char(&b, 'a');
    ASSERT(b.full);
    ASSERT_INT(b.n, 0);
    ASSERT(b.p == NULL);
}

TEST("formatted text longer than any guess arrives whole")
{
    AUTO_BUF struct buf b = BUF_MAX(64 * KIB);

    buf_addf(&b, "<%5000d>", 7);
    ASSERT_INT(b.n, 5002);
    ASSERT_STR(str_from(buf_str(&b), 4999), " 7>");
}

TEST("clearing keeps the memory and forgets that it was full")
{
    AUTO_BUF struct buf b = BUF_MAX(2);

    buf_add_text(&b, "abc");
    buf_clear(&b);
    buf_add_text(&b, "ab");
    ASSERT(!b.full);
    ASSERT_STR(b, "ab");
}

TEST("bytes are removed from the front and from the end")
{
    AUTO_BUF struct buf b = BUF_MAX(16);

    buf_add_text(&b, "abcdef");
    buf_drop(&b, 2);
    ASSERT_STR(b, "cdef");
    buf_truncate(&b, 3);
    ASSERT_STR(b, "cde");
    ASSERT_INT(b.p[3], 0);
    buf_truncate(&b, 9);
    ASSERT_STR(b, "cde");
    buf_drop(&b, 9);
    ASSERT_STR(b, "");
    ASSERT_INT(b.p[0], 0);
}

TEST("reserved room is filled by its user")
{
    AUTO_BUF struct buf b = BUF_MAX(8);
    char *to = buf_reserve(&b, 8);

    ASSERT(to == b.p);
    memcpy(to, "12345678", 8);
    b.n += 8;
    ASSERT(buf_reserve(&b, 0) == b.p + 8);
    ASSERT(buf_reserve(&b, 1) == NULL);
    ASSERT(b.full);
}

TEST("a taken content belongs to the taker, and the buffer starts anew")
{
    AUTO_BUF struct buf b = BUF_MAX(8);
    AUTO_FREE char *first = NULL, *second = NULL;
    size_t n;

    buf_add_text(&b, "abc");
    first = buf_take(&b, &n);
    second = buf_take(&b, NULL);
    ASSERT_STR(first, "abc");
    ASSERT_INT(n, 3);
    ASSERT_STR(second, "");
    buf_add_text(&b, "again");
    ASSERT_STR(b, "again");
}
