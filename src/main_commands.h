/* The commands that compose several folders: each in a file main_*.c beside main.c. */
#ifndef MAIN_COMMANDS_H
#define MAIN_COMMANDS_H

#include "cli/args.h"

extern const struct subcommand command_server, command_agent, command_fence;

#endif
