/* Building `crun exec`. */
#include "node/exec_process.h"

#include "base/file.h"
#include "object/value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define CONFIG_MAX (8 * MIB)

static int write_process(const char *path, struct value *process, struct error *err)
{
    AUTO_BUF struct buf text = BUF_MAX(CONFIG_MAX);
    AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    value_write(&text, process);
    if (text.full)
        return fail(err, ERR_TOO_LARGE, "the command is too long");
    if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n)
        return fail_sys(err, errno, "write '%s'", path);
    return 0;
}

int exec_process_prepare(const struct runtime *r, struct str id, const struct str *args, size_t count, bool terminal,
                         struct exec_process *ret, struct error *err)
{
    static unsigned serial;
    AUTO_BUF struct buf text = BUF_MAX(CONFIG_MAX);
    AUTO_ARENA struct arena a = { 0 };
    struct str bundle = runtime_bundle(r, &a, id);
    size_t n = 0;

    if (count == 0)
        return fail(err, ERR_BAD_REQUEST, "a command is needed");
    if (runtime_pid(r, id) <= 0 || file_read(arena_printf(&a, "%.*s/config.json", STR_ARG(bundle)).p, &text, NULL) < 0)
        return fail(err, ERR_NOT_FOUND, "the container is not running");
    struct value *process = value_get_str(value_parse(&a, buf_str(&text), NULL, err), STR("process"));
    if (!process)
        return fail(err, ERR_INTERNAL, "the container's configuration is damaged");
    struct value *list = value_array(&a);
    for (size_t i = 0; i < count; i++)
        value_append(&a, list, value_str(&a, args[i]));
    value_put_str(&a, process, STR("args"), list);
    value_put_str(&a, process, STR("terminal"), value_bool(&a, terminal));
    if (terminal)
        value_append(&a, value_get_str(process, STR("env")), value_text(&a, "TERM=xterm"));
    *ret = (struct exec_process){ 0 };
    /* Numbered round: a file is read long before its number comes again, and the bundle takes them all away. */
    struct str file = arena_printf(&ret->arena, "%.*s/exec-%u.json", STR_ARG(bundle), ++serial % 256);
    ret->file = str_dup(file);
    if (write_process(ret->file, process, err) < 0) {
        exec_process_done(ret);
        return -1;
    }
    ret->argv[n++] = runtime_crun(r);
    ret->argv[n++] = runtime_crun_root(r);
    ret->argv[n++] = "exec";
    ret->argv[n++] = "--process";
    ret->argv[n++] = file.p;
    ret->argv[n++] = arena_strdup(&ret->arena, id);
    ret->argv[n] = NULL;
    return 0;
}

void exec_process_set_console(struct exec_process *x, const char *socket_path)
{
    size_t n = 0;

    while (x->argv[n])
        n++;
    const char *id = x->argv[n - 1];
    x->argv[n - 1] = arena_printf(&x->arena, "--console-socket=%s", socket_path).p;
    x->argv[n] = id;
    x->argv[n + 1] = NULL;
}

void exec_process_done(struct exec_process *x)
{
    free(x->file);
    arena_done(&x->arena);
    *x = (struct exec_process){ 0 };
}
