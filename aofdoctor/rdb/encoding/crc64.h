/* CRC-64 of RDB files (the Jones polynomial, reflected, without inversion).
 *
 * Eight bytes at a time by tables ("slicing by 8"); 64 bytes at a time on processors with carry-less multiplication. */
#ifndef AOFDOCTOR_CRC64_H
#define AOFDOCTOR_CRC64_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define CRC64_CLMUL 1
#include <immintrin.h>
#endif

#define CRC64_POLY 0x95ac9329ac4bc9b5u  /* 0xad93d23594c935a9 with its bits reversed */

static uint64_t crc64_table[8][256];
static uint64_t crc64_fold_512[2], crc64_fold_128[2];   /* factors that move 128 bits by 512 and by 128 bits */
static int crc64_has_clmul;                         /* 1 if the processor has carry-less multiplication */

/* x^n modulo the polynomial, with reflected bits. */
static uint64_t crc64_power(unsigned n) {
    uint64_t c = (uint64_t)1 << 63;
    while (n--) c = (c >> 1) ^ ((c & 1) ? CRC64_POLY : 0);
    return c;
}

static void crc64_init(void) {
    for (unsigned i = 0; i < 256; i++) {
        uint64_t c = i;
        for (int bit = 0; bit < 8; bit++) c = (c >> 1) ^ ((c & 1) ? CRC64_POLY : 0);
        crc64_table[0][i] = c;
    }
    for (unsigned i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            crc64_table[k][i] = crc64_table[0][crc64_table[k - 1][i] & 0xff] ^ (crc64_table[k - 1][i] >> 8);
    /* The product of two reflected numbers is shifted by one bit, hence the - 1. */
    crc64_fold_512[0] = crc64_power(512 + 64 - 1);
    crc64_fold_512[1] = crc64_power(512 - 1);
    crc64_fold_128[0] = crc64_power(128 + 64 - 1);
    crc64_fold_128[1] = crc64_power(128 - 1);
#ifdef CRC64_CLMUL
    __builtin_cpu_init();
    crc64_has_clmul = __builtin_cpu_supports("pclmul") != 0;
#endif
}

static inline uint64_t crc64_byte(uint64_t crc, uint8_t byte) {
    return crc64_table[0][(crc ^ byte) & 0xff] ^ (crc >> 8);
}

static inline uint64_t crc64_little(const uint8_t *p) {
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static uint64_t crc64_portable(uint64_t crc, const uint8_t *p, size_t size) {
    for (; size >= 8; p += 8, size -= 8) {
        crc ^= crc64_little(p);
        crc = crc64_table[7][crc & 0xff] ^ crc64_table[6][(crc >> 8) & 0xff] ^
              crc64_table[5][(crc >> 16) & 0xff] ^ crc64_table[4][(crc >> 24) & 0xff] ^
              crc64_table[3][(crc >> 32) & 0xff] ^ crc64_table[2][(crc >> 40) & 0xff] ^
              crc64_table[1][(crc >> 48) & 0xff] ^ crc64_table[0][crc >> 56];
    }
    while (size--) crc = crc64_byte(crc, *p++);
    return crc;
}

#ifdef CRC64_CLMUL
__attribute__((target("pclmul,sse2"))) static inline __m128i crc64_fold(__m128i x, __m128i by) {
    return _mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00), _mm_clmulepi64_si128(x, by, 0x11));
}

/* Fold four lanes of 16 bytes over the data, 64 bytes at a time; at the end they have the CRC of all the data. */
__attribute__((target("pclmul,sse2"))) static uint64_t crc64_clmul(uint64_t crc, const uint8_t *p, size_t size) {
    const __m128i far = _mm_set_epi64x((long long)crc64_fold_512[1], (long long)crc64_fold_512[0]);
    const __m128i near = _mm_set_epi64x((long long)crc64_fold_128[1], (long long)crc64_fold_128[0]);
    __m128i x[4];
    uint8_t rest[16];
    for (int i = 0; i < 4; i++) x[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
    x[0] = _mm_xor_si128(x[0], _mm_set_epi64x(0, (long long)crc));
    for (p += 64, size -= 64; size >= 64; p += 64, size -= 64)
        for (int i = 0; i < 4; i++)
            x[i] = _mm_xor_si128(crc64_fold(x[i], far), _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i)));
    for (int i = 1; i < 4; i++) x[i] = _mm_xor_si128(crc64_fold(x[i - 1], near), x[i]);
    _mm_storeu_si128((__m128i *)(void *)rest, x[3]);
    return crc64_portable(crc64_portable(0, rest, 16), p, size);
}
#endif

static uint64_t crc64(uint64_t crc, const uint8_t *p, size_t size) {
#ifdef CRC64_CLMUL
    if (crc64_has_clmul && size >= 128) return crc64_clmul(crc, p, size);
#endif
    return crc64_portable(crc, p, size);
}

/* Return the first i in [0, size) where byte i is 0xff and the eight bytes after it are the CRC of all bytes up to and
 * including it; `size` if there is none.  p has size + 8 readable bytes.  *crc is updated with the bytes that were read. */
static size_t crc64_find_end_by_crc(uint64_t *crc, const uint8_t *p, size_t size) {
    uint64_t c = *crc;
    size_t i = 0;
    for (; i < size; i++) {
        c = crc64_byte(c, p[i]);
        if (p[i] == 0xff && crc64_little(p + i + 1) == c) break;
    }
    *crc = c;
    return i;
}

#endif
