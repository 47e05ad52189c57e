/* Counts and bytes of records: by command, by database, over time and over the log.
 *
 * Runs over the columns of a batch and looks at no argument.  What could be many has a fixed room: databases past
 * RECORDS_TRACKED_DBS are one row, and a line of buckets whose room is filled makes its buckets wider.
 */
#ifndef AOFDOCTOR_RECORD_COUNTERS_H
#define AOFDOCTOR_RECORD_COUNTERS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../aof/scan.h"

enum { RECORDS_TRACKED_DBS = 1024, RECORDS_OTHER_DBS_ROW = RECORDS_TRACKED_DBS, RECORDS_UNKNOWN_DB_ROW, RECORDS_DB_ROWS };
enum { RECORDS_MAX_BUCKETS = 1024, RECORDS_BURST_KINDS = 2 };

/* `kinds`: how many of the commands are of each kind that a burst is looked for; `at`: the place of the first, or -1. */
typedef struct {
    int64_t commands, bytes, kinds[RECORDS_BURST_KINDS], at[RECORDS_BURST_KINDS];
} records_bucket;

/* Bucket b, of low..high, holds what is in [b * width, (b + 1) * width); it stands at bucket[b % RECORDS_MAX_BUCKETS].
 * `factors` say how much wider each next width is, up to a 0; 2 from there on. */
typedef struct {
    int64_t width, low, high, from;
    const int64_t *factors;
    records_bucket *now, *bucket, *spare;
} records_buckets;

typedef struct {
    int64_t commands, bytes;
} records_count;

typedef struct {
    const uint8_t *kinds;    /* by id: 0, or 1 + the kind */
    size_t ids;
    records_count *by_id, *by_db, untimed;
    records_buckets times, places;
} records_counters;

static void records_widen(records_buckets *line) {
    int64_t factor = *line->factors ? *line->factors++ : 2;
    for (size_t i = 0; i < RECORDS_MAX_BUCKETS; i++)
        line->spare[i] = (records_bucket){0, 0, {0, 0}, {-1, -1}};
    for (int64_t b = line->low; b <= line->high; b++) {
        records_bucket *old = &line->bucket[b % RECORDS_MAX_BUCKETS], *sum = &line->spare[b / factor % RECORDS_MAX_BUCKETS];
        sum->commands += old->commands;
        sum->bytes += old->bytes;
        for (int k = 0; k < RECORDS_BURST_KINDS; k++) {
            sum->kinds[k] += old->kinds[k];
            if (sum->at[k] < 0 || (old->at[k] >= 0 && old->at[k] < sum->at[k])) sum->at[k] = old->at[k];
        }
    }
    records_bucket *filled = line->spare;
    line->spare = line->bucket;
    line->bucket = filled;
    line->width *= factor;
    line->low /= factor;
    line->high /= factor;
}

/* Make x's bucket the one that is added to; x is not negative. */
static void records_seek(records_buckets *line, int64_t x) {
    if (line->high < line->low) line->low = line->high = x / line->width;
    for (;;) {
        int64_t b = x / line->width, low = b < line->low ? b : line->low, high = b > line->high ? b : line->high;
        if (high - low < RECORDS_MAX_BUCKETS) {
            line->low = low;
            line->high = high;
            line->from = b * line->width;
            line->now = &line->bucket[b % RECORDS_MAX_BUCKETS];
            return;
        }
        records_widen(line);
    }
}

/* Records that fall into one row of each kind: they are added up before they are added. */
typedef struct {
    int64_t db, time_from, time_to, place_from, place_to, commands, bytes;
} records_span;

static inline size_t records_db_row(int64_t db) {
    return db >= 0 && db < RECORDS_TRACKED_DBS ? (size_t)db : db < 0 ? RECORDS_UNKNOWN_DB_ROW : RECORDS_OTHER_DBS_ROW;
}

static void records_flush_span(records_counters *scale, const records_span *s) {
    records_count *row = &scale->by_db[records_db_row(s->db)];
    records_bucket *place = scale->places.now, *time = s->time_to > 0 ? scale->times.now : NULL;
    row->commands += s->commands;
    row->bytes += s->bytes;
    place->commands += s->commands;
    place->bytes += s->bytes;
    *(time ? &time->commands : &scale->untimed.commands) += s->commands;
    *(time ? &time->bytes : &scale->untimed.bytes) += s->bytes;
}

/* Begin with a record; `at` is its place in the whole log. */
static void records_begin_span(records_counters *scale, records_span *s, int64_t db, int64_t time, int64_t at) {
    records_seek(&scale->places, at);
    if (time >= 0) records_seek(&scale->times, time);
    *s = (records_span){
        .db = db,
        .time_from = time < 0 ? INT64_MIN : scale->times.from,
        .time_to = time < 0 ? 0 : scale->times.from + scale->times.width,
        .place_from = scale->places.from,
        .place_to = scale->places.from + scale->places.width,
    };
}

static inline void records_count_kind(records_bucket *bucket, unsigned kind, int64_t at) {
    bucket->kinds[kind - 1]++;
    if (bucket->at[kind - 1] < 0 || at < bucket->at[kind - 1]) bucket->at[kind - 1] = at;
}

/* Add `count` records, those that `chosen` names or all; the number of them that have more than `least` bytes, whose
 * indexes are in `large`.  `place` is that of the batch in the whole log.  Annotations are passed over. */
static size_t records_count_batch(records_counters *scale, int64_t place, const int64_t *edges, const uint16_t *ids, const int64_t *db,
                        const int64_t *time, const uint32_t *chosen, size_t count, int64_t least, uint32_t *large) {
    size_t noted = 0;
    records_span s = {0};
    for (size_t n = 0; n < count; n++) {
        size_t i = chosen ? chosen[n] : n, id = ids[i] < scale->ids ? ids[i] : SCAN_UNKNOWN;
        if (id == SCAN_ANNOTATION) continue;
        int64_t size = edges[i + 1] - edges[i], at = place + edges[i];
        unsigned kind = scale->kinds[id];
        if (!s.commands || db[i] != s.db || time[i] < s.time_from || time[i] >= s.time_to || at < s.place_from ||
            at >= s.place_to) {
            if (s.commands) records_flush_span(scale, &s);
            records_begin_span(scale, &s, db[i], time[i], at);
        }
        s.commands++;
        s.bytes += size;
        scale->by_id[id].commands++;
        scale->by_id[id].bytes += size;
        if (kind) {
            records_count_kind(scale->places.now, kind, at);
            if (time[i] >= 0) records_count_kind(scale->times.now, kind, at);
        }
        if (size > least) large[noted++] = (uint32_t)i;
    }
    if (s.commands) records_flush_span(scale, &s);
    return noted;
}

#endif
