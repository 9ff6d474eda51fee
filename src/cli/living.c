/* The holder of a store's lock, as the kernel tells in /proc/locks. */
#include "cli/living.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/time.h"
#include "cli/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* "1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF": pid, device, inode. */
static pid_t holder_of(struct str locks, ino_t inode)
{
    struct str line, word;

    while (str_next(&locks, '\n', &line)) {
        struct str fields[8];
        size_t n = 0;
        while (n < 8 && str_next(&line, ' ', &word))
            if (word.n)
                fields[n++] = word;
        if (n < 6 || !str_is(fields[1], "FLOCK"))
            continue;
        int64_t pid;
        uint64_t number;
        struct str place = str_from(fields[5], (size_t)(str_find_last(fields[5], ':') + 1));
        if (str_to_u64(place, &number) && number == inode && str_to_i64(fields[4], &pid) && pid > 0)
            return (pid_t)pid;
    }
    return 0;
}

pid_t living_pid(const char *data_folder)
{
    static const char *const names[] = { "lock", "store/lock" }; /* of a server, of a store on SQLite */
    AUTO_BUF struct buf locks = BUF_MAX(4 * MIB);
    pid_t pid = 0;

    if (file_read("/proc/locks", &locks, NULL) < 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(names) && !pid; i++) {
        AUTO_FREE char *lock = xasprintf("%s/%s", data_folder, names[i]);
        struct stat st;
        if (stat(lock, &st) == 0)
            pid = holder_of(buf_str(&locks), st.st_ino);
    }
    return pid;
}

int living_end(pid_t pid, struct error *err)
{
    return kill_and_wait(pid, process_start_time(pid), 10 * SECOND_MS, err);
}
