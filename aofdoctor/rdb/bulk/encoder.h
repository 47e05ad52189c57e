/* Encode the keys of an RDB as RESP commands: all keys in a window of the file in one call.
 *
 * The encoder handles the common types, and only values that are well-formed and fit into the buffers.  At the first
 * key that it does not handle it stops, with the output as it was before that key.  Its output is byte for byte that of
 * export/commands.py and export/resp.py, which the tests compare it with.
 *
 * The window must be followed by ENCODER_SLACK readable bytes, and the output by as many writable bytes: short strings
 * are copied 32 bytes at a time.
 */
#ifndef AOFDOCTOR_ENCODER_H
#define AOFDOCTOR_ENCODER_H

#include "../encoding/lzf.h"
#include "../encoding/runs.h"
#include "double_text.h"

#define ENCODER_SLACK 64
#define ENCODER_LARGE ((uint64_t)1 << 17)  /* strings of this size and more are not handled */
#define ENCODER_CHUNK 64                   /* elements in one command */

enum { ENCODER_STRING, ENCODER_LIST, ENCODER_SET, ENCODER_ZSET, ENCODER_HASH, ENCODER_TYPES };
enum { ENCODER_DONE, ENCODER_FULL, ENCODER_NOT_HANDLED };  /* as BulkStop in encoder.py */

typedef struct {
    const int64_t *edges, *name, *value, *expire, *idle, *db;
    const uint16_t *kind;
    const int16_t *freq;
} encoder_columns;

typedef struct {
    const uint8_t *bytes;    /* the window: `fill` bytes of the file from offset `base` on */
    int64_t base;
    size_t fill;
    uint8_t *out, *at, *end; /* the encoded bytes are [out, at) */
    uint8_t *packed;         /* a buffer for decompressed values: ENCODER_LARGE bytes and the slack */
    const double_power *powers;
    int64_t db, shift_ms;    /* the selected database; the milliseconds added to expiries */
    int64_t keys[ENCODER_TYPES], hints;
    int full;                /* set when the output had no room for a key */
} encoder;

typedef struct {
    const uint8_t *p, *end;
} encoder_reader;

/* ---- output ---- */

static inline int encoder_has_room(encoder *b, uint64_t size) {
    if (size <= (uint64_t)(b->end - b->at)) return 1;
    b->full = 1;
    return 0;
}

static inline uint8_t *encoder_copy(uint8_t *to, const uint8_t *from, size_t size) {
    uint8_t *end = to + size;
    if (size > 256) memcpy(to, from, size);
    else for (; to < end; to += 32, from += 32) memcpy(to, from, 32);
    return end;
}

static inline uint8_t *encoder_put_digits(uint8_t *p, uint64_t value, unsigned digits) {
    double_put_digits((char *)p, value, digits);
    return p + digits;
}

/* Write prefix, number, CRLF. */
static inline uint8_t *encoder_put_header(uint8_t *p, uint8_t prefix, uint64_t value) {
    *p++ = prefix;
    if (value < 10) *p++ = (uint8_t)('0' + value);
    else p = encoder_put_digits(p, value, double_digit_count(value));
    *p++ = '\r';
    *p++ = '\n';
    return p;
}

static inline uint8_t *encoder_put_crlf(uint8_t *p) {
    p[0] = '\r';
    p[1] = '\n';
    return p + 2;
}

static inline int encoder_put_bytes(encoder *b, const uint8_t *from, uint64_t size) {
    if (!encoder_has_room(b, size + 32)) return 0;
    b->at = encoder_put_crlf(encoder_copy(encoder_put_header(b->at, '$', size), from, size));
    return 1;
}

static inline int encoder_put_integer(encoder *b, int64_t value) {
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    unsigned digits = double_digit_count(rest);
    if (!encoder_has_room(b, 64)) return 0;
    uint8_t *p = encoder_put_header(b->at, '$', digits + (value < 0));
    if (value < 0) *p++ = '-';
    b->at = encoder_put_crlf(encoder_put_digits(p, rest, digits));
    return 1;
}

static int encoder_put_lzf(encoder *b, const runs_item *item) {
    uint64_t size = (uint64_t)item->number;
    if (!encoder_has_room(b, size + 32)) return 0;
    uint8_t *p = encoder_put_header(b->at, '$', size);
    size_t done = 0;
    if (lzf_decompress_prefix_slack(item->at, item->size, p, &done, size, 32) != item->size || done != size) return 0;
    b->at = encoder_put_crlf(p + size);
    return 1;
}

static inline int encoder_put(encoder *b, const runs_item *item) {
    if (item->kind == RUNS_NUMBER) return encoder_put_integer(b, item->number);
    return item->kind == RUNS_LZF ? encoder_put_lzf(b, item) : encoder_put_bytes(b, item->at, item->size);
}

/* Write a score as servers and Python format it: the shortest text of the double.  Returns its size, or 0 if undecided. */
static unsigned encoder_score_text(const encoder *b, const runs_item *item, char *text) {
    double score = (double)item->number;
    if (item->kind == RUNS_TAIL) {
        uint64_t bits = runs_little(item->at, 8);
        memcpy(&score, &bits, 8);
    } else if (item->kind != RUNS_NUMBER && !double_parse(b->powers, item->at, item->size, &score)) return 0;
    return double_format(b->powers, score, text);
}

static int encoder_put_score(encoder *b, const runs_item *item) {
    char text[DOUBLE_TEXT_MAX] = {0};
    if (item->kind == RUNS_NUMBER && item->number < (int64_t)1 << 53 && item->number > -((int64_t)1 << 53))
        return encoder_put_integer(b, item->number);
    unsigned size = encoder_score_text(b, item, text);
    if (!size || !encoder_has_room(b, 64)) return 0;
    uint8_t *p = encoder_put_header(b->at, '$', size);
    memcpy(p, text, DOUBLE_TEXT_MAX);
    b->at = encoder_put_crlf(p + size);
    return 1;
}

/* ---- commands of ENCODER_CHUNK elements ---- */

typedef struct encoder_chunk {
    encoder *b;
    const char *word;       /* the command's name as RESP */
    runs_item name, member;  /* member: the member of a sorted set before its score */
    int is_scored, member_waits;
    unsigned item_max, item_count;    /* items of a full command; items of this one so far */
    uint64_t expected;      /* items that are still to come, if known, else 0 */
    size_t head, start, prefix, prefix_size;  /* offsets in the output; prefix: the names of the command and of the key */
    unsigned guessed_argc;
    /* If set, receives the items instead of encoder_add_item: nothing is encoded.  `observer` is its own state. */
    int (*observe)(struct encoder_chunk *c, const runs_item *item);
    void *observer;
} encoder_chunk;

/* Begin a command; the argument count in its header is a guess. */
static int encoder_open_command(encoder_chunk *c) {
    encoder *b = c->b;
    if (!encoder_has_room(b, 64 + c->prefix_size)) return 0;
    c->guessed_argc = 2 + (c->expected && c->expected < c->item_max ? (unsigned)c->expected : c->item_max);
    c->head = (size_t)(b->at - b->out);
    b->at = encoder_put_header(b->at, '*', c->guessed_argc);
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
    if (!encoder_put(b, &c->name)) return 0;
    c->prefix_size = (size_t)(b->at - b->out) - c->prefix;
    return 1;
}

/* Finish a command: correct its argument count if the guess was wrong. */
static int encoder_close_command(encoder_chunk *c) {
    encoder *b = c->b;
    unsigned count = 2 + c->item_count;
    c->expected -= c->item_count < c->expected ? c->item_count : c->expected;
    c->item_count = 0;
    if (count == c->guessed_argc) return 1;
    uint8_t head[16];
    size_t size = (size_t)(encoder_put_header(head, '*', count) - head), before = c->start - c->head;
    if (!encoder_has_room(b, size)) return 0;
    if (size != before) {
        memmove(b->out + c->head + size, b->out + c->start, (size_t)(b->at - b->out) - c->start);
        b->at = b->at - before + size;
        if (c->prefix == c->start) c->prefix = c->head + size;
    }
    memcpy(b->out + c->head, head, size);
    return 1;
}

static inline int encoder_add_item(encoder_chunk *c, const runs_item *item) {
    if (c->observe) return c->observe(c, item);
    if (c->is_scored && !c->member_waits) {
        c->member = *item;
        return c->member_waits = 1;
    }
    if (!c->item_count && !encoder_open_command(c)) return 0;
    if (c->is_scored) {
        c->member_waits = 0;
        if (!encoder_put_score(c->b, item) || !encoder_put(c->b, &c->member)) return 0;
        c->item_count += 2;
    } else {
        if (!encoder_put(c->b, item)) return 0;
        c->item_count++;
    }
    return c->item_count < c->item_max || encoder_close_command(c);
}

/* ---- values ---- */

static inline int encoder_read_string(encoder_reader *r, runs_item *item) {
    size_t size = runs_string(r->p, (size_t)(r->end - r->p), ENCODER_LARGE, item);
    r->p += size;
    return size != 0;
}

static inline int encoder_read_length(encoder_reader *r, uint64_t *value) {
    unsigned size = runs_length(r->p, (size_t)(r->end - r->p), value);
    r->p += size;
    return size != 0;
}

/* Set *pack to the bytes of a listpack, ziplist or intset, decompressed if necessary. */
static int encoder_packed(encoder *b, encoder_reader *r, encoder_reader *pack) {
    runs_item item;
    if (!encoder_read_string(r, &item) || item.kind == RUNS_NUMBER) return 0;
    *pack = (encoder_reader){item.at, item.at + item.size};
    if (item.kind == RUNS_BYTES) return 1;
    size_t done = 0, size = (size_t)item.number;
    *pack = (encoder_reader){b->packed, b->packed + size};
    return lzf_decompress_prefix_slack(item.at, item.size, b->packed, &done, size, 32) == item.size && done == size;
}

/* Whether the size in the header of a listpack or ziplist is right and the end byte is there. */
static int encoder_header_is_valid(const encoder_reader *pack, size_t head) {
    size_t size = (size_t)(pack->end - pack->p);
    return size > head && pack->end[-1] == 0xff && runs_little(pack->p, 4) == size;
}

/* Whether the item count in a header is right (65535: unknown) and the last element of `width` items is complete. */
static int encoder_count_is_valid(const uint8_t *p, uint64_t entry_count, unsigned width) {
    uint64_t declared_count = runs_little(p, 2);
    return (declared_count == entry_count || declared_count == 65535) && entry_count % width == 0;
}

static void encoder_expect_items(encoder_chunk *c, const uint8_t *p) {
    uint64_t declared_count = runs_little(p, 2);
    if (!c->expected && declared_count != 65535) c->expected = declared_count;
}

static int encoder_read_listpack(encoder_chunk *c, encoder_reader *r, unsigned width) {
    encoder_reader pack;
    runs_item item;
    if (!encoder_packed(c->b, r, &pack) || !encoder_header_is_valid(&pack, 6)) return 0;
    const uint8_t *p = pack.p + 6, *last = pack.end - 1;
    uint64_t entry_count = 0;
    if (width) encoder_expect_items(c, pack.p + 4);
    for (; p < last; entry_count++) {
        uint64_t length = runs_listpack_entry(p, (size_t)(last - p), &item);
        unsigned back = runs_backlen_size(length);
        if (!length || back > (uint64_t)(last - p) - length || !runs_backlen_matches(p + length, back, length)) return 0;
        if (!encoder_add_item(c, &item)) return 0;
        p += length + back;
    }
    return encoder_count_is_valid(pack.p + 4, entry_count, width ? width : 1);
}

static int encoder_read_ziplist(encoder_chunk *c, encoder_reader *r, unsigned width) {
    encoder_reader pack;
    runs_item item;
    if (!encoder_packed(c->b, r, &pack) || !encoder_header_is_valid(&pack, 10)) return 0;
    size_t size = (size_t)(pack.end - pack.p) - 1, at = 10;
    uint64_t before = 0, entry_count = 0;
    if (width) encoder_expect_items(c, pack.p + 8);
    for (; at < size; entry_count++) {
        if (runs_ziplist(pack.p, size, &at, &before, &item, 1) != 1 || !encoder_add_item(c, &item)) return 0;
    }
    return runs_little(pack.p + 4, 4) == at - before && encoder_count_is_valid(pack.p + 8, entry_count, width ? width : 1);
}

static int encoder_read_intset(encoder_chunk *c, encoder_reader *r, unsigned width) {
    encoder_reader pack;
    runs_item item;
    (void)width;
    if (!encoder_packed(c->b, r, &pack) || pack.end - pack.p < 8) return 0;
    uint64_t bytes = runs_little(pack.p, 4), count = runs_little(pack.p + 4, 4);
    if ((bytes != 2 && bytes != 4 && bytes != 8) || (uint64_t)(pack.end - pack.p) != 8 + bytes * count) return 0;
    c->expected = count;
    for (const uint8_t *p = pack.p + 8; p < pack.end; p += bytes) {
        runs_set(&item, RUNS_NUMBER, p, bytes, runs_signed(p, (unsigned)bytes));
        if (!encoder_add_item(c, &item)) return 0;
    }
    return 1;
}

static int encoder_read_strings(encoder_chunk *c, encoder_reader *r, unsigned width) {
    uint64_t count;
    runs_item item;
    if (!encoder_read_length(r, &count) || count > (uint64_t)(r->end - r->p)) return 0;
    c->expected = count * width;
    for (uint64_t left = count * width; left; left--)
        if (!encoder_read_string(r, &item) || !encoder_add_item(c, &item)) return 0;
    return 1;
}

static int encoder_read_scored(encoder_chunk *c, encoder_reader *r, unsigned width) {
    uint64_t count;
    runs_item member, score;
    if (!encoder_read_length(r, &count) || count > (uint64_t)(r->end - r->p)) return 0;
    c->expected = count * width;
    for (; count; count--) {
        if (!encoder_read_string(r, &member) || r->end - r->p < 8) return 0;
        runs_set(&score, RUNS_TAIL, r->p, 8, 0);
        r->p += 8;
        if (!encoder_add_item(c, &member) || !encoder_add_item(c, &score)) return 0;
    }
    return 1;
}

static int encoder_read_quicklist(encoder_chunk *c, encoder_reader *r, unsigned width) {
    uint64_t nodes;
    if (!encoder_read_length(r, &nodes)) return 0;
    if (nodes == 1) width = 1;  /* then the header of that node has the count of the whole list */
    for (; nodes; nodes--)
        if (!encoder_read_ziplist(c, r, width)) return 0;
    return 1;
}

static int encoder_read_quicklist2(encoder_chunk *c, encoder_reader *r, unsigned width) {
    uint64_t nodes, container;
    runs_item item;
    if (!encoder_read_length(r, &nodes)) return 0;
    if (nodes == 1) width = 1;
    for (; nodes; nodes--) {
        if (!encoder_read_length(r, &container)) return 0;
        if (container == 2 ? !encoder_read_listpack(c, r, width) : container != 1 || !encoder_read_string(r, &item) || !encoder_add_item(c, &item))
            return 0;
    }
    return 1;
}

typedef struct {
    int type;
    unsigned width;
    int (*read)(encoder_chunk *c, encoder_reader *r, unsigned width);  /* NULL for strings */
} encoder_type;

/* By type byte.  width: items of an element, 0 for a list of several nodes; an entry with neither width nor reader is not
 * handled. */
static const encoder_type encoder_types[21] = {
    [0] = {ENCODER_STRING, 1, NULL}, [1] = {ENCODER_LIST, 1, encoder_read_strings}, [2] = {ENCODER_SET, 1, encoder_read_strings},
    [4] = {ENCODER_HASH, 2, encoder_read_strings}, [5] = {ENCODER_ZSET, 2, encoder_read_scored}, [10] = {ENCODER_LIST, 1, encoder_read_ziplist},
    [11] = {ENCODER_SET, 1, encoder_read_intset}, [12] = {ENCODER_ZSET, 2, encoder_read_ziplist}, [13] = {ENCODER_HASH, 2, encoder_read_ziplist},
    [14] = {ENCODER_LIST, 0, encoder_read_quicklist}, [16] = {ENCODER_HASH, 2, encoder_read_listpack}, [17] = {ENCODER_ZSET, 2, encoder_read_listpack},
    [18] = {ENCODER_LIST, 0, encoder_read_quicklist2}, [20] = {ENCODER_SET, 1, encoder_read_listpack},
};

static const char *const encoder_command_names[ENCODER_TYPES] = {
    "", "$5\r\nRPUSH\r\n", "$4\r\nSADD\r\n", "$4\r\nZADD\r\n", "$5\r\nHMSET\r\n",
};

static inline int encoder_handles(uint16_t kind) { return kind == 0 || (kind <= 20 && encoder_types[kind].read); }

/* ---- keys ---- */

static int encoder_put_select(encoder *b, int64_t db) {
    static const char word[] = "*2\r\n$6\r\nSELECT\r\n";
    if (!encoder_has_room(b, sizeof word)) return 0;
    memcpy(b->at, word, sizeof word - 1);
    b->at += sizeof word - 1;
    return encoder_put_integer(b, db);
}

static int encoder_put_expiry(encoder *b, int64_t expire, size_t name, size_t size) {
    static const char word[] = "*3\r\n$9\r\nPEXPIREAT\r\n";
    if (!encoder_has_room(b, sizeof word + size)) return 0;
    memcpy(b->at, word, sizeof word - 1);
    memcpy(b->at + sizeof word - 1, b->out + name, size);
    b->at += sizeof word - 1 + size;
    if (!b->shift_ms || expire < 0) return encoder_put_integer(b, expire);   /* a time before 1970 has passed in any case */
    if (__builtin_add_overflow(expire, b->shift_ms, &expire)) expire = INT64_MAX;
    return encoder_put_integer(b, expire < 1 ? 1 : expire);
}

/* Encode a string value as SET.  *name and *size are set to where the RESP of the key's name is in the output. */
static int encoder_encode_string(encoder *b, const runs_item *key, encoder_reader *r, size_t *name, size_t *size) {
    static const char word[] = "*3\r\n$3\r\nSET\r\n";
    runs_item value;
    if (!encoder_read_string(r, &value) || !encoder_has_room(b, sizeof word)) return 0;
    memcpy(b->at, word, sizeof word - 1);
    b->at += sizeof word - 1;
    *name = (size_t)(b->at - b->out);
    if (!encoder_put(b, key)) return 0;
    *size = (size_t)(b->at - b->out) - *name;
    return encoder_put(b, &value);
}

static int encoder_encode_collection(encoder *b, const encoder_type *row, const runs_item *key, encoder_reader *r, size_t *name,
                           size_t *size) {
    encoder_chunk c = {.b = b, .word = encoder_command_names[row->type], .name = *key, .is_scored = row->type == ENCODER_ZSET,
                    .item_max = ENCODER_CHUNK * (row->width ? row->width : 1)};
    if (!row->read(&c, r, row->width) || !c.prefix_size || c.member_waits) return 0;
    if (c.item_count && !encoder_close_command(&c)) return 0;
    size_t words = strlen(c.word);
    *name = c.prefix + words;
    *size = c.prefix_size - words;
    return 1;
}

/* Whether only opcodes that belong to a key are in r: its expiry, its idle time, its frequency. */
static int encoder_only_key_fields(encoder_reader r) {
    uint64_t idle;
    while (r.p < r.end) {
        if (*r.p == 252) r.p += 9;
        else if (*r.p == 253) r.p += 5;
        else if (*r.p == 249) r.p += 2;
        else if (*r.p++ != 248 || !encoder_read_length(&r, &idle)) return 0;
    }
    return r.p == r.end;
}

static int encoder_encode_key(encoder *b, const encoder_columns *c, size_t i) {
    int64_t start = c->edges[i] - b->base, end = c->edges[i + 1] - b->base;
    int64_t db = c->db[i] < 0 ? 0 : c->db[i];
    if (start < 0 || end > (int64_t)b->fill || !encoder_handles(c->kind[i])) return 0;
    const encoder_type *row = &encoder_types[c->kind[i]];
    encoder_reader r = {b->bytes + (c->name[i] - b->base), b->bytes + end};
    runs_item key;
    size_t name = 0, size = 0;
    if (r.p != b->bytes + start + 1 && !encoder_only_key_fields((encoder_reader){b->bytes + start, r.p - 1})) return 0;
    if (!encoder_read_string(&r, &key) || (db != b->db && !encoder_put_select(b, db))) return 0;
    if (!(row->read ? encoder_encode_collection(b, row, &key, &r, &name, &size) : encoder_encode_string(b, &key, &r, &name, &size))) return 0;
    if (r.p != r.end || (c->expire[i] != -1 && !encoder_put_expiry(b, c->expire[i], name, size))) return 0;
    b->db = db;
    b->keys[row->type]++;
    b->hints += c->idle[i] >= 0 || c->freq[i] >= 0;
    return 1;
}

/* Items that need no command: the magic, AUX fields, RESIZEDB, SELECTDB, EOF. */
static inline int encoder_skips(uint16_t kind) {
    return kind == 256 || kind == 250 || kind == 251 || kind == 254 || kind == 255;
}

static int encoder_has_counts(const encoder *b) {
    int64_t all = b->hints;
    for (int i = 0; i < ENCODER_TYPES; i++) all += b->keys[i];
    return all != 0;
}

/* Encode the items from *at on, before `stop`; return why it stopped.  ENCODER_FULL also if the next key is in another
 * database and there are counts, which belong to the database before. */
static int encoder_encode(encoder *b, const encoder_columns *c, size_t *at, size_t stop) {
    size_t i = *at;
    int reason = ENCODER_DONE;
    for (; i < stop; i++) {
        if (c->name[i] < 0) {
            if (encoder_skips(c->kind[i])) continue;
            reason = ENCODER_NOT_HANDLED;
            break;
        }
        uint8_t *before = b->at;
        if ((c->db[i] < 0 ? 0 : c->db[i]) != b->db && encoder_has_counts(b)) { reason = ENCODER_FULL; break; }
        b->full = 0;
        if (encoder_encode_key(b, c, i)) continue;
        b->at = before;
        reason = b->full && before != b->out ? ENCODER_FULL : ENCODER_NOT_HANDLED;
        break;
    }
    *at = i;
    return reason;
}

#endif
