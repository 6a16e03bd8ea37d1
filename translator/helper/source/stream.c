/* Streams of bytes: files as they are. inflate.c and bunzip.c have those of compressed ones. */

#include "helper.h"

typedef struct {
    stream stream;
    int file;
    size_t at, end;
    char buffer[64 << 10];
} plain;

static size_t read_plain(stream *s, void *data, size_t size) {
    plain *p = (plain *)s;
    if (p->at == p->end) {
        long n;
        do n = CALL3(SYS_READ, p->file, p->buffer, sizeof p->buffer);
        while (n == INTERRUPTED);
        if (n < 0) fail("cannot read", s->path, n);
        p->at = 0;
        p->end = (size_t)n;
    }
    size_t part = p->end - p->at < size ? p->end - p->at : size;
    memcpy(data, p->buffer + p->at, part);
    p->at += part;
    return part;
}

stream *open_plain(int file, const char *path) {
    plain *p = take(&brief, sizeof *p);
    p->stream = (stream){read_plain, path, false};
    p->file = file;
    return &p->stream;
}

size_t read_full(stream *s, void *data, size_t size) {
    size_t done = 0;
    for (size_t n; done < size && (n = s->read(s, (char *)data + done, size - done)); done += n) {}
    return done;
}
