"""Which rows of X a trainer's step leaves out, or counts otherwise than once.

A row contributes c_i = η r_i x_iᵀ/n to the step, whatever becomes of the others. If a contiguous
range of rows [s, e) has the weight w instead of 1, the step departs from the right one by
(w − 1) (S_e − S_s), S the cumulative sums of c_i, where the gradient is still divided by n. Where
it is divided by the number of rows that count, the same holds of S_j − (j/n) g, g the trainer's
own step. So for w = 0 and w = 2 all n²/2 ranges are searched at once, as pairs of points at a given
difference; for other w the n ranges at either end, by least squares. The search is made in a few
random projections. What it finds is compared with the trainer's weights in every entry, and named
only within the rounding envelope of a trainer that weights its rows like this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array
from mimverify.trial.reference.envelope import step_envelope
from mimverify.trial.reference.oracle import Option, exact_step, row_weights

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["RowRange", "find_row_range"]

_PROJECTIONS = 8
_NEIGHBOURS = 3
_CANDIDATES = 3  # pairs that are compared in full, of each kind
_MOST_ROWS = 1 << 15
_HEAVIEST = 100.0  # weight of rows that is fitted
_WHOLE = (0.0, 2.0)  # weights that are not fitted
#: A departure of fewer envelopes is too small to find its rows, with a fitted weight or without.
_CLEAR, _CLEAR_FITTED = 8.0, 100.0
#: Probability, at most, that any of the ranges fits by chance, were the trainer's departures
#: spread evenly over their sizes.
_CHANCE = 1e-9


@dataclass(frozen=True)
class RowRange:
    """Contiguous rows that a step does not count once.

    **Arguments**

    - `start`, `stop`: of the rows, of `of` in all.
    - `weight`: how often each of them counts.
    - `divided_by_all`: whether the gradient is still divided by n. If it is divided by the number
      that counts, a weight w is the same as 1/w for all other rows.
    """

    start: int
    stop: int
    of: int
    weight: float
    divided_by_all: bool

    def __str__(self) -> str:
        one = self.stop - self.start == 1
        rows = f"row {self.start}" if one else f"rows {self.start}–{self.stop - 1}"
        how = {0.0: "left out", 2.0: "counted twice"}.get(
            self.weight, f"counted {self.weight:.4g} times"
        )
        divisor = ", and the sum divided by all n" if self.divided_by_all else ""
        return f"as if {rows} of {self.of} {'was' if one else 'were'} {how}{divisor}"


@dataclass(frozen=True)
class _Search:
    """The trainer's step and the right one; η > 0, n ≥ 2."""

    W: Float64Array
    got: Float64Array
    arrays: dict[str, Option]
    eta: float
    beta: float
    options: dict[str, Option]
    dtype: str
    allowed: Float64Array

    @property
    def rows(self) -> int:
        return len(self.arrays["y"])


def find_row_range(
    W: Float64[Float64Array, "m d"],
    got: Float64[Float64Array, "m d"],
    allowed: Float64[Float64Array, "m d"],
    *,
    a: Float64[Float64Array, " m"],
    b: Float64[Float64Array, " m"],
    X: Float64[Float64Array, "n d"],
    y: Float64[Float64Array, " n"],
    eta: float,
    beta: float,
    activation: str,
    loss: str,
    dtype: str,
) -> RowRange | None:
    """The range of rows that explains a step from W `(m, d)` to `got`; None if there is none.

    **Arguments**

    - `allowed`: the rounding envelope of a right step, `(m, d)`.
    - `a`, …, `loss`: of `exact_step`; `dtype`: of the arrays handed over.
    """
    if eta == 0 or not 2 <= len(y) <= _MOST_ROWS:
        return None
    arrays: dict[str, Option] = {"a": a, "b": b, "X": X, "y": y}
    names: dict[str, Option] = {"activation": activation, "loss": loss}
    search = _Search(W, got, arrays, eta, beta, names, dtype, allowed)
    with np.errstate(all="ignore"):  # what overflows explains nothing
        return _find(search)


def _find(search: _Search) -> RowRange | None:
    W, got, allowed, arrays = search.W, search.got, search.allowed, search.arrays
    right = exact_step(W, **arrays, eta=search.eta, beta=search.beta, **search.options)
    apart = np.abs(got - right)
    if not np.isfinite(apart).all() or not (apart > _CLEAR * allowed).any():
        return None
    chance = {fitted: _chance(W, apart, allowed, search.rows, fitted=fitted) for fitted in (0, 1)}
    for candidate in _candidates(search):
        if chance[candidate.weight not in _WHOLE] > _CHANCE:
            continue
        predicted, envelope = _prediction(search, candidate)
        near = np.abs(got - predicted)
        # An envelope that holds the right step as well would explain nothing.
        clear = _CLEAR if candidate.weight in _WHOLE else _CLEAR_FITTED
        if (near <= envelope).all() and (apart > clear * envelope).any():
            return _shorter(candidate)
    return None


def _shorter(found: RowRange) -> RowRange:
    """The same weights, said of the fewer rows, where only their ratio matters."""
    n, start, stop = found.of, found.start, found.stop
    if found.weight in _WHOLE or found.divided_by_all or 2 * (stop - start) <= n:
        return found
    start, stop = (stop, n) if start == 0 else (0, start)
    return RowRange(start, stop, n, 1 / found.weight, divided_by_all=False)


def _chance(
    W: Float64Array, apart: Float64Array, allowed: Float64Array, rows: int, *, fitted: int
) -> float:
    """The expected number of ranges that fit by chance: see `_CHANCE`.

    Neurons with equal weights but for the sign, as in a symmetric start, are no further evidence;
    nor are as many numbers as are fitted.
    """
    _, different = np.unique(np.abs(W), axis=0, return_index=True)
    part = np.minimum(allowed / np.maximum(apart, np.finfo(np.float64).tiny), 1.0)[different]
    hypotheses = 2.0 * rows * (rows + 1) + 4 * rows
    evidence = np.sort(np.log(np.maximum(part, np.finfo(np.float64).tiny)), axis=None)[fitted:]
    logarithm = evidence.sum() + np.log(hypotheses)
    return float(np.exp(min(logarithm, 0.0)))


def _candidates(search: _Search) -> Iterator[RowRange]:
    """The nearest ranges of each kind, those at an end of the data first."""
    n, (m, d) = search.rows, search.W.shape
    rng = np.random.default_rng(0)
    count = min(_PROJECTIONS, m * d)
    directions = rng.standard_normal((count, m, d))
    R = row_weights(search.W, **{key: search.arrays[key] for key in "abXy"}, **search.options)
    scaled = search.eta / n * R
    X = search.arrays["X"]
    each = np.stack([(scaled * (X @ V.T)).sum(axis=1) for V in directions], axis=1)
    sums = np.concatenate([np.zeros((1, count)), np.cumsum(each, axis=0)])  # S, (n + 1, count)
    own = (1 - search.eta * search.beta) * search.W - search.got
    g = np.array([(V * own).sum() for V in directions])
    size = max(float(np.abs(sums).max()), float(np.abs(g).max()))
    if not 0 < size < np.inf:  # of numbers near the largest one
        return
    sums, g = sums / size, g / size  # their squares are distances
    missing = sums[-1] - g
    shares = np.arange(n + 1)[:, None] / n * g
    for by_all, points in ((True, sums), (False, sums - shares)):
        for weight, difference in ((0.0, missing), (2.0, -missing)):
            for start, stop in _pairs(points, difference):
                yield RowRange(start, stop, n, weight, by_all)
    for by_all, points in ((True, sums), (False, sums - shares)):
        for start, stop, weight in _weighted_ends(points, -missing):
            yield RowRange(start, stop, n, weight, by_all)


def _pairs(points: Float64Array, difference: Float64Array) -> list[tuple[int, int]]:
    """(s, e), s < e, whose points differ by nearly `difference`; those at an end first."""
    from scipy.spatial import cKDTree

    n = len(points) - 1
    near = min(_NEIGHBOURS, len(points))
    distance, stop = cKDTree(points).query(points + difference, k=near)
    start = np.repeat(np.arange(n + 1), near)
    distance, stop = distance.reshape(-1), stop.reshape(-1)
    every, none = np.arange(n + 1), np.zeros(n + 1, dtype=int)
    to_end = np.linalg.norm(points[-1] - points - difference, axis=1)
    from_start = np.linalg.norm(points - points[0] - difference, axis=1)
    start = np.concatenate([start, every, none])
    stop = np.concatenate([stop, none + n, every])
    distance = np.concatenate([distance, to_end, from_start])
    proper = (stop > start) & (stop - start < n) & np.isfinite(distance)
    ends = proper & ((start == 0) | (stop == n))
    found = []
    for group in (ends, proper):
        order = np.flatnonzero(group)[np.argsort(distance[group])][:_CANDIDATES]
        found += [(int(start[k]), int(stop[k])) for k in order]
    return list(dict.fromkeys(found))


def _weighted_ends(
    points: Float64Array, departure: Float64Array
) -> Iterator[tuple[int, int, float]]:
    """The first or last rows with the weight that explains the departure best."""
    n = len(points) - 1
    inner = np.arange(1, n)
    for start, stop, sums in (
        (np.zeros(n - 1, int), inner, points[1:-1] - points[0]),
        (inner, np.full(n - 1, n), points[-1] - points[1:-1]),
    ):
        square = np.maximum((sums**2).sum(axis=1), np.finfo(np.float64).tiny)
        factor = sums @ departure / square
        left = np.linalg.norm(departure - factor[:, None] * sums, axis=1)
        k = int(np.argmin(left))
        if abs(factor[k]) <= _HEAVIEST:
            yield int(start[k]), int(stop[k]), 1 + float(factor[k])


def _prediction(search: _Search, found: RowRange) -> tuple[Float64Array, Float64Array]:
    """The weights after such a step, and their rounding envelope, both `(m, d)`."""
    n, inside = search.rows, np.arange(found.start, found.stop)
    outside = np.concatenate([np.arange(found.start), np.arange(found.stop, n)])
    if found.weight in _WHOLE:
        rows = outside if found.weight == 0 else np.concatenate([np.arange(n), inside])
        divisor = n if found.divided_by_all else len(rows)
        rate = search.eta * len(rows) / divisor
        given = {
            **search.options, **_rows(search, rows),
            "eta": rate, "beta": search.beta * search.eta / rate,
        }  # fmt: skip
        envelope = step_envelope(search.W, **given, dtype=search.dtype)
        return exact_step(search.W, **given), envelope
    # A weight of its own, which is fitted: the two parts of the step, each by itself.
    parts = [
        search.W
        - exact_step(
            search.W, **_rows(search, rows), **search.options,
            eta=search.eta * len(rows) / n, beta=0.0,
        )
        for rows in (outside, inside)
    ]  # fmt: skip
    kept = (1 - search.eta * search.beta) * search.W
    own, right = kept - search.got, parts[0] + parts[1]
    share = 0.0 if found.divided_by_all else len(inside) / n
    direction = parts[1] - share * own
    factor = float((direction * (own - right)).sum() / (direction**2).sum())
    size = float(np.divide(1.0, 1 + factor * share))
    envelope = search.allowed * max(1.0, abs(1 + factor)) * max(1.0, abs(size))
    return kept - size * (right + factor * parts[1]), envelope


def _rows(search: _Search, rows: NDArray[np.int_]) -> dict[str, Option]:
    """The arrays of `exact_step` with these rows alone."""
    X, y = search.arrays["X"], search.arrays["y"]
    return {"a": search.arrays["a"], "b": search.arrays["b"], "X": X[rows], "y": y[rows]}
