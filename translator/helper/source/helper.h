/* A program without a C library, for containers in which nothing else is there.
 *
 * start.c calls main.c, which has the table of subcommands: one file for each. What fails ends the
 * program with a message (fail), so functions return only what they are asked for. */

#ifndef HELPER_H
#define HELPER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* --- text.c: text, and what compilers take for granted ---------------------------------------- */

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *text);

bool same(const char *a, const char *b);
int compared(const char *a, const char *b); /* below, at or above 0, as in a sorted list */
bool starts(const char *text, const char *prefix);
bool ends(const char *text, const char *suffix);
const char *find(const char *text, char byte);    /* NULL: it is not there */
size_t rune(const char *text, uint32_t *code);    /* bytes of the UTF-8 character at text */
const char *variable(char **environment, const char *name); /* NULL: not set */

/* --- report.c: the end of the program -------------------------------------------------------- */

/* Prints "WHAT: PATH: REASON" and ends the program. error is a negated errno, 0 for none. */
_Noreturn void fail(const char *what, const char *path, long error);
void say(const char *const *parts, size_t count); /* to standard error, with a line's end */
extern const char *step; /* of several, the one being done: fail begins with "step STEP: " */

/* --- memory.c: taken piece by piece, and given back down to a mark, all at once --------------- */

typedef struct block block;
typedef struct {
    block *last;
} arena;
typedef struct {
    block *last;
    size_t used;
} mark;
extern arena kept;  /* never given back */
extern arena brief; /* for the work at hand */

void *take(arena *from, size_t size); /* zeroed */
mark here(const arena *a);
void back(arena *a, mark to);
char *copied(arena *a, const char *text, size_t size);
char *join2(const char *a, const char *b); /* one text after the other, in brief */
char *join3(const char *a, const char *b, const char *c);

/* --- number.c --------------------------------------------------------------------------------- */

bool all_digits(const char *text);
uint64_t number(const char *text, unsigned base); /* fails on anything else */

/* --- paths.c: paths that never lead out of their root ----------------------------------------- */

char *clean(const char *path);                       /* without //, . and .., absolute */
char *joined(const char *folder, const char *path);  /* folder/path, clean */
char *parent(const char *path);
const char *base(const char *path);
/* Where path leads to below root, links resolved as if root was /. What is not there stays. */
char *within(const char *root, const char *path);
/* The same, but for the last part of path, which stays what it is. */
char *within_parent(const char *root, const char *path);
/* The paths below root that a path with wildcards means, relative to it; NULL ends the list. */
char **wildcards(const char *root, const char *path, bool follow);
void remove_all(const char *path);
char *target_of(const char *link);

typedef struct {
    size_t count;
    char **names; /* sorted */
} listing;
listing list(const char *path);

/* --- match.c: wildcards and pattern lists ----------------------------------------------------- */

bool has_wildcards(const char *text);
bool match(const char *pattern, const char *path);
void check_pattern(const char *pattern); /* fails if it is malformed */

typedef struct pattern {
    const char *text;
    struct pattern *next;
    bool negated;
} pattern;
typedef struct {
    pattern *first, **end;
    size_t count;
    bool negations;
} patterns;
void add_pattern(patterns *list, const char *text);
/* Whether path matches; above has the answers for its folder (NULL at the top), own gets those
 * for path. */
bool matches(const patterns *list, const char *path, const bool *above, bool *own);

/* --- mode.c, owner.c --------------------------------------------------------------------------- */

void check_mode(const char *text);
unsigned changed_mode(const char *text, unsigned mode, bool folder);

typedef struct {
    bool given;
    unsigned user, group;
} owner;
owner find_owner(const char *root, const char *text); /* USER:GROUP, either may be empty */

/* --- make.c: files and folders as they are made ------------------------------------------------ */

/* Files by their inode: where the first of several names went to. */
typedef struct linked {
    uint64_t device, inode;
    const char *path;
    struct linked *next;
} linked;
typedef struct {
    linked *buckets[1024];
} links;
/* Where an earlier name of the same file went to; NULL for the first one, and for lone files. */
const char *earlier(links *known, const struct status *s, const char *target);

void copy_file(const char *source, const char *target, const struct status *s);
void copy_link(const char *source, const char *target);
void copy_times(const char *path, const struct status *s);
void copy_attributes(const char *source, const char *target);
void change_mode(const char *path, unsigned mode);

/* Makes path with its parents, and gives all that are new this mode and owner. */
void make_folders(const char *path, unsigned mode, const owner *who);
void chown_new(const char *path, const owner *who);
void write_all(int file, const void *data, size_t size, const char *path);

/* --- unpack.c, inflate.c, bunzip.c, stream.c --------------------------------------------------- */

/* Unpacks an archive into a folder below root; false if the file is none. */
bool unpack(const char *archive, const char *root, const char *folder, const owner *who);

/* A stream of bytes: read fills all of data unless the stream ends. */
typedef struct stream {
    size_t (*read)(struct stream *s, void *data, size_t size);
    const char *path;
    bool broken; /* malformed: whoever asks decides what that means */
} stream;
stream *open_plain(int file, const char *path);
stream *open_gzip(stream *from);
stream *open_bzip2(stream *from);
size_t read_full(stream *s, void *data, size_t size);

/* --- copy.c ------------------------------------------------------------------------------------ */

/* A list of texts, and which of them were met. */
typedef struct wanted {
    const char *text;
    struct wanted *next;
    bool met;
} wanted;

#define KEEP_MODE 0xffffffffu
typedef struct {
    const char *source, *target;
    const char *mode_change; /* NULL: none */
    unsigned mode;           /* KEEP_MODE: as the source has it */
    owner owner;
    patterns include, exclude;
    wanted *required; /* paths of which, or from which on, something must be copied */
    bool follow, contents, unpack;
} copying;
void copy(const char *from, const char *to, const copying *how);

/* --- subcommands ------------------------------------------------------------------------------ */

int file_command(int count, char **arguments, char **environment);
int layers_command(int count, char **arguments, char **environment);
int run_command(int count, char **arguments, char **environment);

#endif
