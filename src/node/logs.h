/*
 * Container logs: the CRI format, rotation, and reading with kubelet's options.
 *
 * conmon writes the file; when it has grown over LOG_FILE_MAX the agent renames it and lets conmon open a new one, keeping
 * LOG_FILES files. Sizes are looked at every LOG_LOOK_MS (as kubelet does): being told of every write would cost more than it saves.
 */
#ifndef NODE_LOGS_H
#define NODE_LOGS_H

#include "base/buf.h"
#include "loop/loop.h"

#define LOG_FILE_MAX (10 * MIB)
#define LOG_FILES    5
#define LOG_LOOK_MS  (10 * 1000)

struct log_rotation;
/* reopen is called after the file was renamed. */
struct log_rotation *log_rotation_new(struct loop *loop, const char *path, void (*reopen)(void *arg), void *arg);
void log_rotation_free(struct log_rotation *r); /* NULL is fine */

struct log_options {
    bool follow, timestamps;
    int64_t tail_lines;    /* -1: all */
    int64_t since_wall_ns; /* 0: all */
    int64_t limit_bytes;   /* -1: none */
    bool no_stdout, no_stderr;
};

/* A reader of one attempt's log, old files first. */
struct log_reader;
struct log_reader_callbacks {
    bool (*on_bytes)(void *arg, struct str bytes); /* false: wait for log_reader_resume() */
    void (*on_end)(void *arg);                     /* everything was sent; the reader is the owner's to free */
    void *arg;
};
/* Call-backs come in later rounds. With follow the reader goes on until log_reader_finish() was called and all was read. */
struct log_reader *log_reader_new(struct loop *loop, const char *path, const struct log_options *o,
                                  const struct log_reader_callbacks *cb);
void log_reader_resume(struct log_reader *r);
void log_reader_finish(struct log_reader *r); /* the container has ended: no more is written */
void log_reader_free(struct log_reader *r);

/* One CRI line "TIME STREAM P|F TEXT\n" taken apart; false when it is none. */
struct log_line {
    struct str time, text;
    bool stderr_, partial;
};
bool log_line_parse(struct str line, struct log_line *ret);
/* The end of a log without prefixes, for terminationMessagePolicy FallbackToLogsOnError: at most 80 lines and 2048 bytes. */
void log_read_tail(const char *path, struct buf *to);

#endif
