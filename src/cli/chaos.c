/* `klein chaos`: break something of a local cluster on purpose, and make it whole again. */
#include "base/time.h"
#include "chaos/chaos.h"
#include "chaos/fault_record.h"
#include "cli/chaos.h"
#include "cli/commands.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct option_row options[] = {
    { "name", "NAME", "klein", "the cluster's name" },
    { "for", "DURATION", "10s", "how long, e.g. 500ms, 10s, 5m" },
    { "keep", NULL, NULL, "leave it broken until `klein chaos undo`" },
    { "from", NULL, NULL, "cut: only what the zone or node sends" },
    { "to", NULL, NULL, "cut: only what is sent to it" },
    { "port", "PORT", NULL, "cut: only this TCP port, e.g. 6443 for the API" },
    { "rate", "BITS", "1mbit", "slow: bits a second; kbit, mbit and gbit are understood" },
    { "bytes", "SIZE", "256M", "eat memory: how much; K, M and G are understood" },
    { "delay", "DURATION", NULL, "disturb: how late frames arrive (100ms when nothing else is asked)" },
    { "jitter", "DURATION", NULL, "disturb: by how much that differs" },
    { "loss", "PERCENT", NULL, "disturb: frames that are lost" },
    { "duplicate", "PERCENT", NULL, "disturb: frames that arrive twice" },
    { "reorder", "PERCENT", NULL, "disturb: frames that overtake the others" },
    { 0 },
};

/* --- values of options --------------------------------------------------------------------------------------------------------- */

static int take_duration(const struct args *a, const char *name, int64_t *ret_ms, struct error *err)
{
    const char *text = arg(a, name);

    if (!text)
        return 0;
    if (!time_parse_duration(str_of(text), ret_ms) || *ret_ms < 0 || *ret_ms > 24 * HOUR_MS)
        return fail(err, ERR_BAD_REQUEST, "--%s must be a duration like 500ms or 10s (at most 24h), not '%s'", name,
                    text);
    return 0;
}

static int take_milliseconds(const struct args *a, const char *name, int32_t *ret, struct error *err)
{
    int64_t ms = 0;

    if (take_duration(a, name, &ms, err) < 0)
        return -1;
    *ret = (int32_t)MIN(ms, MINUTE_MS);
    return 0;
}

/* "5%", "0.5" -> permille */
static int take_percent(const struct args *a, const char *name, int32_t *ret, struct error *err)
{
    const char *text = arg(a, name);
    char *end;
    double percent;

    if (!text)
        return 0;
    percent = strtod(text, &end);
    if (end == text || !(str_is(str_of(end), "") || str_is(str_of(end), "%")) || !(percent >= 0 && percent <= 100))
        return fail(err, ERR_BAD_REQUEST, "--%s must be a percentage from 0 to 100, not '%s'", name, text);
    *ret = (int32_t)(percent * 10 + 0.5);
    return 0;
}

struct unit {
    const char *name;
    int64_t factor;
};

static int take_amount(const struct args *a, const char *name, const struct unit *units, int64_t *ret,
                       struct error *err)
{
    struct str text = str_of(arg(a, name)), number = text;

    for (const struct unit *u = units; u->name; u++) {
        struct str unit = str_of(u->name);
        if (!str_ends(text, unit))
            continue;
        number = str_part(text, 0, text.n - unit.n);
        if (str_to_i64(number, ret) && *ret > 0 && *ret <= INT64_MAX / u->factor) {
            *ret *= u->factor;
            return 0;
        }
        break;
    }
    return fail(err, ERR_BAD_REQUEST, "--%s must be a number like %s, not '%.*s'", name, "512k or 10M", STR_ARG(text));
}

static int take_options(const struct args *a, struct fault_request *r, int64_t *ret_for_ms, struct error *err)
{
    static const struct unit bits[] = {
        { "kbit", 1000 }, { "mbit", 1000000 }, { "gbit", 1000000000 }, { "", 1 }, { 0 }
    };
    static const struct unit bytes[] = {
        { "K", (int64_t)KIB }, { "M", (int64_t)MIB }, { "G", (int64_t)GIB }, { "", 1 }, { 0 }
    };
    int64_t port = 0;

    if (arg_given(a, "from") && arg_given(a, "to"))
        return fail(err, ERR_BAD_REQUEST, "--from and --to together are both directions: leave both out");
    r->way = arg_given(a, "from") ? DROP_FROM : arg_given(a, "to") ? DROP_TO : DROP_BOTH;
    if (arg_given(a, "port") && arg_number(a, "port", 1, 65535, &port, err) < 0)
        return -1;
    r->port = (uint16_t)port;
    if (take_duration(a, "for", ret_for_ms, err) < 0 || take_amount(a, "rate", bits, &r->rate_bits, err) < 0 ||
        take_amount(a, "bytes", bytes, &r->bytes, err) < 0)
        return -1;
    if (take_milliseconds(a, "delay", &r->delay_ms, err) < 0 || take_milliseconds(a, "jitter", &r->jitter_ms, err) < 0)
        return -1;
    return take_percent(a, "loss", &r->loss_permille, err) < 0 ||
                   take_percent(a, "duplicate", &r->duplicate_permille, err) < 0
               ? -1
               : take_percent(a, "reorder", &r->reorder_permille, err);
}

/* --- list, undo ------------------------------------------------------------------------------------------------------------------ */

static int list(const char *folder, struct error *err)
{
    struct fault *all = NULL;
    int count;

    if (fault_record_load(folder, &all, &count, err) < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        char age[TIME_TEXT_SIZE];
        printf("%-28s  since %-6s %s%s\n", all[i].id, time_format_age(time_wall_ms() - all[i].at_ms, age), all[i].text,
               fault_record_owner_is_alive(&all[i]) ? "" : "   (nobody will undo it: `klein chaos undo`)");
    }
    if (!count)
        printf("Nothing is broken on purpose.\n");
    free(all);
    return 0;
}

static int undo(const char *name, struct error *err)
{
    int count;

    if (cluster_undo(name, false, &count, err) < 0)
        return -1;
    printf(count == 1 ? "1 fault is undone.\n" : "%d faults are undone.\n", count);
    return 0;
}

/* --- one fault --------------------------------------------------------------------------------------------------------------------- */

static bool has_something_to_undo(const struct fault *f)
{
    for (int i = 0; i < f->steps_count; i++)
        if (f->steps[i].kind != STEP_KILL)
            return true;
    return false;
}

static void wait_for(const sigset_t *mask, int64_t ms)
{
    struct timespec limit = { ms / 1000, ms % 1000 * 1000000 };

    while (sigtimedwait(mask, NULL, &limit) < 0 && errno == EINTR)
        ;
}

static void block_signals(sigset_t *mask)
{
    sigemptyset(mask);
    sigaddset(mask, SIGINT);
    sigaddset(mask, SIGTERM);
    sigaddset(mask, SIGHUP);
    sigprocmask(SIG_BLOCK, mask, NULL);
}

static int inject(const struct args *a, const char *folder, struct fault *f, int64_t for_ms, struct error *err)
{
    sigset_t mask;
    bool needs_up = false;

    block_signals(&mask); /* from the first step to the last undone one */
    if (chaos_inject(folder, f, err) < 0)
        return -1;
    if (arg_given(a, "keep") && has_something_to_undo(f)) {
        printf("%s; it stays so until `klein chaos undo --name %s`.\n", f->text, arg(a, "name"));
        return 0;
    }
    if (has_something_to_undo(f)) {
        printf("%s, for %.1f s (Ctrl-C ends it)\n", f->text, (double)for_ms / 1000);
        fflush(stdout);
        wait_for(&mask, for_ms);
    }
    if (chaos_undo(folder, f, &needs_up, err) < 0)
        return -1;
    if (needs_up && cluster_repair(arg(a, "name"), err) < 0)
        return -1;
    printf("%s: %s.\n", f->text, has_something_to_undo(f) ? "undone" : "done");
    return 0;
}

/* A pod is named by people and known by its uid to the control groups. */
static int resolve(const struct cluster_record *c, struct fault_request *r, char **ret_uid, struct error *err)
{
    bool of_pod = r->what && (str_is(str_of(r->what), "pod") || str_is(str_of(r->what), "container") ||
                              str_is(str_of(r->what), "conmon"));

    if (!of_pod || !r->target)
        return 0;
    *ret_uid = cluster_pod_uid(c, r->target, err);
    r->said = r->target;
    r->target = *ret_uid;
    return *ret_uid ? 0 : -1;
}

static int check_words(const struct args *a, struct error *err)
{
    bool alone = a->words_count && (str_is(str_of(a->words[0]), "list") || str_is(str_of(a->words[0]), "undo"));

    if (!a->words_count || a->words_count > (alone ? 1 : 3))
        return fail(err, ERR_BAD_REQUEST, "usage: klein chaos %s", command_chaos.usage);
    for (const struct fault_verb *v = fault_verbs; !alone && v->name; v++)
        alone = str_is(str_of(a->words[0]), v->name);
    return alone ? 0 : fail(err, ERR_BAD_REQUEST, "there is no fault '%s'", a->words[0]);
}

static int run(const struct args *a, struct error *err)
{
    const char *name = arg(a, "name");
    struct fault_request r = { 0 };
    struct cluster_record c;
    struct fault *f;
    AUTO_FREE char *uid = NULL;
    int64_t for_ms = 0;
    int rc, undone;
    bool found;

    if (check_words(a, err) < 0 || cluster_name_check(name, err) < 0 || take_options(a, &r, &for_ms, err) < 0)
        return EXIT_USAGE;
    if (geteuid() != 0)
        return fail(err, ERR_FORBIDDEN, "`klein chaos` kills processes and changes links and must run as root");
    if (cluster_load(name, &c, &found, err) < 0)
        return -1;
    if (!found)
        return fail(err, ERR_NOT_FOUND, "there is no cluster '%s' on this machine: `klein up --name %s` makes one",
                    name, name);
    AUTO_FREE char *folder = cluster_run_path(&c, "chaos");
    if (str_is(str_of(a->words[0]), "list"))
        return list(folder, err);
    if (str_is(str_of(a->words[0]), "undo"))
        return undo(name, err);
    r.verb = a->words[0];
    r.what = a->words_count > 1 ? a->words[1] : NULL;
    r.target = a->words_count > 2 ? a->words[2] : NULL;
    if (cluster_undo(name, true, &undone, err) < 0 || resolve(&c, &r, &uid, err) < 0)
        return -1;
    if (cluster_load(name, &c, &found, err) < 0) /* machines may have been made again */
        return -1;
    AUTO_FREE struct seen *seen = cluster_see(&c, err);
    if (!seen)
        return -1;
    f = xnew(struct fault);
    rc = fault_plan(seen, &r, f, err);
    if (rc == 0)
        rc = inject(a, folder, f, for_ms, err);
    free(f);
    return rc;
}

const struct subcommand command_chaos = {
    .name = "chaos",
    .summary = "Break something of a local cluster on purpose: processes, nodes, zones, links, disks.",
    .usage = "FAULT [WHAT [TARGET]] [--name NAME] [--for 10s] | list | undo",
    .options = options,
    .run = run,
};
