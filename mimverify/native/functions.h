/* Elementary functions of vectors: included once for each precision, after vectors.h.
 *
 * Without branches, so that every lane takes the same operations; infinities and NaN pass through
 * as in the formulas' own limits. Results below the smallest normal number may be zero. */

INLINE V TYPED(horner)(const REAL *c, int degree, V x) {
    V p = TYPED(all)(c[degree]);
    UNROLL for (int k = degree - 1; k >= 0; k--) p = p * x + c[k];
    return p;
}
#undef POLYNOMIAL
#define POLYNOMIAL(name, x) \
    TYPED(horner)(COEFFICIENTS(name), (int)(sizeof COEFFICIENTS(name) / sizeof(REAL)) - 1, x)

/* Arguments of 2^n: from here on e^x overflows, or is below the smallest normal number. */
#undef EXP_MOST
#undef EXP_LEAST
#undef LN2_HIGH
#undef LN2_LOW
#undef ROUNDING
#undef ERFC_CENTRE
#undef ERFC_MOST
#if SINGLE
#define EXP_MOST 88.7228394f
#define EXP_LEAST -87.3365402f
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define ROUNDING 12582912.0f /* 1.5 * 2^23: added, the sum is rounded to an integer */
#define ERFC_CENTRE 3.0f
#define ERFC_MOST 10.1f
#else
#define EXP_MOST 709.78271289338397
#define EXP_LEAST -708.39641853226408
#define LN2_HIGH 6.93147180369123816490e-01
#define LN2_LOW 1.90821492927058770002e-10
#define ROUNDING 6755399441055744.0
#define ERFC_CENTRE 4.0
#define ERFC_MOST 27.3
#endif

/* x = n log 2 + r with |r| <= log(2)/2: r, and n as the low bits of `shifted`. */
INLINE V TYPED(reduce)(V x, V *shifted) {
    *shifted = x * (REAL)1.4426950408889634074 + ROUNDING;
    V n = *shifted - ROUNDING;
    return (x - n * LN2_HIGH) - n * LN2_LOW;
}

/* 2^n for n within the exponents of normal numbers. */
INLINE V TYPED(power_of_two)(I n) { return (V)(((N)n + EXPONENT_BIAS) << MANTISSA_BITS); }

/* Modulo 2^32 or 2^64, whatever the bits of a NaN are. */
INLINE I TYPED(integer_of)(V shifted) { return (I)((N)shifted - (N)TYPED(all)(ROUNDING)); }

INLINE V TYPED(expm1_of_rest)(V r) { return r + r * r * POLYNOMIAL(EXPM1_TAIL, r); }

/* e^x; 0 below EXP_LEAST. Within 2 units in the last place. */
INLINE V TYPED(exponential)(V x) {
    V shifted;
    V within = TYPED(choose)(x > EXP_MOST, TYPED(all)(EXP_MOST), x);
    within = TYPED(choose)(within < EXP_LEAST, TYPED(all)(EXP_LEAST), within);
    V p = 1 + TYPED(expm1_of_rest)(TYPED(reduce)(within, &shifted));
    I n = TYPED(integer_of)(shifted), half = n >> 1; /* 2^n itself may not be a number */
    V result = p * TYPED(power_of_two)(half) * TYPED(power_of_two)((I)((N)n - (N)half));
    result = TYPED(choose)(x > EXP_MOST, TYPED(all)((REAL)__builtin_inf()), result);
    return TYPED(choose)(x < EXP_LEAST, (V){0}, result);
}

/* e^x for x <= 0 (NaN passes): without the care for overflow. */
INLINE V TYPED(decay)(V x) {
    V shifted;
    V within = TYPED(choose)(x < EXP_LEAST, TYPED(all)(EXP_LEAST), x);
    V p = 1 + TYPED(expm1_of_rest)(TYPED(reduce)(within, &shifted));
    V result = p * TYPED(power_of_two)(TYPED(integer_of)(shifted));
    return TYPED(choose)(x < EXP_LEAST, (V){0}, result);
}

/* e^x - 1, accurate near zero as well. */
INLINE V TYPED(exponential_less_one)(V x) {
    V shifted;
    const REAL least = SINGLE ? -20 : -50; /* from here on, -1 */
    V within = TYPED(choose)(x > EXP_MOST, TYPED(all)(EXP_MOST), x);
    within = TYPED(choose)(within < least, TYPED(all)(least), within);
    V p = TYPED(expm1_of_rest)(TYPED(reduce)(within, &shifted));
    I n = (I)((N)TYPED(integer_of)(shifted) - 1); /* in halves, since 2^n may overflow */
    V half = TYPED(power_of_two)(n);
    V result = 2 * (half * p + (half - (REAL)0.5));
    return TYPED(choose)(x > EXP_MOST, TYPED(all)((REAL)__builtin_inf()), result);
}

/* tanh x = -t/(2 + t) with t = e^(-2|x|) - 1. Within 4 units in the last place. */
INLINE V TYPED(hyperbolic_tangent)(V x) {
    V shifted;
    const REAL least = SINGLE ? -20 : -50;
    V y = -2 * TYPED(magnitude)(x);
    y = TYPED(choose)(y < least, TYPED(all)(least), y);
    V p = TYPED(expm1_of_rest)(TYPED(reduce)(y, &shifted));
    V scale = TYPED(power_of_two)(TYPED(integer_of)(shifted));
    V t = scale * p + (scale - 1);
    return TYPED(with_sign_of)(-t / (2 + t), x);
}

/* log(1 + t) for 0 <= t <= 1, within 3 units in the last place. */
INLINE V TYPED(log_one_plus)(V t) { return t * POLYNOMIAL(LOG1P_RATIO, t); }

/* erfc x for x >= 0: accurate absolutely, and relatively to about x^2 units. */
INLINE V TYPED(erfc_of_positive)(V x) {
    V within = TYPED(choose)(x > ERFC_MOST, TYPED(all)(ERFC_MOST), x);
    V g = POLYNOMIAL(ERFCX, (within - ERFC_CENTRE) / (within + ERFC_CENTRE));
    V result = TYPED(decay)(-within * within) * g / (1 + 2 * within);
    return TYPED(choose)(x > ERFC_MOST, (V){0}, result);
}

INLINE V TYPED(error_function)(V x) {
    V size = TYPED(magnitude)(x);
    V s = TYPED(choose)(size > 1, TYPED(all)(1), x * x);
    V near = x * POLYNOMIAL(ERF_RATIO, s);
    V far = TYPED(with_sign_of)(1 - TYPED(erfc_of_positive)(size), x);
    return TYPED(choose)(size > 1, far, near);
}

/* The standard normal distribution function and density. */
INLINE V TYPED(normal_cdf)(V z) {
    V tail = (REAL)0.5 * TYPED(erfc_of_positive)(TYPED(magnitude)(z) * (REAL)0.70710678118654752440);
    return TYPED(choose)(z > 0, 1 - tail, tail);
}
INLINE V TYPED(normal_pdf)(V z) {
    return TYPED(decay)((REAL)-0.5 * z * z) * (REAL)0.39894228040143267794;
}
