"""What a noisy label tells about its one hidden feature, beyond an estimate ω of it.

ω ~ N(0, q), z | ω ~ N(ω, V), V = 1 − q, y = g(z) + σ ε. With S_k(y, ω) = E[(z − ω)^k p(y | z) | ω],

    P(q) = (1/V) E_ω ∫ S_1²/S_0 dy.

Three grids, of z, y and ω, are as fine as what is integrated over them is rough; for a block of
labels and a window of estimates only the z near both count. Source: theory.md §9.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError

#: In standard deviations, of z and of the noise; what lies beyond weighs 1e-11.
_REACH = 6.5
#: Labels, and estimates, in a block.
_BLOCK = 64
_TINY = 1e-300
#: Nodes of z and labels beyond which the sums take too long.
_MOST = 100_000


@dataclass(frozen=True)
class NoisyChannel:
    """P(q) of a link with label noise.

    **Arguments**

    - `z`, `weight`: nodes `(N,)`, ascending, and dz; `g`: labels there.
    - `noise`: σ; `y_step`, `omega_step`: of the trapezoidal rules, in the widths that matter.
    """

    z: Float64Array
    weight: Float64Array
    g: Float64Array
    noise: float
    y_step: float
    omega_step: float

    @staticmethod
    def of(
        link: Link,
        noise: float,
        cuts: Float64Array,
        narrowest: float,
        *,
        order: int = 6,
        step: float = 0.4,
    ) -> NoisyChannel:
        """Grids for all V ≥ `narrowest`².

        **Arguments**

        - `cuts`: jumps and kinks of g, ascending; no cell of the z-grid contains one.
        - `order`: of the rule on each cell; `step`: of the trapezoidal rules.

        **Raises** `InputError` where the noise is too small against the range of the labels.
        """
        inner = cuts[np.abs(cuts) < _REACH - 1e-9]
        ends = np.concatenate([[-_REACH], inner, [_REACH]])
        edges: list[Float64Array] = []
        for a, b in pairwise(ends):
            count = max(2, math.ceil((b - a) * 20))
            spots = np.linspace(a + 1e-9 * (b - a), b - 1e-9 * (b - a), 100 * count + 1)
            moved = np.abs(np.diff(link(spots[:, None])))
            per_cell = np.diff(spots) / min(0.5, 2 * narrowest) + moved / (1.5 * noise)
            way = np.concatenate([[0.0], np.cumsum(per_cell)])
            cells = max(1, math.ceil(way[-1]))
            if cells * order > _MOST:
                raise _too_little(noise, link)
            edges.append(np.interp(np.arange(cells) * way[-1] / cells, way, spots))
            edges[-1][0] = a
        grid = np.concatenate([*edges, [_REACH]])
        if len(grid) * order > _MOST:
            raise _too_little(noise, link)
        x, w = np.polynomial.legendre.leggauss(order)
        half = np.diff(grid)[:, None] / 2
        z = (grid[:-1, None] + half * (1 + x)).ravel()
        weight = (half * w).ravel()
        g = link(z[:, None])
        if np.ptp(g) / (step * noise) > _MOST:
            raise _too_little(noise, link)
        return NoisyChannel(z, weight, g, noise, step, step)

    #: No label determines z.
    certain = 0.0

    def orders(self) -> tuple[float, float]:
        """E[E[z|y]²] and E[(E[z²|y] − 1)²]."""
        prior = self.weight * np.exp(-(self.z**2) / 2) / math.sqrt(2 * math.pi)
        powers = np.column_stack([prior, prior * self.z, prior * (self.z**2 - 1)])
        first = second = 0.0
        for nodes, likely in self._blocks(np.arange(len(self.z))):
            total, mean, excess = (likely @ powers[nodes]).T
            total = np.maximum(total, _TINY)
            first += float((mean**2 / total).sum())
            second += float((excess**2 / total).sum())
        return first * self._dy, second * self._dy

    def explained(self, q: float) -> float:
        """P(q) for 0 ≤ q < 1."""
        if q <= 0:
            return self.orders()[0]
        V = 1 - q
        width = math.sqrt(V)
        step = self.omega_step * math.sqrt(q * V)
        most = math.ceil(_REACH * math.sqrt(q) / step)
        omega = np.arange(-most, most + 1) * step
        mass = np.exp(-(omega**2) / (2 * q)) * step / math.sqrt(2 * math.pi * q)
        total = 0.0
        for start in range(0, len(omega), _BLOCK):
            window = slice(start, start + _BLOCK)
            at = omega[window]
            far = (_REACH + 1) * width
            low, high = np.searchsorted(self.z, [at[0] - far, at[-1] + far])
            apart = (self.z[low:high, None] - at) / width
            density = self.weight[low:high] / (math.sqrt(2 * math.pi) * width)
            kernel = np.exp(-(apart**2) / 2) * density[:, None]
            moments = np.concatenate([kernel, kernel * apart], axis=1)
            for nodes, likely in self._blocks(np.arange(low, high)):
                zeroth, first = np.hsplit(likely @ moments[nodes - low], 2)
                total += float(((first**2 / np.maximum(zeroth, _TINY)) @ mass[window]).sum())
        return total * self._dy

    @property
    def _dy(self) -> float:
        return self.y_step * self.noise

    def _blocks(self, nodes: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], Float64Array]]:
        """Of given nodes, those that matter to a block of labels, and p(y | z) `(labels, nodes)`.

        Labels lie on one grid, k·dy, whatever the nodes are.
        """
        if not len(nodes):
            return
        nodes = nodes[np.argsort(self.g[nodes], kind="stable")]
        g = self.g[nodes]
        far = (_REACH + 1) * self.noise
        first, last = math.floor((g[0] - far) / self._dy), math.ceil((g[-1] + far) / self._dy)
        for start in range(first, last + 1, _BLOCK):
            y = np.arange(start, min(start + _BLOCK, last + 1)) * self._dy
            low, high = np.searchsorted(g, [y[0] - far, y[-1] + far])
            if high > low:
                apart = (y[:, None] - g[low:high]) / self.noise
                likely = np.exp(-(apart**2) / 2) / (math.sqrt(2 * math.pi) * self.noise)
                yield nodes[low:high], likely


def _too_little(noise: float, link: Link) -> InputError:
    return InputError(
        f"noise={noise:.3g} in units of the labels' spread: too little against the range of link "
        f"{link.name} for sums over label, feature and estimate: expected 0 or a larger one"
    )
