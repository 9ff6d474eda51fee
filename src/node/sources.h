/*
 * Objects that pods refer to: ConfigMaps, Secrets, Services, claims and (held with their claim) PersistentVolumes. Each is watched alone, by name, as long as somebody holds it, because a
 * node may read only what its pods name; the services of a namespace are watched together.
 *
 * What was seen is kept in a folder on a tmpfs, so that containers restart after a restart of the agent while no server answers.
 */
#ifndef NODE_SOURCES_H
#define NODE_SOURCES_H

#include "kinds/api.h"
#include "loop/loop.h"

enum source_state { SOURCE_PENDING, SOURCE_PRESENT, SOURCE_ABSENT };

struct sources;
/* Something held became known, changed or vanished. */
typedef void source_changed(void *arg, const struct kind *kind, struct str namespace_);

struct sources *sources_new(struct loop *loop, struct api *api, const char *folder, source_changed *changed, void *arg);
void sources_free(struct sources *s);

/* Counted. name empty: all objects of the kind in the namespace. */
void sources_hold(struct sources *s, const struct kind *kind, struct str namespace_, struct str name);
void sources_release(struct sources *s, const struct kind *kind, struct str namespace_, struct str name);

/* The object, borrowed until the next round; NULL with what is known of it. Must be held. */
const struct object *source_get(const struct sources *s, const struct kind *kind, struct str namespace_,
                                struct str name, enum source_state *ret_state);
/* The i-th object of a held namespace, NULL at the end. */
const struct object *source_at(const struct sources *s, const struct kind *kind, struct str namespace_, size_t i,
                               enum source_state *ret_state);

#endif
