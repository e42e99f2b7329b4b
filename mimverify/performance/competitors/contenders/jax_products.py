"""The bare products in JAX, compiled together."""

from __future__ import annotations

from mimverify.performance.competitors.competitor import Calls, Competitor, Run
from mimverify.performance.competitors.problem import Task
from mimverify.performance.competitors.products import random_residuals
from mimverify.support.arrays import Array, FloatArray


def _products(task: Task) -> Run:
    import jax

    jax.config.update("jax_enable_x64", task.problem.dtype == "float64")
    X, W, R = (jax.numpy.asarray(array) for array in (task.X, task.W, random_residuals(task)))
    compiled = jax.jit(lambda X, W, R: (X @ W.T, R.T @ X))

    def call() -> tuple[Array, Array]:
        products: tuple[Array, Array] = jax.block_until_ready(compiled(X, W, R))
        return products

    return Run(call)


def _peaks(A: FloatArray, x: FloatArray) -> Calls:
    import jax

    jax.config.update("jax_enable_x64", A.dtype == "float64")
    B, v = jax.numpy.asarray(A), jax.numpy.asarray(x)

    def multiply() -> object:
        return (B @ B).block_until_ready()

    def read() -> object:
        return v.sum().block_until_ready()

    return multiply, read


JAX_PRODUCTS = Competitor(
    "jax products",
    "the same in JAX, compiled by jit",
    _products,
    group="products",
    modules=("jax",),
    extra="jax",
    computes_step=False,
    peaks=_peaks,
)
