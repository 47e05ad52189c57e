/* Scan a buffer for whole records.
 *
 * This is the hot loop.  It handles only well-formed input: it stops at the
 * first byte that does not belong to a whole record and reports where that is.
 * diagnosis.py finds out why.
 *
 * A record is a command (`*argc CRLF`, then argc times `$length CRLF payload
 * CRLF`) or an annotation (`#` up to and including LF).
 *
 * The buffer must be followed by SCAN_SLACK readable bytes that are all zero:
 * names are read eight bytes at a time, and a stale byte after the end could
 * complete a truncated header.
 */
#ifndef AOFDOCTOR_SCAN_H
#define AOFDOCTOR_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SCAN_SLACK 64
#define SCAN_NAME_MAX 24      /* no command of any server has a longer name */
#define SCAN_RENAMED_MAX 64   /* names that rename-command gives can be longer: redis.conf shows one of 40 bytes */
#define SCAN_DIGITS_MAX 18    /* including leading zeros; 10^18 fits an int64 */
#define SCAN_ARGC_MAX 2147483647
#define SCAN_UNKNOWN 0
#define SCAN_ANNOTATION 1

/* ---- command names: a hash table with open addressing, keyed by the name in lower case ---- */

typedef struct {
    uint64_t word[3];        /* the name in lower case, padded with zeros */
    uint16_t size;           /* 0: the slot is free */
    uint16_t parent;         /* the id of the command that a subcommand belongs to, else 0 */
    uint16_t id;
    uint16_t container;      /* 1 if the command has subcommands */
} scan_name;

typedef struct {
    uint8_t name[SCAN_RENAMED_MAX];  /* in lower case */
    uint16_t size;
    uint16_t id;
} scan_renamed;

typedef struct {
    scan_name *slot;
    uint32_t mask;           /* the number of slots, a power of two, minus one; at least one slot is free */
    scan_renamed *renamed;   /* the few names that are longer than SCAN_NAME_MAX */
    size_t renamed_count;
} scan_names;

static inline uint64_t scan_load8(const uint8_t *p) {
    uint64_t word;
    memcpy(&word, p, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

/* Convert A..Z to a..z in eight bytes at once; every other byte is unchanged. */
static inline uint64_t scan_lower(uint64_t w) {
    const uint64_t ones = 0x0101010101010101u;
    uint64_t low = w & (0x7f * ones);
    uint64_t from_a = low + (0x80 - 'A') * ones;
    uint64_t past_z = low + (0x80 - 'Z' - 1) * ones;
    uint64_t upper = (from_a & ~past_z & ~w) & (0x80 * ones);
    return w | (upper >> 2);
}

/* Load the name in three words of lower case; bytes after `size` are masked, so any bytes may follow the name. */
static inline void scan_name_words(const uint8_t *p, size_t size, uint64_t out[3]) {
    for (size_t i = 0; i < 3; i++) {
        size_t from = i * 8;
        if (size <= from) { out[i] = 0; continue; }
        uint64_t w = scan_load8(p + from);
        if (size < from + 8) w &= (~(uint64_t)0) >> (8 * (from + 8 - size));
        out[i] = scan_lower(w);
    }
}

/* Find the slot of a name, or the free slot where it belongs.  24 bytes at p must be readable. */
static inline scan_name *scan_slot(const scan_names *names, const uint8_t *p, size_t size, uint16_t parent) {
    uint64_t w[3];
    scan_name_words(p, size, w);
    uint64_t h = w[0] ^ (w[1] * 0x9e3779b97f4a7c15u) ^ (w[2] * 0xc2b2ae3d27d4eb4fu) ^ size ^ ((uint64_t)parent << 32);
    uint32_t at = (uint32_t)((h * 0xff51afd7ed558ccdu) >> 40) & names->mask;
    for (;; at = (at + 1) & names->mask) {
        scan_name *s = &names->slot[at];
        if (s->size == 0) return s;
        if (s->size == size && s->parent == parent && s->word[0] == w[0] && s->word[1] == w[1] && s->word[2] == w[2])
            return s;
    }
}

static inline void scan_name_add(const scan_names *names, const uint8_t *p, size_t size, uint16_t parent, uint16_t id) {
    scan_name *s = scan_slot(names, p, size, parent);
    scan_name_words(p, size, s->word);
    s->size = (uint16_t)size;
    s->parent = parent;
    s->id = id;
}

/* ---- headers ---- */

static inline int scan_is_crlf(const uint8_t *p) { return p[0] == '\r' && p[1] == '\n'; }

/* Parse `prefix digits CRLF` at p: set *value and return the byte after it, or return NULL if it is no header.
 * Reads at most SCAN_DIGITS_MAX + 3 bytes. */
static inline const uint8_t *scan_header(const uint8_t *p, uint8_t prefix, int64_t *value) {
    if (p[0] != prefix) return NULL;
    unsigned d = (unsigned)p[1] - '0';
    if (d > 9) return NULL;
    int64_t v = d;
    if (scan_is_crlf(p + 2)) { *value = v; return p + 4; }
    for (int i = 2; i <= SCAN_DIGITS_MAX; i++) {
        d = (unsigned)p[i] - '0';
        if (d > 9) return NULL;
        v = v * 10 + d;
        if (scan_is_crlf(p + i + 1)) { *value = v; return p + i + 3; }
    }
    return NULL;
}

/* ---- arguments and records ---- */

/* Return the payload of the argument at *p and move *p past its CRLF; NULL unless it ends at or before `end`. */
static inline const uint8_t *scan_argument(const uint8_t **p, const uint8_t *end, int64_t *size) {
    const uint8_t *payload = *p < end ? scan_header(*p, '$', size) : NULL;
    if (!payload || payload > end || *size > end - payload - 2) return NULL;
    *p = payload + *size + 2;
    return payload;
}

/* Skip up to `count` whole arguments from p; return the byte after the last one and set *done to their number. */
static inline const uint8_t *scan_args(const uint8_t *p, const uint8_t *end, int64_t count, int64_t *done) {
    int64_t i = 0;
    for (; i < count; i++) {
        int64_t size;
        const uint8_t *payload = scan_header(p, '$', &size);
        if (!payload || payload > end || size > end - payload - 2) break;
        if (!scan_is_crlf(payload + size)) break;
        p = payload + size + 2;
    }
    *done = i;
    return p;
}

/* Look up the id of a name that is longer than SCAN_NAME_MAX. */
static inline uint16_t scan_identify_long(const scan_names *names, const uint8_t *name, int64_t length) {
    for (size_t i = 0; i < names->renamed_count; i++) {
        const scan_renamed *r = &names->renamed[i];
        int64_t at = r->size == length ? 0 : length;
        while (at < length && r->name[at] == (name[at] >= 'A' && name[at] <= 'Z' ? name[at] + 32 : name[at])) at++;
        if (at == length && r->size == length) return r->id;
    }
    return SCAN_UNKNOWN;
}

/* Look up the id of the command with its name at `name`; `next` points to the header of its second argument. */
static inline uint16_t scan_identify(const scan_names *names, const uint8_t *name, int64_t length, int64_t count,
                                    const uint8_t *next) {
    if (length < 1) return SCAN_UNKNOWN;
    if (length > SCAN_NAME_MAX) return scan_identify_long(names, name, length);
    const scan_name *s = scan_slot(names, name, (size_t)length, 0);
    if (!s->size) return SCAN_UNKNOWN;
    if (!s->container || count < 2) return s->id;
    const uint8_t *sub = scan_header(next, '$', &length);
    if (!sub || length < 1 || length > SCAN_NAME_MAX) return s->id;
    const scan_name *t = scan_slot(names, sub, (size_t)length, s->id);
    return t->size ? t->id : s->id;
}

/* Fill edges[0..n], argc[0..n-1] and ids[0..n-1], and return n, the number of whole records, at most `room`.
 * Edges are offsets in the buffer: record i is [edges[i], edges[i+1]).
 * An annotation has argc 0 and the id SCAN_ANNOTATION. */
static size_t scan_records(const uint8_t *buffer, size_t size, const scan_names *names, size_t room,
                       int64_t *edges, uint32_t *argc, uint16_t *ids) {
    const uint8_t *p = buffer, *end = buffer + size;
    size_t n = 0;
    edges[0] = 0;
    while (n < room && p < end) {
        if (*p == '*') {
            int64_t count, length;
            const uint8_t *q = scan_header(p, '*', &count);
            if (!q || count < 1 || count > SCAN_ARGC_MAX) break;
            const uint8_t *name = scan_header(q, '$', &length);
            if (!name || name > end || length > end - name - 2 || !scan_is_crlf(name + length)) break;
            int64_t done;
            q = scan_args(name + length + 2, end, count - 1, &done);
            if (done < count - 1) break;
            argc[n] = (uint32_t)count;
            ids[n] = scan_identify(names, name, length, count, name + length + 2);
            p = q;
        } else if (*p == '#') {
            const uint8_t *lf = (const uint8_t *)memchr(p, '\n', (size_t)(end - p));
            if (!lf) break;
            argc[n] = 0;
            ids[n] = SCAN_ANNOTATION;
            p = lf + 1;
        } else {
            break;
        }
        edges[++n] = p - buffer;
    }
    return n;
}

#endif
