/* The RDB walker, the writer of commands, the counting of keys and the checksum on any bytes, every buffer as large as it
 * has to be and no larger.
 *
 * As a libFuzzer target (tests/fuzz/run), or with -DSTANDALONE on files:
 * rdb FILE...  layouts.h is written by tests/tools/make_layouts.py.  The laws
 * that hold on any bytes are asserted.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../aofdoctor/rdb/bulk/preview.h"
#include "../../aofdoctor/rdb/encoding/crc64.h"
#include "../../aofdoctor/rdb/walk/count.h"
#include "../../aofdoctor/rdb/walk/probe.h"
#include "../../aofdoctor/stats/counting/rdb_counters.h"
#include "layouts.h"

#define ROOM 8
#define MOST 512
#define MAGIC_SIZE 9

typedef struct {
    int64_t edges[MOST + 1], value[MOST];
    size_t count, at;
    int why;
} walked;

/* Count the keys of a batch by their names, of which those that are not whole in `size` bytes are passed over. */
static void count(const walk_columns *c, const uint8_t *data, size_t size, int64_t base) {
    static hitters_name slots[HITTERS_NAMES_SLOTS];
    static rdbkeys_counters found = {.delimiter = ':', .depth = 2, .prefixes = {.slot = slots}};
    uint32_t large[ROOM];
    size_t at = 0, noted;
    uint8_t *exact = malloc(size ? size : 1);   /* not one byte past the names is looked at */
    if (!exact) abort();
    memcpy(exact, data, size);
    while (at < c->count) {
        size_t stop = rdbkeys_count_items(&found, c->edges, c->name, c->expire, c->db, c->kind, at, c->count, exact, size, base,
                                    16, large, &noted);
        assert(stop >= at && stop <= c->count && noted <= stop - at && found.prefixes.used <= HITTERS_NAMES_MAX);
        at = stop + 1;
    }
    free(exact);
}

/* Walk with windows of `size` bytes, each in memory of its own. */
static void walk(const walk_layout *layout, const uint8_t *data, size_t total, size_t size, walked *out) {
    static walk_template templates[WALK_TEMPLATE_SLOTS];
    int64_t edges[ROOM + 1], name[ROOM], value[ROOM], expire[ROOM], idle[ROOM], db[ROOM], fuel = 1 << 24;
    uint16_t kind[ROOM];
    int16_t freq[ROOM];
    walk_columns c = {edges, name, value, expire, idle, db, kind, freq, ROOM, 0, 0};
    walk_state s;
    size_t base = 0, end = 0;
    memset(templates, 0, sizeof templates);
    walk_start(&s, 0, 0, templates);
    out->count = 0;
    for (;;) {
        size_t more = size < total - end ? size : total - end, at = 0;
        uint8_t *buffer = calloc(1, end + more - base + WALK_SLACK);
        if (!buffer) abort();
        memcpy(buffer, data + base, end + more - base);
        end += more;
        do {
            c.count = c.key_count = 0;
            out->why = walk_run(&s, layout, buffer, &at, end - base, (int64_t)base, &c, &fuel);
            assert(at <= end - base && c.count <= ROOM && c.key_count <= c.count && s.depth <= WALK_DEPTH);
            for (size_t i = 0; i < c.count; i++) {
                assert(edges[i] < edges[i + 1] && value[i] > edges[i] && value[i] <= edges[i + 1]);
                assert(name[i] == -1 || (edges[i] < name[i] && name[i] < value[i]));
                if (out->count == MOST) continue;
                out->edges[out->count] = edges[i];
                out->value[out->count++] = value[i];
            }
            count(&c, buffer, end - base, (int64_t)base);
        } while (out->why == WALK_STOP_FULL);
        free(buffer);
        base += at;
        if (out->why != WALK_STOP_END_OF_DATA || end == total) break;
    }
    out->edges[out->count] = s.start;
    out->at = base;
}

static void same(const walked *a, const walked *b) {
    assert(a->why == b->why && a->at == b->at && a->count == b->count);
    assert(!memcmp(a->edges, b->edges, (a->count + 1) * sizeof *a->edges));
    assert(!memcmp(a->value, b->value, a->count * sizeof *a->value));
}

/* What is written is whole commands, as the parser here reads them. */
static void commands(const uint8_t *p, const uint8_t *end) {
    while (p < end) {
        uint64_t count, size;
        assert(walk_resp_number(&p, end, '*', &count) < 0 && count >= 2 && count <= 2 + 2 * ENCODER_CHUNK);
        while (count--) {
            assert(walk_resp_number(&p, end, '$', &size) < 0 && size + 2 <= (uint64_t)(end - p));
            p += size;
            assert(p[0] == '\r' && p[1] == '\n');
            p += 2;
        }
    }
}

/* Every item in encoder, the output as large as `room` and no larger. */
static void retell(const walk_layout *layout, const uint8_t *data, size_t size, size_t room, int64_t shift_ms) {
    int64_t edges[ROOM + 1], name[ROOM], value[ROOM], expire[ROOM], idle[ROOM], db[ROOM], fuel = 1 << 24;
    uint16_t kind[ROOM];
    int16_t freq[ROOM];
    walk_columns c = {edges, name, value, expire, idle, db, kind, freq, ROOM, 0, 0};
    encoder_columns keys = {edges, name, value, expire, idle, db, kind, freq};
    uint8_t *buffer = calloc(1, size + WALK_SLACK), *out = calloc(1, room + ENCODER_SLACK);
    static uint8_t packed[ENCODER_LARGE + ENCODER_SLACK];
    encoder b = {.bytes = buffer, .fill = size, .out = out, .at = out, .end = out + room, .packed = packed,
              .powers = powers_of_ten, .shift_ms = shift_ms};
    walk_state s;
    size_t at = 0;
    if (!buffer || !out) abort();
    memcpy(buffer, data, size);
    walk_start(&s, 0, 0, NULL);
    do {
        c.count = c.key_count = 0;
        walk_run(&s, layout, buffer, &at, size, 0, &c, &fuel);
        for (size_t i = 0; i < c.count; i++) {
            preview g;
            if (!preview_key(&b, &keys, i, (unsigned)size % 11, &g)) continue;
            assert(g.count && g.count <= PREVIEW_WORDS_MAX + 2 && g.ends[g.count - 1] == b.at && b.at <= b.end);
            for (unsigned k = 1; k < g.count; k++) assert(g.ends[k - 1] <= g.ends[k]);
        }
        b.at = b.out;
        for (size_t i = 0; i < c.count;) {
            int why = encoder_encode(&b, &keys, &i, c.count);
            assert(b.at <= b.end && why <= ENCODER_NOT_HANDLED && (why != ENCODER_DONE || i == c.count));
            if (why == ENCODER_FULL) assert(b.at != b.out || encoder_has_counts(&b));
            commands(b.out, b.at);
            b.at = b.out;
            memset(b.keys, 0, sizeof b.keys);
            b.hints = 0;
            i += why == ENCODER_NOT_HANDLED;
        }
    } while (c.count == ROOM);
    free(buffer);
    free(out);
}

static void search(const walk_layout *layout, const uint8_t *data, size_t size) {
    uint8_t *buffer = calloc(1, size + WALK_SLACK);
    if (!buffer) abort();
    memcpy(buffer, data, size);
    int64_t fuel = 1 << 18;
    int why;
    for (size_t at = 0, found; at < size; at = found + 1) {
        found = probe_find_key_start(layout, buffer, at, size - size / 4, size, size / 2, 1000, &fuel, &why);
        assert(found >= at && why <= WALK_STOP_UNKNOWN_TYPE);
        if (why >= WALK_STOP_STEP_LIMIT) break;
    }
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static walked whole, pieces;
    if (!crc64_table[0][1]) crc64_init();
    const walk_layout *layout = size && data[0] == 'V' ? &valkey_layout : &redis_layout;
    size_t skip = size < MAGIC_SIZE ? size : MAGIC_SIZE;
    const size_t windows[] = {1, 2, 7, 61};
    walk(layout, data + skip, size - skip, size + 1, &whole);
    walk(layout, data + skip, size - skip, windows[size % 4], &pieces);
    same(&whole, &pieces);
    search(layout, data + skip, size - skip);
    retell(layout, data + skip, size - skip, 1 << 16, 0);
    retell(layout, data + skip, size - skip, size % 300, size % 2 ? -1000000 : INT64_MAX);
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) abort();
    memcpy(exact, data, size);
    assert(crc64(size, exact, size) == crc64_portable(size, exact, size));
    free(exact);
    return 0;
}

#define CUTS 100
#include "standalone.h"
