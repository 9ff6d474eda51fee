/*
 * Selectors: which objects are meant, by their labels, their fields or, for nodes, both.
 *
 * Compiled once, matched often: requirements are checked when compiled, values are sorted, matching allocates nothing. A compiled
 * selector owns its memory and borrows nothing; declare it with AUTO_LABEL_SELECTOR or call x_done(). {0} is the selector that matches
 * everything. Immutable after x_parse(), so threads may share it.
 *
 * Errors are ERR_BAD_REQUEST with upstream's sentences ("unable to parse requirement: ..."), ERR_TOO_LARGE past the limits.
 * Source: k8s.io/apimachinery/pkg/labels (selector.go), pkg/fields (selector.go), pkg/apis/meta/v1/helpers.go,
 * k8s.io/component-helpers/scheduling/corev1/nodeaffinity.
 */
#ifndef OBJECT_SELECTOR_H
#define OBJECT_SELECTOR_H

#include "object/value.h"

#define SELECTOR_TEXT_MAX         (64 * KIB)
#define SELECTOR_REQUIREMENTS_MAX 1000  /* of one selector */
#define SELECTOR_VALUES_MAX       10000 /* of all its requirements together */

enum selector_relation {
    SELECTOR_EXISTS,
    SELECTOR_NOT_EXISTS,
    SELECTOR_EQUALS,        /* "=" */
    SELECTOR_DOUBLE_EQUALS, /* "==", the same but written back as it was */
    SELECTOR_NOT_EQUALS,    /* also matches when the label is absent, as does NOT_IN */
    SELECTOR_IN,
    SELECTOR_NOT_IN,
    SELECTOR_GREATER, /* the label as an integer against one integer */
    SELECTOR_LESS,
};

struct requirement {
    struct str key;
    name_id id; /* of the key, for labels that happen to be interned names */
    enum selector_relation relation;
    struct str *values; /* sorted, each once */
    uint32_t values_count;
    int64_t bound; /* of GREATER and LESS */
};

struct label_selector {
    struct requirement *requirements; /* sorted by key; all must hold */
    size_t count;
    bool nothing; /* matches no object: what an absent LabelSelector means */
    struct arena memory;
};

#define AUTO_LABEL_SELECTOR CLEANUP(label_selector_done)
void label_selector_done(struct label_selector *s);
/* The syntax of ?labelSelector= and kubectl -l: "a=b,c!=d,e in (f,g),h notin (i),j,!k,l>5". Empty text matches everything. */
int label_selector_parse(struct label_selector *ret, struct str text, struct error *err);
/* A LabelSelector object (matchLabels, matchExpressions). Absent or null: nothing. Empty: everything. */
int label_selector_of_view(struct label_selector *ret, struct view selector, struct error *err);
int label_selector_of_value(struct label_selector *ret, const struct value *selector, struct error *err);
/* A plain map, as spec.selector of Service and ReplicationController. Empty or absent: everything (callers decide before). */
int label_selector_of_map(struct label_selector *ret, struct view labels, struct error *err);
bool label_selector_matches(const struct label_selector *s, struct view labels); /* metadata.labels, may be absent */
bool label_selector_matches_value(const struct label_selector *s, const struct value *labels);
bool label_selector_is_everything(const struct label_selector *s);
/* The text that label_selector_parse() reads back, in upstream's canonical order. Equal selectors have equal texts. */
void label_selector_write(struct buf *to, const struct label_selector *s);

/* Field selectors: "metadata.name=a,status.phase!=Running"; \\ \, \= stand for the characters themselves in values. */
struct field_term {
    struct str field, value;
    bool not_equal;
};

struct field_selector {
    struct field_term *terms; /* in the order they were written; all must hold */
    size_t count;
    struct arena memory;
};

#define AUTO_FIELD_SELECTOR CLEANUP(field_selector_done)
void field_selector_done(struct field_selector *s);
int field_selector_parse(struct field_selector *ret, struct str text, struct error *err);
/* The value of a field of one object, as text; which fields there are is the kind's affair, checked when the request is parsed. */
typedef struct str (*field_lookup)(void *arg, struct str field);
bool field_selector_matches(const struct field_selector *s, field_lookup lookup, void *arg);
/* field_lookup for plain dotted paths; arg is a const struct view * of the root. Numbers and bools as their JSON text, absent as "". */
struct str field_of_view(void *root, struct str field);
bool field_selector_requires(const struct field_selector *s, struct str field,
                             struct str *ret_value); /* field=value is among the terms */
void field_selector_write(struct buf *to, const struct field_selector *s);

/* A NodeSelector (nodeSelectorTerms) or one NodeSelectorTerm: of the terms one must hold, of a term everything. */
struct node_term {
    struct label_selector labels, fields;
    bool empty; /* a term without requirements matches no node */
};

struct node_selector {
    struct node_term *terms;
    size_t count;
};

#define AUTO_NODE_SELECTOR CLEANUP(node_selector_done)
void node_selector_done(struct node_selector *s);
int node_selector_of_view(struct node_selector *ret, struct view selector, struct error *err); /* a NodeSelector */
int node_selector_of_term(struct node_selector *ret, struct view term, struct error *err); /* one NodeSelectorTerm */
bool node_selector_matches(const struct node_selector *s, struct view node);               /* the root of a Node */

#endif
