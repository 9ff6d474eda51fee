/* Backups on another machine, by rsync over ssh. Programs get argument vectors; no shell of ours sees a path. */
#include "backup/target.h"

#include "base/file.h"
#include "base/time.h"
#include "loop/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LIMIT_MS   (60 * MINUTE_MS)
#define OUTPUT_MAX (16 * MIB)
#define ARGS_MAX   16

struct rsync {
    struct target base;
    char *remote; /* USER@HOST:PATH */
    char *ssh;    /* the value of rsync -e, which rsync splits at blanks: everything in it is checked */
};

static struct rsync *rsync_of(struct target *t)
{
    return container_of(t, struct rsync, base);
}

static int run(struct rsync *r, const char *const *words, struct buf *out, struct error *err)
{
    const char *argv[ARGS_MAX + 8] = { "rsync", "-e", r->ssh, "--timeout=60", "--protect-args" };
    AUTO_BUF struct buf own = BUF_MAX(OUTPUT_MAX), errors = BUF_MAX(64 * KIB);
    struct process_exit how;
    size_t n = 5;

    for (size_t i = 0; words[i] && n < ARRAY_SIZE(argv) - 1; i++)
        argv[n++] = words[i];
    if (process_run(&(struct process_options){ .argv = argv, .kill_on_parent_death = true }, STR_NONE, out ? out : &own,
                    &errors, LIMIT_MS, &how, err) < 0)
        return error_context(err, "rsync");
    if (how.code == 0)
        return 0;
    struct str why = str_trim(buf_str(&errors));
    return fail(err, how.code == 23 && str_contains(why, STR("No such file")) ? ERR_NOT_FOUND : ERR_UNAVAILABLE,
                "rsync with %s failed (exit code %d): %.*s", r->base.text, how.code, STR_ARG(str_part(why, 0, 600)));
}

static int rsync_put(struct target *t, const char *local, const char *name, bool only_new, struct error *err)
{
    struct rsync *r = rsync_of(t);
    AUTO_FREE char *from = xasprintf("%s/", local);
    AUTO_FREE char *to = xasprintf("%s/%s/", r->remote, name);
    AUTO_FREE char *manifest = xasprintf("%s/" MANIFEST_FILE, local);

    (void)only_new; /* rsync's own way */
    const char *const content[] = { "-rt",          "--mkpath", "--fsync", "--exclude=" MANIFEST_FILE,
                                    "--exclude=.*", from,       to,        NULL };
    const char *const last[] = { "-t", "--fsync", manifest, to, NULL };
    if (run(r, content, NULL, err) < 0)
        return -1;
    return file_exists(manifest) ? run(r, last, NULL, err) : 0;
}

static int rsync_get(struct target *t, const char *name, const char *local, struct error *err)
{
    struct rsync *r = rsync_of(t);
    AUTO_FREE char *from = xasprintf("%s/%s/", r->remote, name);
    AUTO_FREE char *to = xasprintf("%s/", local);
    const char *const words[] = {
        "-rt", "--no-links", "--no-specials", "--no-devices", "--exclude=.*", from, to, NULL
    };

    return run(r, words, NULL, err);
}

/* "drwx------          4,096 2026/11/21 08:00:00 NAME" */
static int rsync_list(struct target *t, struct target_names *ret, struct error *err)
{
    struct rsync *r = rsync_of(t);
    AUTO_FREE char *from = xasprintf("%s/", r->remote);
    AUTO_BUF struct buf out = BUF_MAX(OUTPUT_MAX);
    AUTO_ERROR struct error problem = { 0 };
    const char *const words[] = { "--list-only", from, NULL };
    struct str rest, line;

    if (run(r, words, &out, &problem) < 0) {
        if (problem.code == ERR_NOT_FOUND)
            return 0;
        error_move(err, &problem);
        return -1;
    }
    for (rest = buf_str(&out); str_next(&rest, '\n', &line);) {
        struct str name = str_from(line, (size_t)(str_find_last(line, ' ') + 1));
        if (str_starts(line, STR("d")) && segment_name_is_valid(name))
            target_names_add(ret, name);
    }
    return 0;
}

static int rsync_remove(struct target *t, const char *name, struct error *err)
{
    struct rsync *r = rsync_of(t);
    char folder[] = "/tmp/klein-empty-XXXXXX";
    AUTO_FREE char *to = xasprintf("%s/", r->remote);
    AUTO_FREE char *self = xasprintf("--include=/%s/", name);
    AUTO_FREE char *below = xasprintf("--include=/%s/**", name);

    if (!mkdtemp(folder))
        return fail(err, ERR_INTERNAL, "no temporary folder could be made");
    AUTO_FREE char *from = xasprintf("%s/", folder);
    const char *const words[] = { "-r", "--delete", self, below, "--exclude=*", from, to, NULL };
    int result = run(r, words, NULL, err);
    rmdir(folder);
    return result;
}

static void rsync_free(struct target *t)
{
    free(rsync_of(t)->remote);
    free(rsync_of(t)->ssh);
    free(rsync_of(t));
}

static const struct target_ops rsync_ops = {
    .put = rsync_put, .get = rsync_get, .list = rsync_list, .remove = rsync_remove, .free = rsync_free
};

/* What reaches ssh as a word: no blanks or quotes, and nothing that would be taken for an option. */
static bool is_plain(struct str s, const char *also)
{
    if (!s.n || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr(also, c)) || !c)
            return false;
    }
    return true;
}

static bool file_is_plain(const char *path)
{
    return !path || is_plain(str_of(path), "/._-+");
}

struct target *target_open_rsync(const char *url, const struct target_options *o, struct error *err)
{
    struct str rest = str_from(str_of(url), STR("rsync://").n), at, host;
    bool has_path = str_cut(&rest, '/', &at);
    struct str port = at;
    int64_t number = 22;

    bool has_port = str_cut(&port, ':', &host);
    if (!has_path || !is_plain(host, "@._-") || !is_plain(rest, "/._-+") ||
        (has_port && (!str_to_i64(port, &number) || number < 1 || number > 65535)) ||
        !file_is_plain(o->identity_file) || !file_is_plain(o->known_hosts_file))
        return fail_null(err, ERR_BAD_REQUEST,
                         "'%s': rsync://USER@HOST[:PORT]/PATH of letters, digits and . _ - + is expected", url);
    struct rsync *r = xnew(struct rsync);
    r->base.ops = &rsync_ops;
    r->base.text = xstrdup(url);
    r->remote = xasprintf("%.*s:/%.*s", STR_ARG(host), STR_ARG(rest));
    r->ssh =
        xasprintf("ssh -p %d -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=yes%s%s%s%s", (int)number,
                  o->known_hosts_file ? " -o UserKnownHostsFile=" : "", o->known_hosts_file ? o->known_hosts_file : "",
                  o->identity_file ? " -i " : "", o->identity_file ? o->identity_file : "");
    return &r->base;
}
