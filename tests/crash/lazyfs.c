/* A process that serves a lazy_tree through FUSE and takes orders over a socket: docs in lazyfs.h. */
#define FUSE_USE_VERSION 35
#include "lazyfs.h"

#include "base/list.h"
#include "base/time.h"
#include "lazyfs_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME_SIZE 64

struct order {
    enum { ORDER_SYNC, ORDER_CUT, ORDER_DROP, ORDER_LIE } what;
    char name[NAME_SIZE];
    unsigned kept_percent;
    uint64_t seed;
};

struct lazyfs {
    pid_t pid;
    int orders;
};

static struct lazy_tree tree; /* of the process that serves */
static bool lying;

struct waiting_sync {
    struct list link;
    fuse_req_t req;
    struct lazy_node *node;
    int64_t end_ms;
};

static struct list syncs; /* in the order they end */

/* --- what the kernel asks ------------------------------------------------------------------------------------------------------- */

static struct stat stat_of(const struct lazy_node *n)
{
    return (struct stat){ .st_ino = n->number,
                          .st_mode = n->mode,
                          .st_nlink = n->is_folder ? 2 : 1,
                          .st_size = (off_t)n->seen.size,
                          .st_blksize = LAZY_PAGE,
                          .st_blocks = (blkcnt_t)(n->seen.size / 512),
                          .st_mtim = n->changed,
                          .st_ctim = n->changed };
}

static struct fuse_entry_param entry_of(const struct lazy_node *n)
{
    /* No timeouts: after a drop the same names are other nodes. */
    return (struct fuse_entry_param){ .ino = n->number, .attr = stat_of(n) };
}

static struct lazy_node *child_of(fuse_ino_t parent, const char *name)
{
    struct lazy_node *n = lazy_node_of(&tree, parent);

    return n ? map_get(&n->entries, str_of(name)) : NULL;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct lazy_node *n = child_of(parent, name);
    struct fuse_entry_param e;

    if (!n) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    e = entry_of(n);
    fuse_reply_entry(req, &e);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st = stat_of(lazy_node_of(&tree, ino));

    (void)fi;
    fuse_reply_attr(req, &st, 0);
}

static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
    struct lazy_node *n = lazy_node_of(&tree, ino);

    if (to_set & FUSE_SET_ATTR_SIZE)
        lazy_resize(n, (uint64_t)attr->st_size);
    if (to_set & FUSE_SET_ATTR_MODE)
        n->mode = attr->st_mode;
    on_getattr(req, ino, fi);
}

static struct lazy_node *make(fuse_ino_t parent, const char *name, mode_t mode)
{
    struct lazy_node *folder = lazy_node_of(&tree, parent);
    struct lazy_node *n = lazy_node_new(&tree, mode, parent == FUSE_ROOT_ID ? NULL : folder->top);

    map_put(&folder->entries, str_of(name), n);
    return n;
}

static void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct fuse_entry_param e = entry_of(make(parent, name, S_IFDIR | mode));

    fuse_reply_entry(req, &e);
}

static void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    struct fuse_entry_param e = entry_of(make(parent, name, S_IFREG | (mode & 07777)));

    fuse_reply_create(req, &e, fi);
}

static void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    fuse_reply_err(req, map_del(&lazy_node_of(&tree, parent)->entries, str_of(name)) ? 0 : ENOENT);
}

static void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct lazy_node *n = child_of(parent, name);

    if (n && n->entries.count)
        fuse_reply_err(req, ENOTEMPTY);
    else
        on_unlink(req, parent, name);
}

static void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t to, const char *to_name,
                      unsigned flags)
{
    struct lazy_node *n = child_of(parent, name);

    if (n && !flags) {
        map_del(&lazy_node_of(&tree, parent)->entries, str_of(name));
        map_put(&lazy_node_of(&tree, to)->entries, str_of(to_name), n);
    }
    fuse_reply_err(req, flags ? EINVAL : n ? 0 : ENOENT);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (fi->flags & O_TRUNC)
        lazy_resize(lazy_node_of(&tree, ino), 0);
    fuse_reply_open(req, fi);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, struct fuse_file_info *fi)
{
    AUTO_FREE char *to = xmalloc(size + 1);

    (void)fi;
    fuse_reply_buf(req, to, lazy_read(lazy_node_of(&tree, ino), to, size, (uint64_t)at));
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *from, size_t size, off_t at, struct fuse_file_info *fi)
{
    (void)fi;
    lazy_write(lazy_node_of(&tree, ino), from, size, (uint64_t)at);
    fuse_reply_write(req, size);
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct waiting_sync *w = xnew(struct waiting_sync);

    (void)datasync, (void)fi;
    *w = (struct waiting_sync){ .req = req,
                                .node = lazy_node_of(&tree, ino),
                                .end_ms = time_monotonic_ms() + LAZYFS_SYNC_MS };
    list_add_tail(&syncs, &w->link);
}

static void end_syncs(void)
{
    int64_t now_ms = time_monotonic_ms();

    list_each (&syncs, struct waiting_sync, link, w) {
        bool cut = w->node->top->cut;

        if (!cut && w->end_ms > now_ms)
            continue;
        if (!cut && !lying)
            lazy_sync(w->node);
        fuse_reply_err(w->req, cut ? EIO : 0);
        list_del(&w->link);
        free(w);
    }
}

static void on_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t at, off_t n, struct fuse_file_info *fi)
{
    struct lazy_node *node = lazy_node_of(&tree, ino);

    (void)fi;
    if (mode == 0 && (uint64_t)(at + n) > node->seen.size)
        lazy_resize(node, (uint64_t)(at + n));
    fuse_reply_err(req, mode == 0 || mode == 1 /* FALLOC_FL_KEEP_SIZE */ ? 0 : EOPNOTSUPP);
}

static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, struct fuse_file_info *fi)
{
    const struct lazy_node *n = lazy_node_of(&tree, ino);
    AUTO_FREE char *to = xmalloc(size);
    size_t used = 0;
    struct str name;
    void *child;

    (void)fi;
    for (size_t i = (size_t)at; map_next(&n->entries, &i, &name, &child);) {
        struct stat st = stat_of(child);
        AUTO_FREE char *text = str_dup(name);
        size_t need = fuse_add_direntry(req, to + used, size - used, text, &st, (off_t)i);

        if (need > size - used)
            break;
        used += need;
    }
    fuse_reply_buf(req, to, used);
}

static void on_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs st = { .f_bsize = LAZY_PAGE,
                          .f_frsize = LAZY_PAGE,
                          .f_blocks = 1 << 22,
                          .f_bfree = 1 << 21,
                          .f_bavail = 1 << 21,
                          .f_files = 1 << 20,
                          .f_ffree = 1 << 20,
                          .f_namemax = 255 };

    (void)ino;
    fuse_reply_statfs(req, &st);
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = on_lookup,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .mkdir = on_mkdir,
    .create = on_create,
    .unlink = on_unlink,
    .rmdir = on_rmdir,
    .rename = on_rename,
    .open = on_open,
    .read = on_read,
    .write = on_write,
    .fsync = on_fsync,
    .fsyncdir = on_fsync,
    .fallocate = on_fallocate,
    .readdir = on_readdir,
    .statfs = on_statfs,
};

/* --- what the test asks --------------------------------------------------------------------------------------------------------- */

static struct lazy_node *at_top(const char *name)
{
    return map_get(&lazy_node_of(&tree, FUSE_ROOT_ID)->entries, str_of(name));
}

static uint64_t drop(const struct order *o)
{
    struct lazy_node *root = lazy_node_of(&tree, FUSE_ROOT_ID), *n = at_top(o->name);
    struct env_sim random;
    uint64_t lost = 0;

    env_sim_init(&random, o->seed, 0);
    if (n)
        map_put(&root->entries, str_of(o->name), lazy_after_drop(&tree, n, NULL, o->kept_percent, &random.env, &lost));
    return lost;
}

/* Returns whether to go on. */
static bool obey(int orders)
{
    struct order o;
    uint64_t answer = 0;

    if (recv(orders, &o, sizeof(o), 0) != sizeof(o))
        return false;
    if (o.what == ORDER_SYNC)
        lazy_sync_all(lazy_node_of(&tree, FUSE_ROOT_ID));
    else if (o.what == ORDER_CUT && at_top(o.name))
        at_top(o.name)->cut = true;
    else if (o.what == ORDER_DROP)
        answer = drop(&o);
    else if (o.what == ORDER_LIE)
        lying = true;
    return send(orders, &answer, sizeof(answer), MSG_NOSIGNAL) == sizeof(answer);
}

static void serve(struct fuse_session *session, int orders)
{
    struct pollfd fds[] = { { .fd = orders, .events = POLLIN }, { .fd = fuse_session_fd(session), .events = POLLIN } };
    struct fuse_buf buf = { 0 };

    while (!fuse_session_exited(session)) {
        end_syncs();
        if (poll(fds, 2, list_empty(&syncs) ? -1 : 1) < 0)
            continue;
        if (fds[0].revents && !obey(orders))
            break; /* told to, or the test is gone */
        if (fds[1].revents & (POLLERR | POLLHUP))
            break;
        if (fds[1].revents && fuse_session_receive_buf(session, &buf) > 0)
            fuse_session_process_buf(session, &buf);
    }
    free(buf.mem);
}

static void process(const char *folder, int orders) NORETURN;
static void process(const char *folder, int orders)
{
    char name[] = "lazyfs", option[] = "-o", value[] = "fsname=lazyfs,default_permissions";
    char *argv[] = { name, option, value };
    struct fuse_args args = FUSE_ARGS_INIT(ARRAY_SIZE(argv), argv);
    uint64_t answer = 0;

    /* Ctrl-C is for the test; we end when its end of the socket does. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    list_init(&syncs);
    lazy_node_new(&tree, S_IFDIR | 0755, NULL);
    struct fuse_session *session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
    if (session && fuse_session_mount(session, folder) == 0) {
        send(orders, &answer, sizeof(answer), MSG_NOSIGNAL);
        serve(session, orders);
        fuse_session_unmount(session);
    }
    _exit(0);
}

/* --- the caller's side ---------------------------------------------------------------------------------------------------------- */

struct lazyfs *lazyfs_mount(const char *folder, struct error *err)
{
    struct lazyfs *fs;
    uint64_t answer;
    int fds[2];

    if (access("/dev/fuse", R_OK | W_OK) < 0)
        return fail_null(err, ERR_UNAVAILABLE, "/dev/fuse: %s", strerror(errno));
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return fail_null(err, ERR_UNAVAILABLE, "no mount namespace: %s", strerror(errno));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return fail_null(err, ERR_INTERNAL, "socketpair: %s", strerror(errno));
    fs = xnew(struct lazyfs);
    fflush(NULL);
    fs->pid = fork();
    if (fs->pid == 0) {
        close(fds[0]);
        process(folder, fds[1]);
    }
    close(fds[1]);
    fs->orders = fds[0];
    if (fs->pid < 0 || recv(fs->orders, &answer, sizeof(answer), 0) != sizeof(answer)) {
        lazyfs_unmount(fs);
        return fail_null(err, ERR_UNAVAILABLE, "FUSE cannot be mounted here");
    }
    return fs;
}

static uint64_t ask(struct lazyfs *fs, const struct order *o)
{
    uint64_t answer = 0;

    if (send(fs->orders, o, sizeof(*o), MSG_NOSIGNAL) != sizeof(*o) ||
        recv(fs->orders, &answer, sizeof(answer), 0) != sizeof(answer)) {
        fprintf(stderr, "the file system of the test is gone\n");
        abort();
    }
    return answer;
}

void lazyfs_unmount(struct lazyfs *fs)
{
    if (!fs)
        return;
    close(fs->orders);
    if (fs->pid > 0)
        while (waitpid(fs->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    free(fs);
}

void lazyfs_sync(struct lazyfs *fs)
{
    ask(fs, &(struct order){ .what = ORDER_SYNC });
}

void lazyfs_cut(struct lazyfs *fs, const char *name)
{
    struct order o = { .what = ORDER_CUT };

    snprintf(o.name, sizeof(o.name), "%s", name);
    ask(fs, &o);
}

uint64_t lazyfs_drop(struct lazyfs *fs, const char *name, unsigned kept_percent, uint64_t seed)
{
    struct order o = { .what = ORDER_DROP, .kept_percent = kept_percent, .seed = seed };

    snprintf(o.name, sizeof(o.name), "%s", name);
    return ask(fs, &o);
}

void lazyfs_lie(struct lazyfs *fs)
{
    ask(fs, &(struct order){ .what = ORDER_LIE });
}
