"""Steps and samples for the directions that were found, and what the data lack."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from mimverify.given_data.predicted_power import strength_of
from mimverify.given_data.spectrum_test import SpectrumTest
from mimverify.given_data.whitening import Whitened
from mimverify.support.arrays import Float64Array
from mimverify.support.strict_json import Json

__all__ = ["Advice", "advise", "what_is_missing"]

_MOST_STEPS = 400
#: Of the strongest direction to the weakest found, to the power T: what float32 can hold (D5).
_FLOAT32_RATIO = 1e6
#: Squared overlap that `samples` are suggested for.
_OVERLAP = 0.9
_FEW = 10.0
_STRONGEST = math.sqrt(2)  # |λ| of T = (z² − 1)/√2


@dataclass(frozen=True)
class Advice:
    """What theory suggests for the directions found.

    **Arguments**

    - `strengths`: |λ_k| estimated from the outliers' places (theory.md D4, u = v), largest first.
    - `overlaps`: squared overlaps of the outliers' eigenvectors with the directions, likewise.
    - `steps`: the first T after which each outlier outweighs the rest of the spectrum, plus one;
      None where 400 do not suffice.
    - `most_steps`: after which float32 loses the weakest direction found; None: never.
    - `samples`: n for a squared overlap of .9 with the weakest direction found.
    """

    strengths: tuple[float, ...]
    overlaps: tuple[float, ...]
    steps: int | None
    most_steps: int | None
    samples: int

    def to_json(self) -> Json:
        """A record of plain numbers."""
        return asdict(self)


def advise(test: SpectrumTest) -> Advice | None:
    """None where nothing was found.

    The outliers were selected for being large: strengths and overlaps are, if anything, too high.
    """
    found = np.abs(test.outliers)
    if len(found) == 0:
        return None
    k, n = test.components, test.samples
    strengths = [strength_of(float(place), k, n) for place in found]
    overlaps = [max(0.0, 1 - (k / n) / strength**2) for strength in strengths]
    ratio = found[0] / found[-1]
    most = None
    if ratio > 1 + 1e-9:
        most = int(math.log(_FLOAT32_RATIO) / math.log(ratio))
    return Advice(
        tuple(strengths),
        tuple(overlaps),
        _steps(found, overlaps, np.abs(test.eigenvalues[test.loss][len(found) :])),
        most,
        math.ceil(k / (1 - _OVERLAP) / strengths[-1] ** 2),
    )


def _steps(found: Float64Array, overlaps: list[float], rest: Float64Array) -> int | None:
    """Of this H itself, ‖U v̂_k‖² λ̂_k^{2T} > Σ_rest λ̂^{2T} (theory.md §2, without n ≫ d)."""
    for t in range(1, _MOST_STEPS):
        noise = float(np.sum((rest / found[-1]) ** (2 * t)))
        if overlaps[-1] > noise:
            return t + 1
    return None


def what_is_missing(
    whitened: Whitened,
    y: Float64Array,
    independent: SpectrumTest,
    beyond: SpectrumTest | None,
    left_out: dict[str, str],
    *,
    nothing: bool,
) -> tuple[str, ...]:
    """Sentences, the most important first.

    **Arguments**

    - `nothing`: whether the verdict is that nothing is shown.
    """
    n, k = whitened.Z.shape
    found: list[str] = []
    if nothing:
        found.append(
            f"Nothing stands out. {_would_show(independent)} One whose square tells nothing about "
            "T, as of an odd function, may never show."
        )
    elif beyond is None:
        found.append("The labels are a linear function of the components: nothing is left.")
    elif not beyond.shown:
        found.append(
            "What a linear fit leaves of the labels shows nothing. "
            f"{_would_show(beyond)} For what is shown, linear regression suffices."
        )
    if n < _FEW * k:
        found.append(
            f"Few samples for the dimension: n/k = {n / k:.3g}. Fewer components (--components) "
            "may show more."
        )
    if k < whitened.rank:
        found.append(
            f"{whitened.rank - k} of {whitened.rank} principal components are left out "
            f"({1 - whitened.variance:.2g} of X's variance); what y says about them is not seen."
        )
    if whitened.heaviest > math.sqrt(k / n):
        found.append(
            "Single rows of X make large eigenvalues alone, whatever their labels (heavy tails, or "
            f"rare values: max ‖z‖²/n = {whitened.heaviest:.2g}): the null is wide. Fewer "
            "components, or inputs on another scale (logarithms), may show more."
        )
    different = len(np.unique(y))
    if different == 2:
        found.append("The labels take two values: every loss has the same T, and none clips.")
        if beyond is not None and beyond.shown:
            found.append(
                "Errors of two-valued labels vary with the inputs whatever is true, and count as "
                "beyond linear: compare a linear model's errors on other rows."
            )
    elif different <= _FEW:
        found.append(f"The labels take {different} values: T takes no more.")
    if (bound := _heavy_labels(y, k)) is not None:
        found.append(
            f"Labels have heavy tails (the largest is {bound:.3g} deviations from the mean, and "
            "makes an eigenvalue alone under the squared loss): a loss that clips, such as "
            "Huber's, is the safer choice."
        )
    if whitened.constant_columns:
        found.append(f"{whitened.constant_columns} columns of X are constant and say nothing.")
    for loss, why in left_out.items():
        if "constant" in why:
            found.append(f"Loss {loss} was left out: {why}.")
    return tuple(found)


def _would_show(test: SpectrumTest) -> str:
    if test.detectable > _STRONGEST:
        return (
            f"No direction of Gaussian inputs could have (|λ| ≤ √2; loss {test.loss} asks for "
            f"{test.detectable:.2g}): these samples and components cannot tell."
        )
    return (
        f"A direction with |λ| of {test.detectable:.2g} (of at most √2 with Gaussian inputs; loss "
        f"{test.loss}) would have been found with probability .9; weaker ones need more samples: "
        "half of it about four times as many."
    )


def _heavy_labels(y: Float64Array, components: int) -> float | None:
    """The largest label in deviations, where it makes an outlier alone (theory.md D9)."""
    from mimverify.given_data.unit_transform import in_deviations

    largest = float(np.abs(in_deviations(y)).max())
    return largest if largest > math.sqrt(len(y) / components) and largest > 5 else None
