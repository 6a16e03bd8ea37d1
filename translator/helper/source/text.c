/* Text, and what compilers take for granted. */

#include "helper.h"

/* --- what compilers take for granted ---------------------------------------------------------- */

void *memcpy(void *to, const void *from, size_t size) {
    char *t = to;
    const char *f = from;
    while (size--) *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    char *t = to;
    const char *f = from;
    if (t < f)
        while (size--) *t++ = *f++;
    else
        while (size--) t[size] = f[size];
    return to;
}

void *memset(void *to, int byte, size_t size) {
    char *t = to;
    while (size--) *t++ = (char)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t size) {
    const unsigned char *x = a, *y = b;
    for (; size; size--, x++, y++)
        if (*x != *y) return *x - *y;
    return 0;
}

size_t strlen(const char *text) {
    const char *end = text;
    while (*end) end++;
    return (size_t)(end - text);
}

/* --- comparing -------------------------------------------------------------------------------- */

bool same(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

int compared(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

bool starts(const char *text, const char *prefix) {
    while (*prefix)
        if (*text++ != *prefix++) return false;
    return true;
}

bool ends(const char *text, const char *suffix) {
    size_t whole = strlen(text), size = strlen(suffix);
    return whole >= size && same(text + whole - size, suffix);
}

const char *find(const char *text, char byte) {
    for (; *text; text++)
        if (*text == byte) return text;
    return NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

size_t rune(const char *text, uint32_t *code) {
    const unsigned char *t = (const unsigned char *)text;
    size_t size = *t >= 0xf0 ? 4 : *t >= 0xe0 ? 3 : *t >= 0xc2 ? 2 : 1;
    uint32_t value = size == 1 ? *t : *t & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((t[i] & 0xc0) != 0x80) {
            *code = 0xfffd;
            return 1;
        }
        value = value << 6 | (t[i] & 0x3f);
    }
    *code = *t >= 0x80 && size == 1 ? 0xfffd : value;
    return size;
}

const char *variable(char **environment, const char *name) {
    size_t size = strlen(name);
    for (; *environment; environment++)
        if (starts(*environment, name) && (*environment)[size] == '=')
            return *environment + size + 1;
    return NULL;
}
