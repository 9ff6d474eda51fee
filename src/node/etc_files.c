/* Names a pod knows: its own, its host aliases, and how it looks up others. */
#include "node/etc_files.h"

#include "kinds/fields.h"

#define SEARCH_MAX      32 /* domains; upstream's limits since 1.28: 32 domains, 2048 characters */
#define SEARCH_CHARS    2048
#define NAMESERVERS_MAX 3

static bool is_host_network(const struct etc_input *in)
{
    return view_bool_at(in->pod, false, F_POD_SPEC, F_POD_SPEC_HOST_NETWORK);
}

struct str etc_hostname(const struct etc_input *in, struct arena *a)
{
    struct str wanted = view_str_at(in->pod, F_POD_SPEC, F_POD_SPEC_HOSTNAME);
    struct str name = wanted.n ? wanted : view_str_at(in->pod, F_POD_METADATA, F_OBJECT_META_NAME);
    struct str subdomain = view_str_at(in->pod, F_POD_SPEC, F_POD_SPEC_SUBDOMAIN);
    struct str ns = view_str_at(in->pod, F_POD_METADATA, F_OBJECT_META_NAMESPACE);

    if (is_host_network(in))
        return in->node_name;
    name = str_part(name, 0, 63);
    while (name.n && (name.p[name.n - 1] == '-' || name.p[name.n - 1] == '.'))
        name.n--;
    if (subdomain.n && view_bool_at(in->pod, false, F_POD_SPEC, F_POD_SPEC_SET_HOSTNAME_AS_FQDN))
        return arena_printf(a, "%.*s.%.*s.%.*s.svc.%.*s", STR_ARG(name), STR_ARG(subdomain), STR_ARG(ns),
                            STR_ARG(in->cluster_domain));
    return arena_printf(a, "%.*s", STR_ARG(name));
}

void etc_write_hosts(const struct etc_input *in, struct arena *a, struct buf *to)
{
    struct str subdomain = view_str_at(in->pod, F_POD_SPEC, F_POD_SPEC_SUBDOMAIN);
    struct str ns = view_str_at(in->pod, F_POD_METADATA, F_OBJECT_META_NAMESPACE), name = etc_hostname(in, a);

    if (is_host_network(in)) {
        buf_add_text(to, "# Kubernetes-managed hosts file (host network).\n");
        buf_add(to, in->node_hosts);
    } else {
        buf_add_text(
            to, "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
                "fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n");
        buf_addf(to, "%.*s\t", STR_ARG(in->ip));
        if (subdomain.n)
            buf_addf(to, "%.*s.%.*s.%.*s.svc.%.*s\t", STR_ARG(name), STR_ARG(subdomain), STR_ARG(ns),
                     STR_ARG(in->cluster_domain));
        buf_addf(to, "%.*s\n", STR_ARG(name));
    }
    struct view aliases = view_path(in->pod, F_POD_SPEC, F_POD_SPEC_HOST_ALIASES);
    if (view_count(aliases))
        buf_add_text(to, "\n# Entries added by HostAliases.\n");
    for (struct view_iter it = { 0 }; view_next(aliases, &it);) {
        buf_add(to, view_str_at(it.value, F_HOST_ALIAS_IP));
        for (struct view_iter h = { 0 }; view_next(view_get(it.value, F_HOST_ALIAS_HOSTNAMES), &h);)
            buf_addf(to, "\t%.*s", STR_ARG(view_str(h.value)));
        buf_add_char(to, '\n');
    }
}

struct resolv {
    struct str servers[NAMESERVERS_MAX], search[SEARCH_MAX], options[32];
    size_t servers_count, search_count, search_chars, options_count;
};

static void add_server(struct resolv *r, struct str s)
{
    for (size_t i = 0; i < r->servers_count; i++) {
        if (str_eq(r->servers[i], s))
            return;
    }
    if (s.n && r->servers_count < NAMESERVERS_MAX)
        r->servers[r->servers_count++] = s;
}

static void add_search(struct resolv *r, struct str s)
{
    for (size_t i = 0; i < r->search_count; i++) {
        if (str_eq(r->search[i], s))
            return;
    }
    if (s.n && r->search_count < SEARCH_MAX && r->search_chars + s.n + 1 <= SEARCH_CHARS) {
        r->search[r->search_count++] = s;
        r->search_chars += s.n + 1;
    }
}

static struct str option_name(struct str option)
{
    struct str rest = option, name;
    str_cut(&rest, ':', &name);
    return name;
}

static void add_option(struct resolv *r, struct str option)
{
    for (size_t i = 0; i < r->options_count; i++) {
        if (str_eq(option_name(r->options[i]), option_name(option))) {
            r->options[i] = option; /* the pod's wins */
            return;
        }
    }
    if (option.n && r->options_count < ARRAY_SIZE(r->options))
        r->options[r->options_count++] = option;
}

static void read_node_resolv(struct resolv *r, struct str text, bool servers, bool options)
{
    struct str line, word;

    while (str_next(&text, '\n', &line)) {
        line = str_trim(line);
        for (char *p = NULL; (p = memchr(line.p ? line.p : "", '\t', line.n));)
            line.n = (size_t)(p - line.p); /* tabs end what we understand */
        bool server = str_starts(line, STR("nameserver ")), search = str_starts(line, STR("search "));
        bool option = str_starts(line, STR("options "));
        if (!server && !search && !option)
            continue;
        str_cut(&line, ' ', &word);
        while (str_next(&line, ' ', &word)) {
            if (server && servers)
                add_server(r, word);
            else if (search && !str_is(word, "."))
                add_search(r, word);
            else if (option && options)
                add_option(r, word);
        }
    }
}

void etc_write_resolv(const struct etc_input *in, struct arena *a, struct buf *to)
{
    struct view spec = view_get(in->pod, F_POD_SPEC), config = view_get(spec, F_POD_SPEC_DNS_CONFIG);
    struct str policy = view_str_at(spec, F_POD_SPEC_DNS_POLICY),
               ns = view_str_at(in->pod, F_POD_METADATA, F_OBJECT_META_NAMESPACE);
    bool none = str_is(policy, "None");
    bool cluster =
        !none && !str_is(policy, "Default") && (!is_host_network(in) || str_is(policy, "ClusterFirstWithHostNet"));
    struct resolv r = { 0 };

    if (cluster) {
        add_server(&r, in->dns_address);
        add_search(&r, arena_printf(a, "%.*s.svc.%.*s", STR_ARG(ns), STR_ARG(in->cluster_domain)));
        add_search(&r, arena_printf(a, "svc.%.*s", STR_ARG(in->cluster_domain)));
        add_search(&r, in->cluster_domain);
        add_option(&r, STR("ndots:5"));
    }
    if (!none)
        read_node_resolv(&r, in->node_resolv, !cluster, !cluster);
    for (struct view_iter it = { 0 }; view_next(view_get(config, F_POD_DNS_CONFIG_NAMESERVERS), &it);)
        add_server(&r, view_str(it.value));
    for (struct view_iter it = { 0 }; view_next(view_get(config, F_POD_DNS_CONFIG_SEARCHES), &it);)
        add_search(&r, view_str(it.value));
    for (struct view_iter it = { 0 }; view_next(view_get(config, F_POD_DNS_CONFIG_OPTIONS), &it);) {
        struct str name = view_str_at(it.value, F_POD_DNS_CONFIG_OPTION_NAME),
                   value = view_str_at(it.value, F_POD_DNS_CONFIG_OPTION_VALUE);
        add_option(&r, value.n ? arena_printf(a, "%.*s:%.*s", STR_ARG(name), STR_ARG(value)) : name);
    }
    if (r.search_count) {
        buf_add_text(to, "search");
        for (size_t i = 0; i < r.search_count; i++)
            buf_addf(to, " %.*s", STR_ARG(r.search[i]));
        buf_add_char(to, '\n');
    }
    for (size_t i = 0; i < r.servers_count; i++)
        buf_addf(to, "nameserver %.*s\n", STR_ARG(r.servers[i]));
    if (r.options_count) {
        buf_add_text(to, "options");
        for (size_t i = 0; i < r.options_count; i++)
            buf_addf(to, " %.*s", STR_ARG(r.options[i]));
        buf_add_char(to, '\n');
    }
}
