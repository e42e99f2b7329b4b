"""How fast a label transform grows: whether T is bounded, as the theorem's loss makes it.

Source: theory.md §6, N2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.theory.labels.sobol import sobol_points

_RADII = np.array([4.0, 8.0, 16.0, 32.0, 64.0])
_DIRECTIONS_POWER = 9
_RADIAL_POINTS = 64


@dataclass(frozen=True)
class Tail:
    """How |T| grows with ‖z‖.

    - `bounded`: True, False, or None where it could not be decided.
    - `growth`: p where |T| ~ ‖z‖^p far out (0 if bounded, inf beyond any power, None where
      undetermined); T then has tails exp(−c t^(2/p)).
    - `rests_on`: a proof or an observation.
    """

    bounded: bool | None
    growth: float | None
    rests_on: str

    def __str__(self) -> str:
        if self.bounded is None:
            return "undetermined"
        if self.bounded:
            return "bounded"
        if self.growth is None:
            return "is unbounded"
        if self.growth == np.inf:
            return "grows faster than any power of |z|"
        return f"grows like |z|^{self.growth:.3g}"


def tail_of(transform: Callable[[Float64Array], Float64Array], rank: int) -> Tail:
    """The growth of z ↦ T(g(z)), `(q, r)` → `(q,)`, observed along rays.

    The largest |T| within radius 4, 8, …, 64 is compared; a bounded function that still
    rises slowly there is reported as undetermined.
    """
    from scipy.special import ndtri

    axes = np.concatenate([np.eye(rank), -np.eye(rank)])
    if rank > 1:
        uniform = sobol_points(rank, _DIRECTIONS_POWER)[1:]
        gaussian = ndtri(np.clip(uniform, 1e-9, 1 - 1e-9))
        norms = np.linalg.norm(gaussian, axis=1)
        directions = np.concatenate([axes, gaussian[norms > 0] / norms[norms > 0, None]])
    else:
        directions = axes
    # Incommensurable radii, so that no period is sampled at one phase.
    radii = np.sort((np.arange(1, _RADIAL_POINTS + 1) * (np.sqrt(5) - 1) / 2) % 1)
    largest = []
    for inner, outer in zip([0.0, *_RADII[:-1]], _RADII, strict=True):
        r = inner + (outer - inner) * radii
        z = (r[:, None, None] * directions).reshape(-1, rank)
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                values = np.abs(transform(z))
        except InputError:  # the link overflows: nothing polynomial does so at 64
            return Tail(False, np.inf, "the link overflows at moderate |z|")
        largest.append(float(np.max(values)))
        if not np.isfinite(largest[-1]):
            return Tail(False, np.inf, "T overflows at moderate |z|")
    running = np.maximum.accumulate(largest)
    rests_on = f"the largest |T| along {len(directions)} rays up to |z| = {_RADII[-1]:g}"
    if running[-1] <= 1.01 * running[1]:
        return Tail(True, 0.0, rests_on)
    slopes = np.diff(np.log(running)) / np.diff(np.log(_RADII))
    if slopes[-1] > 30:
        return Tail(False, np.inf, rests_on)
    if slopes[-1] > 0.25 and (slopes[-1] > 0.5 or slopes[-1] > 0.9 * slopes[-2]):
        # A power's slope stays; a logarithm's falls.
        return Tail(False, float(slopes[-1]), rests_on)
    return Tail(None, None, rests_on + ", which still rises slowly")
