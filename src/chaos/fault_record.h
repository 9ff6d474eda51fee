/*
 * Faults on disk: one JSON file each in /run/klein/NAME/chaos, written before the fault is done and removed when it is undone,
 * so that whoever comes after a crash knows what is left to undo.
 */
#ifndef CHAOS_RECORD_H
#define CHAOS_RECORD_H

#include "base/buf.h"
#include "chaos/fault.h"

int fault_record_add(const char *folder, struct fault *f,
                     struct error *err); /* gives it an id and the caller as its owner */
int fault_record_save(const char *folder, const struct fault *f,
                      struct error *err); /* again, e.g. with a helper's pid */
int fault_record_remove(const char *folder, const struct fault *f, struct error *err);
/* All records, oldest first; a file that is no record fails. *ret: heap, of *ret_count. No folder: none. */
int fault_record_load(const char *folder, struct fault **ret, int *ret_count, struct error *err);
bool fault_record_owner_is_alive(const struct fault *f);

/* For tests and the two above. */
void fault_record_write(struct buf *to, const struct fault *f);
int fault_record_read(struct str text, struct fault *ret, struct error *err);

#endif
