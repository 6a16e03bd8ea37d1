/* The subcommand "run": starts a process with secrets as variables, and maps its exit codes.
 *
 *     run [--secret=NAME=FILE] [--optional-secret=NAME=FILE] [--codes=N,N...] -- PROGRAM ARGUMENT...
 *
 * Without --codes the process takes this one's place. With it, it is a child: its signals are
 * passed on, and this program ends with 0 if it ended with one of the codes. */

#include "helper.h"

enum { CANNOT_RUN = 126, NOT_FOUND = 127, BY_SIGNAL = 128 };
enum { SIGNAL_CHILD = 17, BLOCKED = 2, NO_WAIT = 1, MAY_EXECUTE = 1 };

typedef struct {
    char **variables;
    size_t count;
    const char *codes; /* NULL: none said */
    char **program;
} running;

/* --- secrets ---------------------------------------------------------------------------------- */

static const char *contents(const char *path, bool optional) {
    long file = CALL4(SYS_OPENAT, HERE, path, READ_ONLY | CLOSE_ON_EXEC, 0);
    if (file == NO_SUCH_FILE && optional) return ""; /* as BuildKit has it */
    if (file < 0) fail("cannot read a secret", path, file);
    struct status s;
    long error = CALL2(SYS_FSTAT, file, &s);
    if (error) fail("cannot read a secret", path, error);
    char *text = take(&kept, (size_t)s.size + 1);
    size_t size = read_full(open_plain((int)file, path), text, (size_t)s.size);
    if (strlen(text) < size) fail("a secret with a zero byte cannot be a variable", path, 0);
    CALL1(SYS_CLOSE, file);
    return text;
}

static void unset(running *r, const char *name) {
    size_t left = 0, size = strlen(name);
    for (size_t i = 0; i < r->count; i++)
        if (!starts(r->variables[i], name) || r->variables[i][size] != '=')
            r->variables[left++] = r->variables[i];
    r->count = left;
    r->variables[left] = NULL;
}

static void set_secret(running *r, const char *argument, bool optional) {
    const char *equals = find(argument, '=');
    if (!equals) fail("no file for a secret", argument, 0);
    char *name = copied(&kept, argument, (size_t)(equals - argument));
    unset(r, name);
    r->variables[r->count++] = join3(name, "=", contents(equals + 1, optional));
}

/* --- the program ------------------------------------------------------------------------------ */

static bool is_program(const char *path) {
    struct status s;
    return !status_there(path, &s) && kind(&s) != FOLDER &&
           !CALL3(SYS_FACCESSAT, HERE, path, MAY_EXECUTE);
}

/* Looks a name up in PATH; NULL: it is not there. */
static const char *located(const char *name, char **environment) {
    if (find(name, '/')) return name;
    const char *path = variable(environment, "PATH");
    for (const char *at = path ? path : ""; *at;) {
        const char *end = at;
        while (*end && *end != ':') end++;
        char *folder = copied(&brief, at, (size_t)(end - at));
        char *whole = *folder ? join3(folder, "/", name) : join2("./", name);
        if (is_program(whole)) return whole;
        at = *end ? end + 1 : end;
    }
    return NULL;
}

static _Noreturn void leave(int code) {
    for (;;) CALL1(SYS_EXIT_GROUP, code);
}

static _Noreturn void not_started(const char *name, long error) {
    const char *parts[] = {"cannot run ", name,
                           error == NO_SUCH_FILE  ? ": no such file or directory"
                           : error == NOT_ALLOWED ? ": permission denied"
                                                  : ": it cannot be executed"};
    say(parts, LENGTH(parts));
    leave(error == NO_SUCH_FILE ? NOT_FOUND : CANNOT_RUN);
}

/* --- the child -------------------------------------------------------------------------------- */

static bool is_listed(const char *codes, unsigned code) {
    while (*codes) {
        unsigned listed = 0;
        for (; *codes && *codes != ','; codes++) listed = listed * 10 + (unsigned)(*codes - '0');
        if (listed == code) return true;
        if (*codes) codes++;
    }
    return false;
}

static int mapped(const char *codes, unsigned status) {
    unsigned code = status & 0x7f ? BY_SIGNAL + (status & 0x7f) : status >> 8 & 0xff;
    if (is_listed(codes, code)) return 0;
    if (code) return (int)code;
    const char *parts[] = {"exit code 0 is not among the valid ones: ", codes};
    say(parts, LENGTH(parts));
    return 1;
}

static void reap(long child, const char *codes) {
    for (;;) {
        int status;
        long ended = CALL4(SYS_WAIT4, -1, &status, NO_WAIT, 0);
        if (ended == child) leave(mapped(codes, (unsigned)status));
        if (ended <= 0) return;
    }
}

static _Noreturn void attend(long child, const char *codes) {
    const uint64_t all = ~0ull;
    for (;;) {
        long signal = CALL4(SYS_SIGTIMEDWAIT, &all, NULL, NULL, sizeof all);
        if (signal == SIGNAL_CHILD) reap(child, codes);
        else if (signal > 0) CALL2(SYS_KILL, child, signal);
    }
}

static _Noreturn void run_child(const char *path, const running *r) {
    const uint64_t all = ~0ull;
    uint64_t before;
    int pipe[2];
    long error = CALL2(SYS_PIPE2, pipe, CLOSE_ON_EXEC);
    if (error) fail("cannot make a pipe", "", error);
    CALL4(SYS_SIGPROCMASK, BLOCKED, &all, &before, sizeof all);
    long child = CALL5(SYS_CLONE, SIGNAL_CHILD, 0, 0, 0, 0);
    if (child < 0) fail("cannot start a process", "", child);
    if (!child) {
        CALL4(SYS_SIGPROCMASK, BLOCKED, &before, NULL, sizeof before);
        error = CALL3(SYS_EXECVE, path, r->program, r->variables);
        CALL3(SYS_WRITE, pipe[1], &error, sizeof error);
        leave(CANNOT_RUN);
    }
    CALL1(SYS_CLOSE, pipe[1]);
    long size;
    do size = CALL3(SYS_READ, pipe[0], &error, sizeof error);
    while (size == INTERRUPTED);
    if (size > 0) not_started(*r->program, error);
    CALL1(SYS_CLOSE, pipe[0]);
    attend(child, r->codes);
}

/* --- options ---------------------------------------------------------------------------------- */

static void set_option(running *r, const char *argument) {
    static const char SECRET[] = "--secret=", OPTIONAL[] = "--optional-secret=", CODES[] = "--codes=";
    if (starts(argument, SECRET)) set_secret(r, argument + sizeof SECRET - 1, false);
    else if (starts(argument, OPTIONAL)) set_secret(r, argument + sizeof OPTIONAL - 1, true);
    else if (starts(argument, CODES)) r->codes = argument + sizeof CODES - 1;
    else fail("no such option", argument, 0);
}

int run_command(int count, char **arguments, char **environment) {
    running r = {0};
    while (environment[r.count]) r.count++;
    r.variables = take(&kept, (r.count + (size_t)count + 1) * sizeof(char *));
    memcpy(r.variables, environment, r.count * sizeof(char *));
    int at = 0;
    while (at < count && !same(arguments[at], "--")) set_option(&r, arguments[at++]);
    if (++at >= count) fail("nothing to run", "", 0);
    r.program = arguments + at;
    const char *path = located(*r.program, r.variables);
    if (!path) not_started(*r.program, NO_SUCH_FILE);
    if (r.codes) run_child(path, &r);
    not_started(*r.program, CALL3(SYS_EXECVE, path, r.program, r.variables));
}
