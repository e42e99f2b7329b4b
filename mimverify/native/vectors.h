/* Vectors of REAL: included once for each precision, with SINGLE defined as 1 or 0.
 *
 * These are the compiler's own vector extensions, which GCC and Clang have for every processor. Each
 * file is compiled once for each level (compiler.py): LEVEL is its name, VECTOR_BYTES its width. */
#ifndef VECTORS_ONCE
#define VECTORS_ONCE
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define JOIN2_(a, b) a##_##b
#define JOIN2(a, b) JOIN2_(a, b)
#define JOIN3_(a, b, c) a##_##b##_##c
#define JOIN3(a, b, c) JOIN3_(a, b, c)
#define UNROLL _Pragma("GCC unroll 32")
#endif

#undef REAL
#undef INTEGER
#undef NATURAL
#undef TYPED
#undef EXPORTED
#undef COEFFICIENTS
#undef MANTISSA_BITS
#undef EXPONENT_BIAS
#if SINGLE
#define REAL float
#define INTEGER int32_t
#define NATURAL uint32_t
#define TYPED(name) JOIN2(name, f32)
#define EXPORTED(name) JOIN3(name, f32, LEVEL)
#define COEFFICIENTS(name) name##_F32
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#else
#define REAL double
#define INTEGER int64_t
#define NATURAL uint64_t
#define TYPED(name) JOIN2(name, f64)
#define EXPORTED(name) JOIN3(name, f64, LEVEL)
#define COEFFICIENTS(name) name##_F64
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#endif

#undef LANES
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

#undef V
#undef U
#undef I
#undef N
#define V TYPED(vector)
#define U TYPED(unaligned)
#define I TYPED(integers)
#define N TYPED(naturals)

typedef REAL V __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef REAL U __attribute__((vector_size(VECTOR_BYTES), may_alias, aligned(sizeof(REAL))));
typedef INTEGER I __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef NATURAL N __attribute__((vector_size(VECTOR_BYTES), may_alias));

INLINE V TYPED(load)(const REAL *p) { return *(const U *)p; }
INLINE void TYPED(store)(REAL *p, V v) { *(U *)p = v; }
INLINE V TYPED(all)(REAL x) { return x - (V){0}; }

/* `yes` where the mask is all ones, `no` where it is zero. */
INLINE V TYPED(choose)(I mask, V yes, V no) { return (V)(((I)yes & mask) | ((I)no & ~mask)); }

INLINE I TYPED(sign_bits)(void) {
    return (I)((N){0} + (NATURAL)((NATURAL)1 << (8 * sizeof(REAL) - 1)));
}
INLINE V TYPED(magnitude)(V x) { return (V)((I)x & ~TYPED(sign_bits)()); }
INLINE V TYPED(with_sign_of)(V size, V x) {
    return (V)(((I)size & ~TYPED(sign_bits)()) | ((I)x & TYPED(sign_bits)()));
}

/* The square root, which the extensions lack: of the widths that x86 has, or lane by lane. */
INLINE V TYPED(root)(V x) {
#if defined(__AVX512F__) && SINGLE
    return (V)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX512F__)
    return (V)_mm512_sqrt_pd((__m512d)x);
#elif defined(__AVX__) && SINGLE
    return (V)_mm256_sqrt_ps((__m256)x);
#elif defined(__AVX__)
    return (V)_mm256_sqrt_pd((__m256d)x);
#elif defined(__SSE2__) && SINGLE
    return (V)_mm_sqrt_ps((__m128)x);
#elif defined(__SSE2__)
    return (V)_mm_sqrt_pd((__m128d)x);
#else
    V r;
    for (int i = 0; i < LANES; i++) r[i] = SINGLE ? __builtin_sqrtf(x[i]) : __builtin_sqrt(x[i]);
    return r;
#endif
}

/* The sum of the lanes, halves first. */
typedef REAL TYPED(short_vector) __attribute__((vector_size(16), may_alias));
#if VECTOR_BYTES >= 32
typedef REAL TYPED(middle_vector) __attribute__((vector_size(32), may_alias));
#endif
INLINE REAL TYPED(sum_of)(V x) {
    TYPED(short_vector) part[VECTOR_BYTES / 16];
#if VECTOR_BYTES == 64
    TYPED(middle_vector) half[2];
    memcpy(half, &x, sizeof x);
    half[0] += half[1];
    memcpy(part, half, sizeof half[0]);
#else
    memcpy(part, &x, sizeof x);
#endif
#if VECTOR_BYTES >= 32
    part[0] += part[1];
#endif
#if SINGLE
    return (part[0][0] + part[0][2]) + (part[0][1] + part[0][3]);
#else
    return part[0][0] + part[0][1];
#endif
}
