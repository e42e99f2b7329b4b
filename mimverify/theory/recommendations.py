"""Which loss for which link: one recommendation per regime, with ties named as ties.

The largest λ_r²/v decides for n ≫ d, thresholds near them: the orders differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mimverify.support.strict_json import Json
from mimverify.theory.analysis import TransformAnalysis
from mimverify.theory.reach import ReachedThresholds
from mimverify.theory.spectrum.resolvent import Resolvent

#: Losses whose merit is within this share of the best one's are not told apart (of an overlap, or
#: of what is missing to 1).
TIED = 0.01


@dataclass(frozen=True)
class Recommendation:
    """The built-in losses that are best in one regime.

    - `regime`: "few samples", "n ≫ d", or "n/d = …".
    - `losses`: the best, and those tied with it; empty where none is any good.
    - `reason`: why.
    """

    regime: str
    losses: tuple[str, ...]
    reason: str

    def to_json(self) -> Json:
        """A record of plain values."""
        return {"regime": self.regime, "losses": list(self.losses), "reason": self.reason}


def recommend(
    losses: dict[str, TransformAnalysis],
    reached: dict[str, ReachedThresholds],
    rank: int,
    spectra: dict[str, Resolvent] | None,
) -> tuple[Recommendation, ...]:
    """One recommendation for few samples, for n ≫ d, and where `spectra` are given for their n/d.

    **Arguments**

    - `losses`, `reached`, `spectra`: analysis, thresholds at n, and H's spectrum at n and d of
      each loss.
    """
    found = [_few(reached), _many(losses, rank)]
    if spectra is not None:
        found.append(_at_ratio(spectra, rank))
    return tuple(found)


def _few(reached: dict[str, ReachedThresholds]) -> Recommendation:
    first = {name: at.descent for name, at in reached.items() if math.isfinite(at.descent)}
    if not first:
        return Recommendation("few samples", (), "no direction is found, however many samples")
    best = min(first.values())
    tied = tuple(name for name in first if first[name] <= best * (1 + TIED))
    n = next(iter(reached.values())).samples
    return Recommendation(
        "few samples", tied, f"finds a first direction from n/d = {best:.3g} on, by {n} labels"
    )


def _many(losses: dict[str, TransformAnalysis], rank: int) -> Recommendation:
    full = {name: a.weakest for name, a in losses.items() if a.rank == rank and a.tail.bounded}
    if full:
        best = max(full.values())
        tied = tuple(name for name in full if full[name] >= best * (1 - TIED))
        what = (
            f"bounded, sees all {rank} directions, and needs the fewest samples for the weakest "
            f"(λ_r²/v = {best:.3g})"
            if rank > 1
            else f"bounded, and needs the fewest samples (λ²/v = {best:.3g})"
        )
        return Recommendation("n ≫ d", tied, what)
    most = max(losses.values(), key=lambda a: (a.rank, bool(a.tail.bounded)))
    if most.rank == 0:
        why = "Λ = 0 under every built-in loss"
    elif most.rank == rank:
        why = "only losses with an unbounded T see every direction"
    else:
        why = f"no built-in loss sees more than {most.rank} of {rank} directions"
    return Recommendation("n ≫ d", (), why)


def _at_ratio(spectra: dict[str, Resolvent], rank: int) -> Recommendation:
    """By how many directions lead the bulk, and how far the weakest of these is recovered."""
    ratio = next(iter(spectra.values())).alpha
    regime = f"n/d = {ratio:.4g}"
    leading = {name: spectrum.leading[:rank] for name, spectrum in spectra.items()}
    count = max(len(outliers) for outliers in leading.values())
    if count == 0:
        return Recommendation(regime, (), "under no built-in loss a direction leads the bulk")
    weakest = {
        name: min(outlier.squared_overlap for outlier in outliers)
        for name, outliers in leading.items()
        if len(outliers) == count
    }
    best = max(weakest.values())
    # Near 1 it is the rest that tells losses apart.
    width = TIED * min(best, 1 - best)
    tied = tuple(name for name in weakest if weakest[name] >= best - width)
    of = "the direction" if rank == 1 else f"{count} of {rank} directions"
    return Recommendation(
        regime, tied, f"finds {of}, the worst eigenvector with squared overlap {best:.3g}"
    )
