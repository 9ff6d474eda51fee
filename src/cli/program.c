/* Program files of a local cluster's machines. */
#include "cli/program.h"

#include "base/codec.h"
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

char *program_link(const struct cluster_record *c, const char *machine)
{
    AUTO_FREE char *file = xasprintf("bin/%s", machine);

    return cluster_data_path(c, file);
}

char *program_of(const struct cluster_record *c, const char *machine)
{
    AUTO_FREE char *link = program_link(c, machine);
    char to[4096];
    ssize_t n = readlink(link, to, sizeof(to));

    return n > 0 && (size_t)n < sizeof(to) ? str_dup((struct str){ to, (size_t)n }) : NULL;
}

int program_store(const struct cluster_record *c, const char *file, char **ret, struct error *err)
{
    AUTO_BUF struct buf program = BUF_MAX(PROGRAM_MAX_BYTES);
    AUTO_FREE char *folder = cluster_data_path(c, "bin");
    char digest[SHA256_HEX_SIZE];

    if (access(file, X_OK) < 0)
        return fail(err, ERR_BAD_REQUEST, "'%s' is no program that can be run: %s", file, strerror(errno));
    if (file_mkdirs(folder, 0755, err) < 0 || file_read(file, &program, err) < 0)
        return error_context(err, "copy the program into the cluster");
    sha256_hex(buf_str(&program), digest);
    *ret = xasprintf("%s/klein-%.16s", folder, digest);
    if (file_exists(*ret) || file_write(*ret, buf_str(&program), 0755, err) == 0)
        return 0;
    free(TAKE(*ret));
    return error_context(err, "copy the program into the cluster");
}

int program_set(const struct cluster_record *c, const char *machine, const char *copy, struct error *err)
{
    AUTO_FREE char *link = program_link(c, machine);
    AUTO_FREE char *next = xasprintf("%s.next", link);

    unlink(next); /* of a switch that was interrupted */
    if (symlink(copy, next) < 0 || rename(next, link) < 0)
        return fail_sys(err, errno, "let '%s' lead to '%s'", link, copy);
    return 0;
}
