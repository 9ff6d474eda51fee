/*
 * Command-line arguments from a table: one row per option, shared by parsing, checking and help.
 *
 * Forms: --name VALUE, --name=VALUE, and --name for switches; "--" ends options. Wrong usage is one sentence on stderr and
 * exit code 2.
 */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include "base/error.h"

struct option_row {
    const char *name;  /* "nodes-per-zone"; NULL ends the table */
    const char *value; /* what the value is called in help: "NAME"; NULL: a switch */
    const char *def;   /* default text or NULL */
    const char *help;  /* one line */
    bool repeated;
};

#define ARG_VALUES_MAX  32
#define ARG_OPTIONS_MAX 64
struct args {
    const struct option_row *options;
    const char *values[ARG_OPTIONS_MAX][ARG_VALUES_MAX];
    int counts[ARG_OPTIONS_MAX];
    const char *words[8]; /* what is not an option */
    int words_count;
    char **rest; /* what follows "--", NULL-terminated; may be NULL */
};

int args_parse(struct args *a, const struct option_row *options, int argc, char **argv, struct error *err);
const char *arg(const struct args *a, const char *name); /* the last value, the default, or NULL */
bool arg_given(const struct args *a, const char *name);
int arg_count(const struct args *a, const char *name);
const char *arg_nth(const struct args *a, const char *name, int i);
/* For commands that take options only: fails when there are other words. */
int args_no_words(const struct args *a, struct error *err);
int arg_number(const struct args *a, const char *name, int64_t min, int64_t max, int64_t *ret, struct error *err);

/* Exit codes of every command. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct subcommand {
    const char *name;
    const char *summary; /* one line for `klein help`; NULL: hidden */
    const char *usage;   /* after "klein NAME", e.g. "[--name NAME]" */
    const struct option_row *options;
    int (*run)(const struct args *a, struct error *err); /* 0, or -1 with err, or EXIT_USAGE with err */
};

void subcommand_help(const struct subcommand *c);

#endif
