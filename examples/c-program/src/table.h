#ifndef TABLE_H
#define TABLE_H

#include <stddef.h>

/* Counts of words: a hash table with open addressing that doubles when it is two thirds full. */
struct entry {
    char *word;
    unsigned long count;
};

struct table {
    struct entry *entries;
    size_t capacity;
    size_t used;
};

/* 0, or -1 when memory runs out. The table keeps a copy of the word. */
int table_add(struct table *table, const char *word);

unsigned long table_count(const struct table *table, const char *word);

/* The entries in a new array of `used`: the most frequent first, equals by name. NULL when memory
 * runs out. The words still belong to the table. */
struct entry *table_sorted(const struct table *table);

void table_free(struct table *table);

#endif
