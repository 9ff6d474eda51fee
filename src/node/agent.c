/* The agent's wiring: identity, parts, the watch of its pods, the tunnel, and a clean end. */
#include "node/volumes/folders.h"
#include "node/agent.h"

#include "base/file.h"
#include "base/time.h"
#include "client/https.h"
#include "kinds/fields.h"
#include "loop/watch.h"
#include "network/ip.h"
#include "node/contact.h"
#include "node/endpoint.h"
#include "node/fence.h"
#include "node/join.h"
#include "node/node_status.h"
#include "node/pod.h"
#include "node/recover.h"
#include "node/servers.h"
#define LOG_PART "node"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define TMPFS_MAGIC_NUMBER 0x01021994
#define JOIN_RETRY_MIN_MS  50
#define JOIN_RETRY_MAX_MS  2000
#define RENEW_LOOK_MS      HOUR_MS

/* What only the wiring needs. */
struct wiring {
    struct agent agent;
    struct identity identity;
    struct signal_watch *signals[2];
    struct loop_timer renew, collect; /* renew: of the join, too, before there is something to renew */
    int lock, join_tries;
    bool failed;
};

/* --- folders ----------------------------------------------------------------------------------------------------------------- */

/* One agent a data folder. */
static int lock_data(struct wiring *w, struct error *err)
{
    AUTO_FREE char *path = xasprintf("%s/lock", w->agent.data);

    if (file_mkdirs(w->agent.data, 0755, err) < 0)
        return -1;
    w->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (w->lock < 0)
        return fail_sys(err, errno, "open '%s'", path);
    if (flock(w->lock, LOCK_EX | LOCK_NB) < 0)
        return fail(err, ERR_ALREADY_EXISTS, "another agent uses the folder '%s'", w->agent.data);
    return 0;
}

/* Sockets, bundles and contents of secrets lie on a tmpfs: quick, never on a disk, gone after a reboot like what they belong to. */
static int mount_run(const char *run, struct error *err)
{
    struct statfs fs;

    if (file_mkdirs(run, 0700, err) < 0)
        return -1;
    if (statfs(run, &fs) == 0 && fs.f_type == TMPFS_MAGIC_NUMBER)
        return 0;
    if (mount("klein", run, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") < 0)
        return fail_sys(err, errno, "mount a tmpfs at '%s'", run);
    return 0;
}

static bool can_lower_oom_score(void)
{
    AUTO_FD int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    char before[16] = "";

    if (fd < 0 || read(fd, before, sizeof(before) - 1) <= 0)
        return false;
    bool can = pwrite(fd, "-998", 4, 0) == 4;
    if (can && pwrite(fd, before, strlen(before), 0) < 0)
        return true;
    if (!can)
        log_warn("no CAP_SYS_RESOURCE here: Guaranteed pods are not protected from the out-of-memory killer");
    return can;
}

/* CapBnd of /proc/self/status, a hexadecimal number. */
static uint64_t own_capabilities(void)
{
    AUTO_BUF struct buf text = BUF_MAX(64 * KIB);
    struct str rest, line;

    file_read("/proc/self/status", &text, NULL);
    for (rest = buf_str(&text); str_next(&rest, '\n', &line);) {
        if (str_starts(line, STR("CapBnd:")))
            return strtoull(line.p + 7, NULL, 16);
    }
    return UINT64_MAX;
}

/* --- identity ---------------------------------------------------------------------------------------------------- */

static void continue_start(struct wiring *w);

struct join_try {
    struct wiring *w;
    struct identity fresh;
    struct error err;
};

static void join_work(void *arg)
{
    struct join_try *t = arg;
    identity_join(t->w->agent.config, NULL, env_wall_ms(t->w->agent.env), &t->fresh, &t->err);
}

static void give_up(struct wiring *w, const struct error *err)
{
    log_error("the agent could not start", KV_ERR(err));
    w->failed = true;
    loop_stop(w->agent.loop);
}

static void join_done(void *arg)
{
    struct join_try *t = arg;
    struct wiring *w = t->w;
    enum error_code code = t->err.code;

    if (code == ERR_NONE) {
        log_info("joined the cluster", KV("node", "%s", w->agent.config->node_name));
        w->identity = t->fresh;
        continue_start(w);
    } else if (code == ERR_BAD_REQUEST || code == ERR_UNAUTHORIZED || code == ERR_FORBIDDEN || code == ERR_INVALID) {
        give_up(w, &t->err); /* trying again would not help */
    } else {
        if (w->join_tries++ == 0)
            log_warn("cannot join yet; trying again", KV_ERR(&t->err));
        loop_timer_start(&w->renew, MIN((int64_t)JOIN_RETRY_MIN_MS << MIN(w->join_tries, 10), JOIN_RETRY_MAX_MS));
    }
    error_done(&t->err);
    free(t);
}

static void try_join(void *arg)
{
    struct join_try *t = xnew(struct join_try);
    t->w = arg;
    loop_work(t->w->agent.loop, join_work, join_done, t);
}

struct renewal {
    struct wiring *w;
    struct identity fresh;
    struct error err;
};

static void renewal_work(void *arg)
{
    struct renewal *r = arg;
    identity_join(r->w->agent.config, &r->w->identity, env_wall_ms(r->w->agent.env), &r->fresh, &r->err);
}

static void renewal_done(void *arg)
{
    struct renewal *r = arg;
    struct wiring *w = r->w;
    AUTO_ERROR struct error err = { 0 };
    struct tls_context *tls = r->err.code == ERR_NONE ? identity_tls(&r->fresh, &err) : NULL;

    if (tls) {
        servers_set_tls(w->agent.servers, tls);
        tls_context_unref(tls);
        identity_done(&w->identity);
        w->identity = r->fresh;
        log_info("the node's certificate is renewed");
    } else {
        log_warn("the node's certificate could not be renewed; trying again", KV_ERR(r->err.code ? &r->err : &err));
        identity_done(&r->fresh);
    }
    error_done(&r->err);
    free(r);
}

static void look_at_certificate(void *arg)
{
    struct wiring *w = arg;

    loop_timer_start(&w->renew, RENEW_LOOK_MS);
    if (!identity_needs_renewal(&w->identity, env_wall_ms(w->agent.env)))
        return;
    struct renewal *r = xnew(struct renewal);
    r->w = w;
    loop_work(w->agent.loop, renewal_work, renewal_done, r);
}

/* --- parts ----------------------------------------------------------------------------------------------------------------------- */

static void on_server_up(void *arg)
{
    struct agent *a = arg;
    contact_server_up(a->contact);
}

static void tell_role_servers(struct agent *a)
{
    const char *urls[SERVERS_LIST_MAX];

    if (a->role_state && a->role->servers_changed)
        a->role->servers_changed(a->role_state, urls, servers_urls(a->servers, urls));
}

static void on_servers_change(void *arg)
{
    struct agent *a = arg;
    status_streams_changed(a->status_streams);
    tell_role_servers(a);
}

static void on_server_contact(void *arg)
{
    struct agent *a = arg;
    contact_changed(a->contact);
}

static int connect_servers(struct wiring *w, struct error *err)
{
    struct agent *a = &w->agent;
    AUTO_FREE char *file = xasprintf("%s/servers.json", a->data);
    struct tls_context *tls = identity_tls(&w->identity, err);
    struct servers_config c = { .loop = a->loop,
                                .tls = tls,
                                .node_name = a->config->node_name,
                                .zone = a->config->zone,
                                .file = file,
                                .stored = (const char *const *)w->identity.servers,
                                .stored_count = w->identity.servers_count,
                                .given = a->config->servers,
                                .given_count = a->config->servers_count,
                                .handler = endpoint_handle,
                                .handler_arg = a,
                                .on_up = on_server_up,
                                .on_change = on_servers_change,
                                .on_contact = on_server_contact,
                                .arg = a };

    if (!tls)
        return -1;
    a->servers = servers_new(&c, err);
    tls_context_unref(tls);
    if (!a->servers)
        return -1;
    a->http = servers_client(a->servers);
    a->api = https_api_new(a->http, NULL);
    return 0;
}

static void on_applied(void *arg, uint64_t revision)
{
    (void)revision;
    agent_applied_changed(arg);
}

void agent_applied_changed(struct agent *a)
{
    uint64_t applied = a->network ? network_applied_revision(a->network) : 0;

    if (a->role && a->role->applied)
        applied = MIN(applied, a->role->applied(a->role_state));
    if (a->status_streams)
        status_streams_set_applied(a->status_streams, applied);
    if (a->node_status && !node_is_ready(a->node_status))
        node_status_touch(a->node_status);
}

static int start_network(struct wiring *w, struct error *err)
{
    struct agent *a = &w->agent;
    const struct agent_config *c = a->config;
    AUTO_FREE char *folder = xasprintf("%s/network", a->data);
    struct network_config n = {
        .node_name = c->node_name,
        .zone = c->zone,
        .node_address = c->address,
        .state_folder = folder,
        .cluster_domain = a->cluster_domain,
        .service_cidr = c->service_cidr ? c->service_cidr : "10.96.0.0/16",
        .dns_service_address = a->dns_address,
        .cluster_cidr = c->cluster_cidr ? c->cluster_cidr : "10.244.0.0/16",
        .upstream_dns = c->upstream_dns,
        .pods = !c->gateway_only,
    };

    if (file_mkdirs(folder, 0755, err) < 0)
        return -1;
    a->network = network_start(a->loop, a->env, a->api, &n, err);
    if (!a->network)
        return error_context(err, "start the network");
    network_on_applied(a->network, on_applied, a);
    return 0;
}

static int start_images(struct agent *a, struct error *err)
{
    const struct agent_config *c = a->config;
    AUTO_FREE char *folder = xasprintf("%s/images", a->data);
    struct registry_mirror *mirrors = xcalloc(c->mirrors_count + 1, sizeof(*mirrors));

    for (size_t i = 0; i < c->mirrors_count; i++)
        mirrors[i] = (struct registry_mirror){ xstrdup(c->mirrors[i].host), xstrdup(c->mirrors[i].url) };
    struct images_config config = { .folder = folder, .mirrors = mirrors, .mirrors_count = c->mirrors_count };
    a->images = images_new(a->loop, &config, err);
    for (size_t i = 0; i < c->mirrors_count; i++) {
        free(mirrors[i].host);
        free(mirrors[i].url);
    }
    free(mirrors);
    return a->images ? 0 : -1;
}

static void on_collect(void *arg)
{
    struct wiring *w = arg;
    images_collect(w->agent.images);
    loop_timer_start(&w->collect, 5 * MINUTE_MS);
}

/* Everything that pods need. */
static int start_pods(struct wiring *w, struct error *err)
{
    struct agent *a = &w->agent;
    AUTO_FREE char *objects = xasprintf("%s/objects", a->run);
    AUTO_FREE char *volumes = xasprintf("%s/volumes/pv", a->data);
    AUTO_FREE char *selector = xasprintf("spec.nodeName=%s", a->config->node_name);
    struct api_watch_request request = { .kind = &kind_pod, .field_selector = str_of(selector) };
    struct api_watch_callbacks cb = { .on_event = agent_pod_event, .arg = a };

    if (!(a->cgroups = cgroups_new(a->config->cluster_name, a->config->node_name, err)) ||
        !(a->runtime = runtime_new(a->loop, a->run, err)) || start_images(a, err) < 0)
        return -1;
    a->can_lower_oom_score = can_lower_oom_score();
    a->capabilities = own_capabilities();
    a->sources = sources_new(a->loop, a->api, objects, agent_source_changed, a);
    a->events = event_recorder_new(a->loop, a->api, "kubelet", a->config->node_name);
    a->node_status = node_status_new(a);
    agent_recover(a);
    a->pod_watch = api_watch(a->api, &request, &cb);
    a->volume_folders = volume_folders_start(a->loop, a->api, volumes, a->config->node_name, agent_uses_claim, a);
    loop_timer_init(&w->collect, a->loop, on_collect, w);
    loop_timer_start(&w->collect, 5 * MINUTE_MS);
    return 0;
}

static int start_role(struct agent *a, struct error *err)
{
    struct agent_services s = {
        .agent = a, .loop = a->loop, .env = a->env, .api = a->api, .network = a->network, .config = a->config
    };

    if (!a->role)
        return 0;
    a->role_state = a->role->start(a->role->arg, &s, err);
    if (!a->role_state)
        return -1;
    tell_role_servers(a);
    return 0;
}

/* --- life ------------------------------------------------------------------------------------------------------------------------ */

static void on_signal(int signal, void *arg)
{
    struct wiring *w = arg;
    log_info("stopping; containers keep running", KV("signal", "%d", signal));
    loop_stop(w->agent.loop);
}

static int start_parts(struct wiring *w, struct error *err)
{
    struct agent *a = &w->agent;

    a->status_streams = status_streams_new(a);
    if (connect_servers(w, err) < 0 || start_network(w, err) < 0)
        return -1;
    if (!a->config->gateway_only && start_pods(w, err) < 0)
        return -1;
    if (!a->config->gateway_only && !(a->contact = contact_new(a, err)))
        return -1;
    if (start_role(a, err) < 0)
        return -1;
    servers_start(a->servers);
    return 0;
}

/* The node has an identity. */
static void continue_start(struct wiring *w)
{
    AUTO_ERROR struct error err = { 0 };

    if (start_parts(w, &err) < 0) {
        give_up(w, &err);
        return;
    }
    loop_timer_init(&w->renew, w->agent.loop, look_at_certificate, w);
    loop_timer_start(&w->renew, RENEW_LOOK_MS / 60);
    log_info("agent runs", KV("node", "%s", w->agent.config->node_name), KV("pods", "%zu", w->agent.pods.count));
}

/* Packets to Services are translated: a machine among those addresses could not be reached any more. */
static int check_address(const struct ip_prefix *services, const char *cidr, struct str ip, const char *whose,
                         struct error *err)
{
    uint32_t address;

    if (!ip_parse(ip, &address) || !ip_prefix_has(services, address))
        return 0;
    return fail(
        err, ERR_BAD_REQUEST,
        "%s address %.*s lies inside --service-cidr %s, whose addresses belong to Services: the node would lose it; "
        "give the servers and agents another --service-cidr",
        whose, STR_ARG(ip), cidr);
}

static int check_addresses(const struct agent_config *c, struct error *err)
{
    const char *cidr = c->service_cidr ? c->service_cidr : "10.96.0.0/16";
    struct ip_prefix services;

    if (!ip_prefix_parse(str_of(cidr), &services))
        return fail(err, ERR_BAD_REQUEST, "--service-cidr '%s' is not a range of IPv4 addresses", cidr);
    if (check_address(&services, cidr, str_of(c->address), "this node's", err) < 0)
        return -1;
    for (size_t i = 0; i < c->servers_count; i++) {
        struct str host = str_of(c->servers[i]);
        if (str_starts(host, STR("https://")))
            host = str_from(host, 8);
        ptrdiff_t end = str_find(host, ':');
        if (check_address(&services, cidr, end >= 0 ? str_part(host, 0, (size_t)end) : host, "the server's", err) < 0)
            return -1;
    }
    return 0;
}

static void begin(struct wiring *w)
{
    AUTO_ERROR struct error err = { 0 };

    if (check_addresses(w->agent.config, &err) < 0 || lock_data(w, &err) < 0 || mount_run(w->agent.run, &err) < 0) {
        give_up(w, &err);
        return;
    }
    loop_timer_init(&w->renew, w->agent.loop, try_join, w);
    if (identity_load(w->agent.data, &w->identity, NULL) == 0)
        continue_start(w);
    else
        try_join(w);
}

static void init_agent(struct agent *a, const struct agent_config *config)
{
    a->env = env_system();
    a->config = config;
    a->role = config->role;
    a->data = xstrdup(config->data);
    a->run = xasprintf("%s/run", config->data);
    a->cluster_domain = config->cluster_domain ? config->cluster_domain : "cluster.local";
    a->dns_address = config->dns_address ? config->dns_address : "10.96.0.10";
    list_init(&a->log_sessions);
}

int agent_run(const struct agent_config *config)
{
    static struct wiring
        w; /* the process' only agent; the kernel frees it: containers, not memory, are what a stop must spare */

    signal(SIGPIPE, SIG_IGN);
    umask(022);
    kinds_init();
    init_agent(&w.agent, config);
    w.lock = -1;
    w.agent.loop = loop_new_system(w.agent.env);
    w.signals[0] = signal_watch_new(w.agent.loop, SIGTERM, on_signal, &w);
    w.signals[1] = signal_watch_new(w.agent.loop, SIGINT, on_signal, &w);
    begin(&w);
    if (!w.failed)
        loop_run(w.agent.loop);
    if (w.agent.role_state && config->role->stop)
        config->role->stop(w.agent.role_state);
    if (w.agent.network)
        network_stop(w.agent.network);
    if (w.agent.images)
        images_free(w.agent.images); /* waits for half-unpacked layers to be taken away */
    return w.failed ? 1 : 0;
}

int agent_remove_all(const struct agent_config *config)
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_FREE char *run = xasprintf("%s/run", config->data);
    AUTO_FREE char *pods = xasprintf("%s/pods", config->data);
    struct cgroups *cgroups = cgroups_new(config->cluster_name, config->node_name, &err);

    fence_quit(run);
    if (cgroups)
        cgroups_remove_all(cgroups); /* kills what is in them: monitors end with their containers */
    cgroups_free(cgroups);
    unmount_below(config->data);
    umount2(run, MNT_DETACH);
    return file_remove_tree(pods, &err) < 0 || file_remove_tree(run, &err) < 0 ? 1 : 0;
}
