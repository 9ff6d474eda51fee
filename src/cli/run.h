/* Running other programs from the command line: wait for them, keep their words for the error message. Blocking. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "base/buf.h"
#include "base/error.h"

#include <sys/types.h>

/*
 * Run argv[0] from PATH in the network namespace `netns_fd` (-1: our own) with `input` on its stdin; output goes to
 * *output (may be NULL). Fails with the program's own last words when it does not exit with 0 within 30 s.
 */
int run_command(const char *const *argv, int netns_fd, struct str input, struct buf *output, struct error *err);

/* /proc facts about a process: start time in clock ticks (0 = not running). Tells a reused pid from the one meant. */
uint64_t process_start_time(pid_t pid);
/* Kill the process and wait until it is gone, at most limit_ms. A pid that was reused is left alone. */
int kill_and_wait(pid_t pid, uint64_t start_time, int64_t limit_ms, struct error *err);
/* First child of `parent` whose command line has `word` as an argument; 0 when there is none. */
pid_t process_child_with(pid_t parent, const char *word);
/* Any process of this machine whose command line has `word` as an argument; 0 when there is none. */
pid_t process_with(const char *word);

#endif
