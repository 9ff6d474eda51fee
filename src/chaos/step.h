/* One step of a fault, done and undone. Steps on a machine that is gone are undone: its namespace took them along. */
#ifndef CHAOS_STEP_H
#define CHAOS_STEP_H

#include "chaos/fault.h"

/* A helper process starts with the step but waits: *ret_go_fd is written one byte when it is on record, else it ends. -1: none. */
int step_do(struct step *s, const char *table, int *ret_go_fd, struct error *err);
int step_undo(const struct step *s, const char *table, bool *ret_needs_up, struct error *err);

/* --- net.c: links, packets, rates in the namespace of s->pid; `table` is the firewall table's name --- */
int net_link_set(const struct step *s, bool up, struct error *err);
int net_drop(const struct step *s, const char *table, struct error *err);
int net_undrop(const struct step *s, const char *table, struct error *err);
int net_slow(const struct step *s, struct error *err);
int net_unslow(const struct step *s, struct error *err);
/* Two links in place of one: the port of the bridge is `name`, the relay listens at its other end, `other`. */
int net_detour(const struct step *s, char name[16], char other[16], struct error *err);
int net_undetour(const struct step *s, struct error *err);
/* Enter the network namespace of a process; returns a descriptor of the one before for net_leave(). */
int net_enter(pid_t pid, struct error *err);
void net_leave(int before_fd);
/* In the namespace: a socket for whole frames of one link. */
int net_frame_socket(const char *link, struct error *err);

/* --- helper.c: what runs in a process of its own --- */
NORETURN void helper_eat(const struct step *s);
NORETURN void helper_relay(const struct step *s, int a_fd, int b_fd);

#endif
