/* The commands of this folder; commands.def lists them beside the roles of other folders. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/args.h"

extern const struct subcommand command_backup;
extern const struct subcommand command_chaos;
extern const struct subcommand command_down;
extern const struct subcommand command_grow;
extern const struct subcommand command_init;
extern const struct subcommand command_prove;
extern const struct subcommand command_recover;
extern const struct subcommand command_restore;
extern const struct subcommand command_status;
extern const struct subcommand command_token;
extern const struct subcommand command_up;
extern const struct subcommand command_upgrade;

#endif
