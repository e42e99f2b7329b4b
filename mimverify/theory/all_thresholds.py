"""All thresholds of a link in one record: the limit itself, and what each built-in loss needs.

Every one belongs to d, n → ∞ at a fixed n/d, so that they can be compared. Source: theory.md §5,
§9.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mimverify.network.losses import LOSSES, Loss, get_loss
from mimverify.pages.notebook import ShownInNotebooks
from mimverify.problems.links import Link, get_link
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.validation import number
from mimverify.theory.analysis import TransformAnalysis, analyse_transform
from mimverify.theory.inspection import threshold_reason
from mimverify.theory.limits.bayes_limits import Threshold, bayes_limits
from mimverify.theory.reach import limit_holds_from
from mimverify.theory.recommendations import TIED

#: Why there is no α_spectral.
_NO_OUTLIER = "no eigenvalue of H leaves the bulk, however many samples"


@dataclass(frozen=True)
class LossThresholds:
    """What one loss needs, as n → ∞.

    - `spectral`: n/d from which a first eigenvalue of H stands out of its bulk.
    - `descent`: n/d from which gradient descent finds it.
    - `gap`: α_GD/α_c, None where either does not exist; `gap_error`: absolute.
    - `holds_from`: the power of ten of n from which all thresholds of the loss are within 5 % of
      their limits; None where there are none, or at no n that could be resolved.
    """

    spectral: Threshold
    descent: Threshold
    gap: float | None = None
    gap_error: float | None = None
    holds_from: int | None = None

    def to_json(self) -> Json:
        """A record of plain numbers."""
        return {
            **_json("alpha_spectral", self.spectral),
            **_json("alpha_gd", self.descent),
            "gap": self.gap,
            "gap_error": self.gap_error,
            "holds_from": self.holds_from,
        }


@dataclass(frozen=True)
class LinkThresholds(ShownInNotebooks):
    """Every threshold of y = g(U x) + noise·ε, as sample ratios n/d for d → ∞.

    `alpha_it` to `alpha_alg` as in `BayesLimits`; `losses`: for every built-in loss, by name.
    """

    link: Link
    noise: float
    alpha_it: Threshold
    alpha_it_exact: Threshold
    alpha_c: Threshold
    alpha_alg: Threshold
    losses: dict[str, LossThresholds]

    @property
    def best(self) -> tuple[str, ...]:
        """The losses with the smallest α_GD, and those within 1 % of it; none if there is none."""
        found = {
            name: at.descent.value
            for name, at in self.losses.items()
            if at.descent.value is not None
        }
        least = min(found.values(), default=0.0)
        return tuple(name for name, value in found.items() if value <= least * (1 + TIED))

    def to_json(self) -> Json:
        """A record of plain numbers; what does not exist is None, with a reason beside it."""
        return {
            "link": self.link.name,
            "rank": self.link.rank,
            "formula": self.link.formula,
            "noise": self.noise,
            **_json("alpha_it", self.alpha_it),
            **_json("alpha_it_exact", self.alpha_it_exact),
            **_json("alpha_c", self.alpha_c),
            **_json("alpha_alg", self.alpha_alg),
            "losses": {name: at.to_json() for name, at in self.losses.items()},
            "best_losses": list(self.best),
        }


def link_thresholds(
    link: Link | str,
    *,
    noise: float = 0.0,
    rank: int | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> LinkThresholds:
    """The thresholds of a link under every built-in loss.

    **Arguments**

    - `noise`: standard deviation of the label noise.
    - `rank`: r, for an imported function without one.
    - `on_progress`: called with a line about what is computed.

    **Raises** `InputError` as `bayes_limits`. A loss that cannot be analysed has its reason.
    """
    link = get_link(link, rank=rank)
    noise = number("noise", noise, minimum=0.0)
    say = on_progress or (lambda line: None)
    say(f"{link.name}: the limits")
    limits = bayes_limits(link, noise=noise)
    losses = {}
    for name in LOSSES:
        say(f"{link.name}: {name}")
        losses[name] = _of_loss(link, get_loss(name), noise, limits.alpha_c)
    return LinkThresholds(
        link,
        noise,
        limits.alpha_it,
        limits.alpha_it_exact,
        limits.alpha_c,
        limits.alpha_alg,
        losses,
    )


def _of_loss(link: Link, loss: Loss, noise: float, alpha_c: Threshold) -> LossThresholds:
    try:
        analysis = analyse_transform(link, loss, noise=noise)
    except InputError as error:
        why = Threshold(None, None, str(error))
        return LossThresholds(why, why)
    spectral, descent = _spectral(analysis), _descent(analysis)
    gap = gap_error = None
    if descent.value is not None and alpha_c.value is not None:
        gap = descent.value / alpha_c.value
        relative = (descent.error or 0.0) / descent.value + (alpha_c.error or 0.0) / alpha_c.value
        gap_error = gap * relative
    return LossThresholds(
        spectral, descent, gap, gap_error, limit_holds_from(link, loss, noise=noise)
    )


def _spectral(analysis: TransformAnalysis) -> Threshold:
    if analysis.alpha_spectral is None:
        return Threshold(None, None, analysis.threshold_reason)
    value = float(analysis.alpha_spectral[0])
    if not math.isfinite(value):
        return Threshold(None, None, _NO_OUTLIER)
    errors = analysis.alpha_spectral_error
    return Threshold(value, None if errors is None else float(errors[0]))


def _descent(analysis: TransformAnalysis) -> Threshold:
    why = threshold_reason(analysis)
    if why is not None or analysis.alpha_gd is None:
        return Threshold(None, None, why)
    return Threshold(analysis.alpha_gd, analysis.alpha_gd_error)


def _json(name: str, threshold: Threshold) -> Json:
    return {
        name: threshold.value,
        f"{name}_error": threshold.error,
        f"{name}_reason": threshold.reason,
    }
