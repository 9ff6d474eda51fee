/* UDP for tests inside pods: `udp serve PORT` answers what it gets with "echo " before it; `udp ask IP PORT TEXT` asks once. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int serve(int fd, struct sockaddr_in at)
{
    char text[1024] = "echo ";

    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        return 1;
    for (;;) {
        struct sockaddr_in from;
        socklen_t size = sizeof(from);
        ssize_t n = recvfrom(fd, text + 5, sizeof(text) - 5, 0, (struct sockaddr *)&from, &size);
        if (n >= 0)
            sendto(fd, text, (size_t)n + 5, 0, (struct sockaddr *)&from, size);
    }
}

static int ask(int fd, struct sockaddr_in at, const char *question)
{
    struct timeval limit = { .tv_sec = 2 };
    char text[1024];
    ssize_t n;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || send(fd, question, strlen(question), 0) < 0)
        return 1;
    n = recv(fd, text, sizeof(text), 0);
    if (n < 0)
        return 1;
    printf("%.*s\n", (int)n, text);
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (argc == 3 && strcmp(argv[1], "serve") == 0) {
        at.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
        return serve(fd, at);
    }
    if (argc != 5 || inet_pton(AF_INET, argv[2], &at.sin_addr) != 1)
        return 2;
    at.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
    return ask(fd, at, argv[4]);
}
