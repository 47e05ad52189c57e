/* Count the commands of an AOF by prefix of their first key, and find the keys written most, in bounded memory.
 *
 * Names (prefixes of keys, and commands that no server knows) are counted exactly until their table is full; further
 * names share one row.
 *
 * Single keys are counted for every record at the beginning of a log.  After that records are sampled: the smaller a
 * record, the less often it is counted, and the higher its weight, so that the cost is proportional to the bytes and
 * the sums are right on average.  `variance` is the variance of a sum that comes from sampling.
 *
 * The keys that are written most ("heavy hitters") are found with Space-Saving summaries (Metwally, Agrawal and
 * El Abbadi, 2005), one for each set of HITTERS_WAYS slots.  A key that finds no free slot in its set replaces the key
 * with the lowest count, and takes over that count as its possible error.  So, if every command is counted, a count is
 * never too low, and too high by at most its error; a key without a slot has at most the lowest count of its set.
 * Sampling adds a random error to both.
 *
 * SCAN_SLACK readable bytes must follow the records: names are read eight bytes at a time.
 */
#ifndef AOFDOCTOR_HEAVY_HITTERS_H
#define AOFDOCTOR_HEAVY_HITTERS_H

#include "../../aof/scan.h"

#define HITTERS_SETS 1024      /* a power of two */
#define HITTERS_WAYS 8
#define HITTERS_KEY_BYTES_KEPT 88       /* bytes that are kept of a key's name */
#define HITTERS_ALWAYS_COUNTED_BITS 14        /* a record of 2^13 bytes or more is always counted */
#define HITTERS_KEY_BYTES_COMPARED 4096      /* keys of the same length that are equal up to here count as one key */
#define HITTERS_NAMES_SLOTS 16384    /* a power of two */
#define HITTERS_NAMES_MAX 10000
#define HITTERS_NAME_BYTES_KEPT 64       /* bytes that are kept of a name; a prefix has its delimiter in addition */

/* ---- hashes ---- */

/* A random number, set when the module is loaded: nobody can choose names that all have the same slot. */
static uint64_t hitters_seed = 0;

static inline uint64_t hitters_mix(uint64_t h, uint64_t word) {
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* Hash p[0..size); eight bytes after it must be readable. */
static inline uint64_t hitters_hash(const uint8_t *p, size_t size, uint64_t extra) {
    uint64_t h = hitters_mix(extra ^ hitters_seed, size);
    size_t at = 0;
    for (; at + 8 <= size; at += 8) h = hitters_mix(h, scan_load8(p + at));
    if (at < size) h = hitters_mix(h, scan_load8(p + at) & (~(uint64_t)0 >> 8 * (8 - (size - at))));
    h *= 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

/* Compare two byte strings; eight bytes after both must be readable. */
static inline int hitters_bytes_equal(const uint8_t *p, const uint8_t *q, size_t size) {
    size_t at = 0;
    for (; at + 8 <= size; at += 8)
        if (scan_load8(p + at) != scan_load8(q + at)) return 0;
    return at == size || !((scan_load8(p + at) ^ scan_load8(q + at)) << 8 * (8 - (size - at)));
}

/* ---- names ---- */

typedef struct {
    int64_t commands, bytes, extra;
    uint64_t hash;
    uint32_t size, used;
    uint8_t name[HITTERS_NAME_BYTES_KEPT + 1 + 7];
} hitters_name;

typedef struct {
    hitters_name *slot;        /* a hash table of HITTERS_NAMES_SLOTS rows */
    size_t used;
    hitters_name overflow;
} hitters_names;

/* Find or create the row of a name (a prefix or a command name) of at most HITTERS_NAME_BYTES_KEPT + 1 bytes; return
 * the overflow row if the table is full. */
static inline hitters_name *hitters_find_name(hitters_names *names, const uint8_t *p, size_t size) {
    uint64_t hash = hitters_hash(p, size, 0);
    for (size_t at = hash % HITTERS_NAMES_SLOTS;; at = (at + 1) % HITTERS_NAMES_SLOTS) {
        hitters_name *s = &names->slot[at];
        if (s->used) {
            if (s->hash == hash && s->size == size && hitters_bytes_equal(s->name, p, size)) return s;
            continue;
        }
        if (names->used == HITTERS_NAMES_MAX) return &names->overflow;
        names->used++;
        s->used = 1;
        s->hash = hash;
        s->size = (uint32_t)size;
        memcpy(s->name, p, size);
        return s;
    }
}

static inline void hitters_add_to_name(hitters_name *row, int64_t bytes, int64_t extra) {
    row->commands++;
    row->bytes += bytes;
    row->extra += extra;
}

/* The size of a key's prefix: up to and including its delimiter number `depth`, or the last one if it has fewer; 0 if it has
 * none.  Only the first HITTERS_NAME_BYTES_KEPT + 1 bytes are searched; eight bytes after them must be readable. */
static inline size_t hitters_prefix_size(const uint8_t *p, size_t size, uint8_t delimiter, unsigned depth) {
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    size_t most = size < HITTERS_NAME_BYTES_KEPT + 1 ? size : HITTERS_NAME_BYTES_KEPT + 1, found = 0;
    for (size_t at = 0; at < most; at += 8) {
        uint64_t w = scan_load8(p + at) ^ ones * delimiter;
        for (uint64_t hit = ~(((w & ~high) + ~high) | w | ~high); hit; hit &= hit - 1) {
            size_t place = at + (size_t)__builtin_ctzll(hit) / 8;
            if (place >= most) return found;
            found = place + 1;
            if (!--depth) return found;
        }
    }
    return found;
}

/* ---- the keys that are written most ---- */

typedef struct {
    int64_t count, error, variance, db;
    uint64_t size;
    uint8_t name[HITTERS_KEY_BYTES_KEPT];
} hitters_key;

typedef struct {
    uint64_t *tag;           /* the hash of the key in each of HITTERS_SETS * HITTERS_WAYS slots; 0: the slot is free */
    hitters_key *key;          /* the key and its counts in the same slots */
} hitters_keys;

static inline int hitters_is_key(const hitters_key *key, const uint8_t *p, size_t size, int64_t db) {
    return key->size == size && key->db == db && !memcmp(key->name, p, size < HITTERS_KEY_BYTES_KEPT ? size : HITTERS_KEY_BYTES_KEPT);
}

/* Add a sampled write of a key of `size` bytes at p: it counts as `multiplier` writes of `weight` (bytes, or 1). */
static inline void hitters_add_key(hitters_keys *keys, uint64_t hash, const uint8_t *p, size_t size, int64_t db, int64_t weight,
                             int64_t multiplier) {
    size_t set = (hash >> 8) % HITTERS_SETS * HITTERS_WAYS, least = 0;
    uint64_t *tag = keys->tag + set;
    hitters_key *key = keys->key + set;
    hash |= 1;
    for (size_t way = 0; way < HITTERS_WAYS; way++) {
        if (tag[way] == hash && hitters_is_key(&key[way], p, size, db)) {
            key[way].count += weight * multiplier;
            key[way].variance += multiplier > 1 ? weight * weight * multiplier * (multiplier - 1) : 0;
            return;
        }
    }
    for (size_t way = 0; way < HITTERS_WAYS; way++) {
        if (!tag[way]) { least = way; break; }
        if (key[way].count < key[least].count) least = way;
    }
    hitters_key *taken = &key[least];
    taken->error = tag[least] ? taken->count : 0;
    taken->count = taken->error + weight * multiplier;
    taken->variance = multiplier > 1 ? weight * weight * multiplier * (multiplier - 1) : 0;
    taken->db = db;
    taken->size = size;
    memcpy(taken->name, p, size < HITTERS_KEY_BYTES_KEPT ? size : HITTERS_KEY_BYTES_KEPT);
    tag[least] = hash;
}

/* ---- records ---- */

/* Where the first key of a command is: argument `at` (0: it has none), which at least `tail` arguments must follow.  If
 * `numkeys_at` is not 0, that argument must be a number greater than 0. */
typedef struct {
    uint8_t at, tail, numkeys_at, unused;
} hitters_key_rule;

/* The state of sampling: the next `exact_bytes` bytes of records are all counted. */
typedef struct {
    uint64_t random_state;
    int64_t exact_bytes;
} hitters_sample;

typedef struct {
    const hitters_key_rule *rules; /* by command id */
    size_t ids;
    uint8_t delimiter;
    unsigned depth;
    hitters_sample sample;
    hitters_names prefixes, unknown;
    hitters_keys bytes, writes;
} hitters_counters;

static inline int hitters_is_positive(const uint8_t *p, int64_t size) {
    int any = 0;
    if (size < 1 || size > 9) return 0;
    for (int64_t i = 0; i < size; i++) {
        if (p[i] < '0' || p[i] > '9') return 0;
        any |= p[i] != '0';
    }
    return any;
}

/* Find the first key of a complete record, NULL if it has none; *name and *name_size are set to its first argument. */
static inline const uint8_t *hitters_first_key(const hitters_key_rule *rule, const uint8_t *p, const uint8_t *end, uint32_t argc,
                                         int64_t *size, const uint8_t **name, int64_t *name_size) {
    int64_t count;
    const uint8_t *arg = NULL;
    *name = NULL;
    if (!(p = scan_header(p, '*', &count)) || !(*name = scan_argument(&p, end, name_size))) return NULL;
    if (!rule->at || (uint64_t)rule->at + rule->tail >= argc) return NULL;
    for (unsigned i = 1; i <= rule->at; i++) {
        if (!(arg = scan_argument(&p, end, size))) return NULL;
        if (i == rule->numkeys_at && !hitters_is_positive(arg, *size)) return NULL;
    }
    return arg;
}

/* Count a command that no server knows, by its name in lower case. */
static void hitters_count_unknown(hitters_counters *t, const uint8_t *p, size_t size, int64_t weight) {
    uint8_t lower[HITTERS_NAME_BYTES_KEPT + 16] = {0};
    size = size < HITTERS_NAME_BYTES_KEPT ? size : HITTERS_NAME_BYTES_KEPT;
    for (size_t i = 0; i < size; i++) lower[i] = p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 32 : p[i];
    hitters_add_to_name(hitters_find_name(&t->unknown, lower, size), weight, 0);
}

/* Return how often a record of `weight` bytes counts in the sample: 1 if it is counted in any case, 0 if it is left out.
 * Otherwise it is a power of two, so that multiplier * weight is about 2 to the power of HITTERS_ALWAYS_COUNTED_BITS. */
static inline int64_t hitters_multiplier(hitters_sample *sample, int64_t weight) {
    if (weight >> (HITTERS_ALWAYS_COUNTED_BITS - 1)) return 1;
    if (sample->exact_bytes > 0) {
        sample->exact_bytes -= weight;
        return 1;
    }
    int64_t multiplier = (int64_t)1 << (HITTERS_ALWAYS_COUNTED_BITS - 64 + __builtin_clzll((uint64_t)weight | 1));
    sample->random_state += 0x9e3779b97f4a7c15u;
    return (sample->random_state ^ sample->random_state >> 32) * 0xd6e8feb86659fd93u >> 40 & (uint64_t)(multiplier - 1) ? 0 : multiplier;
}

/* Count one write of a key of `size` bytes.  The first HITTERS_KEY_BYTES_COMPARED of them, or all, are at p, and eight more
 * bytes must be readable. */
static inline void hitters_count_key(hitters_counters *t, hitters_sample *sample, const uint8_t *p, size_t size, int64_t db,
                             int64_t weight) {
    hitters_add_to_name(hitters_find_name(&t->prefixes, p, hitters_prefix_size(p, size, t->delimiter, t->depth)), weight, 0);
    int64_t multiplier = hitters_multiplier(sample, weight);
    if (!multiplier) return;
    uint64_t hash = hitters_hash(p, size < HITTERS_KEY_BYTES_COMPARED ? size : HITTERS_KEY_BYTES_COMPARED, (uint64_t)db * 0x100000001b3u + size);
    hitters_add_key(&t->bytes, hash, p, size, db, weight, multiplier);
    hitters_add_key(&t->writes, hash, p, size, db, 1, multiplier);
}

/* Count `count` records by first key: those in `indexes`, or the first ones of the batch if it is NULL. */
static void hitters_count_batch(hitters_counters *t, const uint8_t *data, const int64_t *edges, const uint32_t *argc,
                      const uint16_t *ids, const int64_t *db, const uint32_t *indexes, size_t count) {
    hitters_sample sample = t->sample;   /* a local copy: writes through pointers cannot change it */
    for (size_t n = 0; n < count; n++) {
        size_t i = indexes ? indexes[n] : n, id = ids[i] < t->ids ? ids[i] : SCAN_UNKNOWN;
        int64_t size, name_size, weight = edges[i + 1] - edges[i];
        const uint8_t *name, *key;
        if (!t->rules[id].at) continue;
        key = hitters_first_key(&t->rules[id], data + edges[i], data + edges[i + 1], argc[i], &size, &name, &name_size);
        if (id == SCAN_UNKNOWN && name) hitters_count_unknown(t, name, (size_t)name_size, weight);
        if (key) hitters_count_key(t, &sample, key, (size_t)size, db[i], weight);
    }
    t->sample = sample;
}

#endif
