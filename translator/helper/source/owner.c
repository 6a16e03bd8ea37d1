/* Owners: numbers, or names looked up in the files of a tree. */

#include "helper.h"

enum { LARGEST = 10 << 20 }; /* BuildKit reads no more of such a file */

static char *contents(const char *root, const char *path) {
    char *real = within(root, path);
    struct status s;
    long error = status_of(real, &s);
    if (error == NO_SUCH_FILE || error == NO_FOLDER) return "";
    if (error) fail("cannot look at", path, error);
    if (kind(&s) != FILE) fail("not a regular file", path, 0);
    if (s.size > LARGEST) fail("too large", path, 0);
    long file = CALL4(SYS_OPENAT, HERE, real, READ_ONLY | CLOSE_ON_EXEC, 0);
    if (file < 0) fail("cannot open", path, file);
    char *text = take(&kept, (size_t)s.size + 1);
    read_full(open_plain((int)file, path), text, (size_t)s.size);
    CALL1(SYS_CLOSE, file);
    return text;
}

static bool field_is(const char *line, const char *wanted, size_t size) {
    while (*line == ' ' || *line == '\t') line++;
    return !memcmp(line, wanted, size) && line[size] == ':';
}

static bool value(const char *line, int field, unsigned *found) {
    for (; field; field--) {
        line = find(line, ':');
        if (!line++) return false;
    }
    if (*line < '0' || *line > '9') return false;
    uint64_t n = 0;
    for (; *line >= '0' && *line <= '9' && n <= UINT32_MAX; line++) n = n * 10 + (unsigned)(*line - '0');
    *found = (unsigned)n;
    return true;
}

/* The first line whose first field is name; NULL: there is none. */
static const char *line_of(char *text, const char *name) {
    size_t size = strlen(name);
    for (char *next; *text; text = next) {
        next = text;
        while (*next && *next != '\n') next++;
        if (*next) *next++ = 0;
        if (strlen(text) > size && field_is(text, name, size)) return text;
    }
    return NULL;
}

owner find_owner(const char *root, const char *text) {
    const char *colon = find(text, ':');
    char *user = copied(&kept, text, colon ? (size_t)(colon - text) : strlen(text));
    const char *group = colon ? colon + 1 : "";
    owner found = {.given = true};
    if (all_digits(user))
        found.user = found.group = (unsigned)number(user, 10);
    else if (*user) {
        /* Who is not in the list is root, as with BuildKit. */
        const char *line = line_of(contents(root, "/etc/passwd"), user);
        if (line && value(line, 2, &found.user)) value(line, 3, &found.group);
    }
    if (all_digits(group))
        found.group = (unsigned)number(group, 10);
    else if (*group) {
        const char *line = line_of(contents(root, "/etc/group"), group);
        if (line) value(line, 2, &found.group);
    }
    return found;
}
