#include "helper.h"
int run_command(int count, char **arguments, char **environment) {
    (void)count, (void)arguments, (void)environment;
    fail("not yet", "", 0);
}
