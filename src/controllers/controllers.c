/* The list of controllers. */
#include "controllers/controllers.h"

const struct controller *const controllers_list[] = {
#define CONTROLLER(id) &controller_##id,
#include "controllers/controllers.def"
#undef CONTROLLER
    NULL,
};
