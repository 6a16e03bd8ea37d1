/* The subcommand "layers": what trees change over others, applied to the tree at /dest.
 *
 *     layers LOWER UPPER [LOWER UPPER]...
 *
 * They are folders, or - for the empty tree. What is the same, and what becomes of the rest, is to
 * the letter of BuildKit's merge (snapshot/diffapply_linux.go of v0.32, and containerd's fs.Changes):
 * trees are told apart by kind, mode, owner, device, size, time and capabilities, and by content
 * where the times are of whole seconds. */

#include "helper.h"

static const char *const DEST = "/dest";

/* A folder that both trees may have, and whether it was applied: it is, with those above it, as
 * soon as something in it changes. */
typedef struct level {
    const char *path;
    struct level *above;
    bool applied;
} level;

typedef struct moved_time {
    const char *path;
    struct moment time;
    struct moved_time *next;
} moved_time;

typedef struct {
    const char *lower, *upper; /* NULL: empty */
    links links;
    moved_time **times_end; /* of folders, set when all else is done */
} layer;

/* --- the same or not -------------------------------------------------------------------------- */

static bool same_content(const char *a, const char *b) {
    static char buffers[2][64 << 10];
    const char *paths[2] = {a, b};
    long files[2], sizes[2];
    for (int i = 0; i < 2; i++) {
        files[i] = CALL4(SYS_OPENAT, HERE, paths[i], READ_ONLY | CLOSE_ON_EXEC, 0);
        if (files[i] < 0) fail("cannot open", paths[i], files[i]);
    }
    bool equal;
    do {
        for (int i = 0; i < 2; i++) {
            sizes[i] = CALL3(SYS_READ, files[i], buffers[i], sizeof buffers[i]);
            if (sizes[i] < 0) fail("cannot read", paths[i], sizes[i]);
        }
        equal = sizes[0] == sizes[1] && !memcmp(buffers[0], buffers[1], (size_t)sizes[0]);
    } while (equal && sizes[0]);
    for (int i = 0; i < 2; i++) CALL1(SYS_CLOSE, files[i]);
    return equal;
}

static bool same_links(const char *a, const char *b) { return same(target_of(a), target_of(b)); }

static bool same_capabilities(const char *a, const char *b) {
    static const char NAME[] = "security.capability";
    char values[2][256];
    long sizes[2] = {CALL4(SYS_LGETXATTR, a, NAME, values[0], sizeof values[0]),
                     CALL4(SYS_LGETXATTR, b, NAME, values[1], sizeof values[1])};
    if (sizes[0] < 0 || sizes[1] < 0) return sizes[0] < 0 && sizes[1] < 0;
    return sizes[0] == sizes[1] && !memcmp(values[0], values[1], (size_t)sizes[0]);
}

static bool unchanged(const char *a, const struct status *x, const char *b, const struct status *y) {
    if (x->mode != y->mode || x->user != y->user || x->group != y->group) return false;
    if (x->special != y->special || !same_capabilities(a, b)) return false;
    if (kind(x) == FOLDER) return true;
    if (x->size != y->size || x->mtime != y->mtime) return false;
    if (x->mtime_ns || y->mtime_ns) return x->mtime_ns == y->mtime_ns;
    if (kind(x) == LINK) return same_links(a, b);
    return kind(x) != FILE || same_content(a, b);
}

/* --- changes ---------------------------------------------------------------------------------- */

static void note_time(layer *l, const char *path, const struct status *s) {
    moved_time *made = take(&kept, sizeof *made);
    made->path = copied(&kept, path, strlen(path));
    made->time = (struct moment){s->mtime, s->mtime_ns};
    *l->times_end = made;
    l->times_end = &made->next;
}

static void make_new(const char *source, const char *target, const struct status *s) {
    long error = 0;
    const char *what = "cannot make device";
    if (kind(s) == FILE) copy_file(source, target, s);
    else if (kind(s) == LINK) copy_link(source, target);
    else if (kind(s) == FOLDER) {
        what = "cannot make folder";
        error = CALL3(SYS_MKDIRAT, HERE, target, s->mode & 07777);
    } else
        error = CALL4(SYS_MKNODAT, HERE, target, s->mode, s->special);
    if (error) fail(what, target, error);
}

/* Has the tree at DEST have at path what the upper tree has there. */
static void put(layer *l, const char *path, const struct status *s) {
    char *source = join2(l->upper, path), *target = join2(DEST, path);
    struct status old;
    long error = status_of(target, &old);
    if (error && error != NO_SUCH_FILE) fail("cannot look at", target, error);
    bool there = !error;
    if (there && !(kind(&old) == FOLDER && kind(s) == FOLDER)) {
        remove_all(target);
        there = false;
    }
    bool linkable = kind(s) != FOLDER && kind(s) != FIFO && kind(s) != SOCKET;
    const char *link = linkable ? earlier(&l->links, s, target) : NULL;
    if (link) {
        error = CALL5(SYS_LINKAT, HERE, link, HERE, target, 0);
        if (error) fail("cannot make hard link", target, error);
        return;
    }
    if (!there) make_new(source, target, s);
    owner who = {true, s->user, s->group};
    chown_new(target, &who);
    if (kind(s) != LINK) change_mode(target, s->mode);
    copy_attributes(source, target);
    if (kind(s) == FOLDER) note_time(l, target, s);
    else copy_times(target, s);
}

static void put_folders(layer *l, level *folder) {
    if (folder->applied) return;
    put_folders(l, folder->above);
    struct status s;
    char *path = join2(l->upper, folder->path);
    long error = status_of(path, &s);
    if (error) fail("cannot look at", path, error);
    put(l, folder->path, &s);
    folder->applied = true;
}

static void compare(layer *l, level *folder, bool in_lower);

static void compare_one(layer *l, level *folder, const char *name, bool in_lower, bool in_upper) {
    char *path = join3(folder->path, "/", name);
    if (!in_upper) {
        put_folders(l, folder);
        remove_all(join2(DEST, path));
        return;
    }
    struct status old, new;
    char *below = in_lower ? join2(l->lower, path) : NULL, *above = join2(l->upper, path);
    long error = status_of(above, &new);
    if (error) fail("cannot look at", above, error);
    if (in_lower && (error = status_of(below, &old))) fail("cannot look at", below, error);
    bool changed = !in_lower || !unchanged(below, &old, above, &new);
    if (changed) {
        put_folders(l, folder);
        put(l, path, &new);
    }
    if (kind(&new) == FOLDER) {
        level inner = {path, folder, changed};
        compare(l, &inner, in_lower && kind(&old) == FOLDER);
    }
}

static void compare(layer *l, level *folder, bool in_lower) {
    mark start = here(&brief);
    listing lower = {0}, upper = {0};
    if (in_lower) lower = list(join2(l->lower, folder->path));
    if (l->upper) upper = list(join2(l->upper, folder->path));
    for (size_t i = 0, j = 0; i < lower.count || j < upper.count;) {
        int order = i == lower.count ? 1
                  : j == upper.count ? -1
                                     : compared(lower.names[i], upper.names[j]);
        mark each = here(&brief);
        compare_one(l, folder, order > 0 ? upper.names[j] : lower.names[i], order <= 0, order >= 0);
        back(&brief, each);
        i += order <= 0;
        j += order >= 0;
    }
    back(&brief, start);
}

/* --- the subcommand --------------------------------------------------------------------------- */

static void set_times(const moved_time *times) {
    for (const moved_time *t = times; t; t = t->next) {
        struct status s;
        if (status_of(t->path, &s) || kind(&s) != FOLDER) continue; /* gone by a later change */
        struct moment both[2] = {{0, LEAVE_TIME}, t->time};
        long error = CALL4(SYS_UTIMENSAT, HERE, t->path, both, NO_FOLLOW);
        if (error) fail("cannot change the times", t->path, error);
    }
}

static const char *tree(const char *argument) { return same(argument, "-") ? NULL : argument; }

int layers_command(int count, char **arguments, char **environment) {
    (void)environment;
    if (count % 2) fail("no upper tree", arguments[count - 1], 0);
    moved_time *times = NULL, **end = &times;
    for (int i = 0; i < count; i += 2) {
        layer *l = take(&kept, sizeof *l);
        l->lower = tree(arguments[i]);
        l->upper = tree(arguments[i + 1]);
        l->times_end = end;
        level root = {"", NULL, true};
        compare(l, &root, l->lower != NULL);
        end = l->times_end;
    }
    set_times(times);
    return 0;
}
