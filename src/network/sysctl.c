/* Kernel settings of one network namespace. */
#include "network/sysctl.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int sysctl_put(const char *path, const char *value, struct error *err)
{
    AUTO_FREE char *full = xasprintf("/proc/sys/net/%s", path);
    AUTO_FD int fd = open(full, O_RDONLY | O_CLOEXEC);
    char now[64];
    ssize_t n;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return fail_sys(err, errno, "read the setting %s", path);
    n = read(fd, now, sizeof(now));
    if (n > 0 && str_is(str_trim((struct str){ now, (size_t)n }), value))
        return 0;
    close(TAKE_FD(fd));
    fd = open(full, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        return fail_sys(err, errno, "set %s to %s", path, value);
    return 0;
}
