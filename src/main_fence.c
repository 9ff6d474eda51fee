/* `klein fence`: the guard that stops pods that must be one when a node has lost contact. Agents start it by themselves. */
#include "main_commands.h"
#include "node/fence.h"

static const struct option_row options[] = {
    { "socket", "FILE", NULL, "where agents connect" },
    { "groups", "FILE", NULL, "lines 'GRACE_MS FOLDER': the control groups of pods that must be one" },
    { 0 },
};

static int run(const struct args *a, struct error *err)
{
    if (args_no_words(a, err) < 0)
        return EXIT_USAGE;
    if (!arg(a, "socket") || !arg(a, "groups")) {
        fail(err, ERR_BAD_REQUEST, "--socket and --groups are needed");
        return EXIT_USAGE;
    }
    const char *argv[] = { "klein-fence", arg(a, "socket"), arg(a, "groups"), NULL };
    return fence_exec(argv, err);
}

/* No summary: not in the list of commands for people. */
const struct subcommand command_fence = {
    .name = "fence",
    .usage = "--socket FILE --groups FILE",
    .options = options,
    .run = run,
};
