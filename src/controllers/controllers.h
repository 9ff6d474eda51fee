/* All controllers, in the order of controllers.def. */
#ifndef CONTROLLERS_CONTROLLERS_H
#define CONTROLLERS_CONTROLLERS_H

#include "client/controller.h"

#define CONTROLLER(id) extern const struct controller controller_##id;
#include "controllers/controllers.def"
#undef CONTROLLER

extern const struct controller *const controllers_list[]; /* ends with NULL; for controllers_start() */

#endif
