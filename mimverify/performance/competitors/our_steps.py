"""The reference trainer's own step, on each of its backends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mimverify.backends import backend_class, get_backend
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


def our_step(name: str) -> Competitor:
    """Our step on the backend of that name, under the same name."""
    backend = backend_class(name)
    about = f"mimverify's step on {backend.title}: train_first_layer with one step"
    return Competitor(
        name,
        f"{about}, its checks included",
        _preparing(name),
        group="ours",
        modules=backend.modules,
        extra=backend.extra,
        products=f"{name} products",
        backend=name,
        on_device=partial(_on, name) if backend.takes_devices else None,
    )


def _on(name: str, device: str) -> Competitor:
    """Our step on a device, beside the bare products there."""
    backend = backend_class(name)
    return Competitor(
        f"{name} on {device}",
        f"mimverify's step on {backend.title}, its data on {device}",
        _preparing(name, device),
        group="ours",
        modules=backend.modules,
        extra=backend.extra,
        products=f"{name} products on {device}",
        backend=name,
    )


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

        used, reason = pass_in_use() if backend.native_pass else (name, "")
        note = (
            "" if not backend.native_pass else f"pass: {used}" + (f" ({reason})" if reason else "")
        )
        return Run(call, facts={"pass": used}, note=note)

    return prepare
