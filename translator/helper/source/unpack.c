#include "helper.h"
bool unpack(const char *archive, const char *root, const char *folder, const owner *who) {
    (void)root, (void)folder, (void)who;
    fail("not yet", archive, 0);
}
