/* Copying, to the letter of BuildKit's own (tonistiigi/fsutil, copy/copy.go of v0.32). */

#include "helper.h"

/* A folder that the copy is in, and whether it is made already: one with nothing in it that the
 * patterns want is left out. */
typedef struct level {
    const char *source, *target;
    struct level *above;
    bool made;
} level;

typedef struct {
    const copying *how;
    const char *path;        /* what is copied, from the root of its tree */
    links links;
} copier;

static void copy_all_attributes(
    const copying *how, const char *source, const char *target, const struct status *s) {
    owner who = how->owner.given ? how->owner : (owner){true, s->user, s->group};
    chown_new(target, &who);
    if (kind(s) != LINK) {
        unsigned mode = how->mode != KEEP_MODE ? how->mode : s->mode;
        if (how->mode_change) mode = changed_mode(how->mode_change, s->mode & 07777, kind(s) == FOLDER);
        change_mode(target, mode);
    }
    copy_times(target, s);
    copy_attributes(source, target);
}

/* --- what is copied --------------------------------------------------------------------------- */

static void make_special(const char *target, const struct status *s) {
    /* As BuildKit has it: for a socket stands an empty file, as it is meant to, and for a block
     * device a character device, for the bits of a socket are taken off its type, too. */
    unsigned mode = s->mode & ~(unsigned)SOCKET;
    uint64_t device = kind(s) == BLOCK || kind(s) == CHARACTER ? s->special : 0;
    long error = CALL4(SYS_MKNODAT, HERE, target, mode, device);
    if (error) fail("cannot make device", target, error);
}

static void copy_other(copier *c, const char *source, const char *target, const struct status *s) {
    struct status old;
    long error = status_of(target, &old);
    if (error && error != NO_SUCH_FILE) fail("cannot look at", target, error);
    if (!error && kind(&old) == FOLDER) fail("cannot replace a folder with a file", target, 0);
    if (!error && (error = CALL3(SYS_UNLINKAT, HERE, target, 0))) fail("cannot remove", target, error);
    if (kind(s) == LINK) copy_link(source, target);
    else if (kind(s) != FILE) make_special(target, s);
    else {
        const char *link = earlier(&c->links, s, target);
        if (!link) copy_file(source, target, s);
        else if ((error = CALL5(SYS_LINKAT, HERE, link, HERE, target, 0)))
            fail("cannot make hard link", target, error);
    }
}

/* --- folders ---------------------------------------------------------------------------------- */

/* Makes the folder and says whether it is new. */
static bool make_like(const char *target, const struct status *source, bool inner) {
    struct status s;
    long error = status_of(target, &s);
    if (error == NO_SUCH_FILE) {
        error = CALL3(SYS_MKDIRAT, HERE, target, source->mode & 07777);
        if (error) fail("cannot make folder", target, error);
        return true;
    }
    if (error) fail("cannot look at", target, error);
    if (kind(&s) != FOLDER) fail("cannot copy to non-directory", target, 0);
    if (inner) change_mode(target, source->mode);
    return false;
}

/* Folders that were held back until something in them is wanted. */
static void make_held_back(const copier *c, level *folder, bool inner) {
    if (!folder || folder->made) return;
    make_held_back(c, folder->above, inner);
    struct status s;
    long error = status_there(folder->source, &s);
    if (error) fail("cannot look at", folder->source, error);
    if (make_like(folder->target, &s, inner))
        copy_all_attributes(c->how, folder->source, folder->target, &s);
    folder->made = true;
}

/* BuildKit compares the beginnings of texts, not of paths (cache/contenthash/checksum.go). */
static void meet(const copier *c, const char *below) {
    for (wanted *w = c->how->required; w; w = w->next)
        if (!w->met && starts(joined(c->path, below), w->text)) w->met = true;
}

static void copy_one(copier *c, const char *source, const char *below, const char *target,
                     level *above, const bool *included, const bool *excluded) {
    const copying *how = c->how;
    bool inner = *below; /* what lies in the folder that is copied, and not that folder itself */
    bool *own_included = NULL, *own_excluded = NULL;
    bool include = true, exclude = false;
    if (inner) {
        if (how->include.count) {
            own_included = take(&brief, how->include.count);
            include = matches(&how->include, below, included, own_included);
        }
        if (how->exclude.count) {
            own_excluded = take(&brief, how->exclude.count);
            exclude = matches(&how->exclude, below, excluded, own_excluded);
        }
        if (exclude) include = false;
    }
    struct status s, old;
    long error = status_of(source, &s);
    if (error) fail("cannot look at", source, error);
    if (!include && kind(&s) != FOLDER) return;
    bool was_there = !status_of(target, &old);
    if (include) {
        make_held_back(c, above, inner);
        meet(c, below);
    }

    if (kind(&s) != FOLDER) {
        copy_other(c, source, target, &s);
        copy_all_attributes(how, source, target, &s);
        return;
    }
    bool new = include && make_like(target, &s, inner);
    if (!exclude || how->exclude.negations) {
        level own = {source, target, above, include};
        mark start = here(&brief);
        listing in = list(source);
        for (size_t i = 0; i < in.count; i++) {
            mark each = here(&brief);
            const char *name = in.names[i];
            copy_one(c, join3(source, "/", name), inner ? join3(below, "/", name) : name,
                     join3(target, "/", name), &own, own_included, own_excluded);
            back(&brief, each);
        }
        back(&brief, start);
    } else
        new = false;
    if (new || (include && inner))
        copy_all_attributes(how, source, target, &s);
    else if (!inner && was_there)
        copy_times(target, &s);
}

/* --- one source to one target ------------------------------------------------------------------ */

static void copy_source(const char *from, const char *to, const char *path, const copying *how) {
    const char *target = how->target;
    unsigned mode = how->mode != KEEP_MODE ? how->mode : 0755;
    bool is_folder = ends(target, "/") || ends(target, "/.");
    make_folders(within(to, is_folder ? target : parent(target)), mode, &how->owner);
    char *place = within(to, target);
    char *source = how->follow ? within(from, path) : within_parent(from, path);

    struct status s, old;
    long error = status_of(source, &s);
    if (error) fail("cannot look at", path, error);
    bool folder = kind(&s) == FOLDER;
    error = status_there(place, &old);
    if (error && error != NO_SUCH_FILE) fail("cannot look at", place, error);
    bool there = !error;
    if ((!how->contents && folder && there) || (!folder && there && kind(&old) == FOLDER))
        place = joined(place, base(path));
    make_folders(how->contents && folder && !there ? place : parent(place), mode, &how->owner);
    copier *c = take(&kept, sizeof *c);
    c->how = how;
    c->path = path;
    copy_one(c, source, "", place, NULL, NULL, NULL);
}

void copy(const char *from, const char *to, const copying *how) {
    char **sources = wildcards(from, how->source, how->follow);
    if (!*sources) fail("not found", how->source, 0);
    for (; *sources; sources++)
        if (!how->unpack || !unpack(within(from, *sources), to, how->target, &how->owner))
            copy_source(from, to, *sources, how);
    for (const wanted *w = how->required; w; w = w->next)
        if (!w->met) fail("not found", w->text, 0);
}
