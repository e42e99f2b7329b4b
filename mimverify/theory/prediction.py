"""Everything predicted for one run: link, loss, d, n and T (theory.md §4).

`predict` is what `mimverify predict` prints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.errors import InputError
from mimverify.network.losses import Loss, get_loss
from mimverify.problems.links import Link, get_link
from mimverify.theory.label_measure import LabelMeasure, label_measure
from mimverify.theory.law import label_law, sampled_law, truncated_law
from mimverify.theory.laws import closed_form_n_half
from mimverify.theory.population import population_of
from mimverify.theory.resolvent import Outlier, Resolvent
from mimverify.theory.sample_sizes import HIGHEST_RATIO, local_exponent, n_half
from mimverify.theory.span import SpanPrediction, predict_span
from mimverify.theory.steps import (
    StepCount,
    Window,
    leading_outliers,
    recommended_steps,
    span_window,
)
from mimverify.theory.trajectory import Trajectory, predict_trajectory
from mimverify.validation import integer

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """Predictions for one configuration.

    - `trajectory`: D1 with its finite-size terms; `span`: span recovery (None for T = 0).
    - `n_half`: samples for A_T = 1/2 at T = 1 … `steps`, None where no n suffices;
      `closed_form_n_half`: the same by D3; `local_exponents`: of `n_half` in d.
    - `outliers`, `edges`: of H; `floor`: 1 − A as T → ∞, None where no outlier leads.
    - `recommended`, `window`: step counts.
    - `approximate`: why some numbers rest on a stand-in for the law of T, or None.
    """

    link: str
    loss: str
    noise: float
    dim: int
    samples: int
    steps: int
    neurons: int
    trajectory: Trajectory
    span: SpanPrediction | None
    n_half: tuple[float | None, ...]
    closed_form_n_half: tuple[float | None, ...]
    local_exponents: tuple[float | None, ...]
    outliers: tuple[Outlier, ...]
    edges: tuple[float, float]
    floor: float | None
    recommended: StepCount
    window: Window | None
    approximate: str | None

    def to_json(self) -> dict[str, Any]:
        """A record of plain numbers; what does not exist is None."""
        mean = self.trajectory.run_mean(self.neurons)
        middle, deviation = self.trajectory.run_log_odds(self.neurons)
        return {
            "link": self.link,
            "loss": self.loss,
            "noise": self.noise,
            "dim": self.dim,
            "samples": self.samples,
            "steps": self.steps,
            "independent_neurons": self.neurons,
            "alignment": self.trajectory.alignment.tolist(),
            "alignment_asymptotic": self.trajectory.asymptotic.tolist(),
            "alignment_remainder": (
                self.trajectory.remainder
                * self.trajectory.alignment
                * (1 - self.trajectory.alignment)
            ).tolist(),
            "overlaps": self.trajectory.overlaps.tolist(),
            "one_run": {
                "mean": mean.tolist(),
                "low": _logistic(middle - 1.96 * deviation).tolist(),
                "high": _logistic(middle + 1.96 * deviation).tolist(),
            },
            "simulated_labels": self.trajectory.sampled,
            "alignment_error": self.trajectory.error.tolist(),
            "span_recovery": None
            if self.span is None
            else {
                "median": self.span.median.tolist(),
                "low": self.span.low.tolist(),
                "high": self.span.high.tolist(),
            },
            "n_half": list(self.n_half),
            "n_half_closed_form": list(self.closed_form_n_half),
            "local_exponents": list(self.local_exponents),
            "outliers": [
                {
                    "location": outlier.location,
                    "squared_overlap": outlier.squared_overlap,
                    "direction": outlier.direction.tolist(),
                }
                for outlier in self.outliers
            ],
            "bulk_edges": list(self.edges),
            "floor": self.floor,
            "recommended_steps": self.recommended.steps,
            "recommended_steps_reason": self.recommended.reason,
            "window": None
            if self.window is None
            else {
                "level": self.window.level,
                "dtype": self.window.dtype,
                "first": self.window.first,
                "last": self.window.last,
                "reason": self.window.reason,
            },
            "chance": self.trajectory.alignment[0],
            "approximate": self.approximate,
        }


def predict(
    link: Link | str,
    loss: Loss | str = "squared",
    *,
    dim: int,
    samples: int,
    steps: int,
    neurons: int = 64,
    noise: float = 0.0,
    rank: int | None = None,
    decay: float = 1.0,
    rate: float = 1.0,
    linear_part_removed: bool = False,
    seed: int = 0,
) -> Prediction:
    """Predict a run of stage 1.

    **Arguments**

    - `neurons`: m of a symmetric start, of which half are independent.
    - the others: as in `predict_trajectory`. `decay` ≠ 1 changes the trajectory alone; span,
      sample sizes and step counts are those of power iteration.

    **Raises** `InputError` as `predict_trajectory`.
    """
    link = get_link(link, rank=rank)
    loss = get_loss(loss)
    neurons = integer("neurons", neurons, minimum=2)
    if neurons % 2:
        raise InputError(f"neurons={neurons}: expected an even number, as a symmetric start has")
    trajectory = predict_trajectory(
        link, loss, dim=dim, samples=samples, steps=steps, noise=noise, decay=decay, rate=rate,
        linear_part_removed=linear_part_removed, seed=seed,
    )  # fmt: skip
    effective = samples - dim if linear_part_removed else samples
    population, at_n, approximate = _measures(link, loss, noise, effective, seed)
    resolvent = Resolvent(at_n, effective / dim)
    leading = leading_outliers(resolvent)
    half = neurons // 2
    span = predict_span(at_n, dim, effective, steps, half, seed=seed) if steps else None
    eigenvalues = np.linalg.eigvalsh(population.weighted_second(1))
    times = range(1, steps + 1)
    extra = dim if linear_part_removed else 0
    return Prediction(
        link=link.name,
        loss=loss.name,
        noise=noise,
        dim=dim,
        samples=samples,
        steps=steps,
        neurons=half,
        trajectory=trajectory,
        span=span,
        n_half=tuple(_plus(n_half(population, dim, t), extra) for t in times),
        closed_form_n_half=tuple(
            _finite(float(closed_form_n_half(eigenvalues, population.moment(2), t, dim=dim)), dim)
            for t in times
        ),
        local_exponents=tuple(local_exponent(population, dim, t) for t in times),
        outliers=resolvent.outliers,
        edges=resolvent.edges,
        floor=1 - leading[0].squared_overlap if leading else None,
        recommended=recommended_steps(at_n, dim, effective),
        window=None if span is None else span_window(resolvent, span),
        approximate=approximate,
    )


def _measures(
    link: Link, loss: Loss, noise: float, samples: int, seed: int
) -> tuple[LabelMeasure, LabelMeasure, str | None]:
    """The measures behind n_half and behind the spectrum at this n."""
    if label_law(link, loss, noise=noise).tail.bounded is True:
        measure = population_of(link, loss, noise=noise).measure
        return measure, measure, None
    return (
        label_measure(truncated_law(link, loss, samples, noise=noise), fourth_moments=False),
        label_measure(
            sampled_law(link, loss, samples, noise=noise, seed=seed), fourth_moments=False
        ),
        "T(y) is not bounded: spectrum, floor, span and step counts are those of one simulated "
        f"label set; n_half is that of T cut off where one label in {samples} exceeds it",
    )


def _plus(value: float | None, extra: int) -> float | None:
    return None if value is None else value + extra


def _finite(value: float, dim: int) -> float | None:
    """None beyond every sample ratio that `n_half` considers: λ's that are rounding."""
    return value if value < HIGHEST_RATIO * dim else None


def _logistic(log_odds: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def shown_samples(value: float | None) -> str:
    """A number of samples for a table."""
    if value is None or not math.isfinite(value):
        return "never"
    return f"{value:,.0f}" if value < 1e7 else f"{value:.3g}"
