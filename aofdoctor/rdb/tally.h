/* Counts of the items of a batch: by kind, and of keys how many expire.

   The twin of tally.py, and as bounded: it reads the columns that a walk has filled.  */

#ifndef TALLY_H
#define TALLY_H

#include "walk.h"

enum { TALLY_KINDS = 256, TALLY_KEYS = 256, TALLY_EXPIRING, TALLY_PAST, TALLY_SIZE };

/* Add the items from `at` on to counts[TALLY_SIZE]; stops before a key of another database than `db`.  */
static size_t rdb_tally(const rdb_columns *c, size_t at, int64_t db, int64_t now_ms, int64_t *counts) {
    for (; at < c->count; at++) {
        if (c->name[at] >= 0) {
            if (c->db[at] != db)
                break;
            counts[TALLY_KEYS]++;
            counts[TALLY_EXPIRING] += c->expire[at] != -1;
            counts[TALLY_PAST] += c->expire[at] != -1 && c->expire[at] < now_ms;
        }
        if (c->kind[at] < TALLY_KINDS)
            counts[c->kind[at]]++;
    }
    return at;
}

#endif
