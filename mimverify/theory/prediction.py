"""Everything predicted for one run: link, loss, d, n and T (theory.md §4).

`predict` is what `mimverify predict` prints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mimverify.network.losses import DEFAULT_LOSS, Loss, get_loss
from mimverify.pages.blocks import Column, Table
from mimverify.pages.notebook import ShownInNotebooks
from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.threads import single_threaded_libraries
from mimverify.support.validation import integer
from mimverify.theory.analysis import FirstMoments, first_moments
from mimverify.theory.closed_forms import (
    closed_form_n_half,
    collapse_fraction,
    corrected_alignment,
    error_floor,
    fresh_samples_alignment,
    large_ratio_alignment,
    plateau,
)
from mimverify.theory.labels.label_law import LabelLaw, label_law, sampled_law
from mimverify.theory.labels.label_measure import LabelMeasure, label_measure
from mimverify.theory.sample_sizes import HIGHEST_RATIO, local_exponent, n_half
from mimverify.theory.spectrum.population import (
    drawn_measures,
    limiting_population,
    reached_measure,
)
from mimverify.theory.spectrum.resolvent import Outlier, Resolvent
from mimverify.theory.spectrum.span import SPECTRA, SpanPrediction, predict_span
from mimverify.theory.steps import MOST_STEPS, StepCount, Window, recommended_steps, span_window
from mimverify.theory.trajectory import Trajectory, predict_trajectory

# Relative error of the alignment above which a note is added.
_DOUBTFUL = 0.1
# From this n/d on the rule n → n − d (D8) holds to a per cent.
_FEW = 12


#: Larger numbers than this are no sizes of anything.
LARGEST = 10**15


@dataclass(frozen=True)
class ClosedForms:
    """The laws of theory.md §4 for n ≫ d, beside D1; None where a law does not apply.

    - `alignment`: D2 at t = 1 … T (the better form where r = 1).
    - `error_floor`: D4, (d/n) u_k/λ_k² for each direction.
    - `collapse`: D5, neurons nearer to the second direction, for r = 2.
    - `fresh_samples`: D7, A_t of fresh samples at every step, t = 0 … T, for r = 1.
    - `spurious`: D9, the |T| from which a single label makes an outlier, √(v α).
    - `plateau`: N1, the overlap that more samples do not lift, where Λ = 0.
    """

    alignment: tuple[float, ...] | None
    error_floor: tuple[float, ...] | None
    collapse: tuple[float, ...] | None
    fresh_samples: tuple[float, ...] | None
    spurious: float
    plateau: float | None


@dataclass(frozen=True)
class Prediction(ShownInNotebooks):
    """Predictions for one configuration.

    - `trajectory`: D1 with its finite-size terms.
    - `n_half`: samples for A_T = 1/2 at T = 1 … `steps` by D1, None where no n suffices;
      `closed_form_n_half`: the same by D3; `local_exponents`: of `n_half` in d.
    - `outliers`, `edges`: of H, with T cut off where one label in n exceeds it; `floor`:
      1 − A as T → ∞, None where no outlier leads.
    - `span`: span recovery (None for T = 0); `recommended`, `window`: step counts.
    - `closed`: the laws for n ≫ d.
    - `notes`: what is approximated, and what is unreliable.

    All but `trajectory` are those of power iteration (η1 β1 = 1), and empty for other decays.
    """

    link: str
    loss: str
    noise: float
    dim: int
    samples: int
    steps: int
    neurons: int
    trajectory: Trajectory
    power_iteration: bool
    span: SpanPrediction | None
    n_half: tuple[float | None, ...]
    closed_form_n_half: tuple[float | None, ...]
    local_exponents: tuple[float | None, ...]
    outliers: tuple[Outlier, ...]
    edges: tuple[float, float]
    floor: float | None
    recommended: StepCount
    window: Window | None
    closed: ClosedForms
    notes: tuple[str, ...]

    @property
    def run_mean(self) -> Float64Array:
        """Mean over runs of A_t, `(T + 1,)`."""
        mean = self.trajectory.run_mean(self.neurons)
        mean[0] = self.trajectory.alignment[0]  # r/d, exactly: the start is isotropic
        return mean

    def html_tables(self) -> list[Table]:
        """For notebooks: by step, alignment, span recovery and sample size."""
        names = ("alignment", "95 % of runs", "span recovery", "95 % of runs", "n for A = 1/2")
        low, high = self.trajectory.run_interval(self.neurons)
        rows = []
        for t, aligned in enumerate(self.run_mean):
            row = [str(t), f"{aligned:.5g}", f"{low[t]:.4g} … {high[t]:.4g}", "", "", ""]
            if t and self.span is not None:
                row[3] = f"{self.span.median[t - 1]:.5g}"
                row[4] = f"{self.span.low[t - 1]:.4g} … {self.span.high[t - 1]:.4g}"
                row[5] = shown_samples(self.n_half[t - 1])
            rows.append(row)
        run = f"{self.link}: d = {self.dim}, n = {self.samples}, loss {self.loss}"
        columns = [Column("step"), *(Column(name, numeric=True) for name in names)]
        return [Table(run, columns, rows, " ".join(f"{note}." for note in self.notes))]

    def to_json(self) -> Json:
        """A record of plain numbers; what does not exist is None."""
        low, high = self.trajectory.run_interval(self.neurons)
        aligned = self.trajectory.alignment
        mean = self.run_mean
        return {
            "link": self.link,
            "loss": self.loss,
            "noise": self.noise,
            "dim": self.dim,
            "samples": self.samples,
            "steps": self.steps,
            "independent_neurons": self.neurons,
            "alignment": mean.tolist(),
            "alignment_ratio_of_means": aligned.tolist(),
            "alignment_error": self.trajectory.error.tolist(),
            "alignment_remainder": (self.trajectory.remainder * aligned * (1 - aligned)).tolist(),
            "one_run": {
                "mean": mean.tolist(),
                "low": low.tolist(),
                "high": high.tolist(),
            },
            "alignment_asymptotic": self.trajectory.asymptotic.tolist(),
            "overlaps": self.trajectory.overlaps.tolist(),
            "simulated_labels": self.trajectory.sampled,
            "power_iteration": self.power_iteration,
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
            "chance": float(aligned[0]),
            "large_ratio": {
                "alignment": _list(self.closed.alignment),
                "error_floor": _list(self.closed.error_floor),
                "collapse_fraction": _list(self.closed.collapse),
                "fresh_samples_alignment": _list(self.closed.fresh_samples),
                "spurious_outlier_from": self.closed.spurious,
                "plateau": self.closed.plateau,
            },
            "notes": list(self.notes),
        }


def predict(
    link: Link | str,
    loss: Loss | str = DEFAULT_LOSS,
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
    - the others: as in `predict_trajectory`.

    **Raises** `InputError` as `predict_trajectory`.
    """
    link = get_link(link, rank=rank)
    loss = get_loss(loss)
    dim = integer("dim", dim, minimum=2, maximum=LARGEST)
    samples = integer("samples", samples, minimum=1, maximum=LARGEST)
    steps = integer("steps", steps, minimum=0, maximum=MOST_STEPS)
    neurons = integer("neurons", neurons, minimum=2)
    if neurons % 2:
        raise InputError(f"neurons={neurons}: expected an even number, as a symmetric start has")
    effective = samples - dim if linear_part_removed else samples
    iterates = decay == 1.0
    half = neurons // 2
    with single_threaded_libraries():  # too small for threads
        trajectory = predict_trajectory(
            link, loss, dim=dim, samples=samples, steps=steps, noise=noise, decay=decay,
            rate=rate, linear_part_removed=linear_part_removed, seed=seed,
        )  # fmt: skip
        law = label_law(link, loss, noise=noise)
        population, at_n = _measures(link, loss, noise, dim, effective, steps, seed)
        resolvent = Resolvent(at_n, effective / dim)
        moments = first_moments(law)
        sizes = _sample_sizes(population, moments, dim, steps, iterates)
    span = None
    if steps and iterates:
        labels = drawn_measures(
            link, loss, noise=noise, dim=dim, samples=effective, steps=steps, count=SPECTRA,
            seed=seed,
        )  # fmt: skip
        span = predict_span(labels, dim, effective, steps, half, seed=seed)
    notes = _notes(law, trajectory, samples, iterates)
    if linear_part_removed and samples < _FEW * dim:
        notes += (
            "removing the linear part acts like n − d only to first order in d/n: at n/d = 4 "
            "alignments are about a tenth lower than predicted",
        )
    return Prediction(
        link=link.name,
        loss=loss.name,
        noise=noise,
        dim=dim,
        samples=samples,
        steps=steps,
        neurons=half,
        trajectory=trajectory,
        power_iteration=iterates,
        span=span,
        n_half=tuple(
            None if n is None else n + (dim if linear_part_removed else 0) for n in sizes.by_d1
        ),
        closed_form_n_half=sizes.closed_form,
        local_exponents=sizes.exponents,
        outliers=resolvent.outliers,
        edges=resolvent.edges,
        floor=1 - resolvent.leading[0].squared_overlap if resolvent.leading else None,
        recommended=recommended_steps(at_n, dim, effective)
        if iterates
        else StepCount(None, "η1 β1 ≠ 1: not power iteration"),
        window=span_window(resolvent, span) if span is not None else None,
        closed=_closed_forms(moments, dim, effective, steps),
        notes=notes,
    )


def _measures(
    link: Link, loss: Loss, noise: float, dim: int, samples: int, steps: int, seed: int
) -> tuple[LabelMeasure, LabelMeasure]:
    """The measures behind n_half, and behind the spectrum at this n."""
    cut = reached_measure(link, loss, samples, noise=noise)
    population = limiting_population(link, loss, noise=noise, dim=dim, samples=samples, steps=steps)
    if population is not None:
        return population.measure, cut
    sampled = sampled_law(link, loss, samples, noise=noise, seed=seed)
    return cut, label_measure(sampled, fourth_moments=False)


@dataclass(frozen=True)
class _Sizes:
    by_d1: tuple[float | None, ...]
    closed_form: tuple[float | None, ...]
    exponents: tuple[float | None, ...]


def _sample_sizes(
    measure: LabelMeasure, moments: FirstMoments, dim: int, steps: int, iterates: bool
) -> _Sizes:
    if not iterates or moments.rank == 0:  # what is left of Λ is the quadrature's error
        nothing = (None,) * steps
        return _Sizes(nothing, nothing, nothing)
    by_d1: list[float | None] = []
    closed: list[float | None] = []
    exponents: list[float | None] = []
    for t in range(1, steps + 1):
        by_law = float(closed_form_n_half(moments.clear_eigenvalues, moments.v, t, dim=dim))
        closed.append(by_law if by_law < HIGHEST_RATIO * dim else None)
        found = n_half(measure, dim, t, guess=by_d1[-1] if by_d1 else None)
        by_d1.append(found)
        exponents.append(None if found is None else local_exponent(measure, dim, t, found))
    return _Sizes(tuple(by_d1), tuple(closed), tuple(exponents))


def _closed_forms(moments: FirstMoments, dim: int, samples: int, steps: int) -> ClosedForms:
    lam, v, u = moments.eigenvalues, moments.v, moments.u
    spurious = math.sqrt(v * samples / dim)
    if moments.rank == 0:
        return ClosedForms(None, None, None, None, spurious, plateau(moments.second_order, v))
    times = np.arange(1, steps + 1)
    r, full = len(lam), moments.rank == len(lam)
    fresh = None
    if r == 1:
        aligned = corrected_alignment(
            float(lam[0]), v, float(u[0]), times, dim=dim, samples=samples
        )
        fresh = fresh_samples_alignment(
            float(lam[0]), v, float(u[0]), steps, dim=dim, samples=samples
        )
    else:
        aligned = large_ratio_alignment(
            moments.clear_eigenvalues, v, times, dim=dim, samples=samples
        )
    collapse = None
    if r == 2 and full:
        collapse = collapse_fraction(float(lam[0]), float(lam[1]), times)
    floor = error_floor(lam, u, dim=dim, samples=samples) if full else None
    return ClosedForms(
        _tuple(np.clip(aligned, 0.0, 1.0)),
        _tuple(floor),
        _tuple(collapse),
        _tuple(fresh),
        spurious,
        None,
    )


def _notes(law: LabelLaw, trajectory: Trajectory, samples: int, iterates: bool) -> tuple[str, ...]:
    notes = []
    if trajectory.sampled:
        if law.at_jump:
            why = "T(y) jumps at an atom of the labels"
        elif law.deterministic_limit:
            why = f"T(y) is bounded, but too few of {samples} labels come near its bound"
        else:
            why = "T(y) is not bounded"
        notes.append(
            f"{why}: labels were simulated; spectrum, floor, span and step counts are those of "
            f"one label set, n_half that of T cut off where one label in {samples} exceeds it"
        )
    if not iterates:
        notes.append(
            "η1 β1 ≠ 1: only the alignment is predicted, for a network whose output stays small"
        )
    aligned = trajectory.alignment
    doubt = trajectory.error + trajectory.remainder * aligned * (1 - aligned)
    worst = int(np.argmax(doubt / aligned))
    if doubt[worst] > _DOUBTFUL * aligned[worst]:
        notes.append(
            f"the alignment at step {worst} is uncertain by about {doubt[worst]:.2g}: d is too "
            "small, or labels are too rare, for an expansion in 1/d"
        )
    return tuple(notes)


def _list(values: tuple[float, ...] | None) -> list[float] | None:
    return None if values is None else list(values)


def _tuple(values: Float64Array | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(value) for value in values)


def shown_samples(value: float | None) -> str:
    """A number of samples for a table."""
    if value is None or not math.isfinite(value):
        return "never"
    return f"{value:,.0f}" if value < 1e7 else f"{value:.3g}"


def shown_share(value: float) -> str:
    """An alignment for a table: four decimals, or three digits where those would be zeros."""
    return f"{value:.4f}" if value >= 1e-3 else f"{value:.2e}"
