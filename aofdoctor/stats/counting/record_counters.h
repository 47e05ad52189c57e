/* Count commands and their bytes by command name, by database, over time, and over the offsets of all AOF files.
 *
 * Reads the columns of a batch of records (command ids, offsets, databases, times) and no arguments.  Memory is bounded:
 * databases from RECORDS_TRACKED_DBS on share a row, and a histogram with too many buckets makes them wider.
 */
#ifndef AOFDOCTOR_RECORD_COUNTERS_H
#define AOFDOCTOR_RECORD_COUNTERS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../aof/scan.h"

enum { RECORDS_TRACKED_DBS = 1024, RECORDS_OTHER_DBS_ROW = RECORDS_TRACKED_DBS, RECORDS_UNKNOWN_DB_ROW, RECORDS_DB_ROWS };
enum { RECORDS_MAX_BUCKETS = 1024, RECORDS_BURST_KINDS = 2 };

/* One bucket of a histogram.  kinds: the number of commands of each burst kind (deletes, expiries); first_at: the
 * offset of the first of them, counted over all files, or -1. */
typedef struct {
    int64_t commands, bytes, kinds[RECORDS_BURST_KINDS], first_at[RECORDS_BURST_KINDS];
} records_bucket;

/* A histogram.  Bucket b, low <= b <= high, counts the values in [b * width, (b + 1) * width) and is
 * bucket[b % RECORDS_MAX_BUCKETS].  `current` is the bucket that is added to; its values begin at `from`.  `factors` are the
 * factors by which the width grows, up to a 0; after that it doubles. */
typedef struct {
    int64_t width, low, high, from;
    const int64_t *factors;
    records_bucket *current, *bucket, *spare;
} records_buckets;

typedef struct {
    int64_t commands, bytes;
} records_count;

typedef struct {
    const uint8_t *burst_kinds;    /* by command id: 0, or 1 + the burst kind */
    size_t ids;
    records_count *by_id, *by_db, untimed;
    records_buckets times, positions;
} records_counters;

static void records_widen(records_buckets *buckets) {
    int64_t factor = *buckets->factors ? *buckets->factors++ : 2;
    for (size_t i = 0; i < RECORDS_MAX_BUCKETS; i++)
        buckets->spare[i] = (records_bucket){0, 0, {0, 0}, {-1, -1}};
    for (int64_t b = buckets->low; b <= buckets->high; b++) {
        records_bucket *old = &buckets->bucket[b % RECORDS_MAX_BUCKETS], *sum = &buckets->spare[b / factor % RECORDS_MAX_BUCKETS];
        sum->commands += old->commands;
        sum->bytes += old->bytes;
        for (int k = 0; k < RECORDS_BURST_KINDS; k++) {
            sum->kinds[k] += old->kinds[k];
            if (sum->first_at[k] < 0 || (old->first_at[k] >= 0 && old->first_at[k] < sum->first_at[k])) sum->first_at[k] = old->first_at[k];
        }
    }
    records_bucket *filled = buckets->spare;
    buckets->spare = buckets->bucket;
    buckets->bucket = filled;
    buckets->width *= factor;
    buckets->low /= factor;
    buckets->high /= factor;
}

/* Make the bucket that counts x (seconds or an offset) the current one; x is not negative. */
static void records_seek(records_buckets *buckets, int64_t x) {
    if (buckets->high < buckets->low) buckets->low = buckets->high = x / buckets->width;
    for (;;) {
        int64_t b = x / buckets->width, low = b < buckets->low ? b : buckets->low, high = b > buckets->high ? b : buckets->high;
        if (high - low < RECORDS_MAX_BUCKETS) {
            buckets->low = low;
            buckets->high = high;
            buckets->from = b * buckets->width;
            buckets->current = &buckets->bucket[b % RECORDS_MAX_BUCKETS];
            return;
        }
        records_widen(buckets);
    }
}

/* Consecutive records with the same database, bucket of time and bucket of offsets: their sums are added as one. */
typedef struct {
    int64_t db, time_from, time_to, position_from, position_to, commands, bytes;
} records_span;

static inline size_t records_db_row(int64_t db) {
    return db >= 0 && db < RECORDS_TRACKED_DBS ? (size_t)db : db < 0 ? RECORDS_UNKNOWN_DB_ROW : RECORDS_OTHER_DBS_ROW;
}

static void records_flush_span(records_counters *counters, const records_span *s) {
    records_count *row = &counters->by_db[records_db_row(s->db)];
    records_bucket *position = counters->positions.current, *time = s->time_to > 0 ? counters->times.current : NULL;
    row->commands += s->commands;
    row->bytes += s->bytes;
    position->commands += s->commands;
    position->bytes += s->bytes;
    *(time ? &time->commands : &counters->untimed.commands) += s->commands;
    *(time ? &time->bytes : &counters->untimed.bytes) += s->bytes;
}

/* Begin a span of consecutive records with one at offset `at`, counted over all files. */
static void records_begin_span(records_counters *counters, records_span *s, int64_t db, int64_t time, int64_t at) {
    records_seek(&counters->positions, at);
    if (time >= 0) records_seek(&counters->times, time);
    *s = (records_span){
        .db = db,
        .time_from = time < 0 ? INT64_MIN : counters->times.from,
        .time_to = time < 0 ? 0 : counters->times.from + counters->times.width,
        .position_from = counters->positions.from,
        .position_to = counters->positions.from + counters->positions.width,
    };
}

static inline void records_count_kind(records_bucket *bucket, unsigned kind, int64_t at) {
    bucket->kinds[kind - 1]++;
    if (bucket->first_at[kind - 1] < 0 || at < bucket->first_at[kind - 1]) bucket->first_at[kind - 1] = at;
}

/* Count `count` records: those in `indexes`, or the first ones of the batch if it is NULL; annotations are skipped.
 * `log_offset` is the offset of the batch, counted over all files.  The indexes of the records with more than `threshold` bytes
 * are written to `larger`; returns their number. */
static size_t records_count_batch(records_counters *counters, int64_t log_offset, const int64_t *edges, const uint16_t *ids, const int64_t *db,
                        const int64_t *time, const uint32_t *indexes, size_t count, int64_t threshold, uint32_t *larger) {
    size_t larger_count = 0;
    records_span s = {0};
    for (size_t n = 0; n < count; n++) {
        size_t i = indexes ? indexes[n] : n, id = ids[i] < counters->ids ? ids[i] : SCAN_UNKNOWN;
        if (id == SCAN_ANNOTATION) continue;
        int64_t size = edges[i + 1] - edges[i], at = log_offset + edges[i];
        unsigned kind = counters->burst_kinds[id];
        if (!s.commands || db[i] != s.db || time[i] < s.time_from || time[i] >= s.time_to || at < s.position_from ||
            at >= s.position_to) {
            if (s.commands) records_flush_span(counters, &s);
            records_begin_span(counters, &s, db[i], time[i], at);
        }
        s.commands++;
        s.bytes += size;
        counters->by_id[id].commands++;
        counters->by_id[id].bytes += size;
        if (kind) {
            records_count_kind(counters->positions.current, kind, at);
            if (time[i] >= 0) records_count_kind(counters->times.current, kind, at);
        }
        if (size > threshold) larger[larger_count++] = (uint32_t)i;
    }
    if (s.commands) records_flush_span(counters, &s);
    return larger_count;
}

#endif
