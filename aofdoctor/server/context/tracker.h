/* The context of each record: its database, transaction and time.
 *
 * Runs over the columns of a batch.  The state is an array of int64, so that
 * the plain Python twin works on the same one; the names of its fields are in
 * steps.py.  A record that a rule asks about is noted, and judged elsewhere.
 */
#ifndef AOFDOCTOR_STEPS_H
#define AOFDOCTOR_STEPS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    STATE_DB, STATE_TIME, STATE_TX, STATE_TRANSACTIONS, STATE_COMMANDS, STATE_ANNOTATIONS, STATE_COMMAND_END,
    STATE_GOOD_END, STATE_MULTI_START, STATE_BEFORE_MULTI, STATE_FIRST_TIME, STATE_GOOD_COMMANDS,
    STATE_SELECTED, STATE_SIZE
};

#define ANNOTATION_MAX 1023  /* the longest line that a server reads in one piece (AOF_ANNOTATION_LINE_MAX_LEN, 7.0) */

enum { ACT_NONE, ACT_ANNOTATION, ACT_SELECT, ACT_MULTI, ACT_EXEC, ACT_MASK = 7, ACT_NOTE = 8 };

typedef struct {
    const uint8_t *act;      /* by id: what to do, and ACT_NOTE to note each one */
    const uint32_t *least;   /* by id: fewer arguments are noted */
    const uint32_t *most;    /* by id: more arguments are noted */
    size_t ids;
} steps_rules;

typedef struct {
    int64_t *db, *tx, *time; /* by record, or all NULL */
} steps_out;

/* The number in p[0..size), digits only; -1 if it is none. */
static int64_t steps_number(const uint8_t *p, size_t size) {
    int64_t value = 0;
    if (size < 1 || size > 18) return -1;
    for (size_t i = 0; i < size; i++) {
        if (p[i] < '0' || p[i] > '9') return -1;
        value = value * 10 + (p[i] - '0');
    }
    return value;
}

/* The time of `#TS:<seconds>`; -1 if the annotation is another. */
static int64_t steps_timestamp(const uint8_t *p, size_t size) {
    size_t digits = 0;
    if (size < 6 || memcmp(p, "#TS:", 4)) return -1;
    while (4 + digits < size && p[4 + digits] >= '0' && p[4 + digits] <= '9') digits++;
    size_t rest = 4 + digits;
    while (rest < size && p[rest] == '\r') rest++;
    return rest + 1 == size && p[rest] == '\n' ? steps_number(p + 4, digits) : -1;
}

/* The second argument of a whole record as a number; -1 if it is none. */
static int64_t steps_second(const uint8_t *p, const uint8_t *end) {
    const uint8_t *header = p, *from = p;
    for (int line = 0; line < 4; line++) {   /* *2, $6, SELECT, $n */
        const uint8_t *lf = (const uint8_t *)memchr(from, '\n', (size_t)(end - from));
        if (!lf) return -1;
        header = from;
        from = lf + 1;
    }
    int64_t size = from - header < 4 ? -1 : steps_number(header + 1, (size_t)(from - header) - 3);
    return size < 0 || size > end - from ? -1 : steps_number(from, (size_t)size);
}

/* Go over `count` records; the number of noted ones, whose indexes are in `notes` (room for all).
 * `data` holds the bytes of the batch, `size` of them: of a far record only its head. */
static size_t steps_run(int64_t *state, int64_t base, const uint8_t *data, int64_t size, const int64_t *edges,
                        const uint32_t *argc, const uint16_t *ids, size_t count, const steps_rules *rules,
                        uint64_t *counts, uint32_t *notes, const steps_out *out) {
    size_t noted = 0;
    for (size_t i = 0; i < count; i++) {
        size_t id = ids[i] < rules->ids ? ids[i] : 0;
        int64_t end = base + edges[i + 1];
        unsigned act = rules->act[id];
        int note = (act & ACT_NOTE) || argc[i] < rules->least[id] || argc[i] > rules->most[id];
        const uint8_t *p = data + (edges[i] < size ? edges[i] : size);
        const uint8_t *stop = data + (edges[i + 1] < size ? edges[i + 1] : size);
        int whole = edges[i + 1] <= size;
        counts[id]++;
        if (out->db) {
            out->db[i] = state[STATE_DB];
            out->tx[i] = state[STATE_TX];
            out->time[i] = state[STATE_TIME];
        }
        act &= ACT_MASK;
        if (act == ACT_ANNOTATION) {
            int64_t seconds = whole ? steps_timestamp(p, (size_t)(stop - p)) : -1;
            if (seconds >= 0) {
                state[STATE_TIME] = seconds;
                if (state[STATE_FIRST_TIME] < 0) state[STATE_FIRST_TIME] = seconds;
            }
            note |= edges[i + 1] - edges[i] > ANNOTATION_MAX;
            state[STATE_ANNOTATIONS]++;
        } else {
            if (act == ACT_SELECT) {
                int64_t db = whole ? steps_second(p, stop) : -1;
                note |= db < 0 || (state[STATE_SELECTED] && db == state[STATE_DB]);
                if (db >= 0) {
                    state[STATE_DB] = db;
                    state[STATE_SELECTED] = 1;
                }
                if (out->db) out->db[i] = state[STATE_DB];
            } else if (act == ACT_MULTI) {
                state[STATE_BEFORE_MULTI] = state[STATE_COMMAND_END];
                if (state[STATE_TX] > 0) {
                    note = 1;
                } else {
                    state[STATE_TX] = ++state[STATE_TRANSACTIONS];
                    state[STATE_MULTI_START] = base + edges[i];
                }
                if (out->db) out->tx[i] = state[STATE_TX];
            } else if (act == ACT_EXEC) {
                note |= state[STATE_TX] == 0;
                state[STATE_TX] = 0;
            }
            state[STATE_COMMANDS]++;
            state[STATE_COMMAND_END] = end;
        }
        if (state[STATE_TX] <= 0) {
            state[STATE_GOOD_END] = end;
            state[STATE_GOOD_COMMANDS] = state[STATE_COMMANDS];
        }
        if (note) notes[noted++] = (uint32_t)i;
    }
    return noted;
}

#endif
