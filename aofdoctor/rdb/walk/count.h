/* Counts of the items of a batch: by kind, and of keys how many expire.

   The twin of tally.py, and as bounded: it reads the columns that a walk has filled.  */

#ifndef TALLY_H
#define TALLY_H

#include "walker.h"

enum { TALLY_KINDS = 256, TALLY_KEYS = 256, TALLY_EXPIRING, TALLY_PAST, TALLY_SIZE };

/* Add the items from `at` on to counts[TALLY_SIZE]; stops before a key of another database than `db`.
   What is counted for every key is counted in registers, and so is a run of one kind.  */
static size_t rdb_tally(const rdb_columns *c, size_t at, int64_t db, int64_t now_ms, int64_t *counts) {
    int64_t keys = 0, expiring = 0, past = 0, run = 0;
    uint16_t kind = TALLY_KINDS;
    for (; at < c->count; at++) {
        if (c->name[at] >= 0) {
            if (c->db[at] != db)
                break;
            keys++;
            expiring += c->expire[at] != -1;
            past += c->expire[at] != -1 && c->expire[at] < now_ms;
        }
        if (c->kind[at] != kind) {
            if (kind < TALLY_KINDS)
                counts[kind] += run;
            kind = c->kind[at];
            run = 0;
        }
        run++;
    }
    if (kind < TALLY_KINDS)
        counts[kind] += run;
    counts[TALLY_KEYS] += keys;
    counts[TALLY_EXPIRING] += expiring;
    counts[TALLY_PAST] += past;
    return at;
}

#endif
