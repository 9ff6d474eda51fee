/* The commands of this folder; main.c lists them beside the roles of other folders. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/args.h"

extern const struct subcommand command_chaos, command_prove, command_up, command_down, command_status, command_token,
    command_init;

#endif
