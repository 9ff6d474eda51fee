/* IP addresses and prefixes as texts. Upstream parses sloppily first and then asks for strictness, hence two sentences. */
#include "object/validate.h"
#include "object/validate_internal.h"

#include <arpa/inet.h>

#define ADDRESS_TEXT "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
#define CIDR_TEXT    "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"

struct ip {
    unsigned char bytes[16];
    unsigned bits; /* 32 or 128 */
    bool leading_zeros;
};

/* Four decimal parts; leading zeros are read as decimal, as old versions of Go did. */
static bool parse_ipv4(struct str s, struct ip *ret)
{
    struct str part;
    unsigned count = 0;
    if (s.n == 0 || s.p[s.n - 1] == '.')
        return false;
    while (str_next(&s, '.', &part)) {
        uint64_t n;
        if (count == 4 || part.n == 0 || part.p[0] == '+' || !str_to_u64(part, &n) || n > 255)
            return false;
        ret->leading_zeros |= part.n > 1 && part.p[0] == '0';
        ret->bytes[count++] = (unsigned char)n;
    }
    ret->bits = 32;
    return count == 4;
}

/* inet_pton() reads the rest; only zeros of an embedded IPv4 address must be taken out for it. */
static bool parse_ipv6(struct str s, struct ip *ret)
{
    char text[INET6_ADDRSTRLEN + 1];
    if (s.n == 0 || s.n >= sizeof(text))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    ret->bits = 128;
    return inet_pton(AF_INET6, text, ret->bytes) == 1;
}

static bool parse_ip(struct str s, struct ip *ret)
{
    *ret = (struct ip){ 0 };
    return str_find(s, ':') >= 0 ? parse_ipv6(s, ret) : parse_ipv4(s, ret);
}

static bool is_mapped(const struct ip *ip)
{
    return ip->bits == 128 && memcmp(ip->bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0;
}

bool validate_ip(struct str s, struct validate_messages *ret)
{
    struct ip ip;
    if (!parse_ip(s, &ip))
        return validate_add(ret, ADDRESS_TEXT);
    if (ip.leading_zeros)
        return validate_add(ret, "must not have leading 0s");
    return !is_mapped(&ip) || validate_add(ret, "must not be an IPv4-mapped IPv6 address");
}

bool validate_ipv4(struct str s, struct validate_messages *ret)
{
    struct ip ip;
    return (parse_ip(s, &ip) && ip.bits == 32) || validate_add(ret, "must be a valid IPv4 address");
}

bool validate_ipv6(struct str s, struct validate_messages *ret)
{
    struct ip ip;
    return (parse_ip(s, &ip) && ip.bits == 128 && !is_mapped(&ip)) || validate_add(ret, "must be a valid IPv6 address");
}

static bool has_bits_beyond(const struct ip *ip, unsigned prefix)
{
    for (unsigned i = prefix; i < ip->bits; i++)
        if (ip->bytes[i / 8] & 0x80 >> i % 8)
            return true;
    return false;
}

bool validate_cidr(struct str s, struct validate_messages *ret)
{
    struct str prefix_text = s, address;
    struct ip ip;
    uint64_t prefix;
    if (!str_cut(&prefix_text, '/', &address) || !parse_ip(address, &ip) || prefix_text.n == 0 || prefix_text.n > 3 ||
        prefix_text.p[0] == '+' || !str_to_u64(prefix_text, &prefix) || prefix > ip.bits)
        return validate_add(ret, CIDR_TEXT);
    bool ok = true;
    if (ip.leading_zeros || (prefix_text.n > 1 && prefix_text.p[0] == '0'))
        ok = validate_add(ret, "must not have leading 0s in IP or prefix length");
    else if (is_mapped(&ip))
        ok = validate_add(ret, "must not have an IPv4-mapped IPv6 address");
    if (has_bits_beyond(&ip, (unsigned)prefix))
        ok = validate_add(ret, "must not have bits set beyond the prefix length");
    return ok;
}
