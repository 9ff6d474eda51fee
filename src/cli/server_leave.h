/* `klein server leave`: the server of this machine leaves its cluster for good. Blocking. */
#ifndef CLI_SERVER_LEAVE_H
#define CLI_SERVER_LEAVE_H

#include "base/error.h"

/* `data` is its data folder, `listen` the address of its API as it was started. It ends by itself when it is out. */
int server_leave(const char *data, const char *listen, bool force, struct error *err);

#endif
