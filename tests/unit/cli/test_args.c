/* Command-line arguments: what is accepted, and the sentence for what is not. */
#include "cli/args.h"
#include "cli/cluster.h"
#include "test.h"

static const struct option_row options[] = {
    { "name", "NAME", "klein", "the name" },  { "mirror", "HOST=URL", NULL, "a mirror", true },
    { "output", "FORMAT", NULL, "the form" }, { "zones", "N", "3", "zones" },
    { "verbose", NULL, NULL, "log more" },    { 0 },
};

static struct args a;

/* Blanks separate; returns what args_parse() does. */
static int parse(const char *line, struct error *err)
{
    static char text[200];
    static char *argv[20];
    int argc = 0;
    struct str rest = str_of(line), word;
    size_t at = 0;

    while (str_next(&rest, ' ', &word)) {
        memcpy(text + at, word.p, word.n);
        argv[argc++] = text + at;
        at += word.n;
        text[at++] = 0;
    }
    argv[argc] = NULL;
    return args_parse(&a, options, argc, argv, err);
}

TEST("an option is given in either form, and has its default otherwise")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(parse("--name two --zones=5", &err), &err);
    ASSERT_STR(arg(&a, "name"), "two");
    ASSERT_STR(arg(&a, "zones"), "5");
    ASSERT(!arg(&a, "output"));
    ASSERT_OK(parse("-o json", &err), &err);
    ASSERT_STR(arg(&a, "name"), "klein");
    ASSERT_STR(arg(&a, "output"), "json");
    ASSERT(!arg_given(&a, "verbose"));
    ASSERT_OK(parse("--verbose", &err), &err);
    ASSERT(arg_given(&a, "verbose"));
}

TEST("of an option given twice the last counts, unless it may be repeated")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(parse("--name a --name b --mirror x=y --mirror=z=w", &err), &err);
    ASSERT_STR(arg(&a, "name"), "b");
    ASSERT_INT(arg_count(&a, "mirror"), 2);
    ASSERT_STR(arg_nth(&a, "mirror", 0), "x=y");
    ASSERT_STR(arg_nth(&a, "mirror", 1), "z=w");
}

TEST("what is wrong is said in one sentence")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_FAILS(parse("--nmae x", &err), &err, ERR_BAD_REQUEST, "unknown option '--nmae'");
    ASSERT_FAILS(parse("--name", &err), &err, ERR_BAD_REQUEST, "option '--name' needs a value");
    ASSERT_OK(parse("--verbose stray", &err), &err);
    ASSERT_FAILS(args_no_words(&a, &err), &err, ERR_BAD_REQUEST, "unexpected argument 'stray'");
    ASSERT_FAILS(parse("--verbose=1", &err), &err, ERR_BAD_REQUEST, "option '--verbose' takes no value");
}

TEST("what follows -- belongs to somebody else")
{
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(parse("--name x -- --name y", &err), &err);
    ASSERT_STR(arg(&a, "name"), "x");
    ASSERT_STR((const char *)a.rest[0], "--name");
    ASSERT_STR((const char *)a.rest[1], "y");
    ASSERT(!a.rest[2]);
}

TEST("numbers have limits")
{
    AUTO_ERROR struct error err = { 0 };
    int64_t n = 0;

    ASSERT_OK(parse("--zones 7", &err), &err);
    ASSERT_OK(arg_number(&a, "zones", 1, 16, &n, &err), &err);
    ASSERT_INT(n, 7);
    ASSERT_FAILS(arg_number(&a, "zones", 1, 6, &n, &err), &err, ERR_BAD_REQUEST,
                 "--zones must be a number from 1 to 6, not '7'");
    ASSERT_OK(parse("--zones 7x", &err), &err);
    ASSERT_FAILS(arg_number(&a, "zones", 1, 16, &n, &err), &err, ERR_BAD_REQUEST, "not '7x'");
}

TEST("a cluster's name can be part of file names, links and host names")
{
    static const char *const bad[] = { "",   "-a",  "a-",
                                       "A",  "a_b", "a/b",
                                       "..", "a b", "abcdefghijklmnopqrstuvwxyz0123456" };
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(cluster_name_check("klein", &err), &err);
    ASSERT_OK(cluster_name_check("a-2", &err), &err);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ASSERT_FAILS(cluster_name_check(bad[i], &err), &err, ERR_BAD_REQUEST, "a cluster's name has 1 to 32");
}
