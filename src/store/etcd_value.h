/*
 * How klein's values and revisions stand in etcd: headers, checksums, positions. Pure functions; inside of the etcd engine.
 *
 * Value: a header, then klein's value.
 *     0      format, 1
 *     1..2   position of the change in its transaction, big endian; 65535: a full revision follows
 *     3      0
 *     4..7   CRC-32C of klein's key, the header up to here (and the full revision), and klein's value; big endian
 *     8..15  only then: the revision the value had before a migration, big endian
 * Revision: base + mod_revision * 1024 + position, or the full one. A delete has no value: its position is that of the event before it
 * in its transaction plus one.
 */
#ifndef STORE_ETCD_VALUE_H
#define STORE_ETCD_VALUE_H

#include "store/etcd_client.h"
#include "store/store.h"

#define ETCD_FORMAT     1
#define ETCD_HEADER_MAX 16
#define ETCD_MIGRATED   0xffff

#define ETCD_KEY_BASE    "/klein/base"
#define ETCD_KEY_SESSION "/klein/session/"
#define ETCD_KEY_BARRIER "/klein/barrier/"

/* Writes the header into `to`, returns its size. full_revision 0: `position` counts. */
size_t etcd_header_write(char to[ETCD_HEADER_MAX], struct str key, struct str value, uint32_t position,
                         uint64_t full_revision);
/* Cuts the header off. False: the checksum is wrong, or it is no header. */
bool etcd_header_read(struct str key, struct str stored, uint32_t *ret_position, uint64_t *ret_full_revision,
                      struct str *ret_value);
/* The first bytes of every value at this position, for compares of etcd: position and position + 1 stand around them. */
#define ETCD_PLACE_SIZE 3
void etcd_place(char to[ETCD_PLACE_SIZE], uint32_t position);

uint64_t etcd_revision(uint64_t base, int64_t mod, uint32_t position);
/* False for revisions from before the base: nobody knows their mod_revision. */
bool etcd_revision_split(uint64_t base, uint64_t revision, int64_t *ret_mod, uint32_t *ret_position);

/* "klein/registry/" -> "klein/registry0": the end of the range of keys with this prefix. */
void etcd_prefix_end(struct buf *to, struct str prefix);

enum etcd_key { ETCD_KEY_OBJECT, ETCD_KEY_IS_BASE, ETCD_KEY_IS_SESSION, ETCD_KEY_IS_BARRIER };
enum etcd_key etcd_key_type(struct str key, struct str *ret_server); /* key without prefix */

/* Events of a watch, in order, become changes with revisions. */
struct etcd_decoder {
    uint64_t base;
    struct str prefix;
    int64_t mod;       /* of the last event */
    uint32_t position; /* of the last event */
};
struct etcd_event {
    enum etcd_key type;
    struct str server; /* of a session or barrier */
    int64_t mod;
    uint32_t position;
    struct store_change change; /* for the internal keys too */
    bool previous_gone;         /* compaction was faster: the previous value is not known */
};
/* -1: a checksum is wrong, or the event is none that klein can have made; err names the key. */
int etcd_decode(struct etcd_decoder *d, const Etcdpb__Event *e, struct etcd_event *ret, struct error *err);
/* Current value of a range. */
int etcd_decode_kv(uint64_t base, struct str prefix, const Etcdpb__KeyValue *kv, struct str *ret_key,
                   struct str *ret_value, uint64_t *ret_revision, struct error *err);

#endif
