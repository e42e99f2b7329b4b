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
#define ROWS_1 8 /* rows of a tile of one vector, of two or three, and of four */
#define ROWS_2 8
#define ROWS_4 6
#define WIDE 3
#define GROUP 8 /* neurons of a tile of the second product */
#else
#define PANEL 2
#define ROWS_1 8
#define ROWS_2 6
#define ROWS_4 6
#define WIDE 2
#define GROUP 6
#endif
#define DEPTH 128 /* columns of X whose part of packed W stays in the level-1 cache */
#define PANEL_BYTES (256 << 10)
#define LEAST_ROWS 8
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
        for (int64_t begin = 0; begin < d; begin += LANES) { /* few columns, which stay in cache */
            int64_t end = begin + LANES < d ? begin + LANES : d;
            for (int64_t j = 0; j < width; j++)
                for (int64_t k = begin; k < end; k++)
                    panel[k * width + j] = first + j < q ? W[(first + j) * ldw + k] : 0;
        }
    }
}

/* z (rows, vectors) += x (rows, depth) w (depth, vectors) */
INLINE void TYPED(project_tile)(int rows, int vectors, int64_t depth, const REAL *x, int64_t ldx,
                                const REAL *w, REAL *z, int64_t ldz, int begin) {
    V sum[ROWS_1][PANEL];
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
    const int height = vectors == 1 ? ROWS_1 : vectors == 4 ? ROWS_4 : ROWS_2;
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

/* g (neurons, vectors) += r^T x. Of `next`, a later x or NULL, the vectors from `from` up to `to` are
 * fetched from memory meanwhile: few at a time, since there are few buffers for lines on their way. */
INLINE void TYPED(gather_tile)(int neurons, int vectors, int64_t rows, const REAL *x, int64_t ldx,
                               const REAL *r, int64_t ldr, REAL *g, int64_t ldg, int begin,
                               const REAL *next, int from, int to) {
    V sum[GROUP][WIDE];
    UNROLL for (int j = 0; j < neurons; j++)
        UNROLL for (int v = 0; v < vectors; v++)
            sum[j][v] = begin ? (V){0} : TYPED(load)(g + j * ldg + v * LANES);
    for (int64_t i = 0; i < rows; i++) {
        V factor[WIDE];
        UNROLL for (int v = 0; v < vectors; v++) factor[v] = TYPED(load)(x + i * ldx + v * LANES);
        UNROLL for (int v = from; v < to; v++)
            __builtin_prefetch(next + i * ldx + v * LANES, 0, 2);
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
                                  const REAL *next) {
#define TILE(neurons, ahead, from, to)                                                            \
    TYPED(gather_tile)(neurons, vectors, rows, x, ldx, r + j, ldr, g + j * ldg, ldg, begin, ahead, \
                       from, to)
    int64_t j = 0;
    if (next && m >= 3 * GROUP) {
        UNROLL for (int v = 0; v < vectors; v++, j += GROUP) TILE(GROUP, next, v, v + 1);
    } else if (next && m >= 2 * GROUP) {
        TILE(GROUP, next, 0, (vectors + 1) / 2);
        j += GROUP;
        TILE(GROUP, next, (vectors + 1) / 2, vectors);
        j += GROUP;
    } else if (next && m >= GROUP) {
        TILE(GROUP, next, 0, vectors);
        j += GROUP;
    }
    for (; j + GROUP <= m; j += GROUP) TILE(GROUP, NULL, 0, 0);
    for (; j + 2 <= m; j += 2) TILE(2, NULL, 0, 0);
    for (; j < m; j++) TILE(1, NULL, 0, 0);
#undef TILE
}

/* Columns before the first that is on a vector's boundary in every row: loads across the boundary of
 * cache lines take twice the time. */
INLINE int64_t TYPED(before_boundary)(const REAL *x, int64_t ldx, int64_t d) {
    const int64_t size = sizeof(REAL), beyond = (int64_t)((uintptr_t)x % VECTOR_BYTES);
    if (d < 2 * LANES || ldx % LANES || beyond % size || !beyond) return 0;
    return LANES - beyond / size;
}

/* g (m, d) += r^T x. Columns that are no whole vectors, at both ends, are added up in `head` and
 * `tail` (m, LANES), as parts of vectors that overlap others; `columns` (rows, LANES) is memory. */
static void TYPED(gather)(int64_t rows, int64_t d, int64_t m, const REAL *x, int64_t ldx,
                          const REAL *r, int64_t ldr, REAL *g, REAL *head, REAL *tail, REAL *columns,
                          int64_t k, int begin, const REAL *next) {
    if (k) TYPED(gather_columns)(1, rows, m, x, ldx, r, ldr, head, LANES, begin, next);
    while (k + LANES <= d) {
        int64_t left = (d - k) / LANES, vectors = left < WIDE ? left : WIDE;
        const REAL *at = x + k, *ahead = next ? next + k : NULL;
        REAL *to = g + k;
        switch (vectors) {
#if WIDE == 3
        case 3: TYPED(gather_columns)(3, rows, m, at, ldx, r, ldr, to, d, begin, ahead); break;
#endif
        case 2: TYPED(gather_columns)(2, rows, m, at, ldx, r, ldr, to, d, begin, ahead); break;
        default: TYPED(gather_columns)(1, rows, m, at, ldx, r, ldr, to, d, begin, ahead);
        }
        k += vectors * LANES;
    }
    if (k == d) return;
    if (d >= LANES) {
        const REAL *at = x + d - LANES, *ahead = next ? next + d - LANES : NULL;
        TYPED(gather_columns)(1, rows, m, at, ldx, r, ldr, tail, LANES, begin, ahead);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < LANES; c++) columns[i * LANES + c] = c < d ? x[i * ldx + c] : 0;
    TYPED(gather_columns)(1, rows, m, columns, LANES, r, ldr, tail, LANES, begin, NULL);
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
    return rows * padded + TYPED(whole_vectors)(rows) + 2 * padded * LANES + rows * LANES;
}

/* G (neurons, d), the sum over n rows of x with the labels y. */
void EXPORTED(mimverify_pass)(const struct mimverify_network *net, int64_t n, const REAL *x,
                              int64_t ldx, const REAL *y, REAL *g, REAL *workspace) {
    const int64_t d = net->columns, m = net->neurons, first_whole = TYPED(before_boundary)(x, ldx, d);
    const int64_t padded = TYPED(whole_vectors)(net->directions), most = TYPED(panel_rows)(d);
    REAL *z = workspace, *output = z + most * padded, *head = output + TYPED(whole_vectors)(most);
    REAL *tail = head + padded * LANES, *columns = tail + padded * LANES;
    for (int64_t done = 0; done < n; done += most) {
        int64_t rows = n - done < most ? n - done : most;
        const REAL *at = x + done * ldx;
        const REAL *next = done + most + rows <= n ? at + most * ldx : NULL;
        TYPED(project)(rows, d, padded, at, ldx, net->packed, z);
        TYPED(residuals)(net, rows, padded, y + done, z, output);
        TYPED(gather)(rows, d, m, at, ldx, z, padded, g, head, tail, columns, first_whole, done == 0,
                      next);
    }
    const int64_t last_whole = first_whole + (d - first_whole) / LANES * LANES;
    const int64_t shift = d < LANES ? 0 : d - LANES;
    for (int64_t j = 0; j < m; j++) {
        for (int64_t k = 0; k < first_whole; k++) g[j * d + k] = head[j * LANES + k];
        for (int64_t k = last_whole; k < d; k++) g[j * d + k] = tail[j * LANES + k - shift];
    }
}

/* phi (n, p), double precision: sigma(P[:, j mod k] + b_j), computed in REAL. `row` holds as many
 * numbers as whole vectors of p need. */
INLINE void TYPED(value_rows)(enum activation which, int64_t n, const REAL *P, int64_t ldp, int64_t k,
                              const REAL *b, int64_t p, REAL *row, double *phi) {
    const int64_t padded = TYPED(whole_vectors)(p);
    for (int64_t j = p; j < padded; j++) row[j] = 0;
    for (int64_t i = 0; i < n; i++) {
        const REAL *from = P + i * ldp;
        for (int64_t first = 0; first < p; first += k) {
            int64_t count = p - first < k ? p - first : k;
            for (int64_t j = 0; j < count; j++) row[first + j] = from[j] + b[first + j];
        }
        for (int64_t j = 0; j < padded; j += LANES)
            TYPED(store)(row + j, TYPED(activate_only)(which, TYPED(load)(row + j)));
        for (int64_t j = 0; j < p; j++) phi[i * p + j] = (double)row[j];
    }
}

void EXPORTED(mimverify_features)(int64_t which, int64_t n, const REAL *P, int64_t ldp, int64_t k,
                                  const REAL *b, int64_t p, REAL *row, double *phi) {
#define VALUE(kind) TYPED(value_rows)(kind, n, P, ldp, k, b, p, row, phi)
    FOR_ACTIVATION(which, VALUE)
#undef VALUE
}
