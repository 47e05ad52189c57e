/* Find where keys begin in a buffer of RDB bytes, to resume after damage: a guess by the readability of key names.
 *
 * plausibility.py documents the scores.
 *
 * The work is bounded by a step budget: each step of the walker costs 1.  The
 * buffer must be followed by WALK_SLACK zero bytes.
 */
#ifndef AOFDOCTOR_PROBE_H
#define AOFDOCTOR_PROBE_H

#include "walker.h"

#define PROBE_FIRST_OPCODE 240
#define PROBE_SCORE_NEEDED 16
#define PROBE_NAME_MAX 8191
#define PROBE_NAME_CHECKED_MAX 64
#define PROBE_DB_MAX (1 << 20)
#define PROBE_EXPIRE_MAX ((int64_t)1 << 48)

/* Score the supposed key name at p by its readability: 1, 2 or 4, or -1 if no name begins like this. */
static int probe_name_score(const uint8_t *p, const uint8_t *end) {
    uint8_t first = *p;
    if (p >= end || (first >= 0x80 && first < 0xc0) || first > 0xc3) return -1;
    if (first >= 0xc0) return 1;
    size_t size = first < 0x40 ? first : (size_t)(first & 63) << 8 | p[1];
    p += first < 0x40 ? 1 : 2;
    if (!size || size > PROBE_NAME_MAX || p > end || size > (size_t)(end - p)) return -1;
    for (size_t i = 0; i < size && i < PROBE_NAME_CHECKED_MAX; i++)
        if (p[i] < 0x20 || p[i] == 0x7f) return 1;
    return size >= 3 ? 4 : 2;
}

/* Score the first item of c as a guess whether it is real; -1 if no server writes such an item. */
static int probe_item_score(const uint8_t *buffer, const uint8_t *end, const walk_columns *c) {
    if (c->db[0] > PROBE_DB_MAX) return -1;
    if (c->expire[0] != -1 && (c->expire[0] <= 0 || c->expire[0] >= PROBE_EXPIRE_MAX)) return -1;
    return c->name[0] >= 0 ? probe_name_score(buffer + c->name[0], end) : 0;
}

/* Decide whether keys begin at index `at` of the buffer: WALK_STOP_FULL if they do, WALK_STOP_END_OF_DATA or
 * WALK_STOP_DONE if all items up to `end` or the EOF opcode could be walked, WALK_STOP_STEP_LIMIT if the budget is used
 * up, any other code if they do not. */
static int probe_position(const walk_layout *layout, const uint8_t *buffer, size_t at, size_t end, size_t min_end, uint64_t bytes_after,
                     int64_t *budget) {
    int64_t edges[2], name, value, expire, idle, db;
    uint16_t kind;
    int16_t freq;
    walk_columns c = {edges, &name, &value, &expire, &idle, &db, &kind, &freq, 1, 0, 0};
    walk_state s;
    walk_start(&s, (int64_t)at, -1, NULL);
    for (int score = 0;;) {
        c.count = 0;
        int reason = walk_run(&s, layout, buffer, &at, end, 0, &c, budget);
        if (c.count) {
            int item_score = probe_item_score(buffer, buffer + end, &c);
            if (item_score < 0) return WALK_STOP_UNKNOWN_TYPE;
            score += item_score;
            if (score > PROBE_SCORE_NEEDED) score = PROBE_SCORE_NEEDED;
        }
        if (reason == WALK_STOP_END_OF_DATA && (s.skip > bytes_after || (!score && s.name < 0))) return WALK_STOP_UNKNOWN_TYPE;
        if (reason == WALK_STOP_DONE && !score) return WALK_STOP_UNKNOWN_TYPE;
        if (reason != WALK_STOP_FULL) return reason;
        if (score >= PROBE_SCORE_NEEDED && at > min_end) return WALK_STOP_FULL;
    }
}

/* Return the first index in buffer[at, stop) where keys seem to begin and set *reason as probe_position does; if there
 * is none, return `stop` with WALK_STOP_UNKNOWN_TYPE. */
static size_t probe_find_key_start(const walk_layout *layout, const uint8_t *buffer, size_t at, size_t stop, size_t end, size_t min_end,
                       uint64_t bytes_after, int64_t *budget, int *reason) {
    for (; at < stop && *budget > 0; at++) {
        if (!layout->entry[buffer[at]]) continue;
        if (buffer[at] < PROBE_FIRST_OPCODE && probe_name_score(buffer + at + 1, buffer + end) <= 0) continue;
        *reason = probe_position(layout, buffer, at, end, min_end, bytes_after, budget);
        if (*reason <= WALK_STOP_STEP_LIMIT) return at;
    }
    *reason = at < stop ? WALK_STOP_STEP_LIMIT : WALK_STOP_UNKNOWN_TYPE;
    return at;
}

#endif
