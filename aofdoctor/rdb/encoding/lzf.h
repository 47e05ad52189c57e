/* Decompress LZF, which RDB files use for single strings; able to stop and resume, never out of bounds. */
#ifndef AOFDOCTOR_LZF_H
#define AOFDOCTOR_LZF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LZF_HISTORY_SIZE 8192  /* how far back a copy can reach: 13 bits, plus one */
#define LZF_BAD SIZE_MAX

/* Run the complete instructions in in[0, size) and write the result to out[*at, room); out[0, *at) is earlier output that
 * copies may refer to.  Stops before the first instruction that is incomplete or does not fit.  Returns the number of bytes
 * read, or LZF_BAD if a copy reaches to before `out`, and moves *at.
 * `slack` is the number of bytes after both buffers that may be read, and overwritten with any bytes: copies are short, and
 * are faster in steps of 16 or 32 bytes. */
static inline size_t lzf_decompress_prefix_slack(const uint8_t *in, size_t size, uint8_t *out, size_t *at, size_t room, size_t slack) {
    size_t i = 0, o = *at;
    while (i < size) {
        size_t first = in[i], length;
        if (first < 32) {
            length = first + 1;
            if (length > size - i - 1 || length > room - o) break;
            if (32 <= size - i - 1 + slack && 32 <= room - o + slack) memcpy(out + o, in + i + 1, 32);
            else memcpy(out + o, in + i + 1, length);
            i += 1 + length;
        } else {
            size_t head = first >= 0xe0 ? 3 : 2;
            if (head > size - i) break;
            length = (head == 3 ? 7 + (size_t)in[i + 1] : first >> 5) + 2;
            size_t back = ((first & 31) << 8) + in[i + head - 1] + 1;
            if (length > room - o) break;
            if (back > o) return LZF_BAD;
            if (back >= 16 && length + 16 <= room - o + slack)
                for (size_t k = 0; k < length; k += 16) memcpy(out + o + k, out + o + k - back, 16);
            else if (back >= length) memcpy(out + o, out + o - back, length);
            else if (back == 1) memset(out + o, out[o - 1], length);
            else for (size_t k = 0; k < length; k++) out[o + k] = out[o + k - back];
            i += head;
        }
        o += length;
    }
    *at = o;
    return i;
}

/* The same without slack. */
static size_t lzf_decompress_prefix(const uint8_t *in, size_t size, uint8_t *out, size_t *at, size_t room) {
    return lzf_decompress_prefix_slack(in, size, out, at, room, 0);
}

#endif
