/* Names in certificates: subject and alternative names, to and from OpenSSL. */
#include "wire/pki_internal.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define NAMES_MAX 256 /* organizations or alternative names of one certificate; further ones are not read */

static struct str text_of(const ASN1_STRING *s)
{
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, s);
    struct str text = STR_NONE;

    if (n < 0)
        return text;
    /* A zero byte inside would let "admin\0x" pass as "admin" somewhere: such a name is no name. */
    if (n > 0 && !memchr(utf8, 0, (size_t)n))
        text = (struct str){ xstrndup((const char *)utf8, (size_t)n), (size_t)n };
    OPENSSL_free(utf8);
    return text;
}

static void add_san(struct pki_names *n, struct str text)
{
    GROW(n->sans, n->sans_count, n->sans_capacity);
    n->sans[n->sans_count++] = text;
}

static void read_sans(struct pki_names *n, const GENERAL_NAMES *sans)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(sans) && n->sans_count < NAMES_MAX; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(sans, i);

        if (name->type == GEN_DNS) {
            struct str text = text_of(name->d.dNSName);

            if (text.n)
                add_san(n, text);
        } else if (name->type == GEN_IPADD) {
            char ip[INET6_ADDRSTRLEN];
            int family = name->d.iPAddress->length == 4 ? AF_INET : AF_INET6;

            if (name->d.iPAddress->length != 4 && name->d.iPAddress->length != 16)
                continue;
            inet_ntop(family, name->d.iPAddress->data, ip, sizeof(ip));
            add_san(n, (struct str){ xstrdup(ip), strlen(ip) });
        }
    }
}

void pki_names_read(struct pki_names *n, const X509_NAME *subject, const GENERAL_NAMES *sans)
{
    for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
        X509_NAME_ENTRY *e = X509_NAME_get_entry(subject, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
        struct str text;

        if (nid != NID_commonName && nid != NID_organizationName)
            continue;
        text = text_of(X509_NAME_ENTRY_get_data(e));
        if (nid == NID_commonName && !n->common_name.n) {
            n->common_name = text;
        } else if (nid == NID_organizationName && text.n && n->organizations_count < NAMES_MAX) {
            GROW(n->organizations, n->organizations_count, n->organizations_capacity);
            n->organizations[n->organizations_count++] = text;
        } else {
            free((void *)text.p);
        }
    }
    if (sans)
        read_sans(n, sans);
}

void pki_names_done(struct pki_names *n)
{
    free((void *)n->common_name.p);
    for (size_t i = 0; i < n->organizations_count; i++)
        free((void *)n->organizations[i].p);
    for (size_t i = 0; i < n->sans_count; i++)
        free((void *)n->sans[i].p);
    free(n->organizations);
    free(n->sans);
    *n = (struct pki_names){ 0 };
}

X509_NAME *pki_subject(const struct pki_request *r)
{
    X509_NAME *name = X509_NAME_new();

    for (size_t i = 0; i < r->organizations_count; i++)
        X509_NAME_add_entry_by_NID(name, NID_organizationName, MBSTRING_UTF8,
                                   (const unsigned char *)r->organizations[i].p, (int)r->organizations[i].n, -1, 0);
    if (r->common_name.n)
        X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)r->common_name.p,
                                   (int)r->common_name.n, -1, 0);
    return name;
}

static GENERAL_NAME *general_name(struct str san)
{
    unsigned char ip[16];
    char text[256];
    ASN1_STRING *value;
    GENERAL_NAME *name = GENERAL_NAME_new();
    int type = GEN_DNS;
    struct str bytes = san;

    memcpy(text, san.p, san.n);
    text[san.n] = 0;
    if (inet_pton(AF_INET, text, ip) == 1) {
        type = GEN_IPADD;
        bytes = (struct str){ (const char *)ip, 4 };
    } else if (inet_pton(AF_INET6, text, ip) == 1) {
        type = GEN_IPADD;
        bytes = (struct str){ (const char *)ip, 16 };
    }
    value = ASN1_STRING_type_new(type == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);
    ASN1_STRING_set(value, bytes.p, (int)bytes.n);
    GENERAL_NAME_set0_value(name, type, value);
    return name;
}

GENERAL_NAMES *pki_general_names(const struct pki_request *r, struct error *err)
{
    GENERAL_NAMES *names = r->sans_count ? GENERAL_NAMES_new() : NULL;

    for (size_t i = 0; i < r->sans_count; i++) {
        struct str san = r->sans[i];

        if (!san.n || san.n > 253 || memchr(san.p, 0, san.n)) {
            GENERAL_NAMES_free(names);
            return fail_null(err, ERR_BAD_REQUEST, "alternative name %zu has %zu bytes, wanted 1 to 253", i, san.n);
        }
        sk_GENERAL_NAME_push(names, general_name(san));
    }
    return names;
}
