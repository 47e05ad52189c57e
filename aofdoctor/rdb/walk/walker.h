/* Walk the items of an RDB in a buffer: find where each item ends without decoding values.
 *
 * This is an interpreter of small programs, one for each type byte or opcode, which
 * say which lengths, strings and numbers lead to the end of the item.  layouts.py
 * assembles them and is the only file that knows how items are laid out.  The
 * walker can stop and resume anywhere, also inside a value: its state is a few
 * numbers, however large the value is.  Every step reads at least one byte, or
 * an earlier step read one for it, so the work is bounded by the bytes.
 *
 * Most of a file consists of keys with a single string as value, and of elements
 * that are strings.  Such programs are recognised and run in a tight loop; the
 * columns, the state and the step budget are the same as if every step had run.
 *
 * The buffer must be followed by WALK_SLACK readable bytes that are all zero: a
 * step reads its numbers first and checks afterwards that they were in the buffer.
 */
#ifndef AOFDOCTOR_WALKER_H
#define AOFDOCTOR_WALKER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WALK_SLACK 64
#define WALK_DEPTH 4
#define WALK_TEMPLATE_SLOTS 16384
#define WALK_TEMPLATE_PROBES 64
#define WALK_HUGE ((uint64_t)1 << 62)
#define WALK_DIGITS_MAX 18

enum { WALK_OP_END, WALK_OP_LEN, WALK_OP_STR, WALK_OP_SKIP, WALK_OP_KEY, WALK_OP_SCORE, WALK_OP_COUNT, WALK_OP_LOOP, WALK_OP_NEXT, WALK_OP_CASE,
       WALK_OP_JUMP, WALK_OP_DB, WALK_OP_EXPIRE_S, WALK_OP_EXPIRE_MS, WALK_OP_IDLE, WALK_OP_FREQ, WALK_OP_MORE, WALK_OP_TEMPLATE_ID, WALK_OP_DEFINE_TEMPLATE,
       WALK_OP_USE_TEMPLATE, WALK_OP_RESP_NUMBER, WALK_OP_PAYLOAD, WALK_OP_EOF };

enum { WALK_STOP_END_OF_DATA, WALK_STOP_FULL, WALK_STOP_DONE, WALK_STOP_STEP_LIMIT, WALK_STOP_UNKNOWN_TYPE, WALK_STOP_NOT_A_LENGTH, WALK_STOP_BAD_LENGTH, WALK_STOP_BAD_STRING, WALK_STOP_BAD_CASE,
       WALK_STOP_UNKNOWN_TEMPLATE, WALK_STOP_BAD_NUMBER };

typedef struct {
    const uint8_t *code;
    const uint16_t *entry;   /* by first byte of an item: where its program begins; 0: no such type */
} walk_layout;

typedef struct {
    uint64_t id, count;
    int used;
} walk_template;

typedef struct {
    uint32_t pc;             /* address of the next instruction; 0: the next byte of the file is a type or opcode */
    uint32_t depth;
    uint32_t body[WALK_DEPTH];
    uint64_t left[WALK_DEPTH];
    uint64_t skip, reg, template_id;
    int64_t start, name, value, expire, idle, db;
    int16_t freq;
    uint16_t kind;
    walk_template *templates; /* WALK_TEMPLATE_SLOTS of them, or NULL to remember none */
} walk_state;

typedef struct {
    int64_t *edges, *name, *value, *expire, *idle, *db;
    uint16_t *kind;
    int16_t *freq;
    size_t capacity, count, key_count;
} walk_columns;

static void walk_clear_key_fields(walk_state *s) {
    s->name = s->expire = s->idle = -1;
    s->freq = -1;
}

static void walk_start(walk_state *s, int64_t start, int64_t db, walk_template *templates) {
    memset(s, 0, sizeof *s);
    s->start = s->value = start;
    s->db = db;
    s->templates = templates;
    walk_clear_key_fields(s);
}

static inline uint64_t walk_big(const uint8_t *p, int size) {
    uint64_t v = 0;
    while (size--) v = v << 8 | *p++;
    return v;
}

static inline uint64_t walk_little(const uint8_t *p, int size) {
    uint64_t v = 0;
    while (size--) v = v << 8 | p[size];
    return v;
}

static inline uint32_t walk_address(const uint8_t *code) { return code[0] | (uint32_t)code[1] << 8; }

/* Read the RDB length at *p, move *p past it; *p may be at the end or in the slack.  Returns 0 or a WALK_STOP_ code. */
static inline int walk_length(const uint8_t **p, const uint8_t *end, uint64_t *value) {
    const uint8_t *q = *p;
    uint8_t first = q < end ? *q : 0;
    if (first < 0x40) { *value = first; *p = q + 1; return 0; }
    if (first < 0x80) { *value = (uint64_t)(first & 63) << 8 | q[1]; *p = q + 2; return 0; }
    if (first >= 0xc0) return WALK_STOP_NOT_A_LENGTH;
    if (first > 0x81) return WALK_STOP_BAD_LENGTH;
    int size = first == 0x80 ? 4 : 8;
    *value = walk_big(q + 1, size);
    *p = q + 1 + size;
    return 0;
}

/* Move *p past the length of the RDB string at *p; set *size to the bytes that follow.  Returns as walk_length. */
static inline int walk_string(const uint8_t **p, const uint8_t *end, uint64_t *size) {
    uint8_t first = *p < end ? **p : 0;
    if (first < 0xc0) return walk_length(p, end, size);
    if (first > 0xc3) return WALK_STOP_BAD_STRING;
    *p += 1;
    if (first < 0xc3) { *size = (uint64_t)1 << (first & 3); return 0; }
    uint64_t unpacked_size;
    int reason = walk_length(p, end, size);
    return reason ? reason : walk_length(p, end, &unpacked_size);
}

/* Find the slot of a hash template, or a free slot for it; NULL if all searched slots are taken.  Consecutive ids do
 * not collide, and a search takes at most WALK_TEMPLATE_PROBES slots for any ids. */
static walk_template *walk_template_slot(const walk_state *s, uint64_t id) {
    if (!s->templates) return NULL;
    for (uint64_t i = 0; i < WALK_TEMPLATE_PROBES; i++) {
        walk_template *t = &s->templates[(id + i) % WALK_TEMPLATE_SLOTS];
        if (!t->used || t->id == id) return t;
    }
    return NULL;
}

/* Read `prefix digits CRLF` at *p and move *p past it.  Returns -1, or a WALK_STOP_ code (0 is one of them). */
static int walk_resp_number(const uint8_t **p, const uint8_t *end, uint8_t prefix, uint64_t *value) {
    const uint8_t *q = *p;
    if (q >= end) return WALK_STOP_END_OF_DATA;
    if (*q++ != prefix) return WALK_STOP_BAD_NUMBER;
    const uint8_t *first = q;
    uint64_t v = 0;
    for (;; q++) {
        if (q >= end) return WALK_STOP_END_OF_DATA;
        if (*q < '0' || *q > '9' || q - first == WALK_DIGITS_MAX) break;
        v = v * 10 + (*q - '0');
    }
    if (q == first || *q != '\r') return WALK_STOP_BAD_NUMBER;
    if (++q >= end) return WALK_STOP_END_OF_DATA;
    if (*q != '\n') return WALK_STOP_BAD_NUMBER;
    *value = v;
    *p = q + 1;
    return -1;
}

static inline void walk_append_item(walk_columns *c, walk_state *s, int64_t end) {
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
    c->key_count++;
    walk_clear_key_fields(s);
}

static inline uint64_t walk_capped(uint64_t size) { return size < WALK_HUGE ? size : WALK_HUGE; }

static inline int walk_program_starts_with(const uint8_t *program, uint8_t one, uint8_t two) { return program[0] == one && program[1] == two; }

/* Skip a string that lies completely in [*p, end); return 0, and do nothing, if it does not, or if it is malformed. */
static inline int walk_skip_string(const uint8_t **p, const uint8_t *end) {
    const uint8_t *q = *p;
    uint64_t size, unpacked_size;
    uint8_t first = *q;
    if (first < 0x40) size = first, q += 1;
    else if (first < 0x80) size = (uint64_t)(first & 63) << 8 | q[1], q += 2;
    else if (first == 0x80) size = walk_big(q + 1, 4), q += 5;
    else if (first == 0xc3) {
        q++;
        if (walk_length(&q, end, &size) || walk_length(&q, end, &unpacked_size)) return 0;
    } else if (first >= 0xc0 && first < 0xc3) size = (uint64_t)1 << (first & 3), q += 1;
    else return 0;
    if (q > end || size > (uint64_t)(end - q)) return 0;
    *p = q + size;
    return 1;
}

enum { WALK_STEPS_OF_KEY = 4, WALK_STEPS_OF_EXPIRY = 3 };  /* the steps of the programs that walk_string_keys replaces */

/* Walk the keys from p on that are complete and have a single string as value, with or without an expiry in ms.  The
 * result is the same as that of the interpreter.  No item may have begun before p.  Returns where the interpreter goes
 * on. */
static const uint8_t *walk_string_keys(walk_state *s, const walk_layout *layout, const uint8_t *p, const uint8_t *end,
                                  int64_t base, walk_columns *c, int64_t *budget) {
    const uint8_t *begin = p, *code = layout->code;
    size_t i = c->count, first = i;
    int64_t left = *budget, db = s->db;
    while (p < end && i < c->capacity && left >= WALK_STEPS_OF_KEY + WALK_STEPS_OF_EXPIRY) {
        const uint8_t *q = p, *name, *program = code + layout->entry[*p];
        int64_t expire = -1;
        left -= WALK_STEPS_OF_KEY;
        if (walk_program_starts_with(program, WALK_OP_EXPIRE_MS, WALK_OP_MORE) && end - q > 9) {
            expire = (int64_t)walk_little(q + 1, 8);
            program = code + layout->entry[*(q += 9)];
            left -= WALK_STEPS_OF_EXPIRY;
        }
        name = q + 1;
        if (!walk_program_starts_with(program, WALK_OP_KEY, WALK_OP_STR) || program[2] != WALK_OP_END) break;
        uint8_t kind = *q++;
        if (!walk_skip_string(&q, end)) break;
        const uint8_t *value = q;
        if (!walk_skip_string(&q, end)) break;
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
        *budget = left;
        p = q;
    }
    if (i != first) c->edges[i] = s->start = base + (p - begin);
    c->count = i;
    c->key_count += i - first;
    return p;
}

/* Skip the complete elements from p on of a loop with a body of one or two strings and an optional fixed number of bytes.
 * The last element is left to the interpreter, which then ends the loop.  Returns where the interpreter goes on. */
static const uint8_t *walk_string_elements(const uint8_t *body, const uint8_t *p, const uint8_t *end, uint64_t *left,
                                   int64_t *budget) {
    int strings = 0;
    while (strings < 2 && body[strings] == WALK_OP_STR) strings++;
    const uint8_t *after = body + strings;
    size_t skip = after[0] == WALK_OP_SKIP ? after[1] : 0;
    int steps = strings + (after[0] == WALK_OP_SKIP) + 1;
    if (!strings || after[after[0] == WALK_OP_SKIP ? 2 : 0] != WALK_OP_NEXT) return p;
    for (; *left > 1 && *budget >= steps && p < end; --*left, *budget -= steps) {
        const uint8_t *q = p;
        if (!walk_skip_string(&q, end) || (strings == 2 && (q == end || !walk_skip_string(&q, end)))) break;
        if (skip > (size_t)(end - q)) break;
        p = q + skip;
    }
    return p;
}

/* Run on buffer[*at, end_at) and set *at to where it stopped; the first byte of the buffer is at offset `base` of the file.
 * Returns a WALK_STOP_ code. */
static int walk_run(walk_state *s, const walk_layout *layout, const uint8_t *buffer, size_t *at, size_t end_at, int64_t base,
                   walk_columns *c, int64_t *budget_left) {
    const uint8_t *p = buffer + *at, *end = buffer + end_at;
    const uint8_t *code = layout->code;
    int64_t budget = *budget_left;
    uint64_t skip = s->skip;
    uint32_t pc = s->pc;
    int reason;
    for (;;) {
        if (skip > (uint64_t)(end - p)) { skip -= (uint64_t)(end - p); p = end; reason = WALK_STOP_END_OF_DATA; break; }
        p += skip;
        skip = 0;
        if (budget <= 0) { reason = WALK_STOP_STEP_LIMIT; break; }
        budget--;
        if (!pc) {
            if (s->start == base + (p - buffer) && (s->expire & s->idle) == -1 && s->freq == -1) {
                budget++;
                p = walk_string_keys(s, layout, p, end, base + (p - buffer), c, &budget);
                if (budget <= 0) { reason = WALK_STOP_STEP_LIMIT; break; }
                budget--;
            }
            if (p >= end) { reason = WALK_STOP_END_OF_DATA; break; }
            if (c->count == c->capacity) { reason = WALK_STOP_FULL; break; }
            s->kind = *p;
            if (!(pc = layout->entry[*p])) { reason = WALK_STOP_UNKNOWN_TYPE; break; }
            p++;
            s->value = base + (p - buffer);
            continue;
        }
        const uint8_t *q = p;
        uint64_t v;
        switch (code[pc]) {
        case WALK_OP_END:
            walk_append_item(c, s, base + (p - buffer));
            pc = 0;
            continue;
        case WALK_OP_LEN:
            if ((reason = walk_length(&q, end, &v))) goto stopped;
            if (q > end) goto end_of_data;
            break;
        case WALK_OP_STR:
            if ((reason = walk_string(&q, end, &v))) goto stopped;
            if (q > end) goto end_of_data;
            skip = walk_capped(v);
            break;
        case WALK_OP_SKIP:
            skip = code[++pc];
            break;
        case WALK_OP_KEY:
            if ((reason = walk_string(&q, end, &v))) goto stopped;
            if (q > end) goto end_of_data;
            skip = walk_capped(v);
            s->name = base + (p - buffer);
            s->value = base + (q - buffer) + (int64_t)skip;
            break;
        case WALK_OP_SCORE:
            if (++q > end) goto end_of_data;
            skip = *p < 253 ? *p : 0;
            break;
        case WALK_OP_COUNT:
            if ((reason = walk_length(&q, end, &v))) goto stopped;
            if (q > end) goto end_of_data;
            s->reg = v;
            break;
        case WALK_OP_LOOP:
            if (!s->reg) { pc = walk_address(code + pc + 1); continue; }
            pc += 3;
            s->body[s->depth] = pc;
            s->left[s->depth] = s->reg;
            p = walk_string_elements(code + pc, p, end, &s->left[s->depth++], &budget);
            continue;
        case WALK_OP_NEXT:
            if (--s->left[s->depth - 1]) {
                pc = s->body[s->depth - 1];
                p = walk_string_elements(code + pc, p, end, &s->left[s->depth - 1], &budget);
                continue;
            }
            s->depth--;
            break;
        case WALK_OP_CASE:
            if ((reason = walk_length(&q, end, &v))) goto stopped;
            if (q > end) goto end_of_data;
            v = walk_address(code + pc + (v < code[pc + 1] ? 4 + 2 * v : 2));
            if (!v) { reason = WALK_STOP_BAD_CASE; goto stopped; }
            p = q;
            pc = (uint32_t)v;
            continue;
        case WALK_OP_JUMP:
            pc = walk_address(code + pc + 1);
            continue;
        case WALK_OP_DB:
            if ((reason = walk_length(&q, end, &v))) goto stopped;
            if (q > end) goto end_of_data;
            s->db = (int64_t)walk_capped(v);
            break;
        case WALK_OP_EXPIRE_S:
            if ((q += 4) > end) goto end_of_data;
            s->expire = (int64_t)(int32_t)walk_little(p, 4) * 1000;
            break;
        case WALK_OP_EXPIRE_MS:
            if ((q += 8) > end) goto end_of_data;
            s->expire = (int64_t)walk_little(p, 8);
            break;
        case WALK_OP_IDLE:
            if ((reason = walk_length(&q, end, &v))) goto stopped;
            if (q > end) goto end_of_data;
            s->idle = (int64_t)walk_capped(v);
            break;
        case WALK_OP_FREQ:
            if (++q > end) goto end_of_data;
            s->freq = *p;
            break;
        case WALK_OP_MORE:
            pc = 0;
            continue;
        case WALK_OP_TEMPLATE_ID:
            if ((reason = walk_length(&q, end, &v))) goto stopped;
            if (q > end) goto end_of_data;
            s->template_id = v;
            break;
        case WALK_OP_DEFINE_TEMPLATE: {
            walk_template *t = walk_template_slot(s, s->template_id);
            if (!t) { reason = WALK_STOP_UNKNOWN_TEMPLATE; goto stopped; }
            *t = (walk_template){s->template_id, s->reg, 1};
            break;
        }
        case WALK_OP_USE_TEMPLATE: {
            if ((reason = walk_length(&q, end, &v))) goto stopped;
            if (q > end) goto end_of_data;
            walk_template *t = walk_template_slot(s, v);
            if (!t || !t->used) { reason = WALK_STOP_UNKNOWN_TEMPLATE; goto stopped; }
            s->reg = t->count;
            break;
        }
        case WALK_OP_RESP_NUMBER:
            if ((reason = walk_resp_number(&q, end, code[pc + 1], &v)) >= 0) goto stopped;
            s->reg = v;
            pc++;
            break;
        case WALK_OP_PAYLOAD:
            skip = s->reg;
            break;
        default: /* WALK_OP_EOF */
            reason = WALK_STOP_DONE;
            goto stopped;
        }
        p = q;
        pc++;
        continue;
    end_of_data:
        reason = WALK_STOP_END_OF_DATA;
        goto stopped;
    }
stopped:
    s->skip = skip;
    s->pc = pc;
    *at = (size_t)(p - buffer);
    *budget_left = budget;
    return reason;
}

#endif
