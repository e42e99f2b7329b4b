"""Losses, their derivative in the network's output, and the label transform they induce.

Conventions (they fix the scale of every gradient): squared is (f − y)²/2, so that
l' = f − y; Huber and pseudo-Huber have slope ±δ far out and curvature 1 at zero.
Source: theory.md §1, §2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from array_api_compat import array_namespace

from mimverify.support.arrays import Array
from mimverify.support.errors import InputError
from mimverify.support.importing import load_attribute
from mimverify.support.validation import canonical, choice, number, shortest

_TwoArrays = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Loss:
    """A loss l(f, y), convex in f.

    **Arguments**

    - `name`: the specification that gives this loss back.
    - `derivative`: l'(f, y) = ∂l/∂f elementwise; f and y broadcast; the theory needs
      nothing else of a loss. Without side effects: several threads may call it at once.
    - `value`: l(f, y), or None (only reports use it).
    - `curvature_bound`: sup l'' (`inf` where unknown; 0 for l1, whose jump is apart).
    - `lipschitz`: l' is bounded, as the theorem asks of its loss.
    - `smooth`: l' is continuous.
    """

    name: str
    derivative: _TwoArrays
    value: _TwoArrays | None = None
    curvature_bound: float = math.inf
    lipschitz: bool = False
    smooth: bool = True

    def label_transform(self, y: Array, constant: float = 0.0) -> Array:
        """T(y) = −l'(c, y), not yet centred, same shape as y (theory.md §1)."""
        return -self.derivative(constant + 0 * y, y)


def _difference(
    name: str,
    value: Callable[[Array], Array],
    derivative: Callable[[Array], Array],
    **properties: Any,
) -> Loss:
    return Loss(
        name,
        derivative=lambda f, y: derivative(f - y),
        value=lambda f, y: value(f - y),
        **properties,
    )


def _squared() -> Loss:
    return _difference("squared", lambda u: u**2 / 2, lambda u: u, curvature_bound=1.0)


def _l1() -> Loss:
    return _difference(
        "l1",
        lambda u: array_namespace(u).abs(u),
        lambda u: array_namespace(u).sign(u),
        curvature_bound=0.0,
        lipschitz=True,
        smooth=False,
    )


def huber(delta: float = 1.0) -> Loss:
    """u²/2 for |u| ≤ δ, δ|u| − δ²/2 beyond."""
    delta = number("delta", delta, minimum=0.0, exclusive=True)

    def clip(u: Array) -> Array:
        return u.clip(-delta, delta)  # both libraries have it; the namespace's is far slower

    return _difference(
        _with_delta("huber", delta),
        lambda u: clip(u) * (u - clip(u) / 2),
        clip,
        curvature_bound=1.0,
        lipschitz=True,
    )


def pseudo_huber(delta: float = 1.0) -> Loss:
    """δ² (√(1 + (u/δ)²) − 1)."""
    delta = number("delta", delta, minimum=0.0, exclusive=True)

    def root(u: Array) -> Array:
        xp = array_namespace(u)
        return xp.hypot(xp.ones_like(u), u / delta)  # (u/δ)² would overflow

    return _difference(
        _with_delta("pseudo-huber", delta),
        lambda u: u**2 / (1 + root(u)),
        lambda u: u / root(u),
        curvature_bound=1.0,
        lipschitz=True,
    )


def _log_cosh() -> Loss:
    def value(u: Array) -> Array:
        xp = array_namespace(u)
        return xp.abs(u) + xp.log1p(xp.exp(-2 * xp.abs(u))) - math.log(2)

    return _difference(
        "log-cosh",
        value,
        lambda u: array_namespace(u).tanh(u),
        curvature_bound=1.0,
        lipschitz=True,
    )


def _with_delta(name: str, delta: float) -> str:
    return name if delta == 1.0 else f"{name}:{shortest(delta)}"


#: Named losses; Huber and pseudo-Huber take δ after a colon (`"huber:0.5"`).
#: The loss where none is named, on every command line and in Python: of the theorem's kind, C¹ and
#: Lipschitz. It clips labels beyond 1 from the constant, which costs some links signal.
DEFAULT_LOSS = "huber"

LOSSES: dict[str, Callable[..., Loss]] = {
    "squared": _squared,
    "l1": _l1,
    "huber": huber,
    "pseudo-huber": pseudo_huber,
    "log-cosh": _log_cosh,
}

_WITH_DELTA = ("huber", "pseudo-huber")


def get_loss(loss: Loss | str) -> Loss:
    """The loss that a specification names; a `Loss` is returned as it is.

    **Arguments**

    - `loss`: a `Loss`, a registered name (`"huber"`, `"huber:0.5"`), or
      `"module:attribute"` naming a `Loss` or a callable l'(f, y).

    **Raises** `InputError` for an unknown name, a δ that is not positive, or an
    attribute that cannot be imported.
    """
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        raise InputError(f"loss={loss!r}: expected a Loss or a name")
    head, _, parameter = loss.partition(":")
    name: str | None = head  # spelt as it is here: no search, since every step asks
    if head not in LOSSES:
        name = {canonical(known): known for known in LOSSES}.get(canonical(head))
    if name is None:
        if parameter:
            return _import_loss(loss)
        choice("loss", loss, LOSSES)  # raises, with the nearest name
        raise AssertionError("unreachable")
    return _build(name, parameter, loss)


@lru_cache(maxsize=128)
def _build(name: str, parameter: str, spec: str) -> Loss:
    # One object for one specification: caches are keyed by it.
    if not parameter:
        return LOSSES[name]()
    if name not in _WITH_DELTA:
        raise InputError(f"loss={spec!r}: {name} takes no parameter")
    try:
        return LOSSES[name](float(parameter))
    except ValueError:
        raise InputError(f"loss={spec!r}: expected a positive number after the colon") from None


def _import_loss(spec: str) -> Loss:
    try:
        target = load_attribute("loss", spec)
    except InputError as error:
        raise InputError(f"loss={spec!r}: neither a named loss nor importable ({error})") from None
    if isinstance(target, Loss):
        return replace(target, name=spec)
    if not callable(target):
        raise InputError(f"loss={spec!r}: expected a Loss or a callable l'(f, y)")
    return Loss(spec, derivative=target)
