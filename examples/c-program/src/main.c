/* wordfreq [LIMIT] : counts the words of standard input and prints the most frequent ones. */
#include <stdio.h>
#include <stdlib.h>

#include "table.h"
#include "words.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

static int print_most_frequent(const struct table *table, size_t limit)
{
    struct entry *sorted = table_sorted(table);
    if (!sorted)
        return -1;
    for (size_t i = 0; i < table->used && i < limit; i++)
        printf("%7lu %s\n", sorted[i].count, sorted[i].word);
    free(sorted);
    return 0;
}

int main(int argc, char **argv)
{
    struct table table = {NULL, 0, 0};
    char word[WORD_SIZE];
    int status = 0;

    if (argc > 1 && argv[1][0] == '-') {
        printf("wordfreq %s\nusage: wordfreq [LIMIT] <TEXT\n", VERSION);
        return 0;
    }
    while (status == 0 && next_word(stdin, word))
        status = table_add(&table, word);
    if (status == 0)
        status = print_most_frequent(&table, argc > 1 ? strtoul(argv[1], NULL, 10) : 10);
    if (status < 0)
        fputs("wordfreq: out of memory\n", stderr);
    table_free(&table);
    return status < 0;
}
