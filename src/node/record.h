/*
 * Small records on disk that outlive the agent: one line of JSON, one line with its checksum.
 *
 * Written to a new file and renamed: a killed agent leaves the old or the new record. Not synced: after a power cut nothing that
 * records tell of is running any more, and a torn record fails its checksum and counts as absent.
 */
#ifndef NODE_RECORD_H
#define NODE_RECORD_H

#include "base/buf.h"
#include "base/error.h"

#define RECORD_MAX_BYTES (4 * MIB)

int record_write(const char *path, struct str json, struct error *err);
/* ret is cleared first. ERR_NOT_FOUND when absent, ERR_INVALID when damaged. */
int record_read(const char *path, struct buf *ret, struct error *err);

#endif
