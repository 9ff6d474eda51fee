/* The program's entry: composes the roles; the only file that knows all of them. */
#include "base/macro.h"

int main(void)
{
    return 2;
}
