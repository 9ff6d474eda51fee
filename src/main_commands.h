/* The commands that compose several folders: each in a file main_*.c beside main.c. */
#ifndef MAIN_COMMANDS_H
#define MAIN_COMMANDS_H

#include "cli/args.h"

extern const struct subcommand command_server, command_agent, command_fence;

/* `klein server migrate` and `klein server recover` (main_migrate.c). */
int server_migrate(const struct args *a, struct error *err);
int server_recover(const struct args *a, struct error *err);

#endif
