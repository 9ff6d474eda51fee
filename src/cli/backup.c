/* `klein backup`: make a backup of a running cluster and prove it; list and verify the ones there are. */
#include "backup/dump.h"
#include "backup/keys.h"
#include "base/file.h"
#include "base/time.h"
#include "cli/backup_report.h"
#include "cli/commands.h"
#include "cli/place.h"
#include "cli/sandbox.h"
#include "object/value.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define CHANGES_DAYS 3 /* folders of shipped change logs that are kept: each holds the day before it too */

static const struct option_row options[] = {
    PLACE_OPTIONS,
    { "server", "URL", "https://127.0.0.1:6443", "the API server" },
    { "to", "PLACE", BACKUP_FOLDER,
      "FOLDER, s3://BUCKET/PREFIX?endpoint=URL&region=NAME, or rsync://USER@HOST[:PORT]/PATH" },
    { "without-keys", NULL, NULL, "leave out the keys and certificates" },
    { "keep", "N", "0", "remove all but the newest N afterwards; 0: keep all" },
    { "no-verify", NULL, NULL, "do not restore the new backup into a sandbox" },
    { "quick", NULL, NULL, "verify: files and digests only, without a sandbox" },
    { "stale", NULL, NULL, "take what the server has, also when the store has no majority" },
    { "output", "json", NULL, "machine-readable" },
    { 0 },
};

struct making {
    const struct args *args;
    struct target *target;
    struct secret passphrase;
    const struct secret *seal; /* &passphrase, or NULL */
    char *data, *work;
    struct remote remote;
    struct manifest manifest;
    uint64_t bytes;
    struct proof proof;
    char folder[4096]; /* of the backup on this machine */
};

/* --- making ------------------------------------------------------------------------------------------------------- */

static int take_piece(void *arg, struct str bytes, struct error *err)
{
    return backup_writer_feed(arg, bytes, err);
}

static int take_dump(struct making *m, const char *folder, struct error *err)
{
    struct backup_writer w;
    const char *target = arg_given(m->args, "stale") ? "/klein/v1/backup?stale=true" : "/klein/v1/backup";

    backup_writer_init(&w, folder);
    int result = remote_stream(&m->remote, target, take_piece, &w, err);
    if (result == 0)
        result = backup_writer_end(&w, &m->manifest, err);
    backup_writer_done(&w);
    return result;
}

static int add_keys(struct making *m, const char *folder, struct backup_keys *keys, struct error *err)
{
    AUTO_FREE char *pki = xasprintf("%s/pki", m->data);
    AUTO_FREE char *file = xasprintf("%s/" KEYS_FILE, folder);
    AUTO_BUF struct buf hex = BUF_MAX(64);
    char salt[KEYS_SALT_BYTES];

    if (!m->seal)
        return 0;
    env_system()->random(env_system(), salt, sizeof(salt));
    hex_encode(&hex, (struct str){ salt, sizeof(salt) });
    snprintf(m->manifest.salt, sizeof(m->manifest.salt), "%s", hex.p);
    if (backup_keys_derive(m->seal, (struct str){ salt, sizeof(salt) }, keys, err) < 0)
        return -1;
    if (arg_given(m->args, "without-keys"))
        return 0;
    if (keys_seal(pki, keys, env_system(), file, err) < 0)
        return -1;
    m->manifest.has_keys = true;
    GROW(m->manifest.files, m->manifest.files_count, m->manifest.files_capacity);
    return segment_file_measure(folder, KEYS_FILE, &m->manifest.files[m->manifest.files_count++], err);
}

static int make_local(struct making *m, struct error *err)
{
    AUTO_FREE char *making = xasprintf("%s/making", m->work);
    AUTO_BACKUP_KEYS struct backup_keys keys = { 0 };

    if (file_mkdirs(making, 0700, err) < 0 || take_dump(m, making, err) < 0 || add_keys(m, making, &keys, err) < 0)
        return -1;
    snprintf(m->folder, sizeof(m->folder), "%s/%s", m->work, m->manifest.id);
    if (rename(making, m->folder) < 0)
        return fail_sys(err, errno, "rename '%s'", making);
    for (size_t i = 0; i < m->manifest.files_count; i++)
        m->bytes += m->manifest.files[i].bytes;
    return manifest_write(m->folder, &m->manifest, secret_reveal(&keys.manifest), err);
}

/* What is proved is what came back from where it is kept, not what was sent there. */
static int prove(struct making *m, struct error *err)
{
    AUTO_FREE char *back = xasprintf("%s/back", m->work);
    char id[BACKUP_ID_SIZE];

    if (file_mkdirs(back, 0700, err) < 0)
        return -1;
    AUTO_FREE char *folder = place_fetch(m->target, m->manifest.id, back, id, err);
    if (!folder || sandbox_prove(folder, m->seal, m->work, &m->proof, err) < 0)
        return error_context(err, "backup '%s' was made, but could not be proved", m->manifest.id);
    if (!m->proof.findings.count)
        return 0;
    return fail(err, ERR_BAD_REQUEST, "backup '%s' is BAD:\n%.*s", m->manifest.id,
                STR_ARG(buf_str(&m->proof.findings.text)));
}

/* The change log of this server; a server's data folder is not there when the backup is made from another machine. */
static int ship_changes(struct making *m, struct error *err)
{
    AUTO_FREE char *folder = xasprintf("%s/changes", m->data);
    char day[BACKUP_ID_SIZE], name[BACKUP_ID_SIZE + 16];

    if (!file_exists(folder))
        return 0;
    backup_id(env_wall_ms(env_system()), 0, day);
    snprintf(name, sizeof(name), "changes-%.8s", day);
    return m->target->ops->put(m->target, folder, name, true, err) < 0 ? error_context(err, "ship the change log") : 0;
}

static int remove_old(struct making *m, int64_t keep, struct error *err)
{
    AUTO_TARGET_NAMES struct target_names ids = { 0 }, all = { 0 };
    char oldest[BACKUP_ID_SIZE];

    if (!keep)
        return 0;
    if (target_backups(m->target, &ids, err) < 0 || m->target->ops->list(m->target, &all, err) < 0)
        return -1;
    for (size_t i = 0; i + (size_t)keep < ids.count; i++)
        if (m->target->ops->remove(m->target, ids.names[i], err) < 0)
            return error_context(err, "remove the old backup '%s'", ids.names[i]);
    backup_id(m->manifest.time_ms - CHANGES_DAYS * 24 * HOUR_MS, 0, oldest);
    for (size_t i = 0; i < all.count; i++) {
        struct str name = str_of(all.names[i]);
        if (str_starts(name, STR("changes-")) &&
            str_cmp(str_from(name, STR("changes-").n), str_part(str_of(oldest), 0, 8)) < 0 &&
            m->target->ops->remove(m->target, all.names[i], err) < 0)
            return error_context(err, "remove the old change log '%s'", all.names[i]);
    }
    return 0;
}

static int make(struct making *m, struct error *err)
{
    int64_t keep;

    if (arg_number(m->args, "keep", 0, 1 << 20, &keep, err) < 0)
        return EXIT_USAGE;
    if (!m->seal && !arg_given(m->args, "without-keys")) {
        fail(err, ERR_BAD_REQUEST,
             "the keys and certificates of the cluster go into a backup under a passphrase only: name a file that "
             "holds one "
             "with --passphrase-file, or leave them out with --without-keys (nodes and people then join anew after a "
             "restore)");
        return EXIT_USAGE;
    }
    if (make_local(m, err) < 0 || m->target->ops->put(m->target, m->folder, m->manifest.id, false, err) < 0)
        return error_context(err, "make a backup at %s", m->target->text);
    if ((!arg_given(m->args, "no-verify") && prove(m, err) < 0) || ship_changes(m, err) < 0 ||
        remove_old(m, keep, err) < 0)
        return -1;
    return 0;
}

static void tell_made(const struct making *m, int64_t ms)
{
    bool proved = !arg_given(m->args, "no-verify");

    if (arg(m->args, "output")) {
        printf("{\"id\":\"%s\",\"revision\":\"%llu\",\"objects\":%llu,\"bytes\":%llu,\"seconds\":%.3f,\"proved\":%s,"
               "\"restoreSeconds\":%.3f,\"proofSeconds\":%.3f,\"keys\":%s}\n",
               m->manifest.id, (unsigned long long)m->manifest.revision, (unsigned long long)m->manifest.objects,
               (unsigned long long)m->bytes, (double)ms / 1000, proved ? "true" : "false",
               (double)m->proof.restore_ms / 1000, (double)m->proof.total_ms / 1000,
               m->manifest.has_keys ? "true" : "false");
        return;
    }
    printf("Backup %s: %llu objects at revision %llu, %.1f MB, %s, in %.2f s.\n", m->manifest.id,
           (unsigned long long)m->manifest.objects, (unsigned long long)m->manifest.revision, (double)m->bytes / 1e6,
           m->manifest.has_keys ? "with keys and certificates" : "without keys and certificates", (double)ms / 1000);
    printf("Secrets are readable in it for whoever can read the place: %s.\n",
           m->seal ? "the passphrase seals the keys and certificates only" : "keep it closed");
    if (proved)
        printf("Proved: restored into a sandbox in %.2f s, and every object is what it was.\n",
               (double)m->proof.restore_ms / 1000);
    else
        printf("Not proved: `klein backup verify %s --to ...` does it.\n", m->manifest.id);
}

static int run_make(struct making *m, struct error *err)
{
    AUTO_FREE char *pki = xasprintf("%s/pki", m->data), *url = place_url(m->args);
    int64_t began_ms = time_monotonic_ms();

    if (remote_open(&m->remote, url, pki, err) < 0)
        return -1;
    int result = make(m, err);
    if (result != EXIT_USAGE) {
        struct backup_report report = { .target = m->target->text,
                                        .made = result == 0 ? &m->manifest : NULL,
                                        .bytes = m->bytes,
                                        .proved_id =
                                            result == 0 && !arg_given(m->args, "no-verify") ? m->manifest.id : NULL,
                                        .proof_ms = m->proof.total_ms,
                                        .error = result < 0 ? error_text(err) : NULL };
        AUTO_ERROR struct error problem = { 0 };
        if (backup_report_write(&m->remote, &report, &problem) < 0)
            fprintf(stderr, "klein backup: the cluster could not be told of it: %s\n", error_text(&problem));
    }
    if (result == 0)
        tell_made(m, time_monotonic_ms() - began_ms);
    remote_close(&m->remote);
    return result;
}

/* --- listing and verifying ------------------------------------------------------------------------------------------ */

static int run_list(struct making *m, struct error *err)
{
    AUTO_TARGET_NAMES struct target_names ids = { 0 };
    bool json = arg(m->args, "output");

    if (target_backups(m->target, &ids, err) < 0)
        return -1;
    if (json)
        printf("[");
    else
        printf("%-34s%-22s%s\n", "BACKUP", "TIME", "REVISION");
    for (size_t i = 0; i < ids.count; i++) {
        char time[TIME_TEXT_SIZE];
        int64_t time_ms;
        uint64_t revision;
        backup_id_parse(str_of(ids.names[i]), &time_ms, &revision);
        if (json)
            printf("%s{\"id\":\"%s\",\"time\":\"%s\",\"revision\":\"%llu\"}", i ? "," : "", ids.names[i],
                   time_format(time_ms, time), (unsigned long long)revision);
        else
            printf("%-34s%-22s%llu\n", ids.names[i], time_format(time_ms, time), (unsigned long long)revision);
    }
    if (json)
        printf("]\n");
    return 0;
}

static void report_proof(struct making *m, const char *id, const char *error)
{
    AUTO_FREE char *pki = xasprintf("%s/pki", m->data), *url = place_url(m->args);
    AUTO_FREE char *certificate = xasprintf("%s/admin.crt", pki);

    /* Elsewhere than on a server's machine there is nobody to tell, which is fine. */
    if (!file_exists(certificate) || remote_open(&m->remote, url, pki, NULL) < 0)
        return;
    backup_report_write(
        &m->remote,
        &(struct backup_report){ .proved_id = error ? NULL : id, .proof_ms = m->proof.total_ms, .error = error }, NULL);
    remote_close(&m->remote);
}

static int run_verify(struct making *m, struct error *err)
{
    char id[BACKUP_ID_SIZE];
    bool quick = arg_given(m->args, "quick");
    AUTO_FREE char *folder =
        place_fetch(m->target, m->args->words_count > 1 ? m->args->words[1] : NULL, m->work, id, err);

    if (!folder)
        return -1;
    int result = quick ? sandbox_check(folder, m->seal, &m->manifest, &m->proof, err)
                       : sandbox_prove(folder, m->seal, m->work, &m->proof, err);
    if (result < 0)
        return -1;
    if (m->proof.findings.count) {
        fail(err, ERR_BAD_REQUEST, "backup '%s' is BAD:\n%.*s%s", id, STR_ARG(buf_str(&m->proof.findings.text)),
             m->proof.findings.count > FINDINGS_MAX ? "  and more of the kind\n" : "");
        report_proof(m, id, error_text(err));
        return -1;
    }
    if (!quick)
        report_proof(m, id, NULL);
    if (quick)
        printf("Backup %s: files and digests are what they should be (not restored).\n", id);
    else
        printf("Backup %s is good: restored into a sandbox in %.2f s, and each of its %llu objects is what it was%s.\n",
               id, (double)m->proof.restore_ms / 1000, (unsigned long long)m->proof.objects,
               m->proof.keys_opened ? "; the keys open with the passphrase" : "");
    return 0;
}

static int run(const struct args *a, struct error *err)
{
    struct making m = { .args = a };
    const char *word = a->words_count ? a->words[0] : "";
    int result = -1;

    if (a->words_count > 2 || (*word && strcmp(word, "list") && strcmp(word, "verify") && strcmp(word, "changes")) ||
        (a->words_count == 2 && strcmp(word, "verify"))) {
        fail(err, ERR_BAD_REQUEST,
             "`klein backup`, `klein backup list`, `klein backup verify [ID]` or `klein backup changes` is expected");
        return EXIT_USAGE;
    }
    m.target = place_target(a, "to", err);
    if (!m.target)
        return EXIT_USAGE;
    m.data = place_data_with_keys(a, err);
    if (m.data && place_passphrase(a, &m.passphrase, err) == 0 && (m.work = place_work(a, err))) {
        m.seal = arg(a, "passphrase-file") ? &m.passphrase : NULL;
        result = !*word                            ? run_make(&m, err)
                 : str_is(str_of(word), "list")    ? run_list(&m, err)
                 : str_is(str_of(word), "changes") ? ship_changes(&m, err)
                                                   : run_verify(&m, err);
        file_remove_tree(m.work, NULL);
    }
    cleanup_free(&m.work);
    cleanup_free(&m.data);
    secret_done(&m.passphrase);
    manifest_done(&m.manifest);
    proof_done(&m.proof);
    target_free(m.target);
    return result;
}

const struct subcommand command_backup = {
    .name = "backup",
    .summary = "Save the cluster's state, and prove that it can be restored.",
    .usage = "[list | verify [ID] | changes] [--to PLACE] [--passphrase-file FILE | --without-keys]",
    .options = options,
    .run = run,
};
