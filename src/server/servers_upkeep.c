/*
 * What the leader does for the store from time to time: a member whose database is mostly air is defragmented, and an alarm about space
 * is taken back when there is space again. (Compaction: expire.c.)
 */
#include "base/time.h"
#include "server/leader.h"
#include "server/servers_internal.h"
#include "server/servers_plan.h"

#define LOG_PART "servers"
#include "base/log.h"

#include <stdlib.h>

#define KEEP_EVERY_MS  (1 * MINUTE_MS)
#define AIR_MIN_BYTES  ((int64_t)(128 * MIB)) /* less is not worth the pause */
#define RENEW_EVERY_MS (6 * HOUR_MS)
#define PER_MEMBER_MS  (60 * MINUTE_MS) /* a member is defragmented at most so often */
#define BEHIND_MIN     (1000 * (uint64_t)STORE_ETCD_POSITIONS)

struct servers_upkeep {
    struct servers *servers;
    struct loop_timer timer;
    bool busy;
    int64_t renewed_ms; /* when certificates were looked at */
    int64_t last_ms;    /* of a defragmentation */
};

bool servers_leads(struct servers *v)
{
    return leader_is_me(server_leader(v->server));
}

/* --- defragmentation --------------------------------------------------------------------------------------------------------- */

static void on_defragmented(void *arg, const struct error *err)
{
    struct servers_upkeep *u = arg;

    u->busy = false;
    if (err)
        log_warn("a member's database could not be defragmented; it is tried again later", KV_ERR(err));
    else
        log_info("a member's database was defragmented");
}

static void on_members(void *arg, const struct plan_member *plan, const struct etcd_member *etcd, size_t count,
                       const struct error *err)
{
    struct servers_upkeep *u = arg;
    const struct etcd_member *worst = NULL;
    int64_t air = AIR_MIN_BYTES;

    u->busy = false;
    for (size_t i = 0; i < count && !err; i++) {
        int64_t own = plan[i].db_bytes - plan[i].db_in_use_bytes;
        if (!plan[i].healthy || plan[i].learner)
            return; /* it would be one more that does not answer */
        /* More air than data; the leader comes last, when nobody else needs it. */
        if (own <= plan[i].db_in_use_bytes || own < AIR_MIN_BYTES || !etcd[i].client_urls_count)
            continue;
        if (!worst || (plan[i].leader ? false : own > air)) {
            worst = &etcd[i];
            air = plan[i].leader ? AIR_MIN_BYTES : own;
        }
    }
    if (!worst)
        return;
    log_info("defragmenting a member's database", KV_STR("member", worst->name));
    u->last_ms = loop_now_ms(u->servers->server->loop);
    u->busy = true;
    etcd_admin_defragment(u->servers->local->admin, worst->client_urls[0], on_defragmented, u);
}

/* --- alarms ------------------------------------------------------------------------------------------------------------------ */

static void on_disarmed(UNUSED void *arg, const struct error *err)
{
    if (err)
        log_warn("etcd's alarm could not be taken back; it is tried again", KV_ERR(err));
    else
        log_info("there is space again: etcd's alarm is taken back");
}

static void on_alarms(void *arg, const struct etcd_alarm *alarms, size_t count, const struct error *err)
{
    struct servers_upkeep *u = arg;

    for (size_t i = 0; i < count && !err; i++)
        if (alarms[i].type == ETCD_ALARM_NO_SPACE && !u->servers->refusing &&
            u->servers->health.db_in_use_bytes < (int64_t)(ETCD_QUOTA_BYTES / 10 * 9))
            etcd_admin_disarm(u->servers->local->admin, alarms[i], on_disarmed, NULL);
        else if (alarms[i].type == ETCD_ALARM_CORRUPT)
            log_error("etcd says that a member's data is corrupt: remove that server and let it join anew",
                      KV("member", "%llx", (unsigned long long)alarms[i].member_id));
}

static void keep(void *arg)
{
    struct servers_upkeep *u = arg;
    struct servers *v = u->servers;

    loop_timer_start(&u->timer, KEEP_EVERY_MS);
    if (loop_now_ms(v->server->loop) - u->renewed_ms >= RENEW_EVERY_MS) {
        u->renewed_ms = loop_now_ms(v->server->loop);
        servers_local_renew(v->local);
    }
    if (u->busy || !servers_leads(v))
        return;
    etcd_admin_alarms(v->local->admin, on_alarms, u);
    if (u->last_ms &&
        loop_now_ms(v->server->loop) - u->last_ms < PER_MEMBER_MS / (int64_t)MAX(servers_known(v->server), (size_t)1))
        return;
    u->busy = true;
    servers_members_ask(v, on_members, u);
}

void servers_upkeep_start(struct servers *v)
{
    if (!v->local || !v->local->is_etcd)
        return;
    v->upkeep = xnew(struct servers_upkeep);
    v->upkeep->servers = v;
    v->upkeep->renewed_ms = loop_now_ms(v->server->loop);
    loop_timer_init(&v->upkeep->timer, v->server->loop, keep, v->upkeep);
    loop_timer_start(&v->upkeep->timer, KEEP_EVERY_MS);
}

void servers_upkeep_stop(struct servers *v)
{
    if (!v->upkeep)
        return;
    loop_timer_stop(&v->upkeep->timer);
    free(v->upkeep);
    v->upkeep = NULL;
}
