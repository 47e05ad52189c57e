/* Where keys seem to begin in a buffer: a guess, as probe.py says it.
 *
 * Bounded by the fuel that it is given, a unit a step of the walker.  The buffer
 * is followed by RDB_SLACK zero bytes.
 */
#ifndef AOFDOCTOR_PROBE_H
#define AOFDOCTOR_PROBE_H

#include "walker.h"

#define RDB_OPCODES 240
#define RDB_POINTS 16
#define RDB_NAME_MAX 8191
#define RDB_NAME_LOOK 64
#define RDB_DB_MAX (1 << 20)
#define RDB_EXPIRE_MAX ((int64_t)1 << 48)

/* How much the name at p says for the place: 4 to 1; -1: no name begins so. */
static int rdb_name_points(const uint8_t *p, const uint8_t *end) {
    uint8_t first = *p;
    if (p >= end || (first >= 0x80 && first < 0xc0) || first > 0xc3) return -1;
    if (first >= 0xc0) return 1;
    size_t size = first < 0x40 ? first : (size_t)(first & 63) << 8 | p[1];
    p += first < 0x40 ? 1 : 2;
    if (!size || size > RDB_NAME_MAX || p > end || size > (size_t)(end - p)) return -1;
    for (size_t i = 0; i < size && i < RDB_NAME_LOOK; i++)
        if (p[i] < 0x20 || p[i] == 0x7f) return 1;
    return size >= 3 ? 4 : 2;
}

static int rdb_points(const uint8_t *buffer, const uint8_t *end, const rdb_columns *c) {
    if (c->db[0] > RDB_DB_MAX) return -1;
    if (c->expire[0] != -1 && (c->expire[0] <= 0 || c->expire[0] >= RDB_EXPIRE_MAX)) return -1;
    return c->name[0] >= 0 ? rdb_name_points(buffer + c->name[0], end) : 0;
}

/* Whether keys begin at `at`: STOP_FULL, or STOP_SHORT and STOP_DONE if all went well up to there, STOP_FUEL; else no. */
static int rdb_probe(const rdb_layout *layout, const uint8_t *buffer, size_t at, size_t end, size_t past, uint64_t beyond,
                     int64_t *fuel) {
    int64_t edges[2], name, value, expire, idle, db;
    uint16_t kind;
    int16_t freq;
    rdb_columns c = {edges, &name, &value, &expire, &idle, &db, &kind, &freq, 1, 0, 0};
    rdb_state s;
    rdb_begin(&s, (int64_t)at, -1, NULL);
    for (int points = 0;;) {
        c.count = 0;
        int why = rdb_run(&s, layout, buffer, &at, end, 0, &c, fuel);
        if (c.count) {
            int made = rdb_points(buffer, buffer + end, &c);
            if (made < 0) return STOP_TYPE;
            points += made;
            if (points > RDB_POINTS) points = RDB_POINTS;
        }
        if (why == STOP_SHORT && (s.skip > beyond || (!points && s.name < 0))) return STOP_TYPE;
        if (why == STOP_DONE && !points) return STOP_TYPE;
        if (why != STOP_FULL) return why;
        if (points >= RDB_POINTS && at > past) return STOP_FULL;
    }
}

/* The first place in [at, stop) where keys seem to begin, and why in *why: as rdb_probe, STOP_TYPE with `stop` if nowhere. */
static size_t rdb_find(const rdb_layout *layout, const uint8_t *buffer, size_t at, size_t stop, size_t end, size_t past,
                       uint64_t beyond, int64_t *fuel, int *why) {
    for (; at < stop && *fuel > 0; at++) {
        if (!layout->entry[buffer[at]]) continue;
        if (buffer[at] < RDB_OPCODES && rdb_name_points(buffer + at + 1, buffer + end) <= 0) continue;
        *why = rdb_probe(layout, buffer, at, end, past, beyond, fuel);
        if (*why <= STOP_FUEL) return at;
    }
    *why = at < stop ? STOP_FUEL : STOP_TYPE;
    return at;
}

#endif
