/* The table of subcommands. */

#include "helper.h"

static const struct {
    const char *name;
    int (*command)(int count, char **arguments, char **environment);
} COMMANDS[] = {
    {"file", file_command},
    {"layers", layers_command},
    {"run", run_command},
};

int main(int count, char **arguments, char **environment) {
    CALL1(SYS_UMASK, 0);
    for (size_t i = 0; count > 1 && i < LENGTH(COMMANDS); i++)
        if (same(arguments[1], COMMANDS[i].name))
            return COMMANDS[i].command(count - 2, arguments + 2, environment);
    fail("no such command", count > 1 ? arguments[1] : "", 0);
}
