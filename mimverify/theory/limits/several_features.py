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


@dataclass(frozen=True)
class Reached:
    """Alignment and error in y at one sample ratio, each with its error; None where unknown."""

    alignment: float
    alignment_error: float
    label_error: float
    label_error_error: float
    alignment_it: float | None
    alignment_it_error: float | None
    label_error_it: float | None
    label_error_it_error: float | None
    reason: str | None


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

    @property
    def label_variance(self) -> float:
        """Var g(z)."""
        r = self.link.rank
        return self.best.evaluate(np.zeros((r, r)))[1] * self.unit**2

    def reached(self, ratio: float, say: Callable[[str], None]) -> Reached:
        """What the algorithm and the optimum reach."""
        with single_threaded_libraries():
            return self._reached(ratio, say)

    def _reached(self, ratio: float, say: Callable[[str], None]) -> Reached:
        r = self.link.rank

        def told(what: str) -> Callable[[int, Float64Array], None]:
            return lambda step, q: say(
                f"n/d = {ratio:g}, {what}: iteration {step + 1}, tr q/r = {np.trace(q) / r:.3f}"
            )

        reason = self._stuck(ratio)
        zero = np.zeros((r, r))
        if reason is not None:
            variance = self.best.evaluate(zero)[1]
            fixed = FixedPoint(zero, variance, False, 0.0)
            error, y_error = 0.0, abs(variance - self.coarse.evaluate(zero)[1])
        else:
            fixed = iterate(self.best, ratio, _generic(r), most=_MOST, on_step=told("from 0"))
            error, y_error = self._checked(fixed, ratio)
        algorithm = (fixed.alignment, error, fixed.label_error, y_error)
        unit2 = self.unit**2
        scaled = (algorithm[0], error, algorithm[2] * unit2, y_error * unit2)
        if fixed.exact:
            return Reached(*scaled, *scaled, None)
        if self.exact_from is not None and ratio > self.exact_from * 1.001:
            return Reached(*scaled, 1.0, 0.0, 0.0, 0.0, None)
        high = iterate(
            self.best,
            ratio,
            _NEAR_ONE * np.eye(r),
            most=_MOST,
            towards=fixed.q,
            on_step=told("from near 1"),
        )
        close = high.alignment - fixed.alignment < max(_SAME, 2 * error)
        if close or (not high.exact and high.remaining > 0.1):
            # A very slow iteration has no second fixed point to rest at.
            if close:
                return Reached(*scaled, *scaled, None)
            return Reached(
                *scaled, None, None, None, None,
                "the iteration from near 1 does not come to rest, so that the optimum is not known",
            )  # fmt: skip
        if high.exact:
            return Reached(*scaled, None, None, None, None, (
                "the iteration from near 1 becomes exact below the ratio at which counting allows "
                "it: within the error of the sums"))  # fmt: skip
        gains = [entropy_gain(c, ratio, fixed.q, high.q) for c in (self.best, self.coarse)]
        gain, doubt = gains[0], _CAUTION * abs(gains[0] - gains[1]) + 1e-4
        if abs(gain) < doubt:
            return Reached(
                *scaled, None, None, None, None,
                f"fixed points at tr q/r = {fixed.alignment:.3f} and {high.alignment:.3f} differ "
                f"in free entropy by {gain:.1g} ± {doubt:.1g}: which is the optimum is not known",
            )  # fmt: skip
        if gain < 0:
            return Reached(*scaled, *scaled, None)
        error, y_error = self._checked(high, ratio)
        return Reached(
            *scaled, high.alignment, error, high.label_error * unit2, y_error * unit2, None
        )

    def _stuck(self, ratio: float) -> str | None:
        """Why the algorithm stays at 0, or None where it leaves."""
        if self.starts_by_itself:
            return None
        if self.information.alpha_c is None:
            return self.information.reason
        return "below α_c" if ratio <= self.information.alpha_c else None

    def _checked(self, fixed: FixedPoint, ratio: float) -> tuple[float, float]:
        """Errors of alignment and error in y: what the coarser sums make of the fixed point."""
        if fixed.exact:
            start = _NEAR_ONE * np.eye(len(fixed.q))
            again = iterate(self.coarse, ratio, start, most=2 * _MOST_AGAIN)
            changes = 1 - again.alignment, again.label_error
            return (0.0, 0.0) if again.exact else (_CAUTION * changes[0], _CAUTION * changes[1])
        again = iterate(self.coarse, ratio, fixed.q, most=_MOST_AGAIN)
        rest = 0.0 if not math.isfinite(fixed.remaining) else fixed.remaining * fixed.alignment
        return (
            _CAUTION * abs(again.alignment - fixed.alignment) + rest,
            _CAUTION * abs(again.label_error - fixed.label_error) + rest * fixed.label_error,
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
