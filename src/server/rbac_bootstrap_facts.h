/* What every cluster has, as JSON: {"/apis/.../clusterroles": [objects without kind], ...}. Embedded at build time from facts/. */
#ifndef SERVER_RBAC_BOOTSTRAP_FACTS_H
#define SERVER_RBAC_BOOTSTRAP_FACTS_H

extern const char bootstrap_facts_kubernetes[]; /* recorded from Kubernetes */
extern const char bootstrap_facts_klein[];      /* roles of klein's own parts, the gateway's class */

#endif
