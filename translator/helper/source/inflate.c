/* gzip (RFC 1952 and 1951) as a stream. What is malformed ends it early, and it says so. */

#include "helper.h"

enum { WINDOW = 32 << 10, BUFFER = 2 * WINDOW, FAST = 10, LONGEST = 15, AHEAD = 8 };

/* A prefix code: the symbol and length of all codes of up to FAST bits by what begins with them,
 * and for longer ones how many there are of each length, and the symbols in order. */
typedef struct {
    uint16_t fast[1 << FAST]; /* symbol << 4 | length; 0: longer */
    uint16_t count[LONGEST + 1];
    uint16_t symbols[288];
} code;

enum phase { MEMBER, HEADER, STORED, CODED, TRAILER, END };

typedef struct {
    stream stream;
    stream *from;
    uint8_t input[AHEAD + (16 << 10)]; /* the first few are the last ones from before */
    size_t at, end;
    uint64_t bits;
    unsigned have;
    enum phase phase;
    bool last, later_member;
    size_t left;                     /* of a stored block */
    unsigned length, distance;       /* of a match that is not all put out */
    code lengths, distances;
    uint8_t out[BUFFER];             /* a ring */
    uint32_t made, given;            /* bytes, ever */
    uint64_t size; /* of the member so far */
    uint32_t checksum, table[256];
} gzip;

static int byte(gzip *g) {
    if (g->at == g->end) {
        memmove(g->input, g->input + g->end - AHEAD, AHEAD);
        g->at = AHEAD;
        g->end = AHEAD + g->from->read(g->from, g->input + AHEAD, sizeof g->input - AHEAD);
        if (g->end == AHEAD) return -1;
    }
    return g->input[g->at++];
}

static bool need(gzip *g, unsigned count) {
    while (g->have < count) {
        int next = byte(g);
        if (next < 0) return false;
        g->bits |= (uint64_t)next << g->have;
        g->have += 8;
    }
    return true;
}

static unsigned take_bits(gzip *g, unsigned count) {
    if (!need(g, count)) {
        g->stream.broken = true;
        return 0;
    }
    unsigned value = (unsigned)(g->bits & ((1ull << count) - 1));
    g->bits >>= count;
    g->have -= count;
    return value;
}

/* --- prefix codes ----------------------------------------------------------------------------- */

static bool make_code(code *c, const uint8_t *lengths, unsigned count) {
    uint16_t first[LONGEST + 2] = {0}, place[LONGEST + 2] = {0};
    memset(c, 0, sizeof *c);
    for (unsigned i = 0; i < count; i++) c->count[lengths[i]]++;
    c->count[0] = 0;
    int left = 1;
    for (unsigned l = 1; l <= LONGEST; l++) {
        left = left * 2 - c->count[l];
        if (left < 0) return false;
        first[l + 1] = (uint16_t)((first[l] + c->count[l]) << 1);
        place[l + 1] = (uint16_t)(place[l] + c->count[l]);
    }
    for (unsigned i = 0; i < count; i++) {
        unsigned length = lengths[i];
        if (!length) continue;
        c->symbols[place[length]++] = (uint16_t)i;
        unsigned word = first[length]++, reversed = 0;
        if (length > FAST) continue;
        for (unsigned bit = 0; bit < length; bit++) reversed |= (word >> bit & 1) << (length - 1 - bit);
        for (; reversed < 1u << FAST; reversed += 1u << length)
            c->fast[reversed] = (uint16_t)(i << 4 | length);
    }
    return true;
}

static unsigned decode(gzip *g, const code *c) {
    need(g, LONGEST); /* there may be fewer at the end */
    unsigned entry = c->fast[g->bits & ((1 << FAST) - 1)];
    if (entry && (entry & 15) <= g->have) {
        g->bits >>= entry & 15;
        g->have -= entry & 15;
        return entry >> 4;
    }
    int word = 0, first = 0, index = 0;
    for (unsigned length = 1; length <= LONGEST && length <= g->have; length++) {
        word |= (int)(g->bits >> (length - 1) & 1);
        int count = c->count[length];
        if (word - count < first) {
            g->bits >>= length;
            g->have -= length;
            return c->symbols[index + (word - first)];
        }
        index += count;
        first = (first + count) << 1;
        word <<= 1;
    }
    g->stream.broken = true;
    return 0;
}

static bool fixed_codes(gzip *g) {
    uint8_t lengths[288];
    for (unsigned i = 0; i < 288; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    uint8_t distances[30];
    memset(distances, 5, sizeof distances);
    return make_code(&g->lengths, lengths, 288) && make_code(&g->distances, distances, 30);
}

static bool dynamic_codes(gzip *g) {
    static const uint8_t ORDER[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    unsigned literals = take_bits(g, 5) + 257, distances = take_bits(g, 5) + 1;
    unsigned count = take_bits(g, 4) + 4;
    uint8_t lengths[320] = {0};
    for (unsigned i = 0; i < count; i++) lengths[ORDER[i]] = (uint8_t)take_bits(g, 3);
    if (g->stream.broken || literals > 286 || !make_code(&g->lengths, lengths, 19)) return false;
    memset(lengths, 0, sizeof lengths);
    for (unsigned i = 0; i < literals + distances;) {
        unsigned symbol = decode(g, &g->lengths), repeat = 1;
        uint8_t length = (uint8_t)symbol;
        if (symbol >= 16) {
            if (symbol == 16 && !i) return false;
            length = symbol == 16 ? lengths[i - 1] : 0;
            repeat = symbol == 16   ? 3 + take_bits(g, 2)
                     : symbol == 17 ? 3 + take_bits(g, 3)
                                    : 11 + take_bits(g, 7);
        }
        if (g->stream.broken || i + repeat > literals + distances) return false;
        while (repeat--) lengths[i++] = length;
    }
    uint8_t first[286];
    memcpy(first, lengths, literals);
    return make_code(&g->lengths, first, literals) &&
           make_code(&g->distances, lengths + literals, distances);
}

/* --- members and blocks ----------------------------------------------------------------------- */

static bool skip_text(gzip *g) {
    int next;
    do next = byte(g);
    while (next > 0);
    return !next;
}

static bool begin_member(gzip *g) {
    int first = byte(g);
    if (first < 0 && g->later_member) return false;
    uint8_t head[9];
    for (unsigned i = 0; i < sizeof head; i++) {
        int next = byte(g);
        if (next < 0) return g->stream.broken = true, false;
        head[i] = (uint8_t)next;
    }
    bool sound = first == 0x1f && head[0] == 0x8b && head[1] == 8;
    unsigned flags = head[2];
    if (sound && flags & 4) {
        int low = byte(g), high = byte(g);
        sound = high >= 0;
        for (int size = low | high << 8; sound && size; size--) sound = byte(g) >= 0;
    }
    if (sound && flags & 8) sound = skip_text(g);
    if (sound && flags & 16) sound = skip_text(g);
    if (sound && flags & 2) sound = byte(g) >= 0 && byte(g) >= 0;
    g->checksum = 0;
    g->size = g->bits = g->have = 0;
    g->later_member = true;
    g->stream.broken = !sound;
    return sound;
}

static enum phase begin_block(gzip *g) {
    g->last = take_bits(g, 1);
    unsigned kind = take_bits(g, 2);
    if (kind == 0) {
        take_bits(g, g->have & 7);
        unsigned size = take_bits(g, 16), inverse = take_bits(g, 16);
        g->stream.broken |= size != (~inverse & 0xffff);
        g->left = size;
        return STORED;
    }
    bool made = kind == 1 ? fixed_codes(g) : kind == 2 && dynamic_codes(g);
    g->stream.broken |= !made;
    return CODED;
}

static void put(gzip *g, uint8_t value) {
    g->out[g->made++ % BUFFER] = value;
    g->checksum = g->table[(~g->checksum ^ value) & 0xff] ^ (~g->checksum >> 8);
    g->checksum = ~g->checksum;
    g->size++;
}

static bool full(const gzip *g) { return g->made - g->given >= WINDOW; }

static enum phase stored(gzip *g) {
    while (g->left && !full(g)) {
        put(g, (uint8_t)take_bits(g, 8));
        if (g->stream.broken) return END;
        g->left--;
    }
    return g->left ? STORED : g->last ? TRAILER : HEADER;
}

static const uint16_t LENGTHS[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                     31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t LENGTH_BITS[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                        2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t DISTANCES[30] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,
                                       33,  49,  65,  97,  129, 193,  257,  385,  513,  769,
                                       1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};

static enum phase coded(gzip *g) {
    while (!full(g)) {
        if (g->length) {
            put(g, g->out[(g->made - g->distance) % BUFFER]);
            g->length--;
            continue;
        }
        unsigned symbol = decode(g, &g->lengths);
        if (g->stream.broken) return END;
        if (symbol < 256) {
            put(g, (uint8_t)symbol);
            continue;
        }
        if (symbol == 256) return g->last ? TRAILER : HEADER;
        if ((symbol -= 257) >= 29) return g->stream.broken = true, END;
        g->length = LENGTHS[symbol] + take_bits(g, LENGTH_BITS[symbol]);
        unsigned way = decode(g, &g->distances);
        if (g->stream.broken || way >= 30) return g->stream.broken = true, END;
        g->distance = DISTANCES[way] + take_bits(g, way < 2 ? 0 : way / 2 - 1);
        if (g->stream.broken || g->distance > g->size) return g->stream.broken = true, END;
    }
    return CODED;
}

static enum phase trailer(gzip *g) {
    take_bits(g, g->have & 7);
    uint32_t checksum = take_bits(g, 16);
    checksum |= take_bits(g, 16) << 16;
    uint32_t size = take_bits(g, 16);
    size |= take_bits(g, 16) << 16;
    g->stream.broken |= checksum != g->checksum || size != (uint32_t)g->size;
    while (g->have >= 8) { /* what was read ahead belongs to the next member */
        g->at--;
        g->have -= 8;
    }
    return MEMBER;
}

static void advance(gzip *g) {
    switch (g->phase) {
    case MEMBER: g->phase = begin_member(g) ? HEADER : END; break;
    case HEADER: g->phase = begin_block(g); break;
    case STORED: g->phase = stored(g); break;
    case CODED: g->phase = coded(g); break;
    case TRAILER: g->phase = trailer(g); break;
    case END: break;
    }
    if (g->stream.broken) g->phase = END;
}

static size_t read_gzip(stream *s, void *data, size_t size) {
    gzip *g = (gzip *)s;
    while (g->made == g->given && g->phase != END) advance(g);
    uint32_t from = g->given % BUFFER, part = g->made - g->given;
    if (part > BUFFER - from) part = BUFFER - from;
    if (part > size) part = (uint32_t)size;
    memcpy(data, g->out + from, part);
    g->given += part;
    return part;
}

stream *open_gzip(stream *from) {
    gzip *g = take(&brief, sizeof *g);
    g->stream = (stream){read_gzip, from->path, false};
    g->from = from;
    g->at = g->end = AHEAD;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ value >> 1 : value >> 1;
        g->table[i] = value;
    }
    return &g->stream;
}
