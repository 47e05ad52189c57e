/* Keys of an RDB as the commands that make them, as RESP: all keys of a window in one call.
 *
 * Knows the common types, and only what is sound and fits.  At the first key that it does not like it stops, with
 * the output as it was before that key; what becomes of it is the caller's business.  What it writes is byte for
 * byte what commands.py and resp.py would, which are its oracle.
 *
 * The window must be followed by BULK_SLACK readable bytes, and so must the output by as many to write: short
 * strings are copied 32 bytes at a time.
 */
#ifndef AOFDOCTOR_BULK_H
#define AOFDOCTOR_BULK_H

#include "../encoding/lzf.h"
#include "../encoding/runs.h"
#include "double_text.h"

#define BULK_SLACK 64
#define BULK_LARGE ((uint64_t)1 << 17)  /* no string of this size and more */
#define BULK_CHUNK 64                   /* elements of one command */

enum { BULK_STRING, BULK_LIST, BULK_SET, BULK_ZSET, BULK_HASH, BULK_SHAPES };
enum { BULK_DONE, BULK_FULL, BULK_KEY };  /* why it stopped: no more items; the output is to be taken; a key or item */

typedef struct {
    const int64_t *edges, *name, *value, *expire, *idle, *db;
    const uint16_t *kind;
    const int16_t *freq;
} bulk_columns;

typedef struct {
    const uint8_t *bytes;    /* the window: `fill` bytes of the file, from `base` on */
    int64_t base;
    size_t fill;
    uint8_t *out, *at, *end; /* what is written is [out, at) */
    uint8_t *packed;         /* room for a value that was LZF: BULK_LARGE bytes and the slack */
    const score_power *powers;
    int64_t db, shift_ms;    /* the database that is selected; what expiries are moved by, 0: not at all */
    int64_t keys[BULK_SHAPES], hints;
    int full;                /* the output had no room */
} bulk;

typedef struct {
    const uint8_t *p, *end;
} bulk_reader;

/* -- what is written -- */

static inline int bulk_room(bulk *b, uint64_t size) {
    if (size <= (uint64_t)(b->end - b->at)) return 1;
    b->full = 1;
    return 0;
}

static inline uint8_t *bulk_copy(uint8_t *to, const uint8_t *from, size_t size) {
    uint8_t *end = to + size;
    if (size > 256) memcpy(to, from, size);
    else for (; to < end; to += 32, from += 32) memcpy(to, from, 32);
    return end;
}

static inline uint8_t *bulk_number(uint8_t *p, uint64_t value, unsigned digits) {
    score_put((char *)p, value, digits);
    return p + digits;
}

/* A mark, a number, CRLF. */
static inline uint8_t *bulk_head(uint8_t *p, uint8_t mark, uint64_t value) {
    *p++ = mark;
    if (value < 10) *p++ = (uint8_t)('0' + value);
    else p = bulk_number(p, value, score_sized(value));
    *p++ = '\r';
    *p++ = '\n';
    return p;
}

static inline uint8_t *bulk_crlf(uint8_t *p) {
    p[0] = '\r';
    p[1] = '\n';
    return p + 2;
}

static inline int bulk_put_bytes(bulk *b, const uint8_t *from, uint64_t size) {
    if (!bulk_room(b, size + 32)) return 0;
    b->at = bulk_crlf(bulk_copy(bulk_head(b->at, '$', size), from, size));
    return 1;
}

static inline int bulk_put_integer(bulk *b, int64_t value) {
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    unsigned digits = score_sized(rest);
    if (!bulk_room(b, 64)) return 0;
    uint8_t *p = bulk_head(b->at, '$', digits + (value < 0));
    if (value < 0) *p++ = '-';
    b->at = bulk_crlf(bulk_number(p, rest, digits));
    return 1;
}

static int bulk_put_lzf(bulk *b, const run_item *item) {
    uint64_t size = (uint64_t)item->number;
    if (!bulk_room(b, size + 32)) return 0;
    uint8_t *p = bulk_head(b->at, '$', size);
    size_t done = 0;
    if (lzf_run_near(item->at, item->size, p, &done, size, 32) != item->size || done != size) return 0;
    b->at = bulk_crlf(p + size);
    return 1;
}

static inline int bulk_put(bulk *b, const run_item *item) {
    if (item->kind == RUN_NUMBER) return bulk_put_integer(b, item->number);
    return item->kind == RUN_LZF ? bulk_put_lzf(b, item) : bulk_put_bytes(b, item->at, item->size);
}

/* What a server and Python make of a score: the double, as its shortest text.  The size of that, or 0. */
static unsigned bulk_score(const bulk *b, const run_item *item, char *text) {
    double score = (double)item->number;
    if (item->kind == RUN_TAIL) {
        uint64_t bits = run_little(item->at, 8);
        memcpy(&score, &bits, 8);
    } else if (item->kind != RUN_NUMBER && !score_read(b->powers, item->at, item->size, &score)) return 0;
    return score_text(b->powers, score, text);
}

static int bulk_put_score(bulk *b, const run_item *item) {
    char text[SCORE_TEXT] = {0};
    if (item->kind == RUN_NUMBER && item->number < (int64_t)1 << 53 && item->number > -((int64_t)1 << 53))
        return bulk_put_integer(b, item->number);
    unsigned size = bulk_score(b, item, text);
    if (!size || !bulk_room(b, 64)) return 0;
    uint8_t *p = bulk_head(b->at, '$', size);
    memcpy(p, text, SCORE_TEXT);
    b->at = bulk_crlf(p + size);
    return 1;
}

/* -- commands of BULK_CHUNK elements -- */

typedef struct {
    bulk *b;
    const char *word;       /* the command's name, as RESP */
    run_item name, member;  /* member: it waits for its score */
    int scored, waits;
    unsigned most, held;    /* items of a whole command; of this one */
    uint64_t expected;      /* items that are to come, as far as is known */
    size_t head, start, prefix, prefix_size;  /* offsets in the output; prefix: the command's name and the key's */
    unsigned guess;
    struct glance *glance;  /* not NULL: no command is made, only looked at what it would be made of */
} bulk_chunk;

static int glance_add(bulk_chunk *c, const run_item *item);

static int bulk_open(bulk_chunk *c) {
    bulk *b = c->b;
    if (!bulk_room(b, 64 + c->prefix_size)) return 0;
    c->guess = 2 + (c->expected && c->expected < c->most ? (unsigned)c->expected : c->most);
    c->head = (size_t)(b->at - b->out);
    b->at = bulk_head(b->at, '*', c->guess);
    c->start = (size_t)(b->at - b->out);
    if (c->prefix_size) {
        memcpy(b->at, b->out + c->prefix, c->prefix_size);
        b->at += c->prefix_size;
        return 1;
    }
    c->prefix = c->start;
    size_t size = strlen(c->word);
    memcpy(b->at, c->word, size);
    b->at += size;
    if (!bulk_put(b, &c->name)) return 0;
    c->prefix_size = (size_t)(b->at - b->out) - c->prefix;
    return 1;
}

/* The head says how many there are, now that it is known. */
static int bulk_close(bulk_chunk *c) {
    bulk *b = c->b;
    unsigned count = 2 + c->held;
    c->expected -= c->held < c->expected ? c->held : c->expected;
    c->held = 0;
    if (count == c->guess) return 1;
    uint8_t head[16];
    size_t size = (size_t)(bulk_head(head, '*', count) - head), before = c->start - c->head;
    if (!bulk_room(b, size)) return 0;
    if (size != before) {
        memmove(b->out + c->head + size, b->out + c->start, (size_t)(b->at - b->out) - c->start);
        b->at = b->at - before + size;
        if (c->prefix == c->start) c->prefix = c->head + size;
    }
    memcpy(b->out + c->head, head, size);
    return 1;
}

static inline int bulk_add(bulk_chunk *c, const run_item *item) {
    if (c->glance) return glance_add(c, item);
    if (c->scored && !c->waits) {
        c->member = *item;
        return c->waits = 1;
    }
    if (!c->held && !bulk_open(c)) return 0;
    if (c->scored) {
        c->waits = 0;
        if (!bulk_put_score(c->b, item) || !bulk_put(c->b, &c->member)) return 0;
        c->held += 2;
    } else {
        if (!bulk_put(c->b, item)) return 0;
        c->held++;
    }
    return c->held < c->most || bulk_close(c);
}

/* -- values -- */

static inline int bulk_string(bulk_reader *r, run_item *item) {
    size_t size = rdb_string(r->p, (size_t)(r->end - r->p), BULK_LARGE, item);
    r->p += size;
    return size != 0;
}

static inline int bulk_length(bulk_reader *r, uint64_t *value) {
    unsigned size = rdb_length(r->p, (size_t)(r->end - r->p), value);
    r->p += size;
    return size != 0;
}

/* The bytes of a packed value: as they stand there, or unpacked. */
static int bulk_pack(bulk *b, bulk_reader *r, bulk_reader *pack) {
    run_item item;
    if (!bulk_string(r, &item) || item.kind == RUN_NUMBER) return 0;
    *pack = (bulk_reader){item.at, item.at + item.size};
    if (item.kind == RUN_BYTES) return 1;
    size_t done = 0, size = (size_t)item.number;
    *pack = (bulk_reader){b->packed, b->packed + size};
    return lzf_run_near(item.at, item.size, b->packed, &done, size, 32) == item.size && done == size;
}

/* What the head of a listpack or ziplist says is true of the size, and it has an end. */
static int bulk_headed(const bulk_reader *pack, size_t head) {
    size_t size = (size_t)(pack->end - pack->p);
    return size > head && pack->end[-1] == 0xff && run_little(pack->p, 4) == size;
}

static int bulk_counted(const uint8_t *p, uint64_t seen, unsigned width) {
    uint64_t claimed = run_little(p, 2);
    return (claimed == seen || claimed == 65535) && seen % width == 0;
}

static void bulk_expect(bulk_chunk *c, const uint8_t *p) {
    uint64_t claimed = run_little(p, 2);
    if (!c->expected && claimed != 65535) c->expected = claimed;
}

static int bulk_listpack(bulk_chunk *c, bulk_reader *r, unsigned width) {
    bulk_reader pack;
    run_item item;
    if (!bulk_pack(c->b, r, &pack) || !bulk_headed(&pack, 6)) return 0;
    const uint8_t *p = pack.p + 6, *last = pack.end - 1;
    uint64_t seen = 0;
    if (width) bulk_expect(c, pack.p + 4);
    for (; p < last; seen++) {
        uint64_t length = listpack_entry(p, (size_t)(last - p), &item);
        unsigned back = listpack_back_size(length);
        if (!length || back > (uint64_t)(last - p) - length || !listpack_back_is(p + length, back, length)) return 0;
        if (!bulk_add(c, &item)) return 0;
        p += length + back;
    }
    return bulk_counted(pack.p + 4, seen, width ? width : 1);
}

static int bulk_ziplist(bulk_chunk *c, bulk_reader *r, unsigned width) {
    bulk_reader pack;
    run_item item;
    if (!bulk_pack(c->b, r, &pack) || !bulk_headed(&pack, 10)) return 0;
    size_t size = (size_t)(pack.end - pack.p) - 1, at = 10;
    uint64_t before = 0, seen = 0;
    if (width) bulk_expect(c, pack.p + 8);
    for (; at < size; seen++) {
        if (ziplist_run(pack.p, size, &at, &before, &item, 1) != 1 || !bulk_add(c, &item)) return 0;
    }
    return run_little(pack.p + 4, 4) == at - before && bulk_counted(pack.p + 8, seen, width ? width : 1);
}

static int bulk_intset(bulk_chunk *c, bulk_reader *r, unsigned width) {
    bulk_reader pack;
    run_item item;
    (void)width;
    if (!bulk_pack(c->b, r, &pack) || pack.end - pack.p < 8) return 0;
    uint64_t bytes = run_little(pack.p, 4), count = run_little(pack.p + 4, 4);
    if ((bytes != 2 && bytes != 4 && bytes != 8) || (uint64_t)(pack.end - pack.p) != 8 + bytes * count) return 0;
    c->expected = count;
    for (const uint8_t *p = pack.p + 8; p < pack.end; p += bytes) {
        run_set(&item, RUN_NUMBER, p, bytes, run_signed(p, (unsigned)bytes));
        if (!bulk_add(c, &item)) return 0;
    }
    return 1;
}

static int bulk_strings(bulk_chunk *c, bulk_reader *r, unsigned width) {
    uint64_t count;
    run_item item;
    if (!bulk_length(r, &count) || count > (uint64_t)(r->end - r->p)) return 0;
    c->expected = count * width;
    for (uint64_t left = count * width; left; left--)
        if (!bulk_string(r, &item) || !bulk_add(c, &item)) return 0;
    return 1;
}

static int bulk_scored(bulk_chunk *c, bulk_reader *r, unsigned width) {
    uint64_t count;
    run_item member, score;
    if (!bulk_length(r, &count) || count > (uint64_t)(r->end - r->p)) return 0;
    c->expected = count * width;
    for (; count; count--) {
        if (!bulk_string(r, &member) || r->end - r->p < 8) return 0;
        run_set(&score, RUN_TAIL, r->p, 8, 0);
        r->p += 8;
        if (!bulk_add(c, &member) || !bulk_add(c, &score)) return 0;
    }
    return 1;
}

static int bulk_quicklist(bulk_chunk *c, bulk_reader *r, unsigned width) {
    uint64_t nodes;
    if (!bulk_length(r, &nodes)) return 0;
    if (nodes == 1) width = 1;  /* its head tells how many there are in all */
    for (; nodes; nodes--)
        if (!bulk_ziplist(c, r, width)) return 0;
    return 1;
}

static int bulk_quicklist2(bulk_chunk *c, bulk_reader *r, unsigned width) {
    uint64_t nodes, container;
    run_item item;
    if (!bulk_length(r, &nodes)) return 0;
    if (nodes == 1) width = 1;
    for (; nodes; nodes--) {
        if (!bulk_length(r, &container)) return 0;
        if (container == 2 ? !bulk_listpack(c, r, width) : container != 1 || !bulk_string(r, &item) || !bulk_add(c, &item))
            return 0;
    }
    return 1;
}

typedef struct {
    int shape;
    unsigned width;
    int (*read)(bulk_chunk *c, bulk_reader *r, unsigned width);  /* NULL: a string */
} bulk_row;

/* By type; a width of 0 is a list in nodes.  A row with a width and no reader is a string, one without both is none. */
static const bulk_row bulk_rows[21] = {
    [0] = {BULK_STRING, 1, NULL}, [1] = {BULK_LIST, 1, bulk_strings}, [2] = {BULK_SET, 1, bulk_strings},
    [4] = {BULK_HASH, 2, bulk_strings}, [5] = {BULK_ZSET, 2, bulk_scored}, [10] = {BULK_LIST, 1, bulk_ziplist},
    [11] = {BULK_SET, 1, bulk_intset}, [12] = {BULK_ZSET, 2, bulk_ziplist}, [13] = {BULK_HASH, 2, bulk_ziplist},
    [14] = {BULK_LIST, 0, bulk_quicklist}, [16] = {BULK_HASH, 2, bulk_listpack}, [17] = {BULK_ZSET, 2, bulk_listpack},
    [18] = {BULK_LIST, 0, bulk_quicklist2}, [20] = {BULK_SET, 1, bulk_listpack},
};

static const char *const bulk_words[BULK_SHAPES] = {
    "", "$5\r\nRPUSH\r\n", "$4\r\nSADD\r\n", "$4\r\nZADD\r\n", "$5\r\nHMSET\r\n",
};

static inline int bulk_known(uint16_t kind) { return kind == 0 || (kind <= 20 && bulk_rows[kind].read); }

/* -- keys -- */

static int bulk_select(bulk *b, int64_t db) {
    static const char word[] = "*2\r\n$6\r\nSELECT\r\n";
    if (!bulk_room(b, sizeof word)) return 0;
    memcpy(b->at, word, sizeof word - 1);
    b->at += sizeof word - 1;
    return bulk_put_integer(b, db);
}

static int bulk_expire(bulk *b, int64_t expire, size_t name, size_t size) {
    static const char word[] = "*3\r\n$9\r\nPEXPIREAT\r\n";
    if (!bulk_room(b, sizeof word + size)) return 0;
    memcpy(b->at, word, sizeof word - 1);
    memcpy(b->at + sizeof word - 1, b->out + name, size);
    b->at += sizeof word - 1 + size;
    if (!b->shift_ms || expire < 0) return bulk_put_integer(b, expire);   /* one before 1970 has long passed */
    if (__builtin_add_overflow(expire, b->shift_ms, &expire)) expire = INT64_MAX;
    return bulk_put_integer(b, expire < 1 ? 1 : expire);
}

/* A string; *name and *size: where the key's name stands in the output, as RESP. */
static int bulk_set(bulk *b, const run_item *key, bulk_reader *r, size_t *name, size_t *size) {
    static const char word[] = "*3\r\n$3\r\nSET\r\n";
    run_item value;
    if (!bulk_string(r, &value) || !bulk_room(b, sizeof word)) return 0;
    memcpy(b->at, word, sizeof word - 1);
    b->at += sizeof word - 1;
    *name = (size_t)(b->at - b->out);
    if (!bulk_put(b, key)) return 0;
    *size = (size_t)(b->at - b->out) - *name;
    return bulk_put(b, &value);
}

static int bulk_collection(bulk *b, const bulk_row *row, const run_item *key, bulk_reader *r, size_t *name,
                           size_t *size) {
    bulk_chunk c = {.b = b, .word = bulk_words[row->shape], .name = *key, .scored = row->shape == BULK_ZSET,
                    .most = BULK_CHUNK * (row->width ? row->width : 1)};
    if (!row->read(&c, r, row->width) || !c.prefix_size || c.waits) return 0;
    if (c.held && !bulk_close(&c)) return 0;
    size_t words = strlen(c.word);
    *name = c.prefix + words;
    *size = c.prefix_size - words;
    return 1;
}

/* What stands before a key's type: an expiry, and how lately or often it was used; 0 for anything else. */
static int bulk_opcodes(bulk_reader r) {
    uint64_t idle;
    while (r.p < r.end) {
        if (*r.p == 252) r.p += 9;
        else if (*r.p == 253) r.p += 5;
        else if (*r.p == 249) r.p += 2;
        else if (*r.p++ != 248 || !bulk_length(&r, &idle)) return 0;
    }
    return r.p == r.end;
}

static int bulk_key(bulk *b, const bulk_columns *c, size_t i) {
    int64_t start = c->edges[i] - b->base, end = c->edges[i + 1] - b->base;
    int64_t db = c->db[i] < 0 ? 0 : c->db[i];
    if (start < 0 || end > (int64_t)b->fill || !bulk_known(c->kind[i])) return 0;
    const bulk_row *row = &bulk_rows[c->kind[i]];
    bulk_reader r = {b->bytes + (c->name[i] - b->base), b->bytes + end};
    run_item key;
    size_t name = 0, size = 0;
    if (r.p != b->bytes + start + 1 && !bulk_opcodes((bulk_reader){b->bytes + start, r.p - 1})) return 0;
    if (!bulk_string(&r, &key) || (db != b->db && !bulk_select(b, db))) return 0;
    if (!(row->read ? bulk_collection(b, row, &key, &r, &name, &size) : bulk_set(b, &key, &r, &name, &size))) return 0;
    if (r.p != r.end || (c->expire[i] != -1 && !bulk_expire(b, c->expire[i], name, size))) return 0;
    b->db = db;
    b->keys[row->shape]++;
    b->hints += c->idle[i] >= 0 || c->freq[i] >= 0;
    return 1;
}

/* What says nothing of its own: the magic, words of the writer, sizes, the choice of a database, the end. */
static inline int bulk_silent(uint16_t kind) {
    return kind == 256 || kind == 250 || kind == 251 || kind == 254 || kind == 255;
}

static int bulk_counts(const bulk *b) {
    int64_t all = b->hints;
    for (int i = 0; i < BULK_SHAPES; i++) all += b->keys[i];
    return all != 0;
}

/* Items from *at up to `stop`; why it stopped.  FULL also where keys of another database would be counted. */
static int bulk_run(bulk *b, const bulk_columns *c, size_t *at, size_t stop) {
    size_t i = *at;
    int why = BULK_DONE;
    for (; i < stop; i++) {
        if (c->name[i] < 0) {
            if (bulk_silent(c->kind[i])) continue;
            why = BULK_KEY;
            break;
        }
        uint8_t *before = b->at;
        if ((c->db[i] < 0 ? 0 : c->db[i]) != b->db && bulk_counts(b)) { why = BULK_FULL; break; }
        b->full = 0;
        if (bulk_key(b, c, i)) continue;
        b->at = before;
        why = b->full && before != b->out ? BULK_FULL : BULK_KEY;
        break;
    }
    *at = i;
    return why;
}

#endif
