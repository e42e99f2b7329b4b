"""The bare products in JAX, compiled together, on any of its devices."""

from __future__ import annotations

from functools import partial

from mimverify.performance.competitors.competitor import Calls, Competitor, Run
from mimverify.performance.competitors.problem import Task
from mimverify.performance.competitors.products import random_residuals
from mimverify.support.arrays import Array, FloatArray


def _placed(device: str, *arrays: FloatArray) -> list[Array]:
    """The arrays there, in their own dtype: the process is JAX's alone, so its setting is too."""
    import jax

    jax.config.update("jax_enable_x64", arrays[0].dtype == "float64")
    platform, _, number = device.partition(":")
    place = jax.devices(platform)[int(number or 0)]
    return [jax.device_put(array, place) for array in arrays]


def _products(task: Task, device: str = "cpu") -> Run:
    import jax

    X, W, R = _placed(device, task.X, task.W, random_residuals(task))
    compiled = jax.jit(lambda X, W, R: (X @ W.T, R.T @ X))

    def call() -> tuple[Array, Array]:
        products: tuple[Array, Array] = jax.block_until_ready(compiled(X, W, R))
        return products

    return Run(call)


def _peaks(A: FloatArray, x: FloatArray, device: str = "cpu") -> Calls:
    B, v = _placed(device, A, x)

    def multiply() -> object:
        return (B @ B).block_until_ready()

    def read() -> object:
        return v.sum().block_until_ready()

    return multiply, read


def _on(device: str) -> Competitor:
    return Competitor(
        f"{JAX_PRODUCTS.name} on {device}",
        f"the bare products in JAX on {device}",
        partial(_products, device=device),
        group="products",
        modules=("jax",),
        extra="jax",
        computes_step=False,
        peaks=partial(_peaks, device=device),
    )


JAX_PRODUCTS = Competitor(
    "jax products",
    "the same in JAX, compiled by jit",
    _products,
    group="products",
    modules=("jax",),
    extra="jax",
    computes_step=False,
    peaks=_peaks,
    on_device=_on,
)
