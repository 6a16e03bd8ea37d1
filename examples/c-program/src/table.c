#include "table.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

/* FNV-1a. */
static unsigned long hash(const char *word)
{
    unsigned long value = 2166136261UL;
    for (; *word; word++)
        value = ((value ^ (unsigned char)*word) * 16777619UL) & 0xffffffffUL;
    return value;
}

/* The entry of the word, or the free one where it belongs. */
static struct entry *find(const struct table *table, const char *word)
{
    size_t at = hash(word) & (table->capacity - 1);
    while (table->entries[at].word && strcmp(table->entries[at].word, word) != 0)
        at = (at + 1) & (table->capacity - 1);
    return &table->entries[at];
}

static int grow(struct table *table)
{
    struct table larger = {NULL, table->capacity ? table->capacity * 2 : FIRST_CAPACITY, 0};
    larger.entries = calloc(larger.capacity, sizeof *larger.entries);
    if (!larger.entries)
        return -1;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->entries[i].word)
            *find(&larger, table->entries[i].word) = table->entries[i];
    free(table->entries);
    larger.used = table->used;
    *table = larger;
    return 0;
}

static char *copied(const char *word)
{
    size_t size = strlen(word) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, word, size) : NULL;
}

int table_add(struct table *table, const char *word)
{
    if (table->used * 3 >= table->capacity * 2 && grow(table) < 0)
        return -1;
    struct entry *entry = find(table, word);
    if (!entry->word) {
        entry->word = copied(word);
        if (!entry->word)
            return -1;
        table->used++;
    }
    entry->count++;
    return 0;
}

unsigned long table_count(const struct table *table, const char *word)
{
    return table->capacity ? find(table, word)->count : 0;
}

static int by_count(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->word, b->word);
}

struct entry *table_sorted(const struct table *table)
{
    struct entry *sorted = malloc((table->used + 1) * sizeof *sorted);
    if (!sorted)
        return NULL;
    size_t count = 0;
    for (size_t i = 0; i < table->capacity; i++)
        if (table->entries[i].word)
            sorted[count++] = table->entries[i];
    qsort(sorted, count, sizeof *sorted, by_count);
    return sorted;
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->capacity; i++)
        free(table->entries[i].word);
    free(table->entries);
    *table = (struct table){NULL, 0, 0};
}
