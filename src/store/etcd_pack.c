/*
 * A batch as a transaction of etcd, and what the answer to a refused write means.
 *
 * A transaction: compare the session; put the barrier key with the batch's number (position 0); then the writes, each at the position of
 * its place plus one, as a nested transaction with its own compares, or as a plain put when it has none. A write that fails
 * its compares answers with what the key has. Compares see the state before the transaction, so no key is written twice in a
 * batch, and none that is another's guard.
 *
 * What the compare cannot express (the value without its header; a revision from before a migration) is asked for with a
 * compare that fails: the answer tells what the key has, and when that is what was expected, the write is sent again with its mod_revision.
 */
#include "store/etcd_internal.h"

#include <stdio.h>

struct packer {
    struct etcd_engine *e;
    struct arena arena;
};

static ProtobufCBinaryData key_with_prefix(struct packer *p, struct str key)
{
    return etcd_bytes(arena_printf(&p->arena, "%s%.*s", p->e->prefix, STR_ARG(key)));
}

static Etcdpb__Compare *compare_new(struct packer *p, ProtobufCBinaryData key, Etcdpb__Compare__CompareTarget target)
{
    Etcdpb__Compare *c = arena_new(&p->arena, Etcdpb__Compare);

    etcdpb__compare__init(c);
    c->key = key;
    c->target = target;
    return c;
}

static Etcdpb__Compare *compare_mod(struct packer *p, ProtobufCBinaryData key, Etcdpb__Compare__CompareResult how,
                                    int64_t mod)
{
    Etcdpb__Compare *c = compare_new(p, key, ETCDPB__COMPARE__COMPARE_TARGET__MOD);

    c->result = how;
    c->target_union_case = ETCDPB__COMPARE__TARGET_UNION_MOD_REVISION;
    c->mod_revision = mod;
    return c;
}

static Etcdpb__Compare *compare_place(struct packer *p, ProtobufCBinaryData key, Etcdpb__Compare__CompareResult how,
                                      uint32_t position)
{
    Etcdpb__Compare *c = compare_new(p, key, ETCDPB__COMPARE__COMPARE_TARGET__VALUE);
    char *place = arena_alloc(&p->arena, ETCD_PLACE_SIZE);

    etcd_place(place, position);
    c->result = how;
    c->target_union_case = ETCDPB__COMPARE__TARGET_UNION_VALUE;
    c->value = etcd_bytes((struct str){ place, ETCD_PLACE_SIZE });
    return c;
}

/* The key has exactly this revision: the transaction and the place in it. */
static void add_revision(struct packer *p, Etcdpb__TxnRequest *t, ProtobufCBinaryData key, uint64_t revision)
{
    int64_t mod = 0;
    uint32_t position = 0;

    if (revision && !etcd_revision_split(p->e->first_revision, revision, &mod, &position))
        mod = MOD_UNKNOWN;
    t->compare[t->n_compare++] = compare_mod(p, key, ETCDPB__COMPARE__COMPARE_RESULT__EQUAL, mod);
    if (mod <= 0)
        return;
    t->compare[t->n_compare++] = compare_place(p, key, ETCDPB__COMPARE__COMPARE_RESULT__GREATER, position);
    t->compare[t->n_compare++] = compare_place(p, key, ETCDPB__COMPARE__COMPARE_RESULT__LESS, position + 1);
}

static void add_compares(struct packer *p, Etcdpb__TxnRequest *t, const struct etcd_write *w, ProtobufCBinaryData key)
{
    const struct store_write *s = &w->w;

    t->compare = arena_alloc_array(&p->arena, 6, sizeof(Etcdpb__Compare *));
    if (s->guard_key.n)
        add_revision(p, t, key_with_prefix(p, s->guard_key), s->guard_revision);
    if (w->mod)
        t->compare[t->n_compare++] = compare_mod(p, key, ETCDPB__COMPARE__COMPARE_RESULT__EQUAL, w->mod);
    else if (s->type == STORE_DELETE && s->expect == STORE_EXPECT_ANY)
        t->compare[t->n_compare++] = compare_mod(p, key, ETCDPB__COMPARE__COMPARE_RESULT__GREATER, 0);
    else if (s->expect == STORE_EXPECT_VALUE || (s->type == STORE_DELETE && s->expect == STORE_EXPECT_ABSENT))
        t->compare[t->n_compare++] = compare_mod(p, key, ETCDPB__COMPARE__COMPARE_RESULT__EQUAL, MOD_UNKNOWN);
    else if (s->expect != STORE_EXPECT_ANY)
        add_revision(p, t, key, s->expect);
}

static Etcdpb__RequestOp *op_new(struct packer *p, Etcdpb__RequestOp__RequestCase type)
{
    Etcdpb__RequestOp *op = arena_new(&p->arena, Etcdpb__RequestOp);

    etcdpb__request_op__init(op);
    op->request_case = type;
    return op;
}

static Etcdpb__RequestOp *op_put(struct packer *p, ProtobufCBinaryData key, struct str bare_key, struct str value,
                                 uint32_t position)
{
    Etcdpb__RequestOp *op = op_new(p, ETCDPB__REQUEST_OP__REQUEST_REQUEST_PUT);
    char *stored = arena_alloc(&p->arena, ETCD_HEADER_MAX + value.n);
    size_t n = etcd_header_write(stored, bare_key, value, position, 0);

    if (value.n)
        memcpy(stored + n, value.p, value.n);
    op->request_put = arena_new(&p->arena, Etcdpb__PutRequest);
    etcdpb__put_request__init(op->request_put);
    op->request_put->key = key;
    op->request_put->value = etcd_bytes((struct str){ stored, n + value.n });
    return op;
}

static Etcdpb__RequestOp *op_range(struct packer *p, ProtobufCBinaryData key)
{
    Etcdpb__RequestOp *op = op_new(p, ETCDPB__REQUEST_OP__REQUEST_REQUEST_RANGE);

    op->request_range = arena_new(&p->arena, Etcdpb__RangeRequest);
    etcdpb__range_request__init(op->request_range);
    op->request_range->key = key;
    return op;
}

static Etcdpb__RequestOp *op_write(struct packer *p, const struct etcd_write *w, uint32_t position)
{
    ProtobufCBinaryData key = key_with_prefix(p, w->w.key);
    Etcdpb__RequestOp *op, *change;
    Etcdpb__TxnRequest *t;

    if (w->w.type == STORE_PUT) {
        change = op_put(p, key, w->w.key, w->w.value, position);
        if (w->w.expect == STORE_EXPECT_ANY && !w->w.guard_key.n)
            return change;
    } else {
        change = op_new(p, ETCDPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE);
        change->request_delete_range = arena_new(&p->arena, Etcdpb__DeleteRangeRequest);
        etcdpb__delete_range_request__init(change->request_delete_range);
        change->request_delete_range->key = key;
    }
    op = op_new(p, ETCDPB__REQUEST_OP__REQUEST_REQUEST_TXN);
    t = op->request_txn = arena_new(&p->arena, Etcdpb__TxnRequest);
    etcdpb__txn_request__init(t);
    add_compares(p, t, w, key);
    t->success = arena_alloc_array(&p->arena, 1, sizeof(*t->success));
    t->success[t->n_success++] = change;
    t->failure = arena_alloc_array(&p->arena, 2, sizeof(*t->failure));
    t->failure[t->n_failure++] = op_range(p, key);
    if (w->w.guard_key.n)
        t->failure[t->n_failure++] = op_range(p, key_with_prefix(p, w->w.guard_key));
    return op;
}

void etcd_batch_pack(const struct etcd_batch *b, struct buf *to)
{
    struct etcd_engine *e = b->engine;
    struct packer p = { .e = e };
    Etcdpb__TxnRequest t = ETCDPB__TXN_REQUEST__INIT;
    Etcdpb__Compare *session;
    Etcdpb__RequestOp *failure;
    char marker[48];

    snprintf(marker, sizeof(marker), "%s %llu", e->instance, (unsigned long long)b->id);
    session = compare_mod(&p, etcd_bytes(str_of(e->key_session)), ETCDPB__COMPARE__COMPARE_RESULT__EQUAL, b->session);
    failure = op_range(&p, etcd_bytes(str_of(e->key_session)));
    t.n_compare = t.n_failure = 1;
    t.compare = &session;
    t.failure = &failure;
    t.success = arena_alloc_array(&p.arena, b->count + 1, sizeof(*t.success));
    t.success[t.n_success++] = op_put(&p, etcd_bytes(str_of(e->key_barrier)),
                                      str_from(str_of(e->key_barrier), strlen(e->prefix)), str_of(marker), 0);
    for (size_t i = 0; i < b->count; i++)
        t.success[t.n_success++] = op_write(&p, b->writes[i], (uint32_t)i + 1);
    etcd_pack(&t.base, to);
    arena_done(&p.arena);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* What a range of one key found: its revision (0: absent) and value. */
static uint64_t found(struct etcd_engine *e, const Etcdpb__NestedTxnResponse *m, size_t i, struct str *ret_value,
                      int64_t *ret_mod)
{
    const Etcdpb__NestedOp *op = i < m->n_responses ? m->responses[i] : NULL;
    AUTO_ERROR struct error err = { 0 };
    struct str key;
    uint64_t revision = 0;

    *ret_value = STR_NONE;
    *ret_mod = 0;
    if (!op || op->response_case != ETCDPB__NESTED_OP__RESPONSE_RESPONSE_RANGE || !op->response_range->n_kvs)
        return 0;
    if (etcd_decode_kv(e->first_revision, e->o.prefix, op->response_range->kvs[0], &key, ret_value, &revision, &err) <
        0)
        etcd_damaged(&err);
    *ret_mod = op->response_range->kvs[0]->mod_revision;
    return revision;
}

/* As in store_open_memory()'s engine. */
int etcd_judge(struct etcd_engine *e, struct etcd_write *w, const Etcdpb__NestedTxnResponse *m, int64_t *ret_mod,
               struct error *err)
{
    const struct store_write *s = &w->w;
    struct str value, guard_value;
    int64_t guard_mod;
    uint32_t place;
    uint64_t guard = s->guard_key.n ? found(e, m, 1, &guard_value, &guard_mod) : 0;
    uint64_t have = w->have = found(e, m, 0, &value, ret_mod);

    if (s->guard_key.n &&
        (guard != s->guard_revision || (guard && !etcd_revision_split(e->first_revision, guard, ret_mod, &place))))
        return fail(err, ERR_TERM_OVER, "the writer's term is over: '%.*s' has changed", STR_ARG(s->guard_key));
    if (s->expect == STORE_EXPECT_ABSENT && have)
        return fail(err, ERR_ALREADY_EXISTS, "key '%.*s' exists already", STR_ARG(s->key));
    if (!have && (s->type == STORE_DELETE || (s->expect != STORE_EXPECT_ANY && s->expect != STORE_EXPECT_ABSENT)))
        return fail(err, ERR_NOT_FOUND, "key '%.*s' not found", STR_ARG(s->key));
    if (s->expect == STORE_EXPECT_VALUE ? !str_eq(s->expect_value, value)
                                        : s->expect != STORE_EXPECT_ANY && s->expect != have)
        return fail(err, ERR_CONFLICT, "key '%.*s' has changed", STR_ARG(s->key));
    return 0;
}
