/* Logging: one line per event, built on the stack and written with one write(2). */
#include "base/log.h"
#include "base/time.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)4096) /* a pipe takes this much in one piece: lines of processes do not mix */

static atomic_int threshold = LOG_INFO;
static atomic_int target_fd = STDERR_FILENO;

struct line {
    char text[LINE_MAX_BYTES];
    size_t n;
};

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, (int)level);
}

void log_set_fd(int fd)
{
    atomic_store(&target_fd, fd);
}

struct log_kv log_kv(const char *key, const char *format, ...)
{
    struct log_kv kv = { .key = key };
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(kv.value, sizeof(kv.value), format, args);
    va_end(args);
    if (n >= (int)sizeof(kv.value)) {
        size_t end = sizeof(kv.value) - 4;

        while (end > 0 && ((unsigned char)kv.value[end] & 0xc0) == 0x80)
            end--; /* not through the middle of a character */
        memcpy(kv.value + end, "...", 4);
    }
    return kv;
}

/* All or nothing, and always one byte left for the line's end. */
static void line_add(struct line *line, struct str s)
{
    if (s.n < sizeof(line->text) - line->n) {
        memcpy(line->text + line->n, s.p, s.n);
        line->n += s.n;
    }
}

/* Bytes that may stand in a line as they are: no control bytes (C0, DEL, and C1 in its UTF-8 form). */
static bool is_plain(struct str value)
{
    if (!str_is_utf8(value))
        return false;
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];

        if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)value.p[i + 1] < 0xa0))
            return false;
    }
    return true;
}

static bool needs_quotes(struct str value)
{
    if (value.n == 0)
        return true;
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == ' ' || value.p[i] == '"' || value.p[i] == '\\' || value.p[i] == '=')
            return true;
    return false;
}

static void add_value(struct line *line, struct str value)
{
    bool plain = is_plain(value);

    if (plain && !needs_quotes(value)) {
        line_add(line, value);
        return;
    }
    line_add(line, STR("\""));
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        char escaped[8];

        if (c == '"' || c == '\\')
            snprintf(escaped, sizeof(escaped), "\\%c", c);
        else if (c == '\n')
            snprintf(escaped, sizeof(escaped), "\\n");
        else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !plain))
            snprintf(escaped, sizeof(escaped), "\\x%02x", c);
        else
            snprintf(escaped, sizeof(escaped), "%c", c);
        line_add(line, str_of(escaped));
    }
    line_add(line, STR("\""));
}

void log_line(enum log_level level, const char *part, const char *event, const struct log_kv *kvs, size_t count)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    int64_t now_ms = time_wall_ms();
    char when[TIME_TEXT_SIZE], fraction[8];
    struct line line;
    ssize_t ignored;

    line.n = 0;
    time_format(now_ms, when);
    snprintf(fraction, sizeof(fraction), ".%03dZ ", (int)(now_ms % 1000));
    line_add(&line, str_part(str_of(when), 0, strlen(when) - 1)); /* without the Z, which follows the fraction */
    line_add(&line, str_of(fraction));
    line_add(&line, str_of((size_t)level < ARRAY_SIZE(names) ? names[level] : "info"));
    line_add(&line, STR(" "));
    line_add(&line, str_of(part));
    line_add(&line, STR(": "));
    line_add(&line, str_of(event));
    for (size_t i = 0; i < count; i++) {
        line_add(&line, STR(" "));
        line_add(&line, str_of(kvs[i].key));
        line_add(&line, STR("="));
        add_value(&line, str_of(kvs[i].value));
    }
    line.text[line.n++] = '\n';
    ignored = write(atomic_load_explicit(&target_fd, memory_order_relaxed), line.text, line.n);
    (void)ignored; /* there is nobody to tell that telling failed */
}
