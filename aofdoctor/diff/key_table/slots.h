/* A census of keys: of each what made it, when it expires, and where it was last written.
 *
 * Slots of five words by open addressing, in memory that the caller owns; the places grow with the hashes, so
 * that a table is copied into a larger one, and compared with another, from front to back.  A database is known
 * by a number, its space, which a flush takes away and SWAPDB exchanges: what is in a dead space is dropped when
 * the table is copied.  While there is room for events they are only noted, to be applied in the order of the
 * table, each key's in theirs: a table that lies on a disk is gone over from front to back as well.
 *
 * The digests are those of digest.h, whose key nobody knows beforehand.
 */
#ifndef AOFDOCTOR_CENSUS_H
#define AOFDOCTOR_CENSUS_H

#include "../hashing/digest.h"

/* A slot: free where its space is 0.  An event has `space << 3 | op`, and the digest in place of what made it. */
enum { SLOT_KEY, SLOT_MADE, SLOT_EXPIRE, SLOT_PLACE, SLOT_SPACE, SLOT_WORDS };

/* Spaces that are none: from a database to its space, from a space to its database plus one. */
enum { SPACE_OF_DB = 1, DB_OF_SPACE, FIRST_SPACE };

enum {
    CENSUS_SLOTS, CENSUS_USED, CENSUS_LIMIT, CENSUS_EPOCH, CENSUS_NEXT, CENSUS_DB, CENSUS_SPACE,
    CENSUS_PENDING, CENSUS_ROOM, CENSUS_KEEPS,
    CENSUS_STATE
};

enum { OP_DELETE, OP_SET, OP_VALUE, OP_MIX, OP_SUM, OP_FIRST, OP_EXPIRE };

enum {
    DOES_NOTHING, DOES_MIX, DOES_SET, DOES_SETS, DOES_SET_NEW, DOES_DELETE, DOES_APPEND, DOES_UNITE, DOES_FIELDS,
    DOES_EXPIRE_MS, DOES_EXPIRE_S, DOES_PERSIST, DOES_OTHER
};

enum { OF_COMMAND, OF_STRING, OF_LIST, OF_SET, OF_HASH, OF_ZSET, OF_FIELD_EXPIRY, OF_DIRECTORY, OF_RELATIVE };

enum { FIELDS_COMPARED = 64 };

typedef struct {
    uint64_t *slots, *state, *events;
    uint64_t key[2];
} census;

/* ---- slots ---- */

static inline uint64_t census_hash(uint64_t key, uint64_t space) { return key ^ space * 0x9e3779b97f4a7c15u; }

/* Where a key is looked for first: of all `n` slots as far along as its hash is of all hashes. */
static inline uint64_t census_place(uint64_t hash, uint64_t n) { return (hash >> 32) * n >> 32; }

/* The slot of a key, or the free one where it would go; one slot is always free, and there are less than 2^32. */
static inline uint64_t *census_find(uint64_t *slots, uint64_t n, uint64_t key, uint64_t space) {
    uint64_t at = census_place(census_hash(key, space), n);
    for (;; at = at + 1 < n ? at + 1 : 0) {
        uint64_t *s = slots + at * SLOT_WORDS;
        if (!s[SLOT_SPACE] || (s[SLOT_KEY] == key && s[SLOT_SPACE] == space)) return s;
    }
}

/* The same, made where there was none. */
static inline uint64_t *census_made(census *c, uint64_t key, uint64_t space) {
    uint64_t *s = census_find(c->slots, c->state[CENSUS_SLOTS], key, space);
    if (!s[SLOT_SPACE]) {
        s[SLOT_KEY] = key;
        s[SLOT_SPACE] = space;
        s[SLOT_MADE] = s[SLOT_EXPIRE] = s[SLOT_PLACE] = 0;
        c->state[CENSUS_USED]++;
    }
    return s;
}

/* What a write makes of what was there; never 0. */
static inline uint64_t census_mixed(uint64_t digest, uint64_t made) {
    uint64_t mixed = (made * 0x9e3779b97f4a7c15u + digest) ^ (made >> 29);
    return mixed ? mixed : 1;
}

static inline void census_apply(census *c, const uint64_t *event) {
    uint64_t space = event[SLOT_SPACE] >> 3, digest = event[SLOT_MADE] ? event[SLOT_MADE] : 1;
    int op = (int)(event[SLOT_SPACE] & 7);
    if (op == OP_DELETE && !c->state[CENSUS_KEEPS]) {
        uint64_t *gone = census_find(c->slots, c->state[CENSUS_SLOTS], event[SLOT_KEY], space);
        if (!gone[SLOT_SPACE]) return;
    }
    uint64_t *s = census_made(c, event[SLOT_KEY], space), made = s[SLOT_MADE];
    s[SLOT_PLACE] = event[SLOT_PLACE];
    if (op == OP_DELETE || op == OP_SET) s[SLOT_EXPIRE] = event[SLOT_EXPIRE];
    if (op == OP_EXPIRE && made) s[SLOT_EXPIRE] = event[SLOT_EXPIRE];
    else if (op == OP_DELETE) s[SLOT_MADE] = 0;
    else if (op == OP_SET || op == OP_VALUE || (op == OP_FIRST && !made)) s[SLOT_MADE] = digest;
    else if (op == OP_SUM) s[SLOT_MADE] = made + digest ? made + digest : 1;
    else s[SLOT_MADE] = census_mixed(digest, made);
}

/* True if a record of `count` arguments fits: a slot or an event for each, and slots for its database. */
static inline int census_fits(const census *c, uint64_t count) {
    const uint64_t *s = c->state;
    if (s[CENSUS_ROOM]) return s[CENSUS_PENDING] + count <= s[CENSUS_ROOM] && s[CENSUS_USED] + 2 <= s[CENSUS_LIMIT];
    return s[CENSUS_USED] + 2 + count <= s[CENSUS_LIMIT];
}

static inline void census_put(census *c, uint64_t key, uint64_t digest, uint64_t expire, uint64_t place, uint64_t space,
                              int op) {
    uint64_t event[SLOT_WORDS] = {key, digest, expire, place, space << 3 | (uint64_t)op};
    if (c->state[CENSUS_ROOM])
        memcpy(c->events + SLOT_WORDS * c->state[CENSUS_PENDING]++, event, sizeof event);
    else
        census_apply(c, event);
}

/* The indexes of the pending events in the order of the table, those of one place in their own.
 * `starts` has room for 2^16 + 1. */
static void census_order(const uint64_t *events, size_t count, uint32_t *starts, uint32_t *order) {
    memset(starts, 0, ((1 << 16) + 1) * sizeof *starts);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *e = events + SLOT_WORDS * i;
        starts[(census_hash(e[SLOT_KEY], e[SLOT_SPACE] >> 3) >> 48) + 1]++;
    }
    for (size_t i = 0; i < 1 << 16; i++) starts[i + 1] += starts[i];
    for (size_t i = 0; i < count; i++) {
        const uint64_t *e = events + SLOT_WORDS * i;
        order[starts[census_hash(e[SLOT_KEY], e[SLOT_SPACE] >> 3) >> 48]++] = (uint32_t)i;
    }
}

/* Apply the events order[from .. to - 1], or as many as there are slots for; where it stopped. */
static size_t census_settle(census *c, const uint32_t *order, size_t from, size_t to) {
    for (; from < to && c->state[CENSUS_USED] < c->state[CENSUS_LIMIT]; from++)
        census_apply(c, c->events + SLOT_WORDS * (size_t)order[from]);
    return from;
}

/* ---- databases ---- */

static inline uint64_t census_number(const census *c, uint64_t tag, uint64_t value) {
    digest_state s;
    digest_begin(&s, c->key);
    digest_word(&s, OF_DIRECTORY);
    digest_word(&s, tag);
    digest_word(&s, value);
    return digest_end(&s);
}

static inline uint64_t *census_entry(census *c, uint64_t tag, uint64_t value, uint64_t is) {
    uint64_t *s = census_made(c, census_number(c, tag, value), tag);
    s[SLOT_MADE] = is;
    s[SLOT_PLACE] = c->state[CENSUS_EPOCH];
    return s;
}

/* What an entry says; 0 where there is none, or a flush of everything came after it. */
static inline uint64_t census_says(census *c, uint64_t tag, uint64_t value) {
    const uint64_t *s = census_find(c->slots, c->state[CENSUS_SLOTS], census_number(c, tag, value), tag);
    return s[SLOT_SPACE] && s[SLOT_PLACE] == c->state[CENSUS_EPOCH] ? s[SLOT_MADE] : 0;
}

/* The space of a database, which is made if it has none; needs two slots. */
static inline uint64_t census_space(census *c, uint64_t db) {
    uint64_t *state = c->state, space;
    if (state[CENSUS_SPACE] && state[CENSUS_DB] == db) return state[CENSUS_SPACE];
    if (!(space = census_says(c, SPACE_OF_DB, db))) {
        space = state[CENSUS_NEXT]++;
        census_entry(c, SPACE_OF_DB, db, space);
        census_entry(c, DB_OF_SPACE, space, db + 1);
    }
    state[CENSUS_DB] = db;
    return state[CENSUS_SPACE] = space;
}

static void census_flush(census *c, uint64_t db) {
    uint64_t space = census_space(c, db);
    census_entry(c, SPACE_OF_DB, db, 0);
    census_entry(c, DB_OF_SPACE, space, 0);
    c->state[CENSUS_SPACE] = 0;
}

/* Needs four slots. */
static void census_swap(census *c, uint64_t one, uint64_t two) {
    uint64_t a = census_space(c, one), b = census_space(c, two);
    census_entry(c, SPACE_OF_DB, one, b);
    census_entry(c, SPACE_OF_DB, two, a);
    census_entry(c, DB_OF_SPACE, a, two + 1);
    census_entry(c, DB_OF_SPACE, b, one + 1);
    c->state[CENSUS_SPACE] = 0;
}

/* ---- from front to back ---- */

/* True of a slot whose key or entry is still there; `seen` remembers the last space, and whether it is alive. */
static inline int census_lives(census *c, const uint64_t *s, uint64_t seen[2]) {
    uint64_t space = s[SLOT_SPACE];
    if (space < FIRST_SPACE) return space && s[SLOT_MADE] && s[SLOT_PLACE] == c->state[CENSUS_EPOCH];
    if (!s[SLOT_MADE] && !c->state[CENSUS_KEEPS]) return 0;
    if (seen[0] != space) {
        seen[0] = space;
        seen[1] = census_says(c, DB_OF_SPACE, space);
    }
    return seen[1] != 0;
}

/* How many of the slots from .. to - 1 live; copied to the table `into` where there is one. */
static size_t census_copy(census *c, size_t from, size_t to, census *into) {
    uint64_t seen[2] = {0, 0};
    size_t live = 0;
    for (; from < to; from++) {
        const uint64_t *s = c->slots + SLOT_WORDS * from;
        if (!census_lives(c, s, seen)) continue;
        live++;
        if (into) memcpy(census_made(into, s[SLOT_KEY], s[SLOT_SPACE]), s, SLOT_WORDS * sizeof *s);
    }
    return live;
}

/* What is other in two tables: (who has it: 1 a, 2 b, 3 both; database, key, its place in a, in b, deleted there:
 * 1 in a, 2 in b).  Those of a's keys, or with `only` just those that b lacks.  Goes on at *from; the number of
 * rows, `room` at most; what is equal is counted in *same. */
enum { ROW_SIDES, ROW_DB, ROW_KEY, ROW_A, ROW_B, ROW_DELETED, ROW_WORDS };

static size_t census_differ(census *a, census *b, size_t *from, size_t to, int only, uint64_t *rows, size_t room,
                            uint64_t *same) {
    uint64_t seen[2] = {0, 0}, known[2] = {0, 0};
    size_t n = 0, at = *from;
    for (; at < to && n < room; at++) {
        const uint64_t *s = a->slots + SLOT_WORDS * at, *t = NULL;
        if (s[SLOT_SPACE] < FIRST_SPACE || !census_lives(a, s, seen)) continue;
        if (known[0] != seen[1]) {
            known[0] = seen[1];
            known[1] = census_says(b, SPACE_OF_DB, seen[1] - 1);
        }
        if (known[1]) {
            t = census_find(b->slots, b->state[CENSUS_SLOTS], s[SLOT_KEY], known[1]);
            if (!t[SLOT_SPACE] || (!t[SLOT_MADE] && !b->state[CENSUS_KEEPS])) t = NULL;
        }
        if (t && only) continue;
        if (t && t[SLOT_MADE] == s[SLOT_MADE] && t[SLOT_EXPIRE] == s[SLOT_EXPIRE]) {
            ++*same;
            continue;
        }
        uint64_t *row = rows + ROW_WORDS * n++;
        row[ROW_SIDES] = t ? 3 : 1;
        row[ROW_DB] = seen[1] - 1;
        row[ROW_KEY] = s[SLOT_KEY];
        row[ROW_A] = s[SLOT_PLACE];
        row[ROW_B] = t ? t[SLOT_PLACE] : 0;
        row[ROW_DELETED] = (s[SLOT_MADE] ? 0 : 1) | (t && !t[SLOT_MADE] ? 2 : 0);
    }
    *from = at;
    return n;
}

/* ---- records ---- */

typedef struct { const uint8_t *at; int64_t size; } census_arg;

static inline int census_next(const uint8_t **p, const uint8_t *end, census_arg *arg) {
    return (arg->at = digest_argument(p, end, &arg->size)) != NULL;
}

static inline void census_word(digest_state *s, census_arg arg, int lower) {
    digest_word(s, (uint64_t)arg.size);
    digest_bytes(s, arg.at, (size_t)arg.size, lower);
}

static inline uint64_t census_name(const census *c, census_arg arg) {
    digest_state s;
    digest_begin(&s, c->key);
    census_word(&s, arg, 0);
    return digest_end(&s);
}

/* The digest of one or two words; `tag` says of what. */
static inline uint64_t census_of(const census *c, uint64_t tag, census_arg one, const census_arg *two) {
    digest_state s;
    digest_begin(&s, c->key);
    digest_word(&s, tag);
    census_word(&s, one, 0);
    if (two) census_word(&s, *two, 0);
    return digest_end(&s);
}

/* The digest of a command without its key. */
static inline uint64_t census_command(const census *c, census_arg name, const uint8_t *rest, const uint8_t *end) {
    digest_state s;
    census_arg arg;
    digest_begin(&s, c->key);
    digest_word(&s, OF_COMMAND);
    census_word(&s, name, 1);
    while (rest < end && census_next(&rest, end, &arg)) census_word(&s, arg, 0);
    return digest_end(&s);
}

/* True if a word is `text`, which is lower case and has at most eight letters. */
static inline int census_is(census_arg arg, const char *text) {
    uint8_t word[8] = {0}, wanted[8] = {0};
    size_t size = strlen(text);
    if ((size_t)arg.size != size) return 0;
    memcpy(word, arg.at, size);
    memcpy(wanted, text, size);
    return aof_lower(aof_load8(word)) == aof_load8(wanted);
}

/* A time in milliseconds of digits alone; 0 if it is none. */
static inline uint64_t census_time(census_arg arg, uint64_t scale) {
    uint64_t value = 0;
    if (arg.size < 1 || arg.size > 15) return 0;
    for (int64_t i = 0; i < arg.size; i++) {
        if (arg.at[i] < '0' || arg.at[i] > '9') return 0;
        value = value * 10 + (uint64_t)(arg.at[i] - '0');
    }
    return value * scale;
}

/* SET with options: how it acts, -1 if only the command itself says. */
static inline int census_options(const census *c, uint32_t argc, const uint8_t *p, const uint8_t *end,
                                 uint64_t *expire) {
    census_arg option, value;
    *expire = 0;
    if (argc == 3) return OP_SET;
    if (argc > 5 || !census_next(&p, end, &option)) return -1;
    if (argc == 4) {
        if (census_is(option, "keepttl")) return OP_VALUE;
        if (census_is(option, "nx")) return OP_FIRST;
        return census_is(option, "get") ? OP_SET : -1;
    }
    if (!census_next(&p, end, &value)) return -1;
    if (census_is(option, "pxat")) *expire = census_time(value, 1);
    else if (census_is(option, "exat")) *expire = census_time(value, 1000);
    else if (census_is(option, "px") || census_is(option, "ex")) *expire = census_of(c, OF_RELATIVE, option, &value);
    return *expire ? OP_SET : -1;
}

/* The sum of the digests of fields with their values; 0 if it cannot be told that they are all different. */
static inline uint64_t census_fields(const census *c, uint32_t argc, const uint8_t *p, const uint8_t *end, int unique) {
    census_arg fields[FIELDS_COMPARED], field, value;
    uint64_t sum = 0;
    if (argc % 2 || argc < 4 || (!unique && (argc - 2) / 2 > FIELDS_COMPARED)) return 0;
    for (uint32_t n = 0; n < (argc - 2) / 2; n++) {
        if (!census_next(&p, end, &field) || !census_next(&p, end, &value)) return 0;
        for (uint32_t m = 0; !unique && m < n; m++)
            if (fields[m].size == field.size && !memcmp(fields[m].at, field.at, (size_t)field.size)) return 0;
        if (!unique) fields[n] = field;
        sum += census_of(c, OF_HASH, field, &value);
    }
    return sum;
}

/* A record with a key that is its first argument; `base`: of a base, in which each element stands once. */
static void census_record(census *c, const uint8_t *p, const uint8_t *end, uint32_t argc, int does, uint64_t space,
                          uint64_t place, int base) {
    int64_t number;
    census_arg name, key, arg;
    uint64_t digest = 0, expire = 0;
    int op = -1;
    if (!(p = aof_header(p, '*', &number)) || !census_next(&p, end, &name) || !census_next(&p, end, &key)) return;
    const uint8_t *rest = p;
    uint64_t k = census_name(c, key);
    if (does == DOES_DELETE) {
        do census_put(c, census_name(c, key), 0, 0, place, space, OP_DELETE);
        while (p < end && census_next(&p, end, &key));
        return;
    }
    if (does == DOES_SETS) {
        for (uint32_t n = 1; n + 1 < argc && census_next(&p, end, &arg); n += 2) {
            census_put(c, census_name(c, key), census_of(c, OF_STRING, arg, NULL), 0, place, space, OP_SET);
            if (n + 2 < argc && !census_next(&p, end, &key)) break;
        }
        return;
    }
    if (does == DOES_APPEND || does == DOES_UNITE) {
        int list = does == DOES_APPEND;
        while (p < end && census_next(&p, end, &arg))
            census_put(c, k, census_of(c, list ? OF_LIST : OF_SET, arg, NULL), 0, place, space, list ? OP_MIX : OP_SUM);
        return;
    }
    if ((does == DOES_SET || does == DOES_SET_NEW) && argc > 2 && census_next(&p, end, &arg)) {
        op = does == DOES_SET ? census_options(c, argc, p, end, &expire) : OP_FIRST;
        if (op >= 0) digest = census_of(c, OF_STRING, arg, NULL);
    } else if (does == DOES_FIELDS && (digest = census_fields(c, argc, rest, end, base))) {
        op = base ? OP_SUM : OP_FIRST;
    } else if ((does == DOES_EXPIRE_MS || does == DOES_EXPIRE_S) && argc == 3 && census_next(&p, end, &arg)) {
        expire = census_time(arg, does == DOES_EXPIRE_S ? 1000 : 1);
        if (expire) op = OP_EXPIRE;
    } else if (does == DOES_PERSIST && argc == 2) {
        op = OP_EXPIRE;
    }
    if (op < 0 || op == OP_EXPIRE) digest = census_command(c, name, rest, end);
    census_put(c, k, digest, expire, place, space, op < 0 ? OP_MIX : op);
}

/* Go over the records from .. count - 1; the first one that is not done: it fits not, or does what is not known here.
 * `wanted` has a byte for each, or is NULL. */
static size_t census_run(census *c, const uint8_t *data, uint64_t base_place, const int64_t *edges,
                         const uint32_t *argc, const uint16_t *ids, const int64_t *db, const uint8_t *wanted,
                         size_t from, size_t count, const uint8_t *does, size_t known, int base) {
    for (; from < count; from++) {
        int what = does[ids[from] < known ? ids[from] : 0];
        if (what == DOES_NOTHING || (argc[from] < 2 && what < DOES_OTHER) || (wanted && !wanted[from])) continue;
        if (what >= DOES_OTHER || !census_fits(c, argc[from])) break;
        uint64_t space = census_space(c, (uint64_t)db[from]);
        census_record(c, data + edges[from], data + edges[from + 1], argc[from], what, space,
                      base_place + (uint64_t)edges[from], base);
    }
    return from;
}

#endif
