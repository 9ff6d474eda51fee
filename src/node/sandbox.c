/* Namespaces of a pod, made by a short-lived thread: unshare() changes only the calling thread, and no process is forked. */
#include "node/sandbox.h"

#include "base/file.h"
#define LOG_PART "node"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHM_OPTIONS "mode=1777,size=65536k" /* as Docker and containerd give a pod */

struct creation {
    const struct sandbox_options *options;
    struct error err;
    int result;
};

static const struct {
    const char *file, *proc;
    int flag;
    bool with_host_network, with_host_ipc; /* made also in that case */
} namespaces[] = {
    { "net", "/proc/thread-self/ns/net", CLONE_NEWNET, false, true },
    { "ipc", "/proc/thread-self/ns/ipc", CLONE_NEWIPC, true, false },
    { "uts", "/proc/thread-self/ns/uts", CLONE_NEWUTS, false, true },
};

static bool is_wanted(size_t i, const struct sandbox_options *o)
{
    return (!o->host_network || namespaces[i].with_host_network) && (!o->host_ipc || namespaces[i].with_host_ipc);
}

static int create(const struct sandbox_options *o, struct error *err)
{
    int flags = 0;

    for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
        if (is_wanted(i, o))
            flags |= namespaces[i].flag;
    }
    if (flags && unshare(flags) < 0)
        return fail_sys(err, errno, "make namespaces");
    if ((flags & CLONE_NEWUTS) && sethostname(o->hostname, strlen(o->hostname)) < 0)
        return fail_sys(err, errno, "set the host name '%s'", o->hostname);
    for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++) {
        if (!is_wanted(i, o))
            continue;
        AUTO_FREE char *path = xasprintf("%s/%s", o->folder, namespaces[i].file);
        AUTO_FD int fd = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
        if (fd < 0)
            return fail_sys(err, errno, "create '%s'", path);
        if (mount(namespaces[i].proc, path, NULL, MS_BIND, NULL) < 0)
            return fail_sys(err, errno, "keep the %s namespace at '%s'", namespaces[i].file, path);
    }
    return 0;
}

static void *creation_thread(void *arg)
{
    struct creation *c = arg;
    c->result = create(c->options, &c->err);
    return NULL;
}

static int create_in_thread(const struct sandbox_options *o, struct error *err)
{
    struct creation c = { .options = o };
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * KIB);
    int r = pthread_create(&thread, &attr, creation_thread, &c);
    pthread_attr_destroy(&attr);
    if (r != 0)
        return fail_sys(err, r, "start a thread for the sandbox");
    pthread_join(thread, NULL);
    if (c.result < 0)
        error_move(err, &c.err);
    return c.result;
}

int sandbox_create(const struct sandbox_options *o, struct error *err)
{
    if (file_mkdirs(o->folder, 0700, err) < 0)
        return -1;
    if (create_in_thread(o, err) < 0)
        goto failed;
    if (!o->host_ipc) {
        AUTO_FREE char *shm = xasprintf("%s/shm", o->folder);
        if (mkdir(shm, 01777) < 0 || mount("shm", shm, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, SHM_OPTIONS) < 0) {
            fail_sys(err, errno, "mount '%s'", shm);
            goto failed;
        }
    }
    return 0;
failed:
    sandbox_remove(o->folder);
    return -1;
}

void sandbox_remove(const char *folder)
{
    static const char *const files[] = { "net", "ipc", "uts", "shm" };

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        AUTO_FREE char *path = xasprintf("%s/%s", folder, files[i]);
        while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
            ;
        if (unlink(path) < 0 && errno == EISDIR)
            rmdir(path);
    }
    if (rmdir(folder) < 0 && errno != ENOENT)
        log_warn("sandbox folder not removed", KV("folder", "%s", folder), KV("errno", "%s", strerror(errno)));
}
