"""A loss or an update written in JAX as a trainer with `step` and `trajectory`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from mimverify.adapt.offers import Function, Offered, offered
from mimverify.adapt.step_of_a_trajectory import StepOfATrajectory
from mimverify.network import ACTIVATIONS, LOSSES, get_loss
from mimverify.support.arrays import Array, FloatArray
from mimverify.support.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float

    from mimverify.network.activations import Activation
    from mimverify.network.losses import Loss

__all__ = ["JaxTrainer", "jax"]


def jax(
    loss_fn: Function | None = None,
    *,
    update: Function | None = None,
    make_optimiser: Callable[[Array, Array], Array] | None = None,
    activations: Offered = None,
    losses: Offered = None,
    dtypes: tuple[str, ...] = ("float64", "float32"),
) -> JaxTrainer:
    """A trainer whose steps follow the gradient of your loss, or are your own update.

        trainer = mimverify.adapt.jax(loss_fn)

    in a module is tried by `mimverify check module:trainer`.

    **Arguments**

    - `loss_fn`: `loss_fn(W, a, b, X, y, activation, loss)`, a scalar: the mean of
      `loss(f(x_i), y_i)` over the rows of X `(n, d)`, f(x) = Σ_j a_j activation(w_j·x + b_j), with
      W `(m, d)`, a and b `(m,)`. `activation` and `loss` are JAX functions, elementwise. A step is
      W − η (∇_W loss_fn + β W).
    - `update`: in place of `loss_fn`, `update(W, a, b, X, y, eta, beta, activation, loss)`, the
      weights `(m, d)` after one step.
    - `make_optimiser`: beside `loss_fn`, `make_optimiser(eta, beta)` returns an Optax
      transformation in place of gradient descent. A trajectory keeps its state.
    - `activations`, `losses`: the names that the trial may ask for, all by default; or a dictionary
      of names and functions of yours. Without those, they are mimverify's, by value and derivative.
    - `dtypes`: float64 is switched on for these calls alone.

    A step is compiled by `jax.jit` once for each shape, dtype, activation and loss; eta and beta
    are arguments of the program. What a trial's first calls spend on that is not charged to it.

    **Raises** `InputError` where JAX is not installed, for both or none of `loss_fn` and `update`,
    or for unknown names.
    """
    if (loss_fn is None) == (update is None):
        raise InputError("loss_fn, update: expected one of them")
    if update is not None and make_optimiser is not None:
        raise InputError("make_optimiser: expected it beside loss_fn; update makes the whole step")
    for argument, function in (
        ("loss_fn", loss_fn), ("update", update), ("make_optimiser", make_optimiser)
    ):  # fmt: skip
        if function is not None and not callable(function):
            raise InputError(f"{argument}={function!r}: expected a function")
    _jax()
    return JaxTrainer(loss_fn, update, make_optimiser, activations, losses, dtypes)


class JaxTrainer(StepOfATrajectory):
    """What `mimverify.adapt.jax` returns."""

    def __init__(
        self,
        loss_fn: Function | None,
        update: Function | None,
        make_optimiser: Callable[[Array, Array], Array] | None,
        activations: Offered,
        losses: Offered,
        dtypes: tuple[str, ...],
    ) -> None:
        self._loss_fn, self._update, self._make_optimiser = loss_fn, update, make_optimiser
        self._activations = offered("activations", activations, ACTIVATIONS, _activation)
        known = {name: get_loss(name) for name in LOSSES}
        self._losses = offered("losses", losses, known, _loss)
        self.activations, self.losses = tuple(self._activations), tuple(self._losses)
        self.dtypes = dtypes
        self._compiled: dict[tuple[str, str], tuple[Function, Function]] = {}

    def __deepcopy__(self, memo: dict[int, object]) -> JaxTrainer:
        """It has no state but its programs, which are compiled once for all copies."""
        return self

    def trajectory(
        self,
        W0: Float[FloatArray, "m d"],
        a: Float[FloatArray, " m"],
        b: Float[FloatArray, " m"],
        X: Float[FloatArray, "n d"],
        y: Float[FloatArray, " n"],
        *,
        steps: int,
        eta: float,
        beta: float,
        activation: str,
        loss: str,
    ) -> Float[FloatArray, "steps_1 m d"]:
        """The weights `(steps + 1, m, d)` along steps of one optimiser."""
        with _double():
            start, step = self._programs(activation, loss)
            # Copies: on a CPU, JAX's arrays may share memory with NumPy's.
            W, *arrays = (_jax().numpy.array(array) for array in (W0, a, b, X, y))
            state: object = start(W, eta, beta)
            weights = [np.array(W0)]
            for _ in range(steps):
                W, state = step(W, state, *arrays, eta, beta)  # type: ignore[misc]
                weights.append(np.array(W))
        return np.stack(weights)

    def _programs(self, activation: str, loss: str) -> tuple[Function, Function]:
        """Those that start an optimiser, and that take a step."""
        if (activation, loss) not in self._compiled:
            module = _jax()
            functions = self._activations[activation], self._losses[loss]

            def start(W: Array, eta: Array, beta: Array) -> object:
                # Not compiled: it runs once, and without an optimiser does nothing.
                return self._make_optimiser(eta, beta).init(W) if self._make_optimiser else ()

            def step(
                W: Array,
                state: object,
                a: Array,
                b: Array,
                X: Array,
                y: Array,
                eta: Array,
                beta: Any,
            ) -> Array:
                if self._update is not None:
                    return self._update(W, a, b, X, y, eta, beta, *functions), state
                gradient = module.grad(self._loss_fn)(W, a, b, X, y, *functions)
                if self._make_optimiser is None:
                    return W - eta * (gradient + beta * W), state
                change, state = self._make_optimiser(eta, beta).update(gradient, state, W)
                return W + change, state

            self._compiled[activation, loss] = start, module.jit(step)
        return self._compiled[activation, loss]


def _jax() -> ModuleType:
    try:
        return import_module("jax")
    except ImportError:
        raise InputError(
            "adapt.jax needs JAX, which is not installed: pip install 'mimverify[jax]'"
        ) from None


def _double() -> AbstractContextManager[object]:
    """With float64, which JAX otherwise turns into float32."""
    module = _jax()
    if hasattr(module, "enable_x64"):
        manager: AbstractContextManager[object] = module.enable_x64(True)
        return manager
    older: AbstractContextManager[object] = import_module("jax.experimental").enable_x64(True)
    return older


def _activation(activation: Activation) -> Function:
    """σ with mimverify's σ': differentiated by itself, a formula may cancel."""

    def sigma(z: Array) -> Array:
        function = _jax().custom_jvp(activation.value)
        function.defjvps(lambda tangent, _, z: activation.first(z) * tangent)
        return function(z)

    return sigma


def _loss(loss: Loss) -> Function:
    """l(f, y), differentiated in f alone."""

    def value(f: Array, y: Array) -> Array:
        function = _jax().custom_jvp(lambda f: (loss.value or loss.derivative)(f, y))
        function.defjvps(lambda tangent, _, f: loss.derivative(f, y) * tangent)
        return function(f)

    return value
