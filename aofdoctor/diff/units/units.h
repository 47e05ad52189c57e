/* Group records into units: what a server applies at once.
 *
 * A transaction is one unit; so is a command outside of a transaction.  Annotations and SELECTs are no units, but the
 * selected database is part of the digest of each command.  The state is an array of int64, which the fallback in
 * Python uses as well; columns.py names its fields and the columns.
 */
#ifndef AOFDOCTOR_UNITS_H
#define AOFDOCTOR_UNITS_H

#include "../hashing/digest.h"
#include "../../server/context/tracker.h"

enum {
    UNITS_IN_TRANSACTION, UNITS_DIGEST, UNITS_LAST_DIGEST, UNITS_COMMANDS, UNITS_COMMANDS_READ, UNITS_EXACT, UNITS_PART,
    UNITS_START, UNITS_END, UNITS_DB, UNITS_TX, UNITS_TIME, UNITS_FIRST_COMMAND,
    UNITS_FIELDS
};

enum { UNITS_ANY_DATABASE = 16 };  /* added to a TRACKER_ACT: the selected database does not matter */

enum { UNITS_KIND_COMMAND, UNITS_KIND_TRANSACTION, UNITS_KIND_UNFINISHED };

enum {
    UNITS_COLUMN_DIGEST, UNITS_COLUMN_PART, UNITS_COLUMN_START, UNITS_COLUMN_END, UNITS_COLUMN_DB, UNITS_COLUMN_TX, UNITS_COLUMN_TIME, UNITS_COLUMN_FIRST_COMMAND,
    UNITS_COLUMN_COMMANDS, UNITS_COLUMN_KIND, UNITS_COLUMN_LAST_COMMAND, UNITS_COLUMN_CHUNK,
    UNITS_COLUMNS
};

static inline uint64_t units_mix(const uint64_t key[2], uint64_t digest, uint64_t more) {
    digest_state s;
    digest_begin(&s, key);
    digest_word(&s, digest);
    digest_word(&s, more);
    return digest_end(&s);
}

static inline void units_append(int64_t *const *out, size_t n, const int64_t *state, uint64_t digest, int64_t commands,
                             int kind) {
    out[UNITS_COLUMN_DIGEST][n] = (int64_t)digest;
    out[UNITS_COLUMN_PART][n] = state[UNITS_PART];
    out[UNITS_COLUMN_START][n] = state[UNITS_START];
    out[UNITS_COLUMN_END][n] = state[UNITS_END];
    out[UNITS_COLUMN_DB][n] = state[UNITS_DB];
    out[UNITS_COLUMN_TX][n] = state[UNITS_TX];
    out[UNITS_COLUMN_TIME][n] = state[UNITS_TIME];
    out[UNITS_COLUMN_FIRST_COMMAND][n] = state[UNITS_FIRST_COMMAND];
    out[UNITS_COLUMN_COMMANDS][n] = commands;
    out[UNITS_COLUMN_KIND][n] = kind;
    out[UNITS_COLUMN_LAST_COMMAND][n] = state[UNITS_COMMANDS_READ];
    out[UNITS_COLUMN_CHUNK][n] = 0;
}

/* Close the open transaction, if any, and write it as unit n; return the number of units, 0 or 1.  A transaction of a single
 * command gets the digest of that command, because it has the same effect, and one without commands is no unit. */
static inline size_t units_close_transaction(const uint64_t key[2], int64_t *state, int finished, int64_t *const *out, size_t n) {
    uint64_t digest = (uint64_t)state[UNITS_DIGEST];
    int64_t commands = state[UNITS_COMMANDS];
    if (!state[UNITS_IN_TRANSACTION]) return 0;
    state[UNITS_IN_TRANSACTION] = 0;
    if (finished && !state[UNITS_EXACT]) {
        if (!commands) return 0;
        if (commands == 1) digest = (uint64_t)state[UNITS_LAST_DIGEST];
    }
    if (!finished || state[UNITS_EXACT] || commands > 1)
        digest = units_mix(key, digest, 2 * (uint64_t)commands + (finished ? 0 : 1));
    units_append(out, n, state, digest, commands + (finished ? 2 : 1), finished ? UNITS_KIND_TRANSACTION : UNITS_KIND_UNFINISHED);
    return 1;
}

static inline void units_begin_unit(int64_t *state, int64_t start, int64_t db, int64_t tx, int64_t time) {
    state[UNITS_START] = start;
    state[UNITS_DB] = db;
    state[UNITS_TX] = tx;
    state[UNITS_TIME] = time;
    state[UNITS_FIRST_COMMAND] = state[UNITS_COMMANDS_READ] + 1;
}

/* Write the units that end in `count` records to `out`, given their digests and context; return their number, at most
 * count + 1. */
static size_t units_make(const uint64_t key[2], int64_t *state, int64_t base, const int64_t *edges, const uint16_t *ids,
                        const uint64_t *digests, const int64_t *db, const int64_t *tx, const int64_t *time,
                        size_t count, const uint8_t *actions, size_t known, int64_t *const *out) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned acts = actions[ids[i] < known ? ids[i] : 0], action = acts & TRACKER_ACT_MASK;
        uint64_t digest = units_mix(key, digests[i], acts & UNITS_ANY_DATABASE ? 0 : (uint64_t)db[i] + 2);
        if (action == TRACKER_ACT_ANNOTATION) continue;
        if (state[UNITS_IN_TRANSACTION] && tx[i] != state[UNITS_TX]) n += units_close_transaction(key, state, 0, out, n);
        if (tx[i] > 0 && !state[UNITS_IN_TRANSACTION]) {
            units_begin_unit(state, base + edges[i], db[i], tx[i], time[i]);
            state[UNITS_IN_TRANSACTION] = 1;
            state[UNITS_DIGEST] = state[UNITS_COMMANDS] = 0;
        }
        if (!state[UNITS_IN_TRANSACTION]) units_begin_unit(state, base + edges[i], db[i], 0, time[i]);
        state[UNITS_COMMANDS_READ]++;
        state[UNITS_END] = base + edges[i + 1];
        if (!state[UNITS_IN_TRANSACTION]) {
            if (action != TRACKER_ACT_SELECT) units_append(out, n++, state, digest, 1, UNITS_KIND_COMMAND);
        } else if (action == TRACKER_ACT_EXEC) {
            n += units_close_transaction(key, state, 1, out, n);
        } else if (action == TRACKER_ACT_NONE) {
            state[UNITS_LAST_DIGEST] = (int64_t)digest;
            state[UNITS_DIGEST] = (int64_t)units_mix(key, (uint64_t)state[UNITS_DIGEST], digest);
            state[UNITS_COMMANDS]++;
        }
    }
    return n;
}

#endif
