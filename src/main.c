/* The program's entry: the table of its commands; with the files main_*.c beside it the only place that knows all roles. */
#include "cli/commands.h"
#include "kinds/kinds.h"
#include "main_commands.h"

#include <stdio.h>

#define COMMAND(id) extern const struct subcommand command_##id;
#include "commands.def"
#undef COMMAND

static const struct subcommand *const commands[] = {
#define COMMAND(id) &command_##id,
#include "commands.def"
#undef COMMAND
    NULL,
};

static int help(FILE *to)
{
    fprintf(to, "klein %s: runs services across zones and keeps them up.\n\nusage: klein COMMAND [OPTIONS]\n\n",
            KLEIN_VERSION);
    for (const struct subcommand *const *c = commands; *c; c++)
        if ((*c)->summary)
            fprintf(to, "  %-10s %s\n", (*c)->name, (*c)->summary);
    fprintf(to, "\n`klein COMMAND --help` tells the options. Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
    return to == stdout ? EXIT_DONE : EXIT_USAGE;
}

static int run(const struct subcommand *c, int argc, char **argv)
{
    AUTO_ERROR struct error err = { 0 };
    struct args args;
    int rc;

    for (int i = 0; i < argc && !str_is(str_of(argv[i]), "--"); i++)
        if (str_is(str_of(argv[i]), "--help")) {
            subcommand_help(c);
            return EXIT_DONE;
        }
    rc = args_parse(&args, c->options, argc, argv, &err) < 0 ? EXIT_USAGE : c->run(&args, &err);
    if (rc == 0)
        return EXIT_DONE;
    fprintf(stderr, "klein %s: %s\n", c->name, error_text(&err));
    if (rc == EXIT_USAGE)
        fprintf(stderr, "`klein %s --help` tells the options.\n", c->name);
    return rc == EXIT_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct str name = str_of(argc > 1 ? argv[1] : "");

    kinds_init(); /* every command reads objects by the numbers of their fields */

    if (str_is(name, "help") || str_is(name, "--help"))
        return help(stdout);
    if (str_is(name, "version") || str_is(name, "--version")) {
        printf("klein %s (Kubernetes API v1.36.0+klein)\n", KLEIN_VERSION);
        return EXIT_DONE;
    }
    for (const struct subcommand *const *c = commands; *c; c++)
        if (str_is(name, (*c)->name))
            return run(*c, argc - 2, argv + 2);
    if (argc > 1)
        fprintf(stderr, "klein: there is no command '%s'\n", argv[1]);
    return help(stderr);
}
