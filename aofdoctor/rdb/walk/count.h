/* Count the items of an RDB batch by type byte or opcode, and the keys with an expiry and those expired.
 *
 * It reads only the columns that the walker has filled, not the file.  _pycount.py is the pure Python fallback.
 */
#ifndef AOFDOCTOR_COUNT_H
#define AOFDOCTOR_COUNT_H

#include "walker.h"

enum { COUNT_KINDS = 256, COUNT_KEYS = 256, COUNT_EXPIRING, COUNT_EXPIRED, COUNT_SIZE };

/* Add the items from index `at` on to counts[COUNT_SIZE], up to the first key of another database than `db`; return its
 * index.  The totals of keys, and of consecutive items of one kind, are kept in registers. */
static size_t count_walked_items(const walk_columns *c, size_t at, int64_t db, int64_t now_ms, int64_t *counts) {
    int64_t keys = 0, expiring = 0, expired = 0, run = 0;
    uint16_t kind = COUNT_KINDS;
    for (; at < c->count; at++) {
        if (c->name[at] >= 0) {
            if (c->db[at] != db)
                break;
            keys++;
            expiring += c->expire[at] != -1;
            expired += c->expire[at] != -1 && c->expire[at] < now_ms;
        }
        if (c->kind[at] != kind) {
            if (kind < COUNT_KINDS)
                counts[kind] += run;
            kind = c->kind[at];
            run = 0;
        }
        run++;
    }
    if (kind < COUNT_KINDS)
        counts[kind] += run;
    counts[COUNT_KEYS] += keys;
    counts[COUNT_EXPIRING] += expiring;
    counts[COUNT_EXPIRED] += expired;
    return at;
}

#endif
