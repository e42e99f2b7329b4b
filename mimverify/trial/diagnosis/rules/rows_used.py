"""Rows left out, weighed or used otherwise than all once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array, NumpyArray
from mimverify.trial.diagnosis.rule import Prediction, Rule, changed, rule, scaled, with_loss
from mimverify.trial.diagnosis.trainer_step import Step

#: Usual sizes of blocks.
_BLOCKS = (
    4096, 2048, 1024, 1000, 512, 500, 256, 250, 200, 128, 100, 64, 50, 32, 20, 16, 10, 8, 4, 2
)  # fmt: skip
_PARTS = (2, 3, 4, 5, 8, 10)
_CANDIDATES = 3  # of a scan that are tested in full


#: Of a step: the rows that are used, with details.
_Chosen = Callable[[Step], Iterator[tuple[slice | NumpyArray, str]]]


def _some_rows(
    name: str, choose: _Chosen, *, varies: bool = False, lasting: bool = False
) -> tuple[Rule, Rule]:
    """Two rules: the mean over some of the rows, and their sum divided by n."""

    @rule(name, varies=varies, lasting=lasting)
    def averaged(step: Step) -> Iterator[Prediction]:
        for X, y, detail in _subsets(step, choose):
            yield changed(step, X=X, y=y).named(detail)

    @rule(f"{name}, but counted in n", varies=varies, lasting=lasting)
    def counted(step: Step) -> Iterator[Prediction]:
        for X, y, detail in _subsets(step, choose):
            rate = step.eta * len(y) / len(step.y)
            yield scaled(step, keep=step.keep, rate=rate, X=X, y=y).named(detail)

    return averaged, counted


def _subsets(step: Step, choose: _Chosen) -> Iterator[tuple[Float64Array, Float64Array, str]]:
    for rows, detail in choose(step):
        X, y = step.X[rows], step.y[rows]
        if 0 < len(y) < len(step.y):
            yield X, y, detail


def weighed_rows(step: Step, weights: Float64Array) -> Prediction:
    """The gradient of (1/n) Σ weights_i l_i."""
    return changed(step, loss=with_loss(step, lambda u: weights * step.psi.derivative(u)))


def _projected(step: Step) -> tuple[Float64Array, float] | None:
    """Each row's term of the gradient along one random direction, and the gradient taken.

    A scan over all subsets of a kind needs one number a row; what it finds is tested in full.
    """
    if step.gradient_taken is None:
        return None
    v = np.random.default_rng(0).standard_normal(step.W.shape)
    terms = ((step.X @ v.T) * step.back).sum(axis=1) * step.slope
    return terms, float((step.gradient_taken * v).sum())


def _nearest(values: Float64Array, wanted: float) -> list[int]:
    """Indices of the nearest finite values, nearest first."""
    gaps = np.abs(values - wanted)
    return [int(k) for k in np.argsort(gaps)[:_CANDIDATES] if np.isfinite(gaps[k])]


def _dropped(step: Step, terms: Float64Array, wanted: float) -> list[int]:
    """How many of the last rows may have been dropped; halves have rules of their own."""
    n = len(terms)
    if n < 2:
        return []
    sums, counts = np.cumsum(terms)[:-1], np.arange(1, n)
    found = {n - counts[k] for k in _nearest(sums / counts, wanted)}
    found |= {n - counts[k] for k in _nearest(sums / n, wanted)}
    return sorted(int(k) for k in found if k not in (n // 2, (n + 1) // 2) or k == 1)


def _without_tail(step: Step) -> Iterator[tuple[slice, str]]:
    """Any number of the last rows: the partial block of some size."""
    n, scan = len(step.y), _projected(step)
    for count in [] if scan is None else _dropped(step, *scan):
        rows = slice(n - count)
        yield rows, _counted(count)
        for size in _BLOCKS:
            if size < n and n % size == count:
                yield rows, f"a partial block of {size}"


def _without_head(step: Step) -> Iterator[tuple[slice, str]]:
    scan = _projected(step)
    if scan is not None:
        terms, wanted = scan
        for count in _dropped(step, terms[::-1], wanted):
            yield slice(count, None), _counted(count)


def _counted(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows} rows"


def _first_half(step: Step) -> Iterator[tuple[slice, str]]:
    n = len(step.y)
    yield slice(n // 2), ""
    yield slice((n + 1) // 2), ""


def _second_half(step: Step) -> Iterator[tuple[slice, str]]:
    n = len(step.y)
    yield slice(n // 2, None), ""
    yield slice((n + 1) // 2, None), ""


def _every_second(step: Step) -> Iterator[tuple[slice, str]]:
    yield slice(None, None, 2), "from the first on"
    yield slice(1, None, 2), "from the second on"


def _own_rows(step: Step) -> Iterator[tuple[NumpyArray, str]]:
    """Step t has the part t mod k of k parts."""
    n = len(step.y)
    for parts in _PARTS:
        if parts <= n and step.t:
            yield np.array_split(np.arange(n), parts)[step.t % parts], f"{parts} parts"


def _first_of_each(step: Step) -> Iterator[tuple[NumpyArray, str]]:
    _, first = np.unique(step.X, axis=0, return_index=True)
    yield np.sort(first), ""


def _labelled(step: Step) -> Iterator[tuple[NumpyArray, str]]:
    yield np.flatnonzero(step.y), ""


@rule("rows of zeros left out")
def without_empty_rows(step: Step) -> Iterator[Prediction]:
    """Of the mean as well: the sum has nothing of them."""
    filled = np.asarray(step.X.any(axis=1))
    if _proper(filled):
        yield changed(step, X=step.X[filled], y=step.y[filled])


@rule("rows weighed by their place, linearly from {}", fitted=True)
def weighed_by_place(step: Step) -> Iterator[Prediction]:
    """The gradient is a combination of Σ terms_i and Σ (i/(n − 1)) terms_i."""
    n, taken = len(step.y), step.gradient_taken
    if taken is None or min(n, step.W.size) < _FEWEST:
        return
    place = np.linspace(0, 1, n)
    sums = _weighed_gradients(step, [np.ones(n), place])
    if not (np.isfinite(sums).all() and np.isfinite(taken).all()):
        return
    (first, more), _, rank, _ = np.linalg.lstsq(sums, taken.ravel(), rcond=None)
    left = float(np.linalg.norm(sums @ [first, more] - taken.ravel()))
    # Equal weights are a gradient of another length, or none.
    if (
        rank == 2
        and abs(more) > _LEAST_SLOPE * max(1.0, abs(first))
        and left < _LEAST_SLOPE * float(np.linalg.norm(taken))
        and _tells_weights_apart(step)
    ):
        weights = np.asarray(first + more * place)
        yield weighed_rows(step, weights).named(f"{weights[0]:.4g} to {weights[-1]:.4g}")


def _weighed_gradients(step: Step, weights: Sequence[Float64Array]) -> Float64Array:
    """The gradients of (1/n) Σ weights_i l_i, a column `(m d)` for each `(n,)` of weights."""
    n = len(step.y)
    each = [((step.slope * w)[:, None] * step.back).T @ step.X / n for w in weights]
    return np.stack([G.ravel() for G in each], axis=1)


def _tells_weights_apart(step: Step) -> bool:
    """Whether the gradient has dimensions enough that two constants explain it by no chance."""
    place = np.linspace(0, np.pi, len(step.y))
    columns = _weighed_gradients(step, [np.cos(k * place) for k in range(_FEWEST)])
    return int(np.linalg.matrix_rank(columns, tol=_DISTINCT * np.linalg.norm(columns))) == _FEWEST


_FEWEST = 6  # rows, weights and dimensions with which two constants do not explain everything
_LEAST_SLOPE = 1e-3
_DISTINCT = 1e-6


def _proper(chosen: NDArray[np.bool_]) -> bool:
    return bool(chosen.any() and not chosen.all())


@rule("mean of the means of blocks, of which the last is smaller")
def mean_of_means(step: Step) -> Iterator[Prediction]:
    """Blocks of any size that does not divide n."""
    n, scan = len(step.y), _projected(step)
    if scan is None or n < 3:
        return
    terms, wanted = scan
    sizes = np.array([size for size in range(2, n) if n % size], dtype=int)
    if not len(sizes):
        return
    sums = np.concatenate([[0.0], np.cumsum(terms)])
    values = np.array([_of_means(sums, int(size)) for size in sizes])
    for k in _nearest(values, wanted):
        size = int(sizes[k])
        yield weighed_rows(step, _block_weights(n, size)).named(f"blocks of {size}")


def _of_means(sums: Float64Array, size: int) -> float:
    """The mean of the means of blocks, from the sums of the first 0, 1, …, n terms."""
    ends = np.append(np.arange(0, len(sums) - 1, size), len(sums) - 1)
    return float((np.diff(sums[ends]) / np.diff(ends)).mean())


def _block_weights(n: int, size: int) -> Float64Array:
    """n/(number of blocks × rows of its block) for each row `(n,)`."""
    blocks, last = -(-n // size), n % size
    weights = np.full(n, n / (blocks * size))
    if last:
        weights[-last:] = n / (blocks * last)
    return weights


@rule("rows drawn, each counted 0, 1 or several times", varies=True)
def recovered_counts(step: Step) -> Iterator[Prediction]:
    """Where the gradient determines every row's weight: whether they are counts."""
    slopes = recovered_slopes(step)
    if slopes is None or not step.slope.all():
        return
    ratio = slopes / step.slope
    n = len(ratio)
    # Of k rows that are averaged, each has its count times n/k.
    for unit in (1.0, *(float(r) for r in ratio[ratio > 1e-3][:8])):
        counts = np.rint(ratio / unit)
        if np.abs(ratio / unit - counts).max() > _INTEGER or counts.min() < 0:
            continue
        counts /= max(1, np.gcd.reduce(counts.astype(int)))
        if 0 < counts.sum() <= 2 * n and (counts != 1).any() and not _has_a_rule(step, counts):
            used = f"{int((counts > 0).sum())} of {n} rows used"
            again = ", some of them again" if counts.max() > 1 else ""
            weights = counts * (n / counts.sum())
            yield weighed_rows(step, weights).named(used + again)
            return


def _has_a_rule(step: Step, counts: Float64Array) -> bool:
    """Whether rows of a range at one end, every second, or those with a label are used: there
    are rules for such."""
    used = np.flatnonzero(counts)
    if counts.max() > 1:
        return False
    rows = np.arange(len(counts))
    ranges = (
        rows[: len(used)], rows[-len(used) :], rows[::2], rows[1::2], np.flatnonzero(step.y)
    )  # fmt: skip
    return any(np.array_equal(used, each) for each in ranges)


def recovered_slopes(step: Step) -> Float64Array | None:
    """l'_i of every row `(n,)`, where the m d numbers of the gradient taken determine them."""
    n, taken = len(step.y), step.gradient_taken
    if taken is None or not 1 < n <= min(taken.size, _LARGEST_SYSTEM):
        return None
    terms = (step.back[:, :, None] * step.X[:, None, :]).reshape(n, -1).T / n
    solved, _, rank, sizes = np.linalg.lstsq(terms, taken.ravel(), rcond=None)
    if rank < n or sizes[-1] < _LARGEST_CONDITION * sizes[0]:
        return None
    return np.asarray(solved)


_LARGEST_SYSTEM = 256  # rows
_LARGEST_CONDITION = 1e-9
_INTEGER = 1e-3

RULES = (
    *_some_rows("last rows dropped", _without_tail, varies=True),
    *_some_rows("first rows dropped", _without_head, varies=True),
    *_some_rows("only the first half of the rows used", _first_half),
    *_some_rows("only the second half of the rows used", _second_half),
    *_some_rows("only every second row used", _every_second),
    *_some_rows("rows divided among the steps", _own_rows, lasting=True),
    *_some_rows("rows that occur twice counted once", _first_of_each),
    *_some_rows("rows whose label is 0 left out", _labelled),
    without_empty_rows,
    weighed_by_place,
    mean_of_means,
    recovered_counts,
)
