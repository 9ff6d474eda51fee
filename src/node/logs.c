/*
 * Reading container logs. Files are read in pieces of READ_BLOCK on the loop (page cache, bounded work a round); with follow, inotify
 * tells of new bytes. Source of the options' meaning: kubelet's pkg/kubelet/kuberuntime/logs.
 */
#include "node/logs.h"

#include "base/time.h"
#include "loop/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BLOCK     (64 * KIB)
#define LINE_MAX_SIZE  (64 * KIB) /* conmon cuts longer lines into partial ones */
#define FALLBACK_LINES 80
#define FALLBACK_BYTES 2048

struct log_reader {
    struct loop *loop;
    struct log_options options;
    struct log_reader_callbacks cb;
    char *path;
    int fd;
    int file; /* number of the rotated file being read; 0: the current one */
    ino_t inode;
    struct buf pending; /* bytes of an incomplete line */
    struct loop_task task;
    struct file_watch *watch;
    int64_t left_bytes;                      /* of limit_bytes; -1: no limit */
    int64_t skip_lines;                      /* of tail_lines */
    bool finished, paused, ended, continues; /* continues: the last line was partial */
};

bool log_line_parse(struct str line, struct log_line *ret)
{
    struct str rest = line, stream, tag;

    if (!str_cut(&rest, ' ', &ret->time) || !str_cut(&rest, ' ', &stream) || rest.n < 1)
        return false;
    if (!str_cut(&rest, ' ', &tag)) {
        tag = rest;
        rest = STR_NONE;
    }
    ret->stderr_ = str_is(stream, "stderr");
    ret->partial = str_starts(tag, STR("P"));
    ret->text = rest;
    return ret->stderr_ || str_is(stream, "stdout");
}

static int64_t to_wall_ns(struct str time)
{
    int64_t ms;
    return time_parse(time, &ms) ? ms * 1000000 : 0;
}

static char *file_path(const struct log_reader *r, int number)
{
    return number ? xasprintf("%s.%d", r->path, number) : xstrdup(r->path);
}

/* --- lines -------------------------------------------------------------------------------------------------------------- */

static bool is_wanted(struct log_reader *r, const struct log_line *l)
{
    if (r->skip_lines > 0) { /* counted as the tail was: whole lines of both streams */
        if (!l->partial)
            r->skip_lines--;
        return false;
    }
    if ((l->stderr_ && r->options.no_stderr) || (!l->stderr_ && r->options.no_stdout))
        return false;
    return !r->options.since_wall_ns || to_wall_ns(l->time) >= r->options.since_wall_ns;
}

/* conmon writes UTC as +00:00; clients know the kubelet's Z. */
static void add_time(struct str time, struct buf *out)
{
    bool is_utc = str_ends(time, STR("+00:00"));

    buf_add(out, is_utc ? str_part(time, 0, time.n - 6) : time);
    buf_add(out, is_utc ? STR("Z ") : STR(" "));
}

static void add_line(struct log_reader *r, struct str line, struct buf *out)
{
    struct log_line l;
    size_t before = out->n;

    if (!log_line_parse(line, &l) || !is_wanted(r, &l))
        return;
    if (r->options.timestamps && !r->continues) {
        add_time(l.time, out);
    }
    buf_add(out, l.text);
    if (!l.partial)
        buf_add_char(out, '\n');
    r->continues = l.partial;
    if (r->left_bytes >= 0) {
        size_t added = out->n - before;
        if ((int64_t)added >= r->left_bytes) {
            buf_truncate(out, before + (size_t)r->left_bytes);
            r->ended = true;
        }
        r->left_bytes -= MIN((int64_t)added, r->left_bytes);
    }
}

static void take_lines(struct log_reader *r, struct buf *out)
{
    struct str rest = buf_str(&r->pending), line;
    size_t used = 0;

    while (!r->ended) {
        ptrdiff_t end = str_find(rest, '\n');
        if (end < 0)
            break;
        line = str_part(rest, 0, (size_t)end);
        add_line(r, line, out);
        rest = str_from(rest, (size_t)end + 1);
        used += (size_t)end + 1;
    }
    buf_drop(&r->pending, used);
    if (r->pending.n > 4 * LINE_MAX_SIZE)
        buf_clear(&r->pending); /* no log of ours */
}

/* --- files ---------------------------------------------------------------------------------------------------------------- */

static bool open_file(struct log_reader *r, int number)
{
    AUTO_FREE char *path = file_path(r, number);
    struct stat st;

    if (r->fd >= 0)
        close(r->fd);
    r->fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    r->file = number;
    if (r->fd >= 0 && fstat(r->fd, &st) == 0)
        r->inode = st.st_ino;
    return r->fd >= 0;
}

/* The file we read was rotated away: go on with the newer one. */
static bool next_file(struct log_reader *r)
{
    if (r->file > 0) {
        while (r->file > 0) {
            if (open_file(r, r->file - 1))
                return true;
        }
        return false;
    }
    struct stat st;
    if (stat(r->path, &st) == 0 && (st.st_ino != r->inode || r->fd < 0))
        return open_file(r, 0);
    return false;
}

static void end(struct log_reader *r)
{
    r->ended = true;
    r->paused = true;
    r->cb.on_end(r->cb.arg);
}

static void step(void *arg)
{
    struct log_reader *r = arg;
    AUTO_BUF struct buf out = BUF_MAX(8 * LINE_MAX_SIZE + 2 * READ_BLOCK);

    if (r->paused)
        return;
    char *at = buf_reserve(&r->pending, READ_BLOCK);
    ssize_t n = r->fd >= 0 && at ? read(r->fd, at, READ_BLOCK) : 0;
    if (n > 0)
        r->pending.n += (size_t)n;
    take_lines(r, &out);
    if (out.n && !r->cb.on_bytes(r->cb.arg, buf_str(&out)))
        r->paused = true;
    if (r->ended) {
        end(r);
    } else if (n > 0 || next_file(r)) {
        loop_defer(r->loop, &r->task);
    } else if (!r->options.follow || r->finished) {
        end(r);
    } /* else inotify continues */
}

static void on_change(struct file_watch *w, const struct file_change *change, void *arg)
{
    struct log_reader *r = arg;
    (void)w, (void)change;
    if (!r->ended)
        loop_defer(r->loop, &r->task);
}

/* Where a scan of a log's bytes is: which field of the line, and whether the line is partial. */
struct line_scan {
    int spaces;
    bool partial;
    int64_t lines;
};

static void scan(struct line_scan *l, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            l->lines += !l->partial;
            l->spaces = 0;
            l->partial = false;
            continue;
        }
        if (l->spaces == 2)
            l->partial = p[i] == 'P';
        if (l->spaces < 3 && (p[i] == ' ' || l->spaces == 2))
            l->spaces++;
    }
}

/* Whole lines in all files, for tail. */
static int64_t count_lines(const struct log_reader *r, int files)
{
    struct line_scan l = { 0 };
    char *block = xmalloc(READ_BLOCK);

    for (int i = files; i >= 0; i--) {
        AUTO_FREE char *path = file_path(r, i);
        AUTO_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        for (ssize_t n; fd >= 0 && (n = read(fd, block, READ_BLOCK)) > 0;)
            scan(&l, block, (size_t)n);
    }
    free(block);
    return l.lines;
}

struct log_reader *log_reader_new(struct loop *loop, const char *path, const struct log_options *o,
                                  const struct log_reader_callbacks *cb)
{
    struct log_reader *r = xnew(struct log_reader);
    AUTO_FREE char *folder = xstrdup(path);
    int oldest = 0;

    *r = (struct log_reader){
        .loop = loop, .options = *o, .cb = *cb, .path = xstrdup(path), .fd = -1, .left_bytes = o->limit_bytes
    };
    r->pending.max = 8 * LINE_MAX_SIZE;
    r->task = (struct loop_task){ .fn = step, .arg = r };
    for (int i = 1; i < LOG_FILES; i++) {
        AUTO_FREE char *older = file_path(r, i);
        if (access(older, F_OK) == 0)
            oldest = i;
    }
    if (o->tail_lines >= 0)
        r->skip_lines = MAX(count_lines(r, oldest) - o->tail_lines, 0);
    if (!open_file(r, oldest))
        next_file(r);
    if (o->follow) {
        char *slash = strrchr(folder, '/');
        if (slash)
            *slash = '\0';
        r->watch = file_watch_new(loop, folder, on_change, r, NULL);
    }
    loop_defer(loop, &r->task);
    return r;
}

void log_reader_resume(struct log_reader *r)
{
    if (r->ended)
        return;
    r->paused = false;
    loop_defer(r->loop, &r->task);
}

void log_reader_finish(struct log_reader *r)
{
    r->finished = true;
    if (!r->ended)
        loop_defer(r->loop, &r->task);
}

void log_reader_free(struct log_reader *r)
{
    if (!r)
        return;
    loop_defer_cancel(&r->task);
    file_watch_free(r->watch);
    if (r->fd >= 0)
        close(r->fd);
    buf_done(&r->pending);
    free(r->path);
    free(r);
}

void log_read_tail(const char *path, struct buf *to)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    AUTO_BUF struct buf raw = BUF_MAX(LINE_MAX_SIZE);
    AUTO_BUF struct buf text = BUF_MAX(LINE_MAX_SIZE);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
    char *at = buf_reserve(&raw, LINE_MAX_SIZE - 1);
    ssize_t n = fd >= 0 && at ? pread(fd, at, LINE_MAX_SIZE - 1, MAX(size - (off_t)LINE_MAX_SIZE + 1, 0)) : 0;
    struct str rest, line;
    int lines = 0;

    raw.n = n > 0 ? (size_t)n : 0;
    for (rest = buf_str(&raw); str_next(&rest, '\n', &line);) {
        struct log_line l;
        if (!log_line_parse(line, &l))
            continue;
        buf_add(&text, l.text);
        if (!l.partial)
            buf_add_char(&text, '\n');
    }
    rest = buf_str(&text);
    size_t start = rest.n;
    while (start > 0 && rest.n - start < FALLBACK_BYTES) {
        if (rest.p[start - 1] == '\n' && start != rest.n && ++lines >= FALLBACK_LINES)
            break;
        start--;
    }
    buf_add(to, str_from(rest, start));
}
