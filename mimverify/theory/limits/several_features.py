"""The limit of a link of two or three hidden features at one sample ratio.

The algorithm starts from a small generic overlap matrix; below α_c it stays at 0. The optimum is
the better, by free entropy, of what the iteration reaches from there and from a large overlap.
Everything is done again with other points, fewer bins and fewer estimates, from where the
first came to rest. Source: theory.md §9.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.support.threads import single_threaded_libraries
from mimverify.theory.conditional.conditional import label_units, standardised
from mimverify.theory.conditional.information import LabelInformation, label_information
from mimverify.theory.labels.cache import cached
from mimverify.theory.limits.matrix_channel import SAMPLE, Effort, MatrixChannel
from mimverify.theory.limits.state_evolution import FixedPoint, entropy_gain, iterate

#: By rank: sizes of the sums, and of the coarser ones.
_EFFORTS = {
    2: (Effort(512, 512, 16, 1), Effort(256, 512, 8, 2)),
    3: (Effort(1024, 1024, 16, 1), Effort(512, 1024, 8, 2)),
}
#: What the change to half the bins is multiplied by: it may fall as slowly as 1/√bins.
_CAUTION = 2.5
_START, _NEAR_ONE = 0.02, 0.97
_MOST, _MOST_AGAIN = 120, 25
#: Fixed points nearer to each other than this are one.
_SAME = 0.02
#: Relative, of the ratio from which labels determine U: nearer to it than its own error.
_BEYOND = 1.001
#: An iteration from near 1 with more than this left to go has not come to rest.
_RESTLESS = 0.1


@dataclass(frozen=True)
class Attained:
    """An overlap matrix `(r, r)` in the link's coordinates, and the error in y, with errors."""

    overlap: Float64Array
    alignment_error: float
    label_error: float
    label_error_error: float

    @property
    def alignment(self) -> float:
        """tr q/r."""
        return float(np.trace(self.overlap)) / len(self.overlap)


@dataclass(frozen=True)
class Reached:
    """What the algorithm and the optimum reach; None where unknown, with the reason."""

    algorithm: Attained
    optimum: Attained | None
    reason: str | None = None


@dataclass(frozen=True)
class SeveralFeatures:
    """Sums at two resolutions for a link of rank 2 or 3."""

    link: Link
    information: LabelInformation
    unit: float
    best: MatrixChannel
    coarse: MatrixChannel

    @property
    def starts_by_itself(self) -> bool:
        """Whether E[z | y] ≠ 0."""
        return self.information.generative_exponent == 1

    @property
    def exact_from(self) -> float | None:
        """n/d from which the labels determine U: r/P(y is no atom); None if never."""
        return self.link.rank / self.best.certain if self.best.certain else None

    @property
    def exact_error(self) -> float:
        """Of `exact_from`, whose probability is counted in a sample of labels."""
        if self.exact_from is None or not len(self.best.atoms):
            return 0.0
        return 2.0 * self.exact_from**2 / self.link.rank / math.sqrt(SAMPLE)

    def reached(self, ratio: float, say: Callable[[str], None]) -> Reached:
        """What the algorithm and the optimum reach at a sample ratio; `say` hears of progress."""
        with single_threaded_libraries():
            fixed = self._climb(ratio, say)
            algorithm = self._checked(fixed, ratio)
            if fixed.exact:
                return Reached(algorithm, algorithm)
            if self.exact_from is not None and ratio > self.exact_from * _BEYOND:
                return Reached(algorithm, Attained(np.eye(self.link.rank), 0.0, 0.0, 0.0))
            return self._compared(fixed, algorithm, ratio, say)

    def _climb(self, ratio: float, say: Callable[[str], None]) -> FixedPoint:
        """Where the algorithm ends."""
        r = self.link.rank
        if self._stuck(ratio):
            zero = np.zeros((r, r))
            return FixedPoint(zero, self.best.evaluate(zero)[1], False, 0.0)
        told = _teller(say, ratio, "from 0")
        return iterate(self.best, ratio, _generic(r), most=_MOST, on_step=told)

    def _compared(
        self, fixed: FixedPoint, algorithm: Attained, ratio: float, say: Callable[[str], None]
    ) -> Reached:
        """The optimum, from a second iteration that starts near 1."""
        high = iterate(
            self.best,
            ratio,
            _NEAR_ONE * np.eye(self.link.rank),
            most=_MOST,
            towards=fixed.q,
            on_step=_teller(say, ratio, "from near 1"),
        )
        if high.alignment - fixed.alignment < max(_SAME, 2 * algorithm.alignment_error):
            return Reached(algorithm, algorithm)
        if high.exact or high.remaining > _RESTLESS:
            return Reached(
                algorithm,
                None,
                "the iteration from near 1 does not come to rest: the optimum is not known",
            )
        gains = [entropy_gain(c, ratio, fixed.q, high.q) for c in (self.best, self.coarse)]
        gain, doubt = gains[0], _CAUTION * abs(gains[0] - gains[1]) + 1e-4
        if abs(gain) < doubt:
            return Reached(
                algorithm,
                None,
                f"fixed points at tr q/r = {fixed.alignment:.3f} and {high.alignment:.3f} differ "
                f"in free entropy by {gain:.1g} ± {doubt:.1g}: which is the optimum is not known",
            )
        return Reached(algorithm, algorithm if gain < 0 else self._checked(high, ratio))

    def _stuck(self, ratio: float) -> str | None:
        """Why the algorithm stays at 0, or None where it leaves."""
        if self.starts_by_itself:
            return None
        if self.information.alpha_c is None:
            return self.information.reason
        return "below α_c" if ratio <= self.information.alpha_c else None

    def _checked(self, fixed: FixedPoint, ratio: float) -> Attained:
        """With errors: what the coarser sums make of the fixed point."""
        unit2 = self.unit**2
        if not fixed.q.any():
            y_error = _CAUTION * abs(self.coarse.evaluate(fixed.q)[1] - fixed.label_error)
            return Attained(fixed.q, 0.0, fixed.label_error * unit2, y_error * unit2)
        start = _NEAR_ONE * np.eye(len(fixed.q)) if fixed.exact else fixed.q
        again = iterate(
            self.coarse, ratio, start, most=2 * _MOST_AGAIN if fixed.exact else _MOST_AGAIN
        )
        if fixed.exact and again.exact:
            return Attained(fixed.q, 0.0, 0.0, 0.0)
        rest = fixed.remaining if math.isfinite(fixed.remaining) else 1.0
        return Attained(
            fixed.q,
            _CAUTION * abs(again.alignment - fixed.alignment) + rest * fixed.alignment,
            fixed.label_error * unit2,
            (_CAUTION * abs(again.label_error - fixed.label_error) + rest * fixed.label_error)
            * unit2,
        )


def _teller(
    say: Callable[[str], None], ratio: float, what: str
) -> Callable[[int, Float64Array], None]:
    """What to call after each step."""
    return lambda step, q: say(
        f"n/d = {ratio:g}, {what}: iteration {step + 1}, tr q/r = {np.trace(q) / len(q):.3f}"
    )


def _generic(r: int) -> Float64Array:
    """A small positive definite start without symmetries, which would stay on saddles."""
    rng = np.random.default_rng([r, 0x73746172])
    root = rng.standard_normal((r, r))
    generic = root @ root.T
    generic *= r / np.trace(generic)
    return np.asarray(_START * (generic + np.eye(r)) / 2)


@cached(maxsize=8)
def several_features(link: Link, noise: float) -> SeveralFeatures:
    """The sums for a link of rank 2 or 3."""
    units = label_units(link, noise)
    standard, scaled = standardised(link, units), noise / units.unit
    fine, coarse = _EFFORTS[link.rank]
    return SeveralFeatures(
        link,
        label_information(link, noise=noise),
        units.unit,
        MatrixChannel.of(standard, scaled, fine),
        MatrixChannel.of(standard, scaled, coarse),
    )
