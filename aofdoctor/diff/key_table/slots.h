/* A slots_table of keys: of each what made it, when it expires, and where it was last written.
 *
 * Slots of five words by open addressing, in memory that the caller owns; the places grow with the hashes, so
 * that a table is copied into a larger one, and compared with another, from front to back.  A database is known
 * by a number, its space, which a flush takes away and SWAPDB exchanges: what is in a dead space is dropped when
 * the table is copied.  While there is room for events they are only noted, to be applied in the order of the
 * table, each key's in theirs: a table that lies on a disk is gone over from front to back as well.
 *
 * The digests are those of digest.h, whose key nobody knows beforehand.
 */
#ifndef AOFDOCTOR_SLOTS_H
#define AOFDOCTOR_SLOTS_H

#include "../hashing/digest.h"

/* A slot: free where its space is 0.  An event has `space << 3 | op`, and the digest in place of what made it. */
enum { SLOTS_FIELD_KEY, SLOTS_FIELD_CONTENT, SLOTS_FIELD_EXPIRE, SLOTS_FIELD_POSITION, SLOTS_FIELD_SPACE, SLOTS_SLOT_WORDS };

/* Spaces that are none: from a database to its space, from a space to its database plus one. */
enum { SLOTS_SPACE_OF_DB = 1, SLOTS_DB_OF_SPACE, SLOTS_FIRST_SPACE };

enum {
    SLOTS_STATE_SLOTS, SLOTS_STATE_USED, SLOTS_STATE_USED_MAX, SLOTS_STATE_EPOCH, SLOTS_STATE_NEXT_SPACE, SLOTS_STATE_LAST_DB, SLOTS_STATE_LAST_SPACE,
    SLOTS_STATE_PENDING, SLOTS_STATE_PENDING_MAX, SLOTS_STATE_KEEP_DELETED,
    SLOTS_STATE_FIELDS
};

enum { SLOTS_OP_DELETE, SLOTS_OP_SET, SLOTS_OP_SET_KEEP_EXPIRY, SLOTS_OP_MIX, SLOTS_OP_SUM, SLOTS_OP_SET_IF_ABSENT, SLOTS_OP_EXPIRE };

enum {
    SLOTS_EFFECT_NONE, SLOTS_EFFECT_MIX, SLOTS_EFFECT_SET, SLOTS_EFFECT_MSET, SLOTS_EFFECT_SETNX, SLOTS_EFFECT_DELETE, SLOTS_EFFECT_RPUSH, SLOTS_EFFECT_SADD, SLOTS_EFFECT_HSET,
    SLOTS_EFFECT_PEXPIREAT, SLOTS_EFFECT_EXPIREAT, SLOTS_EFFECT_PERSIST, SLOTS_EFFECT_OTHER
};

enum { SLOTS_TAG_COMMAND, SLOTS_TAG_STRING, SLOTS_TAG_LIST, SLOTS_TAG_SET, SLOTS_TAG_HASH, SLOTS_TAG_ZSET, SLOTS_TAG_FIELD_EXPIRY, SLOTS_TAG_DIRECTORY, SLOTS_TAG_RELATIVE_EXPIRY };

enum { SLOTS_HSET_FIELDS_MAX = 64 };

typedef struct {
    uint64_t *slots, *state, *events;
    uint64_t key[2];
} slots_table;

/* ---- slots ---- */

static inline uint64_t slots_hash(uint64_t key, uint64_t space) { return key ^ space * 0x9e3779b97f4a7c15u; }

/* Where a key is looked for first: of all `n` slots as far along as its hash is of all hashes. */
static inline uint64_t slots_home_slot(uint64_t hash, uint64_t n) { return (hash >> 32) * n >> 32; }

/* The slot of a key, or the free one where it would go; one slot is always free, and there are less than 2^32. */
static inline uint64_t *slots_find(uint64_t *slots, uint64_t n, uint64_t key, uint64_t space) {
    uint64_t at = slots_home_slot(slots_hash(key, space), n);
    for (;; at = at + 1 < n ? at + 1 : 0) {
        uint64_t *s = slots + at * SLOTS_SLOT_WORDS;
        if (!s[SLOTS_FIELD_SPACE] || (s[SLOTS_FIELD_KEY] == key && s[SLOTS_FIELD_SPACE] == space)) return s;
    }
}

/* The same, made where there was none. */
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

/* What a write makes of what was there; never 0. */
static inline uint64_t slots_mix_digest(uint64_t digest, uint64_t made) {
    uint64_t mixed = (made * 0x9e3779b97f4a7c15u + digest) ^ (made >> 29);
    return mixed ? mixed : 1;
}

static inline void slots_apply_event(slots_table *c, const uint64_t *event) {
    uint64_t space = event[SLOTS_FIELD_SPACE] >> 3, digest = event[SLOTS_FIELD_CONTENT] ? event[SLOTS_FIELD_CONTENT] : 1;
    int op = (int)(event[SLOTS_FIELD_SPACE] & 7);
    if (op == SLOTS_OP_DELETE && !c->state[SLOTS_STATE_KEEP_DELETED]) {
        uint64_t *gone = slots_find(c->slots, c->state[SLOTS_STATE_SLOTS], event[SLOTS_FIELD_KEY], space);
        if (!gone[SLOTS_FIELD_SPACE]) return;
    }
    uint64_t *s = slots_ensure(c, event[SLOTS_FIELD_KEY], space), made = s[SLOTS_FIELD_CONTENT];
    s[SLOTS_FIELD_POSITION] = event[SLOTS_FIELD_POSITION];
    if (op == SLOTS_OP_DELETE || op == SLOTS_OP_SET) s[SLOTS_FIELD_EXPIRE] = event[SLOTS_FIELD_EXPIRE];
    if (op == SLOTS_OP_EXPIRE && made) s[SLOTS_FIELD_EXPIRE] = event[SLOTS_FIELD_EXPIRE];
    else if (op == SLOTS_OP_DELETE) s[SLOTS_FIELD_CONTENT] = 0;
    else if (op == SLOTS_OP_SET || op == SLOTS_OP_SET_KEEP_EXPIRY || (op == SLOTS_OP_SET_IF_ABSENT && !made)) s[SLOTS_FIELD_CONTENT] = digest;
    else if (op == SLOTS_OP_SUM) s[SLOTS_FIELD_CONTENT] = made + digest ? made + digest : 1;
    else s[SLOTS_FIELD_CONTENT] = slots_mix_digest(digest, made);
}

/* True if a record of `count` arguments fits: a slot or an event for each, and slots for its database. */
static inline int slots_has_room(const slots_table *c, uint64_t count) {
    const uint64_t *s = c->state;
    if (s[SLOTS_STATE_PENDING_MAX]) return s[SLOTS_STATE_PENDING] + count <= s[SLOTS_STATE_PENDING_MAX] && s[SLOTS_STATE_USED] + 2 <= s[SLOTS_STATE_USED_MAX];
    return s[SLOTS_STATE_USED] + 2 + count <= s[SLOTS_STATE_USED_MAX];
}

static inline void slots_put_event(slots_table *c, uint64_t key, uint64_t digest, uint64_t expire, uint64_t place, uint64_t space,
                              int op) {
    uint64_t event[SLOTS_SLOT_WORDS] = {key, digest, expire, place, space << 3 | (uint64_t)op};
    if (c->state[SLOTS_STATE_PENDING_MAX])
        memcpy(c->events + SLOTS_SLOT_WORDS * c->state[SLOTS_STATE_PENDING]++, event, sizeof event);
    else
        slots_apply_event(c, event);
}

/* The indexes of the pending events in the order of the table, those of one place in their own.
 * `starts` has room for 2^16 + 1. */
static void slots_order_pending(const uint64_t *events, size_t count, uint32_t *starts, uint32_t *order) {
    memset(starts, 0, ((1 << 16) + 1) * sizeof *starts);
    for (size_t i = 0; i < count; i++) {
        const uint64_t *e = events + SLOTS_SLOT_WORDS * i;
        starts[(slots_hash(e[SLOTS_FIELD_KEY], e[SLOTS_FIELD_SPACE] >> 3) >> 48) + 1]++;
    }
    for (size_t i = 0; i < 1 << 16; i++) starts[i + 1] += starts[i];
    for (size_t i = 0; i < count; i++) {
        const uint64_t *e = events + SLOTS_SLOT_WORDS * i;
        order[starts[slots_hash(e[SLOTS_FIELD_KEY], e[SLOTS_FIELD_SPACE] >> 3) >> 48]++] = (uint32_t)i;
    }
}

/* Apply the events order[from .. to - 1], or as many as there are slots for; where it stopped. */
static size_t slots_apply_pending(slots_table *c, const uint32_t *order, size_t from, size_t to) {
    for (; from < to && c->state[SLOTS_STATE_USED] < c->state[SLOTS_STATE_USED_MAX]; from++)
        slots_apply_event(c, c->events + SLOTS_SLOT_WORDS * (size_t)order[from]);
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

static inline uint64_t *slots_set_directory(slots_table *c, uint64_t tag, uint64_t value, uint64_t is) {
    uint64_t *s = slots_ensure(c, slots_directory_key(c, tag, value), tag);
    s[SLOTS_FIELD_CONTENT] = is;
    s[SLOTS_FIELD_POSITION] = c->state[SLOTS_STATE_EPOCH];
    return s;
}

/* What an entry says; 0 where there is none, or a flush of everything came after it. */
static inline uint64_t slots_get_directory(slots_table *c, uint64_t tag, uint64_t value) {
    const uint64_t *s = slots_find(c->slots, c->state[SLOTS_STATE_SLOTS], slots_directory_key(c, tag, value), tag);
    return s[SLOTS_FIELD_SPACE] && s[SLOTS_FIELD_POSITION] == c->state[SLOTS_STATE_EPOCH] ? s[SLOTS_FIELD_CONTENT] : 0;
}

/* The space of a database, which is made if it has none; needs two slots. */
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

static void slots_flush_database(slots_table *c, uint64_t db) {
    uint64_t space = slots_space_of_db(c, db);
    slots_set_directory(c, SLOTS_SPACE_OF_DB, db, 0);
    slots_set_directory(c, SLOTS_DB_OF_SPACE, space, 0);
    c->state[SLOTS_STATE_LAST_SPACE] = 0;
}

/* Needs four slots. */
static void slots_swap_databases(slots_table *c, uint64_t one, uint64_t two) {
    uint64_t a = slots_space_of_db(c, one), b = slots_space_of_db(c, two);
    slots_set_directory(c, SLOTS_SPACE_OF_DB, one, b);
    slots_set_directory(c, SLOTS_SPACE_OF_DB, two, a);
    slots_set_directory(c, SLOTS_DB_OF_SPACE, a, two + 1);
    slots_set_directory(c, SLOTS_DB_OF_SPACE, b, one + 1);
    c->state[SLOTS_STATE_LAST_SPACE] = 0;
}

/* ---- from front to back ---- */

/* True of a slot whose key or entry is still there; `seen` remembers the last space, and whether it is alive. */
static inline int slots_is_live(slots_table *c, const uint64_t *s, uint64_t seen[2]) {
    uint64_t space = s[SLOTS_FIELD_SPACE];
    if (space < SLOTS_FIRST_SPACE) return space && s[SLOTS_FIELD_CONTENT] && s[SLOTS_FIELD_POSITION] == c->state[SLOTS_STATE_EPOCH];
    if (!s[SLOTS_FIELD_CONTENT] && !c->state[SLOTS_STATE_KEEP_DELETED]) return 0;
    if (seen[0] != space) {
        seen[0] = space;
        seen[1] = slots_get_directory(c, SLOTS_DB_OF_SPACE, space);
    }
    return seen[1] != 0;
}

/* How many of the slots from .. to - 1 live; copied to the table `into` where there is one. */
static size_t slots_copy_live(slots_table *c, size_t from, size_t to, slots_table *into) {
    uint64_t seen[2] = {0, 0};
    size_t live = 0;
    for (; from < to; from++) {
        const uint64_t *s = c->slots + SLOTS_SLOT_WORDS * from;
        if (!slots_is_live(c, s, seen)) continue;
        live++;
        if (into) memcpy(slots_ensure(into, s[SLOTS_FIELD_KEY], s[SLOTS_FIELD_SPACE]), s, SLOTS_SLOT_WORDS * sizeof *s);
    }
    return live;
}

/* What is other in two tables: (who has it: 1 a, 2 b, 3 both; database, key, its place in a, in b, deleted there:
 * 1 in a, 2 in b).  Those of a's keys, or with `only` just those that b lacks.  Goes on at *from; the number of
 * rows, `room` at most; what is equal is counted in *same. */
enum { SLOTS_ROW_SIDES, SLOTS_ROW_DB, SLOTS_ROW_KEY, SLOTS_ROW_A, SLOTS_ROW_B, SLOTS_ROW_DELETED, SLOTS_ROW_WORDS };

static size_t slots_compare(slots_table *a, slots_table *b, size_t *from, size_t to, int only, uint64_t *rows, size_t room,
                            uint64_t *same) {
    uint64_t seen[2] = {0, 0}, known[2] = {0, 0};
    size_t n = 0, at = *from;
    for (; at < to && n < room; at++) {
        const uint64_t *s = a->slots + SLOTS_SLOT_WORDS * at, *t = NULL;
        if (s[SLOTS_FIELD_SPACE] < SLOTS_FIRST_SPACE || !slots_is_live(a, s, seen)) continue;
        if (known[0] != seen[1]) {
            known[0] = seen[1];
            known[1] = slots_get_directory(b, SLOTS_SPACE_OF_DB, seen[1] - 1);
        }
        if (known[1]) {
            t = slots_find(b->slots, b->state[SLOTS_STATE_SLOTS], s[SLOTS_FIELD_KEY], known[1]);
            if (!t[SLOTS_FIELD_SPACE] || (!t[SLOTS_FIELD_CONTENT] && !b->state[SLOTS_STATE_KEEP_DELETED])) t = NULL;
        }
        if (t && only) continue;
        if (t && t[SLOTS_FIELD_CONTENT] == s[SLOTS_FIELD_CONTENT] && t[SLOTS_FIELD_EXPIRE] == s[SLOTS_FIELD_EXPIRE]) {
            ++*same;
            continue;
        }
        uint64_t *row = rows + SLOTS_ROW_WORDS * n++;
        row[SLOTS_ROW_SIDES] = t ? 3 : 1;
        row[SLOTS_ROW_DB] = seen[1] - 1;
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

/* The digest of one or two words; `tag` says of what. */
static inline uint64_t slots_value_digest(const slots_table *c, uint64_t tag, slots_argument one, const slots_argument *two) {
    digest_state s;
    digest_begin(&s, c->key);
    digest_word(&s, tag);
    slots_feed_argument(&s, one, 0);
    if (two) slots_feed_argument(&s, *two, 0);
    return digest_end(&s);
}

/* The digest of a command without its key. */
static inline uint64_t slots_command_digest(const slots_table *c, slots_argument name, const uint8_t *rest, const uint8_t *end) {
    digest_state s;
    slots_argument arg;
    digest_begin(&s, c->key);
    digest_word(&s, SLOTS_TAG_COMMAND);
    slots_feed_argument(&s, name, 1);
    while (rest < end && slots_next_argument(&rest, end, &arg)) slots_feed_argument(&s, arg, 0);
    return digest_end(&s);
}

/* True if a word is `text`, which is lower case and has at most eight letters. */
static inline int slots_argument_is(slots_argument arg, const char *text) {
    uint8_t word[8] = {0}, wanted[8] = {0};
    size_t size = strlen(text);
    if ((size_t)arg.size != size) return 0;
    memcpy(word, arg.at, size);
    memcpy(wanted, text, size);
    return scan_lower(scan_load8(word)) == scan_load8(wanted);
}

/* A time in milliseconds of digits alone; 0 if it is none. */
static inline uint64_t slots_parse_time(slots_argument arg, uint64_t scale) {
    uint64_t value = 0;
    if (arg.size < 1 || arg.size > 15) return 0;
    for (int64_t i = 0; i < arg.size; i++) {
        if (arg.at[i] < '0' || arg.at[i] > '9') return 0;
        value = value * 10 + (uint64_t)(arg.at[i] - '0');
    }
    return value * scale;
}

/* SET with options: how it acts, -1 if only the command itself says. */
static inline int slots_set_options(const slots_table *c, uint32_t argc, const uint8_t *p, const uint8_t *end,
                                 uint64_t *expire) {
    slots_argument option, value;
    *expire = 0;
    if (argc == 3) return SLOTS_OP_SET;
    if (argc > 5 || !slots_next_argument(&p, end, &option)) return -1;
    if (argc == 4) {
        if (slots_argument_is(option, "keepttl")) return SLOTS_OP_SET_KEEP_EXPIRY;
        if (slots_argument_is(option, "nx")) return SLOTS_OP_SET_IF_ABSENT;
        return slots_argument_is(option, "get") ? SLOTS_OP_SET : -1;
    }
    if (!slots_next_argument(&p, end, &value)) return -1;
    if (slots_argument_is(option, "pxat")) *expire = slots_parse_time(value, 1);
    else if (slots_argument_is(option, "exat")) *expire = slots_parse_time(value, 1000);
    else if (slots_argument_is(option, "px") || slots_argument_is(option, "ex")) *expire = slots_value_digest(c, SLOTS_TAG_RELATIVE_EXPIRY, option, &value);
    return *expire ? SLOTS_OP_SET : -1;
}

/* The sum of the digests of fields with their values; 0 if it cannot be told that they are all different. */
static inline uint64_t slots_hset_digest(const slots_table *c, uint32_t argc, const uint8_t *p, const uint8_t *end, int unique) {
    slots_argument fields[SLOTS_HSET_FIELDS_MAX], field, value;
    uint64_t sum = 0;
    if (argc % 2 || argc < 4 || (!unique && (argc - 2) / 2 > SLOTS_HSET_FIELDS_MAX)) return 0;
    for (uint32_t n = 0; n < (argc - 2) / 2; n++) {
        if (!slots_next_argument(&p, end, &field) || !slots_next_argument(&p, end, &value)) return 0;
        for (uint32_t m = 0; !unique && m < n; m++)
            if (fields[m].size == field.size && !memcmp(fields[m].at, field.at, (size_t)field.size)) return 0;
        if (!unique) fields[n] = field;
        sum += slots_value_digest(c, SLOTS_TAG_HASH, field, &value);
    }
    return sum;
}

/* A record with a key that is its first argument; `base`: of a base, in which each element stands once. */
static void slots_apply_record(slots_table *c, const uint8_t *p, const uint8_t *end, uint32_t argc, int does, uint64_t space,
                          uint64_t place, int base) {
    int64_t number;
    slots_argument name, key, arg;
    uint64_t digest = 0, expire = 0;
    int op = -1;
    if (!(p = scan_header(p, '*', &number)) || !slots_next_argument(&p, end, &name) || !slots_next_argument(&p, end, &key)) return;
    const uint8_t *rest = p;
    uint64_t k = slots_name_digest(c, key);
    if (does == SLOTS_EFFECT_DELETE) {
        do slots_put_event(c, slots_name_digest(c, key), 0, 0, place, space, SLOTS_OP_DELETE);
        while (p < end && slots_next_argument(&p, end, &key));
        return;
    }
    if (does == SLOTS_EFFECT_MSET) {
        for (uint32_t n = 1; n + 1 < argc && slots_next_argument(&p, end, &arg); n += 2) {
            slots_put_event(c, slots_name_digest(c, key), slots_value_digest(c, SLOTS_TAG_STRING, arg, NULL), 0, place, space, SLOTS_OP_SET);
            if (n + 2 < argc && !slots_next_argument(&p, end, &key)) break;
        }
        return;
    }
    if (does == SLOTS_EFFECT_RPUSH || does == SLOTS_EFFECT_SADD) {
        int list = does == SLOTS_EFFECT_RPUSH;
        while (p < end && slots_next_argument(&p, end, &arg))
            slots_put_event(c, k, slots_value_digest(c, list ? SLOTS_TAG_LIST : SLOTS_TAG_SET, arg, NULL), 0, place, space, list ? SLOTS_OP_MIX : SLOTS_OP_SUM);
        return;
    }
    if ((does == SLOTS_EFFECT_SET || does == SLOTS_EFFECT_SETNX) && argc > 2 && slots_next_argument(&p, end, &arg)) {
        op = does == SLOTS_EFFECT_SET ? slots_set_options(c, argc, p, end, &expire) : SLOTS_OP_SET_IF_ABSENT;
        if (op >= 0) digest = slots_value_digest(c, SLOTS_TAG_STRING, arg, NULL);
    } else if (does == SLOTS_EFFECT_HSET && (digest = slots_hset_digest(c, argc, rest, end, base))) {
        op = base ? SLOTS_OP_SUM : SLOTS_OP_SET_IF_ABSENT;
    } else if ((does == SLOTS_EFFECT_PEXPIREAT || does == SLOTS_EFFECT_EXPIREAT) && argc == 3 && slots_next_argument(&p, end, &arg)) {
        expire = slots_parse_time(arg, does == SLOTS_EFFECT_EXPIREAT ? 1000 : 1);
        if (expire) op = SLOTS_OP_EXPIRE;
    } else if (does == SLOTS_EFFECT_PERSIST && argc == 2) {
        op = SLOTS_OP_EXPIRE;
    }
    if (op < 0 || op == SLOTS_OP_EXPIRE) digest = slots_command_digest(c, name, rest, end);
    slots_put_event(c, k, digest, expire, place, space, op < 0 ? SLOTS_OP_MIX : op);
}

/* Go over the records from .. count - 1; the first one that is not done: it fits not, or does what is not known here.
 * `wanted` has a byte for each, or is NULL. */
static size_t slots_apply_batch(slots_table *c, const uint8_t *data, uint64_t base_place, const int64_t *edges,
                         const uint32_t *argc, const uint16_t *ids, const int64_t *db, const uint8_t *wanted,
                         size_t from, size_t count, const uint8_t *does, size_t known, int base) {
    for (; from < count; from++) {
        int what = does[ids[from] < known ? ids[from] : 0];
        if (what == SLOTS_EFFECT_NONE || (argc[from] < 2 && what < SLOTS_EFFECT_OTHER) || (wanted && !wanted[from])) continue;
        if (what >= SLOTS_EFFECT_OTHER || !slots_has_room(c, argc[from])) break;
        uint64_t space = slots_space_of_db(c, (uint64_t)db[from]);
        slots_apply_record(c, data + edges[from], data + edges[from + 1], argc[from], what, space,
                      base_place + (uint64_t)edges[from], base);
    }
    return from;
}

#endif
