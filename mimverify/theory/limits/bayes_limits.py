"""What the best estimator, and the best known algorithm, reach on a link: one record.

Source: theory.md §9; Barbier et al. (2019), Mondelli and Montanari (2019), Maillard et al. (2020),
Troiani et al. (2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.validation import not_constant, number
from mimverify.theory.limits.label_error import label_error
from mimverify.theory.limits.one_feature import LEAST_SECOND, OneFeature, one_feature
from mimverify.theory.limits.several_features import several_features

#: Links of more features are refused.
MAXIMUM_RANK = 3
#: Ratios up to which curves are good where none is asked for.
_LEAST_RANGE = 10.0


@dataclass(frozen=True)
class Threshold:
    """A sample ratio n/d; `value` is None where there is none, with a `reason`."""

    value: float | None
    error: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class LearningJump:
    """At `ratio` ± `error` the alignment rises from `low` to `high` at once."""

    ratio: float
    error: float | None
    low: float
    high: float


@dataclass(frozen=True)
class BayesPoint:
    """What is reached at one sample ratio, as d → ∞.

    - `alignment`: tr q/r of the algorithm's fixed point from q = 0 (approximate message passing),
      the mean squared cosine between the hidden subspace and its estimate; `alignment_it`: of
      the global optimum, the posterior mean.
    - `label_error`, `label_error_it`: E Var(g(z) | ω) of the same two, the squared error of the
      best prediction of g for a fresh input; noise variance not included.
    - Each has an `_error`; None where a number could not be had, with a `reason`.
    """

    ratio: float
    alignment: float | None
    alignment_error: float | None
    alignment_it: float | None
    alignment_it_error: float | None
    label_error: float | None
    label_error_error: float | None
    label_error_it: float | None
    label_error_it_error: float | None
    reason: str | None = None

    def to_json(self) -> Json:
        """The fields, by name."""
        return dict(vars(self))


@dataclass(frozen=True)
class BayesLimits:
    """The limits of learning y = g(U x) + noise·ε from n = ratio·d samples, as d → ∞.

    - `alpha_c`: n/d below which the algorithm stays at q = 0 (it may leave it by a jump).
    - `alpha_it`: from where on the posterior mean has an overlap with U at all.
    - `alpha_it_exact`, `alpha_alg`: from where on the posterior mean, and the algorithm,
      determine U exactly.
    - `jumps`, `jumps_it`: discontinuities of the algorithm's and of the optimum's alignment.
    - `hard_phase`: intervals of n/d in which the algorithm stays below the optimum; an end None
      is infinite.
    - `label_variance`: Var g(z), which predicting the mean has as its error.
    - `points`: at the ratios asked for.
    """

    link: Link
    noise: float
    alpha_c: Threshold
    alpha_it: Threshold
    alpha_it_exact: Threshold
    alpha_alg: Threshold
    jumps: tuple[LearningJump, ...]
    jumps_it: tuple[LearningJump, ...]
    hard_phase: tuple[tuple[float, float | None], ...] | None
    label_variance: float
    points: tuple[BayesPoint, ...]
    notes: tuple[str, ...]
    rests_on: str
    feature: OneFeature | None = None

    def curves(self, ratios: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Alignments `(k,)` of the algorithm and of the optimum at ratios `(k,)`.

        For r = 1 between the points too; otherwise interpolated between them.
        """
        if self.feature is None:
            known = [point for point in self.points if point.alignment is not None]
            at = [point.ratio for point in known]
            algorithm = [point.alignment for point in known]
            optimum = [
                point.alignment if point.alignment_it is None else point.alignment_it
                for point in known
            ]
            return (
                np.interp(ratios, at, np.array(algorithm, dtype=np.float64)),
                np.interp(ratios, at, np.array(optimum, dtype=np.float64)),
            )
        found = self.feature.best
        return (
            np.array([found.algorithm(float(ratio)) for ratio in ratios]),
            np.array([found.optimum(float(ratio)) for ratio in ratios]),
        )

    def to_json(self) -> Json:
        """A record of plain numbers; what does not exist is None, with a reason beside it."""
        record: Json = {
            "link": self.link.name,
            "rank": self.link.rank,
            "formula": self.link.formula,
            "noise": self.noise,
        }
        for name in ("alpha_c", "alpha_it", "alpha_it_exact", "alpha_alg"):
            threshold: Threshold = getattr(self, name)
            record[name] = threshold.value
            record[f"{name}_error"] = threshold.error
            record[f"{name}_reason"] = threshold.reason
        record["jumps"] = [dict(vars(jump)) for jump in self.jumps]
        record["jumps_it"] = [dict(vars(jump)) for jump in self.jumps_it]
        record["hard_phase"] = (
            None if self.hard_phase is None else [list(interval) for interval in self.hard_phase]
        )
        record["label_variance"] = self.label_variance
        record["bayes"] = [point.to_json() for point in self.points]
        record["notes"] = list(self.notes)
        record["rests_on"] = self.rests_on
        return record


def bayes_limits(
    link: Link | str,
    *,
    noise: float = 0.0,
    ratios: Sequence[float] = (),
    rank: int | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> BayesLimits:
    """Thresholds of a link, and what can be reached at the sample ratios n/d given.

    **Arguments**

    - `noise`: standard deviation of the label noise.
    - `rank`: r, for an imported function without one.
    - `on_progress`: called with a line about what is computed.

    **Raises** `InputError` for a constant link, a rank above 3, negative ratios, links that cannot
    be inverted (more than 100 monotone pieces), and noise too small to be resolved.
    """
    link = get_link(link, rank=rank)
    noise = number("noise", noise, minimum=0.0)
    ratios = [number("ratio", ratio, minimum=0.0) for ratio in ratios]
    if link.rank > MAXIMUM_RANK:
        raise InputError(
            f"rank={link.rank}: link {link.name}: expected at most {MAXIMUM_RANK} hidden features"
        )
    not_constant(link(2 * np.random.default_rng(0).standard_normal((4096, link.rank))))
    if link.rank == 1:
        return _of_one_feature(link, noise, ratios)
    return _of_several_features(link, noise, ratios, on_progress or (lambda line: None))


def _of_one_feature(link: Link, noise: float, ratios: Sequence[float]) -> BayesLimits:
    feature = one_feature(link, noise, max([_LEAST_RANGE, *ratios]))
    best, coarse = feature.best, feature.coarse
    leaves = best.curve.first > 0
    points = []
    for ratio in ratios:
        q, q_error, q_it, q_it_error = feature.overlaps(ratio)
        reached, reached_it = feature.label_error(q, q_error), feature.label_error(q_it, q_it_error)
        points.append(BayesPoint(ratio, q, q_error, q_it, q_it_error, *reached, *reached_it))

    def threshold(name: str, reason: str) -> Threshold:
        value = getattr(best, name)
        if value is None:
            return Threshold(None, None, reason)
        return Threshold(value, feature.error(value, getattr(coarse, name)))

    return BayesLimits(
        link=link,
        noise=noise,
        alpha_c=_escape(feature),
        alpha_it=threshold("alpha_it", "no ratio is large enough"),
        alpha_it_exact=threshold("alpha_it_exact", _never_exact(noise)),
        alpha_alg=threshold(
            "alpha_alg",
            _never_exact(noise)
            if best.alpha_it_exact is None
            else "the algorithm never leaves q = 0",
        ),
        jumps=tuple(
            LearningJump(ratio, error if math.isfinite(error) else None, jump.low, jump.high)
            for jump, (ratio, error) in zip(best.jumps, feature.matched_jumps(), strict=True)
        ),
        jumps_it=tuple(
            LearningJump(
                jump.ratio,
                feature.error(jump.ratio, other),
                jump.low,
                jump.high,
            )
            for jump, other in zip(best.jumps_it, _partners(feature), strict=True)
        ),
        hard_phase=tuple((low, high if math.isfinite(high) else None) for low, high in best.hard),
        label_variance=label_error(link, feature.cuts, 0.0, 12),
        points=tuple(points),
        notes=("E[z | y] is not zero: any number of samples ∝ d leaves q = 0",) if leaves else (),
        rests_on=feature.rests_on,
        feature=feature,
    )


def _of_several_features(
    link: Link, noise: float, ratios: Sequence[float], say: Callable[[str], None]
) -> BayesLimits:
    features = several_features(link, noise)
    information = features.information
    points, notes = [], []
    for ratio in ratios:
        found = features.reached(ratio, say)
        points.append(BayesPoint(ratio=ratio, **vars(found)))
    if features.starts_by_itself:
        notes.append("E[z | y] is not zero: any number of samples ∝ d leaves q = 0")
    elif information.alpha_c is None:
        notes.append(
            f"the algorithm stays at q = 0: its generative exponent is {information.reason}"
        )
    notes.append(
        "the optimum is the better of the fixed points reached from q ≈ 0 and from q near 1; "
        "others are not looked for"
    )
    elsewhere = "computed for one feature; here only what is reached at the ratios asked for"
    exact = features.exact_from
    return BayesLimits(
        link=link,
        noise=noise,
        alpha_c=Threshold(
            information.alpha_c, information.alpha_c_error, information.alpha_c_reason
        ),
        alpha_it=Threshold(0.0, 0.0)
        if features.starts_by_itself
        else Threshold(None, None, elsewhere),
        alpha_it_exact=Threshold(None, None, _never_exact(noise))
        if exact is None
        else Threshold(exact, features.exact_error),
        alpha_alg=Threshold(None, None, _never_exact(noise) if exact is None else elsewhere),
        jumps=(),
        jumps_it=(),
        hard_phase=None,
        label_variance=features.label_variance,
        points=tuple(points),
        notes=tuple(notes),
        rests_on="state evolution of the overlap matrix, E[z | y, ω] projected on functions of the "
        "label's rank, from two independent halves of Sobol points; errors are 2.5 times the "
        "change to other points, half as many bins and estimates, plus the iteration's rest",
    )


def _partners(feature: OneFeature) -> list[float | None]:
    """For each jump of the optimum, the ratio of the nearest one on the coarser grids."""
    others = [jump.ratio for jump in feature.coarse.jumps_it]
    return [
        min(others, key=lambda other: abs(other - jump.ratio)) if others else None
        for jump in feature.best.jumps_it
    ]


def _escape(feature: OneFeature) -> Threshold:
    """α_c by the convention of `label_information`: none where E[z | y] ≠ 0."""
    best, coarse = feature.best.curve, feature.coarse.curve
    if best.first:
        return Threshold(
            None,
            None,
            f"E[z | y] is not zero (E[E[z | y]²] = {best.first:.3g}): the algorithm leaves q = 0 "
            "at any ratio",
        )
    if not best.second or not coarse.second:
        return Threshold(
            None,
            None,
            f"E[(E[z² | y] − 1)²] is below {LEAST_SECOND:g}: the algorithm does not leave q = 0 at "
            f"any ratio below {1 / LEAST_SECOND:.0g}",
        )
    return Threshold(
        1 / best.second,
        abs(1 / best.second - 1 / coarse.second) + 1e-9 * max(1.0, 1 / best.second**2),
    )


def _never_exact(noise: float) -> str:
    if noise:
        return "noisy labels determine z at no ratio"
    return "g takes finitely many values: labels determine z at no ratio"
