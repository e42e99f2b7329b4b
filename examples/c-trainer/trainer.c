/* A complete trainer in C, without any library: docs/protocol.md, version 1, in float64.
 *
 *     cc -O3 -march=native -o trainer trainer.c -lm
 *     mimverify check process:./trainer --profile quick
 *
 * It trains f(x) = sum_j a_j sigma(w_j.x + b_j) on L = (1/n) sum_i l(f(x_i), y_i) layer by layer.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "arrays are little-endian on the wire: swap bytes in read_array and write_array"
#endif

/* --- The pipe --- */

static void fail(const char *why) {
    fprintf(stderr, "trainer: %s\n", why); /* never on standard output */
    exit(1);
}

static double *new_array(size_t count) {
    double *x = calloc(count ? count : 1, sizeof *x);
    if (!x) fail("out of memory");
    return x;
}

static double *read_array(size_t count) {
    double *x = new_array(count);
    if (fread(x, sizeof *x, count, stdin) != count) fail("the input ends within an array");
    return x;
}

static void write_array(const double *x, size_t count) {
    if (fwrite(x, sizeof *x, count, stdout) != count || fflush(stdout)) fail("cannot write");
}

/* The text behind "key": in a header; headers are flat, with one space behind each colon. */
static const char *find(const char *header, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *at = strstr(header, quoted);
    if (!at) fail("a header lacks a key");
    return at + strlen(quoted);
}

static double number(const char *header, const char *key) {
    return strtod(find(header, key), NULL);
}

static size_t size(const char *header, const char *key) {
    return (size_t)strtoull(find(header, key), NULL, 10);
}

static int is(const char *header, const char *key, const char *value) {
    const char *at = find(header, key);
    size_t length = strlen(value);
    return at[0] == '"' && !strncmp(at + 1, value, length) && at[1 + length] == '"';
}

/* --- The network --- */

typedef double (*function)(double);

/* sigma and its derivative: even, and quadratic near zero. */
static double log_cosh(double z) { return fabs(z) + log1p(exp(-2 * fabs(z))) - log(2.0); }
static double pseudo_huber(double z) { return sqrt(1 + z * z) - 1; }
static double pseudo_huber_slope(double z) { return z / sqrt(1 + z * z); }
static double quadratic(double z) { return z * z / 2; }
static double identity(double z) { return z; }
static double clip(double u) { return u < -1 ? -1 : u > 1 ? 1 : u; }

static const struct { const char *name; function value, slope; } ACTIVATIONS[] = {
    {"log-cosh", log_cosh, tanh},
    {"pseudo-huber", pseudo_huber, pseudo_huber_slope},
    {"quadratic", quadratic, identity},
};
/* l' = dl/df of u = f - y. */
static const struct { const char *name; function derivative; } LOSSES[] = {
    {"squared", identity},
    {"huber", clip},
};

/* Eight sums side by side, so that a compiler can vectorise them. */
static double dot(const double *restrict u, const double *restrict v, size_t d) {
    double sums[8] = {0}, rest = 0;
    size_t k = 0;
    for (; k + 8 <= d; k += 8)
        for (size_t l = 0; l < 8; l++) sums[l] += u[k + l] * v[k + l];
    for (; k < d; k++) rest += u[k] * v[k];
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) +
           ((sums[2] + sums[6]) + (sums[3] + sums[7])) + rest;
}

static void add(double *restrict u, double c, const double *restrict v, size_t d) {
    for (size_t k = 0; k < d; k++) u[k] += c * v[k];
}

/* W <- W - eta (grad_W L + beta W), on all rows of X, in place. W: m x d, X: n x d. */
static void descend(double *W, const double *a, const double *b, const double *X, const double *y,
                    size_t n, size_t m, size_t d, double eta, double beta, int activation,
                    int loss) {
    double *P = new_array(m), *G = new_array(m * d);
    for (size_t i = 0; i < n; i++) {
        const double *x = X + i * d;
        double f = 0;
        for (size_t j = 0; j < m; j++) {
            P[j] = dot(W + j * d, x, d) + b[j];
            f += a[j] * ACTIVATIONS[activation].value(P[j]);
        }
        double r = LOSSES[loss].derivative(f - y[i]);
        for (size_t j = 0; j < m; j++) {
            add(G + j * d, r * a[j] * ACTIVATIONS[activation].slope(P[j]), x, d);
        }
    }
    for (size_t k = 0; k < m * d; k++) W[k] -= eta * (G[k] / (double)n + beta * W[k]);
    free(P);
    free(G);
}

/* --- The whole algorithm: stage 1 on the first half of the rows, stage 2 on the second --- */

#define NEURONS 128

static struct { double *W, b[NEURONS], a[NEURONS], mean; size_t d; } model;
static uint64_t state;

/* splitmix64, and normals by Box and Muller. */
static double uniform(void) {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return ((double)((z ^ (z >> 31)) >> 11) + 0.5) * 0x1p-53;
}
static double normal(void) {
    double radius = sqrt(-2 * log(uniform()));
    return radius * cos(6.283185307179586 * uniform());
}

static void hidden(const double *x, double *h) {
    for (size_t j = 0; j < NEURONS; j++) {
        h[j] = log_cosh(dot(model.W + j * model.d, x, model.d) + model.b[j]);
    }
}

/* x <- A^-1 x for a symmetric positive definite A, by Cholesky, in place. */
static void solve(double *A, double *x, size_t m) {
    for (size_t j = 0; j < m; j++) {
        for (size_t k = 0; k < j; k++)
            for (size_t i = j; i < m; i++) A[i * m + j] -= A[i * m + k] * A[j * m + k];
        double root = sqrt(A[j * m + j]);
        for (size_t i = j; i < m; i++) A[i * m + j] /= root;
    }
    for (size_t i = 0; i < m; i++) {
        for (size_t k = 0; k < i; k++) x[i] -= A[i * m + k] * x[k];
        x[i] /= A[i * m + i];
    }
    for (size_t i = m; i-- > 0;) {
        for (size_t k = i + 1; k < m; k++) x[i] -= A[k * m + i] * x[k];
        x[i] /= A[i * m + i];
    }
}

static void fit(const double *X, const double *y, size_t rows, size_t d, uint64_t seed) {
    const size_t m = NEURONS, n = rows / 2, n2 = rows - n;
    const double *X2 = X + n * d, *y2 = y + n;
    state = seed;
    model.d = d;
    free(model.W);
    model.W = new_array(m * d);

    /* Centring: the constant c with mean_i l'(c, y_i) = 0, by fixed-point iteration. */
    double c = 0;
    for (size_t i = 0; i < n; i++) c += y[i] / (double)n;
    for (int round = 0; round < 100; round++) {
        double slope = 0;
        for (size_t i = 0; i < n; i++) slope += clip(c - y[i]) / (double)n;
        c -= slope;
    }
    double *centred = new_array(n), a[NEURONS], zero[NEURONS] = {0};
    for (size_t i = 0; i < n; i++) centred[i] = y[i] - c;

    /* Symmetric start: w_j = w_{j+m/2} small, a_j = -a_{j+m/2}, b = 0; then f = 0. */
    for (size_t j = 0; j < m; j++) {
        a[j] = j < m / 2 ? 1 : -1;
        for (size_t k = 0; k < d; k++)
            model.W[j * d + k] = j < m / 2 ? 0.01 * normal() : model.W[(j - m / 2) * d + k];
    }
    /* beta = 1/eta, hence power iteration. */
    double ratio = fmax((double)n / (double)d, 1.1);
    int steps = (int)fmin(ceil(log((double)d) / log(ratio)), 30) + 2;
    for (int t = 0; t < steps; t++)
        descend(model.W, a, zero, X, centred, n, m, d, 1.0, 1.0, 2, 1);
    for (size_t j = 0; j < m; j++) {
        double norm = fmax(sqrt(dot(model.W + j * d, model.W + j * d, d)), 1e-300);
        for (size_t k = 0; k < d; k++) model.W[j * d + k] /= norm;
    }

    /* Stage 2: unit rows w_j, frozen; fresh b_j ~ N(0, 1); ridge regression for a. */
    double *A = new_array(m * m), h[NEURONS];
    memset(model.a, 0, sizeof model.a);
    model.mean = 0;
    for (size_t j = 0; j < m; j++) model.b[j] = normal();
    for (size_t i = 0; i < n2; i++) model.mean += y2[i] / (double)n2;
    for (size_t i = 0; i < n2; i++) {
        hidden(X2 + i * d, h);
        for (size_t j = 0; j < m; j++) {
            model.a[j] += h[j] * (y2[i] - model.mean);
            add(A + j * m, h[j], h, j + 1);
        }
    }
    for (size_t j = 0; j < m; j++) A[j * m + j] += 1e-3 * (double)n2;
    solve(A, model.a, m);
    free(A);
    free(centred);
}

static double predict(const double *x) {
    double h[NEURONS], f = model.mean;
    hidden(x, h);
    for (size_t j = 0; j < NEURONS; j++) f += model.a[j] * h[j];
    return f;
}

/* --- Requests --- */

static void answer_training(const char *header, size_t steps, int whole_trajectory) {
    size_t n = size(header, "n"), m = size(header, "m"), d = size(header, "d");
    double eta = number(header, "eta"), beta = number(header, "beta");
    int activation = 0, loss = 0;
    while (!is(header, "activation", ACTIVATIONS[activation].name))
        if (++activation == sizeof ACTIVATIONS / sizeof *ACTIVATIONS) fail("unknown activation");
    while (!is(header, "loss", LOSSES[loss].name))
        if (++loss == sizeof LOSSES / sizeof *LOSSES) fail("unknown loss");
    double *W = read_array(m * d), *a = read_array(m), *b = read_array(m);
    double *X = read_array(n * d), *y = read_array(n);
    if (whole_trajectory) {
        printf("{\"answer\": \"trajectory\", \"dtype\": \"float64\", \"shape\": [%zu, %zu, %zu]}\n",
               steps + 1, m, d);
        write_array(W, m * d);
    } else {
        printf("{\"answer\": \"step\", \"dtype\": \"float64\", \"shape\": [%zu, %zu]}\n", m, d);
    }
    for (size_t t = 0; t < steps; t++) {
        descend(W, a, b, X, y, n, m, d, eta, beta, activation, loss);
        if (whole_trajectory || t + 1 == steps) write_array(W, m * d);
    }
    free(W); free(a); free(b); free(X); free(y);
}

static void answer_regression(const char *header, int fitting) {
    size_t n = size(header, "n"), d = size(header, "d");
    double *X = read_array(n * d);
    if (fitting) {
        double *y = read_array(n);
        fit(X, y, n, d, size(header, "random_state"));
        free(y);
        puts("{\"answer\": \"fit\"}");
    } else if (!model.W || model.d != d) {
        puts("{\"error\": \"predict: not fitted to rows of this length\"}");
    } else {
        double *f = new_array(n);
        for (size_t i = 0; i < n; i++) f[i] = predict(X + i * d);
        printf("{\"answer\": \"predict\", \"dtype\": \"float64\", \"shape\": [%zu]}\n", n);
        write_array(f, n);
        free(f);
    }
    free(X);
}

int main(void) {
    char header[4096];
    while (fgets(header, sizeof header, stdin)) {
        if (is(header, "request", "hello")) {
            puts("{\"answer\": \"hello\", \"protocol\": 1, \"methods\": [\"step\", \"trajectory\", "
                 "\"fit\", \"predict\", \"first_layer\"], \"activations\": [\"log-cosh\", "
                 "\"pseudo-huber\", \"quadratic\"], \"losses\": [\"squared\", \"huber\"], "
                 "\"dtypes\": [\"float64\"], \"random_state\": true}");
        } else if (is(header, "request", "step")) {
            answer_training(header, 1, 0);
        } else if (is(header, "request", "trajectory")) {
            answer_training(header, size(header, "steps"), 1);
        } else if (is(header, "request", "fit")) {
            answer_regression(header, 1);
        } else if (is(header, "request", "predict")) {
            answer_regression(header, 0);
        } else if (is(header, "request", "first_layer") && model.W) {
            printf("{\"answer\": \"first_layer\", \"dtype\": \"float64\", \"shape\": [%d, %zu]}\n",
                   NEURONS, model.d);
            write_array(model.W, NEURONS * model.d);
        } else {
            puts("{\"error\": \"not fitted, or an unknown request\"}");
        }
        if (fflush(stdout)) fail("cannot write");
    }
    return 0;
}
