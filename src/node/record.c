/* Checksummed records. */
#include "node/record.h"

#include "base/codec.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int record_write(const char *path, struct str json, struct error *err)
{
    AUTO_FREE char *fresh = xasprintf("%s.new", path);
    AUTO_FREE char *trailer = xasprintf("\ncrc32c:%08x\n", crc32c(0, json));
    AUTO_FD int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail_sys(err, errno, "create '%s'", fresh);
    if (write(fd, json.p, json.n) != (ssize_t)json.n || write(fd, trailer, strlen(trailer)) != (ssize_t)strlen(trailer))
        return fail_sys(err, errno, "write '%s'", fresh);
    return rename(fresh, path) < 0 ? fail_sys(err, errno, "rename '%s'", fresh) : 0;
}

int record_read(const char *path, struct buf *ret, struct error *err)
{
    char trailer[32];

    buf_clear(ret);
    if (file_read(path, ret, err) < 0)
        return -1;
    size_t n = strlen("\ncrc32c:01234567\n");
    if (ret->n < n)
        return fail(err, ERR_INVALID, "the record '%s' is damaged", path);
    struct str json = str_part(buf_str(ret), 0, ret->n - n);
    snprintf(trailer, sizeof(trailer), "\ncrc32c:%08x\n", crc32c(0, json));
    if (!str_is(str_from(buf_str(ret), json.n), trailer))
        return fail(err, ERR_INVALID, "the record '%s' is damaged", path);
    buf_truncate(ret, json.n);
    return 0;
}
