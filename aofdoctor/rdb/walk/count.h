/* Counts of the items of a batch: by kind, and of keys how many expire.

   The twin of tally.py, and as bounded: it reads the columns that a walk has filled.  */

#ifndef AOFDOCTOR_COUNT_H
#define AOFDOCTOR_COUNT_H

#include "walker.h"

enum { COUNT_KINDS = 256, COUNT_KEYS = 256, COUNT_EXPIRING, COUNT_EXPIRED, COUNT_SIZE };

/* Add the items from `at` on to counts[COUNT_SIZE]; stops before a key of another database than `db`.
   What is counted for every key is counted in registers, and so is a run of one kind.  */
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
