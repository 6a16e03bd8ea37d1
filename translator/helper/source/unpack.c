/* Unpacking archives, as Docker's ADD does (moby/go-archive, archive.go).
 *
 * Entries are made with the target folder as the root of the file system, so that no name and no
 * link in an archive leads out of it. */

#include "helper.h"

enum { BLOCK_SIZE = 512, LARGEST_HEADER = 1 << 20 };

typedef struct attribute {
    const char *name, *value;
    size_t size;
    struct attribute *next;
} attribute;

typedef struct {
    const char *name, *link;
    char type;
    unsigned mode, user, group, major, minor;
    uint64_t size;
    struct moment modified, accessed;
    attribute *attributes;
} entry;

typedef struct folder {
    const char *path;
    struct moment times[2];
    struct folder *next;
} folder;

/* --- headers ---------------------------------------------------------------------------------- */

typedef struct {
    char name[100], mode[8], user[8], group[8], size[12], modified[12], checksum[8], type;
    char link[100], magic[6], version[2], user_name[32], group_name[32], major[8], minor[8];
    char prefix[155], pad[12];
} header;

static bool is_zero(const header *h) {
    const char *bytes = (const char *)h;
    for (size_t i = 0; i < BLOCK_SIZE; i++)
        if (bytes[i]) return false;
    return true;
}

/* Octal digits, or a number in base 256; negative ones become 0. */
static uint64_t numeric(const char *field, size_t size) {
    uint64_t value = 0;
    if (*field & 0x80) {
        if (*field & 0x40) return 0;
        for (size_t i = 0; i < size; i++)
            value = value << 8 | (i ? (uint8_t)field[i] : (uint8_t)field[i] & 0x7f);
        return value;
    }
    while (size && (*field == ' ' || !*field)) field++, size--;
    for (; size && *field >= '0' && *field <= '7'; field++, size--)
        value = value << 3 | (unsigned)(*field - '0');
    return value;
}

static bool is_sound(const header *h) {
    const uint8_t *bytes = (const uint8_t *)h;
    int64_t plain = 0, with_sign = 0;
    for (size_t i = 0; i < BLOCK_SIZE; i++) {
        bool in_checksum = i >= offsetof(header, checksum) && i < offsetof(header, type);
        plain += in_checksum ? ' ' : bytes[i];
        with_sign += in_checksum ? ' ' : (int8_t)bytes[i];
    }
    int64_t wanted = (int64_t)numeric(h->checksum, sizeof h->checksum);
    return wanted == plain || wanted == with_sign;
}

static const char *text(const char *field, size_t size) {
    size_t length = 0;
    while (length < size && field[length]) length++;
    return copied(&brief, field, length);
}

static bool skip(stream *s, uint64_t size) {
    char buffer[4096];
    while (size) {
        size_t part = size < sizeof buffer ? (size_t)size : sizeof buffer;
        if (read_full(s, buffer, part) < part) return false;
        size -= part;
    }
    return true;
}

static uint64_t padding(uint64_t size) { return (BLOCK_SIZE - size % BLOCK_SIZE) % BLOCK_SIZE; }

/* --- records that go before a header ----------------------------------------------------------- */

typedef struct {
    const char *name, *link, *size, *user, *group, *modified, *accessed;
    bool sparse;
    attribute *attributes, **end;
} records;

static void set_attribute(records *r, const char *name, const char *value, size_t size) {
    attribute *a = take(&brief, sizeof *a);
    *a = (attribute){name, value, size, NULL};
    *(r->end ? r->end : &r->attributes) = a;
    r->end = &a->next;
}

static void set_record(records *r, const char *key, const char *value, size_t size) {
    static const char ATTRIBUTE[] = "SCHILY.xattr.";
    const struct {
        const char *name;
        const char **field;
    } fields[] = {
        {"path", &r->name},   {"linkpath", &r->link},  {"size", &r->size},     {"uid", &r->user},
        {"gid", &r->group},   {"mtime", &r->modified}, {"atime", &r->accessed},
    };
    for (size_t i = 0; i < LENGTH(fields); i++)
        if (same(key, fields[i].name)) *fields[i].field = *value ? value : NULL;
    if (starts(key, "GNU.sparse.")) r->sparse = true;
    if (starts(key, ATTRIBUTE)) set_attribute(r, key + sizeof ATTRIBUTE - 1, value, size);
}

/* Lines "LENGTH KEY=VALUE\n", the length counting all of the line. */
static bool read_records(records *r, const char *data, size_t size) {
    for (size_t at = 0; at < size;) {
        size_t length = 0, digits = at;
        while (digits < size && data[digits] >= '0' && data[digits] <= '9' && length <= size)
            length = length * 10 + (unsigned)(data[digits++] - '0');
        size_t end = at + length;
        if (digits == at || digits >= size || data[digits] != ' ' || length > size || end > size ||
            end <= digits + 1 || data[end - 1] != '\n')
            return false;
        size_t equals = digits + 1;
        while (equals < end && data[equals] != '=') equals++;
        if (equals == end) return false;
        const char *value = copied(&brief, data + equals + 1, end - 1 - (equals + 1));
        set_record(r, copied(&brief, data + digits + 1, equals - digits - 1), value,
                   end - 1 - (equals + 1));
        at = end;
    }
    return true;
}

static struct moment time_of(const char *text) {
    struct moment m = {0, 0};
    if (*text == '-') return m;
    for (; *text >= '0' && *text <= '9' && m.seconds < INT32_MAX * 1000ll; text++)
        m.seconds = m.seconds * 10 + (*text - '0');
    int64_t weight = 100000000;
    if (*text == '.')
        for (text++; *text >= '0' && *text <= '9' && weight; text++, weight /= 10)
            m.nanoseconds += weight * (*text - '0');
    return m;
}

static void fill(entry *e, const header *h, const records *r) {
    bool posix = !memcmp(h->magic, "ustar", 6);
    e->name = text(h->name, sizeof h->name);
    if (posix && h->prefix[0]) e->name = join3(text(h->prefix, sizeof h->prefix), "/", e->name);
    if (r->name) e->name = r->name;
    e->link = r->link ? r->link : text(h->link, sizeof h->link);
    e->mode = (unsigned)numeric(h->mode, sizeof h->mode);
    e->user = r->user ? (unsigned)number(r->user, 10) : (unsigned)numeric(h->user, sizeof h->user);
    e->group =
        r->group ? (unsigned)number(r->group, 10) : (unsigned)numeric(h->group, sizeof h->group);
    e->size = r->size ? number(r->size, 10) : numeric(h->size, sizeof h->size);
    e->modified = r->modified ? time_of(r->modified)
                              : (struct moment){(int64_t)numeric(h->modified, sizeof h->modified), 0};
    e->accessed = r->accessed ? time_of(r->accessed) : (struct moment){0, 0};
    e->major = (unsigned)numeric(h->major, sizeof h->major);
    e->minor = (unsigned)numeric(h->minor, sizeof h->minor);
    e->attributes = r->attributes;
    e->type = h->type;
    if (!e->type) e->type = ends(e->name, "/") ? '5' : '0';
    if (e->type != '0') e->size = 0;
}

typedef enum { ENTRY, OVER, MALFORMED } found;

/* Reads up to the data of the next entry. */
static found next(stream *s, entry *e) {
    records r = {0};
    for (;;) {
        header h;
        size_t size = read_full(s, &h, BLOCK_SIZE);
        if (s->broken || (size && size < BLOCK_SIZE)) return MALFORMED;
        if (!size) return OVER;
        if (is_zero(&h)) {
            size = read_full(s, &h, BLOCK_SIZE);
            return !size || (size == BLOCK_SIZE && is_zero(&h)) ? OVER : MALFORMED;
        }
        if (!is_sound(&h)) return MALFORMED;
        if (h.type != 'x' && h.type != 'g' && h.type != 'L' && h.type != 'K') {
            fill(e, &h, &r);
            if (r.sparse || h.type == 'S') fail("sparse files are not unpacked", e->name, 0);
            return ENTRY;
        }
        uint64_t length = numeric(h.size, sizeof h.size);
        if (length > LARGEST_HEADER) return MALFORMED;
        char *data = take(&brief, (size_t)length + 1);
        if (read_full(s, data, (size_t)length) < length || !skip(s, padding(length)))
            return MALFORMED;
        if (h.type == 'L') r.name = data;
        if (h.type == 'K') r.link = data;
        if (h.type == 'x' && !read_records(&r, data, (size_t)length)) return MALFORMED;
    }
}

/* --- entries to files ------------------------------------------------------------------------- */

static void write_data(stream *s, int file, uint64_t size, const char *path) {
    static char buffer[64 << 10];
    for (uint64_t left = size; left;) {
        size_t part = left < sizeof buffer ? (size_t)left : sizeof buffer;
        if (read_full(s, buffer, part) < part) fail("unexpected end of the archive", path, 0);
        write_all(file, buffer, part, path);
        left -= part;
    }
    if (!skip(s, padding(size))) fail("unexpected end of the archive", path, 0);
}

static long make_file(stream *s, const entry *e, const char *path) {
    long file = CALL4(SYS_OPENAT, HERE, path, WRITE_ONLY | CREATE | EXCLUSIVE | CLOSE_ON_EXEC,
                      e->mode & 0777);
    if (file < 0) return file;
    write_data(s, (int)file, e->size, path);
    CALL1(SYS_CLOSE, file);
    return 0;
}

static long make_special(const entry *e, const char *path) {
    unsigned type = e->type == '3' ? CHARACTER : e->type == '4' ? BLOCK : FIFO;
    uint64_t device = (e->minor & 0xff) | (e->major & 0xfff) << 8 |
                      (uint64_t)(e->minor & ~0xffu) << 12 | (uint64_t)(e->major & ~0xfffu) << 32;
    return CALL4(SYS_MKNODAT, HERE, path, type | (e->mode & 07777), device);
}

static void make(stream *s, const entry *e, const char *path) {
    struct status old;
    long error = 0;
    switch (e->type) {
    case '0': error = make_file(s, e, path); break;
    case '1': error = CALL5(SYS_LINKAT, HERE, clean(e->link), HERE, path, 0); break;
    case '2': error = CALL3(SYS_SYMLINKAT, e->link, HERE, path); break;
    case '3':
    case '4':
    case '6': error = make_special(e, path); break;
    case '5':
        if (status_of(path, &old) || kind(&old) != FOLDER)
            error = CALL3(SYS_MKDIRAT, HERE, path, e->mode & 07777);
        break;
    default: fail("unhandled type of an archive's entry", path, 0);
    }
    if (error) fail("cannot unpack", path, error);
}

static void set_attributes(const entry *e, const char *path) {
    for (const attribute *a = e->attributes; a; a = a->next) {
        long error = CALL5(SYS_LSETXATTR, path, a->name, a->value, a->size, 0);
        if (error && error != NOT_SUPPORTED && error != -1) fail("cannot set an attribute", path, error);
    }
}

static void dress(const entry *e, const char *path, const owner *who, folder ***end) {
    owner own = who->given ? *who : (owner){true, e->user, e->group};
    chown_new(path, &own);
    set_attributes(e, path);
    struct status linked;
    /* Of a hard link, only that to a file has a mode and times of its own. */
    bool settable = e->type == '1' ? !status_of(clean(e->link), &linked) && kind(&linked) != LINK
                                   : e->type != '2';
    long error = settable ? CALL3(SYS_FCHMODAT, HERE, path, e->mode & 07777) : 0;
    if (error) fail("cannot change the mode", path, error);
    bool later = e->accessed.seconds > e->modified.seconds;
    struct moment times[2] = {later ? e->accessed : e->modified, e->modified};
    if (settable || e->type == '2') error = CALL4(SYS_UTIMENSAT, HERE, path, times, NO_FOLLOW);
    if (error) fail("cannot change the times", path, error);
    if (e->type != '5') return;
    folder *f = take(&kept, sizeof *f);
    *f = (folder){copied(&kept, path, strlen(path)), {times[0], times[1]}, NULL};
    **end = f;
    *end = &f->next;
}

static void extract(stream *s, const entry *e, const owner *who, folder ***end) {
    const char *path = clean(e->name);
    struct status old;
    const owner root = {true, 0, 0};
    if (status_of(parent(path), &old) == NO_SUCH_FILE) make_folders(parent(path), 0755, &root);
    if (!status_of(path, &old)) {
        if (same(path, "/") && (kind(&old) == FOLDER)) return;
        if (kind(&old) != FOLDER || e->type != '5') remove_all(path);
    }
    make(s, e, path);
    dress(e, path, who, end);
}

static void extract_all(stream *s, const char *archive, const owner *who) {
    folder *folders = NULL, **end = &folders;
    for (;;) {
        mark start = here(&brief);
        entry e;
        found what = next(s, &e);
        if (what == MALFORMED) fail("malformed archive", archive, 0);
        if (what == OVER) break;
        extract(s, &e, who, &end);
        back(&brief, start);
    }
    for (folder *f = folders; f; f = f->next)
        CALL4(SYS_UTIMENSAT, HERE, f->path, f->times, NO_FOLLOW);
}

/* --- the archive ------------------------------------------------------------------------------ */

static stream *opened(int file, const char *path) {
    uint8_t head[6] = {0};
    stream *plain = open_plain(file, path);
    read_full(plain, head, sizeof head);
    CALL3(SYS_LSEEK, file, 0, 0);
    plain = open_plain(file, path);
    if (!memcmp(head, "\x1f\x8b\x08", 3)) return open_gzip(plain);
    if (!memcmp(head, "BZh", 3)) return open_bzip2(plain);
    if (!memcmp(head, "\xfd" "7zXZ\0", 6) || !memcmp(head, "\x28\xb5\x2f\xfd", 4))
        fail("archives in xz and zstd cannot be unpacked on this daemon", path, 0);
    return plain;
}

bool unpack(const char *archive, const char *root, const char *target, const owner *who) {
    struct status s;
    if (status_of(archive, &s) || kind(&s) != FILE) return false;
    long file = CALL4(SYS_OPENAT, HERE, archive, READ_ONLY | CLOSE_ON_EXEC, 0);
    if (file < 0) return false;
    entry first;
    bool is_one = next(opened((int)file, archive), &first) == ENTRY;
    if (is_one) {
        char *folder = within(root, target);
        make_folders(folder, 0755, who);
        CALL3(SYS_LSEEK, file, 0, 0);
        stream *again = opened((int)file, archive);
        long top = CALL4(SYS_OPENAT, HERE, "/", FOLDER_ONLY | CLOSE_ON_EXEC, 0);
        long error = top < 0 ? top : CALL1(SYS_CHROOT, folder);
        if (error || (error = CALL1(SYS_CHDIR, "/"))) fail("cannot enter", folder, error);
        extract_all(again, archive, who);
        if ((error = CALL1(SYS_FCHDIR, top)) || (error = CALL1(SYS_CHROOT, ".")))
            fail("cannot leave", folder, error);
        CALL1(SYS_CLOSE, top);
    }
    CALL1(SYS_CLOSE, file);
    return is_one;
}
