/* Memory and text. */

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

/* --- memory ----------------------------------------------------------------------------------- */

struct block {
    block *before;
    size_t size, used;
    _Alignas(16) char data[];
};

enum { BLOCK_SIZE = 1 << 20 };

arena kept, brief;

static block *new_block(block *before, size_t least) {
    size_t size = sizeof(block) + least;
    size = size < BLOCK_SIZE ? BLOCK_SIZE : (size + 4095) & ~(size_t)4095;
    long at = CALL6(SYS_MMAP, 0, size, 3, 0x22, -1, 0); /* read and write, private, of no file */
    if (at < 0 && at > -4096) fail("cannot get memory", "", at);
    block *made = (block *)at;
    made->before = before;
    made->size = size - sizeof(block);
    made->used = 0;
    return made;
}

void *take(arena *from, size_t size) {
    size = (size + 15) & ~(size_t)15;
    if (!from->last || from->last->size - from->last->used < size)
        from->last = new_block(from->last, size);
    void *taken = from->last->data + from->last->used;
    from->last->used += size;
    return memset(taken, 0, size);
}

mark here(const arena *a) { return (mark){a->last, a->last ? a->last->used : 0}; }

void back(arena *a, mark to) {
    while (a->last && a->last != to.last) {
        block *before = a->last->before;
        if (!before) break; /* the first one stays for what comes next */
        CALL2(SYS_MUNMAP, a->last, a->last->size + sizeof(block));
        a->last = before;
    }
    if (a->last) a->last->used = a->last == to.last ? to.used : 0;
}

char *copied(arena *a, const char *text, size_t size) {
    return memcpy(take(a, size + 1), text, size);
}

char *join3(const char *a, const char *b, const char *c) {
    size_t x = strlen(a), y = strlen(b), z = strlen(c);
    char *text = take(&brief, x + y + z + 1);
    memcpy(text, a, x);
    memcpy(text + x, b, y);
    memcpy(text + x + y, c, z);
    return text;
}

char *join2(const char *a, const char *b) { return join3(a, b, ""); }

/* --- reading ---------------------------------------------------------------------------------- */

bool all_digits(const char *text) {
    if (!*text) return false;
    for (; *text; text++)
        if (*text < '0' || *text > '9') return false;
    return true;
}

uint64_t number(const char *text, unsigned base) {
    uint64_t value = 0;
    const char *at = text;
    for (; *at; at++) {
        unsigned digit = (unsigned)(*at - '0');
        if (digit >= base || value > (UINT64_MAX - digit) / base) fail("no number", text, 0);
        value = value * base + digit;
    }
    if (at == text) fail("no number", text, 0);
    return value;
}

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
