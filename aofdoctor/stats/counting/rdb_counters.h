/* Count the keys of an RDB by type, by database and by prefix, and how many of them have a TTL.
 *
 * Reads the columns with offsets and types of RDB keys that the walker (rdb/walk) fills, and the bytes of the file that have
 * the names.  Counting stops at a name that is not completely in these bytes or cannot be decoded; the caller decodes it and
 * counts that key alone.
 */
#ifndef AOFDOCTOR_RDB_COUNTERS_H
#define AOFDOCTOR_RDB_COUNTERS_H

#include "../../rdb/encoding/lzf.h"
#include "../../rdb/walk/walker.h"
#include "heavy_hitters.h"
#include "record_counters.h"

#define RDBKEYS_TYPE_ROWS 256
#define RDBKEYS_LZF_INPUT_MAX 256  /* enough compressed bytes to get the prefix of a name */
#define RDBKEYS_LZF_OUTPUT_MAX 384    /* room for a prefix and the longest instruction */

typedef struct {
    int64_t keys, bytes, expires;
} rdbkeys_row;

typedef struct {
    rdbkeys_row by_type[RDBKEYS_TYPE_ROWS], by_db[RECORDS_DB_ROWS];
    uint8_t delimiter;
    unsigned depth;          /* 0: do not count by prefix */
    hitters_names prefixes;
} rdbkeys_counters;

static inline void rdbkeys_add(rdbkeys_row *row, int64_t size, int expires) {
    row->keys++;
    row->bytes += size;
    row->expires += expires;
}

static inline void rdbkeys_count_key(rdbkeys_counters *t, unsigned type, int64_t db, int64_t size, int expires) {
    rdbkeys_add(&t->by_type[type % RDBKEYS_TYPE_ROWS], size, expires);
    rdbkeys_add(&t->by_db[records_db_row(db)], size, expires);
}

static inline void rdbkeys_count_prefix(rdbkeys_counters *t, const uint8_t *p, size_t size, int64_t bytes, int expires) {
    hitters_add_to_name(hitters_find_name(&t->prefixes, p, hitters_prefix_size(p, size, t->delimiter, t->depth)), bytes, expires);
}

/* Write a number as decimal text; return its size. */
static inline size_t rdbkeys_digits(int64_t value, uint8_t *out) {
    uint8_t digits[20];
    size_t size = 0, n = 0;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do digits[n++] = '0' + rest % 10; while (rest /= 10);
    if (value < 0) out[size++] = '-';
    while (n) out[size++] = digits[--n];
    return size;
}

/* Decode the beginning of the RDB string at p (a key name), as far as a prefix can reach, to `out`, which has
 * RDBKEYS_LZF_OUTPUT_MAX bytes; return its size, or -1 if it is not complete before `end` or cannot be decoded. */
static int64_t rdbkeys_decode_name(const uint8_t *p, const uint8_t *end, uint8_t *out) {
    uint8_t head[2 * 9 + 1 + WALK_SLACK] = {0};
    size_t available = (size_t)(end - p), known = available < 2 * 9 + 1 ? available : 2 * 9 + 1;
    memcpy(head, p, known);
    const uint8_t *q = head, *stop = head + known;
    uint64_t size, packed;
    if (!known || head[0] > 0xc3) return -1;
    if (head[0] >= 0xc0 && head[0] < 0xc3) {
        int width = 1 << (head[0] & 3);
        if ((size_t)width >= known) return -1;
        uint64_t value = walk_little(head + 1, width), sign = (uint64_t)1 << (8 * width - 1);
        return (int64_t)rdbkeys_digits((int64_t)(value ^ sign) - (int64_t)sign, out);
    }
    int lzf = head[0] == 0xc3;
    q += lzf;
    if (walk_length(&q, stop, lzf ? &packed : &size) || (lzf && walk_length(&q, stop, &size)) || q > stop) return -1;
    available -= (size_t)(q - head);
    p += q - head;
    size_t needed = size < HITTERS_NAME_BYTES_KEPT + 1 ? (size_t)size : HITTERS_NAME_BYTES_KEPT + 1, decoded = 0;
    if (!lzf) {
        if (needed > available) return -1;
        memcpy(out, p, needed);
        return (int64_t)needed;
    }
    if (packed > RDBKEYS_LZF_INPUT_MAX) packed = RDBKEYS_LZF_INPUT_MAX;
    if (packed > available || lzf_decompress_prefix(p, (size_t)packed, out, &decoded, RDBKEYS_LZF_OUTPUT_MAX - 8) == LZF_BAD) return -1;
    return decoded < needed ? -1 : (int64_t)needed;
}

/* Count the keys among the RDB items (keys and opcodes) [at, stop); data[0, size) are bytes of the file from offset `base`.
 * Returns the index of the first item that was not counted.  The indexes of the keys with more than `threshold` bytes are
 * written to `larger`, their number to *larger_count. */
static size_t rdbkeys_count_items(rdbkeys_counters *t, const int64_t *edges, const int64_t *name, const int64_t *expire,
                            const int64_t *db, const uint16_t *kind, size_t at, size_t stop, const uint8_t *data,
                            size_t size, int64_t base, int64_t threshold, uint32_t *larger, size_t *larger_count) {
    uint8_t head[RDBKEYS_LZF_OUTPUT_MAX] = {0};
    *larger_count = 0;
    for (; at < stop; at++) {
        if (name[at] < 0) continue;
        int64_t bytes = edges[at + 1] - edges[at];
        int expires = expire[at] != -1;
        if (t->depth) {
            if (name[at] < base || (uint64_t)(name[at] - base) >= size) break;
            int64_t known = rdbkeys_decode_name(data + (name[at] - base), data + size, head);
            if (known < 0) break;
            rdbkeys_count_prefix(t, head, (size_t)known, bytes, expires);
        }
        rdbkeys_count_key(t, kind[at], db[at], bytes, expires);
        if (bytes > threshold) larger[(*larger_count)++] = (uint32_t)at;
    }
    return at;
}

#endif
