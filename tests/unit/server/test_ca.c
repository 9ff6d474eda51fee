/* The cluster's keys and certificates: made once, kept, renewed. */
#include "test.h"

#include "base/file.h"
#include "server/ca.h"

#include <sys/stat.h>
#include <unistd.h>

static struct env_sim sim;

static struct ca *ca_at(const char *folder, int64_t wall_ms, const char *san, struct error *err)
{
    struct str sans[] = { str_of(san) };
    env_sim_init(&sim, 1, wall_ms);
    return ca_open(&(struct ca_options){ .folder = folder, .sans = sans, .sans_count = san ? 1 : 0, .env = &sim.env },
                   err);
}

static int mode_of(const char *name)
{
    struct stat st;
    AUTO_FREE char *path = xasprintf("%s/pki/%s", test_folder(), name);
    return stat(path, &st) < 0 ? -1 : (int)(st.st_mode & 0777);
}

#define NOW ((int64_t)1800000000000)

TEST("the first start makes keys that nobody else can read")
{
    AUTO_ERROR struct error err = { 0 };
    struct ca *ca = ca_at(test_path("pki"), NOW, NULL, &err);
    ASSERT_OK(ca, &err);
    ASSERT_INT(mode_of("ca.key"), 0600);
    ASSERT_INT(mode_of("server.key"), 0600);
    ASSERT_INT(mode_of("admin.key"), 0600);
    ASSERT_INT(mode_of("service-account.key"), 0600);
    ASSERT_INT(mode_of("ca.crt"), 0644);
    ASSERT_INT(mode_of("."), 0700);
    ca_free(ca);
}

TEST("a second start keeps the authority, the token key and the certificates")
{
    AUTO_ERROR struct error err = { 0 };
    char pins[2][65], ids[2][44];
    struct ca *ca = ca_at(test_path("pki"), NOW, "10.0.0.7", &err);
    ASSERT_OK(ca, &err);
    ca_pin(ca, pins[0]);
    pki_key_id(ca_token_key(ca), ids[0]);
    AUTO_FREE char *served = str_dup(ca_server_certificate_pem(ca));
    ca_free(ca);
    ca = ca_at(test_path("pki"), NOW + HOUR_MS, "10.0.0.7", &err);
    ASSERT_OK(ca, &err);
    ca_pin(ca, pins[1]);
    pki_key_id(ca_token_key(ca), ids[1]);
    ASSERT_STR(pins[1], pins[0]);
    ASSERT_STR(ids[1], ids[0]);
    ASSERT_STR(ca_server_certificate_pem(ca), served);
    ca_free(ca);
}

static bool served_has(const struct ca *ca, const char *san)
{
    struct pki_cert *cert = pki_cert_read(ca_server_certificate_pem(ca), NULL);
    bool has = pki_cert_has_san(cert, str_of(san));
    pki_cert_free(cert);
    return has;
}

TEST("the serving certificate names the API's service and what the configuration adds")
{
    static const char *const wanted[] = { "kubernetes",
                                          "kubernetes.default",
                                          "kubernetes.default.svc",
                                          "kubernetes.default.svc.cluster.local",
                                          "localhost",
                                          "127.0.0.1",
                                          "10.96.0.1",
                                          "api.example.org" };
    AUTO_ERROR struct error err = { 0 };
    struct ca *ca = ca_at(test_path("pki"), NOW, "api.example.org", &err);
    ASSERT_OK(ca, &err);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        if (!served_has(ca, wanted[i]))
            FAIL("not in the certificate: %s", wanted[i]);
    ASSERT(!served_has(ca, "10.0.0.9"));
    ca_free(ca);
}

TEST("a new name makes a new serving certificate of the same authority")
{
    AUTO_ERROR struct error err = { 0 };
    char pins[2][65];
    struct ca *ca = ca_at(test_path("pki"), NOW, NULL, &err);
    ASSERT_OK(ca, &err);
    ca_pin(ca, pins[0]);
    ca_free(ca);
    ca = ca_at(test_path("pki"), NOW, "10.0.0.9", &err);
    ASSERT_OK(ca, &err);
    ca_pin(ca, pins[1]);
    ASSERT(served_has(ca, "10.0.0.9"));
    ASSERT_STR(pins[1], pins[0]);
    ca_free(ca);
}

TEST("the serving certificate is renewed long before it expires, and not before that")
{
    AUTO_ERROR struct error err = { 0 };
    bool changed;
    struct ca *ca = ca_at(test_path("pki"), NOW, NULL, &err);
    ASSERT_OK(ca, &err);
    ASSERT_OK(ca_renew(ca, &changed, &err), &err);
    ASSERT(!changed);
    env_sim_advance(&sim, CA_LEAF_LIFETIME_MS - CA_RENEW_BEFORE_MS + HOUR_MS);
    ASSERT_OK(ca_renew(ca, &changed, &err), &err);
    ASSERT(changed);
    struct pki_cert *cert = pki_cert_read(ca_server_certificate_pem(ca), &err);
    ASSERT(pki_cert_not_after_ms(cert) - env_wall_ms(&sim.env) > CA_LEAF_LIFETIME_MS - HOUR_MS);
    pki_cert_free(cert);
    ca_free(ca);
}

TEST("a lost authority key is an error and never replaced")
{
    AUTO_ERROR struct error err = { 0 };
    struct ca *ca = ca_at(test_path("pki"), NOW, NULL, &err);
    ASSERT_OK(ca, &err);
    ca_free(ca);
    ASSERT_INT(unlink(test_path("pki/ca.key")), 0);
    ASSERT_FAILS(ca_at(test_path("pki"), NOW, NULL, &err), &err, ERR_INTERNAL, "ca.key' is missing");
    ASSERT(!file_exists(test_path("pki/ca.key")));
}

TEST("a serving certificate of another key, left by a crash between two files, is replaced")
{
    AUTO_ERROR struct error err = { 0 };
    struct ca *ca = ca_at(test_path("pki"), NOW, NULL, &err);
    ASSERT_OK(ca, &err);
    AUTO_FREE char *before = str_dup(ca_server_certificate_pem(ca));
    ca_free(ca);
    ASSERT_INT(unlink(test_path("pki/server.key")), 0);
    ca = ca_at(test_path("pki"), NOW, NULL, &err);
    ASSERT_OK(ca, &err);
    ASSERT(!str_is(ca_server_certificate_pem(ca), before));
    ca_free(ca);
}

TEST("a client certificate carries exactly the subject it was asked for")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf pem = BUF_MAX(64 * KIB);
    struct str group = STR("system:nodes");
    struct ca *ca = ca_at(NULL, NOW, NULL, &err);
    struct pki_key *key = pki_key_new(PKI_ECDSA_P256);
    ASSERT_OK(ca_sign_client(ca, key, STR("system:node:a"), &group, 1, HOUR_MS, &pem, &err), &err);
    struct pki_cert *cert = pki_cert_read(buf_str(&pem), &err);
    ASSERT_STR(pki_cert_common_name(cert), "system:node:a");
    ASSERT_INT(pki_cert_organizations_count(cert), 1);
    ASSERT_STR(pki_cert_organization(cert, 0), "system:nodes");
    ASSERT_INT(pki_cert_not_after_ms(cert), NOW + HOUR_MS);
    pki_cert_free(cert);
    pki_key_free(key);
    ca_free(ca);
}

TEST("the administrator's kubeconfig holds the server, the authority and a key, for its owner alone")
{
    AUTO_ERROR struct error err = { 0 };
    AUTO_BUF struct buf text = BUF_MAX(MIB);
    struct stat st;
    struct ca *ca = ca_at(test_path("pki"), NOW, NULL, &err);
    ASSERT_OK(ca_write_admin_kubeconfig(ca, STR("one"), STR("https://10.0.0.1:6443"), test_path("config"), &err), &err);
    ASSERT_OK(file_read(test_path("config"), &text, &err), &err);
    ASSERT_CONTAINS(text, "server: \"https://10.0.0.1:6443\"");
    ASSERT_CONTAINS(text, "client-key-data: ");
    ASSERT_CONTAINS(text, "current-context: \"kubernetes-admin@one\"");
    ASSERT_INT(stat(test_path("config"), &st), 0);
    ASSERT_INT(st.st_mode & 0777, 0600);
    ca_free(ca);
}
