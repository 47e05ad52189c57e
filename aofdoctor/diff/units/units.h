/* Records to units: what takes effect at once.
 *
 * A transaction is one unit, a command outside of one is another; an annotation and a SELECT are none, but the
 * database that SELECT chose is part of the digest of what follows.  The state is an array of int64, so that
 * the plain Python twin works on the same one; the names of its fields are in units.py.
 */
#ifndef AOFDOCTOR_UNITS_H
#define AOFDOCTOR_UNITS_H

#include "../hashing/digest.h"
#include "../../server/context/tracker.h"

enum {
    UNITS_OPEN, UNITS_DIGEST, UNITS_ONLY, UNITS_COMMANDS, UNITS_SEEN, UNITS_EXACT, UNITS_PART,
    UNITS_START, UNITS_END, UNITS_DB, UNITS_TX, UNITS_TIME, UNITS_NUMBER,
    UNITS_SIZE
};

enum { UNITS_EVERYWHERE = 16 };  /* beside the acts of steps.h: the selected database does not matter */

enum { UNIT_COMMAND, UNIT_TRANSACTION, UNIT_UNFINISHED };

enum {
    COLUMN_DIGEST, COLUMN_PART, COLUMN_START, COLUMN_END, COLUMN_DB, COLUMN_TX, COLUMN_TIME, COLUMN_NUMBER,
    COLUMN_COMMANDS, COLUMN_KIND, COLUMN_LAST, COLUMN_CHUNK,
    COLUMNS
};

static inline uint64_t units_mix(const uint64_t key[2], uint64_t digest, uint64_t more) {
    digest_state s;
    digest_begin(&s, key);
    digest_word(&s, digest);
    digest_word(&s, more);
    return digest_end(&s);
}

static inline void units_put(int64_t *const *out, size_t n, const int64_t *state, uint64_t digest, int64_t commands,
                             int kind) {
    out[COLUMN_DIGEST][n] = (int64_t)digest;
    out[COLUMN_PART][n] = state[UNITS_PART];
    out[COLUMN_START][n] = state[UNITS_START];
    out[COLUMN_END][n] = state[UNITS_END];
    out[COLUMN_DB][n] = state[UNITS_DB];
    out[COLUMN_TX][n] = state[UNITS_TX];
    out[COLUMN_TIME][n] = state[UNITS_TIME];
    out[COLUMN_NUMBER][n] = state[UNITS_NUMBER];
    out[COLUMN_COMMANDS][n] = commands;
    out[COLUMN_KIND][n] = kind;
    out[COLUMN_LAST][n] = state[UNITS_SEEN];
    out[COLUMN_CHUNK][n] = 0;
}

/* Close the open transaction; the number of units, one or none.  One of a single command has the effect of that
 * command alone, and one of no command has none. */
static inline size_t units_close(const uint64_t key[2], int64_t *state, int finished, int64_t *const *out, size_t n) {
    uint64_t digest = (uint64_t)state[UNITS_DIGEST];
    int64_t commands = state[UNITS_COMMANDS];
    if (!state[UNITS_OPEN]) return 0;
    state[UNITS_OPEN] = 0;
    if (finished && !state[UNITS_EXACT]) {
        if (!commands) return 0;
        if (commands == 1) digest = (uint64_t)state[UNITS_ONLY];
    }
    if (!finished || state[UNITS_EXACT] || commands > 1)
        digest = units_mix(key, digest, 2 * (uint64_t)commands + (finished ? 0 : 1));
    units_put(out, n, state, digest, commands + (finished ? 2 : 1), finished ? UNIT_TRANSACTION : UNIT_UNFINISHED);
    return 1;
}

static inline void units_begin(int64_t *state, int64_t start, int64_t db, int64_t tx, int64_t time) {
    state[UNITS_START] = start;
    state[UNITS_DB] = db;
    state[UNITS_TX] = tx;
    state[UNITS_TIME] = time;
    state[UNITS_NUMBER] = state[UNITS_SEEN] + 1;
}

/* Go over `count` records with their digests and context; the number of units, at most count + 1. */
static size_t units_run(const uint64_t key[2], int64_t *state, int64_t base, const int64_t *edges, const uint16_t *ids,
                        const uint64_t *digests, const int64_t *db, const int64_t *tx, const int64_t *time,
                        size_t count, const uint8_t *act, size_t known, int64_t *const *out) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned acts = act[ids[i] < known ? ids[i] : 0], does = acts & ACT_MASK;
        uint64_t digest = units_mix(key, digests[i], acts & UNITS_EVERYWHERE ? 0 : (uint64_t)db[i] + 2);
        if (does == ACT_ANNOTATION) continue;
        if (state[UNITS_OPEN] && tx[i] != state[UNITS_TX]) n += units_close(key, state, 0, out, n);
        if (tx[i] > 0 && !state[UNITS_OPEN]) {
            units_begin(state, base + edges[i], db[i], tx[i], time[i]);
            state[UNITS_OPEN] = 1;
            state[UNITS_DIGEST] = state[UNITS_COMMANDS] = 0;
        }
        if (!state[UNITS_OPEN]) units_begin(state, base + edges[i], db[i], 0, time[i]);
        state[UNITS_SEEN]++;
        state[UNITS_END] = base + edges[i + 1];
        if (!state[UNITS_OPEN]) {
            if (does != ACT_SELECT) units_put(out, n++, state, digest, 1, UNIT_COMMAND);
        } else if (does == ACT_EXEC) {
            n += units_close(key, state, 1, out, n);
        } else if (does == ACT_NONE) {
            state[UNITS_ONLY] = (int64_t)digest;
            state[UNITS_DIGEST] = (int64_t)units_mix(key, (uint64_t)state[UNITS_DIGEST], digest);
            state[UNITS_COMMANDS]++;
        }
    }
    return n;
}

#endif
