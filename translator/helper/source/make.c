/* Files and folders as they are made, and what they are given: for all that changes a tree. */

#include "helper.h"

/* --- attributes ------------------------------------------------------------------------------- */

void chown_new(const char *path, const owner *who) {
    if (!who->given) return;
    long error = CALL5(SYS_FCHOWNAT, HERE, path, who->user, who->group, NO_FOLLOW);
    if (error) fail("cannot change the owner", path, error);
}

void change_mode(const char *path, unsigned mode) {
    long error = CALL3(SYS_FCHMODAT, HERE, path, mode & 07777);
    if (error) fail("cannot change the mode", path, error);
}

void copy_times(const char *path, const struct status *s) {
    struct moment times[2] = {{s->atime, s->atime_ns}, {s->mtime, s->mtime_ns}};
    long error = CALL4(SYS_UTIMENSAT, HERE, path, times, NO_FOLLOW);
    if (error) fail("cannot change the times", path, error);
}

/* What this process may not set is left out, as BuildKit leaves out what it cannot set. */
void copy_attributes(const char *source, const char *target) {
    long size = CALL3(SYS_LLISTXATTR, source, NULL, 0);
    if (size <= 0) return;
    mark start = here(&brief);
    char *names = take(&brief, (size_t)size + 1);
    size = CALL3(SYS_LLISTXATTR, source, names, size);
    for (char *name = names; name < names + size; name += strlen(name) + 1) {
        long length = CALL4(SYS_LGETXATTR, source, name, NULL, 0);
        if (length < 0) continue;
        char *value = take(&brief, (size_t)length + 1);
        length = CALL4(SYS_LGETXATTR, source, name, value, length);
        if (length >= 0) CALL5(SYS_LSETXATTR, target, name, value, length, 0);
    }
    back(&brief, start);
}

/* --- files ------------------------------------------------------------------------------------ */

void write_all(int file, const void *data, size_t size, const char *path) {
    while (size) {
        long done = CALL3(SYS_WRITE, file, data, size);
        if (done == INTERRUPTED) continue;
        if (done < 0) fail("cannot write", path, done);
        data = (const char *)data + done;
        size -= (size_t)done;
    }
}

static void copy_data(int from, int to, int64_t size, const char *source, const char *target) {
    for (int64_t done = 0; done < size;) {
        int64_t rest = size - done;
        long n = CALL6(SYS_COPY_FILE_RANGE, from, 0, to, 0, rest > 1 << 30 ? 1 << 30 : rest, 0);
        if (n <= 0) break; /* not here, or not between these two: by hand */
        done += n;
    }
    static char buffer[128 << 10];
    for (;;) {
        long n = CALL3(SYS_READ, from, buffer, sizeof buffer);
        if (n == INTERRUPTED) continue;
        if (n < 0) fail("cannot read", source, n);
        if (!n) return;
        write_all(to, buffer, (size_t)n, target);
    }
}

void copy_file(const char *source, const char *target, const struct status *s) {
    long from = CALL4(SYS_OPENAT, HERE, source, READ_ONLY | CLOSE_ON_EXEC, 0);
    if (from < 0) fail("cannot open", source, from);
    long to = CALL4(SYS_OPENAT, HERE, target,
                    WRITE_ONLY | CREATE | EXCLUSIVE | CLOSE_ON_EXEC, 0666);
    if (to < 0) fail("cannot create", target, to);
    copy_data((int)from, (int)to, s->size, source, target);
    CALL1(SYS_CLOSE, from);
    CALL1(SYS_CLOSE, to);
}

const char *earlier(links *known, const struct status *s, const char *target) {
    if (s->links < 2) return NULL;
    linked **bucket = &known->buckets[s->inode % LENGTH(known->buckets)];
    for (linked *l = *bucket; l; l = l->next)
        if (l->inode == s->inode && l->device == s->device) return l->path;
    linked *made = take(&kept, sizeof *made);
    *made = (linked){s->device, s->inode, copied(&kept, target, strlen(target)), *bucket};
    *bucket = made;
    return NULL;
}

void copy_link(const char *source, const char *target) {
    char link[4097];
    long size = CALL4(SYS_READLINKAT, HERE, source, link, sizeof link - 1);
    if (size < 0) fail("cannot read link", source, size);
    link[size] = 0;
    long error = CALL3(SYS_SYMLINKAT, link, HERE, target);
    if (error) fail("cannot make link", target, error);
}

/* --- folders ---------------------------------------------------------------------------------- */

void make_folders(const char *path, unsigned mode, const owner *who) {
    struct status s;
    if (!status_there(path, &s)) {
        if (kind(&s) != FOLDER) fail("cannot make folder", path, NO_FOLDER);
        return;
    }
    if (!same(path, "/")) make_folders(parent(path), mode, who);
    long error = CALL3(SYS_MKDIRAT, HERE, path, mode & 0777);
    if (error) {
        if (!status_of(path, &s) && kind(&s) == FOLDER) return;
        fail("cannot make folder", path, error);
    }
    chown_new(path, who);
}
