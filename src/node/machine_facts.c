/* What the machine is. */
#include "base/file.h"
#include "loop/process.h"
#include "node/node_status.h"

#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

static char *read_line(const char *path)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    file_read(path, &text, NULL);
    return str_dup(str_trim(buf_str(&text)));
}

static char *read_os_image(void)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct str rest, line;

    file_read("/etc/os-release", &text, NULL);
    for (rest = buf_str(&text); str_next(&rest, '\n', &line);) {
        if (!str_starts(line, STR("PRETTY_NAME=")))
            continue;
        line = str_from(line, 12);
        if (line.n >= 2 && line.p[0] == '"')
            line = str_part(line, 1, line.n - 2);
        return str_dup(line);
    }
    return xstrdup("Linux");
}

static int64_t read_memory(void)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct str rest, line;

    file_read("/proc/meminfo", &text, NULL);
    for (rest = buf_str(&text); str_next(&rest, '\n', &line);) {
        int64_t kib;
        if (!str_starts(line, STR("MemTotal:")) || !str_ends(line, STR(" kB")))
            continue;
        line = str_trim(str_part(line, 9, line.n - 12));
        if (str_to_i64(line, &kib))
            return kib * 1024;
    }
    return 0;
}

char *machine_runtime_version(const char *crun)
{
    AUTO_BUF struct buf out = BUF_MAX(4096);
    AUTO_BUF struct buf err_out = BUF_MAX(4096);
    const char *argv[] = { crun, "--version", NULL };
    struct process_exit how;
    struct str rest, line = STR_NONE;

    if (process_run(&(struct process_options){ .argv = argv }, STR_NONE, &out, &err_out, 5000, &how, NULL) == 0) {
        rest = buf_str(&out);
        str_next(&rest, '\n', &line);
    }
    if (str_starts(line, STR("crun version ")))
        return xasprintf("crun://%.*s", STR_ARG(str_from(line, 13)));
    return xstrdup("crun://unknown");
}

void machine_facts_read(struct machine_facts *m, const char *data_folder)
{
    struct utsname u;
    struct statvfs v;

    *m = (struct machine_facts){ .milli_cpu = sysconf(_SC_NPROCESSORS_ONLN) * 1000, .memory_bytes = read_memory() };
    if (statvfs(data_folder, &v) == 0)
        m->disk_bytes = (int64_t)v.f_blocks * (int64_t)v.f_frsize;
    m->kernel = xstrdup(uname(&u) == 0 ? u.release : "");
    m->os_image = read_os_image();
    m->machine_id = read_line("/etc/machine-id");
    m->boot_id = read_line("/proc/sys/kernel/random/boot_id");
    m->system_uuid = read_line("/sys/class/dmi/id/product_uuid");
}

void machine_facts_done(struct machine_facts *m)
{
    free(m->kernel);
    free(m->os_image);
    free(m->machine_id);
    free(m->boot_id);
    free(m->system_uuid);
    free(m->runtime_version);
    *m = (struct machine_facts){ 0 };
}
