"""What the best estimator, and the best known algorithm, reach on a link: one record.

Source: theory.md §9; Barbier et al. (2019), Mondelli and Montanari (2019), Maillard et al. (2020),
Troiani et al. (2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mimverify.pages.notebook import ShownInNotebooks
from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.validation import not_constant, number
from mimverify.theory.labels.quadrature import normal_rule
from mimverify.theory.limits.one_feature import LEAST_SECOND, OneFeature, one_feature
from mimverify.theory.limits.several_features import Attained, several_features
from mimverify.theory.limits.transitions import Jump

#: Links of more features are refused.
MAXIMUM_RANK = 3
#: Ratios up to which curves are good where none is asked for.
_LEAST_RANGE = 10.0
_LARGEST = 1e150
#: Why several features have no α_IT and no α_alg, though these exist.
NOT_COMPUTED = "computed for one feature; here only what is reached at the ratios asked for"


@dataclass(frozen=True)
class Threshold:
    """A sample ratio n/d; `value` is None where there is none, with a `reason`."""

    value: float | None
    error: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class LearningJump:
    """At `ratio` the alignment rises from `low` to `high` at once; None is an unknown error."""

    ratio: float
    ratio_error: float | None
    low: float
    low_error: float | None
    high: float
    high_error: float | None


@dataclass(frozen=True)
class BayesPoint:
    """What is reached at one sample ratio, as d → ∞.

    - `alignment`: tr q/r of the algorithm's fixed point from q = 0 (approximate message passing),
      the mean squared cosine between the hidden subspace and its estimate; `alignment_it`: of
      the global optimum, the posterior mean.
    - `label_error`, `label_error_it`: E Var(g(z) | ω) of the same two, the squared error of the
      best prediction of g for a fresh input; noise variance not included.
    - `overlap`, `overlap_it`: q `(r, r)` of both, in the link's coordinates; its eigenvalues are
      the squared principal cosines.
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
    overlap: Float64Array | None = None
    overlap_it: Float64Array | None = None
    reason: str | None = None

    def to_json(self) -> Json:
        """The fields, by name."""
        record: Json = dict(vars(self))
        for name in ("overlap", "overlap_it"):
            matrix: Float64Array | None = getattr(self, name)
            record[name] = None if matrix is None else matrix.tolist()
        return record


@dataclass(frozen=True)
class BayesLimits(ShownInNotebooks):
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
    label_variance_error: float
    points: tuple[BayesPoint, ...]
    notes: tuple[str, ...]
    rests_on: str
    feature: OneFeature | None = None

    def curves(self, ratios: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Alignments `(k,)` of the algorithm and of the optimum at ratios `(k,)`, for r = 1.

        **Raises** `InputError` for several features, of which only `points` are known.
        """
        if self.feature is None:
            raise InputError(
                f"link={self.link.name!r}: expected one hidden feature; of several, `points` has "
                "what is known"
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
        record["label_variance_error"] = self.label_variance_error
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

    **Raises** `InputError` for a constant link, a rank above 3, ratios that are not positive, links
    that cannot be inverted (more than 100 monotone pieces), and noise too small to be resolved.
    """
    link = get_link(link, rank=rank)
    noise = number("noise", noise, minimum=0.0)
    ratios = [number("ratio", ratio, minimum=0.0, exclusive=True) for ratio in ratios]
    if link.rank > MAXIMUM_RANK:
        raise InputError(
            f"rank={link.rank}: link {link.name}: expected at most {MAXIMUM_RANK} hidden features"
        )
    y = link(2 * np.random.default_rng(0).standard_normal((4096, link.rank)))
    not_constant(y)
    if not np.abs(y).max() < _LARGEST:
        raise InputError(f"link={link.name!r}: labels beyond {_LARGEST:g} have no variance")
    if link.rank == 1:
        return _of_one_feature(link, noise, ratios)
    return _of_several_features(link, noise, ratios, on_progress or (lambda line: None))


def _of_one_feature(link: Link, noise: float, ratios: Sequence[float]) -> BayesLimits:
    feature = one_feature(link, noise, max([_LEAST_RANGE, *ratios]))
    best, coarse = feature.best, feature.coarse
    leaves = best.curve.first > 0
    variance = feature.label_error(0.0, 0.0)
    points = []
    for ratio in ratios:
        q, q_error, q_it, q_it_error = feature.overlaps(ratio)
        reached, reached_it = feature.label_error(q, q_error), feature.label_error(q_it, q_it_error)
        overlaps = np.array([[q]]), np.array([[q_it]])
        points.append(
            BayesPoint(ratio, q, q_error, q_it, q_it_error, *reached, *reached_it, *overlaps)
        )

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
        jumps=_jumps(feature, best.jumps, coarse.jumps),
        jumps_it=_jumps(feature, best.jumps_it, coarse.jumps_it),
        hard_phase=tuple((low, high if math.isfinite(high) else None) for low, high in best.hard),
        label_variance=variance[0],
        label_variance_error=variance[1],
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
    variance = _label_variance(link)
    points, notes = [], []
    for ratio in ratios:
        found = features.reached(ratio, say)
        algorithm, optimum = (
            each if each is None or each.overlap.any() else Attained(each.overlap, 0.0, *variance)
            for each in (found.algorithm, found.optimum)
        )
        assert algorithm is not None
        points.append(
            BayesPoint(
                ratio,
                algorithm.alignment,
                algorithm.alignment_error,
                None if optimum is None else optimum.alignment,
                None if optimum is None else optimum.alignment_error,
                algorithm.label_error,
                algorithm.label_error_error,
                None if optimum is None else optimum.label_error,
                None if optimum is None else optimum.label_error_error,
                algorithm.overlap,
                None if optimum is None else optimum.overlap,
                found.reason,
            )
        )
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
    exact = features.exact_from
    return BayesLimits(
        link=link,
        noise=noise,
        alpha_c=Threshold(
            information.alpha_c, information.alpha_c_error, information.alpha_c_reason
        ),
        alpha_it=Threshold(0.0, 0.0)
        if features.starts_by_itself
        else Threshold(None, None, NOT_COMPUTED),
        alpha_it_exact=Threshold(None, None, _never_exact(noise))
        if exact is None
        else Threshold(exact, features.exact_error),
        alpha_alg=Threshold(None, None, _never_exact(noise) if exact is None else NOT_COMPUTED),
        jumps=(),
        jumps_it=(),
        hard_phase=None,
        label_variance=variance[0],
        label_variance_error=variance[1],
        points=tuple(points),
        notes=tuple(notes),
        rests_on="state evolution of the overlap matrix, E[z | y, ω] projected on functions of the "
        "label's rank, from two independent halves of Sobol points; errors are 2.5 times the "
        "change to other points, half as many bins and estimates, plus the iteration's rest",
    )


def _label_variance(link: Link) -> tuple[float, float]:
    """Var g(z) and its error, by quadrature."""

    def moments(z: Float64Array) -> Float64Array:
        y = link(z)
        return np.column_stack([y, y**2])

    rule = normal_rule(moments, link.rank)
    found = []
    for nodes, weights in ((rule.nodes, rule.weights), rule.check):
        y = link(nodes)
        found.append(float(weights @ (y - weights @ y) ** 2))
    return found[0], abs(found[0] - found[1])


def _jumps(
    feature: OneFeature, jumps: tuple[Jump, ...], others: tuple[Jump, ...]
) -> tuple[LearningJump, ...]:
    """Jumps with errors, from the nearest one on the coarser grids."""
    found = []
    for jump in jumps:
        near = min(others, key=lambda other: abs(other.ratio - jump.ratio), default=None)
        errors = [
            None if near is None else feature.error(value, getattr(near, name))
            for name, value in vars(jump).items()
        ]
        found.append(LearningJump(jump.ratio, errors[0], jump.low, errors[1], jump.high, errors[2]))
    return tuple(found)


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
