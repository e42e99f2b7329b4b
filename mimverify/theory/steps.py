"""How many steps: enough for the signal to dominate, few enough not to collapse.

Source: theory.md §2 (number of steps), §4 (D5, window).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mimverify.support.errors import InputError
from mimverify.support.validation import number
from mimverify.theory.labels.label_measure import LabelMeasure
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.theory.spectrum.span import SpanPrediction
from mimverify.theory.spectrum.traces import traces

#: More steps than this are not considered: a direction that needs them is at the threshold.
MOST_STEPS = 400


@dataclass(frozen=True)
class StepCount:
    """`steps`, or None with a `reason`."""

    steps: int | None
    reason: str


def recommended_steps(measure: LabelMeasure, dim: int, samples: int) -> StepCount:
    """The first T at which every direction outweighs all noise together, plus one.

    That is ‖U v̂_k‖² ζ_k^{2T} > (d − r)/(2πi) ∮ ζ^{2T} g dζ for each of the r outliers: the rule
    d C_T < (λ_r² n/(v d))^T of theory.md §2 without its n ≫ d.
    """
    resolvent = Resolvent(measure, samples / dim)
    leading = resolvent.leading
    if len(leading) < measure.rank:
        return StepCount(
            None,
            f"at n/d = {samples / dim:.3g} only {len(leading)} of {measure.rank} directions stand "
            "out of the noise's spectrum: no number of steps finds the others",
        )
    batch = 16
    for first in range(1, MOST_STEPS, batch):
        times = range(first, first + batch)
        moments = traces(resolvent, dim, [2 * t for t in times])
        for index, t in enumerate(times):
            noise = math.log(max(float(moments.bulk[index]), 5e-324)) + float(
                moments.log_scale[index]
            )
            if all(
                math.log(max(outlier.squared_overlap, 5e-324))
                + 2 * t * math.log(abs(outlier.location))
                > noise
                for outlier in leading
            ):
                return StepCount(
                    t + 1,
                    f"after {t} every direction outweighs all noise together; one more for margin",
                )
    return StepCount(
        None, f"more than {MOST_STEPS}: a direction barely stands out of the noise's spectrum"
    )


@dataclass(frozen=True)
class Window:
    """Steps [first, last] with span recovery of at least `level` (median over starts).

    `first` is None, with a reason, where no step reaches the level; `last` is None where
    rounding never prevents it.
    """

    level: float
    dtype: str
    first: int | None
    last: int | None
    reason: str


def span_window(
    resolvent: Resolvent, span: SpanPrediction, *, level: float = 0.9, dtype: str = "float32"
) -> Window:
    """The window of D5 for the starts behind `span`.

    After T steps the weakest direction is κ̂^−T of the strongest, κ̂ the ratio of the outliers,
    while rounding adds noise of relative size u, the unit roundoff: the cosine falls to
    1/√(1 + (κ̂^T u)²). One rounding is counted, so that the end is right to a factor 4 of κ̂^T. It
    is that of a start with ε0² (ε0 its `init_norm`) below u: σ(z) is quadratic up to parts of
    relative size ε0², which hide the weakest direction earlier where they are larger, as from
    the default ε0 = 0.01: docs/theory.md, D5.
    """
    level = number("level", level, minimum=0.0)
    if not 0 < level < 1:
        raise InputError(f"level={level}: expected a cosine between 0 and 1")
    reached = np.flatnonzero(span.median >= level)
    if len(reached) == 0:
        return Window(
            level,
            dtype,
            None,
            None,
            f"the median span recovery stays below {level:g}: at most {span.median.max():.3g} up "
            f"to step {int(span.steps[-1])}",
        )
    first = int(span.steps[reached[0]])
    leading = resolvent.leading
    r = resolvent.rank
    ratio = abs(leading[0].location / leading[r - 1].location) if len(leading) >= r else 1.0
    if ratio <= 1 + 1e-9:
        return Window(level, dtype, first, None, "all directions grow alike: no collapse")
    unit = float(np.finfo(dtype).eps) / 2
    last = int(math.log(math.tan(math.acos(level)) / unit) / math.log(ratio))
    return Window(
        level,
        dtype,
        first,
        last,
        f"directions part like {ratio:.4g}^T until {dtype} rounding hides the weakest; earlier "
        f"from starts with init_norm² above {unit:.1g}, whose activation is not quadratic to "
        "that precision",
    )
