/* CRC-64 of RDB files (Jones, reflected, no inversion), eight bytes at a time. */
#ifndef AOFDOCTOR_CRC64_H
#define AOFDOCTOR_CRC64_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CRC64_POLY 0x95ac9329ac4bc9b5u  /* 0xad93d23594c935a9, bits reversed */

static uint64_t crc64_table[8][256];

static void crc64_init(void) {
    for (unsigned i = 0; i < 256; i++) {
        uint64_t c = i;
        for (int bit = 0; bit < 8; bit++) c = (c >> 1) ^ ((c & 1) ? CRC64_POLY : 0);
        crc64_table[0][i] = c;
    }
    for (unsigned i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            crc64_table[k][i] = crc64_table[0][crc64_table[k - 1][i] & 0xff] ^ (crc64_table[k - 1][i] >> 8);
}

static inline uint64_t crc64_byte(uint64_t crc, uint8_t byte) {
    return crc64_table[0][(crc ^ byte) & 0xff] ^ (crc >> 8);
}

static inline uint64_t crc64_little(const uint8_t *p) {
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static uint64_t crc64(uint64_t crc, const uint8_t *p, size_t size) {
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

/* The first i in [0, size) where byte i is 0xff and the eight bytes after it hold the CRC of all
 * bytes up to and with it; size if nowhere.  p has size + 8 readable bytes.  *crc goes along. */
static size_t crc64_find_end(uint64_t *crc, const uint8_t *p, size_t size) {
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
