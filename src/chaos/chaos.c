/* Faults as a whole: record, do, undo. */
#include "chaos/chaos.h"

#include "base/file.h"
#include "chaos/fault_record.h"
#include "chaos/step.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

/* Names must be the same for whoever undoes it: from the record. A table's name has at most 255 characters. */
static void table_name(const struct fault *f, int step, char ret[64])
{
    snprintf(ret, 64, "klein-chaos-%s-%d", f->id, step);
}

/* Doing and undoing exclude each other, over processes. */
static int lock(const char *folder, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/lock", folder);
    AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return fail_sys(err, errno, "lock '%s'", path);
    return TAKE_FD(fd);
}

static int do_steps(const char *folder, struct fault *f, struct error *err)
{
    char table[64], go = 1;
    int go_fd;

    for (int i = 0; i < f->steps_count; i++) {
        table_name(f, i, table);
        if (step_do(&f->steps[i], table, &go_fd, err) < 0)
            return -1;
        if (go_fd < 0)
            continue;
        /* Now that its helper has a pid: on record first, then it may begin. */
        int result = fault_record_save(folder, f, err);
        if (result == 0 && write(go_fd, &go, 1) != 1)
            result = fail_sys(err, errno, "start a helper of '%s'", f->text);
        close(go_fd);
        if (result < 0)
            return -1;
    }
    return 0;
}

static int undo_steps(const char *folder, const struct fault *f, bool *ret_needs_up, struct error *err)
{
    AUTO_ERROR struct error last = { 0 };
    char table[64];
    int failed = 0;

    for (int i = f->steps_count; i-- > 0;) {
        table_name(f, i, table);
        failed += step_undo(&f->steps[i], table, ret_needs_up, &last) < 0;
    }
    if (!failed)
        return fault_record_remove(folder, f, err);
    error_move(err, &last);
    return error_context(err, "undo '%s' (it stays on record; `klein chaos undo` tries again)", f->text);
}

int chaos_inject(const char *folder, struct fault *f, struct error *err)
{
    bool needs_up = false;

    if (file_mkdirs(folder, 0700, err) < 0)
        return -1;
    AUTO_FD int locked = lock(folder, err);
    if (locked < 0 || fault_record_add(folder, f, err) < 0)
        return -1;
    if (do_steps(folder, f, err) == 0)
        return 0;
    undo_steps(folder, f, &needs_up, NULL);
    return error_context(err, "%s", f->text);
}

int chaos_undo(const char *folder, const struct fault *f, bool *ret_needs_up, struct error *err)
{
    AUTO_FD int locked = lock(folder, err);

    return locked < 0 ? -1 : undo_steps(folder, f, ret_needs_up, err);
}

int chaos_undo_all(const char *folder, bool orphans_only, int *ret_count, bool *ret_needs_up, struct error *err)
{
    struct fault *all = NULL;
    int count = 0, result = 0;

    *ret_count = 0;
    *ret_needs_up = false;
    if (!file_exists(folder))
        return 0;
    AUTO_FD int locked = lock(folder, err);
    if (locked < 0 || fault_record_load(folder, &all, &count, err) < 0)
        return -1;
    for (int i = count; i-- > 0;) {
        if (orphans_only && fault_record_owner_is_alive(&all[i]))
            continue;
        if (undo_steps(folder, &all[i], ret_needs_up, result < 0 ? NULL : err) < 0)
            result = -1;
        else
            ++*ret_count;
    }
    free(all);
    return result;
}
