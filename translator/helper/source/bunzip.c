/* bzip2 as a stream, block by block. What is malformed ends it early, and it says so. */

#include "helper.h"

enum { LONGEST = 20, MOST_SYMBOLS = 258, GROUP = 50, MOST_SELECTORS = 18002,
       LARGEST_BLOCK = 900000 };

typedef struct {
    uint16_t symbols[MOST_SYMBOLS];
    unsigned count[LONGEST + 1];
} code;

typedef struct {
    stream stream;
    stream *from;
    uint8_t input[16 << 10];
    size_t at, end;
    uint64_t bits;
    unsigned have;
    bool inside, over, later_stream;
    size_t most;             /* bytes of a block before its runs are spread */
    uint32_t *chain;         /* byte, and where the next one stands << 8 */
    size_t left;             /* of the block */
    uint32_t place;
    int previous;
    unsigned same, repeat;
    uint32_t checksum, wanted, whole, table[256];
    uint8_t selectors[MOST_SELECTORS];
    code codes[6];
} bzip;

static unsigned take_bits(bzip *b, unsigned count) {
    while (b->have < count) {
        if (b->at == b->end) {
            b->at = 0;
            b->end = b->from->read(b->from, b->input, sizeof b->input);
            if (!b->end) {
                b->stream.broken = true;
                return 0;
            }
        }
        b->bits = b->bits << 8 | b->input[b->at++];
        b->have += 8;
    }
    b->have -= count;
    return (unsigned)(b->bits >> b->have & ((1ull << count) - 1));
}

/* --- codes ------------------------------------------------------------------------------------ */

static bool read_code(bzip *b, code *c, unsigned symbols) {
    uint8_t lengths[MOST_SYMBOLS];
    int length = (int)take_bits(b, 5);
    memset(c, 0, sizeof *c);
    for (unsigned i = 0; i < symbols; i++) {
        for (;;) {
            if (length < 1 || length > LONGEST || b->stream.broken) return false;
            if (!take_bits(b, 1)) break;
            length += take_bits(b, 1) ? -1 : 1;
        }
        lengths[i] = (uint8_t)length;
        c->count[length]++;
    }
    unsigned at = 0;
    for (int l = 1; l <= LONGEST; l++)
        for (unsigned i = 0; i < symbols; i++)
            if (lengths[i] == l) c->symbols[at++] = (uint16_t)i;
    return true;
}

static unsigned decode(bzip *b, const code *c) {
    int word = 0, first = 0;
    unsigned index = 0;
    for (int length = 1; length <= LONGEST && !b->stream.broken; length++) {
        word = word << 1 | (int)take_bits(b, 1);
        int count = (int)c->count[length];
        if (word - first < count) return c->symbols[index + (unsigned)(word - first)];
        index += (unsigned)count;
        first = (first + count) << 1;
    }
    b->stream.broken = true;
    return 0;
}

static unsigned to_front(uint8_t *list, unsigned at) {
    uint8_t value = list[at];
    memmove(list + 1, list, at);
    return list[0] = value;
}

static unsigned read_alphabet(bzip *b, uint8_t *bytes) {
    unsigned groups = take_bits(b, 16), count = 0;
    for (unsigned i = 0; i < 16; i++) {
        if (!(groups >> (15 - i) & 1)) continue;
        unsigned used = take_bits(b, 16);
        for (unsigned j = 0; j < 16; j++)
            if (used >> (15 - j) & 1) bytes[count++] = (uint8_t)(i * 16 + j);
    }
    return count;
}

static bool read_selectors(bzip *b, unsigned codes, unsigned count) {
    uint8_t order[6] = {0, 1, 2, 3, 4, 5};
    for (unsigned i = 0; i < count; i++) {
        unsigned at = 0;
        while (take_bits(b, 1))
            if (++at >= codes) return false;
        unsigned chosen = to_front(order, at);
        if (i < MOST_SELECTORS) b->selectors[i] = (uint8_t)chosen; /* more are never used */
    }
    return !b->stream.broken;
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* Reads the bytes of a block, as sorted; their number, or 0 if they are malformed. */
static size_t read_symbols(bzip *b, uint8_t *alphabet, unsigned used, unsigned selectors) {
    size_t size = 0, run = 0, weight = 1;
    for (unsigned n = 0;; n++) {
        if (n / GROUP >= selectors) return 0;
        unsigned symbol = decode(b, &b->codes[b->selectors[n / GROUP]]);
        if (b->stream.broken) return 0;
        if (symbol < 2) {
            run += weight << symbol;
            weight <<= 1;
            if (run > b->most) return 0;
            continue;
        }
        if (size + run > b->most) return 0;
        for (; run; run--) b->chain[size++] = alphabet[0];
        weight = 1;
        if (symbol == used + 1) return size;
        if (size == b->most) return 0;
        b->chain[size++] = to_front(alphabet, symbol - 1);
    }
}

static bool read_block(bzip *b) {
    b->wanted = take_bits(b, 16) << 16;
    b->wanted |= take_bits(b, 16);
    if (take_bits(b, 1)) return false; /* "randomised", which nothing writes any more */
    uint32_t start = take_bits(b, 24);
    uint8_t alphabet[256];
    unsigned used = read_alphabet(b, alphabet), codes = take_bits(b, 3);
    unsigned selectors = take_bits(b, 15);
    if (!used || codes < 2 || codes > 6 || !selectors) return false;
    if (!read_selectors(b, codes, selectors)) return false;
    if (selectors > MOST_SELECTORS) selectors = MOST_SELECTORS;
    for (unsigned i = 0; i < codes; i++)
        if (!read_code(b, &b->codes[i], used + 2)) return false;
    size_t size = read_symbols(b, alphabet, used, selectors);
    if (start >= size) return false;
    uint32_t before[257] = {0};
    for (size_t i = 0; i < size; i++) before[(b->chain[i] & 0xff) + 1]++;
    for (unsigned i = 0; i < 256; i++) before[i + 1] += before[i];
    for (size_t i = 0; i < size; i++) b->chain[before[b->chain[i] & 0xff]++] |= (uint32_t)i << 8;
    b->place = b->chain[start] >> 8;
    b->left = size;
    b->previous = -1;
    b->same = b->repeat = 0;
    b->checksum = ~0u;
    return true;
}

static bool read_head(bzip *b) {
    b->have -= b->have % 8;
    if (b->later_stream && !b->have && b->at == b->end) {
        b->at = 0;
        b->end = b->from->read(b->from, b->input, sizeof b->input);
        if (!b->end) return b->over = true;
    }
    bool sound = take_bits(b, 8) == 'B' && take_bits(b, 8) == 'Z' && take_bits(b, 8) == 'h';
    unsigned level = take_bits(b, 8) - '0';
    if (!sound || level < 1 || level > 9) return false;
    b->most = level * (LARGEST_BLOCK / 9);
    b->inside = b->later_stream = true;
    b->whole = 0;
    return true;
}

static bool next_block(bzip *b) {
    if (!b->inside) return read_head(b);
    unsigned high = take_bits(b, 24), low = take_bits(b, 24);
    if (high == 0x314159 && low == 0x265359) return read_block(b);
    uint32_t whole = take_bits(b, 16) << 16;
    whole |= take_bits(b, 16);
    b->inside = false;
    return high == 0x177245 && low == 0x385090 && whole == b->whole;
}

/* --- runs of bytes ---------------------------------------------------------------------------- */

static void check(bzip *b, uint8_t value) {
    b->checksum = b->checksum << 8 ^ b->table[b->checksum >> 24 ^ value];
}

static bool end_block(bzip *b) {
    b->whole = (b->whole << 1 | b->whole >> 31) ^ ~b->checksum;
    return ~b->checksum == b->wanted;
}

static size_t spread(bzip *b, uint8_t *data, size_t size) {
    size_t done = 0;
    while (done < size && (b->repeat || b->left)) {
        if (b->repeat) {
            b->repeat--;
        } else {
            uint32_t entry = b->chain[b->place];
            b->place = entry >> 8;
            b->left--;
            int value = entry & 0xff;
            if (b->same == 4) { /* four alike are followed by how many more there are */
                b->repeat = (unsigned)value;
                b->same = 0;
                continue;
            }
            b->same = value == b->previous ? b->same + 1 : 1;
            b->previous = value;
        }
        data[done] = (uint8_t)b->previous;
        check(b, data[done++]);
    }
    return done;
}

static size_t read_bzip2(stream *s, void *data, size_t size) {
    bzip *b = (bzip *)s;
    for (;;) {
        size_t done = spread(b, data, size);
        if (done && !b->left && !b->repeat && !end_block(b)) b->stream.broken = true;
        if (done) return done;
        if (b->over || b->stream.broken) return 0;
        if (!next_block(b)) b->stream.broken = true;
    }
}

stream *open_bzip2(stream *from) {
    bzip *b = take(&brief, sizeof *b);
    b->stream = (stream){read_bzip2, from->path, false};
    b->from = from;
    b->chain = take(&brief, LARGEST_BLOCK * sizeof *b->chain);
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i << 24;
        for (int bit = 0; bit < 8; bit++) value = value >> 31 ? value << 1 ^ 0x04c11db7 : value << 1;
        b->table[i] = value;
    }
    return &b->stream;
}
