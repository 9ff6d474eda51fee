/* Text and numbers of IPv4 addresses. */
#include "network/ip.h"

bool ip_parse(struct str text, uint32_t *ret_ip)
{
    struct str part;
    uint32_t ip = 0;
    int parts = 0;

    while (str_next(&text, '.', &part)) {
        uint64_t n;

        if (part.n > 3 || (part.n > 1 && part.p[0] == '0') || !str_to_u64(part, &n) || n > 255 || ++parts > 4)
            return false;
        ip = ip << 8 | (uint32_t)n;
    }
    if (parts != 4)
        return false;
    *ret_ip = htonl(ip);
    return true;
}

bool ip_prefix_parse(struct str text, struct ip_prefix *ret)
{
    struct str ip;
    uint64_t length;

    if (!str_cut(&text, '/', &ip) || !str_to_u64(text, &length) || length > 32 || !ip_parse(ip, &ret->ip))
        return false;
    ret->length = (uint8_t)length;
    ret->mask = length ? htonl(~(uint32_t)0 << (32 - length)) : 0;
    ret->ip &= ret->mask;
    return true;
}

char *ip_format(uint32_t ip, char text[IP_TEXT_SIZE])
{
    inet_ntop(AF_INET, &ip, text, IP_TEXT_SIZE);
    return text;
}

void ip_mac(uint32_t ip, unsigned char ret[MAC_SIZE])
{
    ret[0] = 0x02; /* locally administered, unicast */
    ret[1] = 0x6b;
    memcpy(ret + 2, &ip, 4);
}
