/* Requests and answers over one netlink socket. */
#include "network/netlink.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <linux/netlink.h>

#define ANSWER_TIMEOUT_S 2

int netlink_open(struct netlink *nl, int protocol, struct error *err)
{
    struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT_S };
    int on = 1;

    *nl = (struct netlink){ .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol) };
    if (nl->fd < 0)
        return fail_sys(err, errno, "open a netlink socket");
    setsockopt(nl->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)); /* the kernel's own words in an error */
    setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)); /* without a copy of the request */
    nl->request = xmalloc(NETLINK_REQUEST_MAX);
    nl->answer = xmalloc(NETLINK_ANSWER_MAX);
    return 0;
}

void netlink_close(struct netlink *nl)
{
    if (nl->request && nl->fd >= 0)
        close(nl->fd);
    free(nl->request);
    free(nl->answer);
    *nl = (struct netlink){ .fd = -1 };
}

struct nlmsghdr *netlink_start(struct netlink *nl, uint16_t type, uint16_t flags, const void *extra, size_t extra_n)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(nl->request);

    h->nlmsg_type = type;
    h->nlmsg_flags = NLM_F_REQUEST | flags;
    h->nlmsg_seq = ++nl->seq;
    memcpy(mnl_nlmsg_put_extra_header(h, extra_n), extra, extra_n);
    return h;
}

static int send_request(struct netlink *nl, const struct nlmsghdr *request, struct error *err)
{
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

    if (sendto(nl->fd, request, request->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
        return fail_sys(err, errno, "send a netlink request");
    return 0;
}

/* The text the kernel gave with an error (NLMSGERR_ATTR_MSG), or NULL. */
static const char *extended_text(const struct nlmsghdr *h)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
    size_t skip = sizeof(*e);
    const struct nlattr *attr;

    if (!(h->nlmsg_flags & NLM_F_ACK_TLVS))
        return NULL;
    if (!(h->nlmsg_flags & NLM_F_CAPPED))
        skip += e->msg.nlmsg_len - sizeof(struct nlmsghdr);
    mnl_attr_for_each(attr, h, skip) if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG) return mnl_attr_get_str(attr);
    return NULL;
}

static int kernel_said(const struct nlmsghdr *h, struct error *err)
{
    const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
    const char *text = extended_text(h);

    if (e->error == 0)
        return 0;
    return fail_sys(err, -e->error, "%s", text ? text : "the kernel refused a netlink request");
}

/* 1: the answer is complete, 0: more to come, -1: failed. */
static int take_message(const struct nlmsghdr *h, mnl_cb_t fn, void *arg, struct error *err)
{
    switch (h->nlmsg_type) {
    case NLMSG_NOOP:
        return 0;
    case NLMSG_ERROR:
        return kernel_said(h, err) < 0 ? -1 : 1;
    case NLMSG_DONE:
        return 1;
    default:
        if (fn)
            fn(h, arg);
        return 0;
    }
}

static int receive(struct netlink *nl, uint32_t seq, mnl_cb_t fn, void *arg, struct error *err)
{
    for (;;) {
        ssize_t got = recv(nl->fd, nl->answer, NETLINK_ANSWER_MAX, 0);
        int left;

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_sys(err, errno, "wait for a netlink answer");
        left = (int)got;
        for (struct nlmsghdr *h = (struct nlmsghdr *)nl->answer; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
            int done;

            if (h->nlmsg_seq != seq)
                continue; /* late answer of a request that timed out */
            done = take_message(h, fn, arg, err);
            if (done)
                return done < 0 ? -1 : 0;
        }
    }
}

int netlink_do(struct netlink *nl, struct nlmsghdr *request, struct error *err)
{
    request->nlmsg_flags |= NLM_F_ACK;
    if (send_request(nl, request, err) < 0)
        return -1;
    return receive(nl, request->nlmsg_seq, NULL, NULL, err);
}

int netlink_get(struct netlink *nl, struct nlmsghdr *request, mnl_cb_t fn, void *arg, struct error *err)
{
    if (!(request->nlmsg_flags & NLM_F_DUMP))
        request->nlmsg_flags |= NLM_F_ACK; /* so that a single answer has an end too */
    if (send_request(nl, request, err) < 0)
        return -1;
    return receive(nl, request->nlmsg_seq, fn, arg, err);
}
