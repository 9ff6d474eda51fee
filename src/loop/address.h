/* A socket address as a value: "10.0.0.1:443", "[fd00::1]:443", "unix:/run/x.sock", "unix:@abstract". No names. */
#ifndef LOOP_ADDRESS_H
#define LOOP_ADDRESS_H

#include "base/error.h"

#include <sys/socket.h>

#define ADDRESS_TEXT_SIZE 128

struct address {
    struct sockaddr_storage sa;
    socklen_t length; /* 0: no address */
};

int address_parse(struct str text, struct address *ret, struct error *err); /* ERR_BAD_REQUEST */
int address_of_ip(struct str ip, uint16_t port, struct address *ret, struct error *err);
char *address_format(const struct address *a, char text[ADDRESS_TEXT_SIZE]);    /* returns text; "" for none */
char *address_format_ip(const struct address *a, char text[ADDRESS_TEXT_SIZE]); /* without the port */
uint16_t address_port(const struct address *a);
void address_set_port(struct address *a, uint16_t port);
bool address_is_unix(const struct address *a);
bool address_eq(const struct address *a, const struct address *b);

#endif
