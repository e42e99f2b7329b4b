/* Vectors of REAL: included once for each precision, with SINGLE defined as 1 or 0.
 *
 * These are the compiler's own vector extensions, which GCC and Clang have for every processor. Each
 * file is compiled once for each level (compiler.py): LEVEL is its name, VECTOR_BYTES its width. */
#ifndef VECTORS_ONCE
#define VECTORS_ONCE
#include <stdint.h>
#include <string.h>

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

INLINE V TYPED(root)(V x) {
    V r;
    UNROLL for (int i = 0; i < LANES; i++)
#if SINGLE
        r[i] = __builtin_sqrtf(x[i]);
#else
        r[i] = __builtin_sqrt(x[i]);
#endif
    return r;
}

/* The sum of the lanes, halves first. */
INLINE REAL TYPED(sum_of)(V x) {
    UNROLL for (int width = LANES / 2; width > 0; width /= 2) {
#if defined(__clang__)
        V other;
        for (int i = 0; i < LANES; i++) other[i] = x[(i + width) % LANES];
#else
        I from;
        UNROLL for (int i = 0; i < LANES; i++) from[i] = (i + width) % LANES;
        V other = __builtin_shuffle(x, from);
#endif
        x += other;
    }
    return x[0];
}
