/* Two languages of wildcards.
 *
 * match: as Go's filepath.Match, for the paths of a copy. matches: as the pattern lists of
 * BuildKit (moby/patternmatcher), where the last pattern that fits decides, "!" turns one round,
 * "**" crosses folders, and a pattern also fits what is below what it fits. */

#include "helper.h"

/* Reads one character of a class, perhaps escaped; NULL if there is none. */
static const char *class_character(const char *at, uint32_t *code) {
    if (!*at || *at == '-' || *at == ']') return NULL;
    if (*at == '\\' && !*++at) return NULL;
    at += rune(at, code);
    return *at ? at : NULL;
}

/* Reads the class behind a "[" and says whether code is in it; NULL if it is malformed. */
static const char *class(const char *at, uint32_t code, bool *in) {
    bool negated = *at == '^';
    if (negated) at++;
    bool hit = false;
    for (bool first = true; first || *at != ']'; first = false) {
        uint32_t low, high;
        at = class_character(at, &low);
        if (!at) return NULL;
        high = low;
        if (*at == '-') {
            at = class_character(at + 1, &high);
            if (!at) return NULL;
        }
        if (low <= code && code <= high) hit = true;
    }
    *in = hit != negated;
    return at + 1;
}

static bool malformed(const char *pattern) {
    while (*pattern) {
        bool in;
        if (*pattern == '[') {
            pattern = class(pattern + 1, 0, &in);
            if (!pattern) return true;
        } else {
            if (*pattern == '\\' && !*++pattern) return true;
            pattern++;
        }
    }
    return false;
}

void check_pattern(const char *pattern) {
    if (malformed(pattern)) fail("syntax error in pattern", pattern, 0);
}

bool has_wildcards(const char *text) {
    for (; *text; text++) {
        if (*text == '\\') {
            if (!*++text) return false;
        } else if (*text == '*' || *text == '?' || *text == '[')
            return true;
    }
    return false;
}

/* One character of text against one of the pattern that is no star; NULL if they differ. */
static const char *one(const char *pattern, const char **text, bool slashes_in_classes) {
    uint32_t code, wanted;
    if (!**text) return NULL;
    size_t size = rune(*text, &code);
    if (*pattern == '[') {
        bool in;
        pattern = class(pattern + 1, code, &in);
        if (!pattern || !in || (code == '/' && !slashes_in_classes)) return NULL;
    } else if (*pattern == '?') {
        if (code == '/') return NULL;
        pattern++;
    } else {
        if (*pattern == '\\' && pattern[1]) pattern++;
        if (*pattern != **text) return NULL;
        size_t length = rune(pattern, &wanted);
        if (length != size || memcmp(pattern, *text, size)) return NULL;
        pattern += length;
    }
    *text += size;
    return pattern;
}

bool match(const char *pattern, const char *path) {
    if (malformed(pattern)) return false;
    const char *star = NULL, *retry = NULL;
    while (*pattern || *path) {
        const char *next = NULL;
        if (*pattern == '*') {
            star = ++pattern;
            retry = path;
            continue;
        }
        if (*pattern) next = one(pattern, &path, false);
        if (next) {
            pattern = next;
            continue;
        }
        if (!star || !*retry || *retry == '/') return false;
        path = ++retry;
        pattern = star;
    }
    return true;
}

/* --- pattern lists ---------------------------------------------------------------------------- */

/* What Go's "." matches: all but the end of a line. */
static bool one_line(const char *text) { return !find(text, '\n'); }

static bool fits(const char *pattern, const char *path) {
    while (*pattern) {
        if (*pattern != '*') {
            pattern = one(pattern, &path, true);
            if (!pattern) return false;
        } else if (pattern[1] == '*') {
            pattern += 2;
            if (*pattern == '/') pattern++;
            if (!*pattern) return one_line(path);
            for (;; path++) {
                if (fits(pattern, path)) return true;
                while (*path && *path != '/' && *path != '\n') path++;
                if (*path != '/') return false;
            }
        } else {
            while (pattern[1] == '*' && pattern[2] != '*') pattern++;
            for (pattern++;; path++) {
                if (fits(pattern, path)) return true;
                if (!*path || *path == '/') return false;
            }
        }
    }
    return !*path;
}

/* "folder/" and two stars at the end fit whatever begins so, also more lines than one. */
static bool is_prefix(const char *pattern) {
    return ends(pattern, "**") && find(pattern, '*') == pattern + strlen(pattern) - 2 &&
           !find(pattern, '?') && !find(pattern, '[') && !find(pattern, ']') &&
           !find(pattern, '\\');
}

/* Two stars and then plain text fit whatever ends so: there need not be a slash between them. */
static bool is_suffix(const char *pattern) {
    return starts(pattern, "**") && !has_wildcards(pattern + 2) && !find(pattern, ']') &&
           !find(pattern, '\\');
}

static bool pattern_fits(const char *pattern, const char *path) {
    if (is_suffix(pattern)) {
        const char *suffix = pattern + 2;
        return ends(path, suffix) || (*suffix == '/' && same(path, suffix + 1));
    }
    if (is_prefix(pattern)) {
        size_t size = strlen(pattern) - 2;
        return strlen(path) >= size && !memcmp(path, pattern, size);
    }
    return fits(pattern, path);
}

void add_pattern(patterns *list, const char *text) {
    pattern *made = take(&kept, sizeof *made);
    if (*text == '!') {
        if (!*++text) fail("illegal exclusion pattern", "!", 0);
        made->negated = list->negations = true;
    }
    check_pattern(text);
    made->text = text;
    if (!list->end) list->end = &list->first;
    *list->end = made;
    list->end = &made->next;
    list->count++;
}

bool matches(const patterns *list, const char *path, const bool *above, bool *own) {
    bool result = false;
    size_t at = 0;
    for (const pattern *p = list->first; p; p = p->next, at++) {
        bool hit = above && above[at];
        if (!hit) {
            if (p->negated != result) continue; /* it would change nothing */
            hit = pattern_fits(p->text, path);
        }
        own[at] = hit;
        if (hit) result = !p->negated;
    }
    return result;
}
