/*
 * Logging: one line per event on stderr, fixed event text first, then key=value pairs.
 *
 *     log_info("pod started", KV("pod", "%s/%s", ns, name), KV("ms", "%d", ms));
 *
 * gives: 2026-11-21T10:00:00.123Z info node: pod started pod=default/web-1 ms=12
 * Values with spaces, quotes or control bytes are quoted and escaped, so a tenant's text cannot forge a line.
 * Secrets: log only their names; there is no way to log a struct secret (base/secret.h). Thread-safe.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Each .c file that logs defines this before including log.h; it names the part that speaks. */
#ifndef LOG_PART
#define LOG_PART "klein"
#endif

struct log_kv {
    const char *key;
    char value[256]; /* longer values are cut and end in "..." */
};

struct log_kv log_kv(const char *key, const char *format, ...) PRINTF(2, 3);
#define KV(key, ...)   log_kv(key, __VA_ARGS__)
#define KV_STR(key, s) log_kv(key, "%.*s", STR_ARG(s))
#define KV_ERR(err)    log_kv("error", "%s", error_text(err))

void log_line(enum log_level level, const char *part, const char *event, const struct log_kv *kvs, size_t count);
bool log_enabled(enum log_level level);
void log_set_level(enum log_level level); /* default: LOG_INFO */
void log_set_fd(int fd);                  /* default: 2 */

#define LOG_(level, event, ...)                                                                                        \
    do {                                                                                                               \
        if (log_enabled(level)) {                                                                                      \
            const struct log_kv kvs_[] = { { 0 }, ##__VA_ARGS__ };                                                     \
            log_line(level, LOG_PART, event, kvs_ + 1, ARRAY_SIZE(kvs_) - 1);                                          \
        }                                                                                                              \
    } while (0)
#define log_debug(event, ...) LOG_(LOG_DEBUG, event, ##__VA_ARGS__)
#define log_info(event, ...)  LOG_(LOG_INFO, event, ##__VA_ARGS__)
#define log_warn(event, ...)  LOG_(LOG_WARN, event, ##__VA_ARGS__)
#define log_error(event, ...) LOG_(LOG_ERROR, event, ##__VA_ARGS__)

#endif
