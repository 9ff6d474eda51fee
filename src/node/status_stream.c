/* Telling the server what is in force on this node, and whom it does not hear. */
#include "node/contact.h"
#include "node/endpoint.h"

#include "base/list.h"

#include <stdlib.h>

#define GAP_MS    5    /* at most one line so often */
#define LINE_MAX_ 4000 /* the server takes 4096 */

struct listener_link {
    struct list link;
    struct status_streams *streams;
    struct http_exchange *x;
    bool full;
};

struct status_streams {
    struct list listeners;
    struct loop_timer timer;
    uint64_t applied;
    int64_t sent_ms;
    struct agent *agent;
    struct loop *loop;
};

static void send_line(struct status_streams *s, struct listener_link *l)
{
    AUTO_BUF struct buf line = BUF_MAX(4096);

    buf_addf(&line, "{\"applied\":{\"endpointslices\":%llu}", (unsigned long long)s->applied);
    contact_write_report(s->agent->contact, &line, LINE_MAX_ - line.n);
    buf_add_text(&line, "}\n");
    l->full = !http_exchange_write_copy(l->x, buf_str(&line));
}

static void send_all(void *arg)
{
    struct status_streams *s = arg;

    s->sent_ms = loop_now_ms(s->loop);
    list_each (&s->listeners, struct listener_link, link, l) {
        if (!l->full)
            send_line(s, l);
    }
}

static void on_drained(struct http_exchange *x, void *user)
{
    struct listener_link *l = user;
    (void)x;
    send_line(l->streams, l);
}

static void on_gone(struct http_exchange *x, void *user)
{
    struct listener_link *l = user;
    list_del(&l->link);
    http_exchange_abort(x);
    free(l);
}

static const struct http_exchange_callbacks callbacks = { .on_drained = on_drained, .on_gone = on_gone };

struct status_streams *status_streams_new(struct agent *agent)
{
    struct status_streams *s = xnew(struct status_streams);
    s->agent = agent;
    s->loop = agent->loop;
    list_init(&s->listeners);
    loop_timer_init(&s->timer, s->loop, send_all, s);
    return s;
}

void status_streams_free(struct status_streams *s)
{
    if (!s)
        return;
    loop_timer_stop(&s->timer);
    list_each (&s->listeners, struct listener_link, link, l) {
        http_exchange_abort(l->x);
        free(l);
    }
    free(s);
}

void status_streams_add(struct status_streams *s, struct http_exchange *x)
{
    const struct http_header headers[] = { { STR_INIT("content-type"), STR_INIT("application/x-ndjson") } };
    struct http_response head = { .status = 200, .headers = headers, .headers_count = 1 };
    struct listener_link *l = xnew(struct listener_link);

    *l = (struct listener_link){ .streams = s, .x = x };
    list_add_tail(&s->listeners, &l->link);
    http_exchange_set_callbacks(x, &callbacks, l);
    http_exchange_start(x, &head);
    send_line(s, l);
}

void status_streams_set_applied(struct status_streams *s, uint64_t revision)
{
    if (revision == s->applied)
        return;
    s->applied = revision;
    status_streams_changed(s);
}

void status_streams_changed(struct status_streams *s)
{
    int64_t wait = s->sent_ms + GAP_MS - loop_now_ms(s->loop);
    if (wait <= 0)
        send_all(s);
    else if (!loop_timer_running(&s->timer))
        loop_timer_start(&s->timer, wait);
}
