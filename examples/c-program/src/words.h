#ifndef WORDS_H
#define WORDS_H

#include <stdio.h>

enum { WORD_SIZE = 256 };

/* The next word of the stream in lower case, cut at WORD_SIZE - 1 letters: 1, or 0 at the end. */
int next_word(FILE *stream, char word[WORD_SIZE]);

#endif
