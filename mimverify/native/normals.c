/* Standard normals by counter: Philox4x32-10 and a ziggurat, for the level that this file is
 * compiled for.
 *
 * Definition and sources: mimverify/problems/normal_stream.py, whose NumPy code gives the same bits.
 * So no multiplication and addition may be contracted: compiled with -ffp-contract=off. */
#if defined(__FAST_MATH__) || (defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0)
#error "arithmetic of float64 in its own precision and order is needed"
#endif
#include <stdint.h>
#include <string.h>

#include "interface.h"

#define INLINE static inline __attribute__((always_inline))
#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define EXPORTED(name) JOIN(name, LEVEL)
#define UNROLL _Pragma("GCC unroll 16")

#if defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define LANES ((int)(VECTOR_BYTES / 8))
typedef uint64_t words __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef int64_t masks __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef double reals __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef words unaligned_words __attribute__((aligned(8)));
typedef reals unaligned_reals __attribute__((aligned(8)));

enum { LAYERS = 1024, ROUNDS = 10 }; /* of ziggurat.py and of Philox */
#define LOW UINT64_C(0xffffffff)
#define MULTIPLIER_0 UINT64_C(0xD2511F53)
#define MULTIPLIER_1 UINT64_C(0xCD9E8D57)
#define WEYL_0 UINT32_C(0x9E3779B9)
#define WEYL_1 UINT32_C(0xBB67AE85)
#define MAGNITUDE ((UINT64_C(1) << 52) - 1)
#define TWO_52 4503599627370496.0

INLINE words all(uint64_t x) { return x - (words){0}; }

/* The products of the lanes' lower halves; what the upper halves hold does not matter. */
INLINE words product(words a, words b) {
#if VECTOR_BYTES == 64 && defined(__AVX512F__)
    return (words)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif VECTOR_BYTES == 32 && defined(__AVX2__)
    return (words)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif VECTOR_BYTES == 16 && defined(__SSE2__)
    return (words)_mm_mul_epu32((__m128i)a, (__m128i)b);
#elif VECTOR_BYTES == 16 && defined(__aarch64__)
    return (words)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#else
    return (a & LOW) * (b & LOW);
#endif
}

/* Bit i is set where lane i of a comparison holds. */
INLINE unsigned bits_of(masks mask) {
#if VECTOR_BYTES == 64 && defined(__AVX512F__)
    return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask);
#elif VECTOR_BYTES == 32 && defined(__AVX2__)
    return (unsigned)_mm256_movemask_pd((__m256d)mask);
#elif VECTOR_BYTES == 16 && defined(__SSE2__)
    return (unsigned)_mm_movemask_pd((__m128d)mask);
#else
    unsigned bits = 0;
    UNROLL for (int i = 0; i < LANES; i++) bits |= (unsigned)(mask[i] & 1) << i;
    return bits;
#endif
}

INLINE reals look_up_real(const double *table, words at) {
#if VECTOR_BYTES == 64 && defined(__AVX512F__)
    return (reals)_mm512_i64gather_pd((__m512i)at, table, 8);
#elif VECTOR_BYTES == 32 && defined(__AVX2__)
    return (reals)_mm256_i64gather_pd(table, (__m256i)at, 8);
#else
    reals found;
    UNROLL for (int i = 0; i < LANES; i++) found[i] = table[at[i]];
    return found;
#endif
}

INLINE words look_up_word(const uint64_t *table, words at) {
#if VECTOR_BYTES == 64 && defined(__AVX512F__)
    return (words)_mm512_i64gather_epi64((__m512i)at, table, 8);
#elif VECTOR_BYTES == 32 && defined(__AVX2__)
    return (words)_mm256_i64gather_epi64((const long long *)table, (__m256i)at, 8);
#else
    words found;
    UNROLL for (int i = 0; i < LANES; i++) found[i] = table[at[i]];
    return found;
#endif
}

/* a0 b0 a1 b1 ... into two vectors. */
INLINE void interleave(words a, words b, words *first, words *second) {
#if defined(__clang__)
    words low, high;
    UNROLL for (int i = 0; i < LANES; i++) {
        low[i] = i % 2 ? b[i / 2] : a[i / 2];
        high[i] = i % 2 ? b[(LANES + i) / 2] : a[(LANES + i) / 2];
    }
    *first = low;
    *second = high;
#else
    words low, high;
    UNROLL for (int i = 0; i < LANES; i++) {
        low[i] = (uint64_t)(i / 2 + i % 2 * LANES);
        high[i] = (uint64_t)((LANES + i) / 2 + i % 2 * LANES);
    }
    *first = __builtin_shuffle(a, b, low);
    *second = __builtin_shuffle(a, b, high);
#endif
}

/* -- the generator ---------------------------------------------------------------------------- */

/* Philox4x32-10 of one counter. */
static void philox(const uint32_t counter[4], uint32_t key_0, uint32_t key_1, uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t p0 = MULTIPLIER_0 * c0, p1 = MULTIPLIER_1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ key_0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ key_1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        key_0 += WEYL_0;
        key_1 += WEYL_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The counter of a pair of entries of a block, numbers of 40, 56 and 32 bits; `attempt` is 0 for
 * the pair itself. */
INLINE void counter_of(uint64_t pair, uint64_t block, uint32_t attempt, uint32_t counter[4]) {
    counter[0] = (uint32_t)pair;
    counter[1] = (uint32_t)(pair >> 32) | (uint32_t)block << 8;
    counter[2] = (uint32_t)(block >> 24);
    counter[3] = attempt;
}

#define AT_ONCE 4 /* vectors of counters: enough to hide the multiplications' latency */
#define PAIRS 256 /* of one chunk: a multiple of AT_ONCE * LANES */

/* The two words of each of `pairs` counters, rounded up to AT_ONCE * LANES. */
INLINE void draw_words(
    uint64_t first, int pairs, uint64_t block, uint32_t key_0, uint32_t key_1, uint64_t *out
) {
    words lane;
    UNROLL for (int i = 0; i < LANES; i++) lane[i] = (uint64_t)i;
    for (int at = 0; at < pairs; at += AT_ONCE * LANES) {
        words c0[AT_ONCE], c1[AT_ONCE], c2[AT_ONCE], c3[AT_ONCE];
        UNROLL for (int u = 0; u < AT_ONCE; u++) {
            c0[u] = all(first + (uint64_t)(at + u * LANES)) + lane;
            c1[u] = (c0[u] >> 32) | all(block << 8 & LOW);
            c2[u] = all(block >> 24);
            c3[u] = all(0);
        }
        uint32_t k0 = key_0, k1 = key_1;
        UNROLL for (int round = 0; round < ROUNDS; round++) {
            UNROLL for (int u = 0; u < AT_ONCE; u++) {
                words p0 = product(c0[u], all(MULTIPLIER_0));
                words p1 = product(c2[u], all(MULTIPLIER_1));
                c0[u] = (p1 >> 32) ^ c1[u] ^ all(k0);
                c2[u] = (p0 >> 32) ^ c3[u] ^ all(k1);
                c1[u] = p1;
                c3[u] = p0;
            }
            k0 += WEYL_0;
            k1 += WEYL_1;
        }
        UNROLL for (int u = 0; u < AT_ONCE; u++) {
            words low = (c0[u] & LOW) | c1[u] << 32, high = (c2[u] & LOW) | c3[u] << 32;
            words *to = (words *)(out + 2 * (at + u * LANES));
            interleave(low, high, to, to + 1);
        }
    }
}

/* -- the ziggurat ----------------------------------------------------------------------------- */

/* In (0, 1], a multiple of 2^-53. */
INLINE double unit(uint64_t word) { return (double)((word >> 11) + 1) * 0x1p-53; }

/* e^t for -700 < t <= 0. */
static double exponential(double t) {
    double shifted = t * 1.4426950408889634 + 0.5, n = (double)(int64_t)shifted;
    n -= n > shifted; /* rounded down */
    double r = t - n * 0x1.62e42fee00000p-1 - n * 0x1.a39ef35793c76p-33;
    double sum = 1.0 / 6227020800.0;
    static const double factorials[] = {
        479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0, 720.0, 120.0, 24.0, 6.0,
        2.0, 1.0, 1.0
    };
    for (int k = 0; k < 13; k++) sum = sum * r + 1.0 / factorials[k];
    uint64_t power = (uint64_t)((int64_t)n + 1023) << 52;
    double scale;
    memcpy(&scale, &power, 8);
    return sum * scale;
}

/* log u for 2^-53 <= u <= 1. */
static double logarithm(double u) {
    uint64_t bits;
    memcpy(&bits, &u, 8);
    double exponent = (double)((int64_t)(bits >> 52) - 1022);
    bits = (bits & MAGNITUDE) | UINT64_C(0x3FE0000000000000);
    double mantissa;
    memcpy(&mantissa, &bits, 8);
    if (mantissa < 0x1.6a09e667f3bcdp-1) {
        mantissa *= 2.0;
        exponent -= 1.0;
    }
    double s = (mantissa - 1.0) / (mantissa + 1.0), square = s * s;
    double sum = 1.0 / 25.0;
    for (double odd = 23.0; odd > 0; odd -= 2.0) sum = sum * square + 1.0 / odd;
    return exponent * 0x1.62e42fefa39efp-1 + 2.0 * s * sum;
}

INLINE double signed_as(double size, uint64_t word) { return word >> 63 ? -size : size; }

/* The normal of an entry whose first word left the part of its layer that is under the curve. */
static double resolve(
    const struct mimverify_ziggurat *ziggurat, uint64_t entry, uint64_t block, uint32_t key_0,
    uint32_t key_1, uint64_t word
) {
    for (uint32_t attempt = 2 + (uint32_t)(entry & 1);; attempt += 2) {
        uint64_t layer = word & (LAYERS - 1), magnitude = word >> 11 & MAGNITUDE;
        double x = (double)magnitude * ziggurat->scale[layer];
        if (magnitude < ziggurat->inside[layer]) return signed_as(x, word);
        uint32_t counter[4], drawn[4];
        counter_of(entry >> 1, block, attempt, counter);
        philox(counter, key_0, key_1, drawn);
        uint64_t first = drawn[0] | (uint64_t)drawn[1] << 32;
        uint64_t second = drawn[2] | (uint64_t)drawn[3] << 32;
        if (layer == 0) {
            double beyond = -logarithm(unit(first)) / ziggurat->tail;
            if (unit(second) <= exponential(-0.5 * (beyond * beyond)))
                return signed_as(ziggurat->tail + beyond, word);
        } else {
            double low = ziggurat->height[layer], high = ziggurat->height[layer + 1];
            if (low + unit(first) * (high - low) <= exponential(-0.5 * (x * x)))
                return signed_as(x, word);
            word = second;
        }
    }
}

/* `count` entries of a block from entry `first` on, as float64. */
INLINE void fill(
    const struct mimverify_ziggurat *ziggurat, uint32_t key_0, uint32_t key_1, uint64_t block,
    uint64_t first, uint64_t count, double *wide, float *narrow
) {
    uint64_t drawn[2 * PAIRS] __attribute__((aligned(64)));
    double chunk[2 * PAIRS] __attribute__((aligned(64)));
    uint16_t outside[2 * PAIRS];
    while (count) {
        int skip = (int)(first & 1);
        int taken = count < (uint64_t)(2 * PAIRS - skip) ? (int)count : 2 * PAIRS - skip;
        uint64_t pair = first >> 1;
        int entries = skip + taken, found = 0;
        draw_words(pair, (entries + 1) / 2, block, key_0, key_1, drawn);
        for (int at = 0; at < entries; at += LANES) {
            words word = *(words *)(drawn + at);
            words layer = word & (LAYERS - 1), magnitude = word >> 11 & MAGNITUDE;
            reals size = (reals)(magnitude | UINT64_C(0x4330000000000000)) - TWO_52;
            size *= look_up_real(ziggurat->scale, layer);
            *(reals *)(chunk + at) = (reals)((words)size | (word & UINT64_C(1) << 63));
            masks is_outside = (masks)magnitude >= (masks)look_up_word(ziggurat->inside, layer);
            unsigned bits = bits_of(is_outside);
            while (__builtin_expect(bits != 0, 0)) {
                outside[found++] = (uint16_t)(at + __builtin_ctz(bits));
                bits &= bits - 1;
            }
        }
        for (int k = 0; k < found; k++) {
            int at = outside[k];
            chunk[at] = resolve(ziggurat, 2 * pair + (uint64_t)at, block, key_0, key_1, drawn[at]);
        }
        if (wide) {
            memcpy(wide, chunk + skip, sizeof(double) * (size_t)taken);
            wide += taken;
        } else {
            for (int i = 0; i < taken; i++) narrow[i] = (float)chunk[skip + i];
            narrow += taken;
        }
        first += (uint64_t)taken;
        count -= (uint64_t)taken;
    }
}

void EXPORTED(mimverify_normals_f64)(
    const struct mimverify_ziggurat *ziggurat, uint32_t key_0, uint32_t key_1, uint64_t block,
    uint64_t first, uint64_t count, double *out
) {
    fill(ziggurat, key_0, key_1, block, first, count, out, 0);
}

void EXPORTED(mimverify_normals_f32)(
    const struct mimverify_ziggurat *ziggurat, uint32_t key_0, uint32_t key_1, uint64_t block,
    uint64_t first, uint64_t count, float *out
) {
    fill(ziggurat, key_0, key_1, block, first, count, 0, out);
}
