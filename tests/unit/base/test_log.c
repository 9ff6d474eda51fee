/* What a log line promises. */
#define LOG_PART "node"
#include "base/log.h"
#include "base/time.h"
#include "test.h"

#include <unistd.h>

static char text[16384];

/* What the log wrote since the last call. */
static struct str logged(const int pipe_fds[2])
{
    ssize_t n;

    log_set_fd(2);
    close(pipe_fds[1]);
    n = read(pipe_fds[0], text, sizeof(text));
    close(pipe_fds[0]);
    return (struct str){ text, n > 0 ? (size_t)n : 0 };
}

/* The line behind its time; checks the time. */
static struct str without_time(struct str line)
{
    int64_t ms;

    ASSERT(line.n > 25 && line.p[24] == ' ' && line.p[line.n - 1] == '\n');
    ASSERT(time_parse(str_part(line, 0, 24), &ms));
    return str_part(line, 25, line.n - 26);
}

#define LOGGED(statement)                                                                                              \
    __extension__({                                                                                                    \
        int fds_[2];                                                                                                   \
        ASSERT(pipe(fds_) == 0);                                                                                       \
        log_set_fd(fds_[1]);                                                                                           \
        statement;                                                                                                     \
        logged(fds_);                                                                                                  \
    })

TEST("a line has time, level, part, the event and its values")
{
    struct str line = LOGGED(
        log_info("pod started", KV("pod", "%s/%s", "default", "web-1"), KV("ms", "%d", 12), KV_STR("s", STR("x"))));

    ASSERT_STR(without_time(line), "info node: pod started pod=default/web-1 ms=12 s=x");
}

TEST("an event needs no values")
{
    ASSERT_STR(without_time(LOGGED(log_warn("clock jumped"))), "warn node: clock jumped");
}

TEST("an error is logged by its sentence")
{
    AUTO_ERROR struct error err = { 0 };

    fail(&err, ERR_INTERNAL, "disk full");
    ASSERT_STR(without_time(LOGGED(log_error("cannot write", KV_ERR(&err)))),
               "error node: cannot write error=\"disk full\"");
}

TEST("a value that could be taken for more than a value is quoted and escaped")
{
    ASSERT_STR(without_time(LOGGED(log_info("e", KV("a", "%s", ""), KV("b", "two words"), KV("c", "x=\"y\\")))),
               "info node: e a=\"\" b=\"two words\" c=\"x=\\\"y\\\\\"");
    ASSERT_STR(without_time(LOGGED(log_info("e", KV("a", "x\n2026-11-21T10:00:00.123Z error forged: line")))),
               "info node: e a=\"x\\n2026-11-21T10:00:00.123Z error forged: line\"");
    ASSERT_STR(without_time(LOGGED(log_info("e", KV("a", "x\x7f")))), "info node: e a=\"x\\x7f\"");
    ASSERT_STR(without_time(LOGGED(log_info("e", KV("a", "\033[31m\x7f\r")))),
               "info node: e a=\"\\x1b[31m\\x7f\\x0d\"");
}

TEST("text in any language stays readable, bytes that are no text do not pass")
{
    ASSERT_STR(without_time(LOGGED(log_info("e", KV("a", "gr\xc3\xbc\xc3\x9f"), KV("b", "\xff\xfe")))),
               "info node: e a=gr\xc3\xbc\xc3\x9f b=\"\\xff\\xfe\"");
    /* U+0085 and U+009B: C1 controls, which terminals obey in UTF-8 too */
    ASSERT_STR(without_time(LOGGED(log_info("e", KV("a", "x\xc2\x85\xc2\x9by")))),
               "info node: e a=\"x\\xc2\\x85\\xc2\\x9by\"");
}

TEST("a long value is cut between characters and says so")
{
    char umlauts[601] = "x";
    struct str line;

    for (int i = 0; i < 290; i++)
        memcpy(umlauts + 1 + 2 * i, "\xc3\xa4", 3);
    line = without_time(LOGGED(log_info("e", KV("a", "%s", umlauts))));
    ASSERT(str_ends(line, STR("\xc3\xa4...")));
    ASSERT(str_is_utf8(line));
}

TEST("a line never exceeds what a pipe takes in one piece")
{
    struct log_kv many[64];
    struct str line;

    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = log_kv("key", "%0200d", 7);
    line = LOGGED(log_line(LOG_INFO, "node", "many", many, ARRAY_SIZE(many)));
    ASSERT(line.n <= 4096);
    ASSERT_INT(line.p[line.n - 1], '\n');
}

TEST("values below the level are not even computed")
{
    int computed = 0;

    ASSERT_STR(LOGGED(log_debug("e", KV("a", "%d", ++computed))), "");
    ASSERT_INT(computed, 0);
    log_set_level(LOG_DEBUG);
    ASSERT_CONTAINS(LOGGED(log_debug("e", KV("a", "%d", ++computed))), "debug node: e a=1");
    log_set_level(LOG_ERROR);
    ASSERT_STR(LOGGED(log_warn("e")), "");
    log_set_level(LOG_INFO);
}
