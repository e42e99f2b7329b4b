"""What a label without noise tells about its one hidden feature, beyond an estimate ω of it.

ω ~ N(0, q), z | ω ~ N(ω, V), V = 1 − q, y = g(z). Everything follows from the fraction of V that
the label explains,

    P(q) = E[(E[z | y, ω] − ω)²] / V = 1 − E[Var(z | y, ω)] / V.

Source: theory.md §9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.theory.conditional.pieces import probability
from mimverify.theory.limits.fibres import Fibres

#: In standard deviations: what lies beyond weighs 1e-17.
_FAR = 8.5
#: Preimages farther apart than this many √V never compete.
_APART = 2 * _FAR
#: Ends of intervals farther out are none: no mass is beyond them.
_LAST_END = 9.5
#: Numbers in one array.
_BLOCK = 2_000_000


@dataclass(frozen=True)
class NoiselessChannel:
    """P(q) of a link without noise.

    **Arguments**

    - `nodes`: labels with their preimages.
    - `step`: of the trapezoidal rule for ω, in standard deviations.
    """

    nodes: Fibres
    step: float

    @property
    def certain(self) -> float:
        """P(1−): the probability that the label is no atom, so that it determines z nearby."""
        return 1 - self.nodes.atomic

    def orders(self) -> tuple[float, float]:
        """E[E[z|y]²] and E[(E[z²|y] − 1)²]: P = first + second·q + …, where the first is 0."""
        nodes = self.nodes
        b = nodes.preimages
        posterior = np.exp(
            nodes.log_density - nodes.log_density[:, :1] - (b**2 - b[:, :1] ** 2) / 2
        )
        total = posterior.sum(axis=1)
        mean = (posterior * b).sum(axis=1) / total
        excess = (posterior * (b**2 - 1)).sum(axis=1) / total
        first, second = nodes.weight @ mean**2, nodes.weight @ excess**2
        for sets in nodes.atoms:
            a, b = sets.T
            density = np.exp(-np.square([a, b]) / 2) / math.sqrt(2 * math.pi)
            mass = probability(a, b).sum()
            first += (density[0] - density[1]).sum() ** 2 / mass
            second += (a * density[0] - b * density[1]).sum() ** 2 / mass
        return float(first), float(second)

    def explained(self, q: float) -> float:
        """P(q) for 0 ≤ q < 1."""
        if q <= 0:
            return self.orders()[0]
        V = 1 - q
        known, left = self._continuous(q, V)
        atoms = [_atom(sets, q, V) for sets in self.nodes.atoms]
        # Where V is small only layers around the ends of pieces lose anything: sum that instead.
        if q < 0.5 or not len(self.nodes.z):
            return float(known + sum(atom[0] for atom in atoms))
        return float(1 - left - sum(atom[1] for atom in atoms))

    def _continuous(self, q: float, V: float) -> tuple[float, float]:
        """E[(E[z|y,ω] − ω)²]/V and E[Var(z|y,ω)]/V over labels that are no atoms."""
        nodes = self.nodes
        noise = np.arange(-_FAR, _FAR + self.step / 2, self.step)
        masses = np.exp(-(noise**2) / 2)
        masses /= masses.sum()
        delta = (nodes.preimages - nodes.z[:, None]) / math.sqrt(V)
        competing = (np.abs(delta) < _APART) & np.isfinite(nodes.log_density)
        competing[:, 0] = True
        alone = competing.sum(axis=1) == 1
        # There E[z|y,ω] = z, and E[(z − ω)²]/V = V z² + q.
        known = float(nodes.weight[alone] @ (V * nodes.z[alone] ** 2 + q))
        left = 0.0
        rows = np.flatnonzero(~alone)
        if not len(rows):
            return known, left
        # Those that compete, in the first columns.
        order = np.argsort(~competing[rows], axis=1, kind="stable")
        width = int(competing[rows].sum(axis=1).max())
        order = order[:, :width]
        present = np.take_along_axis(competing[rows], order, axis=1)
        delta = np.where(present, np.take_along_axis(delta[rows], order, axis=1), 0.0)
        log_density = np.take_along_axis(nodes.log_density[rows], order, axis=1)
        prior = np.exp(log_density - log_density[:, :1] - delta**2 / 2) * present
        for block in range(0, len(rows), max(1, _BLOCK // (width * len(noise)))):
            chunk = slice(block, block + max(1, _BLOCK // (width * len(noise))))
            z, weight = nodes.z[rows[chunk]], nodes.weight[rows[chunk]]
            s = math.sqrt(q) * noise - math.sqrt(V) * z[:, None]  # (ω − z)/√V
            d, p = delta[chunk], prior[chunk]
            total, first, second = np.ones_like(s), np.zeros_like(s), np.zeros_like(s)
            for k in range(1, width):
                likely = p[:, k, None] * np.exp(d[:, k, None] * s)
                total += likely
                likely *= d[:, k, None]
                first += likely
                likely *= d[:, k, None]
                second += likely
            first /= total
            known += float(weight @ ((first - s) ** 2 @ masses))
            left += float(weight @ ((second / total - first**2) @ masses))
        return known, left


_PANEL, _PANEL_WEIGHTS = np.polynomial.legendre.leggauss(80)


def _atom(sets: Float64Array, q: float, V: float) -> tuple[float, float]:
    """E[(E[z|y,ω] − ω)²]/V and E[Var(z|y,ω)]/V of an atom with the given set `(k, 2)`.

    z | y, ω is N(ω, V) truncated to the set. Only ω near an end of an interval counts.
    """
    from scipy.special import ndtr

    ends = np.unique(sets)
    ends = ends[np.abs(ends) <= _LAST_END]
    if q < 0.5:
        s = np.linspace(-_FAR, _FAR, 341)
        omega, weight = math.sqrt(q) * s, np.exp(-(s**2) / 2) * (s[1] - s[0])
    else:
        wide = 10 * math.sqrt(V)
        middles = (ends[1:] + ends[:-1]) / 2
        low = np.maximum(ends - wide, np.concatenate([[-np.inf], middles]))
        high = np.minimum(ends + wide, np.concatenate([middles, [np.inf]]))
        omega = ((low + high)[:, None] / 2 + (high - low)[:, None] / 2 * _PANEL).ravel()
        weight = ((high - low)[:, None] / 2 * _PANEL_WEIGHTS).ravel()
        weight = weight * np.exp(-(omega**2) / (2 * q)) / math.sqrt(q)
    weight = weight / math.sqrt(2 * math.pi)
    a, b = ((end[:, None] - omega) / math.sqrt(V) for end in sets.T)
    at_a, at_b = (np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) for x in (a, b))
    total = np.where(a > 0, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a)).sum(axis=0)
    shift = (at_a - at_b).sum(axis=0)
    mean = shift**2 / np.maximum(total, 1e-300)
    spread = (a * at_a - b * at_b).sum(axis=0)
    known = float(weight @ mean)
    mass = float(probability(*sets.T).sum())
    return known, mass + float(weight @ (spread - mean))
