/* Preview keys of an RDB: a key's name and the first strings ("words") of its value, each cut if it is long.
 *
 * Values are read as in encoder.h, and keys that it does not handle are left to the caller.  Reading stops when there
 * are enough words, except for sorted sets, which are read completely: the Python code that this must agree with parses
 * scores before it shows any word.
 */
#ifndef AOFDOCTOR_PREVIEW_H
#define AOFDOCTOR_PREVIEW_H

#include "encoder.h"

#define PREVIEW_NAME_MAX ((uint64_t)1 << 16)  /* bytes of a name */
#define PREVIEW_WORD_MAX 64                   /* bytes of a word; "..." follows if it has more */
#define PREVIEW_WORDS_MAX 8                    /* words of a value; "..." follows if it has more */

typedef struct preview {
    /* words_max: words requested; count: pieces so far, the name is the first; item_count: items of the value read */
    unsigned words_max, count, item_count;
    int enough;
    uint8_t *ends[PREVIEW_WORDS_MAX + 2];  /* where each piece ends in the output */
} preview;

static int preview_put_piece(encoder *b, preview *g, const uint8_t *from, uint64_t size, uint64_t size_max) {
    uint64_t kept = size < size_max ? size : size_max;
    if (!encoder_has_room(b, kept + 3)) return 0;
    b->at = encoder_copy(b->at, from, kept);
    if (size > size_max) memcpy(b->at, "...", 3), b->at += 3;
    g->ends[g->count++] = b->at;
    return 1;
}

/* Append a string or number as text. */
static int preview_put_item(encoder *b, preview *g, const runs_item *item, uint64_t size_max) {
    uint8_t text[PREVIEW_WORD_MAX];
    const uint8_t *from = item->at;
    uint64_t size = item->size;
    if (item->kind == RUNS_NUMBER) {
        uint64_t rest = item->number < 0 ? 0 - (uint64_t)item->number : (uint64_t)item->number;
        text[0] = '-';
        size = (uint64_t)(encoder_put_digits(text + (item->number < 0), rest, double_digit_count(rest)) - text);
        from = text;
    } else if (item->kind == RUNS_LZF) {
        size_t done = 0;
        size = (uint64_t)item->number;
        if (lzf_decompress_prefix_slack(item->at, item->size, b->packed, &done, size, 32) != item->size || done != size) return 0;
        from = b->packed;
    }
    return preview_put_piece(b, g, from, size, size_max);
}

static int preview_add_item(encoder_chunk *c, const runs_item *item) {
    preview *g = c->observer;
    char text[2 * DOUBLE_TEXT_MAX];
    unsigned size = 0, score = c->is_scored && g->item_count % 2, shown = g->item_count++ < g->words_max;
    if (score && !(size = encoder_score_text(c->b, item, text))) return 0;
    if (!shown) {
        g->enough = !c->is_scored;
        return c->is_scored;
    }
    return score ? preview_put_piece(c->b, g, (const uint8_t *)text, size, PREVIEW_WORD_MAX) : preview_put_item(c->b, g, item, PREVIEW_WORD_MAX);
}

static const uint8_t preview_ellipsis[32] = "...";  /* 32 bytes, because the copy always moves 32 */

/* Write the name of key i, and the first `words_max` words of its value, to the output from `out` on.  Returns 0 if the
 * key is not handled. */
static int preview_key(encoder *b, const encoder_columns *c, size_t i, unsigned words_max, preview *g) {
    int64_t name = c->name[i] - b->base, end = c->edges[i + 1] - b->base;
    runs_item item;
    memset(g, 0, sizeof *g);
    g->words_max = words_max < PREVIEW_WORDS_MAX ? words_max : PREVIEW_WORDS_MAX;
    b->at = b->out;
    if (c->name[i] < 0 || name < 0 || end > (int64_t)b->fill) return 0;
    encoder_reader r = {b->bytes + name, b->bytes + end};
    if (!encoder_read_string(&r, &item) || (item.kind == RUNS_LZF ? (uint64_t)item.number : item.size) > PREVIEW_NAME_MAX) return 0;
    if (!preview_put_item(b, g, &item, PREVIEW_NAME_MAX)) return 0;
    if (!words_max) return 1;
    if (!encoder_handles(c->kind[i])) return 0;
    const encoder_type *row = &encoder_types[c->kind[i]];
    if (!row->read) return encoder_read_string(&r, &item) && preview_put_item(b, g, &item, PREVIEW_WORD_MAX) && r.p == r.end;
    encoder_chunk chunk = {.b = b, .is_scored = row->type == ENCODER_ZSET, .observe = preview_add_item, .observer = g};
    if (!row->read(&chunk, &r, row->width) && !g->enough) return 0;
    if (!g->enough && r.p != r.end) return 0;
    return g->item_count <= g->words_max || preview_put_piece(b, g, preview_ellipsis, 3, 3);
}

#endif
