/* The main of every unit test program: registration, selection by sentence, and what assertions print. */
#include "test.h"

#include "base/arena.h"
#include "base/env.h"
#include "base/file.h"
#include "base/time.h"

#include <stdio.h>
#include <unistd.h>

static struct CMUnitTest *tests;
static size_t tests_count, tests_capacity;
static size_t skipped;

/* Of the running test. */
static struct arena memory;
static char *folder;

/* Read by the sanitizers at start, so that a program run by hand behaves as it does under `make test`. */
const char *__ubsan_default_options(void);
const char *__asan_default_options(void);

const char *__ubsan_default_options(void)
{
    return "halt_on_error=1:print_stacktrace=1";
}

const char *__asan_default_options(void)
{
    return "detect_stack_use_after_return=1:strict_string_checks=1";
}

void test_fail(const char *file, int line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n  seed:     KLEIN_SEED=%llu\n", (unsigned long long)test_seed());
    va_end(args);
    _fail(file, line);
    abort(); /* not reached: _fail jumps */
}

struct str test_str_of_str(struct str s)
{
    return s;
}

struct str test_str_of_buf(struct buf b)
{
    return (struct str){ b.p, b.n };
}

struct str test_str_of_text(const char *s)
{
    return s ? str_of(s) : STR("(null)");
}

void test_skip(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    printf("skipped: ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    skipped++;
    _skip(__FILE__, __LINE__);
    abort(); /* not reached: _skip jumps */
}

void test_assert_str(const char *file, int line, const char *what, struct str actual, struct str expected)
{
    if (!str_eq(actual, expected))
        test_fail(file, line, "%s\n  expected: \"%.*s\"\n  actual:   \"%.*s\"", what, STR_ARG(expected),
                  STR_ARG(actual));
}

void test_assert_contains(const char *file, int line, const char *what, struct str actual, struct str part)
{
    if (!str_contains(actual, part))
        test_fail(file, line, "%s\n  expected a part: \"%.*s\"\n  actual:          \"%.*s\"", what, STR_ARG(part),
                  STR_ARG(actual));
}

void test_assert_failed(const char *file, int line, const char *call, bool failed, struct error *err,
                        enum error_code code, const char *part)
{
    if (!failed)
        test_fail(file, line, "%s\n  expected: %s\n  actual:   success", call, error_reason(code));
    if (err->code != code || !str_contains(str_of(error_text(err)), str_of(part)))
        test_fail(file, line, "%s\n  expected: %s ...%s...\n  actual:   %s %s", call, error_reason(code), part,
                  error_reason(err->code), error_text(err));
    error_done(err);
}

int64_t test_now_ms(void)
{
    return time_monotonic_ms();
}

void test_nap(void)
{
    usleep(1000);
}

uint64_t test_seed(void)
{
    static uint64_t seed;

    if (!seed) {
        const char *wanted = getenv("KLEIN_SEED");

        if (!wanted || !str_to_u64(str_of(wanted), &seed) || !seed)
            seed = env_random_below(env_system(), 1000000000) + 1;
    }
    return seed;
}

const char *test_folder(void)
{
    if (!folder) {
        const char *root = getenv("TMPDIR");

        folder = xasprintf("%s/klein-test-XXXXXX", root ? root : "/tmp");
        if (!mkdtemp(folder))
            FAIL("cannot make the folder '%s'", folder);
    }
    return folder;
}

const char *test_path(const char *name)
{
    return arena_printf(&memory, "%s/%s", test_folder(), name).p;
}

const char *test_source(const char *path)
{
    return arena_printf(&memory, "%s/%s", SOURCE_ROOT, path).p;
}

static int after_each(UNUSED void **state)
{
    AUTO_ERROR struct error err = { 0 };

    if (folder && file_remove_tree(folder, &err) < 0)
        fprintf(stderr, "%s\n", error_text(&err));
    free(folder);
    folder = NULL;
    arena_done(&memory);
    return err.code == ERR_NONE ? 0 : -1;
}

void test_register(const char *sentence, CMUnitTestFunction body)
{
    GROW(tests, tests_count, tests_capacity);
    tests[tests_count++] = (struct CMUnitTest){ .name = sentence, .test_func = body, .teardown_func = after_each };
}

/* Keep only the tests whose sentence contains `part`. */
static void select_tests(const char *part)
{
    size_t kept = 0;

    for (size_t i = 0; i < tests_count; i++)
        if (str_contains(str_of(tests[i].name), str_of(part)))
            tests[kept++] = tests[i];
    tests_count = kept;
}

int main(int argc, char **argv)
{
    int failed;

    if (argc > 1 && str_is(STR("--list"), argv[1])) {
        for (size_t i = 0; i < tests_count; i++)
            printf("%s\n", tests[i].name);
        return 0;
    }
    if (argc > 1)
        select_tests(argv[1]);
    failed = _cmocka_run_group_tests(argv[0], tests, tests_count, NULL, NULL);
    printf("test result: %zu passed, %d failed\n", tests_count - (size_t)failed - skipped,
           failed); /* read by scripts/test */
    free(tests);
    return failed ? 1 : 0;
}
