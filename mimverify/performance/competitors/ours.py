"""The reference trainer's own step, on each of its backends."""

from __future__ import annotations

from collections.abc import Callable

from mimverify.backends import get_backend
from mimverify.designs.stored import StoredDesign
from mimverify.native import pass_in_use
from mimverify.network.activations import get_activation
from mimverify.network.losses import get_loss
from mimverify.performance.competitors.competitor import Competitor, Run
from mimverify.performance.competitors.problem import Task
from mimverify.support.arrays import Array
from mimverify.training.objective import Objective
from mimverify.training.schedules import ConstantRate
from mimverify.training.stage1 import train_first_layer


def _preparing(name: str, device: str = "") -> Callable[[Task], Run]:
    """On a device that is named, the call ends when the weights are back."""

    def prepare(task: Task) -> Run:
        backend = get_backend(name, task.problem.dtype, device or "cpu")
        design = StoredDesign(task.X, backend)
        objective = Objective(get_loss(task.loss), backend.asarray(task.y))
        W, a, b = (backend.asarray(array) for array in (task.W, task.a, task.b))
        activation, schedule = get_activation(task.activation), ConstantRate(task.eta, task.beta)

        def call() -> Array:
            new = train_first_layer(
                design, objective, W, a, b,
                activation=activation, schedule=schedule, steps=1, zero_allowed=True,
            )  # fmt: skip
            return backend.to_numpy(new) if device else new

        used, reason = pass_in_use() if name == "numpy" else (name, "")
        note = "" if name != "numpy" else f"pass: {used}" + (f" ({reason})" if reason else "")
        return Run(call, facts={"pass": used}, note=note)

    return prepare


NUMPY = Competitor(
    "numpy",
    "mimverify's step on NumPy: train_first_layer with one step, its checks included",
    _preparing("numpy"),
    products="numpy products",
    backend="numpy",
)
TORCH = Competitor(
    "torch",
    "the same on Torch",
    _preparing("torch"),
    modules=("torch",),
    products="torch products",
    backend="torch",
)


def torch_on(device: str) -> Competitor:
    """Our step on a Torch device, beside the bare products there."""
    return Competitor(
        f"torch on {device}",
        f"mimverify's step on Torch, its data on {device}",
        _preparing("torch", device),
        modules=("torch",),
        products=f"torch products on {device}",
        backend="torch",
    )
