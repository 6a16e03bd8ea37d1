/* What the program says, which is only why it ends. */

#include "helper.h"

/* In the words of Go, as BuildKit's own file operations have them. */
static const struct {
    int error;
    const char *text;
} REASONS[] = {
    {1, "operation not permitted"},
    {2, "no such file or directory"},
    {5, "input/output error"},
    {7, "argument list too long"},
    {8, "exec format error"},
    {12, "cannot allocate memory"},
    {13, "permission denied"},
    {17, "file exists"},
    {18, "invalid cross-device link"},
    {20, "not a directory"},
    {21, "is a directory"},
    {22, "invalid argument"},
    {27, "file too large"},
    {28, "no space left on device"},
    {30, "read-only file system"},
    {31, "too many links"},
    {36, "file name too long"},
    {39, "directory not empty"},
    {40, "too many levels of symbolic links"},
    {95, "operation not supported"},
    {122, "disk quota exceeded"},
};

static const char *reason(long error) {
    for (size_t i = 0; i < LENGTH(REASONS); i++)
        if (REASONS[i].error == -error) return REASONS[i].text;
    static char text[] = "error ....";
    char *digit = text + sizeof text - 1;
    *digit = 0;
    for (long rest = -error; rest && digit > text + 6; rest /= 10) *--digit = (char)('0' + rest % 10);
    while (digit > text + 6) *--digit = ' ';
    return text;
}

static void put(const char *text) {
    for (size_t size = strlen(text); size;) {
        long done = CALL3(SYS_WRITE, 2, text, size);
        if (done == INTERRUPTED) continue;
        if (done <= 0) return;
        text += done;
        size -= (size_t)done;
    }
}

void say(const char *const *parts, size_t count) {
    for (size_t i = 0; i < count; i++) put(parts[i]);
    put("\n");
}

const char *step = NULL;

_Noreturn void fail(const char *what, const char *path, long error) {
    const char *parts[] = {step ? "step " : "",  step ? step : "", step ? ": " : "", what,
                           *path ? ": " : "",    path,             error ? ": " : "",
                           error ? reason(error) : ""};
    say(parts, LENGTH(parts));
    for (;;) CALL1(SYS_EXIT_GROUP, 1);
}
