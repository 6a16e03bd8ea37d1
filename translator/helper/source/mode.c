/* Symbolic modes, as BuildKit reads them for a copy (tonistiigi/dchapes-mode), with umask 0. */

#include "helper.h"

enum { READ = 0444, WRITE = 0222, EXECUTE = 0111, SET_IDS = 06000, STICKY = 01000, OTHERS = 07 };
enum { ALL = SET_IDS | 0777 }; /* who is not said to be changed in; the sticky bit never is */

static unsigned who_bits(char letter) {
    switch (letter) {
    case 'a': return ALL;
    case 'u': return 04700;
    case 'g': return 02070;
    case 'o': return OTHERS;
    default: return 0;
    }
}

/* The bits of one class of users, for all classes. */
static unsigned spread(unsigned mode, char from) {
    unsigned bits = mode >> (from == 'u' ? 6 : from == 'g' ? 3 : 0) & 7;
    return bits * 0111;
}

static unsigned applied(unsigned mode, char operation, unsigned bits) {
    return operation == '-' ? mode & ~bits : mode | bits;
}

unsigned changed_mode(const char *text, unsigned mode, bool folder) {
    const char *at = text;
    bool executable = mode & EXECUTE || folder;
    for (;; at++) {
        unsigned who = 0;
        for (unsigned bits; (bits = who_bits(*at)); at++) who |= bits;
        if (*at != '+' && *at != '-' && *at != '=') fail("invalid mode", text, 0);
        while (*at == '+' || *at == '-' || *at == '=') {
            char operation = *at++;
            unsigned bits = 0, copied = 0, own = who & ~(unsigned)STICKY;
            bool if_executable = false, copies = false;
            for (;; at++) {
                if (*at == 'r') bits |= READ;
                else if (*at == 'w') bits |= WRITE;
                else if (*at == 'x' || (*at == 'X' && operation == '-')) bits |= EXECUTE;
                else if (*at == 'X') if_executable = true;
                else if (*at == 's' || *at == 't') {
                    if (own && !(own & ~(unsigned)OTHERS)) continue; /* others have none */
                    if (*at == 't') own |= STICKY;
                    bits |= *at == 't' ? STICKY : SET_IDS;
                } else if (*at == 'u' || *at == 'g' || *at == 'o') {
                    copies = true;
                    copied |= spread(mode, *at);
                } else
                    break;
            }
            unsigned within_who = own ? own : ALL;
            if (operation == '=') {
                /* A copy of other bits leaves those that set ids. */
                mode &= ~(copies ? within_who & 0777 : within_who);
                mode |= bits & (own ? own : ~0u);
            } else
                mode = applied(mode, operation, bits & (own ? own : ~0u));
            if (if_executable && executable) mode |= EXECUTE & within_who;
            if (copies) mode = applied(mode, operation, copied & within_who & 0777);
        }
        if (!*at) return mode;
        if (*at != ',') fail("invalid mode", text, 0);
    }
}

void check_mode(const char *text) { changed_mode(text, 0, false); }
