"""What the first layer is trained on, apart from the inputs. Source: theory.md §2 (stage 1)."""

from __future__ import annotations

from dataclasses import dataclass

from mimverify.network.losses import Loss
from mimverify.support.arrays import Array


@dataclass(frozen=True)
class Objective:
    """What the first layer is trained on, apart from the inputs.

    **Arguments**

    - `loss`: l.
    - `y`: labels `(n,)`, an array of the backend.
    - `constant`, `offset`: c, and the mean of l' that remains (`Centring`).
    - `linear`: θ `(d,)` of a linear part that the network need not learn, or None.
    """

    loss: Loss
    y: Array
    constant: float = 0.0
    offset: float = 0.0
    linear: Array | None = None
