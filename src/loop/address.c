/* Socket addresses as text and back. */
#include "loop/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

static int parse_unix(struct str path, struct address *ret, struct error *err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&ret->sa;

    if (str_empty(path) || path.n >= sizeof(un->sun_path))
        return fail(err, ERR_BAD_REQUEST, "unix socket path must have 1 to %zu bytes", sizeof(un->sun_path) - 1);
    memset(ret, 0, sizeof(*ret));
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.p, path.n);
    ret->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    if (un->sun_path[0] == '@') {
        un->sun_path[0] = 0; /* the abstract name space; its names are not terminated */
        ret->length--;
    }
    return 0;
}

int address_of_ip(struct str ip, uint16_t port, struct address *ret, struct error *err)
{
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_in *in4 = (struct sockaddr_in *)&ret->sa;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->sa;

    memset(ret, 0, sizeof(*ret));
    if (ip.n < sizeof(text)) {
        memcpy(text, ip.p ? ip.p : "", ip.n);
        text[ip.n] = 0;
        if (inet_pton(AF_INET, text, &in4->sin_addr) == 1) {
            in4->sin_family = AF_INET;
            in4->sin_port = htons(port);
            ret->length = sizeof(*in4);
            return 0;
        }
        if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
            in6->sin6_family = AF_INET6;
            in6->sin6_port = htons(port);
            ret->length = sizeof(*in6);
            return 0;
        }
    }
    return fail(err, ERR_BAD_REQUEST, "'%.*s' is not an IP address", STR_ARG(str_part(ip, 0, 64)));
}

int address_parse(struct str text, struct address *ret, struct error *err)
{
    ptrdiff_t colon = str_find_last(text, ':');
    struct str host;
    int64_t port;

    if (str_starts(text, STR("unix:")))
        return parse_unix(str_from(text, 5), ret, err);
    if (colon < 0 || !str_to_i64(str_from(text, (size_t)colon + 1), &port) || port < 0 || port > UINT16_MAX)
        return fail(err, ERR_BAD_REQUEST, "'%.*s' is not an address like 10.0.0.1:443 or [fd00::1]:443",
                    STR_ARG(str_part(text, 0, 64)));
    host = str_part(text, 0, (size_t)colon);
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = str_part(host, 1, host.n - 2);
    else if (str_find(host, ':') >= 0)
        return fail(err, ERR_BAD_REQUEST, "'%.*s': an IPv6 address with a port needs brackets",
                    STR_ARG(str_part(text, 0, 64)));
    return address_of_ip(host, (uint16_t)port, ret, err);
}

char *address_format_ip(const struct address *a, char text[ADDRESS_TEXT_SIZE])
{
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)&a->sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;

    text[0] = 0;
    if (a->length && a->sa.ss_family == AF_INET)
        inet_ntop(AF_INET, &in4->sin_addr, text, ADDRESS_TEXT_SIZE);
    else if (a->length && a->sa.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &in6->sin6_addr, text, ADDRESS_TEXT_SIZE);
    return text;
}

char *address_format(const struct address *a, char text[ADDRESS_TEXT_SIZE])
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->sa;
    char ip[ADDRESS_TEXT_SIZE];

    text[0] = 0;
    if (!a->length)
        return text;
    address_format_ip(a, ip);
    if (a->sa.ss_family == AF_INET) {
        snprintf(text, ADDRESS_TEXT_SIZE, "%.64s:%u", ip, address_port(a));
    } else if (a->sa.ss_family == AF_INET6) {
        snprintf(text, ADDRESS_TEXT_SIZE, "[%.64s]:%u", ip, address_port(a));
    } else if (a->sa.ss_family == AF_UNIX) {
        int n = (int)a->length - (int)offsetof(struct sockaddr_un, sun_path);

        if (n <= 0)
            snprintf(text, ADDRESS_TEXT_SIZE, "unix:");
        else if (!un->sun_path[0])
            snprintf(text, ADDRESS_TEXT_SIZE, "unix:@%.*s", n - 1, un->sun_path + 1);
        else
            snprintf(text, ADDRESS_TEXT_SIZE, "unix:%.*s", (int)strnlen(un->sun_path, (size_t)n), un->sun_path);
    }
    return text;
}

uint16_t address_port(const struct address *a)
{
    if (a->length && a->sa.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)&a->sa)->sin_port);
    if (a->length && a->sa.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)&a->sa)->sin6_port);
    return 0;
}

void address_set_port(struct address *a, uint16_t port)
{
    if (a->length && a->sa.ss_family == AF_INET)
        ((struct sockaddr_in *)&a->sa)->sin_port = htons(port);
    else if (a->length && a->sa.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&a->sa)->sin6_port = htons(port);
}

bool address_is_unix(const struct address *a)
{
    return a->length && a->sa.ss_family == AF_UNIX;
}

bool address_eq(const struct address *a, const struct address *b)
{
    char ta[ADDRESS_TEXT_SIZE], tb[ADDRESS_TEXT_SIZE];

    return strcmp(address_format(a, ta), address_format(b, tb)) == 0;
}
