/*
 * The runner of the simulator: seeds, each in a child of its own, several at a time.
 *
 *     sim [--seeds N] [--first K] [--jobs J] [--life NAME] [--repeat] [--mutant NAME] [--mutants]
 *
 * --repeat leads every life twice and compares the hashes of the traces. --mutant plants one known bug, --mutants all of
 * mutants.def one by one, and fails when one of them is not found. The last line is what scripts/test reads.
 */
#include "sim.h"

#include "base/file.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX  64
#define SEED_S    60 /* no seed takes longer, also on a busy machine */
#define OUTPUT    400000
#define SHOWN_MAX 5 /* failures that are printed in full */

struct result { /* in memory shared with the child */
    bool ok;
    uint64_t hash, acknowledged, events;
    int64_t virtual_ms;
};

struct job {
    pid_t pid;
    uint64_t seed;
    int output;
    struct result *result;
};

struct options {
    uint64_t seeds, first;
    size_t jobs;
    const char *life, *mutant;
    bool repeat, mutants, stop_at_first, quiet;
};

struct totals {
    uint64_t passed, failed, acknowledged, events, first_failed;
    int64_t virtual_ms;
};

static const struct life {
    const char *name;
    life_fn *fn;
    unsigned share;
} lives[] = {
#define LIFE(name, share) { #name, life_##name, share },
#include "lives.def"
#undef LIFE
};

static const struct life *life_of_seed(const struct options *o, uint64_t seed)
{
    unsigned place = (unsigned)(seed * 37 % 100); /* neighbours lead different lives */

    for (size_t i = 0; i < ARRAY_SIZE(lives); i++) {
        if (o->life && strcmp(lives[i].name, o->life) == 0)
            return &lives[i];
        if (!o->life && place < lives[i].share)
            return &lives[i];
        place -= MIN(lives[i].share, place);
    }
    return &lives[0];
}

static char root[64]; /* a folder for all runs */

static void lead(const struct life *life, uint64_t seed, struct result *ret)
{
    AUTO_FREE char *folder = xasprintf("%s/%llu", root, (unsigned long long)seed);
    struct sim *s = sim_new(seed, folder);

    if (mkdir(folder, 0700) < 0)
        sim_fail(s, "cannot make the folder %s", folder);

    life->fn(s);
    sim_check_history(s);
    *ret = (struct result){ .ok = true,
                            .hash = s->hash,
                            .acknowledged = history_acknowledged(s->history),
                            .events = history_events(s->history),
                            .virtual_ms = sim_now_ms(s) };
}

static void start(const struct options *o, struct job *j, uint64_t seed)
{
    j->seed = seed;
    *j->result = (struct result){ 0 };
    if (ftruncate(j->output, 0) < 0 || lseek(j->output, 0, SEEK_SET) < 0)
        exit(1);
    fflush(stdout);
    j->pid = fork();
    if (j->pid != 0)
        return;
    alarm(SEED_S);
    dup2(j->output, 1);
    dup2(j->output, 2);
#ifdef KLEIN_TEST_POINTS
    mutant_planted = o->mutant;
#endif
    lead(life_of_seed(o, seed), seed, j->result);
    _exit(0);
}

static void show(const struct job *j, const char *life)
{
    static char text[OUTPUT + 1];
    ssize_t n = lseek(j->output, 0, SEEK_END);

    printf("--- seed %llu (%s) failed\n", (unsigned long long)j->seed, life);
    n = pread(j->output, text, OUTPUT, n > OUTPUT ? n - OUTPUT : 0);
    fwrite(text, 1, n > 0 ? (size_t)n : 0, stdout);
}

static void finish(const struct options *o, struct job *j, int status, struct totals *t)
{
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0 && j->result->ok;

    AUTO_FREE char *folder = xasprintf("%s/%llu", root, (unsigned long long)j->seed);

    j->pid = 0;
    file_remove_tree(folder, NULL);
    if (!ok) {
        t->first_failed = t->failed++ ? t->first_failed : j->seed;
        if (!o->quiet && t->failed <= SHOWN_MAX)
            show(j, life_of_seed(o, j->seed)->name);
        return;
    }
    t->passed++;
    t->acknowledged += j->result->acknowledged;
    t->events += j->result->events;
    t->virtual_ms += j->result->virtual_ms;
}

static struct job *job_of(struct job *jobs, size_t count, pid_t pid)
{
    for (size_t i = 0; i < count; i++)
        if (jobs[i].pid == pid)
            return &jobs[i];
    return NULL;
}

static struct totals run(const struct options *o, uint64_t *hashes)
{
    static struct job jobs[JOBS_MAX];
    struct totals t = { 0 };
    uint64_t next = o->first, end = o->first + o->seeds, working = 0;

    for (size_t i = 0; i < o->jobs && !jobs[i].result; i++) {
        jobs[i].output = memfd_create("sim", MFD_CLOEXEC);
        jobs[i].result = mmap(NULL, sizeof(struct result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    for (;;) {
        struct job *idle = job_of(jobs, o->jobs, 0);
        if (idle && next < end && !(o->stop_at_first && t.failed)) {
            start(o, idle, next++);
            working++;
            continue;
        }
        if (!working)
            return t;
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        struct job *j = pid > 0 ? job_of(jobs, o->jobs, pid) : NULL;
        if (!j)
            continue;
        working--;
        finish(o, j, status, &t);
        if (hashes)
            hashes[j->seed - o->first] = j->result->hash;
    }
}

/* --- what is asked ----------------------------------------------------------------------------------------------------------- */

static int run_seeds(const struct options *o)
{
    struct totals t = run(o, NULL);

    printf("%llu writes acknowledged, %llu changes, %.0f s of virtual time\n", (unsigned long long)t.acknowledged,
           (unsigned long long)t.events, (double)t.virtual_ms / 1000);
    printf("test result: %llu passed, %llu failed\n", (unsigned long long)t.passed, (unsigned long long)t.failed);
    return t.failed ? 1 : 0;
}

static int run_twice(const struct options *o)
{
    uint64_t *first = xcalloc(o->seeds, sizeof(*first)), *second = xcalloc(o->seeds, sizeof(*second));
    struct totals a = run(o, first), b = run(o, second);
    uint64_t differ = 0;

    for (uint64_t i = 0; i < o->seeds; i++) {
        if (first[i] == second[i] && first[i])
            continue;
        differ++;
        printf("seed %llu: its two lives differ\n", (unsigned long long)(o->first + i));
    }
    free(first);
    free(second);
    printf("test result: %llu passed, %llu failed\n", (unsigned long long)(o->seeds - differ),
           (unsigned long long)(differ + a.failed + b.failed));
    return differ || a.failed || b.failed;
}

#ifdef KLEIN_TEST_POINTS
static int run_mutants(const struct options *o)
{
    static const struct {
        const char *name, *life;
        uint64_t seeds;
    } mutants[] = {
#define SIM_MUTANT(name, life, seeds, record) { name, #life, seeds },
#include "mutants.def"
#undef SIM_MUTANT
    };
    uint64_t found = 0;

    for (size_t i = 0; i < ARRAY_SIZE(mutants); i++) {
        struct options one = *o;
        one.mutant = mutants[i].name;
        one.life = mutants[i].life;
        one.seeds = mutants[i].seeds;
        one.stop_at_first = one.quiet = true;
        struct totals t = run(&one, NULL);
        if (t.failed)
            printf("%-34s found by seed %llu\n", mutants[i].name, (unsigned long long)t.first_failed);
        else
            printf("%-34s NOT FOUND in %llu seeds of %s\n", mutants[i].name, (unsigned long long)one.seeds, one.life);
        found += t.failed > 0;
    }
    printf("test result: %llu passed, %llu failed\n", (unsigned long long)found,
           (unsigned long long)(ARRAY_SIZE(mutants) - found));
    return found < ARRAY_SIZE(mutants);
}
#else
static int run_mutants(const struct options *o)
{
    (void)o;
    fprintf(stderr, "mutants need a build with -Dtest_points=true\n");
    return 2;
}
#endif

static bool option(int *i, int argc, char **argv, const char *name, const char **ret)
{
    if (strcmp(argv[*i], name) || *i + 1 >= argc)
        return false;
    *ret = argv[++*i];
    return true;
}

int main(int argc, char **argv)
{
    struct options o = { .seeds = 100, .first = 1, .jobs = (size_t)sysconf(_SC_NPROCESSORS_ONLN) };
    const char *number;
    uint64_t jobs = 0;

    for (int i = 1; i < argc; i++) {
        if (option(&i, argc, argv, "--seeds", &number)   ? !str_to_u64(str_of(number), &o.seeds)
            : option(&i, argc, argv, "--first", &number) ? !str_to_u64(str_of(number), &o.first)
            : option(&i, argc, argv, "--jobs", &number)  ? !str_to_u64(str_of(number), &jobs)
            : strcmp(argv[i], "--repeat") == 0           ? (o.repeat = true, false)
            : strcmp(argv[i], "--mutants") == 0
                ? (o.mutants = true, false)
                : !option(&i, argc, argv, "--life", &o.life) && !option(&i, argc, argv, "--mutant", &o.mutant)) {
            fprintf(stderr, "usage: sim [--seeds N] [--first K] [--jobs J] [--life NAME] [--repeat] [--mutant NAME] "
                            "[--mutants]\n");
            return 2;
        }
    }
    o.jobs = MIN(jobs ? jobs : o.jobs, (size_t)JOBS_MAX);
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *temporary = getenv("TMPDIR");
    snprintf(root, sizeof(root), "%s/klein-sim-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(root)) {
        fprintf(stderr, "cannot make the folder %s\n", root);
        return 2;
    }
    int failed = o.mutants ? run_mutants(&o) : o.repeat ? run_twice(&o) : run_seeds(&o);
    file_remove_tree(root, NULL);
    return failed;
}
