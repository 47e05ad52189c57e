/* Find consecutive items in a buffer, many in one call: items of a listpack, items of a ziplist, or RDB strings.
 *
 * Handles only well-formed input: each function stops at the first item that is
 * incomplete or malformed, and the caller finds out why.  No byte outside of the
 * given buffer is read.  Sources: listpack.c (Redis 7.0), ziplist.c (Redis 6.2), rdb.c.
 */
#ifndef AOFDOCTOR_RUNS_H
#define AOFDOCTOR_RUNS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { RUNS_BYTES, RUNS_NUMBER, RUNS_LZF, RUNS_TAIL };

/* at, size: the bytes of the item, without headers.  number: the value of a number, or the decompressed size of LZF data. */
typedef struct {
    const uint8_t *at;
    uint64_t size;
    int64_t number;
    int kind;
} runs_item;

static inline uint64_t runs_little(const uint8_t *p, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value |= (uint64_t)p[i] << (8 * i);
    return value;
}

static inline int64_t runs_signed(const uint8_t *p, unsigned bytes) {
    uint64_t value = runs_little(p, bytes), sign = (uint64_t)1 << (8 * bytes - 1);
    return (int64_t)((value ^ sign) - sign);
}

static inline uint64_t runs_big(const uint8_t *p, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) value = value << 8 | p[i];
    return value;
}

static inline size_t runs_set(runs_item *item, int kind, const uint8_t *at, uint64_t size, int64_t number) {
    *item = (runs_item){at, size, number, kind};
    return 1;
}

/* ---- listpack entry: a header, the bytes, and the entry's length once more, for reading backwards ---- */

static inline unsigned runs_backlen_size(uint64_t length) {
    return length <= 127 ? 1 : length < 16383 ? 2 : length < 2097151 ? 3 : length < 268435455 ? 4 : 5;
}

static inline int runs_backlen_matches(const uint8_t *p, unsigned bytes, uint64_t length) {
    for (unsigned i = bytes; i-- > 0; length >>= 7)
        if (p[i] != ((length & 127) | (i ? 128 : 0))) return 0;
    return length == 0;
}

/* Decode the listpack entry at p; return its size without the backward length, or 0 if `left` bytes do not hold it. */
static inline uint64_t runs_listpack_entry(const uint8_t *p, size_t left, runs_item *item) {
    static const uint8_t widths[5] = {0, 2, 3, 4, 8};
    uint8_t first = p[0];
    uint64_t head = 1, size = 0;
    if (first < 0x80) return runs_set(item, RUNS_NUMBER, p, 1, first);
    if (first < 0xc0) size = first & 63;
    else if (first < 0xe0) {
        if (left < 2) return 0;
        int64_t value = (first & 31) << 8 | p[1];
        return 1 + runs_set(item, RUNS_NUMBER, p, 2, value >= 4096 ? value - 8192 : value);
    } else if (first < 0xf0) {
        if (left < 2) return 0;
        head = 2, size = (uint64_t)(first & 15) << 8 | p[1];
    } else if (first == 0xf0) {
        if (left < 5) return 0;
        head = 5, size = runs_little(p + 1, 4);
    } else if (first <= 0xf4) {
        unsigned width = widths[first - 0xf0];
        if (left < 1 + width) return 0;
        return width + runs_set(item, RUNS_NUMBER, p, 1 + width, runs_signed(p + 1, width));
    } else return 0;
    if (size > left - head) return 0;
    runs_set(item, RUNS_BYTES, p + head, size, 0);
    return head + size;
}

/* Find the listpack items from p[*at] on, at most max_items; return their number and set *at to the next one. */
static size_t runs_listpack(const uint8_t *p, size_t size, size_t *at, runs_item *items, size_t max_items) {
    size_t n = 0, i = *at;
    while (n < max_items && i < size && p[i] != 0xff) {
        uint64_t length = runs_listpack_entry(p + i, size - i, &items[n]);
        unsigned back = runs_backlen_size(length);
        if (!length || back > size - i - length || !runs_backlen_matches(p + i + length, back, length)) break;
        i += length + back;
        n++;
    }
    *at = i;
    return n;
}

/* ---- ziplist: the length of the previous entry, the header of this one, its bytes ---- */

static inline uint64_t runs_ziplist_entry(const uint8_t *p, size_t left, runs_item *item) {
    uint8_t first = p[0];
    uint64_t head = 1, size;
    if (first < 0x40) size = first & 63;
    else if (first < 0x80) {
        if (left < 2) return 0;
        head = 2, size = (uint64_t)(first & 63) << 8 | p[1];
    } else if (first < 0xc0) {
        if (first != 0x80 || left < 5) return 0;
        head = 5, size = runs_big(p + 1, 4);
    } else if (first >= 0xf1 && first <= 0xfd) {
        return runs_set(item, RUNS_NUMBER, p, 1, (first & 15) - 1);
    } else {
        unsigned width = first == 0xfe ? 1 : first == 0xc0 ? 2 : first == 0xf0 ? 3 : first == 0xd0 ? 4 : first == 0xe0 ? 8 : 0;
        if (!width || left < 1 + width) return 0;
        return width + runs_set(item, RUNS_NUMBER, p, 1 + width, runs_signed(p + 1, width));
    }
    if (size > left - head) return 0;
    runs_set(item, RUNS_BYTES, p + head, size, 0);
    return head + size;
}

/* Find the ziplist items from p[*at] on.  *prevlen: the length of the entry before *at, on return that of the last
 * entry found. */
static size_t runs_ziplist(const uint8_t *p, size_t size, size_t *at, uint64_t *prevlen, runs_item *items, size_t max_items) {
    size_t n = 0, i = *at;
    while (n < max_items && i < size && p[i] != 0xff) {
        size_t prefix = p[i] == 0xfe ? 5 : 1;
        if (size - i <= prefix || *prevlen != (prefix == 5 ? runs_little(p + i + 1, 4) : p[i])) break;
        uint64_t length = runs_ziplist_entry(p + i + prefix, size - i - prefix, &items[n]);
        if (!length) break;
        i += prefix + length;
        *prevlen = prefix + length;
        n++;
    }
    *at = i;
    return n;
}

/* ---- RDB strings ---- */

/* Decode the RDB length at p; return the bytes that it occupies, or 0 if it is incomplete or no length. */

static inline unsigned runs_length(const uint8_t *p, size_t left, uint64_t *value) {
    if (!left) return 0;
    unsigned kind = p[0] >> 6, width = p[0] == 0x80 ? 4 : 8;
    if (kind == 0) return *value = p[0] & 63, 1;
    if (kind == 1) return left < 2 ? 0 : (*value = runs_big(p, 2) & 0x3fff, 2);
    if (kind == 3 || p[0] > 0x81 || left < 1 + width) return 0;
    *value = runs_big(p + 1, width);
    return 1 + width;
}

/* Decode the RDB string at p; return its size with its header, or 0 if incomplete, malformed, or large_size or more. */
static inline size_t runs_string(const uint8_t *p, size_t left, uint64_t large_size, runs_item *item) {
    uint64_t size = 0, unpacked_size = 0;
    if (!left) return 0;
    if (p[0] >= 0xc0 && p[0] < 0xc3) {
        unsigned width = 1u << (p[0] & 3);
        return left < 1 + width ? 0 : width + runs_set(item, RUNS_NUMBER, p, 1 + width, runs_signed(p + 1, width));
    }
    size_t lzf = p[0] == 0xc3, head = lzf;
    unsigned more = runs_length(p + head, left - head, &size);
    if (!more) return 0;
    head += more;
    if (lzf) {
        more = runs_length(p + head, left - head, &unpacked_size);
        if (!more || unpacked_size >= large_size || unpacked_size / 88 > size) return 0;
        head += more;
    }
    if (size >= large_size || size > left - head) return 0;
    runs_set(item, lzf ? RUNS_LZF : RUNS_BYTES, p + head, size, (int64_t)unpacked_size);
    return head + size;
}

/* Find complete elements of `width` strings each, followed by eight more bytes if has_tail is set. */
static size_t runs_strings(const uint8_t *p, size_t size, size_t *at, unsigned width, int has_tail, uint64_t large_size,
                          runs_item *items, size_t max_items) {
    size_t n = 0, i = *at, parts = width + (has_tail != 0);
    while (n + parts <= max_items) {
        size_t next = i;
        for (unsigned k = 0; k < width; k++) {
            size_t length = runs_string(p + next, size - next, large_size, &items[n + k]);
            if (!length) goto done;
            next += length;
        }
        if (has_tail) {
            if (size - next < 8) goto done;
            runs_set(&items[n + width], RUNS_TAIL, p + next, 8, 0);
            next += 8;
        }
        i = next;
        n += parts;
    }
done:
    *at = i;
    return n;
}

#endif
