/* `klein prove`: break a local cluster in every way of the catalogue, under load, and tell what users noticed. */
#include "cli/prove.h"

#include "base/file.h"
#include "base/time.h"
#include "cli/commands.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS_MAX   3600              /* room in the logs */
#define COUNTED_MAX   (4 * 1024 * 1024) /* samples/web counts requests with numbers below */
#define API_RATE      25
#define WARM_UP_RATE  40
#define STEADY_MS     3000
#define BETWEEN_MS    1000
#define SENDER_END_MS (90 * SECOND_MS)

static const struct option_row options[] = {
    { "name", "NAME", "klein", "the cluster's name" },
    { "requests", "N", "100", "requests a second through the gateway, and as many through the ClusterIP" },
    { "catalogue", "WHAT", "quick", "quick, full, or names of faults with commas between them" },
    { "report", "DIR", ".", "where report.txt, report.json and report.html are written" },
    { "samples", "DIR", NULL, "where the sample programs web and writer are" },
    { 0 },
};

static volatile sig_atomic_t interrupted;

static void on_signal(UNUSED int number)
{
    interrupted = 1;
}

bool prove_interrupted(void)
{
    return interrupted;
}

void prove_nap(int64_t ms)
{
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

    if (!interrupted)
        nanosleep(&t, NULL);
}

void prove_say(const struct prove *p, const char *format, ...)
{
    va_list args;

    printf("%7.2f s  ", p->report.began_us ? (double)(time_monotonic_us() - p->report.began_us) / 1e6 : 0);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

/* --- the catalogue ----------------------------------------------------------------------------------------------------------------- */

static int take_catalogue(const char *text, const struct catalogue_row **rows, int *count, struct error *err)
{
    struct str rest = str_of(text), word;
    bool quick = str_is(rest, "quick");

    *count = 0;
    if (quick || str_is(rest, "full")) {
        for (const struct catalogue_row *row = catalogue; row->name; row++)
            if (!quick || row->quick)
                rows[(*count)++] = row;
        return 0;
    }
    while (str_next(&rest, ',', &word)) {
        const struct catalogue_row *row = catalogue_named(word);
        if (!row || *count == RESULTS_MAX) {
            AUTO_BUF struct buf names = BUF_MAX(4 * KIB);
            for (row = catalogue; row->name; row++)
                buf_addf(&names, " %s", row->name);
            return fail(err, ERR_BAD_REQUEST, "there is no fault '%.*s'; there are:%s", STR_ARG(word), names.p);
        }
        rows[(*count)++] = row;
    }
    return *count ? 0 : fail(err, ERR_BAD_REQUEST, "--catalogue names no fault");
}

/* --- the load ------------------------------------------------------------------------------------------------------------------------ */

static struct sockaddr_in address_of(const char *ip, uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}

static int reap(pid_t pid, int64_t limit_ms)
{
    int64_t until_ms = time_monotonic_ms() + limit_ms;
    int status;

    while (pid > 0 && waitpid(pid, &status, WNOHANG) == 0) {
        struct timespec nap = { 0, 10 * 1000000 };
        if (time_monotonic_ms() > until_ms) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return -1;
        }
        nanosleep(&nap, NULL);
    }
    return 0;
}

/* The first answers come when the gateway and every node know the Service: a few requests show that. */
static int warm_up(struct prove *p, const struct prober_flow *flows, pid_t netns_pid, const char *through,
                   struct error *err)
{
    struct prober_options o = { .flows = flows, .flows_count = 2, .rate = WARM_UP_RATE, .netns_pid = netns_pid };
    int64_t until_ms = time_monotonic_ms() + 30 * SECOND_MS;
    struct probe_summary s = { .failed = 1 };

    while (s.failed && !interrupted) {
        struct probe_log *log = probe_log_new(WARM_UP_RATE, UINT32_MAX - WARM_UP_RATE);
        pid_t pid;
        int result = prober_start(log, &o, &pid, err);
        if (result == 0)
            reap(pid, 10 * SECOND_MS);
        probe_summarise(log, -1, 0, INT64_MAX, &s);
        probe_log_free(log);
        if (result < 0)
            return -1;
        if ((s.failed || !s.sent) && time_monotonic_ms() > until_ms)
            return fail(err, ERR_TIMEOUT, "the sample service does not answer through %s: %u of %u requests failed",
                        through, s.failed, s.sent);
    }
    prove_say(p, "the sample service answers through %s", through);
    return 0;
}

static int start_load(struct prove *p, int rate, struct error *err)
{
    static struct prober_flow flows[2][2];
    static struct prober_options o[2];
    uint32_t capacity = (uint32_t)MIN(rate * SECONDS_MAX, COUNTED_MAX / 2 - 64);
    char edge[16];

    cluster_edge_address(&p->cluster, edge);
    for (int fresh = 0; fresh < 2; fresh++) {
        flows[0][fresh] =
            (struct prober_flow){ fresh ? "gateway, fresh" : "gateway, kept", address_of(edge, 80), PROVE_HOST, fresh };
        flows[1][fresh] = (struct prober_flow){ fresh ? "ClusterIP, fresh" : "ClusterIP, kept",
                                                address_of(p->service_ip, 80), PROVE_HOST, fresh };
    }
    if (warm_up(p, flows[0], 0, "the gateway", err) < 0 ||
        warm_up(p, flows[1], p->prober_node->pid, "the ClusterIP", err) < 0)
        return -1;
    p->report.logs[LOAD_GATEWAY] = probe_log_new(capacity, 0);
    p->report.logs[LOAD_SERVICE] = probe_log_new(capacity, capacity);
    p->report.logs[LOAD_API] = probe_log_new(API_RATE * 2 * SECONDS_MAX, 0);
    p->api_findings = api_load_findings_new();
    p->api.servers = p->servers;
    p->api.pki_folder = p->pki;
    p->api.space = PROVE_SPACE;
    p->api.rate = API_RATE;
    p->report.began_us = time_monotonic_us();
    p->report.began_wall_ms = time_wall_ms();
    for (int i = 0; i < 2; i++) {
        o[i] = (struct prober_options){
            .flows = flows[i], .flows_count = 2, .rate = rate, .netns_pid = i ? p->prober_node->pid : 0
        };
        if (prober_start(p->report.logs[i], &o[i], &p->senders[i], err) < 0)
            return -1;
    }
    return api_load_start(p->report.logs[LOAD_API], p->api_findings, &p->api, &p->senders[LOAD_API], err);
}

static void end_load(struct prove *p)
{
    for (int i = 0; i < LOADS; i++)
        if (p->report.logs[i])
            atomic_store(&p->report.logs[i]->stop, true);
    for (int i = 0; i < LOADS; i++)
        if (p->senders[i] > 0 && reap(p->senders[i], SENDER_END_MS) < 0)
            snprintf(p->report.stopped, sizeof(p->report.stopped), "the load '%s' did not end", load_names[i]);
    if (p->api_findings)
        p->report.api = *p->api_findings;
}

/* --- the run --------------------------------------------------------------------------------------------------------------------------- */

static void run_row(struct prove *p, const struct catalogue_row *row)
{
    int times = p->quick ? MAX(row->times_quick, 1) : MAX(row->times, 1);

    for (int i = 0; i < times && !interrupted && p->report.results_count < RESULTS_MAX; i++) {
        struct fault_result *r = &p->report.results[p->report.results_count++];
        prove_fault(p, row, r);
        if (r->skipped) {
            prove_say(p, "%s: skipped: %s", row->title, r->note);
            return;
        }
        fault_result_judge(r, p->report.logs);
        prove_say(p, "%s%s%s: %s", row->title, r->target[0] ? ": " : "", r->target,
                  fault_result_passed(r) ? "every aim met" : "AIMS MISSED");
        for (int k = 0; k < r->checks_count; k++)
            if (!r->checks[k].passed)
                prove_say(p, "    %s: %s (aim: %s)", r->checks[k].what, r->checks[k].found, r->checks[k].aim);
        prove_nap(BETWEEN_MS);
    }
}

static int count(struct prove *p, struct error *err)
{
    const struct probe_log *const logs[] = { p->report.logs[LOAD_GATEWAY], p->report.logs[LOAD_SERVICE] };
    uint8_t *counts;
    size_t n;

    if (prove_counts_read(p, &counts, &n, err) < 0)
        return -1;
    probe_compare(logs, 2, counts, n, &p->report.counts);
    free(counts);
    return p->has_writer ? prove_writers_read(p, &p->report.writers, err) : 0;
}

static int write_one(const char *folder, const char *file, void (*fn)(struct buf *, const struct report *),
                     const struct report *r, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/%s", folder, file);
    AUTO_BUF struct buf text = BUF_MAX(REPORT_MAX);

    fn(&text, r);
    return file_write(path, buf_str(&text), 0644, err);
}

static int write_reports(const struct prove *p, const char *folder, struct error *err)
{
    if (file_mkdirs(folder, 0755, err) < 0 || write_one(folder, "report.txt", report_text, &p->report, err) < 0 ||
        write_one(folder, "report.json", report_json, &p->report, err) < 0)
        return -1;
    return write_one(folder, "report.html", report_html, &p->report, err);
}

static int run_all(struct prove *p, const struct catalogue_row **rows, int rows_count, const char *folder,
                   struct error *err)
{
    int rate = p->report.rate, result;

    p->report.results = xcalloc(RESULTS_MAX, sizeof(*p->report.results));
    result = start_load(p, rate, err);
    if (result == 0) {
        prove_nap(STEADY_MS);
        for (int i = 0; i < rows_count && !interrupted; i++)
            run_row(p, rows[i]);
    }
    end_load(p);
    p->report.ended_us = time_monotonic_us();
    if (result < 0 || count(p, err) < 0)
        return -1;
    if (interrupted)
        snprintf(p->report.stopped, sizeof(p->report.stopped), "interrupted");
    report_judge(&p->report);
    if (write_reports(p, folder, err) < 0)
        return -1;
    AUTO_BUF struct buf text = BUF_MAX(REPORT_MAX);
    report_text(&text, &p->report);
    printf("\n%.*s\nThe report: %s/report.html\n", STR_ARG(buf_str(&text)), folder);
    return report_passed(&p->report) ? 0 : fail(err, ERR_INTERNAL, "aims were missed: see %s/report.txt", folder);
}

static int open_cluster(struct prove *p, const char *name, struct error *err)
{
    bool found;
    int undone;

    if (cluster_undo(name, true, &undone, err) < 0 || cluster_load(name, &p->cluster, &found, err) < 0)
        return -1;
    if (!found)
        return fail(err, ERR_NOT_FOUND, "there is no cluster '%s' on this machine: `klein up --name %s` makes one",
                    name, name);
    p->pki = cluster_pki_path(&p->cluster);
    p->api.servers_count = (size_t)cluster_api_urls(&p->cluster, p->urls);
    for (size_t i = 0; i < p->api.servers_count; i++)
        p->servers[i] = str_of(p->urls[i]);
    p->chaos_folder = cluster_run_path(&p->cluster, "chaos");
    p->counts_folder = cluster_data_path(&p->cluster, "prove");
    p->prober_node = &p->cluster.nodes[p->cluster.nodes_count - 1];
    snprintf(p->report.cluster, sizeof(p->report.cluster), "%s", name);
    snprintf(p->report.version, sizeof(p->report.version), "%s", KLEIN_VERSION);
    p->report.zones = p->cluster.zones;
    p->report.nodes = p->cluster.nodes_count;
    p->report.servers = MAX(1, p->cluster.servers_count);
    return remote_open_cluster(&p->remote, &p->cluster, err);
}

static int own_folder(char to[4096], struct error *err)
{
    ssize_t n = readlink("/proc/self/exe", to, 4095);

    if (n <= 0)
        return fail_sys(err, errno, "find klein's own program file");
    to[n] = '\0';
    to[MAX(str_find_last(str_of(to), '/'), 0)] = '\0';
    return 0;
}

static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal };

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int run(const struct args *a, struct error *err)
{
    const struct catalogue_row *rows[RESULTS_MAX];
    AUTO_FREE struct prove *p = xnew(struct prove);
    const char *name = arg(a, "name");
    int rows_count, result;
    char folder[4096];
    int64_t rate;

    if (args_no_words(a, err) < 0 || cluster_name_check(name, err) < 0 ||
        arg_number(a, "requests", 2, 1000, &rate, err) < 0 ||
        take_catalogue(arg(a, "catalogue"), rows, &rows_count, err) < 0)
        return EXIT_USAGE;
    if (geteuid() != 0)
        return fail(err, ERR_FORBIDDEN, "`klein prove` breaks machines on purpose and must run as root");
    if (own_folder(folder, err) < 0 || open_cluster(p, name, err) < 0)
        return -1;
    p->sample_folder = arg(a, "samples") ? arg(a, "samples") : folder;
    p->quick = str_is(str_of(arg(a, "catalogue")), "quick");
    p->report.rate = (int)rate;
    catch_signals();
    result = prove_sample_start(p, err);
    p->report.pods = p->pods_wanted;
    if (result == 0) {
        prove_say(p, "the sample service runs: %d pods%s", p->pods_wanted, p->has_writer ? ", and a writer" : "");
        result = run_all(p, rows, rows_count, arg(a, "report"), err);
    }
    prove_sample_stop(p);
    remote_close(&p->remote);
    for (size_t i = 0; i < p->api.servers_count; i++)
        free(p->urls[i]);
    free(p->pki);
    free(p->chaos_folder);
    free(p->counts_folder);
    free(p->report.results);
    for (int i = 0; i < LOADS; i++)
        probe_log_free(p->report.logs[i]);
    api_load_findings_free(p->api_findings);
    return result;
}

const struct subcommand command_prove = {
    .name = "prove",
    .summary = "Break a local cluster in many ways under load, and report what users noticed.",
    .usage = "[--name NAME] [--requests 100] [--catalogue quick|full|FAULT,...] [--report DIR]",
    .options = options,
    .run = run,
};
