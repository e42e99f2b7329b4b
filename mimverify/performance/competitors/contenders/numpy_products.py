"""The bare products in NumPy."""

from __future__ import annotations

import numpy as np

from mimverify.performance.competitors.competitor import Calls, Competitor, Run
from mimverify.performance.competitors.problem import Task
from mimverify.performance.competitors.products import random_residuals
from mimverify.support.arrays import Array, FloatArray
from mimverify.support.threads import current_threads, map_in_order, single_threaded_libraries


def _products(task: Task) -> Run:
    X, W, R = task.X, task.W, random_residuals(task)

    def call() -> tuple[Array, Array]:
        return X @ W.T, R.T @ X

    return Run(call)


def _peaks(A: FloatArray, x: FloatArray) -> Calls:
    chunks = np.array_split(x, current_threads())

    def read() -> object:
        with single_threaded_libraries():  # a thread for each chunk instead
            return map_in_order(lambda chunk: chunk @ chunk, chunks, len(chunks))

    return lambda: A @ A, read


NUMPY_PRODUCTS = Competitor(
    "numpy products",
    "X @ W.T and R.T @ X in NumPy, as a user writes them, for an R that is given",
    _products,
    group="products",
    computes_step=False,
    peaks=_peaks,
)
