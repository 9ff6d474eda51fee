/* Decisions about the members of the store. */
#include "server/servers_plan.h"

#include <stdio.h>

size_t servers_quorum(size_t voters)
{
    return voters / 2 + 1;
}

struct votes {
    size_t voters, healthy;
};

static struct votes count_votes(const struct plan_member *members, size_t count, uint64_t without)
{
    struct votes v = { 0 };

    for (size_t i = 0; i < count; i++) {
        if (members[i].learner || members[i].id == without)
            continue;
        v.voters++;
        v.healthy += members[i].healthy;
    }
    return v;
}

static bool has_quorum(struct votes v)
{
    return v.voters > 0 && v.healthy >= servers_quorum(v.voters);
}

static struct servers_plan refuse(void)
{
    return (struct servers_plan){ .step = SERVERS_REFUSE };
}

static int no_quorum(struct votes v, struct error *err)
{
    return fail(err, ERR_UNAVAILABLE, "%zu of %zu servers are up and %zu are needed to change the servers", v.healthy,
                v.voters, servers_quorum(v.voters));
}

static struct servers_plan plan_again(const struct plan_member *m, struct votes now, struct str name, struct error *err)
{
    if (!m->learner && m->healthy) {
        fail(err, ERR_CONFLICT,
             "a server of this name or address is a running member (%.*s): choose another one, or remove it first",
             STR_ARG(m->name.n ? m->name : name));
        return refuse();
    }
    if (!m->name.n && m->learner)
        return (struct servers_plan){ .step = SERVERS_KEEP, .id = m->id };
    if (!has_quorum(now)) {
        no_quorum(now, err);
        return refuse();
    }
    return (struct servers_plan){ .step = SERVERS_REMOVE, .id = m->id };
}

struct servers_plan servers_plan_join(struct str name, struct str peer_url, const struct plan_member *members,
                                      size_t count, struct error *err)
{
    struct votes now = count_votes(members, count, 0);
    const struct plan_member *learner = NULL;

    for (size_t i = 0; i < count; i++)
        if (str_eq(members[i].name, name) || str_eq(members[i].peer_url, peer_url))
            return plan_again(&members[i], now, name, err);
    for (size_t i = 0; i < count; i++)
        if (members[i].learner)
            learner = &members[i];
    if (!has_quorum(now)) {
        no_quorum(now, err);
        return refuse();
    }
    if (learner && (learner->healthy || learner->learner_ms < SERVERS_LEARNER_MAX_MS)) {
        fail(err, ERR_UNAVAILABLE, "another server is joining (%.*s): one at a time",
             STR_ARG(learner->name.n ? learner->name : learner->peer_url));
        return (struct servers_plan){ .step = SERVERS_WAIT };
    }
    if (learner)
        return (struct servers_plan){ .step = SERVERS_REMOVE, .id = learner->id };
    if (now.voters >= SERVERS_VOTERS_MAX) {
        fail(err, ERR_CONFLICT, "there are %zu servers already, and no more than %d are of use", now.voters,
             SERVERS_VOTERS_MAX);
        return refuse();
    }
    return (struct servers_plan){ .step = SERVERS_ADD };
}

struct servers_plan servers_plan_remove(struct str name, const struct plan_member *members, size_t count, bool force,
                                        struct error *err)
{
    const struct plan_member *m = NULL;

    for (size_t i = 0; i < count; i++)
        if (str_eq(members[i].name, name))
            m = &members[i];
    if (!m) {
        fail(err, ERR_NOT_FOUND, "there is no server \"%.*s\"", STR_ARG(name));
        return refuse();
    }
    struct votes now = count_votes(members, count, 0), then = count_votes(members, count, m->id);
    if (then.voters == 0 && !m->learner) {
        fail(err, ERR_CONFLICT, "server \"%.*s\" is the last one: without it nothing is left of the cluster",
             STR_ARG(name));
        return refuse();
    }
    if (!has_quorum(now)) {
        no_quorum(now, err);
        return refuse();
    }
    if (!has_quorum(then) && !force) {
        fail(err, ERR_CONFLICT,
             "without server \"%.*s\" %zu of %zu servers would be up, and %zu are needed for writes: bring the others "
             "back first",
             STR_ARG(name), then.healthy, then.voters, servers_quorum(then.voters));
        return refuse();
    }
    return (struct servers_plan){ .step = SERVERS_REMOVE, .id = m->id };
}

/* --- where servers stand ----------------------------------------------------------------------------------------------------- */

static const char *number_word(size_t n)
{
    static const char *const words[] = { "no", "one", "two", "three", "four", "five", "six", "seven" };

    return n < ARRAY_SIZE(words) ? words[n] : "many";
}

static size_t count_zone(const struct str *zones, size_t count, struct str zone)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        n += str_eq(zones[i], zone);
    return n;
}

static bool seen_before(const struct str *zones, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (str_eq(zones[k], zones[i]))
            return true;
    return false;
}

void servers_plan_warnings(const struct str *zones, size_t count, servers_warning_fn *fn, void *arg)
{
    size_t without = count_zone(zones, count, STR_NONE), different = 0;
    char text[256];

    if (count < 2)
        return;
    if (count == 2) {
        fn(arg, "two servers: losing either of them stops writes; three survive the loss of one");
        return;
    }
    if (without) {
        snprintf(text, sizeof(text), "%zu of %zu servers have no zone: whether a loss of one stops writes is not known",
                 without, count);
        fn(arg, text);
        return;
    }
    for (size_t i = 0; i < count; i++)
        different += !seen_before(zones, i);
    for (size_t i = 0; i < count; i++) {
        if (seen_before(zones, i) || count - count_zone(zones, count, zones[i]) >= servers_quorum(count))
            continue;
        snprintf(text, sizeof(text), "%s servers in %s zone%s: losing zone %.*s stops writes", number_word(count),
                 number_word(different), different == 1 ? "" : "s", STR_ARG(zones[i]));
        fn(arg, text);
    }
    if (count % 2 == 0) {
        snprintf(text, sizeof(text), "%s servers survive no more losses than %s", number_word(count),
                 number_word(count - 1));
        fn(arg, text);
    }
}
