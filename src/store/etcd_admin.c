/* Administration of an etcd cluster: calls, and everything that is not about members. */
#include "store/etcd_admin_internal.h"

#include "base/time.h"

#include <stdlib.h>

#define TIMEOUT_MS            5000
#define STATUS_TIMEOUT_MS     2000
#define DEFRAGMENT_TIMEOUT_MS (10 * MINUTE_MS)
#define SNAPSHOT_SILENCE_MS   10000
#define SNAPSHOT_PIECE_MAX    (16 * MIB) /* etcd sends 32 KiB */

static const struct etcd_method method_status = ETCD_METHOD("Maintenance", "Status", status_response);
static const struct etcd_method method_defragment = ETCD_METHOD("Maintenance", "Defragment", defragment_response);
static const struct etcd_method method_move_leader = ETCD_METHOD("Maintenance", "MoveLeader", move_leader_response);
static const struct etcd_method method_hash = ETCD_METHOD("Maintenance", "HashKV", hash_kvresponse);
static const struct etcd_method method_alarm = ETCD_METHOD("Maintenance", "Alarm", alarm_response);

struct etcd_admin *etcd_admin_new(struct loop *loop, const struct etcd_admin_options *o, struct error *err)
{
    struct etcd_admin *a = xnew(struct etcd_admin);

    a->loop = loop;
    a->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
    list_init(&a->calls);
    a->client = etcd_client_new(loop, o->endpoints, o->endpoints_count, o->tls, err);
    if (!a->client) {
        free(a);
        return NULL;
    }
    return a;
}

int etcd_admin_set_endpoints(struct etcd_admin *a, const struct str *endpoints, size_t count, struct error *err)
{
    return etcd_client_set_endpoints(a->client, endpoints, count, err);
}

void etcd_admin_set_tls(struct etcd_admin *a, struct tls_context *tls)
{
    etcd_client_set_tls(a->client, tls);
}

/* --- calls --- */

void admin_call_free(struct admin_call *call)
{
    etcd_call_cancel(call->call);
    grpc_call_cancel(call->stream);
    loop_timer_stop(&call->silence);
    list_del(&call->link);
    buf_done(&call->request);
    error_done(&call->error);
    free(call->endpoint);
    free(call);
}

static void finish(struct admin_call *call, const ProtobufCMessage *answer, const struct error *err)
{
    list_del(&call->link); /* the caller may free the whole admin in its call-back */
    call->tell(call, answer, err);
    admin_call_free(call);
}

void etcd_admin_free(struct etcd_admin *a)
{
    static const struct error closed = { .code = ERR_UNAVAILABLE,
                                         .message = (char *)(uintptr_t) "the administration of etcd was closed" };

    if (!a || a->freed)
        return;
    a->freed = true;
    for (struct admin_call *call; (call = list_first(&a->calls, struct admin_call, link));)
        finish(call, NULL, &closed);
    etcd_client_free(a->client);
    free(a);
}

int admin_find(struct etcd_admin *a, struct str endpoint, size_t *ret, struct error *err)
{
    ptrdiff_t i = etcd_client_find(a->client, endpoint);

    if (i < 0)
        return fail(err, ERR_NOT_FOUND, "'%.*s' is none of the etcd endpoints", STR_ARG(endpoint));
    *ret = (size_t)i;
    return 0;
}

static void send_call(struct admin_call *call);

static void on_answer(void *arg, const ProtobufCMessage *answer, int status, const struct error *err)
{
    struct admin_call *call = arg;
    bool unreached = status == GRPC_NOT_SENT;
    bool unanswered = status == GRPC_NO_STATUS || status == GRPC_UNAVAILABLE || status == GRPC_DEADLINE_EXCEEDED;

    call->call = NULL;
    if (!call->endpoint && (unreached || (unanswered && call->repeatable)) &&
        ++call->tries < etcd_client_count(call->admin->client)) {
        send_call(call);
        return;
    }
    if (err && err->message &&
        (strstr(err->message, "Peer URLs already exists") || strstr(err->message, "member ID already exist")))
        fail(&call->error, ERR_ALREADY_EXISTS, "%s", error_text(err));
    else if (err && status == GRPC_NO_STATUS && !call->repeatable)
        fail(&call->error, ERR_TIMEOUT, "%s; it may still happen", error_text(err));
    finish(call, answer, call->error.code ? &call->error : err);
}

static void send_call(struct admin_call *call)
{
    struct etcd_admin *a = call->admin;
    size_t endpoint = call->tries;
    AUTO_ERROR struct error err = { 0 };

    if (call->endpoint && admin_find(a, str_of(call->endpoint), &endpoint, &err) < 0) {
        finish(call, NULL, &err);
        return;
    }
    call->call =
        etcd_client_send(a->client, endpoint, call->method, buf_str(&call->request), call->timeout_ms, on_answer, call);
}

static void run_silence(void *arg)
{
    struct admin_call *call = arg;

    send_call(call);
}

struct admin_call *admin_start(struct etcd_admin *a, const struct etcd_method *method, const ProtobufCMessage *request,
                               struct str endpoint, bool repeatable, admin_tell_fn *tell, void *arg)
{
    struct admin_call *call = xnew(struct admin_call);

    call->admin = a;
    call->method = method;
    call->request = (struct buf)BUF_MAX(MIB);
    etcd_pack(request, &call->request);
    call->tell = tell;
    call->arg = arg;
    call->timeout_ms = a->timeout_ms;
    call->endpoint = endpoint.n ? str_dup(endpoint) : NULL;
    call->repeatable = repeatable;
    list_add_tail(&a->calls, &call->link);
    loop_timer_init(&call->silence, a->loop, run_silence, call);
    loop_timer_start(&call->silence, 0);
    return call;
}

/* --- answers without content --- */

static void tell_done(struct admin_call *call, const ProtobufCMessage *answer, const struct error *err)
{
    (void)answer;
    call->done.done(call->arg, err);
}

void etcd_admin_move_leader(struct etcd_admin *a, struct str endpoint, uint64_t to_id, etcd_admin_done_fn *done,
                            void *arg)
{
    Etcdpb__MoveLeaderRequest r = ETCDPB__MOVE_LEADER_REQUEST__INIT;

    r.targetid = to_id;
    admin_start(a, &method_move_leader, &r.base, endpoint, false, tell_done, arg)->done.done = done;
}

void etcd_admin_defragment(struct etcd_admin *a, struct str endpoint, etcd_admin_done_fn *done, void *arg)
{
    Etcdpb__DefragmentRequest r = ETCDPB__DEFRAGMENT_REQUEST__INIT;
    struct admin_call *call = admin_start(a, &method_defragment, &r.base, endpoint, false, tell_done, arg);

    call->timeout_ms = DEFRAGMENT_TIMEOUT_MS;
    call->done.done = done;
}

void etcd_admin_compact(struct etcd_admin *a, int64_t revision, etcd_admin_done_fn *done, void *arg)
{
    Etcdpb__CompactionRequest r = ETCDPB__COMPACTION_REQUEST__INIT;

    r.revision = revision;
    admin_start(a, &etcd_compact, &r.base, STR_NONE, false, tell_done, arg)->done.done = done;
}

/* --- status --- */

static void tell_status(struct admin_call *call, const ProtobufCMessage *answer, const struct error *err)
{
    const Etcdpb__StatusResponse *m = (const Etcdpb__StatusResponse *)answer;
    AUTO_ARENA struct arena arena = { 0 };
    struct etcd_status s = { 0 };

    if (m) {
        struct str *errors = arena_alloc_array(&arena, m->n_errors + 1, sizeof(*errors));

        for (size_t i = 0; i < m->n_errors; i++)
            errors[i] = str_of(m->errors[i]);
        s = (struct etcd_status){
            .leader = m->leader,
            .raft_index = m->raftindex,
            .raft_applied_index = m->raftappliedindex,
            .raft_term = m->raftterm,
            .db_bytes = m->dbsize,
            .db_in_use_bytes = m->dbsizeinuse,
            .learner = m->islearner,
            .version = str_of(m->version),
            .errors = errors,
            .errors_count = m->n_errors,
        };
        if (m->header) {
            s.cluster_id = m->header->cluster_id;
            s.member_id = m->header->member_id;
            s.revision = m->header->revision;
        }
    }
    call->done.status(call->arg, m ? &s : NULL, err);
}

void etcd_admin_status(struct etcd_admin *a, struct str endpoint, etcd_status_fn *done, void *arg)
{
    Etcdpb__StatusRequest r = ETCDPB__STATUS_REQUEST__INIT;
    struct admin_call *call = admin_start(a, &method_status, &r.base, endpoint, true, tell_status, arg);

    call->timeout_ms = MIN(call->timeout_ms, STATUS_TIMEOUT_MS);
    call->done.status = done;
}

static void tell_hash(struct admin_call *call, const ProtobufCMessage *answer, const struct error *err)
{
    const Etcdpb__HashKVResponse *m = (const Etcdpb__HashKVResponse *)answer;

    call->done.hash(call->arg, m ? m->hash : 0, m && m->header ? m->header->revision : 0, m ? m->compact_revision : 0,
                    err);
}

void etcd_admin_hash(struct etcd_admin *a, struct str endpoint, int64_t revision, etcd_hash_fn *done, void *arg)
{
    Etcdpb__HashKVRequest r = ETCDPB__HASH_KVREQUEST__INIT;

    r.revision = revision;
    admin_start(a, &method_hash, &r.base, endpoint, true, tell_hash, arg)->done.hash = done;
}

/* --- alarms --- */

static void tell_alarms(struct admin_call *call, const ProtobufCMessage *answer, const struct error *err)
{
    const Etcdpb__AlarmResponse *m = (const Etcdpb__AlarmResponse *)answer;
    AUTO_ARENA struct arena arena = { 0 };
    size_t n = m ? m->n_alarms : 0;
    struct etcd_alarm *alarms = arena_alloc_array(&arena, n + 1, sizeof(*alarms));

    for (size_t i = 0; i < n; i++)
        alarms[i] = (struct etcd_alarm){ m->alarms[i]->memberid, (enum etcd_alarm_type)m->alarms[i]->alarm };
    call->done.alarms(call->arg, alarms, n, err);
}

void etcd_admin_alarms(struct etcd_admin *a, etcd_alarms_fn *done, void *arg)
{
    Etcdpb__AlarmRequest r = ETCDPB__ALARM_REQUEST__INIT;

    admin_start(a, &method_alarm, &r.base, STR_NONE, true, tell_alarms, arg)->done.alarms = done;
}

void etcd_admin_disarm(struct etcd_admin *a, struct etcd_alarm alarm, etcd_admin_done_fn *done, void *arg)
{
    Etcdpb__AlarmRequest r = ETCDPB__ALARM_REQUEST__INIT;

    r.action = ETCDPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE;
    r.memberid = alarm.member_id;
    r.alarm = (Etcdpb__AlarmType)alarm.type;
    admin_start(a, &method_alarm, &r.base, STR_NONE, false, tell_done, arg)->done.done = done;
}

/* --- snapshots --- */

static const struct etcd_method method_snapshot = ETCD_METHOD("Maintenance", "Snapshot", snapshot_response);

static void snapshot_failed(struct admin_call *call, enum error_code code, const char *why)
{
    AUTO_ERROR struct error err = { 0 };

    fail(&err, code, "%s: %s", call->endpoint, why);
    finish(call, NULL, &err);
}

static void on_snapshot_stopped(void *arg)
{
    struct admin_call *call = arg;

    if (call->stopped)
        snapshot_failed(call, ERR_UNAVAILABLE, "the snapshot was stopped by its reader");
    else
        snapshot_failed(call, ERR_TIMEOUT, "the snapshot does not go on");
}

static void on_snapshot_message(struct grpc_call *grpc, struct str message, void *arg)
{
    struct admin_call *call = arg;
    AUTO_ARENA struct arena arena = { 0 };
    Etcdpb__SnapshotResponse *m;

    (void)grpc;
    if (call->stopped || call->error.code)
        return;
    m = (Etcdpb__SnapshotResponse *)etcd_unpack(method_snapshot.answer, message, &arena, &call->error);
    loop_timer_start(&call->silence, SNAPSHOT_SILENCE_MS);
    if (m && !call->on_piece(call->arg, etcd_str(m->blob), m->remaining_bytes)) {
        call->stopped = true;
        loop_timer_start(&call->silence, 0);
    }
}

static void on_snapshot_done(struct grpc_call *grpc, int status, const struct error *err, void *arg)
{
    struct admin_call *call = arg;

    (void)grpc, (void)status;
    call->stream = NULL;
    if (err || call->error.code)
        snapshot_failed(call, err ? err->code : call->error.code, error_text(err ? err : &call->error));
    else if (call->stopped)
        on_snapshot_stopped(call);
    else
        finish(call, NULL, NULL);
}

static void snapshot_start(void *arg)
{
    static const struct grpc_call_callbacks callbacks = { .on_message = on_snapshot_message,
                                                          .on_done = on_snapshot_done };
    struct admin_call *call = arg;
    size_t endpoint;
    AUTO_ERROR struct error err = { 0 };

    if (admin_find(call->admin, str_of(call->endpoint), &endpoint, &err) < 0) {
        finish(call, NULL, &err);
        return;
    }
    call->silence.fn = on_snapshot_stopped;
    loop_timer_start(&call->silence, SNAPSHOT_SILENCE_MS);
    call->stream =
        grpc_call_new(etcd_client_http(call->admin->client, endpoint),
                      &(struct grpc_call_request){ .method = method_snapshot.path, .message_max = SNAPSHOT_PIECE_MAX },
                      &callbacks, call);
}

void etcd_admin_snapshot(struct etcd_admin *a, struct str endpoint, etcd_piece_fn *on_piece, etcd_admin_done_fn *done,
                         void *arg)
{
    Etcdpb__SnapshotRequest r = ETCDPB__SNAPSHOT_REQUEST__INIT;
    struct admin_call *call = admin_start(a, &method_snapshot, &r.base, endpoint, false, tell_done, arg);

    if (!call->endpoint)
        call->endpoint = xstrdup("");
    call->silence.fn = snapshot_start;
    call->on_piece = on_piece;
    call->done.done = done;
}
