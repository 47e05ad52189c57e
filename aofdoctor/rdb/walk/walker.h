/* Whole items of an RDB in a buffer.
 *
 * A machine that runs small programs, one a type byte or opcode, which types.py
 * assembles: what a layout is, only that file knows.  It can stop anywhere, in a
 * value too; what it remembers is a handful of numbers, however large the value
 * is.  Every step reads a byte at least, or has been paid for by one, so the work
 * is bounded by the bytes.  What most of a file is made of (keys whose value is one
 * string, elements that are strings) is recognised by its program and stepped over
 * in one go; the columns, the state and the fuel are what the machine would leave.
 *
 * The buffer must be followed by RDB_SLACK readable bytes that are all zero: a
 * step reads its numbers first and then looks whether they were there.
 */
#ifndef AOFDOCTOR_WALK_H
#define AOFDOCTOR_WALK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define RDB_SLACK 64
#define RDB_DEPTH 4
#define RDB_TEMPLATES 16384
#define RDB_PROBES 64
#define RDB_HUGE ((uint64_t)1 << 62)
#define RDB_DIGITS_MAX 18

enum { STEP_END, STEP_LEN, STEP_STR, STEP_SKIP, STEP_KEY, STEP_SCORE, STEP_COUNT, STEP_LOOP, STEP_NEXT, STEP_CASE,
       STEP_JUMP, STEP_DB, STEP_EXPIRE_S, STEP_EXPIRE_MS, STEP_IDLE, STEP_FREQ, STEP_MORE, STEP_TEMPLATE, STEP_KEEP,
       STEP_RECALL, STEP_NUMBER, STEP_PAYLOAD, STEP_EOF };

enum { STOP_SHORT, STOP_FULL, STOP_DONE, STOP_FUEL, STOP_TYPE, STOP_LENGTH, STOP_HEAD, STOP_STRING, STOP_CASE,
       STOP_LOST_TEMPLATE, STOP_NUMBER };

typedef struct {
    const uint8_t *code;
    const uint16_t *entry;   /* 256 places in code; 0: no row */
} rdb_layout;

typedef struct {
    uint64_t id, count;
    int used;
} rdb_template;

typedef struct {
    uint32_t pc;             /* 0: at a type or opcode */
    uint32_t depth;
    uint32_t body[RDB_DEPTH];
    uint64_t left[RDB_DEPTH];
    uint64_t skip, held, template_id;
    int64_t start, name, value, expire, idle, db;
    int16_t freq;
    uint16_t kind;
    rdb_template *templates; /* RDB_TEMPLATES of them, or NULL: none are remembered */
} rdb_state;

typedef struct {
    int64_t *edges, *name, *value, *expire, *idle, *db;
    uint16_t *kind;
    int16_t *freq;
    size_t room, count, keys;
} rdb_columns;

static void rdb_forget(rdb_state *s) {
    s->name = s->expire = s->idle = -1;
    s->freq = -1;
}

static void rdb_begin(rdb_state *s, int64_t start, int64_t db, rdb_template *templates) {
    memset(s, 0, sizeof *s);
    s->start = s->value = start;
    s->db = db;
    s->templates = templates;
    rdb_forget(s);
}

static inline uint64_t rdb_big(const uint8_t *p, int size) {
    uint64_t v = 0;
    while (size--) v = v << 8 | *p++;
    return v;
}

static inline uint64_t rdb_little(const uint8_t *p, int size) {
    uint64_t v = 0;
    while (size--) v = v << 8 | p[size];
    return v;
}

static inline uint32_t rdb_place(const uint8_t *code) { return code[0] | (uint32_t)code[1] << 8; }

/* The byte after the length at *p; *p may be the end, or slack.  A STOP_ code, or 0. */
static inline int rdb_length(const uint8_t **p, const uint8_t *end, uint64_t *value) {
    const uint8_t *q = *p;
    uint8_t first = q < end ? *q : 0;
    if (first < 0x40) { *value = first; *p = q + 1; return 0; }
    if (first < 0x80) { *value = (uint64_t)(first & 63) << 8 | q[1]; *p = q + 2; return 0; }
    if (first >= 0xc0) return STOP_LENGTH;
    if (first > 0x81) return STOP_HEAD;
    int size = first == 0x80 ? 4 : 8;
    *value = rdb_big(q + 1, size);
    *p = q + 1 + size;
    return 0;
}

/* The first byte of the payload of the string at *p, and how many it has. */
static inline int rdb_string(const uint8_t **p, const uint8_t *end, uint64_t *size) {
    uint8_t first = *p < end ? **p : 0;
    if (first < 0xc0) return rdb_length(p, end, size);
    if (first > 0xc3) return STOP_STRING;
    *p += 1;
    if (first < 0xc3) { *size = (uint64_t)1 << (first & 3); return 0; }
    uint64_t whole;
    int why = rdb_length(p, end, size);
    return why ? why : rdb_length(p, end, &whole);
}

/* Where a template is, or could be put; NULL if neither.  Numbers that follow each other do not meet; a search is short
 * whatever the numbers are. */
static rdb_template *rdb_template_at(const rdb_state *s, uint64_t id) {
    if (!s->templates) return NULL;
    for (uint64_t i = 0; i < RDB_PROBES; i++) {
        rdb_template *t = &s->templates[(id + i) % RDB_TEMPLATES];
        if (!t->used || t->id == id) return t;
    }
    return NULL;
}

/* RESP: mark, digits, CRLF. */
static int rdb_number(const uint8_t **p, const uint8_t *end, uint8_t mark, uint64_t *value) {
    const uint8_t *q = *p;
    if (q >= end) return STOP_SHORT;
    if (*q++ != mark) return STOP_NUMBER;
    const uint8_t *first = q;
    uint64_t v = 0;
    for (;; q++) {
        if (q >= end) return STOP_SHORT;
        if (*q < '0' || *q > '9' || q - first == RDB_DIGITS_MAX) break;
        v = v * 10 + (*q - '0');
    }
    if (q == first || *q != '\r') return STOP_NUMBER;
    if (++q >= end) return STOP_SHORT;
    if (*q != '\n') return STOP_NUMBER;
    *value = v;
    *p = q + 1;
    return -1;
}

static inline void rdb_put(rdb_columns *c, rdb_state *s, int64_t end) {
    size_t i = c->count++;
    c->kind[i] = s->kind;
    c->name[i] = s->name;
    c->value[i] = s->value;
    c->expire[i] = s->expire;
    c->idle[i] = s->idle;
    c->freq[i] = s->freq;
    c->db[i] = s->db;
    c->edges[i] = s->start;
    c->edges[i + 1] = s->start = end;
    if (s->name < 0) return;
    c->keys++;
    rdb_forget(s);
}

static inline uint64_t rdb_capped(uint64_t size) { return size < RDB_HUGE ? size : RDB_HUGE; }

static inline int rdb_row_is(const uint8_t *row, uint8_t one, uint8_t two) { return row[0] == one && row[1] == two; }

/* A string that stands in [*p, end) as a whole, stepped over; 0 if it does not, or not for sure. */
static inline int rdb_passed(const uint8_t **p, const uint8_t *end) {
    const uint8_t *q = *p;
    uint64_t size, whole;
    uint8_t first = *q;
    if (first < 0x40) size = first, q += 1;
    else if (first < 0x80) size = (uint64_t)(first & 63) << 8 | q[1], q += 2;
    else if (first == 0x80) size = rdb_big(q + 1, 4), q += 5;
    else if (first == 0xc3) {
        q++;
        if (rdb_length(&q, end, &size) || rdb_length(&q, end, &whole)) return 0;
    } else if (first >= 0xc0 && first < 0xc3) size = (uint64_t)1 << (first & 3), q += 1;
    else return 0;
    if (q > end || size > (uint64_t)(end - q)) return 0;
    *p = q + size;
    return 1;
}

enum { RDB_STEPS_KEY = 4, RDB_STEPS_EXPIRE = 3 };  /* what the programs below take of the fuel */

/* The keys from p on whose value is one string, with an expiry or without, as long as they stand there as a whole:
 * what the machine would make of them, in one go.  No item has begun at p.  The place where it goes on. */
static const uint8_t *rdb_strings(rdb_state *s, const rdb_layout *layout, const uint8_t *p, const uint8_t *end,
                                  int64_t base, rdb_columns *c, int64_t *fuel) {
    const uint8_t *begin = p, *code = layout->code;
    size_t i = c->count, first = i;
    int64_t left = *fuel, db = s->db;
    while (p < end && i < c->room && left >= RDB_STEPS_KEY + RDB_STEPS_EXPIRE) {
        const uint8_t *q = p, *name, *row = code + layout->entry[*p];
        int64_t expire = -1;
        left -= RDB_STEPS_KEY;
        if (rdb_row_is(row, STEP_EXPIRE_MS, STEP_MORE) && end - q > 9) {
            expire = (int64_t)rdb_little(q + 1, 8);
            row = code + layout->entry[*(q += 9)];
            left -= RDB_STEPS_EXPIRE;
        }
        name = q + 1;
        if (!rdb_row_is(row, STEP_KEY, STEP_STR) || row[2] != STEP_END) break;
        uint8_t kind = *q++;
        if (!rdb_passed(&q, end)) break;
        const uint8_t *value = q;
        if (!rdb_passed(&q, end)) break;
        c->kind[i] = kind;
        c->name[i] = base + (name - begin);
        c->value[i] = base + (value - begin);
        c->expire[i] = expire;
        c->idle[i] = -1;
        c->freq[i] = -1;
        c->db[i] = db;
        c->edges[i] = base + (p - begin);
        i++;
        s->kind = kind;
        s->value = base + (value - begin);
        *fuel = left;
        p = q;
    }
    if (i != first) c->edges[i] = s->start = base + (p - begin);
    c->count = i;
    c->keys += i - first;
    return p;
}

/* The elements from p on of a loop whose body is strings, and bytes to skip after them or none, as long as they stand
 * there as a whole; never the last one, after which the loop ends.  The place where it goes on. */
static const uint8_t *rdb_elements(const uint8_t *body, const uint8_t *p, const uint8_t *end, uint64_t *left,
                                   int64_t *fuel) {
    int strings = 0;
    while (strings < 2 && body[strings] == STEP_STR) strings++;
    const uint8_t *after = body + strings;
    size_t skip = after[0] == STEP_SKIP ? after[1] : 0;
    int steps = strings + (after[0] == STEP_SKIP) + 1;
    if (!strings || after[after[0] == STEP_SKIP ? 2 : 0] != STEP_NEXT) return p;
    for (; *left > 1 && *fuel >= steps && p < end; --*left, *fuel -= steps) {
        const uint8_t *q = p;
        if (!rdb_passed(&q, end) || (strings == 2 && (q == end || !rdb_passed(&q, end)))) break;
        if (skip > (size_t)(end - q)) break;
        p = q + skip;
    }
    return p;
}

/* Run from *at to `end`; why it stopped.  The buffer's first byte is at `base` in the file. */
static int rdb_run(rdb_state *s, const rdb_layout *layout, const uint8_t *buffer, size_t *at, size_t end_at, int64_t base,
                   rdb_columns *c, int64_t *fuel_left) {
    const uint8_t *p = buffer + *at, *end = buffer + end_at;
    const uint8_t *code = layout->code;
    int64_t fuel = *fuel_left;
    uint64_t skip = s->skip;
    uint32_t pc = s->pc;
    int why;
    for (;;) {
        if (skip > (uint64_t)(end - p)) { skip -= (uint64_t)(end - p); p = end; why = STOP_SHORT; break; }
        p += skip;
        skip = 0;
        if (fuel <= 0) { why = STOP_FUEL; break; }
        fuel--;
        if (!pc) {
            if (s->start == base + (p - buffer) && (s->expire & s->idle) == -1 && s->freq == -1) {
                fuel++;
                p = rdb_strings(s, layout, p, end, base + (p - buffer), c, &fuel);
                if (fuel <= 0) { why = STOP_FUEL; break; }
                fuel--;
            }
            if (p >= end) { why = STOP_SHORT; break; }
            if (c->count == c->room) { why = STOP_FULL; break; }
            s->kind = *p;
            if (!(pc = layout->entry[*p])) { why = STOP_TYPE; break; }
            p++;
            s->value = base + (p - buffer);
            continue;
        }
        const uint8_t *q = p;
        uint64_t v;
        switch (code[pc]) {
        case STEP_END:
            rdb_put(c, s, base + (p - buffer));
            pc = 0;
            continue;
        case STEP_LEN:
            if ((why = rdb_length(&q, end, &v))) goto stopped;
            if (q > end) goto torn;
            break;
        case STEP_STR:
            if ((why = rdb_string(&q, end, &v))) goto stopped;
            if (q > end) goto torn;
            skip = rdb_capped(v);
            break;
        case STEP_SKIP:
            skip = code[++pc];
            break;
        case STEP_KEY:
            if ((why = rdb_string(&q, end, &v))) goto stopped;
            if (q > end) goto torn;
            skip = rdb_capped(v);
            s->name = base + (p - buffer);
            s->value = base + (q - buffer) + (int64_t)skip;
            break;
        case STEP_SCORE:
            if (++q > end) goto torn;
            skip = *p < 253 ? *p : 0;
            break;
        case STEP_COUNT:
            if ((why = rdb_length(&q, end, &v))) goto stopped;
            if (q > end) goto torn;
            s->held = v;
            break;
        case STEP_LOOP:
            if (!s->held) { pc = rdb_place(code + pc + 1); continue; }
            pc += 3;
            s->body[s->depth] = pc;
            s->left[s->depth] = s->held;
            p = rdb_elements(code + pc, p, end, &s->left[s->depth++], &fuel);
            continue;
        case STEP_NEXT:
            if (--s->left[s->depth - 1]) {
                pc = s->body[s->depth - 1];
                p = rdb_elements(code + pc, p, end, &s->left[s->depth - 1], &fuel);
                continue;
            }
            s->depth--;
            break;
        case STEP_CASE:
            if ((why = rdb_length(&q, end, &v))) goto stopped;
            if (q > end) goto torn;
            v = rdb_place(code + pc + (v < code[pc + 1] ? 4 + 2 * v : 2));
            if (!v) { why = STOP_CASE; goto stopped; }
            p = q;
            pc = (uint32_t)v;
            continue;
        case STEP_JUMP:
            pc = rdb_place(code + pc + 1);
            continue;
        case STEP_DB:
            if ((why = rdb_length(&q, end, &v))) goto stopped;
            if (q > end) goto torn;
            s->db = (int64_t)rdb_capped(v);
            break;
        case STEP_EXPIRE_S:
            if ((q += 4) > end) goto torn;
            s->expire = (int64_t)(int32_t)rdb_little(p, 4) * 1000;
            break;
        case STEP_EXPIRE_MS:
            if ((q += 8) > end) goto torn;
            s->expire = (int64_t)rdb_little(p, 8);
            break;
        case STEP_IDLE:
            if ((why = rdb_length(&q, end, &v))) goto stopped;
            if (q > end) goto torn;
            s->idle = (int64_t)rdb_capped(v);
            break;
        case STEP_FREQ:
            if (++q > end) goto torn;
            s->freq = *p;
            break;
        case STEP_MORE:
            pc = 0;
            continue;
        case STEP_TEMPLATE:
            if ((why = rdb_length(&q, end, &v))) goto stopped;
            if (q > end) goto torn;
            s->template_id = v;
            break;
        case STEP_KEEP: {
            rdb_template *t = rdb_template_at(s, s->template_id);
            if (!t) { why = STOP_LOST_TEMPLATE; goto stopped; }
            *t = (rdb_template){s->template_id, s->held, 1};
            break;
        }
        case STEP_RECALL: {
            if ((why = rdb_length(&q, end, &v))) goto stopped;
            if (q > end) goto torn;
            rdb_template *t = rdb_template_at(s, v);
            if (!t || !t->used) { why = STOP_LOST_TEMPLATE; goto stopped; }
            s->held = t->count;
            break;
        }
        case STEP_NUMBER:
            if ((why = rdb_number(&q, end, code[pc + 1], &v)) >= 0) goto stopped;
            s->held = v;
            pc++;
            break;
        case STEP_PAYLOAD:
            skip = s->held;
            break;
        default: /* STEP_EOF */
            why = STOP_DONE;
            goto stopped;
        }
        p = q;
        pc++;
        continue;
    torn:
        why = STOP_SHORT;
        goto stopped;
    }
stopped:
    s->skip = skip;
    s->pc = pc;
    *at = (size_t)(p - buffer);
    *fuel_left = fuel;
    return why;
}

#endif
