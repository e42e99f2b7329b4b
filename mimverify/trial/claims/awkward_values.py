"""Values that programs treat apart without being asked: zeros, extremes, whole numbers, constants.

Each function changes a data set `(X, y)` or a network `(W, a, b)` in place. None of them puts a
preactivation or a residual exactly where σ' or l' jump: there several subgradients are right.
"""

from __future__ import annotations

import numpy as np

from mimverify.support.arrays import FloatArray

__all__ = [
    "constant_labels",
    "one_odd_label",
    "outliers",
    "subnormal_data",
    "subnormal_weights",
    "tiny_output_weights",
    "whole_numbers",
    "zero_data",
    "zero_weights",
]


def zero_data(X: FloatArray, y: FloatArray) -> None:
    """Every fourth label is zero, and so are other rows of X, and its last column."""
    y[::4] = 0
    X[1::8] = 0
    X[:, -1] = 0


def zero_weights(W: FloatArray, a: FloatArray, b: FloatArray) -> None:
    """One neuron has no output weight, another no weights; biases keep all off the kinks."""
    np.abs(b, out=b)
    a[0] = 0
    W[1] = 0


def outliers(X: FloatArray, y: FloatArray) -> None:
    """Inputs far outside ±6 in every fourth row, and labels of 10⁶ in every eighth."""
    X[::4] *= 10
    y[::8] = np.copysign(1e6 * (1 + np.abs(y[::8])), y[::8])


def tiny_output_weights(W: FloatArray, a: FloatArray, b: FloatArray) -> None:
    """Outputs so small that labels of 10⁻⁶ count beside them, in float32 too."""
    a *= 2.0**-10


def subnormal_data(X: FloatArray, y: FloatArray) -> None:
    """Rows of X, and other labels, below the smallest normal number of the dtype."""
    X[::8] = _subnormal(X[::8])
    y[1::4] = _subnormal(y[1::4])


def subnormal_weights(W: FloatArray, a: FloatArray, b: FloatArray) -> None:
    """One neuron has a subnormal output weight, another subnormal weights; biases as before."""
    np.abs(b, out=b)
    a[:1] = _subnormal(a[:1])
    W[1] = _subnormal(W[1])


def _subnormal(array: FloatArray) -> FloatArray:
    """Numbers of the same signs, of 1/16 of the smallest normal number."""
    return np.copysign(np.finfo(array.dtype).tiny / 16, array)


def whole_numbers(X: FloatArray, y: FloatArray) -> None:
    """Inputs that are whole numbers, some beyond ±127, and labels ±1."""
    X[:] = np.rint(64 * X)
    y[:] = np.copysign(1, y)


def constant_labels(X: FloatArray, y: FloatArray) -> None:
    """All labels are equal, and not zero."""
    y[:] = 1.25


def one_odd_label(X: FloatArray, y: FloatArray) -> None:
    """All labels but the last are equal."""
    y[:-1], y[-1] = 1.25, -0.5
