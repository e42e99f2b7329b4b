/* What is called from Python (library.py): the layouts agree, and INTERFACE_VERSION says so. */
#ifndef MIMVERIFY_INTERFACE_H
#define MIMVERIFY_INTERFACE_H
#include <stdint.h>

#define INTERFACE_VERSION 1

/* A network and its loss; arrays of the pass's precision. */
struct mimverify_network {
    int64_t columns;    /* d */
    int64_t neurons;    /* m */
    int64_t directions; /* m, or m + 1 with the linear part as the last of them */
    int64_t activation, loss;
    int64_t cancelling; /* outputs of the neurons cancel: f is the constant and the linear part */
    double delta, constant, offset;
    const void *packed; /* W and the linear part, by mimverify_pack */
    const void *a;      /* (padded), 0 beyond m; not read where outputs cancel */
    const void *b;      /* (padded), or NULL */
};

/* The tables of the ziggurat for normals (problems/ziggurat.py). */
struct mimverify_ziggurat {
    const double *scale;    /* (layers): a layer's width over 2^52 */
    const uint64_t *inside; /* (layers): a magnitude below it is under the curve */
    const double *height;   /* (layers + 1): exp(-x^2/2) at a layer's width */
    double tail;            /* where the tail begins */
};
#endif
