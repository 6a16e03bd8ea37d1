#include "words.h"

#include <ctype.h>

int next_word(FILE *stream, char word[WORD_SIZE])
{
    int letter;
    size_t length = 0;
    do
        letter = getc(stream);
    while (letter != EOF && !isalpha(letter));
    for (; letter != EOF && isalpha(letter); letter = getc(stream))
        if (length < WORD_SIZE - 1)
            word[length++] = (char)tolower(letter);
    word[length] = '\0';
    return length > 0;
}
