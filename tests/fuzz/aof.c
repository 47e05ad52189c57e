/* The compiled code on any bytes: scan, steps, digests, units, censuses, counters, checksum, LZF, runs of items, with every buffer as large
 * as it has to be and no larger.
 *
 * As a libFuzzer target (tests/fuzz/run), or with -DSTANDALONE on files:
 * aof FILE...  The laws that hold on any bytes are asserted.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../aofdoctor/aof/scan.h"
#include "../../aofdoctor/diff/key_table/slots.h"
#include "../../aofdoctor/rdb/encoding/crc64.h"
#include "../../aofdoctor/rdb/encoding/lzf.h"
#include "../../aofdoctor/rdb/encoding/runs.h"
#include "../../aofdoctor/stats/counting/heavy_hitters.h"
#include "../../aofdoctor/server/context/tracker.h"
#include "../../aofdoctor/diff/units/units.h"
#include "../../aofdoctor/stats/counting/record_counters.h"

#define ROOM 64
#define SLOTS 64
#define IDS 16

static scan_name slots[SLOTS];
static const scan_names names = {slots, SLOTS - 1, NULL, 0};
static const char *const KNOWN[] = {"select", "multi", "exec", "set", "flushall", "xgroup", "georadiusbymember_ro"};

static void setup(void) {
    if (slots[0].size || crc64_table[0][1]) return;
    crc64_init();
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++) {
        uint8_t padded[SCAN_NAME_MAX] = {0};
        memcpy(padded, KNOWN[i], strlen(KNOWN[i]));
        scan_name_add(&names, padded, strlen(KNOWN[i]), 0, (uint16_t)(i + 2));
    }
    uint8_t create[SCAN_NAME_MAX] = "create", xgroup[SCAN_NAME_MAX] = "xgroup";
    scan_slot(&names, xgroup, 6, 0)->container = 1;
    scan_name_add(&names, create, 6, 7, 9);
}

/* Digests and units of a batch: every unit within it or begun before it, in order. */
static void compare(int64_t *state, const uint8_t *data, size_t size, int64_t base, const int64_t *edges,
                    const uint32_t *argc, const uint16_t *ids, size_t n, const tracker_columns *steps, const uint8_t *act) {
    static const uint64_t key[2] = {7, 11};
    static const uint8_t lower[IDS] = {1, 1, 1, 1, 1, 1, 1, 2};
    int64_t columns[UNITS_COLUMNS][ROOM + 1], *out[UNITS_COLUMNS];
    uint64_t digests[ROOM], keys[ROOM], again[ROOM];
    for (size_t i = 0; i < UNITS_COLUMNS; i++) out[i] = columns[i];
    uint8_t *exact = malloc(size ? size : 1);   /* not one byte past the records is looked at */
    if (!exact) abort();
    memcpy(exact, data, size);
    digest_records(key, data, edges, ids, n, lower, IDS, 1, digests);
    digest_records(key, data, edges, ids, n, lower, IDS, 0, again);
    digest_keys(key, data, edges, argc, n, keys);
    for (size_t i = 0; i < n; i++) assert(argc[i] > 1 || keys[i] == 0);
    assert(digest_common_prefix(exact, data, size) == size);
    if (size) exact[size / 2] ^= 1;
    assert(digest_common_prefix(exact, data, size) == (size ? size / 2 : 0));
    free(exact);
    size_t units = units_make(key, state, base, edges, ids, again, steps->db, steps->tx, steps->time, n, act, IDS, out);
    assert(units <= n + 1);
    for (size_t i = 0; i < units; i++) {
        assert(columns[UNITS_COLUMN_START][i] < columns[UNITS_COLUMN_END][i] && columns[UNITS_COLUMN_COMMANDS][i] > 0);
        assert(i == 0 || columns[UNITS_COLUMN_END][i - 1] <= columns[UNITS_COLUMN_START][i]);
        assert(columns[UNITS_COLUMN_END][i] <= base + edges[n]);
    }
}

/* The counters: what is counted of a batch is what it has, and no bucket is out of its line. */
static void weigh(const uint8_t *data, int64_t place, const int64_t *edges, const uint32_t *argc, const uint16_t *ids,
                  size_t n, const tracker_columns *steps) {
    static const uint8_t kinds[IDS] = {0, 0, 0, 0, 0, 1, 2};
    static const hitters_key_rule rules[IDS] = {{1, 0, 0, 0}, {0}, {0}, {0}, {0}, {1, 0, 0, 0}, {2, 1, 1, 0}, {1, 2, 0, 0}};
    static const int64_t factors[] = {5, 3, 0};
    static records_bucket buckets[4][RECORDS_MAX_BUCKETS];
    static hitters_name prefixes[HITTERS_NAMES_SLOTS], unknown[HITTERS_NAMES_SLOTS];
    static uint64_t tags[2][HITTERS_SETS * HITTERS_WAYS];
    static hitters_key keys[2][HITTERS_SETS * HITTERS_WAYS];
    static records_count by_id[IDS], by_db[RECORDS_DB_ROWS];
    static records_counters counters = {.burst_kinds = kinds, .ids = IDS, .by_id = by_id, .by_db = by_db};
    static hitters_counters key_counters = {.rules = rules, .ids = IDS, .delimiter = ':', .depth = 2, .sample = {0, 1 << 16}};
    uint32_t large[ROOM];
    int64_t unknown_before = by_id[SCAN_UNKNOWN].commands, commands = 0;
    if (!counters.times.width) {
        counters.times = (records_buckets){1, 0, -1, 0, factors, NULL, buckets[0], buckets[1]};
        counters.positions = (records_buckets){1, 0, -1, 0, factors + 2, NULL, buckets[2], buckets[3]};
        key_counters.prefixes.slot = prefixes;
        key_counters.unknown.slot = unknown;
        key_counters.bytes = (hitters_keys){tags[0], keys[0]};
        key_counters.writes = (hitters_keys){tags[1], keys[1]};
    }
    for (size_t i = 0; i < n; i++) commands += ids[i] >= IDS || ids[i] == SCAN_UNKNOWN;
    assert(records_count_batch(&counters, place, edges, ids, steps->db, steps->time, NULL, n, 40, large) <= n);
    assert(by_id[SCAN_UNKNOWN].commands == unknown_before + commands);
    assert(counters.times.high - counters.times.low < RECORDS_MAX_BUCKETS && counters.positions.high - counters.positions.low < RECORDS_MAX_BUCKETS);
    hitters_count_batch(&key_counters, data, edges, argc, ids, steps->db, NULL, n);
    assert(key_counters.prefixes.used <= HITTERS_NAMES_MAX && key_counters.unknown.used <= HITTERS_NAMES_MAX);
}

/* A batch into a table, whatever its commands are taken to do, at once and noted first: both leave the same keys. */
static void tables(const uint8_t *data, int64_t base, const int64_t *edges, const uint32_t *argc, const uint16_t *ids,
                   const int64_t *db, size_t n) {
    enum { MANY = 512, EVENTS = 256 };
    static uint64_t space[3][MANY * SLOTS_SLOT_WORDS], noted[EVENTS * SLOTS_SLOT_WORDS];
    static uint32_t starts[(1 << 16) + 1];
    const int what = SLOTS_EFFECT_MIX + (int)((n + (size_t)edges[n]) % (SLOTS_EFFECT_OTHER - SLOTS_EFFECT_MIX));
    uint8_t does[IDS];
    uint64_t state[3][SLOTS_STATE_FIELDS] = {{0}}, rows[SLOTS_ROW_WORDS], same = 0;
    uint32_t order[EVENTS];
    slots_table c[3];
    size_t done[2], from = 0;
    memset(does, what, sizeof does);
    does[SCAN_ANNOTATION] = SLOTS_EFFECT_NONE;
    memset(space, 0, sizeof space);
    for (int i = 0; i < 3; i++) {
        c[i] = (slots_table){space[i], state[i], noted, {7, 11}};
        state[i][SLOTS_STATE_SLOTS] = MANY - (i == 2);
        state[i][SLOTS_STATE_USED_MAX] = MANY * 3 / 4;
        state[i][SLOTS_STATE_NEXT_SPACE] = SLOTS_FIRST_SPACE;
        state[i][SLOTS_STATE_PENDING_MAX] = i == 1 ? EVENTS : 0;
        if (i < 2)
            done[i] = slots_apply_batch(&c[i], data, (uint64_t)base, edges, argc, ids, db, NULL, 0, n, does, IDS, what & 1);
    }
    assert(done[0] <= n && state[0][SLOTS_STATE_USED] <= state[0][SLOTS_STATE_USED_MAX]);
    if (done[0] != done[1]) return;
    slots_order_pending(noted, state[1][SLOTS_STATE_PENDING], starts, order);
    assert(slots_apply_pending(&c[1], order, 0, state[1][SLOTS_STATE_PENDING]) == state[1][SLOTS_STATE_PENDING]);
    assert(state[0][SLOTS_STATE_USED] == state[1][SLOTS_STATE_USED]);
    assert(!slots_compare(&c[0], &c[1], &from, MANY, 0, rows, 1, &same) && from == MANY);
    assert(slots_copy_live(&c[0], 0, MANY, &c[2]) == state[2][SLOTS_STATE_USED]);
    assert(slots_copy_live(&c[2], 0, MANY - 1, NULL) == state[2][SLOTS_STATE_USED]);
    slots_flush_database(&c[2], 0);
}

static void walk(const uint8_t *buffer, size_t size) {
    int64_t edges[ROOM + 1], state[TRACKER_FIELDS] = {0}, open[UNITS_FIELDS] = {0}, db[ROOM], tx[ROOM], time[ROOM];
    uint32_t argc[ROOM], notes[ROOM], least[IDS] = {0}, most[IDS];
    uint16_t ids[ROOM];
    uint64_t counts[IDS] = {0};
    uint8_t act[IDS] = {TRACKER_ACT_FLAG, TRACKER_ACT_ANNOTATION, TRACKER_ACT_SELECT, TRACKER_ACT_MULTI, TRACKER_ACT_EXEC};
    for (size_t i = 0; i < IDS; i++) most[i] = 3;
    const tracker_rules rules = {act, least, most, IDS};
    const tracker_columns out = {db, tx, time};
    size_t at = 0, n;
    while ((n = scan_records(buffer + at, size - at, &names, ROOM, edges, argc, ids))) {
        assert(n <= ROOM && edges[0] == 0);
        for (size_t i = 0; i < n; i++) assert(edges[i] < edges[i + 1] && (argc[i] > 0) == (ids[i] != SCAN_ANNOTATION));
        assert((size_t)edges[n] <= size - at);
        size_t noted = tracker_track_batch(state, (int64_t)at, buffer + at, (int64_t)(size - at), edges, argc, ids, n, &rules,
                                 counts, notes, &out);
        compare(open, buffer + at, (size_t)edges[n], (int64_t)at, edges, argc, ids, n, &out, act);
        weigh(buffer + at, (int64_t)at, edges, argc, ids, n, &out);
        tables(buffer + at, (int64_t)at, edges, argc, ids, db, n);
        assert(noted <= n && state[TRACKER_FIELD_GOOD_END] <= (int64_t)(at + (size_t)edges[n]));
        at += (size_t)edges[n];
    }
    int64_t done;
    const uint8_t *end = scan_args(buffer, buffer + size, 1000, &done);
    assert(end >= buffer && end <= buffer + size && done >= 0 && done <= 1000);
}

static void check_items(const runs_item *items, size_t n, const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < n; i++)
        assert(items[i].at >= bytes && items[i].size <= size - (size_t)(items[i].at - bytes));
}

/* Values: every item lies within its buffer; a run goes on from where it stopped. */
static void values(const uint8_t *bytes, size_t size) {
    runs_item items[ROOM];
    size_t at = 0, was, n;
    uint64_t before = 0;
    do {
        was = at;
        check_items(items, n = runs_listpack(bytes, size, &at, items, ROOM), bytes, size);
        assert(at >= was && at <= size && (n > 0) == (at > was));
    } while (n);
    at = 0;
    do {
        was = at;
        check_items(items, n = runs_ziplist(bytes, size, &at, &before, items, ROOM), bytes, size);
        assert(at >= was && at <= size && (n > 0) == (at > was));
    } while (n);
    for (unsigned form = 0; form < 4; form++) {
        at = 0;
        do {
            was = at;
            check_items(items, n = runs_strings(bytes, size, &at, 1 + form / 2, form % 2, 4096, items, ROOM), bytes, size);
            assert(at >= was && at <= size && n <= ROOM);
        } while (n);
    }
}

/* LZF into a buffer that is no larger than it says, at once and in steps: the same bytes. */
static void unpack(const uint8_t *bytes, size_t size) {
    enum { LARGE = 1 << 14, STEP = 300 };
    uint8_t *whole = malloc(LARGE), *steps = malloc(LARGE);
    if (!whole || !steps) abort();
    size_t made = 0, took = lzf_decompress_prefix(bytes, size, whole, &made, LARGE), done = 0, at = 0, more = 0;
    assert(made <= LARGE && (took == LZF_BAD || took <= size));
    do {
        size_t room = done + STEP < LARGE ? done + STEP : LARGE;
        more = lzf_decompress_prefix(bytes + at, size - at, steps, &done, room);
        if (more != LZF_BAD) at += more;
    } while (more && more != LZF_BAD);
    assert((took == LZF_BAD) == (more == LZF_BAD) && (took == LZF_BAD || (took == at && made == done)));
    assert(!memcmp(whole, steps, made < done ? made : done));
    free(whole);
    free(steps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    setup();
    uint8_t *buffer = calloc(1, size + SCAN_SLACK), *exact = malloc(size ? size : 1);
    if (!buffer || !exact) abort();
    memcpy(buffer, data, size);
    memcpy(exact, data, size);
    walk(buffer, size);
    values(exact, size);
    unpack(exact, size);
    if (size > 8) {
        uint64_t crc = 0;
        size_t found = crc64_find_end_by_crc(&crc, exact, size - 8);
        assert(found == size - 8 ? crc == crc64(0, exact, found) : crc == crc64(0, exact, found + 1));
    }
    free(buffer);
    free(exact);
    return 0;
}

#define CUTS 2000
#include "standalone.h"
