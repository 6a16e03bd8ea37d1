/* Numbers in text. */

#include "helper.h"

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
