/* One pass over a block of rows, G = R^T X with R = rho(X W^T, y): included once for each precision.
 *
 * A panel of rows stays in the level-2 cache between the two products, so that X is read from memory
 * once. Sums over columns and over rows are taken in order, one multiply-add after the other: a result
 * depends neither on threads nor on where a row or a neuron stands. Source: theory.md section 3 (E5). */

#ifndef PASS_ONCE
#define PASS_ONCE
#include "interface.h"

/* Tiles of vector registers: of the directions in the first product (a panel of packed W), and of
 * rows and columns in each product. With 32 registers, 24 sums or less beside their factors. */
#if defined(__AVX512F__) || defined(__aarch64__)
#define PANEL 4
#define TALL 8 /* rows of a tile of at most three vectors */
#define LOW 6  /* of four */
#define WIDE 3
#define GROUP 8 /* neurons of a tile of the second product */
#else
#define PANEL 2
#define TALL 6
#define LOW 6
#define WIDE 2
#define GROUP 6
#endif
#define DEPTH 128 /* columns of X whose part of packed W stays in the level-1 cache */
#define PANEL_BYTES (384 << 10)
#define LEAST_ROWS 24
#define MOST_ROWS 192
#endif

INLINE int64_t TYPED(whole_vectors)(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

/* Rows between the two products. */
INLINE int64_t TYPED(panel_rows)(int64_t d) {
    int64_t rows = PANEL_BYTES / (d * (int64_t)sizeof(REAL)) / LEAST_ROWS * LEAST_ROWS;
    return rows < LEAST_ROWS ? LEAST_ROWS : rows > MOST_ROWS ? MOST_ROWS : rows;
}

/* W (q, d) as panels of PANEL vectors or the rest of them, each of them column by column. */
void EXPORTED(mimverify_pack)(const REAL *W, int64_t ldw, int64_t q, int64_t d, REAL *packed) {
    int64_t padded = TYPED(whole_vectors)(q);
    for (int64_t first = 0; first < padded; first += PANEL * LANES) {
        int64_t width = padded - first < PANEL * LANES ? padded - first : PANEL * LANES;
        REAL *panel = packed + first * d;
        for (int64_t j = 0; j < width; j++)
            for (int64_t k = 0; k < d; k++)
                panel[k * width + j] = first + j < q ? W[(first + j) * ldw + k] : 0;
    }
}

/* z (rows, vectors) += x (rows, depth) w (depth, vectors) */
INLINE void TYPED(project_tile)(int rows, int vectors, int64_t depth, const REAL *x, int64_t ldx,
                                const REAL *w, REAL *z, int64_t ldz, int begin) {
    V sum[TALL][PANEL];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < vectors; v++)
            sum[i][v] = begin ? (V){0} : TYPED(load)(z + i * ldz + v * LANES);
    for (int64_t k = 0; k < depth; k++) {
        V factor[PANEL];
        UNROLL for (int v = 0; v < vectors; v++)
            factor[v] = TYPED(load)(w + (k * vectors + v) * LANES);
        UNROLL for (int i = 0; i < rows; i++) {
            V one = TYPED(all)(x[i * ldx + k]);
            UNROLL for (int v = 0; v < vectors; v++) sum[i][v] += one * factor[v];
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < vectors; v++) TYPED(store)(z + i * ldz + v * LANES, sum[i][v]);
}

INLINE void TYPED(project_panel)(int vectors, int64_t rows, int64_t depth, const REAL *x, int64_t ldx,
                                 const REAL *w, REAL *z, int64_t ldz, int begin) {
    const int height = vectors == 4 ? LOW : TALL;
    int64_t i = 0;
    for (; i + height <= rows; i += height)
        TYPED(project_tile)(height, vectors, depth, x + i * ldx, ldx, w, z + i * ldz, ldz, begin);
    for (; i + 2 <= rows; i += 2)
        TYPED(project_tile)(2, vectors, depth, x + i * ldx, ldx, w, z + i * ldz, ldz, begin);
    for (; i < rows; i++)
        TYPED(project_tile)(1, vectors, depth, x + i * ldx, ldx, w, z + i * ldz, ldz, begin);
}

/* Z (rows, padded) = X (rows, d) W^T */
static void TYPED(project)(int64_t rows, int64_t d, int64_t padded, const REAL *x, int64_t ldx,
                           const REAL *packed, REAL *z) {
    for (int64_t k = 0; k < d; k += DEPTH) {
        int64_t depth = d - k < DEPTH ? d - k : DEPTH;
        for (int64_t first = 0; first < padded; first += PANEL * LANES) {
            int64_t left = (padded - first) / LANES, vectors = left < PANEL ? left : PANEL;
            const REAL *w = packed + first * d + k * vectors * LANES;
            REAL *to = z + first;
            switch (vectors) {
#if PANEL == 4
            case 4: TYPED(project_panel)(4, rows, depth, x + k, ldx, w, to, padded, k == 0); break;
            case 3: TYPED(project_panel)(3, rows, depth, x + k, ldx, w, to, padded, k == 0); break;
#endif
            case 2: TYPED(project_panel)(2, rows, depth, x + k, ldx, w, to, padded, k == 0); break;
            default: TYPED(project_panel)(1, rows, depth, x + k, ldx, w, to, padded, k == 0);
            }
        }
    }
}

/* G (neurons, vectors) += R^T X; `next`: what a later call will read of memory, or NULL. */
INLINE void TYPED(gather_tile)(int neurons, int vectors, int64_t rows, const REAL *x, int64_t ldx,
                               const REAL *r, int64_t ldr, REAL *g, int64_t ldg, int begin,
                               const REAL *next, int64_t ldnext) {
    V sum[GROUP][WIDE];
    UNROLL for (int j = 0; j < neurons; j++)
        UNROLL for (int v = 0; v < vectors; v++)
            sum[j][v] = begin ? (V){0} : TYPED(load)(g + j * ldg + v * LANES);
    for (int64_t i = 0; i < rows; i++) {
        V factor[WIDE];
        UNROLL for (int v = 0; v < vectors; v++) factor[v] = TYPED(load)(x + i * ldx + v * LANES);
        if (next) UNROLL for (int v = 0; v < vectors; v++)
            __builtin_prefetch(next + i * ldnext + v * LANES, 0, 2);
        UNROLL for (int j = 0; j < neurons; j++) {
            V one = TYPED(all)(r[i * ldr + j]);
            UNROLL for (int v = 0; v < vectors; v++) sum[j][v] += one * factor[v];
        }
    }
    UNROLL for (int j = 0; j < neurons; j++)
        UNROLL for (int v = 0; v < vectors; v++) TYPED(store)(g + j * ldg + v * LANES, sum[j][v]);
}

INLINE void TYPED(gather_columns)(int vectors, int64_t rows, int64_t m, const REAL *x, int64_t ldx,
                                  const REAL *r, int64_t ldr, REAL *g, int64_t ldg, int begin,
                                  const REAL *next, int64_t ldnext) {
    int64_t j = 0;
    if (next && m >= GROUP) { /* the first group fetches */
        TYPED(gather_tile)(GROUP, vectors, rows, x, ldx, r, ldr, g, ldg, begin, next, ldnext);
        j = GROUP;
    }
    for (; j + GROUP <= m; j += GROUP)
        TYPED(gather_tile)(GROUP, vectors, rows, x, ldx, r + j, ldr, g + j * ldg, ldg, begin, NULL, 0);
    for (; j + 2 <= m; j += 2)
        TYPED(gather_tile)(2, vectors, rows, x, ldx, r + j, ldr, g + j * ldg, ldg, begin, NULL, 0);
    for (; j < m; j++)
        TYPED(gather_tile)(1, vectors, rows, x, ldx, r + j, ldr, g + j * ldg, ldg, begin, NULL, 0);
}

/* G (m, d) += R^T X, and the columns beyond whole vectors to `rest` (m, LANES) by way of `spare`. */
static void TYPED(gather)(int64_t rows, int64_t d, int64_t m, const REAL *x, int64_t ldx,
                          const REAL *r, int64_t ldr, REAL *g, int64_t ldg, REAL *rest, REAL *spare,
                          int begin, const REAL *next) {
    int64_t k = 0;
    for (; k + WIDE * LANES <= d; k += WIDE * LANES)
        TYPED(gather_columns)(WIDE, rows, m, x + k, ldx, r, ldr, g + k, ldg, begin,
                              next ? next + k : NULL, ldx);
#if WIDE == 3
    if (k + 2 * LANES <= d) {
        TYPED(gather_columns)(2, rows, m, x + k, ldx, r, ldr, g + k, ldg, begin,
                              next ? next + k : NULL, ldx);
        k += 2 * LANES;
    }
#endif
    if (k + LANES <= d) {
        TYPED(gather_columns)(1, rows, m, x + k, ldx, r, ldr, g + k, ldg, begin,
                              next ? next + k : NULL, ldx);
        k += LANES;
    }
    if (k == d) return;
    for (int64_t i = 0; i < rows; i++)
        for (int c = 0; c < LANES; c++) spare[i * LANES + c] = k + c < d ? x[i * ldx + k + c] : 0;
    TYPED(gather_columns)(1, rows, m, spare, LANES, r, ldr, rest, LANES, begin, NULL, 0);
}

/* Outputs f and, in place of Z, sigma'(Z). */
INLINE void TYPED(activate_rows)(enum activation which, int64_t rows, int64_t padded, const REAL *a,
                                 const REAL *b, REAL *z, REAL *output) {
    for (int64_t i = 0; i < rows; i++) {
        V sum = {0};
        for (int64_t j = 0; j < padded; j += LANES) {
            V first, at = TYPED(load)(z + i * padded + j);
            if (b) at += TYPED(load)(b + j);
            sum += TYPED(activate)(which, at, &first) * TYPED(load)(a + j);
            TYPED(store)(z + i * padded + j, first);
        }
        output[i] += TYPED(sum_of)(sum);
    }
}

/* The same where outputs cancel: sigma'(Z) times the row's factor. */
INLINE void TYPED(differentiate_rows)(enum activation which, int64_t rows, int64_t padded,
                                      const REAL *b, const REAL *factor, REAL *z) {
    for (int64_t i = 0; i < rows; i++) {
        V scale = TYPED(all)(factor[i]);
        for (int64_t j = 0; j < padded; j += LANES) {
            V first, at = TYPED(load)(z + i * padded + j);
            if (b) at += TYPED(load)(b + j);
            TYPED(activate)(which, at, &first);
            TYPED(store)(z + i * padded + j, first * scale);
        }
    }
}

#undef FOR_ACTIVATION
#define FOR_ACTIVATION(which, call)                          \
    switch (which) {                                         \
    case LOG_COSH: call(LOG_COSH); break;                    \
    case QUADRATIC: call(QUADRATIC); break;                  \
    case PSEUDO_HUBER: call(PSEUDO_HUBER); break;            \
    case RELU: call(RELU); break;                            \
    case SOFTPLUS: call(SOFTPLUS); break;                    \
    case GELU: call(GELU); break;                            \
    case TANH: call(TANH); break;                            \
    case SOFTPLUS_CENTRED: call(SOFTPLUS_CENTRED); break;    \
    case GELU_CENTRED: call(GELU_CENTRED); break;            \
    default: call(EXP_CENTRED);                              \
    }

/* l'(f, y) less its mean, in place of f; y is read in whole vectors only. */
static void TYPED(slopes)(const struct mimverify_network *net, int64_t rows, const REAL *y,
                          REAL *output) {
    REAL constant = (REAL)net->constant, offset = (REAL)net->offset, delta = (REAL)net->delta;
    for (int64_t i = 0; i < rows; i += LANES) {
        V label = {0}, u;
        if (i + LANES <= rows) label = TYPED(load)(y + i);
        else memcpy(&label, y + i, (size_t)(rows - i) * sizeof(REAL));
        u = TYPED(load)(output + i) + constant - label;
        switch (net->loss) {
        case L1_LOSS: u = TYPED(slope_of)(L1_LOSS, delta, u); break;
        case HUBER_LOSS: u = TYPED(slope_of)(HUBER_LOSS, delta, u); break;
        case PSEUDO_HUBER_LOSS: u = TYPED(slope_of)(PSEUDO_HUBER_LOSS, delta, u); break;
        case LOG_COSH_LOSS: u = TYPED(slope_of)(LOG_COSH_LOSS, delta, u); break;
        default: break;
        }
        TYPED(store)(output + i, u - offset);
    }
}

/* Z becomes R = (l' - offset) sigma'(Z + b); the projection on a linear part is added to f. */
static void TYPED(residuals)(const struct mimverify_network *net, int64_t rows, int64_t padded,
                             const REAL *y, REAL *z, REAL *output) {
    const REAL *a = net->a, *b = net->b;
    const int64_t m = net->neurons;
    for (int64_t i = 0; i < TYPED(whole_vectors)(rows); i++) output[i] = 0;
    if (net->directions > m)
        for (int64_t i = 0; i < rows; i++) {
            output[i] = z[i * padded + m];
            z[i * padded + m] = 0;
        }
    if (net->cancelling) {
        TYPED(slopes)(net, rows, y, output);
#define DIFFERENTIATE(which) TYPED(differentiate_rows)(which, rows, padded, b, output, z)
        FOR_ACTIVATION(net->activation, DIFFERENTIATE)
#undef DIFFERENTIATE
        return;
    }
#define ACTIVATE(which) TYPED(activate_rows)(which, rows, padded, a, b, z, output)
    FOR_ACTIVATION(net->activation, ACTIVATE)
#undef ACTIVATE
    TYPED(slopes)(net, rows, y, output);
    for (int64_t i = 0; i < rows; i++) {
        V scale = TYPED(all)(output[i]);
        for (int64_t j = 0; j < padded; j += LANES)
            TYPED(store)(z + i * padded + j, TYPED(load)(z + i * padded + j) * scale);
    }
}

/* Numbers of working memory that a pass needs. */
int64_t EXPORTED(mimverify_workspace)(int64_t q, int64_t d) {
    int64_t padded = TYPED(whole_vectors)(q), rows = TYPED(panel_rows)(d);
    return rows * padded + TYPED(whole_vectors)(rows) + padded * LANES + rows * LANES;
}

void EXPORTED(mimverify_pass)(const struct mimverify_network *net, int64_t n, const REAL *x,
                              int64_t ldx, const REAL *y, REAL *g, REAL *workspace) {
    const int64_t d = net->columns, m = net->neurons;
    const int64_t padded = TYPED(whole_vectors)(net->directions), most = TYPED(panel_rows)(d);
    REAL *z = workspace, *output = z + most * padded, *rest = output + TYPED(whole_vectors)(most);
    REAL *spare = rest + padded * LANES;
    for (int64_t first = 0; first < n; first += most) {
        int64_t rows = n - first < most ? n - first : most;
        const REAL *at = x + first * ldx, *next = at + most * ldx;
        TYPED(project)(rows, d, padded, at, ldx, net->packed, z);
        TYPED(residuals)(net, rows, padded, y + first, z, output);
        TYPED(gather)(rows, d, m, at, ldx, z, padded, g, d, rest, spare, first == 0,
                      first + most + rows <= n ? next : NULL);
    }
    int64_t whole = d / LANES * LANES;
    for (int64_t j = 0; j < m; j++)
        for (int64_t k = whole; k < d; k++) g[j * d + k] = rest[j * LANES + k - whole];
}

/* phi (n, p), double precision: sigma(P[:, j mod k] + b_j), computed in REAL. */
INLINE void TYPED(value_rows)(enum activation which, int64_t n, const REAL *P, int64_t ldp, int64_t k,
                              const REAL *b, int64_t p, double *phi) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < p; j += LANES) {
            V at = {0};
            int lanes = p - j < LANES ? (int)(p - j) : LANES;
            for (int c = 0; c < lanes; c++) at[c] = P[i * ldp + (j + c) % k] + b[j + c];
            V value = TYPED(activate_only)(which, at);
            for (int c = 0; c < lanes; c++) phi[i * p + j + c] = (double)value[c];
        }
}

void EXPORTED(mimverify_features)(int64_t which, int64_t n, const REAL *P, int64_t ldp, int64_t k,
                                  const REAL *b, int64_t p, double *phi) {
#define VALUE(kind) TYPED(value_rows)(kind, n, P, ldp, k, b, p, phi)
    FOR_ACTIVATION(which, VALUE)
#undef VALUE
}
