/*
 * YAML to trees and back, as sigs.k8s.io/yaml does it: documents are read as YAML 1.1 and mean JSON.
 *
 * Plain scalars become what go-yaml makes of them: true/false/yes/no/on/off in three spellings and y/n are bools, numbers may be decimal,
 * 0x, 0o, 0b, 0-octal, with underscores, .inf and .nan are refused (JSON has none), ~ and null are null, dates stay text. Keys
 * become text (1: -> "1", true: -> "true").
 *
 * Limits: OBJECT_SIZE_MAX bytes (YAML_STREAM_MAX for streams), OBJECT_DEPTH_MAX levels, and YAML_VALUES_MAX values after anchors
 * are expanded: an alias counts the values it repeats, so a "billion laughs" text is refused before memory is spent. ERR_BAD_REQUEST for malformed text, "yaml: line N: ..." as clients know it.
 */
#ifndef OBJECT_YAML_H
#define OBJECT_YAML_H

#include "object/value.h"

#define YAML_STREAM_MAX (32 * MIB) /* a file of many documents, read by our own commands, never from a request */
#define YAML_VALUES_MAX (512 * 1024)

/*
 * One document; an empty text is null. A second document is an error. Duplicate keys: the last one wins, each is reported through
 * `duplicates` (paths, may be NULL), as value_parse() does. The tree lives in the arena and does not borrow from `text`.
 */
struct value *yaml_parse(struct arena *a, struct str text, struct value *duplicates, struct error *err);
/* Every document of a stream as the items of an array; empty documents are left out. */
struct value *yaml_parse_all(struct arena *a, struct str text, struct value *duplicates, struct error *err);

/* Block style, indented by two, keys in the order of the tree, strings quoted where YAML 1.1 or 1.2 would take them for something else. */
void yaml_write(struct buf *to, const struct value *v);

#endif
