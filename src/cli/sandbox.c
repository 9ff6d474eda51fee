/* A sandbox: a store out of a backup, a server on it, the comparison. */
#include "cli/sandbox.h"

#include "backup/dump.h"
#include "backup/rebuild.h"
#include "base/file.h"
#include "base/time.h"
#include "cli/remote.h"
#include "cli/run.h"
#include "loop/process.h"
#include "store/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_LIMIT_MS (5 * MINUTE_MS) /* a large store is read before the server listens */

void proof_done(struct proof *p)
{
    findings_done(&p->findings);
}

int manifest_keys(const struct manifest *m, const struct secret *passphrase, struct backup_keys *ret, struct error *err)
{
    AUTO_BUF struct buf salt = BUF_MAX(64);

    if (!hex_decode(&salt, str_of(m->salt)))
        return fail(err, ERR_BAD_REQUEST, "the salt in the manifest is not one");
    return backup_keys_derive(passphrase, buf_str(&salt), ret, err);
}

/* --- the files ----------------------------------------------------------------------------------------------------- */

static void check_seal(const char *folder, const struct manifest *m, const struct secret *passphrase, struct proof *p)
{
    AUTO_BACKUP_KEYS struct backup_keys keys = { 0 };
    AUTO_ERROR struct error err = { 0 };

    if (!passphrase || (!m->sealed && !m->has_keys))
        return;
    if (manifest_keys(m, passphrase, &keys, &err) < 0 ||
        manifest_check_seal(folder, secret_reveal(&keys.manifest), &err) < 0)
        finding(&p->findings, "%s", error_text(&err));
}

static void check_all(const char *folder, const struct manifest *m, const struct secret *passphrase,
                      struct known_objects *known, struct proof *p)
{
    check_seal(folder, m, passphrase, p);
    backup_check_files(folder, m, &p->findings);
    known_objects_load(known, folder, m, &p->findings);
    backup_check_objects(folder, m, known, &p->findings);
    p->objects = m->objects;
}

/* A manifest that cannot be read is a finding like others; -1 only when there is no backup at all. */
static int read_manifest(const char *folder, struct manifest *ret, struct proof *p, struct error *err)
{
    AUTO_ERROR struct error problem = { 0 };

    if (manifest_read(folder, ret, &problem) == 0)
        return 0;
    if (problem.code == ERR_NOT_FOUND && !file_exists(folder)) {
        error_move(err, &problem);
        return -1;
    }
    finding(&p->findings, "%s", error_text(&problem));
    return 1;
}

int sandbox_check(const char *folder, const struct secret *passphrase, struct manifest *ret, struct proof *p,
                  struct error *err)
{
    AUTO_KNOWN_OBJECTS struct known_objects known = { 0 };
    int got = read_manifest(folder, ret, p, err);

    if (got == 0)
        check_all(folder, ret, passphrase, &known, p);
    return got < 0 ? -1 : 0;
}

/* --- the server ---------------------------------------------------------------------------------------------------- */

static int add_entry(void *arg, struct str key, struct str value, uint64_t revision, struct error *err)
{
    return store_seed_add(arg, key, value, revision, err);
}

static int fill_store(const char *folder, const struct manifest *m, const char *data, struct error *err)
{
    AUTO_FREE char *store = xasprintf("%s/store", data);
    uint64_t entries;

    if (file_mkdirs(data, 0700, err) < 0)
        return -1;
    struct store_seed *seed = store_seed_new(store, err);
    if (!seed)
        return -1;
    if (rebuild(&(struct rebuild_options){ .backup = folder, .manifest = m }, add_entry, seed, &entries, err) < 0) {
        store_seed_abort(seed);
        return -1;
    }
    return store_seed_end(seed, m->revision, err);
}

static pid_t start_server(const char *data, const char *address_file, const char *log, struct error *err)
{
    const char *const argv[] = { "klein",    "server",      "--no-control",   "--data",     data,
                                 "--listen", "127.0.0.1:0", "--address-file", address_file, NULL };
    AUTO_FD int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    AUTO_FD int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    if (out < 0 || null < 0)
        return fail_sys(err, errno, "open '%s'", log);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, 0);
        dup2(out, 1);
        dup2(out, 2);
        execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return pid < 0 ? fail_sys(err, errno, "start the sandbox's server") : pid;
}

void sandbox_server_stop(struct sandbox_server *s)
{
    int64_t until_ms = time_monotonic_ms() + 10 * SECOND_MS;
    int status;

    kill(s->pid, SIGTERM);
    while (waitpid(s->pid, &status, WNOHANG) == 0) {
        if (time_monotonic_ms() > until_ms)
            kill(s->pid, SIGKILL);
        poll(NULL, 0, 5);
    }
}

/* The end of the server's log, for a sentence. */
static int fail_with_log(const char *log, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(MIB);

    file_read(log, &text, NULL);
    struct str words = str_trim(buf_str(&text));
    if (words.n > 800)
        words = str_from(words, words.n - 800);
    return fail(err, ERR_BAD_REQUEST, "a server does not start on that state: %.*s", STR_ARG(words));
}

static int wait_server(pid_t pid, const char *address_file, const char *log, struct buf *address, struct error *err)
{
    int64_t until_ms = time_monotonic_ms() + START_LIMIT_MS;
    int status;

    while (file_read(address_file, address, NULL) < 0) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return fail_with_log(log, err);
        if (time_monotonic_ms() > until_ms)
            return fail(err, ERR_TIMEOUT, "the sandbox's server was not ready within %lld s",
                        (long long)(START_LIMIT_MS / SECOND_MS));
        buf_clear(address);
        poll(NULL, 0, 5);
    }
    return 0;
}

int sandbox_server_start(const char *data, const char *work, struct sandbox_server *ret, struct error *err)
{
    AUTO_FREE char *address_file = xasprintf("%s/address", work);
    AUTO_FREE char *log = xasprintf("%s/server.log", work);
    AUTO_BUF struct buf address = BUF_MAX(sizeof(ret->address) - 1);

    unlink(address_file);
    ret->pid = start_server(data, address_file, log, err);
    if (ret->pid < 0)
        return -1;
    AUTO_ERROR struct error problem = { 0 };
    if (wait_server(ret->pid, address_file, log, &address, &problem) < 0) {
        if (problem.code != ERR_BAD_REQUEST) /* else it has ended */
            sandbox_server_stop(ret);
        error_move(err, &problem);
        return -1;
    }
    snprintf(ret->address, sizeof(ret->address), "%.*s", STR_ARG(buf_str(&address)));
    return 0;
}

static int take_piece(void *arg, struct str bytes, struct error *err)
{
    return dump_reader_feed(arg, bytes, err);
}

int sandbox_server_dump(const struct sandbox_server *s, const char *data, struct dump_reader *reader, struct error *err)
{
    AUTO_FREE char *url = xasprintf("https://%s", s->address);
    AUTO_FREE char *pki = xasprintf("%s/pki", data);
    struct remote remote = { 0 };
    int result = -1;

    if (remote_open(&remote, url, pki, err) == 0 &&
        remote_stream(&remote, "/klein/v1/backup", take_piece, reader, err) == 0)
        result = dump_reader_end(reader, err);
    remote_close(&remote);
    return result < 0 ? error_context(err, "read what the server shows") : 0;
}

/* --- the comparison ------------------------------------------------------------------------------------------------ */

struct comparison {
    struct known_objects *known;
    struct findings *findings;
};

static int compare_record(void *arg, const struct record *r, struct error *err)
{
    struct comparison *c = arg;

    (void)err;
    if (r->type == RECORD_OBJECT)
        known_objects_compare(c->known, "the restored cluster", r->key, r->revision, r->value, c->findings);
    return 0;
}

static int compare(const struct sandbox_server *server, const char *data, struct known_objects *known, struct proof *p,
                   struct error *err)
{
    struct comparison c = { .known = known, .findings = &p->findings };
    struct dump_reader reader;

    dump_reader_init(&reader, compare_record, &c);
    known_objects_begin(known);
    int result = sandbox_server_dump(server, data, &reader, err);
    dump_reader_done(&reader);
    if (result == 0)
        known_objects_end(known, "the restored cluster", &p->findings);
    return result;
}

static int run_sandbox(const char *folder, const struct manifest *m, const char *work, struct known_objects *known,
                       struct proof *p, struct error *err)
{
    AUTO_FREE char *data = xasprintf("%s/data", work);
    AUTO_ERROR struct error problem = { 0 };
    struct sandbox_server server;
    int64_t began_ms = time_monotonic_ms();

    if (fill_store(folder, m, data, err) < 0)
        return -1;
    if (sandbox_server_start(data, work, &server, &problem) < 0) {
        if (problem.code != ERR_BAD_REQUEST) {
            error_move(err, &problem);
            return -1;
        }
        finding(&p->findings, "%s", error_text(&problem)); /* it ended: the state is at fault */
        return 0;
    }
    p->restore_ms = time_monotonic_ms() - began_ms;
    int result = compare(&server, data, known, p, err);
    sandbox_server_stop(&server);
    return result;
}

static int open_keys(const char *folder, const struct manifest *m, const struct secret *passphrase, const char *work,
                     struct proof *p)
{
    AUTO_FREE char *file = xasprintf("%s/" KEYS_FILE, folder);
    AUTO_FREE char *to = xasprintf("%s/keys", work);
    AUTO_BACKUP_KEYS struct backup_keys keys = { 0 };
    AUTO_ERROR struct error err = { 0 };

    if (!m->has_keys || !passphrase)
        return 0;
    if (manifest_keys(m, passphrase, &keys, &err) < 0 || keys_unseal(file, &keys, to, &err) < 0)
        finding(&p->findings, "%s", error_text(&err));
    else
        p->keys_opened = true;
    return file_remove_tree(to, NULL);
}

int sandbox_prove(const char *folder, const struct secret *passphrase, const char *work, struct proof *ret,
                  struct error *err)
{
    AUTO_MANIFEST struct manifest m = { 0 };
    AUTO_KNOWN_OBJECTS struct known_objects known = { 0 };
    AUTO_FREE char *sandbox = xasprintf("%s/sandbox-XXXXXX", work);
    int64_t began_ms = time_monotonic_ms();
    int result = read_manifest(folder, &m, ret, err);

    if (result == 0)
        check_all(folder, &m, passphrase, &known, ret);
    /* A state is started only when the files are what they should be: what follows tells whether that is enough. */
    if (result == 0 && !ret->findings.count) {
        if (!mkdtemp(sandbox))
            return fail_sys(err, errno, "make a folder in '%s'", work);
        open_keys(folder, &m, passphrase, sandbox, ret);
        result = run_sandbox(folder, &m, sandbox, &known, ret, err);
        file_remove_tree(sandbox, NULL);
    }
    ret->total_ms = time_monotonic_ms() - began_ms;
    return result < 0 ? -1 : 0;
}
