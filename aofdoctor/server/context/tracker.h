/* Track the database, transaction and time of each AOF record, as a loading server does.
 *
 * Runs over the columns of a batch of records.  The state is an array of int64, which the fallback in Python uses as well;
 * fields.py names its fields.  Records that the caller wants to examine, by command id or number of arguments, are
 * flagged: their indexes are returned.  compatibility.py and others judge them.
 */
#ifndef AOFDOCTOR_TRACKER_H
#define AOFDOCTOR_TRACKER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    TRACKER_FIELD_DB, TRACKER_FIELD_TIME, TRACKER_FIELD_TX, TRACKER_FIELD_TRANSACTIONS, TRACKER_FIELD_COMMANDS, TRACKER_FIELD_ANNOTATIONS, TRACKER_FIELD_COMMAND_END,
    TRACKER_FIELD_GOOD_END, TRACKER_FIELD_MULTI_START, TRACKER_FIELD_BEFORE_MULTI, TRACKER_FIELD_FIRST_TIME, TRACKER_FIELD_GOOD_COMMANDS,
    TRACKER_FIELD_SELECTED, TRACKER_FIELD_DB_LIMIT, TRACKER_FIELDS
};

#define TRACKER_ANNOTATION_MAX 1023  /* the longest line that a server reads in one piece (AOF_ANNOTATION_LINE_MAX_LEN, 7.0) */

enum { TRACKER_ACT_NONE, TRACKER_ACT_ANNOTATION, TRACKER_ACT_SELECT, TRACKER_ACT_MULTI, TRACKER_ACT_EXEC, TRACKER_ACT_MASK = 7, TRACKER_ACT_FLAG = 8 };

typedef struct {
    const uint8_t *actions;     /* by command id: a TRACKER_ACT, plus TRACKER_ACT_FLAG to flag every such record */
    const uint32_t *argc_min;   /* by command id: records with fewer arguments are flagged */
    const uint32_t *argc_max;    /* by command id: records with more arguments are flagged */
    size_t ids;
} tracker_rules;

typedef struct {
    int64_t *db, *tx, *time; /* one value for each record of the batch; all NULL if they are not requested */
} tracker_columns;

/* Parse p[0..size) as a decimal number without a sign; -1 if it is none. */
static int64_t tracker_digits(const uint8_t *p, size_t size) {
    int64_t value = 0;
    if (size < 1 || size > 18) return -1;
    for (size_t i = 0; i < size; i++) {
        if (p[i] < '0' || p[i] > '9') return -1;
        value = value * 10 + (p[i] - '0');
    }
    return value;
}

/* The time of the annotation `#TS:<seconds>`; -1 for any other annotation. */
static int64_t tracker_timestamp(const uint8_t *p, size_t size) {
    size_t digits = 0;
    if (size < 6 || memcmp(p, "#TS:", 4)) return -1;
    while (4 + digits < size && p[4 + digits] >= '0' && p[4 + digits] <= '9') digits++;
    size_t rest = 4 + digits;
    while (rest < size && p[rest] == '\r') rest++;
    return rest + 1 == size && p[rest] == '\n' ? tracker_digits(p + 4, digits) : -1;
}

/* The second argument of a complete record as a number; -1 if it is none. */
static int64_t tracker_second_argument(const uint8_t *p, const uint8_t *end) {
    const uint8_t *header = p, *from = p;
    for (int line = 0; line < 4; line++) {   /* *2, $6, SELECT, $n */
        const uint8_t *lf = (const uint8_t *)memchr(from, '\n', (size_t)(end - from));
        if (!lf) return -1;
        header = from;
        from = lf + 1;
    }
    int64_t size = from - header < 4 ? -1 : tracker_digits(header + 1, (size_t)(from - header) - 3);
    return size < 0 || size > end - from ? -1 : tracker_digits(from, (size_t)size);
}

/* Update the state with the `count` records of a batch, which begins at file offset `base`.  `flagged` receives the indexes
 * of the records to examine, and has room for all; returns their number.  `data` holds `size` bytes of the batch: of a
 * record that is larger than the read buffer only the beginning. */
static size_t tracker_track_batch(int64_t *state, int64_t base, const uint8_t *data, int64_t size, const int64_t *edges,
                        const uint32_t *argc, const uint16_t *ids, size_t count, const tracker_rules *rules,
                        uint64_t *counts, uint32_t *flagged, const tracker_columns *out) {
    size_t flagged_count = 0;
    for (size_t i = 0; i < count; i++) {
        size_t id = ids[i] < rules->ids ? ids[i] : 0;
        int64_t end = base + edges[i + 1];
        unsigned action = rules->actions[id];
        int flag = (action & TRACKER_ACT_FLAG) || argc[i] < rules->argc_min[id] || argc[i] > rules->argc_max[id];
        const uint8_t *p = data + (edges[i] < size ? edges[i] : size);
        const uint8_t *stop = data + (edges[i + 1] < size ? edges[i + 1] : size);
        int is_complete = edges[i + 1] <= size;
        counts[id]++;
        if (out->db) {
            out->db[i] = state[TRACKER_FIELD_DB];
            out->tx[i] = state[TRACKER_FIELD_TX];
            out->time[i] = state[TRACKER_FIELD_TIME];
        }
        action &= TRACKER_ACT_MASK;
        if (action == TRACKER_ACT_ANNOTATION) {
            int64_t seconds = is_complete ? tracker_timestamp(p, (size_t)(stop - p)) : -1;
            if (seconds >= 0) {
                state[TRACKER_FIELD_TIME] = seconds;
                if (state[TRACKER_FIELD_FIRST_TIME] < 0) state[TRACKER_FIELD_FIRST_TIME] = seconds;
            }
            flag |= seconds < 0 || edges[i + 1] - edges[i] > TRACKER_ANNOTATION_MAX;
            state[TRACKER_FIELD_ANNOTATIONS]++;
        } else {
            if (action == TRACKER_ACT_SELECT) {
                int64_t db = is_complete ? tracker_second_argument(p, stop) : -1;
                flag |= db < 0 || (state[TRACKER_FIELD_SELECTED] && db == state[TRACKER_FIELD_DB]) ||
                        (state[TRACKER_FIELD_DB_LIMIT] && db >= state[TRACKER_FIELD_DB_LIMIT]);
                if (db >= 0) {
                    state[TRACKER_FIELD_DB] = db;
                    state[TRACKER_FIELD_SELECTED] = 1;
                }
                if (out->db) out->db[i] = state[TRACKER_FIELD_DB];
            } else if (action == TRACKER_ACT_MULTI) {
                state[TRACKER_FIELD_BEFORE_MULTI] = state[TRACKER_FIELD_COMMAND_END];
                if (state[TRACKER_FIELD_TX] > 0) {
                    flag = 1;
                } else {
                    state[TRACKER_FIELD_TX] = ++state[TRACKER_FIELD_TRANSACTIONS];
                    state[TRACKER_FIELD_MULTI_START] = base + edges[i];
                }
                if (out->db) out->tx[i] = state[TRACKER_FIELD_TX];
            } else if (action == TRACKER_ACT_EXEC) {
                flag |= state[TRACKER_FIELD_TX] == 0;
                state[TRACKER_FIELD_TX] = 0;
            }
            state[TRACKER_FIELD_COMMANDS]++;
            state[TRACKER_FIELD_COMMAND_END] = end;
        }
        if (state[TRACKER_FIELD_TX] <= 0) {
            state[TRACKER_FIELD_GOOD_END] = end;
            state[TRACKER_FIELD_GOOD_COMMANDS] = state[TRACKER_FIELD_COMMANDS];
        }
        if (flag) flagged[flagged_count++] = (uint32_t)i;
    }
    return flagged_count;
}

#endif
