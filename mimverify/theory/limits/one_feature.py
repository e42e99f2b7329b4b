"""The limit of a link of one hidden feature: the learning curve at two resolutions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.threads import single_threaded_libraries
from mimverify.theory.conditional.conditional import label_units, standardised
from mimverify.theory.conditional.moments import CLEARLY, ROUNDING
from mimverify.theory.conditional.pieces import SATURATED, Pieces
from mimverify.theory.conditional.preimages import is_even
from mimverify.theory.labels.cache import cached
from mimverify.theory.limits.fibres import breaks, fibres, resolved_pieces
from mimverify.theory.limits.label_error import label_error
from mimverify.theory.limits.learning_curve import LearningCurve
from mimverify.theory.limits.noiseless_channel import NoiselessChannel
from mimverify.theory.limits.noisy_channel import NoisyChannel
from mimverify.theory.limits.transitions import Transitions, transitions

#: E[(E[z²|y] − 1)²] below this is not told from 0: no threshold beyond 1/this is given.
LEAST_SECOND = 1e-6
#: P(1−) below this is rounding: all labels are atoms.
_LEAST_CERTAIN = 1e-9
#: Labels that explain less than this count for little at ratios below 1/this.
_LEAST_EXPLAINED = 0.01
#: −log(1 − q) up to which the curve is evaluated rather than expanded.
_ENDS = (14.0, 13.0)
#: Preimages above which the curve is evaluated at fewer q.
_MANY = 10_000
_FINE_ORDER, _COARSE_ORDER = 16, 11


@dataclass(frozen=True)
class OneFeature:
    """The curve and its transitions, `best` and on independent, coarser grids.

    - `link`, `noise`: as the user gave them; `cuts`: jumps and kinks of g.
    - `rests_on`: what errors rest on.
    """

    link: Link
    noise: float
    cuts: Float64Array
    best: Transitions
    coarse: Transitions
    uncovered: float
    rests_on: str

    @property
    def relative_error(self) -> float:
        """Of 𝒜 where it is below 100, from what the grids change at a few overlaps."""
        L = np.array([0.25, 0.7, 1.5, 3.0, 6.0])
        fine, coarse = (found.curve.explained(L) for found in (self.best, self.coarse))
        change = np.abs(fine - coarse) / np.maximum(fine, _LEAST_EXPLAINED)
        return float(change.max()) + ROUNDING + self.uncovered

    def error(self, best: float | None, coarse: float | None) -> float | None:
        """The error of a number from its recomputation; None where either does not exist."""
        if best is None or coarse is None:
            return None
        if best == coarse == 0:
            return 0.0
        return abs(best - coarse) + (ROUNDING + self.uncovered) * max(1.0, abs(best))

    def overlaps(self, ratio: float) -> tuple[float, float, float, float]:
        """q of the algorithm and its error, q of the optimum and its error, at a sample ratio.

        Errors include what the error of 𝒜 changes, so that next to a jump they are its height.
        """
        around = [ratio * (1 + s * self.relative_error) for s in (-1, 1)]
        found: list[float] = []
        for which in (Transitions.algorithm, Transitions.optimum):
            best = which(self.best, ratio)
            others = [which(self.coarse, ratio), *(which(self.best, near) for near in around)]
            found += [best, max(abs(best - other) for other in others) + ROUNDING]
        return found[0], found[1], found[2], found[3]

    def label_error(self, q: float, q_error: float) -> tuple[float, float]:
        """E Var(g(z) | ω) at an overlap, and its error."""
        best = label_error(self.link, self.cuts, q, _FINE_ORDER)
        others = [label_error(self.link, self.cuts, q, _COARSE_ORDER)]
        others += [
            label_error(self.link, self.cuts, min(max(q + s * q_error, 0.0), 1.0), _COARSE_ORDER)
            for s in (-1, 1)
        ]
        return best, max(abs(best - other) for other in others)


@cached(maxsize=32)
def one_feature(link: Link, noise: float, largest: float) -> OneFeature:
    """The learning curve of a link of rank 1, good for ratios up to `largest` at least.

    **Raises** `InputError` where the link is too rough to be inverted, or the noise too small to
    be resolved.
    """
    units = label_units(link, noise)
    standard = standardised(link, units)
    scaled = noise / units.unit
    with single_threaded_libraries():
        pieces = Pieces.of(standard, units.blur)
        if isinstance(pieces, str):
            raise InputError(
                f"link={link.name!r}: {pieces}: expected labels that can be inverted: smooth but "
                "at few points, at most 100 monotone pieces, no large common offset"
            )
        cuts = breaks(pieces.merged(SATURATED))
        if noise > 0:
            return _noisy(link, noise, standard, scaled, cuts, largest)
        return _noiseless(link, standard, pieces, cuts)


def _noiseless(link: Link, standard: Link, pieces: Pieces, cuts: Float64Array) -> OneFeature:
    even = is_even(standard)
    found = []
    uncovered = 0.0
    for order, step, end, few, points, coarser in (
        (20, 0.25, _ENDS[0], 40, 4000, 1.0),
        (14, 0.32, _ENDS[1], 30, 3000, 10.0),
    ):
        resolved = resolved_pieces(standard, pieces, coarser)
        nodes = fibres(resolved, order, even=even)
        channel = NoiselessChannel(nodes, step)
        degree = few if nodes.preimages.size > _MANY else few + 24
        certain = channel.certain if channel.certain > _LEAST_CERTAIN else 0.0
        found.append(transitions(_curve(channel, certain, end, degree), points))
        uncovered = max(uncovered, nodes.uncovered)
    return OneFeature(
        link, 0.0, cuts, found[0], found[1], uncovered,
        "all preimages of each label, integrated over z; errors are the change on independent, "
        "coarser grids of z, of the estimate and of q, plus 1e-9 and what rounding leaves out",
    )  # fmt: skip


def _noisy(
    link: Link,
    noise: float,
    standard: Link,
    scaled: float,
    cuts: Float64Array,
    largest: float,
) -> OneFeature:
    end = 3.0
    while True:
        # Until 𝒜 exceeds what is asked for: finer grids than that cost time only.
        trial = NoisyChannel.of(standard, scaled, cuts, math.exp(-end / 2), order=5, step=0.5)
        q = -math.expm1(-end)
        if q / max(trial.explained(q), 1e-300) > 3 * largest or end >= _ENDS[0]:
            break
        end += 1.0
    found = []
    for order, step, degree, points in ((5, 0.5, 40, 4000), (4, 0.62, 30, 3000)):
        channel = NoisyChannel.of(
            standard, scaled, cuts, math.exp(-end / 2), order=order, step=step
        )
        found.append(transitions(_curve(channel, 0.0, end, degree), points))
    return OneFeature(
        link, noise, cuts, found[0], found[1], 0.0,
        "sums over label, feature and estimate; errors are the change on independent, coarser "
        f"grids, plus 1e-9; evaluated for 1 − q ≥ {math.exp(-end):.1e}, expanded beyond",
    )  # fmt: skip


def _curve(
    channel: NoiselessChannel | NoisyChannel, certain: float, end: float, degree: int
) -> LearningCurve:
    first, second = channel.orders()
    if first < CLEARLY * ROUNDING:
        first = 0.0
    if second < LEAST_SECOND:
        second = 0.0
    return LearningCurve.of(channel.explained, first, second, certain, end, degree)
