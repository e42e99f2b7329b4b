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
#endif
