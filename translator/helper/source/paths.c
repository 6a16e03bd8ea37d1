/* Paths: cleaned, resolved below a root, listed, matched and removed.
 *
 * The trees are changed by nobody else while this program runs, so a path that was resolved stays
 * true: no part of it is a link any more. */

#include "helper.h"

enum { MOST_LINKS = 255, LONGEST = 4096 }; /* as containerd's RootPath, and the kernel */

long status_of(const char *path, struct status *s) {
    return CALL4(SYS_FSTATAT, HERE, path, s, NO_FOLLOW);
}

long status_there(const char *path, struct status *s) {
    return CALL4(SYS_FSTATAT, HERE, path, s, 0);
}

char *clean(const char *path) {
    char *out = take(&brief, strlen(path) + 2), *end = out;
    for (const char *at = path; *at;) {
        while (*at == '/') at++;
        size_t size = 0;
        while (at[size] && at[size] != '/') size++;
        bool up = size == 2 && at[0] == '.' && at[1] == '.';
        if (up)
            while (end > out && *--end != '/') {}
        else if (size && !(size == 1 && *at == '.')) {
            *end++ = '/';
            memcpy(end, at, size);
            end += size;
        }
        at += size;
    }
    if (end == out) *end++ = '/';
    *end = 0;
    return out;
}

char *joined(const char *folder, const char *path) { return clean(join3(folder, "/", path)); }

const char *base(const char *path) {
    const char *name = path;
    for (; *path; path++)
        if (*path == '/' && path[1]) name = path + 1;
    return name;
}

char *parent(const char *path) {
    size_t size = (size_t)(base(path) - path);
    return clean(copied(&brief, path, size));
}

char *target_of(const char *link) {
    char *target = take(&brief, LONGEST);
    long size = CALL4(SYS_READLINKAT, HERE, link, target, LONGEST - 1);
    if (size < 0) fail("cannot read link", link, size);
    return target;
}

char *within(const char *root, const char *path) {
    const char *rest = clean(path);
    char *done = copied(&brief, "", 0);
    for (int links = 0; *rest;) {
        while (*rest == '/') rest++;
        size_t size = 0;
        while (rest[size] && rest[size] != '/') size++;
        if (!size) break;
        char *name = copied(&brief, rest, size);
        rest += size;
        if (same(name, ".")) continue;
        if (same(name, "..")) {
            done = same(parent(join2("/", done)), "/") ? copied(&brief, "", 0) : parent(done);
            continue;
        }
        char *next = join3(done, "/", name);
        char *real = join2(root, next);
        struct status s;
        long error = status_of(real, &s);
        if (error && error != NO_SUCH_FILE) fail("cannot look at", real, error);
        if (error || kind(&s) != LINK) {
            done = next;
            continue;
        }
        if (++links > MOST_LINKS) fail("cannot follow", path, TOO_MANY_LINKS);
        char *target = target_of(real);
        if (*target == '/') done = copied(&brief, "", 0);
        rest = join3(target, "/", rest);
    }
    return *done ? join2(root, done) : copied(&brief, root, strlen(root));
}

char *within_parent(const char *root, const char *path) {
    path = clean(path);
    if (same(path, "/")) return within(root, path);
    return join3(within(root, parent(path)), "/", base(path));
}

/* --- folders ---------------------------------------------------------------------------------- */

struct entry {
    uint64_t inode;
    int64_t next;
    uint16_t size;
    uint8_t type;
    char name[];
};

/* Heap sort: no worst case, no recursion. */
static void sink(char **names, size_t at, size_t count) {
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && compared(names[child], names[child + 1]) < 0) child++;
        if (compared(names[at], names[child]) >= 0) return;
        char *name = names[at];
        names[at] = names[child];
        names[child] = name;
    }
}

static void sort(char **names, size_t count) {
    for (size_t at = count / 2; at--;) sink(names, at, count);
    while (count-- > 1) {
        char *name = names[0];
        names[0] = names[count];
        names[count] = name;
        sink(names, 0, count);
    }
}

listing list(const char *path) {
    long folder = CALL4(SYS_OPENAT, HERE, path, FOLDER_ONLY | CLOSE_ON_EXEC, 0);
    if (folder < 0) fail("cannot open", path, folder);
    listing found = {0, take(&brief, 16 * sizeof(char *))};
    size_t room = 16;
    _Alignas(8) char buffer[8192];
    long size;
    while ((size = CALL3(SYS_GETDENTS, folder, buffer, sizeof buffer)) > 0)
        for (long at = 0; at < size;) {
            struct entry *e = (struct entry *)(buffer + at);
            at += e->size;
            if (same(e->name, ".") || same(e->name, "..")) continue;
            if (found.count == room) {
                char **more = take(&brief, 2 * room * sizeof(char *));
                memcpy(more, found.names, room * sizeof(char *));
                found.names = more;
                room *= 2;
            }
            found.names[found.count++] = copied(&brief, e->name, strlen(e->name));
        }
    CALL1(SYS_CLOSE, folder);
    if (size < 0) fail("cannot list", path, size);
    sort(found.names, found.count);
    return found;
}

void remove_all(const char *path) {
    long error = CALL3(SYS_UNLINKAT, HERE, path, 0);
    if (!error || error == NO_SUCH_FILE || error == NO_FOLDER) return;
    struct status s;
    if (status_of(path, &s) || kind(&s) != FOLDER) fail("cannot remove", path, error);
    mark start = here(&brief);
    listing in = list(path);
    for (size_t i = 0; i < in.count; i++) remove_all(join3(path, "/", in.names[i]));
    error = CALL3(SYS_UNLINKAT, HERE, path, REMOVE_FOLDER);
    if (error && error != NO_SUCH_FILE) fail("cannot remove", path, error);
    back(&brief, start);
}

/* --- wildcards -------------------------------------------------------------------------------- */

typedef struct found {
    char *path;
    struct found *next;
} found;

static void search(const char *folder, const char *below, const char *wanted, found ***end) {
    mark start = here(&brief);
    listing in = list(folder);
    for (size_t i = 0; i < in.count; i++) {
        char *path = join3(folder, "/", in.names[i]);
        char *relative = *below ? join3(below, "/", in.names[i]) : in.names[i];
        struct status s;
        long error = status_of(path, &s);
        if (error) fail("cannot look at", path, error);
        if (match(wanted, relative)) {
            found *f = take(&kept, sizeof *f);
            f->path = copied(&kept, path, strlen(path));
            **end = f;
            *end = &f->next;
        } else if (kind(&s) == FOLDER)
            search(path, relative, wanted, end);
    }
    back(&brief, start);
}

/* How much of a clean path stands before the first part with a wildcard. */
static size_t literal(const char *path) {
    size_t at = 0;
    while (path[at]) {
        size_t end = at + 1;
        while (path[end] && path[end] != '/') end++;
        if (has_wildcards(copied(&brief, path + at, end - at))) return at;
        at = end;
    }
    return at;
}

char **wildcards(const char *root, const char *path, bool follow) {
    path = clean(path);
    size_t plain = literal(path);
    found *first = NULL, **end = &first;
    size_t count = 0;
    if (path[plain]) {
        char *start = copied(&brief, path, plain);
        start = follow || !*start ? within(root, start) : within_parent(root, start);
        struct status s;
        long error = status_of(start, &s);
        if (error) fail("cannot look at", start, error);
        if (kind(&s) == FOLDER) search(start, "", path + plain + 1, &end);
        for (found *f = first; f; f = f->next) count++;
    }
    char **paths = take(&kept, (count + 2) * sizeof(char *));
    if (!path[plain]) paths[0] = copied(&kept, path, strlen(path));
    size_t at = 0;
    for (found *f = first; f; f = f->next) paths[at++] = f->path + strlen(root);
    return paths;
}
