#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../src/table.h"

static int failures;

static void check(int holds, const char *what)
{
    printf("%s %s\n", holds ? "ok    " : "FAILED", what);
    failures += !holds;
}

static void counts_each_word(void)
{
    struct table table = {NULL, 0, 0};
    check(table_count(&table, "a") == 0, "an empty table counts nothing");
    table_add(&table, "a");
    table_add(&table, "b");
    table_add(&table, "a");
    check(table_count(&table, "a") == 2, "a word that came twice");
    check(table_count(&table, "c") == 0, "a word that never came");
    table_free(&table);
}

static void grows(void)
{
    struct table table = {NULL, 0, 0};
    char word[16];
    int lost = 0;
    for (int i = 0; i < 1000; i++) {
        sprintf(word, "w%d", i);
        table_add(&table, word);
    }
    for (int i = 0; i < 1000; i++) {
        sprintf(word, "w%d", i);
        lost += table_count(&table, word) != 1;
    }
    check(table.used == 1000 && lost == 0, "a thousand words survive growing");
    table_free(&table);
}

static void sorts(void)
{
    struct table table = {NULL, 0, 0};
    const char *words[] = {"one", "two", "two", "four", "four"};
    for (int i = 0; i < 5; i++)
        table_add(&table, words[i]);
    struct entry *sorted = table_sorted(&table);
    check(strcmp(sorted[0].word, "four") == 0, "equals are sorted by name");
    check(strcmp(sorted[2].word, "one") == 0, "the rarest is last");
    free(sorted);
    table_free(&table);
}

int main(void)
{
    counts_each_word();
    grows();
    sorts();
    return failures > 0;
}
