/* Which slot carries which endpoint, and what HAProxy is told about it. */
#include "gateway/slots.h"
#include "test.h"

static struct gateway_server servers[64];
static struct gateway_backend backend = { .name = { "be", 2 }, .servers = servers };
static struct gateway_backend *backends[] = { &backend };
static struct gateway_plan plan = { .backends = backends, .backends_count = 1 };
static struct slots slots;
static struct buf commands = BUF_MAX(64 * KIB);

/* The backend's endpoints from now on: names, separated by blanks; all at 10.0.0.1:80. */
static void serve(const char *names)
{
    struct str rest = str_of(names);

    backend.count = 0;
    while (str_next(&rest, ' ', &servers[backend.count].name))
        servers[backend.count++].address = STR("10.0.0.1:80");
}

static bool assign(const char *names)
{
    serve(names);
    buf_truncate(&commands, 0);
    return slots_assign(&slots, &plan, &commands);
}

static void start(const char *names)
{
    serve(names);
    slots_renew(&slots, &plan);
}

static void finish(void)
{
    slots_done(&slots);
    buf_done(&commands);
    backend.lost_count = 0;
}

static const struct slot *slot(size_t i)
{
    return &slots_of(&slots, STR("be"))->slots[i];
}

TEST("a new configuration has twice as many slots as endpoints, and never less than eight")
{
    start("a");
    ASSERT_INT(slots_of(&slots, STR("be"))->count, 8);
    start("a b c d e");
    ASSERT_INT(slots_of(&slots, STR("be"))->count, 16);
    finish();
}

TEST("an endpoint that stays costs no command")
{
    start("a b");
    ASSERT(assign("a b"));
    ASSERT_STR(commands, "");
    finish();
}

TEST("a new endpoint gets a free slot in both backends: its address first, then requests")
{
    start("a");
    ASSERT(assign("a b"));
    ASSERT_STR(commands, "set server be/s2 addr 10.0.0.1 port 80\nset server be:body/s2 addr 10.0.0.1 port 80\n"
                         "set server be/s2 state ready\nset server be:body/s2 state ready\n");
    finish();
}

TEST("an endpoint of another zone weighs less, and a slot given to a near one weighs more again")
{
    start("a b");
    serve("a b c");
    servers[1].far = servers[2].far = true;
    buf_truncate(&commands, 0);
    ASSERT(slots_assign(&slots, &plan, &commands));
    ASSERT_CONTAINS(commands.p, "set server be/s2 weight 16\nset server be:body/s2 weight 16\n");
    ASSERT_CONTAINS(commands.p, "set server be/s3 weight 16\n");
    ASSERT(!str_contains(buf_str(&commands), STR("s1 ")));
    buf_truncate(&commands, 0);
    ASSERT(slots_assign(&slots, &plan, &commands));
    ASSERT_STR(commands, "");
    servers[1].far = false;
    ASSERT(slots_assign(&slots, &plan, &commands));
    ASSERT_STR(commands, "set server be/s2 weight 256\nset server be:body/s2 weight 256\n");
    servers[2].far = false;
    finish();
}

TEST("an endpoint that goes gets nothing new and its slot is not given away while it drains")
{
    start("a");
    ASSERT(assign("b"));
    ASSERT_CONTAINS(commands, "set server be/s1 state maint\nset server be:body/s1 state maint\n");
    ASSERT_CONTAINS(commands, "be/s2 addr");
    ASSERT_INT(slot(0)->state, SLOT_DRAINING);
    finish();
}

TEST("a slot is free when neither of its servers has used or idle connections")
{
    static const char *const lines[] = {
        "be/s1 3/1 10.0.0.1 80 - 30000 1 1 1 1 0 100 0 0 0\nbe:body/s1 4/1 10.0.0.1 80 - 30000 0 1 1 1 0 100 0 0 0\n",
        "be/s1 3/1 10.0.0.1 80 - 30000 0 1 1 1 0 100 0 0 0\nbe:body/s1 4/1 10.0.0.1 80 - 30000 0 1 1 1 0 100 2 0 0\n",
        "be/s1 3/1 10.0.0.1 80 - 30000 0 1 1 1 0 100 0 0 0\n",
        "No such backend.\n# bkname/svname bkid/svid\n\n",
        "be/s9999 3/1 10.0.0.1 80 - 30000 0 1 1 1 0 100 0 0 0\nbe:body/s0 4/1 10.0.0.1 80 - 30000 0 1 1 1 0 100 0\n",
    };

    start("a b");
    ASSERT(!slots_ask(&slots, &commands));
    ASSERT(assign("b"));
    buf_truncate(&commands, 0);
    ASSERT(slots_ask(&slots, &commands));
    ASSERT_STR(commands, "show servers conn be\nshow servers conn be:body\n");
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        slots_settle(&slots, str_of(lines[i]));
        ASSERT_INT(slot(0)->state, SLOT_DRAINING);
    }
    slots_settle(&slots, STR("be/s1 3/1 10.0.0.1 80 - 30000 0 1 1 1 0 100 0 0 0\n"
                             "be:body/s1 4/1 10.0.0.1 80 - 30000 0 1 1 1 0 100 0 0 0\n"));
    ASSERT_INT(slot(0)->state, SLOT_FREE);
    ASSERT_INT(slot(1)->state, SLOT_SERVING);
    finish();
}

TEST("the same pod may come back to its draining slot, another pod with its address may not")
{
    start("a-pod1 b");
    ASSERT(assign("b"));
    ASSERT(assign("b a-pod2"));
    ASSERT_INT(slot(0)->state, SLOT_DRAINING);
    ASSERT(assign("b a-pod2 a-pod1"));
    ASSERT_INT(slot(0)->state, SLOT_SERVING);
    ASSERT_CONTAINS(commands, "set server be/s1 state ready");
    finish();
}

TEST("requests with a body to a node that fell silent are ended, the others are left to be sent again")
{
    static struct gateway_server lost[] = { { .name = { "a", 1 } } };

    start("a b");
    backend.lost = lost;
    backend.lost_count = 1;
    ASSERT(assign("b"));
    ASSERT_STR(commands, "set server be/s1 state maint\nset server be:body/s1 state maint\n"
                         "shutdown sessions server be:body/s1\n");
    finish();
}

TEST("without a free slot a reload is asked for")
{
    start("a b c d");
    ASSERT(assign("e f g h"));
    ASSERT(!assign("i"));
    ASSERT(!slots_assign(&(struct slots){ 0 }, &plan, &commands));
    finish();
}
