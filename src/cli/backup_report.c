/* Telling the cluster about its backups. */
#include "cli/backup_report.h"

#include "base/env.h"
#include "base/time.h"
#include "object/value.h"

#define CALL_MS 5000

static void add(struct buf *to, const char *name, struct str text)
{
    buf_addf(to, "%s\"%s\":", to->p[to->n - 1] == '{' ? "" : ",", name);
    json_write_str(to, text);
}

static void add_number(struct buf *to, const char *name, uint64_t n)
{
    AUTO_FREE char *text = xasprintf("%llu", (unsigned long long)n);
    add(to, name, str_of(text));
}

static int64_t failures_so_far(struct remote *r)
{
    struct object *o = NULL;
    int64_t n = 0;

    if (remote_call(r, "GET", BACKUP_REPORT, STR_NONE, CALL_MS, &o, NULL) < 0)
        return 0;
    if (!str_to_i64(view_str(view_get_str(view_get_str(object_root(o), STR("data")), STR("failures"))), &n))
        n = 0;
    object_unref(o);
    return n;
}

static void write_data(struct buf *to, const struct backup_report *report, int64_t failures)
{
    char now[TIME_TEXT_SIZE], made[TIME_TEXT_SIZE];
    time_format(env_wall_ms(env_system()), now);

    if (report->made) {
        add(to, "lastGood", str_of(time_format(report->made->time_ms, made)));
        add(to, "lastGoodId", str_of(report->made->id));
        add_number(to, "lastGoodRevision", report->made->revision);
        add_number(to, "lastGoodObjects", report->made->objects);
        add_number(to, "lastGoodBytes", report->bytes);
        add(to, "target", str_of(report->target));
    }
    if (report->proved_id) {
        AUTO_FREE char *seconds = xasprintf("%.3f", (double)report->proof_ms / 1000);
        add(to, "lastProof", str_of(now));
        add(to, "lastProofId", str_of(report->proved_id));
        add(to, "lastProofSeconds", str_of(seconds));
    }
    if (report->error) {
        add(to, "lastFailure", str_of(now));
        add(to, "lastError", str_part(str_of(report->error), 0, 2000));
    }
    add_number(to, "failures", report->error ? (uint64_t)failures + 1 : 0);
}

int backup_report_write(struct remote *r, const struct backup_report *report, struct error *err)
{
    AUTO_BUF struct buf body = BUF_MAX(64 * KIB);
    AUTO_ERROR struct error problem = { 0 };
    int64_t failures = report->error ? failures_so_far(r) : 0;

    buf_add_text(&body, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"klein-backup\","
                        "\"namespace\":\"kube-system\"},\"data\":{");
    write_data(&body, report, failures);
    buf_add_text(&body, "}}");
    /* An apply of all fields known would drop those of the last good one: merged instead, and created when there is none. */
    if (remote_patch(r, BACKUP_REPORT, buf_str(&body), CALL_MS, &problem) == 0)
        return 0;
    if (problem.code != ERR_NOT_FOUND) {
        error_move(err, &problem);
        return -1;
    }
    return remote_call(r, "POST", "/api/v1/namespaces/kube-system/configmaps", buf_str(&body), CALL_MS, NULL, err);
}
