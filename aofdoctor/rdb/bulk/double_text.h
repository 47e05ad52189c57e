/* Format doubles as the shortest text that parses to the same double, and parse such text.
 *
 * The text is that of Python's repr without a trailing ".0".  Both directions need only multiplications by powers of
 * ten, a table that powers_of_ten.py computes.  Rare texts that this code cannot decide are left to its caller.
 * Source: R. Giulietti, The Schubfach way to render doubles (2020).
 */
#ifndef AOFDOCTOR_DOUBLE_TEXT_H
#define AOFDOCTOR_DOUBLE_TEXT_H

#include <stdint.h>
#include <string.h>

#define DOUBLE_EXPONENT_MIN (-292)   /* the exponents of the first and the last power in the table */
#define DOUBLE_EXPONENT_MAX 324
#define DOUBLE_TEXT_MAX 32        /* bytes of the longest text */

/* The leading 128 bits of 10^k, rounded up, the first bit set; [0] is the upper half. */
typedef uint64_t double_power[2];
typedef unsigned __int128 double_wide;

/* The number of decimal digits of a number. */
static inline unsigned double_digit_count(uint64_t value) {
    unsigned n = 1;
    for (; value >= 10000; value /= 10000) n += 4;
    return n + (value >= 10) + (value >= 100) + (value >= 1000);
}

static inline void double_put_digits(char *text, uint64_t value, unsigned digits) {
    static const char pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354"
        "555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    for (; digits > 2; value /= 100) memcpy(text + (digits -= 2), pairs + 2 * (value % 100), 2);
    if (digits == 2) memcpy(text, pairs + 2 * value, 2);
    else *text = (char)('0' + value);
}

static inline int double_log10_of_2(int q, int three_quarters) {  /* floor(log10(2^q)), or of 3/4 of 2^q */
    return (int)(((int64_t)q * 315653 - (three_quarters ? 131072 : 0)) >> 20);
}

static inline int double_log2_of_10(int k) { return (int)(((int64_t)k * 1741647) >> 19); }

/* The upper 64 bits of g times c; the last bit is set if the product is not exact. */
static inline uint64_t double_times(const double_power g, uint64_t c) {
    double_wide low = (double_wide)g[1] * c, high = (double_wide)g[0] * c + (uint64_t)(low >> 64);
    return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* The shortest digits that distinguish a positive finite double from its neighbours; *exponent belongs to the last digit. */
static uint64_t double_digits(const double_power *powers, uint64_t bits, int *exponent) {
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    int biased = (int)(bits >> 52), q = biased ? biased - 1075 : -1074;
    uint64_t c = biased ? fraction | (uint64_t)1 << 52 : fraction, odd = c & 1;
    int narrow = !fraction && biased > 1;  /* the next lower double is nearer than the next higher one */
    int k = double_log10_of_2(q, narrow), h = q + double_log2_of_10(-k) + 1;
    const uint64_t *g = powers[-k - DOUBLE_EXPONENT_MIN];
    uint64_t lower = double_times(g, (4 * c - 2 + (uint64_t)narrow) << h) + odd;
    uint64_t here = double_times(g, (4 * c) << h);
    uint64_t upper = double_times(g, (4 * c + 2) << h) - odd;
    uint64_t s = here / 4;
    *exponent = k;
    if (s >= 10) {
        uint64_t tens = s / 10;
        int below = lower <= 40 * tens, above = 40 * tens + 40 <= upper;
        if (below != above) {
            *exponent = k + 1;
            return tens + (uint64_t)above;
        }
    }
    int below = lower <= 4 * s, above = 4 * s + 4 <= upper;
    if (below != above) return s + (uint64_t)above;
    uint64_t middle = 4 * s + 2;
    return s + (uint64_t)(here > middle || (here == middle && (s & 1)));
}

/* Write digits with the decimal point at position `point`, in the format of Python's repr; return the size of the text. */
static unsigned double_place_point(char *text, const char *digits, unsigned n, int point) {
    char *at = text;
    if (point <= -4 || point > 16) {
        *at++ = digits[0];
        if (n > 1) *at++ = '.', memcpy(at, digits + 1, n - 1), at += n - 1;
        int e = point - 1;
        *at++ = 'e', *at++ = e < 0 ? '-' : '+';
        e = e < 0 ? -e : e;
        if (e < 10) *at++ = '0';
        unsigned more = double_digit_count((uint64_t)e);
        return double_put_digits(at, (uint64_t)e, more), (unsigned)(at - text) + more;
    }
    if (point <= 0) {
        memcpy(at, "0.000", 5);
        at += 2 - point;
        memcpy(at, digits, n);
        return (unsigned)(at - text) + n;
    }
    unsigned integer_digits = (unsigned)point;
    if (n <= integer_digits) {
        memcpy(at, digits, n);
        memset(at + n, '0', integer_digits - n);
        return integer_digits;
    }
    memcpy(at, digits, integer_digits);
    at[integer_digits] = '.';
    memcpy(at + integer_digits + 1, digits + integer_digits, n - integer_digits);
    return n + 1;
}

/* Write a double to text[DOUBLE_TEXT_MAX]; return the size of the text, or 0 for NaN. */
static unsigned double_format(const double_power *powers, double value, char *text) {
    uint64_t bits, digits;
    char digit_text[20];
    char *at = text;
    int exponent;
    memcpy(&bits, &value, 8);
    if (value != value) return 0;
    if (bits >> 63) *at++ = '-', bits &= ~((uint64_t)1 << 63);
    if (!bits) return *at++ = '0', (unsigned)(at - text);
    if (bits >> 52 == 0x7ff) return memcpy(at, "inf", 3), (unsigned)(at - text) + 3;
    digits = double_digits(powers, bits, &exponent);
    unsigned n = double_digit_count(digits), all_digits = n;
    double_put_digits(digit_text, digits, n);
    while (n > 1 && digit_text[n - 1] == '0') n--;
    return (unsigned)(at - text) + double_place_point(at, digit_text, n, (int)all_digits + exponent);
}

/* Set *value to digits times 10^exponent; return 0 if 128 bits do not decide it, or if it is not a normal number. */
static int double_scaled(const double_power *powers, uint64_t digits, int exponent, double *value) {
    if (!digits || exponent < DOUBLE_EXPONENT_MIN || exponent > DOUBLE_EXPONENT_MAX) return 0;
    int shift = __builtin_clzll(digits);
    const uint64_t *g = powers[exponent - DOUBLE_EXPONENT_MIN];
    uint64_t w = digits << shift;
    double_wide product = (double_wide)g[0] * w + (uint64_t)(((double_wide)g[1] * w) >> 64);
    int high = (int)(product >> 127), drop = 74 + high;
    uint64_t m = (uint64_t)(product >> drop);
    double_wide rest = product & (((double_wide)1 << drop) - 1), half = (double_wide)1 << (drop - 1);
    if (rest + 1 >= half && rest <= half + 1) return 0;  /* the product may be one too large, so this is too close to a half to decide */
    m += rest > half;
    int biased = double_log2_of_10(exponent) - shift + 63 + high + 1023;
    if (m >> 53) m >>= 1, biased++;
    if (biased < 1 || biased > 2046) return 0;
    uint64_t bits = (m & (((uint64_t)1 << 52) - 1)) | (uint64_t)biased << 52;
    memcpy(value, &bits, 8);
    return 1;
}

/* Parse digits with an optional point and exponent, or "inf"; return 0 if the text is malformed or undecided here. */
static int double_parse(const double_power *powers, const uint8_t *text, size_t size, double *value) {
    const uint8_t *at = text, *end = text + size;
    int minus = at < end && *at == '-', scale = 0, digit_count = 0, significant = 0;
    uint64_t digits = 0;
    at += minus;
    if (end - at == 3 && !memcmp(at, "inf", 3)) return *value = minus ? -__builtin_inf() : __builtin_inf(), 1;
    for (int point = 0; at < end && (*at == '.' || (*at >= '0' && *at <= '9')); at++) {
        if (*at == '.') {
            if (point++) return 0;
            continue;
        }
        digit_count = 1;
        significant += significant || *at != '0';
        if (significant > 19) return 0;
        digits = digits * 10 + (uint64_t)(*at - '0');
        if (point && --scale < -400) return 0;
    }
    if (!digit_count) return 0;
    if (at < end) {
        if (*at++ != 'e' || at == end) return 0;
        int negative = *at == '-', e = 0;
        at += *at == '-' || *at == '+';
        if (at == end || end - at > 3) return 0;
        for (; at < end; at++) {
            if (*at < '0' || *at > '9') return 0;
            e = e * 10 + (*at - '0');
        }
        scale += negative ? -e : e;
    }
    if (!digits) *value = 0;
    else if (!double_scaled(powers, digits, scale, value)) return 0;
    if (minus) *value = -*value;
    return 1;
}

#endif
