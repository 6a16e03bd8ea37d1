/* Memory, taken piece by piece, and texts put together in it. */

#include "helper.h"

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
