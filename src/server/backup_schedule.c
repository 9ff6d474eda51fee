/*
 * Backups on a schedule: the leader starts `klein backup` (a process of its own, so that neither compression nor a slow place touches
 * the server), which makes one, proves it, removes old ones and notes the outcome in ConfigMap kube-system/klein-backup. When the next one is
 * due is decided from that note, so a new leader goes on where the old one was. Between backups the change log is shipped.
 */
#define LOG_PART "backup"
#include "server/backup.h"

#include "base/log.h"
#include "base/time.h"
#include "loop/process.h"
#include "server/leader.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK_MS     (5 * SECOND_MS)
#define CHANGES_MS   MINUTE_MS
#define RETRY_MS     (5 * MINUTE_MS) /* after a failure, or the whole period when that is shorter */
#define RUN_LIMIT_MS (12 * HOUR_MS)
#define ARGS_MAX     40
#define OUTPUT_MAX   (256 * KIB)

struct schedule_part {
    struct server *server;
    struct loop_timer timer;
    struct process_capture *running;
    int64_t failed_ms, shipped_ms; /* monotonic; 0: never */
    bool running_backup;
};

/* --- the note ------------------------------------------------------------------------------------------------------ */

static struct str note(struct server *s, const char *name)
{
    const struct object *o = state_get(s->state, &kind_configmap, STR("kube-system"), STR("klein-backup"));
    return view_str(view_get_str(view_get_str(object_root(o), STR("data")), str_of(name)));
}

static double age_s(struct server *s, const char *name)
{
    int64_t at;
    return time_parse(note(s, name), &at) ? (double)(env_wall_ms(s->env) - at) / SECOND_MS : -1;
}

double metric_backup_age(struct server *s)
{
    return age_s(s, "lastGood");
}

double metric_backup_proof_age(struct server *s)
{
    return age_s(s, "lastProof");
}

double metric_backup_proof_seconds(struct server *s)
{
    AUTO_FREE char *text = str_dup(note(s, "lastProofSeconds"));
    return text[0] ? strtod(text, NULL) : -1;
}

double metric_backup_failures(struct server *s)
{
    int64_t n;
    return str_to_i64(note(s, "failures"), &n) ? (double)n : 0;
}

/* --- running it ---------------------------------------------------------------------------------------------------- */

static void on_done(void *arg, const struct process_result *result, const struct error *err)
{
    struct schedule_part *p = arg;
    int64_t now_ms = env_monotonic_ms(p->server->env);
    p->running = NULL;
    if (!err && result->exit.code == 0) {
        p->failed_ms = 0;
        if (p->running_backup)
            log_info("scheduled backup made and proved", KV_STR("id", note(p->server, "lastGoodId")));
        return;
    }
    if (p->running_backup)
        p->failed_ms = MAX(now_ms, 1);
    struct str why = err ? str_of(error_text(err)) : str_trim(result->err_out);
    log_error(p->running_backup ? "scheduled backup failed, it is tried again"
                                : "the change log could not be shipped, it is tried again",
              KV_STR("error", str_part(why, 0, 1000)));
}

static void add(const char **argv, size_t *n, const char *name, const char *value)
{
    if (!value || *n + 3 > ARGS_MAX)
        return;
    argv[(*n)++] = name;
    argv[(*n)++] = value;
}

static char *own_url(struct server *s)
{
    struct address at = s->address;
    char ip[ADDRESS_TEXT_SIZE];
    address_format_ip(&at, ip);
    bool any = str_is(str_of(ip), "0.0.0.0") || str_is(str_of(ip), "::");
    return xasprintf("https://%s:%d", any ? "127.0.0.1" : ip, (int)address_port(&at));
}

static void run(struct schedule_part *p, bool backup)
{
    const struct backup_config *c = &p->server->config.backup;
    AUTO_FREE char *url = own_url(p->server);
    char keep[16];
    const char *argv[ARGS_MAX + 1] = { "klein", "backup" };
    size_t n = 2;
    snprintf(keep, sizeof(keep), "%d", c->keep);
    if (!backup)
        argv[n++] = "changes";
    add(argv, &n, "--data", p->server->config.data_folder);
    add(argv, &n, "--server", url);
    add(argv, &n, "--to", c->to);
    add(argv, &n, "--keep", keep);
    add(argv, &n, "--passphrase-file", c->passphrase_file);
    add(argv, &n, "--credentials-file", c->credentials_file);
    add(argv, &n, "--identity-file", c->identity_file);
    add(argv, &n, "--known-hosts-file", c->known_hosts_file);
    if (!c->passphrase_file)
        argv[n++] = "--without-keys";
    p->running_backup = backup;
    p->running = process_capture(
        p->server->loop,
        &(struct process_options){ .argv = argv, .file = "/proc/self/exe", .kill_on_parent_death = true }, STR_NONE,
        OUTPUT_MAX, RUN_LIMIT_MS, on_done, p);
}

static bool is_due(struct schedule_part *p)
{
    struct server *s = p->server;
    int64_t every_ms = s->config.backup.every_ms, last_ms, now_ms = env_wall_ms(s->env);
    if (p->failed_ms && env_monotonic_ms(s->env) - p->failed_ms < MIN(RETRY_MS, every_ms))
        return false;
    /* A last one in the future is a clock that was wrong: better one backup too many. */
    return !time_parse(note(s, "lastGood"), &last_ms) || now_ms - last_ms >= every_ms || last_ms > now_ms + MINUTE_MS;
}

static void on_timer(void *arg)
{
    struct schedule_part *p = arg;
    int64_t now_ms = env_monotonic_ms(p->server->env);
    if (p->server->ready && !p->running && leader_is_me(server_leader(p->server))) {
        if (is_due(p)) {
            run(p, true);
        } else if (now_ms - p->shipped_ms >= CHANGES_MS) {
            p->shipped_ms = now_ms;
            run(p, false);
        }
    }
    loop_timer_start(&p->timer, CHECK_MS);
}

int backup_schedule_init(struct server *s, struct error *err)
{
    (void)err;
    if (!s->config.backup.to || !s->config.data_folder || s->config.no_control)
        return 0;
    struct schedule_part *p = xnew(struct schedule_part);
    p->server = s;
    loop_timer_init(&p->timer, s->loop, on_timer, p);
    loop_timer_start(&p->timer, CHECK_MS);
    server_part_set(s, SERVER_PART_backup_schedule, p);
    return 0;
}

void backup_schedule_done(struct server *s)
{
    struct schedule_part *p = server_part(s, SERVER_PART_backup_schedule);
    if (!p)
        return;
    server_part_set(s, SERVER_PART_backup_schedule, NULL);
    loop_timer_stop(&p->timer);
    if (p->running)
        process_capture_cancel(p->running);
    free(p);
}
