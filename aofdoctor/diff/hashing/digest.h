/* Compute digests of records: equal for commands with equal arguments, however they are spelled.
 *
 * The hash is SipHash-1-3 (Aumasson and Bernstein, 2012) over words of eight bytes: for each argument its length, then
 * its bytes, the last word padded with zeros.  Each run uses a new random key, so that nobody can prepare two commands
 * with the same digest.
 */
#ifndef AOFDOCTOR_DIGEST_H
#define AOFDOCTOR_DIGEST_H

#include "../../aof/scan.h"

typedef struct { uint64_t v[4]; } digest_state;

static inline uint64_t digest_rotate_left(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

static inline void digest_round(digest_state *s) {
    uint64_t a = s->v[0], b = s->v[1], c = s->v[2], d = s->v[3];
    a += b; b = digest_rotate_left(b, 13) ^ a; a = digest_rotate_left(a, 32);
    c += d; d = digest_rotate_left(d, 16) ^ c;
    a += d; d = digest_rotate_left(d, 21) ^ a;
    c += b; b = digest_rotate_left(b, 17) ^ c; c = digest_rotate_left(c, 32);
    s->v[0] = a; s->v[1] = b; s->v[2] = c; s->v[3] = d;
}

static inline void digest_begin(digest_state *s, const uint64_t key[2]) {
    s->v[0] = key[0] ^ 0x736f6d6570736575u;
    s->v[1] = key[1] ^ 0x646f72616e646f6du;
    s->v[2] = key[0] ^ 0x6c7967656e657261u;
    s->v[3] = key[1] ^ 0x7465646279746573u;
}

static inline void digest_word(digest_state *s, uint64_t word) {
    s->v[3] ^= word;
    digest_round(s);
    s->v[0] ^= word;
}

static inline uint64_t digest_end(digest_state *s) {
    s->v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) digest_round(s);
    return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

/* Add `size` bytes; with `lower`, A..Z as a..z.  No byte after them is read. */
static inline void digest_bytes(digest_state *s, const uint8_t *p, size_t size, int lower) {
    for (; size >= 8; p += 8, size -= 8) digest_word(s, lower ? scan_lower(scan_load8(p)) : scan_load8(p));
    if (size) {
        uint8_t last[8] = {0};
        memcpy(last, p, size);
        digest_word(s, lower ? scan_lower(scan_load8(last)) : scan_load8(last));
    }
}

/* Compute the digest of each of `count` complete records, 0 for annotations.  The first names[id] arguments are names, which
 * are compared in lower case; with `exact` the bytes of the record are hashed as they are. */
static void digest_records(const uint64_t key[2], const uint8_t *data, const int64_t *edges, const uint16_t *ids,
                           size_t count, const uint8_t *names, size_t known, int exact, uint64_t *out) {
    for (size_t i = 0; i < count; i++) {
        const uint8_t *p = data + edges[i], *end = data + edges[i + 1], *payload;
        digest_state s;
        int64_t argc, size;
        out[i] = 0;
        if (ids[i] == SCAN_ANNOTATION) continue;
        digest_begin(&s, key);
        if (exact) {
            digest_word(&s, (uint64_t)(end - p));
            digest_bytes(&s, p, (size_t)(end - p), 0);
        } else if ((p = scan_header(p, '*', &argc))) {
            int64_t lower = ids[i] < known ? names[ids[i]] : 1;
            for (int64_t n = 0; n < argc && (payload = scan_argument(&p, end, &size)); n++) {
                digest_word(&s, (uint64_t)size);
                digest_bytes(&s, payload, (size_t)size, n < lower);
            }
        }
        out[i] = digest_end(&s);
    }
}

/* Compute the digest of the second argument of each record, which is the key of most commands; 0 if there is none. */
static void digest_keys(const uint64_t key[2], const uint8_t *data, const int64_t *edges, const uint32_t *argc,
                        size_t count, uint64_t *out) {
    for (size_t i = 0; i < count; i++) {
        const uint8_t *p = data + edges[i], *end = data + edges[i + 1], *payload;
        int64_t number, size;
        out[i] = 0;
        if (argc[i] < 2 || !(p = scan_header(p, '*', &number))) continue;
        if (!scan_argument(&p, end, &size) || !(payload = scan_argument(&p, end, &size))) continue;
        digest_state s;
        digest_begin(&s, key);
        digest_word(&s, (uint64_t)size);
        digest_bytes(&s, payload, (size_t)size, 0);
        out[i] = digest_end(&s);
    }
}

/* Return how many of the first `size` bytes of a and b are equal. */
static size_t digest_common_prefix(const uint8_t *a, const uint8_t *b, size_t size) {
    size_t at = 0, step = 1 << 14;
    while (step && at < size) {
        size_t n = size - at < step ? size - at : step;
        if (memcmp(a + at, b + at, n)) step = n / 2;
        else at += n;
    }
    return at;
}

#endif
