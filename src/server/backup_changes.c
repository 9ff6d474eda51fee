/*
 * The change log (backup/changes.h): every change of the state but leases and events, on the disk a second later, in DATA/changes.
 *
 * Changes gather on the loop; a worker compresses and writes them, one block at a time. When the disk is slower than the changes, or full, the
 * log gives up what it could not write and says so by a gap, instead of holding a server's memory or its writers.
 */
#define LOG_PART "backup"
#include "server/backup.h"

#include "backup/changes.h"
#include "base/log.h"
#include "base/time.h"

#include <stdlib.h>

#define FLUSH_MS     SECOND_MS
#define HEARTBEAT_MS (10 * SECOND_MS) /* a block without changes: nothing happened until then */
#define TRIM_MS      MINUTE_MS
#define KEEP_MS      (24 * HOUR_MS)
#define KEEP_BYTES   ((uint64_t)2 * GIB)
#define GATHER_MAX   (64 * MIB) /* not written yet; more is given up */

struct block_job { /* what a worker writes: all blocks of one flush */
    struct changes_part *part;
    struct buf records;
    uint64_t from, to;
    int64_t time_ms;
    struct error err;
    bool trim;
};

struct changes_part {
    struct server *server;
    struct change_log log; /* the worker's while `busy` */
    struct state_listener *listener;
    struct loop_timer timer;
    struct buf gathered;
    uint64_t from; /* where the next block begins: behind the one before, or behind what was given up */
    uint64_t to;   /* gathered up to this */
    int64_t wrote_ms, trimmed_ms;
    bool busy, lost, catching_up, ended;
};

static bool is_kept(const struct kind *k)
{
    return !k->ttl_ms && strcmp(k->plural, "leases") != 0;
}

static void give_up(struct changes_part *p, const char *why)
{
    buf_done(&p->gathered);
    p->gathered.max = GATHER_MAX;
    if (!p->lost)
        log_error("changes could not be written into the change log: it has a gap, which the next backup closes",
                  KV("why", "%s", why), KV("from", "%llu", (unsigned long long)p->from));
    p->from = p->to;
    p->lost = true;
}

static void gather(struct changes_part *p, const struct change *c)
{
    p->to = MAX(p->to, c->revision);
    if (!is_kept(c->kind))
        return;
    if (p->gathered.n + 4 * MIB > GATHER_MAX) {
        give_up(p, "the disk does not keep up");
        return;
    }
    backup_write_object(&p->gathered, c->kind, c->object, c->type == CHANGE_DELETED ? RECORD_DELETE : RECORD_PUT,
                        env_wall_ms(p->server->env), NULL);
}

static void on_change(void *arg, const struct change *c)
{
    gather(arg, c);
}

/* --- the worker ---------------------------------------------------------------------------------------------------- */

/* Blocks end at records; each says it goes on where the one before ended, so only the last may reach `to`. */
static int write_blocks(struct block_job *j)
{
    struct change_log *log = &j->part->log;
    struct str all = buf_str(&j->records), rest = all;
    size_t begin = 0, end = 0; /* the block that is gathered */
    uint64_t from = j->from, last = j->from;
    struct record r;
    while (segment_record_read(&rest, &r, NULL) > 0) {
        size_t until = all.n - rest.n;
        if (until - begin > BLOCK_BYTES && end > begin) {
            if (change_log_append(log, str_part(all, begin, end - begin), from, last, j->time_ms, &j->err) < 0)
                return -1;
            from = last;
            begin = end;
        }
        end = until;
        last = r.revision;
    }
    return change_log_append(log, str_part(all, begin, end - begin), from, j->to, j->time_ms, &j->err);
}

static void work(void *arg)
{
    struct block_job *j = arg;
    write_blocks(j);
    if (j->trim)
        change_log_trim(&j->part->log, j->time_ms, KEEP_MS, KEEP_BYTES);
}

static void part_free(struct changes_part *p)
{
    change_log_done(&p->log);
    buf_done(&p->gathered);
    free(p);
}

static void worked(void *arg)
{
    struct block_job *j = arg;
    struct changes_part *p = j->part;
    p->busy = false;
    if (j->err.code) {
        /* It is not known what of it is on the disk: a gap says that something is missing there. */
        give_up(p, error_text(&j->err));
    } else if (p->lost) {
        p->lost = false;
        log_info("the change log is written again", KV("revision", "%llu", (unsigned long long)j->to));
    }
    buf_done(&j->records);
    error_done(&j->err);
    free(j);
    if (p->ended)
        part_free(p);
}

static void flush(struct changes_part *p)
{
    int64_t now_ms = env_wall_ms(p->server->env), tick_ms = env_monotonic_ms(p->server->env);
    if (p->busy || p->catching_up || (!p->gathered.n && tick_ms - p->wrote_ms < HEARTBEAT_MS))
        return;
    struct block_job *j = xnew(struct block_job);
    p->to = MAX(p->to, state_revision(p->server->state));
    *j = (struct block_job){ .part = p, .records = p->gathered, .from = p->from, .to = p->to, .time_ms = now_ms };
    p->from = p->to;
    p->gathered = (struct buf)BUF_MAX(GATHER_MAX);
    p->wrote_ms = tick_ms;
    j->trim = tick_ms - p->trimmed_ms >= TRIM_MS;
    if (j->trim)
        p->trimmed_ms = tick_ms;
    p->busy = true;
    loop_work(p->server->loop, work, worked, j);
}

static void on_timer(void *arg)
{
    struct changes_part *p = arg;
    flush(p);
    loop_timer_start(&p->timer, FLUSH_MS);
}

/* --- the time this server was away ----------------------------------------------------------------------------------- */

/* What the store still knows of the time before the start comes before what gathered since. */
struct catch_up {
    struct changes_part *part;
    struct buf records;
    uint64_t until;
    bool first;
};

static void on_history(void *arg, const struct store_change *c)
{
    struct catch_up *u = arg;
    struct changes_part *p = u->part;
    AUTO_ERROR struct error err = { 0 };
    if (p->ended || c->revision > u->until)
        return;
    struct change *change = state_change_of(p->server->state, c, &err);
    if (!change)
        return;
    if (is_kept(change->kind) && u->records.n + 4 * MIB < u->records.max)
        backup_write_object(&u->records, change->kind, change->object,
                            c->type == STORE_DELETE ? RECORD_DELETE : RECORD_PUT, env_wall_ms(p->server->env), NULL);
    else if (is_kept(change->kind))
        u->records.full = true;
    change_unref(change);
}

static void on_history_done(void *arg, uint64_t revision, const struct error *err)
{
    struct catch_up *u = arg;
    struct changes_part *p = u->part;
    (void)revision;
    p->catching_up = false;
    if (p->ended) {
        buf_done(&u->records);
        free(u);
        part_free(p);
        return;
    }
    if (err || u->records.full) {
        if (!u->first)
            log_warn("the change log has a gap: the store does not reach back to where the log ends; the next backup "
                     "closes it",
                     KV("from", "%llu", (unsigned long long)p->from), KV("to", "%llu", (unsigned long long)u->until));
        p->from = u->until;
    } else {
        buf_add(&u->records, buf_str(&p->gathered));
        buf_done(&p->gathered);
        p->gathered = u->records;
        u->records = (struct buf){ 0 };
        p->gathered.max = GATHER_MAX;
    }
    buf_done(&u->records);
    free(u);
}

static void catch_up(struct changes_part *p, uint64_t logged)
{
    uint64_t now = state_revision(p->server->state);
    struct store_stats stats = { 0 };
    p->from = p->to = now;
    store_stats(p->server->store, &stats);
    bool first = !logged; /* no log yet: everything the store still knows is its beginning */
    logged = MAX(logged, first ? stats.compacted_revision : 0);
    if (logged >= now)
        return;
    struct catch_up *u = xnew(struct catch_up);
    *u = (struct catch_up){ .part = p, .records = BUF_MAX(GATHER_MAX), .until = now, .first = first };
    p->from = logged;
    p->catching_up = true;
    store_history(p->server->store, logged, on_history, on_history_done, u);
}

int backup_changes_init(struct server *s, struct error *err)
{
    uint64_t logged;
    if (!s->config.data_folder || s->config.no_control)
        return 0;
    AUTO_FREE char *folder = xasprintf("%s/" CHANGES_FOLDER, s->config.data_folder);
    struct changes_part *p = xnew(struct changes_part);
    p->server = s;
    p->gathered.max = GATHER_MAX;
    if (change_log_open(&p->log, folder, s->config.name ? s->config.name : "server", &logged, err) < 0) {
        part_free(p);
        return error_context(err, "change log");
    }
    p->listener = state_listen(s->state, NULL, on_change, p);
    loop_timer_init(&p->timer, s->loop, on_timer, p);
    loop_timer_start(&p->timer, FLUSH_MS);
    p->wrote_ms = p->trimmed_ms = env_monotonic_ms(s->env);
    catch_up(p, logged);
    server_part_set(s, SERVER_PART_backup_changes, p);
    return 0;
}

void backup_changes_done(struct server *s)
{
    struct changes_part *p = server_part(s, SERVER_PART_backup_changes);
    if (!p)
        return;
    server_part_set(s, SERVER_PART_backup_changes, NULL);
    state_unlisten(p->listener);
    loop_timer_stop(&p->timer);
    /* What is gathered is in the store: the next start finds it in its history. */
    p->ended = true;
    if (!p->busy && !p->catching_up)
        part_free(p);
}
