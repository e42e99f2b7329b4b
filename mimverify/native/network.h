/* Activations and losses: included once for each precision, after functions.h.
 *
 * The formulas are those of mimverify/network/activations.py and losses.py: sigma keeps absolute
 * accuracy (f - y is rounded to u|y| anyway), sigma' relative accuracy near zero. The numbers are
 * those of mimverify/native/network_pass.py. */

#ifndef KINDS
#define KINDS
enum activation {
    LOG_COSH, QUADRATIC, PSEUDO_HUBER, RELU, SOFTPLUS, GELU, TANH, SOFTPLUS_CENTRED, GELU_CENTRED,
    EXP_CENTRED, ACTIVATIONS
};
enum loss { SQUARED_LOSS, L1_LOSS, HUBER_LOSS, PSEUDO_HUBER_LOSS, LOG_COSH_LOSS, LOSSES };
#endif

/* sigma(z), and sigma'(z) in *first. What a caller does not use is not computed. */
INLINE V TYPED(activate)(enum activation which, V z, V *first) {
    const REAL ln2 = (REAL)0.69314718055994530942, root_half = (REAL)0.70710678118654752440;
    V size = TYPED(magnitude)(z), one = TYPED(all)(1);
    switch (which) {
    case LOG_COSH: { /* |z| - log((1 + |tanh z|)/1) = log cosh z */
        V t = TYPED(hyperbolic_tangent)(z);
        *first = t;
        return size - TYPED(log_one_plus)(TYPED(magnitude)(t));
    }
    case QUADRATIC:
        *first = z;
        return (REAL)0.5 * z * z;
    case PSEUDO_HUBER: {
        V square = z * z, r = TYPED(root)(1 + square);
        *first = z / r;
        return square / (1 + r);
    }
    case RELU: {
        I above = z > 0;
        *first = TYPED(choose)(above, one, (V){0});
        return TYPED(choose)(above, z, 0 * z);
    }
    case SOFTPLUS: {
        V e = TYPED(decay)(-size);
        *first = TYPED(choose)(z > 0, one, e) / (1 + e);
        return TYPED(choose)(z > 0, z, 0 * z) + TYPED(log_one_plus)(e);
    }
    case GELU: {
        V cdf = TYPED(normal_cdf)(z);
        *first = cdf + z * TYPED(normal_pdf)(z);
        return z * cdf;
    }
    case TANH: {
        V e = TYPED(decay)(-2 * size), sum = 1 + e;
        *first = 4 * e / (sum * sum);
        return TYPED(with_sign_of)((1 - e) / sum, z);
    }
    case SOFTPLUS_CENTRED: {
        V t = TYPED(hyperbolic_tangent)((REAL)0.5 * z);
        *first = (REAL)0.5 * t;
        return (REAL)0.5 * size - TYPED(log_one_plus)(TYPED(magnitude)(t));
    }
    case GELU_CENTRED: {
        V half = (REAL)0.5 * TYPED(error_function)(z * root_half);
        *first = half + z * TYPED(normal_pdf)(z);
        return z * half;
    }
    case EXP_CENTRED: {
        V e = TYPED(exponential_less_one)(z);
        *first = e;
        return e - z;
    }
    default:
        (void)ln2;
        *first = z;
        return z;
    }
}

/* sigma(z) alone: log cosh z = |z| + log(1 + e^(-2|z|)) - log 2 needs no division. */
INLINE V TYPED(activate_only)(enum activation which, V z) {
    const REAL ln2 = (REAL)0.69314718055994530942;
    V size = TYPED(magnitude)(z), ignored;
    if (which == LOG_COSH) return (size - ln2) + TYPED(log_one_plus)(TYPED(decay)(-2 * size));
    if (which == SOFTPLUS_CENTRED)
        return ((REAL)0.5 * size - ln2) + TYPED(log_one_plus)(TYPED(decay)(-size));
    return TYPED(activate)(which, z, &ignored);
}

/* l'(f, y) at the difference u = f - y. */
INLINE V TYPED(slope_of)(enum loss which, REAL delta, V u) {
    V size = TYPED(magnitude)(u), one = TYPED(all)(1);
    switch (which) {
    case L1_LOSS: {
        V sign = TYPED(choose)(size > 0, TYPED(with_sign_of)(one, u), (V){0});
        return TYPED(choose)(u == u, sign, u);
    }
    case HUBER_LOSS: {
        V v = TYPED(choose)(u > delta, TYPED(all)(delta), u);
        return TYPED(choose)(v < -delta, TYPED(all)(-delta), v);
    }
    case PSEUDO_HUBER_LOSS: { /* of the two squares the one that does not overflow */
        V v = size / delta, inverse = 1 / v;
        I above = v > 1;
        V square = TYPED(choose)(above, inverse * inverse, v * v);
        V r = TYPED(root)(1 + square);
        return u / TYPED(choose)(above, v * r, r);
    }
    case LOG_COSH_LOSS:
        return TYPED(hyperbolic_tangent)(u);
    default:
        return u;
    }
}
