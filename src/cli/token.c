/* `klein token`: make a token that lets a machine join. */
#include "cli/commands.h"
#include "cli/remote.h"

#include <stdio.h>

static const struct option_row options[] = {
    { "data", "FOLDER", "/var/lib/klein/server", "the server's data folder (run this on the server's machine)" },
    { "server", "URL", "https://127.0.0.1:6443", "the API server" },
    { "ttl", "SECONDS", NULL, "how long the token may be used; default: 86400, and 3600 for a server's" },
    { "for-server", NULL, NULL, "for a further server (`klein server --join`): good for one" },
    { 0 },
};

static int run(const struct args *a, struct error *err)
{
    AUTO_FREE char *pki = xasprintf("%s/pki", arg(a, "data"));
    AUTO_SECRET struct secret token = { 0 };
    struct remote remote;
    enum remote_token kind = arg_given(a, "for-server") ? REMOTE_TOKEN_SERVER : REMOTE_TOKEN_NODE;
    /* A server's token opens everything: it lives no longer than it takes to set a machine up. */
    int64_t ttl_s = kind == REMOTE_TOKEN_SERVER ? 3600 : 86400;
    int result;

    if (args_no_words(a, err) < 0 || (arg_given(a, "ttl") && arg_number(a, "ttl", 60, 30 * 86400, &ttl_s, err) < 0))
        return EXIT_USAGE;
    if (remote_open(&remote, arg(a, "server"), pki, err) < 0)
        return -1;
    result = remote_token_create(&remote, kind, ttl_s, &token, err);
    remote_close(&remote);
    if (result == 0)
        printf("%.*s\n", STR_ARG(secret_reveal(&token)));
    return result;
}

const struct subcommand command_token = {
    .name = "token",
    .summary = "Make a token with which `klein agent --token` or `klein server --join` joins the cluster.",
    .usage = "[--for-server] [--data FOLDER] [--server URL] [--ttl SECONDS]",
    .options = options,
    .run = run,
};
