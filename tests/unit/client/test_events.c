/* Recording Events: equal ones are counted, floods are cut. */
#include "client/events.h"
#include "fake.h"

#include "base/time.h"

static struct fake f;
static struct event_recorder *r;
static const struct object *pod;

static void begin(void)
{
    fake_init(&f);
    pod = fake_put(&f, &kind_pod, "{'metadata':{'name':'web-1','uid':'u1'}}");
    r = event_recorder_new(f.loop, &f.api, "tester", NULL);
}

static void end(void)
{
    event_recorder_free(r);
    fake_done(&f);
}

static void record(const char *reason, const char *message)
{
    event_record(r, &kind_pod, pod, NULL, "Normal", reason, str_of(message));
}

TEST("the first is created with what it is about, who says it and when")
{
    begin();
    record("Started", "Started container");
    ASSERT_INT(f.calls_count, 1);
    ASSERT_INT(f.calls[0].verb, API_CREATE);
    const char *text = f.calls[0].text;
    ASSERT_CONTAINS(text, "\"involvedObject\":{\"kind\":\"Pod\",\"namespace\":\"default\",\"name\":\"web-1\",\"uid\":"
                          "\"u1\",\"apiVersion\":\"v1\"");
    ASSERT_CONTAINS(text, "\"reason\":\"Started\",\"message\":\"Started container\",\"type\":\"Normal\"");
    ASSERT_CONTAINS(text, "\"source\":{\"component\":\"tester\"}");
    ASSERT_CONTAINS(text, "\"count\":1");
    ASSERT_CONTAINS(text, "\"firstTimestamp\":\"2026-11-21T00:00:00Z\"");
    end();
}

TEST("an equal one raises the count of the first; another reason or message is another Event")
{
    begin();
    record("BackOff", "waiting");
    fake_advance(&f, 10000);
    record("BackOff", "waiting");
    ASSERT_INT(f.calls_count, 2);
    ASSERT_INT(f.calls[1].verb, API_PATCH);
    ASSERT_STR((const char *)f.calls[1].name, (const char *)f.calls[0].name);
    ASSERT_STR((const char *)f.calls[1].text, "{\"count\":2,\"lastTimestamp\":\"2026-11-21T00:00:10Z\"}");
    record("BackOff", "waiting longer");
    record("Pulled", "waiting");
    ASSERT_INT(f.calls[2].verb, API_CREATE);
    ASSERT_INT(f.calls[3].verb, API_CREATE);
    end();
}

TEST("an object may have 25 at once and one every five minutes after that; others are not touched by it")
{
    begin();
    for (int i = 0; i < 100; i++) {
        char message[] = { 'm', (char)('0' + i / 10), (char)('0' + i % 10), 0 };
        record("Flood", message);
    }
    ASSERT_INT(f.calls_count, 25);
    fake_advance(&f, 5 * MINUTE_MS);
    record("Flood", "later");
    record("Flood", "too much");
    ASSERT_INT(f.calls_count, 26);
    pod = fake_put(&f, &kind_pod, "{'metadata':{'name':'web-2','uid':'u2'}}");
    record("Flood", "of another");
    ASSERT_INT(f.calls_count, 27);
    end();
}

TEST("an Event that was created and expired meanwhile is created anew")
{
    begin();
    record("BackOff", "waiting");
    fake_answer(&f, 0, "{'metadata':{'name':'e'}}", ERR_NONE);
    record("BackOff", "waiting");
    ASSERT_INT(f.calls[0].verb, API_PATCH);
    fake_answer(&f, 0, NULL, ERR_NOT_FOUND);
    record("BackOff", "waiting");
    ASSERT_INT(f.calls[0].verb, API_CREATE);
    end();
}

TEST("while a thousand writes wait, more are dropped; a recorder may go while they do")
{
    begin();
    for (int i = 0; i < 1100; i++) {
        AUTO_FREE char *json = xasprintf("{'metadata':{'name':'p%d','uid':'p%d'}}", i, i);
        pod = fake_put(&f, &kind_pod, json);
        record("Many", "one each");
    }
    ASSERT_INT(f.calls_count, 1000);
    end();
}
