/* The keys of records: counts and bytes by prefix, and the keys that are written most, in a fixed room.
 *
 * A record counts for its first key.  Names (prefixes, and commands that no server knows) are counted exactly until
 * their table is full; then what is not in it is counted together.
 *
 * Single keys are looked up for every record at the beginning of a log.  Further on a record is one of a sample: the
 * smaller it is the more rarely, and the more it counts then, so that the cost is by the byte and the sum is right on
 * average; `spread` is the variance of that.
 *
 * Each set of a few places is a Space-Saving summary (Metwally, Agrawal and El Abbadi, 2005) of the keys that fall into
 * it: a key that finds no place takes that of the least, and its count with it as the error.  So a count, the sample
 * aside, is never too small, and too large by at most its error; a key without a place has at most the least of its set.
 *
 * AOF_SLACK readable bytes must follow the records: names are read eight bytes at a time.
 */
#ifndef AOFDOCTOR_HEAVY_H
#define AOFDOCTOR_HEAVY_H

#include "../../aof/scan.h"

#define HEAVY_SETS 1024      /* a power of two */
#define HEAVY_WAYS 8
#define HEAVY_SHOWN 88       /* so many bytes of a key are kept */
#define HEAVY_SURE 14        /* in bits: a record of half of 2 to the so many bytes is always looked at */
#define HEAVY_HEAD 4096      /* keys of one length that begin with the same so many bytes are taken for one */
#define NAMES_SLOTS 16384    /* a power of two */
#define NAMES_MOST 10000
#define NAMES_SHOWN 64       /* so many bytes of a name are kept; a prefix has its delimiter too */

/* ---- hashes ---- */

static inline uint64_t heavy_mix(uint64_t h, uint64_t word) {
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

/* Of p[0..size); eight bytes past them are readable. */
static inline uint64_t heavy_hash(const uint8_t *p, size_t size, uint64_t more) {
    uint64_t h = heavy_mix(more, size);
    size_t at = 0;
    for (; at + 8 <= size; at += 8) h = heavy_mix(h, aof_load8(p + at));
    if (at < size) h = heavy_mix(h, aof_load8(p + at) & (~(uint64_t)0 >> 8 * (8 - (size - at))));
    h *= 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

/* Eight bytes past both are readable. */
static inline int heavy_equal(const uint8_t *p, const uint8_t *q, size_t size) {
    size_t at = 0;
    for (; at + 8 <= size; at += 8)
        if (aof_load8(p + at) != aof_load8(q + at)) return 0;
    return at == size || !((aof_load8(p + at) ^ aof_load8(q + at)) << 8 * (8 - (size - at)));
}

/* ---- names ---- */

typedef struct {
    int64_t commands, bytes, more;
    uint64_t hash;
    uint32_t size, used;
    uint8_t name[NAMES_SHOWN + 1 + 7];
} heavy_name;

typedef struct {
    heavy_name *slot;        /* NAMES_SLOTS of them */
    size_t used;
    heavy_name others;
} heavy_names;

/* The row of a name of at most NAMES_SHOWN + 1 bytes. */
static inline heavy_name *heavy_named(heavy_names *names, const uint8_t *p, size_t size) {
    uint64_t hash = heavy_hash(p, size, 0);
    for (size_t at = hash % NAMES_SLOTS;; at = (at + 1) % NAMES_SLOTS) {
        heavy_name *s = &names->slot[at];
        if (s->used) {
            if (s->hash == hash && s->size == size && heavy_equal(s->name, p, size)) return s;
            continue;
        }
        if (names->used == NAMES_MOST) return &names->others;
        names->used++;
        s->used = 1;
        s->hash = hash;
        s->size = (uint32_t)size;
        memcpy(s->name, p, size);
        return s;
    }
}

static inline void heavy_count(heavy_name *row, int64_t bytes, int64_t more) {
    row->commands++;
    row->bytes += bytes;
    row->more += more;
}

/* How many bytes of a key are its prefix: up to and with its delimiter number `depth`, or the last before that; 0 for
 * none.  Only the first NAMES_SHOWN + 1 bytes are looked at; eight bytes past them are readable. */
static inline size_t heavy_prefix(const uint8_t *p, size_t size, uint8_t delimiter, unsigned depth) {
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    size_t most = size < NAMES_SHOWN + 1 ? size : NAMES_SHOWN + 1, found = 0;
    for (size_t at = 0; at < most; at += 8) {
        uint64_t w = aof_load8(p + at) ^ ones * delimiter;
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
    int64_t count, error, spread, db;
    uint64_t size;
    uint8_t name[HEAVY_SHOWN];
} heavy_key;

typedef struct {
    uint64_t *tag;           /* HEAVY_SETS times HEAVY_WAYS; 0: free */
    heavy_key *key;          /* the same */
} heavy_keys;

static inline int heavy_same(const heavy_key *key, const uint8_t *p, size_t size, int64_t db) {
    return key->size == size && key->db == db && !memcmp(key->name, p, size < HEAVY_SHOWN ? size : HEAVY_SHOWN);
}

/* A write of a key that stands for `times` such writes. */
static inline void heavy_add(heavy_keys *keys, uint64_t hash, const uint8_t *p, size_t size, int64_t db, int64_t weight,
                             int64_t times) {
    size_t set = (hash >> 8) % HEAVY_SETS * HEAVY_WAYS, least = 0;
    uint64_t *tag = keys->tag + set;
    heavy_key *key = keys->key + set;
    hash |= 1;
    for (size_t way = 0; way < HEAVY_WAYS; way++) {
        if (tag[way] == hash && heavy_same(&key[way], p, size, db)) {
            key[way].count += weight * times;
            key[way].spread += times > 1 ? weight * weight * times * (times - 1) : 0;
            return;
        }
    }
    for (size_t way = 0; way < HEAVY_WAYS; way++) {
        if (!tag[way]) { least = way; break; }
        if (key[way].count < key[least].count) least = way;
    }
    heavy_key *taken = &key[least];
    taken->error = tag[least] ? taken->count : 0;
    taken->count = taken->error + weight * times;
    taken->spread = times > 1 ? weight * weight * times * (times - 1) : 0;
    taken->db = db;
    taken->size = size;
    memcpy(taken->name, p, size < HEAVY_SHOWN ? size : HEAVY_SHOWN);
    tag[least] = hash;
}

/* ---- records ---- */

/* Where a command's first key is: its argument `at` (0: it has none), of which `tail` more must follow, and if
 * `number` is not 0, that argument must be a number greater than 0. */
typedef struct {
    uint8_t at, tail, number, none;
} heavy_rule;

/* What is left to the sample: `sure` bytes of records are still all counted. */
typedef struct {
    uint64_t draw;
    int64_t sure;
} heavy_sample;

typedef struct {
    const heavy_rule *rules; /* by id */
    size_t ids;
    uint8_t delimiter;
    unsigned depth;
    heavy_sample sample;
    heavy_names prefixes, unknown;
    heavy_keys bytes, writes;
} heavy_tally;

/* The payload of the argument at *p, of which *p is then the end; NULL if it does not lie whole before `end`. */
static inline const uint8_t *heavy_argument(const uint8_t **p, const uint8_t *end, int64_t *size) {
    const uint8_t *payload = *p < end ? aof_header(*p, '$', size) : NULL;
    if (!payload || payload > end || *size > end - payload - 2) return NULL;
    *p = payload + *size + 2;
    return payload;
}

static inline int heavy_positive(const uint8_t *p, int64_t size) {
    int any = 0;
    if (size < 1 || size > 9) return 0;
    for (int64_t i = 0; i < size; i++) {
        if (p[i] < '0' || p[i] > '9') return 0;
        any |= p[i] != '0';
    }
    return any;
}

/* The first key of a whole record, NULL if it has none; `name` and `named` are its first argument. */
static inline const uint8_t *heavy_first(const heavy_rule *rule, const uint8_t *p, const uint8_t *end, uint32_t argc,
                                         int64_t *size, const uint8_t **name, int64_t *named) {
    int64_t count;
    const uint8_t *arg = NULL;
    *name = NULL;
    if (!(p = aof_header(p, '*', &count)) || !(*name = heavy_argument(&p, end, named))) return NULL;
    if (!rule->at || (uint64_t)rule->at + rule->tail >= argc) return NULL;
    for (unsigned i = 1; i <= rule->at; i++) {
        if (!(arg = heavy_argument(&p, end, size))) return NULL;
        if (i == rule->number && !heavy_positive(arg, *size)) return NULL;
    }
    return arg;
}

/* A command that no server knows, by its name in lower case. */
static void heavy_unknown(heavy_tally *t, const uint8_t *p, size_t size, int64_t weight) {
    uint8_t lower[NAMES_SHOWN + 16] = {0};
    size = size < NAMES_SHOWN ? size : NAMES_SHOWN;
    for (size_t i = 0; i < size; i++) lower[i] = p[i] >= 'A' && p[i] <= 'Z' ? p[i] | 32 : p[i];
    heavy_count(heavy_named(&t->unknown, lower, size), weight, 0);
}

/* How many records a record stands for: 1 if it is surely counted, 0 if the sample leaves it out.  A power of two, so
 * that times * weight is about 2 to the HEAVY_SURE. */
static inline int64_t heavy_times(heavy_sample *sample, int64_t weight) {
    if (weight >> (HEAVY_SURE - 1)) return 1;
    if (sample->sure > 0) {
        sample->sure -= weight;
        return 1;
    }
    int64_t times = (int64_t)1 << (HEAVY_SURE - 64 + __builtin_clzll((uint64_t)weight | 1));
    sample->draw += 0x9e3779b97f4a7c15u;
    return (sample->draw ^ sample->draw >> 32) * 0xd6e8feb86659fd93u >> 40 & (uint64_t)(times - 1) ? 0 : times;
}

/* One write of a key; of its `size` bytes HEAVY_HEAD are there, or all, and eight more are readable. */
static inline void heavy_one(heavy_tally *t, heavy_sample *sample, const uint8_t *p, size_t size, int64_t db,
                             int64_t weight) {
    heavy_count(heavy_named(&t->prefixes, p, heavy_prefix(p, size, t->delimiter, t->depth)), weight, 0);
    int64_t times = heavy_times(sample, weight);
    if (!times) return;
    uint64_t hash = heavy_hash(p, size < HEAVY_HEAD ? size : HEAVY_HEAD, (uint64_t)db * 0x100000001b3u + size);
    heavy_add(&t->bytes, hash, p, size, db, weight, times);
    heavy_add(&t->writes, hash, p, size, db, 1, times);
}

/* Count `count` records, those that `chosen` names or all, by their first keys. */
static void heavy_run(heavy_tally *t, const uint8_t *data, const int64_t *edges, const uint32_t *argc,
                      const uint16_t *ids, const int64_t *db, const uint32_t *chosen, size_t count) {
    heavy_sample sample = t->sample;   /* a copy that no name can overlap */
    for (size_t n = 0; n < count; n++) {
        size_t i = chosen ? chosen[n] : n, id = ids[i] < t->ids ? ids[i] : AOF_UNKNOWN;
        int64_t size, named, weight = edges[i + 1] - edges[i];
        const uint8_t *name, *key;
        if (!t->rules[id].at) continue;
        key = heavy_first(&t->rules[id], data + edges[i], data + edges[i + 1], argc[i], &size, &name, &named);
        if (id == AOF_UNKNOWN && name) heavy_unknown(t, name, (size_t)named, weight);
        if (key) heavy_one(t, &sample, key, (size_t)size, db[i], weight);
    }
    t->sample = sample;
}

#endif
