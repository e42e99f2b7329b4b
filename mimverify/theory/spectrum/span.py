"""How much of the span m neurons recover, and how aligned they are, run by run (theory.md §1, §4).

A run has a data set and a start. Data sets differ in their labels and, given those, in the inputs
outside the hidden subspace: for each a spectrum of H is drawn (`arrowhead`), and starts on it by
the block-Krylov model of the neurons (`krylov`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array
from mimverify.support.threads import map_with_own_threads
from mimverify.support.validation import integer
from mimverify.theory.labels.label_measure import LabelMeasure
from mimverify.theory.spectrum.arrowhead import draw_spectrum
from mimverify.theory.spectrum.krylov import NeuronModel, alignments_of, smallest_cosines
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.theory.spectrum.separated import separated_cosines, separated_directions

if TYPE_CHECKING:
    from jaxtyping import Float64

#: Data sets that are drawn: an interval is no better than so many of them tell.
SPECTRA = 100
# Later than this, a step is interpolated between those of a geometric grid.
_EVERY_STEP = 16
_STEPS_PER_DOUBLING = 6
# What the reported interval leaves out on either side.
_OUTSIDE = 0.025


@dataclass(frozen=True)
class SpanPrediction:
    """Span recovery (smallest cosine) of m neurons at each step.

    - `steps`: `(S,)`; `median`, `mean`, `low`, `high`: `(S,)`, the median, the mean and the
      central 95 % over runs.
    - `alignment_low`, `alignment_high`: `(S,)`, the central 95 % of A of the same runs.
    """

    steps: NDArray[np.int_]
    median: Float64Array
    mean: Float64Array
    low: Float64Array
    high: Float64Array
    alignment_low: Float64Array
    alignment_high: Float64Array


def predict_span(
    measures: LabelMeasure | Sequence[LabelMeasure],
    dim: int,
    samples: int,
    steps: int,
    neurons: int,
    *,
    draws: int = 400,
    seed: int = 0,
) -> SpanPrediction:
    """Span recovery at t = 1 … `steps` of `neurons` independent neurons (m/2 of a symmetric
    start). Fewer neurons than r span too little: the cosine is 0. Arithmetic is exact, and the
    start infinitely small: what ends recovery after many steps is `span_window`'s.

    **Arguments**

    - `measures`: of the labels of each data set, or one for all, whose labels then do not vary.
    - `draws`: runs, divided over the data sets.
    """
    steps = integer("steps", steps, minimum=1)
    neurons = integer("neurons", neurons, minimum=1)
    if isinstance(measures, LabelMeasure):
        measures = [measures] * SPECTRA
    starts = max(1, -(-draws // len(measures)))
    every = np.arange(1, steps + 1)
    times = _computed_steps(steps)
    cosines = np.empty((len(times), len(measures), starts))
    aligned = np.empty_like(cosines)

    def draw(k: int) -> None:
        measure, rng = measures[k], np.random.default_rng([seed, 0x7370616E, k])
        rank = measure.rank
        spectrum = draw_spectrum(Resolvent(measure, samples / (dim - rank)), dim, rng)
        for index, t in enumerate(times):
            gram = NeuronModel.of(spectrum, int(t)).draw(starts, neurons, rng)
            aligned[index, k] = alignments_of(gram, rank)
            separated = separated_directions(spectrum, int(t))
            cosines[index, k] = (
                separated_cosines(spectrum, int(t), separated, starts, neurons, rng)
                if separated
                else smallest_cosines(gram, rank)
            )

    map_with_own_threads(draw, range(len(measures)))
    columns = (
        np.median(cosines, axis=(1, 2)),
        cosines.mean(axis=(1, 2)),
        *central_interval(cosines),
        *central_interval(aligned),
    )
    return SpanPrediction(every, *(np.interp(every, times, column) for column in columns))


def central_interval(
    values: Float64[Float64Array, "steps sets starts"],
) -> Float64Array:
    """The central 95 %, `(2, steps)`, in which another run lies with that probability.

    Between order statistics k and n + 1 − k of n runs it lies with (n + 1 − 2k)/(n + 1). Runs on
    one data set are alike: n is their effective number, by the variance between data sets.
    """
    sets, starts = values.shape[1:]
    total = values.var(axis=(1, 2))
    between = values.mean(axis=2).var(axis=1)
    between = (between - total / starts) / (1 - 1 / starts) if starts > 1 else total
    alike = np.clip(between / np.maximum(total, np.finfo(float).tiny), 0.0, 1.0)
    count = sets * starts / (1 + (starts - 1) * alike)
    levels = np.clip((_OUTSIDE * (count + 1) - 1) / np.maximum(count - 1, 1.0), 0.0, _OUTSIDE)
    flat = values.reshape(len(values), -1)
    return np.array(
        [
            [float(np.quantile(row, at)) for row, at in zip(flat, ends, strict=True)]
            for ends in (levels, 1 - levels)
        ]
    )


def _computed_steps(steps: int) -> NDArray[np.int_]:
    late = np.geomspace(
        _EVERY_STEP, max(steps, _EVERY_STEP), 1 + _STEPS_PER_DOUBLING * steps.bit_length()
    )
    times = np.unique(np.concatenate([np.arange(1, _EVERY_STEP + 1), np.rint(late).astype(int)]))
    return times[times <= steps]
