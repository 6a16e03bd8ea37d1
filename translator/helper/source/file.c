/* The subcommand "file": changes to the tree at /dest, in the order of the arguments.
 *
 *     file CHANGE... | file { step NAME CHANGE... }...
 *     CHANGE: copy [OPTION...] SOURCE TARGET | mkdir [OPTION...] PATH | write [OPTION...] PATH
 *           | remove [OPTION...] PATH | symlink [OPTION...] PATH
 *
 * translator/llb/helped.py writes them. What is copied comes from the tree at /src, if --from does
 * not say another. All changes of a step are read and checked before one of them is done: owners
 * are looked up in what the steps before have made. */

#include "helper.h"

static const char *const TO = "/dest";

typedef struct change {
    void (*act)(const struct change *c, char **environment);
    struct change *next;
    copying copy; /* also the owner and mode of other changes */
    bool parents, append, missing_ok, wildcard;
    const char *from; /* what a copy is out of */
    const char *to;   /* of a link */
    wanted *pieces;   /* of a file: names of variables with base64 text */
    wanted **pieces_end, **required_end;
} change;

static wanted **listed(wanted **end, const char *text) {
    wanted *made = take(&kept, sizeof *made);
    made->text = text;
    *end = made;
    return &made->next;
}

/* --- the changes ------------------------------------------------------------------------------ */

static void do_copy(const change *c, char **environment) {
    (void)environment;
    copy(c->from, TO, &c->copy);
}

static void do_mkdir(const change *c, char **environment) {
    (void)environment;
    char *path = within(TO, c->copy.target);
    if (c->parents) {
        make_folders(path, c->copy.mode, &c->copy.owner);
        return;
    }
    long error = CALL3(SYS_MKDIRAT, HERE, path, c->copy.mode & 0777);
    if (error == EXISTS) return;
    if (error) fail("cannot make folder", c->copy.target, error);
    chown_new(path, &c->copy.owner);
}

static unsigned sixbits(char c) {
    if (c >= 'A' && c <= 'Z') return (unsigned)(c - 'A');
    if (c >= 'a' && c <= 'z') return (unsigned)(c - 'a' + 26);
    if (c >= '0' && c <= '9') return (unsigned)(c - '0' + 52);
    return c == '+' ? 62 : 63;
}

static void write_base64(int file, const char *text, const char *path) {
    size_t size = 0;
    char *data = take(&brief, strlen(text) / 4 * 3 + 3);
    for (; text[0] && text[1]; text += 4) {
        unsigned bits = sixbits(text[0]) << 18 | sixbits(text[1]) << 12;
        data[size++] = (char)(bits >> 16);
        if (!text[2] || text[2] == '=') break;
        bits |= sixbits(text[2]) << 6;
        data[size++] = (char)(bits >> 8);
        if (!text[3] || text[3] == '=') break;
        bits |= sixbits(text[3]);
        data[size++] = (char)bits;
    }
    write_all(file, data, size, path);
}

static void do_write(const change *c, char **environment) {
    char *path = within(TO, c->copy.target);
    int how = c->append ? WRITE_ONLY | APPEND : WRITE_ONLY | CREATE | TRUNCATE;
    long file = CALL4(SYS_OPENAT, HERE, path, how | CLOSE_ON_EXEC, c->copy.mode & 0777);
    if (file < 0) fail("cannot write", c->copy.target, file);
    for (const wanted *p = c->pieces; p; p = p->next) {
        const char *text = variable(environment, p->text);
        if (!text) fail("no such data", p->text, 0);
        write_base64((int)file, text, c->copy.target);
    }
    CALL1(SYS_CLOSE, file);
    chown_new(path, &c->copy.owner);
}

static void remove_one(const char *path, bool missing_ok) {
    if (same(clean(path), "/")) fail("cannot remove the root", path, 0);
    char *real = within_parent(TO, path);
    struct status s;
    long error = status_of(real, &s);
    if (error == NO_SUCH_FILE && !missing_ok) fail("cannot remove", path, error);
    remove_all(real);
}

static void do_remove(const change *c, char **environment) {
    (void)environment;
    if (!c->wildcard) {
        remove_one(c->copy.target, c->missing_ok);
        return;
    }
    for (char **path = wildcards(TO, c->copy.target, false); *path; path++)
        remove_one(*path, c->missing_ok);
}

static void do_symlink(const change *c, char **environment) {
    (void)environment;
    char *path = within(TO, c->copy.target);
    long error = CALL3(SYS_SYMLINKAT, c->to, HERE, path);
    if (error) fail("cannot make link", c->copy.target, error);
    chown_new(path, &c->copy.owner);
}

static const struct {
    const char *name;
    void (*act)(const change *c, char **environment);
} CHANGES[] = {
    {"copy", do_copy},     {"mkdir", do_mkdir},     {"write", do_write},
    {"remove", do_remove}, {"symlink", do_symlink},
};

/* --- options ---------------------------------------------------------------------------------- */

static void set_mode(change *c, const char *value) { c->copy.mode = (unsigned)number(value, 8); }

static void set_mode_change(change *c, const char *value) {
    check_mode(value);
    c->copy.mode_change = value;
}

static void set_owner(change *c, const char *value) { c->copy.owner = find_owner(TO, value); }
static void set_include(change *c, const char *value) { add_pattern(&c->copy.include, value); }
static void set_exclude(change *c, const char *value) { add_pattern(&c->copy.exclude, value); }

static void set_required(change *c, const char *value) {
    c->required_end = listed(c->required_end ? c->required_end : &c->copy.required, value);
}

static void set_piece(change *c, const char *value) {
    c->pieces_end = listed(c->pieces_end ? c->pieces_end : &c->pieces, value);
}

static void set_from(change *c, const char *value) { c->from = value; }
static void set_to(change *c, const char *value) { c->to = value; }

static void set_flag(change *c, const char *value) {
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"follow", &c->copy.follow}, {"contents", &c->copy.contents}, {"unpack", &c->copy.unpack},
        {"parents", &c->parents},    {"append", &c->append},          {"missing-ok", &c->missing_ok},
        {"wildcard", &c->wildcard},
    };
    for (size_t i = 0; i < LENGTH(flags); i++)
        if (same(value, flags[i].name)) {
            *flags[i].flag = true;
            return;
        }
    fail("no such option", value, 0);
}

static const struct {
    const char *name;
    void (*set)(change *c, const char *value);
} OPTIONS[] = {
    {"--mode=", set_mode},       {"--change-mode=", set_mode_change}, {"--owner=", set_owner},
    {"--include=", set_include}, {"--exclude=", set_exclude},         {"--required=", set_required},
    {"--data=", set_piece},      {"--to=", set_to},                   {"--from=", set_from},
    {"--", set_flag},
};

static bool set_option(change *c, const char *argument) {
    for (size_t i = 0; i < LENGTH(OPTIONS); i++)
        if (starts(argument, OPTIONS[i].name)) {
            OPTIONS[i].set(c, argument + strlen(OPTIONS[i].name));
            return true;
        }
    return false;
}

/* Reads one change; *at goes on to the next. */
static void read_change(change *c, char ***at, char **end) {
    const char *name = *(*at)++;
    size_t row = 0;
    while (row < LENGTH(CHANGES) && !same(name, CHANGES[row].name)) row++;
    if (row == LENGTH(CHANGES)) fail("no such change", name, 0);
    c->act = CHANGES[row].act;
    c->copy.mode = KEEP_MODE;
    c->from = "/src";
    while (*at < end && set_option(c, **at)) ++*at;
    if (c->act == do_copy && *at < end) c->copy.source = *(*at)++;
    if (*at == end) fail("no path", name, 0);
    c->copy.target = *(*at)++;
}

/* Does the changes up to the next step, and gives where that begins. */
static char **do_step(char **at, char **end, char **environment) {
    change *first = NULL, **last = &first;
    for (; at < end && !same(*at, "step"); last = &(*last)->next) {
        *last = take(&kept, sizeof **last);
        read_change(*last, &at, end);
    }
    for (const change *c = first; c; c = c->next) {
        mark start = here(&brief);
        c->act(c, environment);
        back(&brief, start);
    }
    return at;
}

int file_command(int count, char **arguments, char **environment) {
    char **at = arguments, **end = arguments + count;
    while (at < end) {
        if (same(*at, "step")) {
            if (++at == end) fail("no name", "step", 0);
            step = *at++;
        }
        at = do_step(at, end, environment);
    }
    return 0;
}
