/* `klein server leave`. */
#include "cli/server_leave.h"

#include "base/file.h"
#include "base/time.h"
#include "cli/remote.h"
#include "loop/address.h"

#include <stdio.h>
#include <stdlib.h>

#define LIMIT_MS (30 * SECOND_MS)

static int own_name(const char *data, char **ret, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/server.json", data);
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    AUTO_OBJECT struct object *record = NULL;

    if (file_read(path, &text, err) < 0)
        return error_context(err, "there is no server of several in '%s'", data);
    record = object_parse(buf_str(&text), err);
    if (!record)
        return error_context(err, "read '%s'", path);
    *ret = str_dup(view_str(view_get_str(object_root(record), STR("name"))));
    return 0;
}

/* From here every address of the machine leads to its server; the certificate holds 127.0.0.1 in any case. */
static int own_url(const char *listen, char **ret, struct error *err)
{
    struct address at;
    char text[ADDRESS_TEXT_SIZE];

    if (address_parse(str_of(listen), &at, err) < 0)
        return error_context(err, "--listen %s", listen);
    struct str ip = str_of(address_format_ip(&at, text));
    *ret = str_is(ip, "0.0.0.0") || str_is(ip, "::") ? xasprintf("https://127.0.0.1:%u", address_port(&at))
                                                     : xasprintf("https://%s", listen);
    return 0;
}

int server_leave(const char *data, const char *listen, bool force, struct error *err)
{
    AUTO_FREE char *pki = xasprintf("%s/pki", data), *name = NULL, *url = NULL;
    struct remote remote;

    if (own_name(data, &name, err) < 0 || own_url(listen, &url, err) < 0 || remote_open(&remote, url, pki, err) < 0)
        return -1;
    AUTO_FREE char *target = xasprintf("/klein/v1/servers/%s%s", name, force ? "?force=true" : "");
    int result = remote_call(&remote, "DELETE", target, STR_NONE, LIMIT_MS, NULL, err);
    remote_close(&remote);
    if (result == 0)
        printf("Server '%s' has left the cluster; its process ends. '%s' may be removed.\n", name, data);
    return result;
}
