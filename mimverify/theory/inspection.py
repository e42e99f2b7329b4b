"""Everything the theory says about a link before anybody trains on it.

`inspect_link` is what `mimverify inspect` prints: the paper's assumptions (theory.md §2), and apart
from them those that the predictions need, which go further; the negative control that a broken one
falls under (theory.md §6), what would repair it, and which built-in loss suits the link best.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from mimverify.network.losses import DEFAULT_LOSS, LOSSES, Loss, get_loss, lipschitz_losses
from mimverify.pages.blocks import Column, Table
from mimverify.pages.notebook import ShownInNotebooks
from mimverify.problems.links import Link, get_link
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.validation import integer, number
from mimverify.theory.analysis import TransformAnalysis
from mimverify.theory.conditional.hermite import HermiteTensors, hermite_tensors
from mimverify.theory.conditional.information import LabelInformation, label_information
from mimverify.theory.conditional.moments import CLEARLY
from mimverify.theory.labels.label_law import LabelLaw, check_rank, label_law
from mimverify.theory.limits.bayes_limits import Threshold, bayes_limits
from mimverify.theory.loss_by_loss import LossSummary, gap, under_each_loss
from mimverify.theory.paper import PaperAssumption, paper_assumptions
from mimverify.theory.reach import (
    ReachedThresholds,
)
from mimverify.theory.recommendations import Recommendation, recommend
from mimverify.theory.spectrum.population import reached_measure
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.training.schedules import default_samples

_Result = TypeVar("_Result")

_DIM = 256  # the d behind the default n
#: Why there is no α_GD.
NEVER = "no eigenvalue of H ever leads both edges of the bulk, however many samples"


@dataclass(frozen=True)
class Assumption:
    """What the predictions need: `holds` is True, False, or None where it could not be decided."""

    holds: bool | None
    reason: str
    repair: str | None = None


@dataclass(frozen=True)
class LinkInspection(ShownInNotebooks):
    """What `inspect_link` found.

    - `analysis`: for the loss asked for; `losses`: for every built-in loss, by name, or the
      reason why it cannot be analysed.
    - `information`: α_c and what any transform could see.
    - `alpha_it`, `alpha_alg`: from where on the posterior mean has an overlap at all, and message
      passing is exact (`bayes_limits`).
    - `link_tensors`, `transform_tensors`: Hermite tensors of y and of T(y), to order 4.
    - `paper`: the paper's assumptions on link and loss, by name.
    - `assumptions`: those of this package's predictions, by name, which are extensions of the
      paper's; `control`: the negative control that applies, or None.
    - `constant_error`: of c, which coarser nodes fit as well, and rounding of the labels.
    - `samples`: the n by whose labels thresholds are given; `dim`: d, None where n/d is open.
    - `reached`: thresholds for n labels under each of `losses`; `limit_from`: the n from which
      those under the loss asked for are near their limits (`limit_holds_from`).
    - `plateau_from`: n/d from which the plateau (N1) is reached, None where there is none.
    - `recommendations`: the best built-in loss, one for each regime.
    """

    link: Link
    loss: Loss
    noise: float
    analysis: TransformAnalysis
    losses: dict[str, TransformAnalysis]
    unusable: dict[str, str]
    information: LabelInformation
    alpha_it: Threshold
    alpha_alg: Threshold
    link_tensors: HermiteTensors
    transform_tensors: HermiteTensors
    paper: dict[str, PaperAssumption]
    assumptions: dict[str, Assumption]
    control: str | None
    constant_error: float
    samples: int
    dim: int | None
    reached: dict[str, ReachedThresholds]
    limit_from: int | None
    plateau_from: float | None
    recommendations: tuple[Recommendation, ...]

    @property
    def thresholds(self) -> ReachedThresholds:
        """Those for n labels under the loss asked for."""
        return self.reached[self.loss.name]

    @property
    def summaries(self) -> tuple[LossSummary, ...]:
        """What tells the `losses` from each other, in their order."""
        return tuple(
            LossSummary(name, analysis, at.descent, gap(at.descent, self.information))
            for name, analysis in self.losses.items()
            for at in (self.reached[name],)
        )

    @property
    def gap(self) -> float | None:
        """α_GD/α_c for n labels, None where either does not exist."""
        return gap(self.thresholds.descent, self.information)

    @property
    def gap_error(self) -> float | None:
        """Absolute error of `gap`."""
        if self.gap is None or self.information.alpha_c is None:
            return None
        descent = self.thresholds
        relative = descent.descent_error / descent.descent
        relative += (self.information.alpha_c_error or 0.0) / self.information.alpha_c
        return float(self.gap * relative)

    def html_tables(self) -> list[Table]:
        """For notebooks: the ratios n/d from which it can be learned, and its exponents."""
        record = self.to_json()
        meanings = {
            "alpha_it": "n/d from which any estimator has an overlap with U",
            "alpha_c": "n/d from which the best known algorithm has",
            "alpha_alg": "n/d from which that algorithm determines U exactly",
            "alpha_spectral": "n/d from which an outlier of H has",
            "alpha_gd": "n/d from which gradient descent has, every direction",
            "gap": "the last over α_c",
            "information_exponent": "of y",
            "generative_exponent": "of the best T(y)",
        }
        rows = []
        for name, meaning in meanings.items():
            value = record[name]
            missing = record.get(f"{name}_reason") or "none"
            shown = missing if value is None else f"{value:.5g}"
            rows.append([name.replace("alpha_", "α_"), shown, meaning])
        formula = f", y = {self.link.formula}" if self.link.formula else ""
        caption = f"{self.link.name}{formula}: rank {self.link.rank}, loss {self.loss.name}"
        return [Table(caption, ["quantity", Column("value", numeric=True), "meaning"], rows)]

    def to_json(self) -> Json:
        """A record of plain numbers; what does not exist is None, with a reason beside it."""
        analysis, information = self.analysis, self.information
        limits, at_n = analysis.alpha_spectral, self.thresholds
        return {
            "link": self.link.name,
            "rank": self.link.rank,
            "formula": self.link.formula,
            "loss": self.loss.name,
            "noise": self.noise,
            "constant": analysis.constant,
            "mean_transform": analysis.mean,
            "alpha_c": information.alpha_c,
            "alpha_c_error": information.alpha_c_error,
            "alpha_c_reason": information.alpha_c_reason,
            "alpha_it": self.alpha_it.value,
            "alpha_it_error": self.alpha_it.error,
            "alpha_it_reason": self.alpha_it.reason,
            "alpha_alg": self.alpha_alg.value,
            "alpha_alg_error": self.alpha_alg.error,
            "alpha_alg_reason": self.alpha_alg.reason,
            "samples": self.samples,
            "dim": self.dim,
            "alpha_spectral": _finite(float(at_n.spectral[0])),
            "alpha_spectral_all": [_finite(float(a)) for a in at_n.spectral],
            "alpha_spectral_error": [_finite(float(e)) for e in at_n.spectral_error],
            "alpha_gd": _finite(at_n.descent),
            "alpha_gd_error": _finite(at_n.descent_error),
            "alpha_gd_reason": None if math.isfinite(at_n.descent) else NEVER,
            "gap": self.gap,
            "gap_error": _finite(self.gap_error),
            "limits": {
                "alpha_spectral_all": None
                if limits is None
                else [_finite(float(a)) for a in limits],
                "alpha_spectral_error": None
                if analysis.alpha_spectral_error is None
                else [_finite(float(e)) for e in analysis.alpha_spectral_error],
                "alpha_gd": _finite(analysis.alpha_gd),
                "alpha_gd_error": analysis.alpha_gd_error,
                "alpha_gd_reason": threshold_reason(analysis),
                "gap": gap(analysis.alpha_gd, information),
                "holds_from": self.limit_from,
            },
            "efficiency": efficiency(analysis, information),
            "lambda": analysis.eigenvalues.tolist(),
            "lambda_error": analysis.eigenvalue_error,
            "directions": analysis.directions.tolist(),
            "rank_of_lambda": analysis.rank,
            "kappa": _finite(analysis.kappa),
            "kappa_error": _finite(analysis.kappa_error),
            "v": analysis.v,
            "u": analysis.u.tolist(),
            "v_error": analysis.second_error,
            "third_moment": analysis.third,
            "plateau": analysis.plateau,
            "plateau_from": self.plateau_from,
            "tail": {
                "bounded": analysis.tail.bounded,
                "growth": _finite(analysis.tail.growth),
                "description": str(analysis.tail),
                "rests_on": analysis.tail.rests_on,
            },
            "information_exponent": self.link_tensors.lowest,
            "generative_exponent": information.generative_exponent,
            "generative_exponent_reason": information.reason,
            "visible_directions": information.directions.tolist(),
            "visible_strengths": information.strengths.tolist(),
            "hermite": {
                "label": _tensor_json(self.link_tensors),
                "transform": _tensor_json(self.transform_tensors),
            },
            "paper_assumptions": {
                name: {"holds": a.holds, "reason": a.reason, "extension": a.extension}
                for name, a in self.paper.items()
            },
            "assumptions": {
                name: {"holds": a.holds, "reason": a.reason, "repair": a.repair}
                for name, a in self.assumptions.items()
            },
            "negative_control": self.control,
            "recommendations": [best.to_json() for best in self.recommendations],
            "losses": {
                name: {
                    "lambda": a.eigenvalues.tolist(),
                    "rank_of_lambda": a.rank,
                    "v": a.v,
                    "kappa": _finite(a.kappa),
                    "weakest": a.weakest,
                    "bounded": a.tail.bounded,
                    "alpha_spectral": _finite(float(self.reached[name].spectral[0])),
                    "alpha_gd": _finite(self.reached[name].descent),
                    "alpha_gd_limit": _finite(a.alpha_gd),
                    "gap": gap(self.reached[name].descent, information),
                    "efficiency": efficiency(a, information),
                }
                for name, a in self.losses.items()
            },
            "unusable_losses": self.unusable,
            "rests_on": {"moments": analysis.rests_on, "alpha_c": information.rests_on},
        }


def inspect_link(
    link: Link | str,
    loss: Loss | str = DEFAULT_LOSS,
    *,
    noise: float = 0.0,
    rank: int | None = None,
    samples: int | None = None,
    dim: int | None = None,
    on_progress: Callable[[str], None] | None = None,
    on_loss: Callable[[LossSummary], None] | None = None,
) -> LinkInspection:
    """Analyse a link under a loss, and under every built-in one beside it.

    **Arguments**

    - `samples`: n, by whose labels thresholds are given (default: d log² d, d = 256 if not given).
    - `dim`: d. With either of them n/d is known, and the best loss there is named; the other is
      the default then.
    - `on_progress`: called with a few words about what is computed next.
    - `on_loss`: called with what tells each loss from the others as soon as it is known, in the
      order of `losses`; one at a time, from any thread.

    **Raises** `InputError` for a constant link, one of rank above 12, or a loss whose T(y) is
    not finite; the message then has α_c, which depends on no loss.
    """
    link = get_link(link, rank=rank)
    loss = get_loss(loss)
    noise = number("noise", noise, minimum=0.0)
    known = samples is not None or dim is not None
    dim = integer("dim", _DIM if dim is None else dim, minimum=2)
    samples = integer("samples", samples or default_samples(dim), minimum=2)
    check_rank(link)
    say = on_progress or (lambda line: None)
    say(f"the loss {loss.name}, the others beside it, and what the labels tell")
    others = [name for name in LOSSES if name != loss.name]
    try:
        found = under_each_loss(
            link, loss, others, noise=noise, samples=samples, on_loss=on_loss
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{error}{_hardness(link, noise)}") from error
    losses, reached, information = found.analyses, found.reached, found.information
    analysis, law = losses[loss.name], label_law(link, loss, noise=noise)
    say("the limits of any estimator")
    alpha_it, alpha_alg = _limits(link, noise)
    say("the best loss at either end, and the Hermite tensors")
    spectra = None
    if known:
        spectra = {
            name: Resolvent(
                reached_measure(
                    link, loss if name == loss.name else get_loss(name), samples, noise=noise
                ),
                samples / dim,
            )
            for name in losses
        }
    recommendations = recommend(losses, reached, link.rank, spectra)
    many = next(best for best in recommendations if best.regime == "n ≫ d")
    best = many.losses[0] if many.losses else None
    assumptions = _assumptions(link, analysis, information, losses, best)
    plateau_from = None
    if analysis.plateau:
        plateau_from = _plateau_from(link, loss, noise, dim, analysis.plateau)
    link_tensors, transform_tensors = hermite_tensors(law, lambda at: at.y, lambda at: at.T)
    return LinkInspection(
        link=link,
        loss=loss,
        noise=noise,
        analysis=analysis,
        losses=losses,
        unusable=found.unusable,
        information=information,
        alpha_it=alpha_it,
        alpha_alg=alpha_alg,
        link_tensors=link_tensors,
        transform_tensors=transform_tensors,
        paper=paper_assumptions(link, loss, law, analysis),
        assumptions=assumptions,
        control=_control(link, analysis, plateau_from, dim),
        constant_error=_constant_error(law),
        samples=samples,
        dim=dim if known else None,
        reached=reached,
        limit_from=found.limit_from,
        plateau_from=plateau_from,
        recommendations=recommendations,
    )


def _limits(link: Link, noise: float) -> tuple[Threshold, Threshold]:
    """α_IT and α_alg, or why they are not computed here."""
    if link.rank > 1:
        why = Threshold(None, None, "computed for one feature; see `mimverify limits`")
        return why, why
    try:
        found = bayes_limits(link, noise=noise)
    except InputError as error:
        why = Threshold(None, None, str(error))
        return why, why
    return found.alpha_it, found.alpha_alg


def _constant_error(law: LabelLaw) -> float:
    deviation = float(np.sqrt(law.weights @ (law.y - law.weights @ law.y) ** 2))
    coarse = law.check.constant if law.check is not None else None
    moved = 0.0
    if law.constant is not None and coarse is not None:
        moved = law.margin * abs(law.constant - coarse)
    return max(moved, 1e-9 * deviation)


def _hardness(link: Link, noise: float) -> str:
    """α_c, for the message that a loss has no analysis."""
    try:
        information = label_information(link, noise=noise)
    except InputError:  # the link itself is at fault
        return ""
    if information.alpha_c is None:
        return ""
    error = information.alpha_c_error or 0.0
    return f"; whatever the loss, α_c = {information.alpha_c:.4g} ± {error:.1g}"


def _plateau_from(link: Link, loss: Loss, noise: float, dim: int, level: float) -> float | None:
    """n/d from which H's leading eigenvector comes within a tenth of N1's plateau at this d."""

    def short(log_ratio: float) -> float:
        ratio = math.exp(log_ratio)
        measure = reached_measure(link, loss, max(2, round(ratio * dim)), noise=noise)
        leading = Resolvent(measure, ratio).leading
        return (leading[0].squared_overlap if leading else 0.0) - 0.9 * level

    grid = np.linspace(0.0, math.log(1e6), 25)
    for low, high in pairwise(grid):
        if short(high) >= 0:
            # Not smooth in n: to a few per cent.
            while high - low > 0.02:
                middle = (low + high) / 2
                low, high = (low, middle) if short(middle) >= 0 else (middle, high)
            return float(math.exp(high))
    return None


def efficiency(analysis: TransformAnalysis, information: LabelInformation) -> float | None:
    """e = α_c λ_1²/v ≤ 1: samples needed at n ≫ d, the optimal transform's over this one's."""
    if information.alpha_c is None or not analysis.rank:
        return None
    return float(information.alpha_c * analysis.eigenvalues[0] ** 2 / analysis.v)


def threshold_reason(analysis: TransformAnalysis) -> str | None:
    """Why there is no α_GD, or None where there is one."""
    if analysis.threshold_reason is not None:
        return analysis.threshold_reason
    if analysis.alpha_gd is not None and math.isinf(analysis.alpha_gd):
        return NEVER
    return None


def _assumptions(
    link: Link,
    analysis: TransformAnalysis,
    information: LabelInformation,
    losses: dict[str, TransformAnalysis],
    best: str | None,
) -> dict[str, Assumption]:
    r, lipschitz = link.rank, lipschitz_losses()
    return {
        "generic": _generic(analysis, r, best, losses, information),
        "bounded-transform": Assumption(
            analysis.tail.bounded,
            f"T(y) {analysis.tail}"
            if analysis.tail.bounded is False
            else f"T(y) is {analysis.tail} ({analysis.tail.rests_on})",
            None
            if analysis.tail.bounded
            else f"use a Lipschitz loss: {', '.join(lipschitz[:-1])} or {lipschitz[-1]}",
        ),
        "no-linear-part": _linear(analysis),
        "second-order-information": _second_order(information, losses, r),
    }


def _generic(
    analysis: TransformAnalysis,
    r: int,
    best: str | None,
    losses: dict[str, TransformAnalysis],
    information: LabelInformation,
) -> Assumption:
    values = ", ".join(f"{value:.4g}" for value in analysis.eigenvalues)
    within = f"(eigenvalues {values}, each ± {analysis.eigenvalue_error:.1g})"
    if analysis.rank == r:
        condition = "" if r == 1 else f", κ = {analysis.kappa:.4g}"
        return Assumption(True, f"Λ has full rank {within}{condition}")
    if best is not None:
        repair = f"the loss {best} has Λ of full rank here"
    elif any(a.rank > analysis.rank for a in losses.values()):
        better = max(losses, key=lambda name: losses[name].rank)
        repair = f"the loss {better} sees {losses[better].rank} of {r} directions"
    elif len(information.directions) > analysis.rank:
        known = len(information.directions)
        repair = (
            f"no built-in loss helps, but second moments given y know {known} of {r} directions: "
            "train on a transform of y that is even in them, or on the optimal one "
            "(mimverify.theory.optimal_transform)"
        )
    else:
        repair = "none: no transform of the label has second-order information beyond this"
    # What is indistinguishable from zero is zero only where the error is far below √v.
    resolved = analysis.eigenvalue_error < 1e-3 * math.sqrt(analysis.v)
    state = "has rank" if resolved else "is only known to have rank at least"
    return Assumption(
        False if resolved else None, f"Λ {state} {analysis.rank} of {r} {within}", repair
    )


def _linear(analysis: TransformAnalysis) -> Assumption:
    size = float(np.linalg.norm(analysis.linear))
    if size > CLEARLY * analysis.linear_error and size > 1e-9 * math.sqrt(analysis.v):
        return Assumption(
            False,
            f"|E[T z]| = {size:.3g}: harmless for activations with σ'(0) = 0, but it swamps ReLU, "
            "softplus and GELU",
            "remove the linear part by regression with the same loss, or keep σ'(0) = 0",
        )
    return Assumption(True, f"E[T z] = 0 (± {analysis.linear_error:.1g})")


def _second_order(
    information: LabelInformation, losses: dict[str, TransformAnalysis], r: int
) -> Assumption:
    # What some loss sees, some transform sees.
    count = max([len(information.directions), *(a.rank for a in losses.values())])
    exponent = information.generative_exponent
    top = float(np.linalg.eigvalsh(information.second_order)[-1])
    resolved = information.second_order_error < 1e-3 * top
    if count == r:
        return Assumption(
            True, f"some transform of y sees all {r} directions" if r > 1 else "E[z² | y] varies"
        )
    if count and not resolved:
        return Assumption(
            None,
            f"second moments given y are clearly informative in {count} of {r} directions; the "
            f"others could not be told from nothing (error {information.second_order_error:.1g})",
        )
    if count:
        return Assumption(
            False,
            f"second moments given y are informative in {count} of {r} directions only",
            "none within second order: the rest needs the network's own feedback (a staircase)",
        )
    if exponent is None:
        return Assumption(None, information.reason or "undetermined", None)
    return Assumption(False, "E[zzᵀ | y] does not vary with y", None)


def _control(
    link: Link, analysis: TransformAnalysis, plateau_from: float | None, dim: int
) -> str | None:
    parts = []
    if analysis.rank < link.rank:
        if analysis.nothing_learned:
            what = "Λ = 0 and λ_max(E[T² zzᵀ]) ≤ 2 E T²: nothing is learned for n ≫ d"
        elif analysis.rank == 0:
            reached = (
                "is not within a tenth of at any n/d up to 1e6"
                if plateau_from is None
                else f"is within a tenth of from n/d ≈ {plateau_from:.2g} on"
            )
            what = (
                f"Λ = 0, but second order leaves a plateau: squared overlap {analysis.plateau:.3g} "
                f"that more samples do not lift, and that H {reached} at d = {dim}"
            )
        else:
            what = f"Λ sees {analysis.rank} of {link.rank} directions"
        parts.append(f"N1 degenerate ({what})")
    if analysis.tail.bounded is False:
        parts.append("N2 heavy tails (T is unbounded)")
    if not _linear(analysis).holds:
        parts.append("N3 for activations with σ'(0) ≠ 0 (the linear part)")
    return "; ".join(parts) or None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _tensor_json(tensors: HermiteTensors) -> Json:
    return {
        "tensors": [tensor.tolist() for tensor in tensors.tensors],
        "errors": list(tensors.errors),
        "norms": [tensors.norm(order) for order in range(len(tensors.tensors))],
    }
