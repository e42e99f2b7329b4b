"""The bare products in Torch, on any of its devices."""

from __future__ import annotations

from functools import partial

from mimverify.performance.competitors.competitor import Calls, Competitor, Run
from mimverify.performance.competitors.problem import Task
from mimverify.performance.competitors.products import random_residuals
from mimverify.support.arrays import Array, FloatArray


def _products(task: Task, device: str = "cpu") -> Run:
    import torch

    X, W, R = (
        torch.as_tensor(array, device=device) for array in (task.X, task.W, random_residuals(task))
    )

    def call() -> tuple[Array, Array]:
        with torch.inference_mode():
            products = X @ W.T, R.T @ X
            _finish(device)
            return products

    return Run(call)


def _peaks(A: FloatArray, x: FloatArray, device: str = "cpu") -> Calls:
    import torch

    B, v = torch.as_tensor(A, device=device), torch.as_tensor(x, device=device)

    def multiply() -> object:
        product = B @ B
        _finish(device)
        return product

    def read() -> object:
        total = v.sum()
        _finish(device)
        return total

    return multiply, read


def _finish(device: str) -> None:
    """Wait for what is queued on a card; elsewhere calls end when they are done."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def _on(device: str) -> Competitor:
    return Competitor(
        f"{TORCH_PRODUCTS.name} on {device}",
        f"the bare products in Torch on {device}",
        partial(_products, device=device),
        group="products",
        modules=("torch",),
        computes_step=False,
        peaks=partial(_peaks, device=device),
    )


TORCH_PRODUCTS = Competitor(
    "torch products",
    "the same in Torch",
    _products,
    group="products",
    modules=("torch",),
    computes_step=False,
    peaks=_peaks,
    on_device=_on,
)
