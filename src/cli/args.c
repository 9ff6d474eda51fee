/* Command-line arguments from a table. */
#include "cli/args.h"

#include <stdio.h>

static int find(const struct option_row *options, struct str name)
{
    for (int i = 0; options && options[i].name; i++)
        if (str_is(name, options[i].name))
            return i;
    return -1;
}

static int take(struct args *a, int i, const char *value, struct error *err)
{
    if (a->counts[i] > 0 && !a->options[i].repeated)
        a->counts[i] = 0; /* the last one counts */
    if (a->counts[i] == ARG_VALUES_MAX)
        return fail(err, ERR_BAD_REQUEST, "--%s may be given at most %d times", a->options[i].name, ARG_VALUES_MAX);
    a->values[i][a->counts[i]++] = value;
    return 0;
}

int args_parse(struct args *a, const struct option_row *options, int argc, char **argv, struct error *err)
{
    *a = (struct args){ .options = options };
    for (int k = 0; k < argc; k++) {
        struct str rest = str_of(argv[k]), name;

        if (str_is(rest, "--")) {
            a->rest = argv + k + 1;
            break;
        }
        if (str_is(rest, "-o")) /* kubectl's habit */
            rest = STR("--output");
        if (!str_starts(rest, STR("--"))) {
            if (a->words_count == (int)ARRAY_SIZE(a->words))
                return fail(err, ERR_BAD_REQUEST, "too many arguments: '%s'", argv[k]);
            a->words[a->words_count++] = argv[k];
            continue;
        }
        rest = str_from(rest, 2);
        bool joined = str_cut(&rest, '=', &name);
        int i = find(options, name);
        if (i < 0)
            return fail(err, ERR_BAD_REQUEST, "unknown option '%s'", argv[k]);
        if (!options[i].value && joined)
            return fail(err, ERR_BAD_REQUEST, "option '--%s' takes no value", options[i].name);
        if (options[i].value && !joined && k + 1 == argc)
            return fail(err, ERR_BAD_REQUEST, "option '--%s' needs a value", options[i].name);
        if (take(a, i, !options[i].value ? "" : joined ? rest.p : argv[++k], err) < 0)
            return -1;
    }
    return 0;
}

const char *arg(const struct args *a, const char *name)
{
    int i = find(a->options, str_of(name));

    return a->counts[i] ? a->values[i][a->counts[i] - 1] : a->options[i].def;
}

bool arg_given(const struct args *a, const char *name)
{
    return a->counts[find(a->options, str_of(name))] > 0;
}

int arg_count(const struct args *a, const char *name)
{
    return a->counts[find(a->options, str_of(name))];
}

const char *arg_nth(const struct args *a, const char *name, int i)
{
    return a->values[find(a->options, str_of(name))][i];
}

int args_no_words(const struct args *a, struct error *err)
{
    return a->words_count ? fail(err, ERR_BAD_REQUEST, "unexpected argument '%s'", a->words[0]) : 0;
}

int arg_number(const struct args *a, const char *name, int64_t min, int64_t max, int64_t *ret, struct error *err)
{
    const char *text = arg(a, name);

    if (!text || !str_to_i64(str_of(text), ret) || *ret < min || *ret > max)
        return fail(err, ERR_BAD_REQUEST, "--%s must be a number from %lld to %lld, not '%s'", name, (long long)min,
                    (long long)max, text ? text : "");
    return 0;
}

void subcommand_help(const struct subcommand *c)
{
    printf("usage: klein %s %s\n", c->name, c->usage ? c->usage : "");
    if (c->summary)
        printf("\n%s\n", c->summary);
    for (const struct option_row *o = c->options; o && o->name; o++) {
        AUTO_FREE char *left = xasprintf("--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("%s  %-32s %s", o == c->options ? "\n" : "", left, o->help);
        if (o->def && o->def[0])
            printf(" (default: %s)", o->def);
        printf("%s\n", o->repeated ? "; may be repeated" : "");
    }
}
