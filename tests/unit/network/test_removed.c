/* Endpoints that are gone: who was led to them comes to the living ones. */
#include "lab_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

TEST("a UDP client that keeps its port follows when its endpoint is removed")
{
    struct lab_node *n = lab_node(1, 10, 1);
    char one[46], two[46], ip[46];
    int pod_1 = lab_pod(n, "1", one), pod_2 = lab_pod(n, "2", two), client = lab_pod(n, "3", ip);

    lab_serve(pod_1, LAB_UDP, 8080, "first");
    lab_serve(pod_2, LAB_UDP, 8080, "second");
    ready(n);
    lab_say_service(n->api, "dns", SERVICE, "UDP", "");
    endpoints(n, "dns", "UDP", one, NULL);
    ASSERT_STR(lab_ask_from(client, LAB_UDP, SERVICE, 80, 7777), "first 10.244.1.4");
    endpoints(n, "dns", "UDP", two, NULL);
    LAB_UNTIL(n, str_is(str_of(lab_ask_from(client, LAB_UDP, SERVICE, 80, 7777)), "second 10.244.1.4"), 5000);
    close(pod_1);
    close(pod_2);
    close(client);
    lab_node_free(n);
}

static void take_link_down(UNUSED void *arg)
{
    struct netlink nl;
    struct link_info eth;
    AUTO_ERROR struct error err = { 0 };

    ASSERT_OK(netlink_open(&nl, NETLINK_ROUTE, &err), &err);
    ASSERT_OK(link_find(&nl, "eth0", &eth, &err), &err);
    ASSERT_OK(link_set_down(&nl, eth.index, &err), &err);
    netlink_close(&nl);
}

struct attempt {
    int fd;
};

static void begin_connect(void *arg)
{
    struct attempt *a = arg;
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = inet_addr(SERVICE) };

    a->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(a->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS)
        FAIL("connect: %d", errno);
}

static bool is_connected(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    int sys = -1;
    socklen_t n = sizeof(sys);

    return poll(&p, 1, 0) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &sys, &n) == 0 && sys == 0;
}

TEST("a TCP client whose first packet went to a dead endpoint reaches a living one with its second")
{
    struct lab_node *n = lab_node(1, 10, 1);
    char dead[46], living[46], ip[46];
    int pod_1 = lab_pod(n, "1", dead), pod_2 = lab_pod(n, "2", living), client = lab_pod(n, "3", ip);
    struct attempt a;

    lab_run(pod_1, take_link_down, NULL);
    lab_serve(pod_2, LAB_TCP, 8080, "second");
    ready(n);
    lab_say_service(n->api, "web", SERVICE, "TCP", "");
    endpoints(n, "web", "TCP", dead, NULL);
    lab_run(client, begin_connect, &a);
    lab_turn(n, 100);
    ASSERT(!is_connected(a.fd));
    endpoints(n, "web", "TCP", living, NULL);
    LAB_UNTIL(n, is_connected(a.fd), 6000); /* the kernel tries again after one second, and after two more */
    close(a.fd);
    close(pod_1);
    close(pod_2);
    close(client);
    lab_node_free(n);
}
