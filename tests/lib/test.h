/*
 * Unit tests that read as a specification: a sentence and a few lines.
 *
 *     #include "test.h"
 *
 *     TEST("a string is cut at the first separator")
 *     {
 *         struct str rest = STR("a=b=c"), head;
 *
 *         ASSERT(str_cut(&rest, '=', &head));
 *         ASSERT_STR(head, "a");
 *         ASSERT_STR(rest, "b=c");
 *     }
 *
 * That is a whole test file: main() comes from this library. Tests register themselves, in the order of the file. They run
 * under cmocka; a failure ends the test and prints file, line, the expression, what was expected and what came. AUTO_*
 * cleanups are skipped on failure only, so leak reports after a failed test mean nothing.
 *
 * Running: the program runs all its tests, or those whose sentence contains its argument; --list prints the sentences.
 * Random input comes from test_seed(): it is new on every run, printed when a test fails, and set with KLEIN_SEED=N.
 */
#ifndef TESTS_LIB_TEST_H
#define TESTS_LIB_TEST_H

#include "base/buf.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#undef fail /* cmocka's macro; here fail() is base/error.h's */

#define TEST(sentence)            TEST_UNIQUE_(sentence, __COUNTER__)
#define TEST_UNIQUE_(sentence, n) TEST_NAMED_(sentence, n)
#define TEST_NAMED_(sentence, n)                                                                                       \
    static void test_body_##n(void **);                                                                                \
    __attribute__((constructor)) static void test_register_##n(void)                                                   \
    {                                                                                                                  \
        test_register(sentence, test_body_##n);                                                                        \
    }                                                                                                                  \
    static void test_body_##n(UNUSED void **test_state_)

void test_register(const char *sentence, CMUnitTestFunction body);

/* Fail the running test at this place. The text is printed after "FILE:LINE: ". Never returns. */
void test_fail(const char *file, int line, const char *format, ...) PRINTF(3, 4) NORETURN;
#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

#define ASSERT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            FAIL("not true: %s", #condition);                                                                          \
    } while (0)

/* This machine cannot run the test: it ends here and counts neither as passed nor as failed; the reason is printed. */
void test_skip(const char *format, ...) PRINTF(1, 2) NORETURN;

/* Integers, signed or not. */
#define ASSERT_INT(actual, expected)                                                                                   \
    do {                                                                                                               \
        long long actual_ = (long long)(actual), expected_ = (long long)(expected);                                    \
        if (actual_ != expected_)                                                                                      \
            FAIL("%s\n  expected: %lld\n  actual:   %lld", #actual, expected_, actual_);                               \
    } while (0)

/* Texts: each side is a struct str, a struct buf, or a zero-terminated string. NULL differs from "". */
#define TEST_STR_(s)                                                                                                   \
    _Generic((s), struct str: test_str_of_str, struct buf: test_str_of_buf, char *: test_str_of_text,                  \
        const char *: test_str_of_text)(s)
#define ASSERT_STR(actual, expected)                                                                                   \
    test_assert_str(__FILE__, __LINE__, #actual, TEST_STR_(actual), TEST_STR_(expected))
#define ASSERT_CONTAINS(actual, part)                                                                                  \
    test_assert_contains(__FILE__, __LINE__, #actual, TEST_STR_(actual), TEST_STR_(part))

/* A call that ends in `err`: ASSERT_OK(file_read(path, &text, &err), &err); pointers count as success unless NULL. */
#define TEST_SUCCEEDED_(result)                                                                                        \
    _Generic((result), int : (intptr_t)(result) >= 0, bool : (intptr_t)(result) != 0, default : (intptr_t)(result) != 0)
#define ASSERT_OK(call, err)                                                                                           \
    do {                                                                                                               \
        __typeof__(call) result_ = (call);                                                                             \
        if (!TEST_SUCCEEDED_(result_))                                                                                 \
            FAIL("%s failed: %s", #call, error_text(err));                                                             \
    } while (0)
/* The call fails with this code and a message that contains this part. Empties the error for the next use. */
#define ASSERT_FAILS(call, err, expected_code, part)                                                                   \
    do {                                                                                                               \
        __typeof__(call) result_ = (call);                                                                             \
        test_assert_failed(__FILE__, __LINE__, #call, !TEST_SUCCEEDED_(result_), (err), (expected_code), (part));      \
    } while (0)

/* Real time only: true as soon as the condition holds, failing after the deadline. Never sleep in a test instead. */
#define WAIT_UNTIL(condition, deadline_ms)                                                                             \
    do {                                                                                                               \
        int64_t wait_end_ = test_now_ms() + (deadline_ms);                                                             \
        while (!(condition)) {                                                                                         \
            if (test_now_ms() > wait_end_)                                                                             \
                FAIL("not within %lld ms: %s", (long long)(deadline_ms), #condition);                                  \
            test_nap();                                                                                                \
        }                                                                                                              \
    } while (0)

/* An empty folder of the running test, removed with everything in it when the test ends. */
const char *test_folder(void);
/* "FOLDER/name"; lives as long as the test. */
const char *test_path(const char *name);
/* A file of the source tree: test_source("tests/unit/object/vectors"); lives as long as the test. */
const char *test_source(const char *path);
/* The seed of this run; the same for all its tests. */
uint64_t test_seed(void);

struct str test_str_of_str(struct str s);
struct str test_str_of_buf(struct buf b);
struct str test_str_of_text(const char *s);
void test_assert_str(const char *file, int line, const char *what, struct str actual, struct str expected);
void test_assert_contains(const char *file, int line, const char *what, struct str actual, struct str part);
void test_assert_failed(const char *file, int line, const char *call, bool failed, struct error *err,
                        enum error_code code, const char *part);
int64_t test_now_ms(void);
void test_nap(void);

#endif
