"""A loss, its derivative in the network's output, and the label transform that it induces.

Conventions (they fix the scale of every gradient): squared is (f − y)²/2, so that
l' = f − y; Huber and pseudo-Huber have slope ±δ far out and curvature 1 at zero.
Source: theory.md §1, §2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from mimverify.support.arrays import Array

__all__ = ["Loss", "loss_of_difference"]

_TwoArrays: TypeAlias = Callable[[Array, Array], Array]


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


def loss_of_difference(
    name: str,
    value: Callable[[Array], Array],
    derivative: Callable[[Array], Array],
    **properties: Any,
) -> Loss:
    """l(f, y) = `value(f − y)`, with that function's derivative; `properties` are `Loss`'s."""
    return Loss(
        name,
        derivative=lambda f, y: derivative(f - y),
        value=lambda f, y: value(f - y),
        **properties,
    )
