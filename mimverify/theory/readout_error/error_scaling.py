"""How many samples an error needs, and how the error falls as d grows, from the predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict, Unpack

from mimverify.network.activations import Activation
from mimverify.network.losses import DEFAULT_LOSS, Loss
from mimverify.pages.notebook import ShownInNotebooks
from mimverify.problems.links import Link
from mimverify.support.strict_json import Json
from mimverify.support.validation import LARGEST, integer, number
from mimverify.theory.readout_error.error_prediction import TestErrorPrediction, predict_test_error
from mimverify.training.schedules import default_samples, default_steps

# Samples and error are in proportion in a bracket of this ratio, up to interpolation.
_NARROW = 1.35
_STRIDE = math.log(4)
_MOST_PREDICTIONS = 24


class RunSettings(TypedDict, total=False):
    """What is passed on to `predict_test_error`."""

    neurons: int
    readout_neurons: int
    ridge: float
    activation: Activation | str
    readout: str
    noise: float
    rank: int | None
    runs: int
    seed: int


@dataclass(frozen=True)
class SamplesForError(ShownInNotebooks):
    """The samples n of each stage at which the median test error is `target`.

    - `samples`: n, None where no n was found that reaches it; `low`, `high`: by one standard error
      of the predicted medians, each None where it is not known.
    - `steps`: T at n, or where it was looked for.
    - `error`: the predicted median at n; at the most samples that were tried where n is None.
    """

    link: str
    loss: str
    dim: int
    target: float
    steps: int
    samples: int | None
    low: int | None
    high: int | None
    error: float

    def to_json(self) -> Json:
        """A record of plain numbers; what does not exist is None."""
        return {
            "link": self.link,
            "loss": self.loss,
            "dim": self.dim,
            "target": self.target,
            "steps": self.steps,
            "samples": self.samples,
            "low": self.low,
            "high": self.high,
            "error": self.error,
        }


@dataclass(frozen=True)
class ErrorExponent(ShownInNotebooks):
    """The local exponent −d log(error)/d log d between two dimensions at n = d log² d.

    - `dims`, `errors`: both dimensions, and the medians predicted there.
    - `exponent`, `standard_error`: positive where the error falls.
    """

    dims: tuple[int, int]
    errors: tuple[float, float]
    exponent: float
    standard_error: float

    def to_json(self) -> Json:
        """A record of plain numbers."""
        return {
            "dims": list(self.dims),
            "errors": list(self.errors),
            "exponent": self.exponent,
            "standard_error": self.standard_error,
        }


def samples_for_error(
    link: Link | str,
    loss: Loss | str = DEFAULT_LOSS,
    *,
    target: float,
    dim: int,
    steps: int | None = None,
    **settings: Unpack[RunSettings],
) -> SamplesForError:
    """The samples of each stage for a normalised test error of `target`, over the population.

    **Arguments**

    - `steps`: T, or None for the default at every n; then n > d is asked for.
    - `settings`: as for `predict_test_error`; the same seed at every n makes errors comparable.

    **Raises** `InputError` as `predict_test_error`, and for a target that is not in (0, 1].
    """
    target = number("target", target, minimum=0.0, exclusive=True, maximum=1.0)
    dim = integer("dim", dim, minimum=2, maximum=LARGEST)
    lowest = dim + 1 if steps is None else 2
    predictions = 0

    def at(samples: float) -> TestErrorPrediction:
        nonlocal predictions
        predictions += 1
        return predict_test_error(
            link, loss, dim=dim, samples=round(samples), steps=steps, test_samples=None, **settings
        )

    first = float(max(default_samples(max(dim, 3)), lowest))
    above = below = None  # predictions whose error is above and below the target
    samples, stride = min(first, float(LARGEST)), _STRIDE
    while (above is None or below is None) and predictions < _MOST_PREDICTIONS:
        found = at(samples)
        if found.median > target:
            above = found
            if samples >= LARGEST:
                break
            samples = min(samples * math.exp(stride), float(LARGEST))
        else:
            below = found
            if samples <= lowest:
                break
            samples = max(samples / math.exp(stride), float(lowest))
        stride *= 2
    if above is None or below is None:
        last = below or above
        assert last is not None
        reached = last.samples if below is not None else None
        return SamplesForError(
            last.link, last.loss, dim, target, last.steps, reached, None, reached, last.median
        )
    while below.samples > _NARROW * above.samples and predictions < _MOST_PREDICTIONS:
        found = at(math.sqrt(above.samples * below.samples))
        if found.median > target:
            above = found
        else:
            below = found
    ratio = math.log(below.samples / above.samples)
    fall = math.log(above.median / below.median)
    share = math.log(above.median / target) / fall
    log_samples = math.log(above.samples) + share * ratio
    spread = (above.standard_error + below.standard_error) / (2 * target) * ratio / fall
    low, middle, high = (
        round(math.exp(min(log_samples + k * spread, math.log(LARGEST)))) for k in (-1, 0, 1)
    )
    steps = default_steps(middle, dim) if steps is None else steps
    return SamplesForError(
        below.link, below.loss, dim, target, steps, middle, max(low, 1), high, target
    )


def error_exponent(
    link: Link | str,
    loss: Loss | str = DEFAULT_LOSS,
    *,
    dim: int,
    steps: int | None = None,
    factor: int = 4,
    **settings: Unpack[RunSettings],
) -> ErrorExponent:
    """How fast the median test error falls between d and `factor` d, at n = d log² d.

    **Arguments**

    - `steps`: T at both; None for the default of each.
    - `settings`: as for `predict_test_error`.

    **Raises** `InputError` as `predict_test_error`.
    """
    dim = integer("dim", dim, minimum=3, maximum=LARGEST)
    factor = integer("factor", factor, minimum=2)
    found = [
        predict_test_error(link, loss, dim=d, steps=steps, test_samples=None, **settings)
        for d in (dim, factor * dim)
    ]
    relative = math.hypot(*(each.standard_error / each.median for each in found))
    return ErrorExponent(
        (dim, factor * dim),
        (found[0].median, found[1].median),
        math.log(found[0].median / found[1].median) / math.log(factor),
        relative / math.log(factor),
    )
