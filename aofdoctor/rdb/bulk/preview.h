/* A key's name and the first words of its value, as they are shown: each cut where it is long.
 *
 * Reads values as bulk.h does, and as it does leaves what it does not like to others.  A value is read until
 * there are enough words, but one with scores as a whole: Python reads a run of them before it shows any.
 */
#ifndef AOFDOCTOR_GLANCE_H
#define AOFDOCTOR_GLANCE_H

#include "encoder.h"

#define GLANCE_NAME ((uint64_t)1 << 16)  /* no longer name */
#define GLANCE_WORD 64                   /* so many bytes of a word, and ... where there are more */
#define GLANCE_MOST 8                    /* words, and ... where there are more */

typedef struct glance {
    unsigned most, count, seen;  /* words that are asked for; pieces there are, the name first; items that went by */
    int enough;
    uint8_t *ends[GLANCE_MOST + 2];  /* where each piece ends in the output, which has room for them */
} glance;

static int glance_put(bulk *b, glance *g, const uint8_t *from, uint64_t size, uint64_t most) {
    uint64_t kept = size < most ? size : most;
    if (!bulk_room(b, kept + 3)) return 0;
    b->at = bulk_copy(b->at, from, kept);
    if (size > most) memcpy(b->at, "...", 3), b->at += 3;
    g->ends[g->count++] = b->at;
    return 1;
}

/* One string or number, as text. */
static int glance_item(bulk *b, glance *g, const run_item *item, uint64_t most) {
    uint8_t text[GLANCE_WORD];
    const uint8_t *from = item->at;
    uint64_t size = item->size;
    if (item->kind == RUN_NUMBER) {
        uint64_t rest = item->number < 0 ? 0 - (uint64_t)item->number : (uint64_t)item->number;
        text[0] = '-';
        size = (uint64_t)(bulk_number(text + (item->number < 0), rest, score_sized(rest)) - text);
        from = text;
    } else if (item->kind == RUN_LZF) {
        size_t done = 0;
        size = (uint64_t)item->number;
        if (lzf_run_near(item->at, item->size, b->packed, &done, size, 32) != item->size || done != size) return 0;
        from = b->packed;
    }
    return glance_put(b, g, from, size, most);
}

static int glance_add(bulk_chunk *c, const run_item *item) {
    glance *g = c->glance;
    char text[2 * SCORE_TEXT];
    unsigned size = 0, score = c->scored && g->seen % 2, shown = g->seen++ < g->most;
    if (score && !(size = bulk_score(c->b, item, text))) return 0;
    if (!shown) {
        g->enough = !c->scored;
        return c->scored;
    }
    return score ? glance_put(c->b, g, (const uint8_t *)text, size, GLANCE_WORD) : glance_item(c->b, g, item, GLANCE_WORD);
}

static const uint8_t glance_more[32] = "...";  /* as long as is copied at once */

/* True if the name of a key, and with `most` the first words of its value, stand in the output; from `out` on. */
static int glance_key(bulk *b, const bulk_columns *c, size_t i, unsigned most, glance *g) {
    int64_t name = c->name[i] - b->base, end = c->edges[i + 1] - b->base;
    run_item item;
    memset(g, 0, sizeof *g);
    g->most = most < GLANCE_MOST ? most : GLANCE_MOST;
    b->at = b->out;
    if (c->name[i] < 0 || name < 0 || end > (int64_t)b->fill) return 0;
    bulk_reader r = {b->bytes + name, b->bytes + end};
    if (!bulk_string(&r, &item) || (item.kind == RUN_LZF ? (uint64_t)item.number : item.size) > GLANCE_NAME) return 0;
    if (!glance_item(b, g, &item, GLANCE_NAME)) return 0;
    if (!most) return 1;
    if (!bulk_known(c->kind[i])) return 0;
    const bulk_row *row = &bulk_rows[c->kind[i]];
    if (!row->read) return bulk_string(&r, &item) && glance_item(b, g, &item, GLANCE_WORD) && r.p == r.end;
    bulk_chunk chunk = {.b = b, .scored = row->shape == BULK_ZSET, .glance = g};
    if (!row->read(&chunk, &r, row->width) && !g->enough) return 0;
    if (!g->enough && r.p != r.end) return 0;
    return g->seen <= g->most || glance_put(b, g, glance_more, 3, 3);
}

#endif
