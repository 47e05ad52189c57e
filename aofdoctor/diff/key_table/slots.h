/* Keep a table of keys: for each key a digest of its content, its expiry, and the position of the last write to it.
 *
 * The table has slots of five words, found by open addressing, in memory that the caller owns.  The home slots are in
 * the order of the hashes, so that a table can be copied into a larger one, and compared with another one, in a single
 * pass.  A database is identified by a number, its space; a flush discards the space and SWAPDB exchanges two of them.
 * The keys of a discarded space are dropped when the table is copied.
 *
 * While there is room for events they are only recorded, and applied later in the order of their slots; the events of
 * one key stay in their order.  So a table that is a file on disk is read and written in one direction as well.
 *
 * The digests are those of digest.h, with a random key, so that nobody can prepare collisions.
 */
#ifndef AOFDOCTOR_SLOTS_H
#define AOFDOCTOR_SLOTS_H

#include "../hashing/digest.h"

/* A slot is free if its space is 0.  An event has the same fields, with the digest of the write as content and
 * `space << SLOTS_OP_BITS | op` as space. */
enum { SLOTS_FIELD_KEY, SLOTS_FIELD_CONTENT, SLOTS_FIELD_EXPIRE, SLOTS_FIELD_POSITION, SLOTS_FIELD_SPACE, SLOTS_SLOT_WORDS };

/* Spaces of entries that are no keys: they map a database to its space, and a space to its database plus one. */
enum { SLOTS_SPACE_OF_DB = 1, SLOTS_DB_OF_SPACE, SLOTS_FIRST_SPACE };

enum {
    SLOTS_STATE_SLOTS, SLOTS_STATE_USED, SLOTS_STATE_USED_MAX, SLOTS_STATE_EPOCH, SLOTS_STATE_NEXT_SPACE, SLOTS_STATE_LAST_DB, SLOTS_STATE_LAST_SPACE,
    SLOTS_STATE_PENDING, SLOTS_STATE_PENDING_MAX, SLOTS_STATE_KEEP_DELETED,
    SLOTS_STATE_FIELDS
};

enum {
    SLOTS_OP_DELETE, SLOTS_OP_SET, SLOTS_OP_SET_KEEP_EXPIRY, SLOTS_OP_MIX, SLOTS_OP_SUM, SLOTS_OP_SET_IF_ABSENT, SLOTS_OP_EXPIRE,
    SLOTS_OP_UPDATE, SLOTS_OP_REMOVE, SLOTS_OP_ANY
};
enum { SLOTS_OP_BITS = 4, SLOTS_OP_MASK = 15 };

enum {
    SLOTS_EFFECT_NONE, SLOTS_EFFECT_MIX, SLOTS_EFFECT_SET, SLOTS_EFFECT_MSET, SLOTS_EFFECT_SETNX, SLOTS_EFFECT_DELETE, SLOTS_EFFECT_RPUSH, SLOTS_EFFECT_SADD, SLOTS_EFFECT_HSET,
    SLOTS_EFFECT_PEXPIREAT, SLOTS_EFFECT_EXPIREAT, SLOTS_EFFECT_PERSIST, SLOTS_EFFECT_UPDATE, SLOTS_EFFECT_REMOVE, SLOTS_EFFECT_ANY,
    SLOTS_EFFECT_OTHER
};

enum { SLOTS_TAG_COMMAND, SLOTS_TAG_STRING, SLOTS_TAG_LIST, SLOTS_TAG_SET, SLOTS_TAG_HASH, SLOTS_TAG_ZSET, SLOTS_TAG_FIELD_EXPIRY, SLOTS_TAG_DIRECTORY, SLOTS_TAG_RELATIVE_EXPIRY };

enum { SLOTS_HSET_FIELDS_MAX = 64 };

typedef struct {
    uint64_t *slots, *state, *events;
    uint64_t key[2];
} slots_table;

/* ---- slots ---- */

static inline uint64_t slots_hash(uint64_t key, uint64_t space) { return key ^ space * 0x9e3779b97f4a7c15u; }

/* The slot where the search for a key begins: as far into the n slots as its hash is into all hashes. */
static inline uint64_t slots_home_slot(uint64_t hash, uint64_t n) { return (hash >> 32) * n >> 32; }

/* Find the slot of a key, or the free slot where it belongs.  One slot is always free, and there are fewer than 2^32. */
static inline uint64_t *slots_find(uint64_t *slots, uint64_t n, uint64_t key, uint64_t space) {
    uint64_t at = slots_home_slot(slots_hash(key, space), n);
    for (;; at = at + 1 < n ? at + 1 : 0) {
        uint64_t *s = slots + at * SLOTS_SLOT_WORDS;
        if (!s[SLOTS_FIELD_SPACE] || (s[SLOTS_FIELD_KEY] == key && s[SLOTS_FIELD_SPACE] == space)) return s;
    }
}

/* Find the slot of a key, or create it. */
static inline uint64_t *slots_ensure(slots_table *c, uint64_t key, uint64_t space) {
    uint64_t *s = slots_find(c->slots, c->state[SLOTS_STATE_SLOTS], key, space);
    if (!s[SLOTS_FIELD_SPACE]) {
        s[SLOTS_FIELD_KEY] = key;
        s[SLOTS_FIELD_SPACE] = space;
        s[SLOTS_FIELD_CONTENT] = s[SLOTS_FIELD_EXPIRE] = s[SLOTS_FIELD_POSITION] = 0;
        c->state[SLOTS_STATE_USED]++;
    }
    return s;
}

/* The content of a slot is 0 if the key does not exist, even if it exists, and odd if that is not certain: it can have been
 * emptied, or the command that should have made it can have failed. */
static inline uint64_t slots_even(uint64_t word) { return word & ~(uint64_t)1 ? word & ~(uint64_t)1 : 2; }

/* Combine the digest of a write with the digest of the content before it, depending on the order; even and never 0. */
static inline uint64_t slots_mix_digest(uint64_t digest, uint64_t content) {
    return slots_even((content * 0x9e3779b97f4a7c15u + slots_even(digest)) ^ (content >> 29));
}

/* The expiry after an event.  If what happened to it is not certain, the event and the content are mixed into it. */
static inline uint64_t slots_new_expiry(int op, uint64_t digest, uint64_t given, uint64_t content, uint64_t before) {
    switch (op) {
        case SLOTS_OP_DELETE: case SLOTS_OP_SET: return given;
        case SLOTS_OP_EXPIRE: return !content ? before : given && content & 1 ? slots_mix_digest(slots_mix_digest(content, 1), given) : given;
        case SLOTS_OP_SET_KEEP_EXPIRY: return before && content & 1 ? slots_mix_digest(slots_mix_digest(content, 2), before) : before;
        case SLOTS_OP_REMOVE: return before ? slots_mix_digest(slots_mix_digest(digest, content), before) : 0;
        case SLOTS_OP_ANY: return slots_mix_digest(slots_mix_digest(digest, content), before);
        default: return before;
    }
}

/* The content after an event. */
static inline uint64_t slots_new_content(int op, uint64_t digest, uint64_t content) {
    switch (op) {
        case SLOTS_OP_DELETE: return 0;
        case SLOTS_OP_SET: case SLOTS_OP_SET_KEEP_EXPIRY: return slots_even(digest);
        case SLOTS_OP_SET_IF_ABSENT: return content ? slots_mix_digest(digest, content) : slots_even(digest);
        case SLOTS_OP_SUM: return slots_even((content & ~(uint64_t)1) + slots_even(digest));
        case SLOTS_OP_MIX: return slots_mix_digest(digest, content);
        case SLOTS_OP_EXPIRE: return content ? content : slots_mix_digest(digest, content) | 1;
        case SLOTS_OP_UPDATE: return slots_mix_digest(digest, content) | (content ? content & 1 : 1);
        default: return slots_mix_digest(digest, content) | 1;
    }
}

static inline void slots_apply_event(slots_table *c, const uint64_t *event) {
    uint64_t space = event[SLOTS_FIELD_SPACE] >> SLOTS_OP_BITS, digest = event[SLOTS_FIELD_CONTENT];
    int op = (int)(event[SLOTS_FIELD_SPACE] & SLOTS_OP_MASK);
    if (op == SLOTS_OP_DELETE && !c->state[SLOTS_STATE_KEEP_DELETED]) {
        uint64_t *gone = slots_find(c->slots, c->state[SLOTS_STATE_SLOTS], event[SLOTS_FIELD_KEY], space);
        if (!gone[SLOTS_FIELD_SPACE]) return;
    }
    uint64_t *s = slots_ensure(c, event[SLOTS_FIELD_KEY], space), content = s[SLOTS_FIELD_CONTENT];
    s[SLOTS_FIELD_POSITION] = event[SLOTS_FIELD_POSITION];
    s[SLOTS_FIELD_EXPIRE] = slots_new_expiry(op, digest, event[SLOTS_FIELD_EXPIRE], content, s[SLOTS_FIELD_EXPIRE]);
    s[SLOTS_FIELD_CONTENT] = slots_new_content(op, digest, content);
}

/* Whether a record of `count` arguments fits: a slot or an event for each, and two slots for its database. */
static inline int slots_has_room(const slots_table *c, uint64_t count) {
    const uint64_t *s = c->state;
    if (s[SLOTS_STATE_PENDING_MAX]) return s[SLOTS_STATE_PENDING] + count <= s[SLOTS_STATE_PENDING_MAX] && s[SLOTS_STATE_USED] + 2 <= s[SLOTS_STATE_USED_MAX];
    return s[SLOTS_STATE_USED] + 2 + count <= s[SLOTS_STATE_USED_MAX];
}

static inline void slots_put_event(slots_table *c, uint64_t key, uint64_t digest, uint64_t expire, uint64_t position, uint64_t space,
                              int op) {
    uint64_t event[SLOTS_SLOT_WORDS] = {key, digest, expire, position, space << SLOTS_OP_BITS | (uint64_t)op};
    if (c->state[SLOTS_STATE_PENDING_MAX])
        memcpy(c->events + SLOTS_SLOT_WORDS * c->state[SLOTS_STATE_PENDING]++, event, sizeof event);
    else
        slots_apply_event(c, event);
}

/* Fill `indexes` with the indexes of the pending events in the order of their slots: a stable counting sort by the upper
 * 16 bits of the hash.  `starts` has room for 2^16 + 1. */
static void slots_order_pending(const uint64_t *events, size_t count, uint32_t *starts, uint32_t *indexes) {
    memset(starts, 0, ((1 << 16) + 1) * sizeof *starts);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *e = events + SLOTS_SLOT_WORDS * i;
        starts[(slots_hash(e[SLOTS_FIELD_KEY], e[SLOTS_FIELD_SPACE] >> SLOTS_OP_BITS) >> 48) + 1]++;
    }
    for (size_t i = 0; i < 1 << 16; i++) starts[i + 1] += starts[i];
    for (size_t i = 0; i < count; i++) {
        const uint64_t *e = events + SLOTS_SLOT_WORDS * i;
        indexes[starts[slots_hash(e[SLOTS_FIELD_KEY], e[SLOTS_FIELD_SPACE] >> SLOTS_OP_BITS) >> 48]++] = (uint32_t)i;
    }
}

/* Apply the events indexes[from .. to - 1], or as many as slots are free; return where it stopped. */
static size_t slots_apply_pending(slots_table *c, const uint32_t *indexes, size_t from, size_t to) {
    for (; from < to && c->state[SLOTS_STATE_USED] < c->state[SLOTS_STATE_USED_MAX]; from++)
        slots_apply_event(c, c->events + SLOTS_SLOT_WORDS * (size_t)indexes[from]);
    return from;
}

/* ---- databases ---- */

static inline uint64_t slots_directory_key(const slots_table *c, uint64_t tag, uint64_t value) {
    digest_state s;
    digest_begin(&s, c->key);
    digest_word(&s, SLOTS_TAG_DIRECTORY);
    digest_word(&s, tag);
    digest_word(&s, value);
    return digest_end(&s);
}

static inline uint64_t *slots_set_directory(slots_table *c, uint64_t tag, uint64_t value, uint64_t target) {
    uint64_t *s = slots_ensure(c, slots_directory_key(c, tag, value), tag);
    s[SLOTS_FIELD_CONTENT] = target;
    s[SLOTS_FIELD_POSITION] = c->state[SLOTS_STATE_EPOCH];
    return s;
}

/* The value of an entry; 0 if there is none, or if a FLUSHALL came after it. */
static inline uint64_t slots_get_directory(slots_table *c, uint64_t tag, uint64_t value) {
    const uint64_t *s = slots_find(c->slots, c->state[SLOTS_STATE_SLOTS], slots_directory_key(c, tag, value), tag);
    return s[SLOTS_FIELD_SPACE] && s[SLOTS_FIELD_POSITION] == c->state[SLOTS_STATE_EPOCH] ? s[SLOTS_FIELD_CONTENT] : 0;
}

/* The space of a database, created if it has none; needs two free slots. */
static inline uint64_t slots_space_of_db(slots_table *c, uint64_t db) {
    uint64_t *state = c->state, space;
    if (state[SLOTS_STATE_LAST_SPACE] && state[SLOTS_STATE_LAST_DB] == db) return state[SLOTS_STATE_LAST_SPACE];
    if (!(space = slots_get_directory(c, SLOTS_SPACE_OF_DB, db))) {
        space = state[SLOTS_STATE_NEXT_SPACE]++;
        slots_set_directory(c, SLOTS_SPACE_OF_DB, db, space);
        slots_set_directory(c, SLOTS_DB_OF_SPACE, space, db + 1);
    }
    state[SLOTS_STATE_LAST_DB] = db;
    return state[SLOTS_STATE_LAST_SPACE] = space;
}

/* Discard the space of a database; needs two free slots. */
static void slots_flush_database(slots_table *c, uint64_t db) {
    uint64_t space = slots_space_of_db(c, db);
    slots_set_directory(c, SLOTS_SPACE_OF_DB, db, 0);
    slots_set_directory(c, SLOTS_DB_OF_SPACE, space, 0);
    c->state[SLOTS_STATE_LAST_SPACE] = 0;
}

/* Exchange two databases; needs four free slots. */
static void slots_swap_databases(slots_table *c, uint64_t one, uint64_t two) {
    uint64_t a = slots_space_of_db(c, one), b = slots_space_of_db(c, two);
    slots_set_directory(c, SLOTS_SPACE_OF_DB, one, b);
    slots_set_directory(c, SLOTS_SPACE_OF_DB, two, a);
    slots_set_directory(c, SLOTS_DB_OF_SPACE, a, two + 1);
    slots_set_directory(c, SLOTS_DB_OF_SPACE, b, one + 1);
    c->state[SLOTS_STATE_LAST_SPACE] = 0;
}

/* ---- in the order of the table ---- */

/* Whether the key or entry of a slot still exists; `cache` has the last space and its database plus one, or 0. */
static inline int slots_is_live(slots_table *c, const uint64_t *s, uint64_t cache[2]) {
    uint64_t space = s[SLOTS_FIELD_SPACE];
    if (space < SLOTS_FIRST_SPACE) return space && s[SLOTS_FIELD_CONTENT] && s[SLOTS_FIELD_POSITION] == c->state[SLOTS_STATE_EPOCH];
    if (!s[SLOTS_FIELD_CONTENT] && !c->state[SLOTS_STATE_KEEP_DELETED]) return 0;
    if (cache[0] != space) {
        cache[0] = space;
        cache[1] = slots_get_directory(c, SLOTS_DB_OF_SPACE, space);
    }
    return cache[1] != 0;
}

/* Count the slots from .. to - 1 that still exist, and copy them to the table `into` unless it is NULL. */
static size_t slots_copy_live(slots_table *c, size_t from, size_t to, slots_table *into) {
    uint64_t cache[2] = {0, 0};
    size_t live = 0;
    for (; from < to; from++) {
        const uint64_t *s = c->slots + SLOTS_SLOT_WORDS * from;
        if (!slots_is_live(c, s, cache)) continue;
        live++;
        if (into) memcpy(slots_ensure(into, s[SLOTS_FIELD_KEY], s[SLOTS_FIELD_SPACE]), s, SLOTS_SLOT_WORDS * sizeof *s);
    }
    return live;
}

/* Compare the keys in the slots *from .. to - 1 of a with b, and write a row for each difference: sides (1: only in a,
 * 3: in both), database, key, position in a, position in b, deleted (1: in a, 2: in b).  With `only_missing` only keys that b
 * lacks get a row.  Sets *from to where it stopped and returns the number of rows, at most row_max; adds the number of
 * equal keys to *equal_count. */
enum { SLOTS_ROW_SIDES, SLOTS_ROW_DB, SLOTS_ROW_KEY, SLOTS_ROW_A, SLOTS_ROW_B, SLOTS_ROW_DELETED, SLOTS_ROW_WORDS };

static size_t slots_compare(slots_table *a, slots_table *b, size_t *from, size_t to, int only_missing, uint64_t *rows, size_t row_max,
                            uint64_t *equal_count) {
    uint64_t cache[2] = {0, 0}, known[2] = {0, 0};
    size_t n = 0, at = *from;
    for (; at < to && n < row_max; at++) {
        const uint64_t *s = a->slots + SLOTS_SLOT_WORDS * at, *t = NULL;
        if (s[SLOTS_FIELD_SPACE] < SLOTS_FIRST_SPACE || !slots_is_live(a, s, cache)) continue;
        if (known[0] != cache[1]) {
            known[0] = cache[1];
            known[1] = slots_get_directory(b, SLOTS_SPACE_OF_DB, cache[1] - 1);
        }
        if (known[1]) {
            t = slots_find(b->slots, b->state[SLOTS_STATE_SLOTS], s[SLOTS_FIELD_KEY], known[1]);
            if (!t[SLOTS_FIELD_SPACE] || (!t[SLOTS_FIELD_CONTENT] && !b->state[SLOTS_STATE_KEEP_DELETED])) t = NULL;
        }
        if (t && only_missing) continue;
        if (t && t[SLOTS_FIELD_CONTENT] == s[SLOTS_FIELD_CONTENT] && t[SLOTS_FIELD_EXPIRE] == s[SLOTS_FIELD_EXPIRE]) {
            ++*equal_count;
            continue;
        }
        uint64_t *row = rows + SLOTS_ROW_WORDS * n++;
        row[SLOTS_ROW_SIDES] = t ? 3 : 1;
        row[SLOTS_ROW_DB] = cache[1] - 1;
        row[SLOTS_ROW_KEY] = s[SLOTS_FIELD_KEY];
        row[SLOTS_ROW_A] = s[SLOTS_FIELD_POSITION];
        row[SLOTS_ROW_B] = t ? t[SLOTS_FIELD_POSITION] : 0;
        row[SLOTS_ROW_DELETED] = (s[SLOTS_FIELD_CONTENT] ? 0 : 1) | (t && !t[SLOTS_FIELD_CONTENT] ? 2 : 0);
    }
    *from = at;
    return n;
}

/* ---- records ---- */

typedef struct { const uint8_t *at; int64_t size; } slots_argument;

static inline int slots_next_argument(const uint8_t **p, const uint8_t *end, slots_argument *arg) {
    return (arg->at = scan_argument(p, end, &arg->size)) != NULL;
}

static inline void slots_feed_argument(digest_state *s, slots_argument arg, int lower) {
    digest_word(s, (uint64_t)arg.size);
    digest_bytes(s, arg.at, (size_t)arg.size, lower);
}

static inline uint64_t slots_name_digest(const slots_table *c, slots_argument arg) {
    digest_state s;
    digest_begin(&s, c->key);
    slots_feed_argument(&s, arg, 0);
    return digest_end(&s);
}

/* The digest of one or two arguments; `tag` is a SLOTS_TAG. */
static inline uint64_t slots_value_digest(const slots_table *c, uint64_t tag, slots_argument one, const slots_argument *two) {
    digest_state s;
    digest_begin(&s, c->key);
    digest_word(&s, tag);
    slots_feed_argument(&s, one, 0);
    if (two) slots_feed_argument(&s, *two, 0);
    return digest_end(&s);
}

/* The digest of a command without its key, from its name and the arguments after the key. */
static inline uint64_t slots_command_digest(const slots_table *c, slots_argument name, const uint8_t *rest, const uint8_t *end) {
    digest_state s;
    slots_argument arg;
    digest_begin(&s, c->key);
    digest_word(&s, SLOTS_TAG_COMMAND);
    slots_feed_argument(&s, name, 1);
    while (rest < end && slots_next_argument(&rest, end, &arg)) slots_feed_argument(&s, arg, 0);
    return digest_end(&s);
}

/* Whether an argument is `text`, in any case; `text` is in lower case and has at most eight letters. */
static inline int slots_argument_is(slots_argument arg, const char *text) {
    uint8_t word[8] = {0}, expected[8] = {0};
    size_t size = strlen(text);
    if ((size_t)arg.size != size) return 0;
    memcpy(word, arg.at, size);
    memcpy(expected, text, size);
    return scan_lower(scan_load8(word)) == scan_load8(expected);
}

/* Parse a time of digits only and multiply it by `scale`; 0 if it is none. */
static inline uint64_t slots_parse_time(slots_argument arg, uint64_t scale) {
    uint64_t value = 0;
    if (arg.size < 1 || arg.size > 15) return 0;
    for (int64_t i = 0; i < arg.size; i++) {
        if (arg.at[i] < '0' || arg.at[i] > '9') return 0;
        value = value * 10 + (uint64_t)(arg.at[i] - '0');
    }
    return value * scale;
}

/* The SLOTS_OP of a SET with options, -1 if only the whole command can be compared. */
static inline int slots_set_options(const slots_table *c, uint32_t argc, const uint8_t *p, const uint8_t *end,
                                 uint64_t *expire) {
    slots_argument option, value;
    *expire = 0;
    if (argc == 3) return SLOTS_OP_SET;
    if (argc > 5 || !slots_next_argument(&p, end, &option)) return -1;
    if (argc == 4) {
        if (slots_argument_is(option, "keepttl")) return SLOTS_OP_SET_KEEP_EXPIRY;
        return slots_argument_is(option, "nx") ? SLOTS_OP_SET_IF_ABSENT : -1;
    }
    if (!slots_next_argument(&p, end, &value)) return -1;
    if (slots_argument_is(option, "pxat")) *expire = slots_parse_time(value, 1);
    else if (slots_argument_is(option, "exat")) *expire = slots_parse_time(value, 1000);
    else if (slots_parse_time(value, 1) && (slots_argument_is(option, "px") || slots_argument_is(option, "ex"))) *expire = slots_value_digest(c, SLOTS_TAG_RELATIVE_EXPIRY, option, &value);
    return *expire ? SLOTS_OP_SET : -1;
}

/* The sum of the digests of fields with their values; 0 if fields may occur twice.  `unique`: the caller knows that they do
 * not. */
static inline uint64_t slots_hset_digest(const slots_table *c, uint32_t argc, const uint8_t *p, const uint8_t *end, int unique) {
    slots_argument fields[SLOTS_HSET_FIELDS_MAX], field, value;
    uint64_t sum = 0;
    if (argc % 2 || argc < 4 || (!unique && (argc - 2) / 2 > SLOTS_HSET_FIELDS_MAX)) return 0;
    for (uint32_t n = 0; n < (argc - 2) / 2; n++) {
        if (!slots_next_argument(&p, end, &field) || !slots_next_argument(&p, end, &value)) return 0;
        for (uint32_t m = 0; !unique && m < n; m++)
            if (fields[m].size == field.size && !memcmp(fields[m].at, field.at, (size_t)field.size)) return 0;
        if (!unique) fields[n] = field;
        sum += slots_even(slots_value_digest(c, SLOTS_TAG_HASH, field, &value));
    }
    return sum;
}

/* Apply a record with its first argument as key.  `base` is set for the commands of a base, in which each element occurs
 * once. */
static void slots_apply_record(slots_table *c, const uint8_t *p, const uint8_t *end, uint32_t argc, int effect, uint64_t space,
                          uint64_t position, int base) {
    int64_t number;
    slots_argument name, key, arg;
    uint64_t digest = 0, expire = 0;
    int op = -1, other = SLOTS_OP_ANY;
    if (!(p = scan_header(p, '*', &number)) || !slots_next_argument(&p, end, &name) || !slots_next_argument(&p, end, &key)) return;
    const uint8_t *rest = p;
    uint64_t k = slots_name_digest(c, key);
    if (effect == SLOTS_EFFECT_DELETE) {
        do slots_put_event(c, slots_name_digest(c, key), 0, 0, position, space, SLOTS_OP_DELETE);
        while (p < end && slots_next_argument(&p, end, &key));
        return;
    }
    if (effect == SLOTS_EFFECT_MSET) {
        if (argc % 2 == 0) return;  /* A server refuses it. */
        for (uint32_t n = 1; n + 1 < argc && slots_next_argument(&p, end, &arg); n += 2) {
            slots_put_event(c, slots_name_digest(c, key), slots_value_digest(c, SLOTS_TAG_STRING, arg, NULL), 0, position, space, SLOTS_OP_SET);
            if (n + 2 < argc && !slots_next_argument(&p, end, &key)) break;
        }
        return;
    }
    if (effect == SLOTS_EFFECT_RPUSH || effect == SLOTS_EFFECT_SADD) {
        int list = effect == SLOTS_EFFECT_RPUSH;
        while (p < end && slots_next_argument(&p, end, &arg))
            slots_put_event(c, k, slots_value_digest(c, list ? SLOTS_TAG_LIST : SLOTS_TAG_SET, arg, NULL), 0, position, space, list ? SLOTS_OP_MIX : SLOTS_OP_SUM);
        return;
    }
    if ((effect == SLOTS_EFFECT_SET || effect == SLOTS_EFFECT_SETNX) && argc > 2 && slots_next_argument(&p, end, &arg)) {
        op = effect == SLOTS_EFFECT_SET ? slots_set_options(c, argc, p, end, &expire) : SLOTS_OP_SET_IF_ABSENT;
        if (op >= 0) digest = slots_value_digest(c, SLOTS_TAG_STRING, arg, NULL);
    } else if (effect == SLOTS_EFFECT_HSET && (digest = slots_hset_digest(c, argc, rest, end, base))) {
        op = base ? SLOTS_OP_SUM : SLOTS_OP_SET_IF_ABSENT;
    } else if ((effect == SLOTS_EFFECT_PEXPIREAT || effect == SLOTS_EFFECT_EXPIREAT) && argc == 3 && slots_next_argument(&p, end, &arg)) {
        expire = slots_parse_time(arg, effect == SLOTS_EFFECT_EXPIREAT ? 1000 : 1);
        if (expire) op = SLOTS_OP_EXPIRE;
    } else if (effect == SLOTS_EFFECT_PERSIST && argc == 2) {
        op = SLOTS_OP_EXPIRE;
    }
    if (effect == SLOTS_EFFECT_MIX) other = SLOTS_OP_MIX;
    else if (effect == SLOTS_EFFECT_UPDATE || effect == SLOTS_EFFECT_HSET) other = SLOTS_OP_UPDATE;
    else if (effect == SLOTS_EFFECT_REMOVE) other = SLOTS_OP_REMOVE;
    if (op < 0 || op == SLOTS_OP_EXPIRE) digest = slots_command_digest(c, name, rest, end);
    slots_put_event(c, k, digest, expire, position, space, op < 0 ? other : op);
}

/* Apply the records from .. count - 1; return the index of the first one that was not applied: it does not fit, or has the
 * effect SLOTS_EFFECT_OTHER.  `selected` has a byte for each record, or is NULL to apply all. */
static size_t slots_apply_batch(slots_table *c, const uint8_t *data, uint64_t base_position, const int64_t *edges,
                         const uint32_t *argc, const uint16_t *ids, const int64_t *db, const uint8_t *selected,
                         size_t from, size_t count, const uint8_t *effects, size_t known, int base) {
    for (; from < count; from++) {
        int effect = effects[ids[from] < known ? ids[from] : 0];
        if (effect == SLOTS_EFFECT_NONE || (argc[from] < 2 && effect < SLOTS_EFFECT_OTHER) || (selected && !selected[from])) continue;
        if (effect >= SLOTS_EFFECT_OTHER || !slots_has_room(c, argc[from])) break;
        uint64_t space = slots_space_of_db(c, (uint64_t)db[from]);
        slots_apply_record(c, data + edges[from], data + edges[from + 1], argc[from], effect, space,
                      base_position + (uint64_t)edges[from], base);
    }
    return from;
}

#endif
