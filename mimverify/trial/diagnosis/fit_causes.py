"""What predictions depend on that they must not: earlier calls, the other rows, the layout.

A few calls, each of which a right trainer answers as it did before. Differences below 1e-3 of the
predictions' spread are roundings, as in `repetition`. What two new trainers do not agree on is
chance, and nothing is named from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from mimverify.handles.memory_forms import PLAIN
from mimverify.support.arrays import Float64Array, NumpyArray
from mimverify.trial.diagnosis.rules.memory_layout import READ_IN_C_ORDER, read_in_c_order
from mimverify.trial.trainer.calls import Call, RecordedTrainer

__all__ = ["FIT_CAUSES", "causes_of_predictions"]

_REFIT = "a fit depends on the fits before"
_EARLIER = "predictions depend on earlier predictions"
_TOGETHER = "predictions depend on the rows that are predicted together"
_LOOKED_UP = "rows of the training set looked up"
_COPY = "a copy predicts otherwise"
#: All that `causes_of_predictions` names, beside `READ_IN_C_ORDER`.
FIT_CAUSES = (_REFIT, _EARLIER, _TOGETHER, _LOOKED_UP, _COPY)

_NEGLIGIBLE = 1e-3  # of the predictions' spread, as in `repetition`
_SINGLE = 8  # rows that are predicted one by one
_MOVED = (1e-6, 1e-3)  # in each coordinate; a row that is looked up is found again, or is not
_FITS, _PREDICTIONS = 9, 30  # that are made, at most


@dataclass(frozen=True)
class _Bench:
    """The trainer of a failed claim, with a fit and rows to predict."""

    record: RecordedTrainer
    fit: Call
    rows: NumpyArray

    def fitted(self, *fits: Call) -> None:
        """A new trainer, fitted to these; by default as it was."""
        self.record.again(fits or (self.fit,), fresh=True)

    def predict(self, rows: NumpyArray | None = None, form: str = PLAIN) -> Float64Array:
        """By the trainer as it is."""
        call = Call("predict", {"X": self.rows if rows is None else rows}, {}, None, form=form)
        result = self.record.again([call], fresh=False)
        assert result is not None
        return np.asarray(result, dtype=np.float64)

    def predicted(self, *fits: Call) -> Float64Array:
        """By a new trainer, fitted to these."""
        self.fitted(*fits)
        return self.predict()


def causes_of_predictions(record: RecordedTrainer, seconds: float) -> Iterator[tuple[str, str]]:
    """Names and details of the causes; none of a trainer that was not fitted.

    **Arguments**

    - `record`: whose trainer is called; the last call of the failed claim was a prediction.
    - `seconds`: that its calls may take.
    """
    last = record.latest
    if not record.fits or last is None or last.method != "predict" or last.result is None:
        return
    fit = record.fits[-1]
    once = _FITS * (fit.seconds or 0.0) + _PREDICTIONS * (last.seconds or 0.0)
    if once + _FITS * record.construction_seconds > seconds:
        return
    bench = _Bench(record, replace(fit, form=PLAIN), last.arrays["X"])
    if not bench.rows.size:
        return
    right = bench.predicted()
    if not _same(right, bench.predicted(), right):
        return  # chance
    earlier = list(_of_earlier_predictions(bench))
    yield from earlier
    if record.refitted and len(record.fits) == 2:
        yield from _of_earlier_fits(bench, record.fits[0], right)
    if earlier:
        return  # the following compare predictions of one trainer
    if record.copied:
        yield from _of_a_copy(bench, record.copied, right)
    yield from _of_rows_together(bench, right)
    yield from _of_known_rows(bench)
    if last.form != PLAIN:
        yield from _of_misread_rows(bench, last, right)
    if fit.form != PLAIN:
        yield from _of_a_misread_fit(bench, fit, right)


def _same(one: Float64Array, other: Float64Array, scale: Float64Array) -> bool:
    """Equal but for roundings, beside the spread of some predictions."""
    spread = float(np.std(scale)) or float(np.abs(scale).max()) or 1.0
    return bool(np.sqrt(np.mean((one - other) ** 2)) <= _NEGLIGIBLE * spread)


def _of_earlier_predictions(bench: _Bench) -> Iterator[tuple[str, str]]:
    """Of one trainer, before and after other rows."""
    bench.fitted()
    before = bench.predict()
    bench.predict(bench.rows + bench.rows.dtype.type(1))
    if not _same(bench.predict(), before, before):
        yield _EARLIER, ""


def _of_earlier_fits(bench: _Bench, other: Call, right: Float64Array) -> Iterator[tuple[str, str]]:
    """Of a trainer that was fitted to other data before, and of one that was not."""
    again = bench.predicted(replace(other, form=PLAIN), bench.fit)
    if _same(again, right, right):
        return
    alone = bench.predicted(replace(other, form=PLAIN))
    yield _REFIT, "the second changes nothing" if _same(again, alone, right) else ""


def _of_a_copy(bench: _Bench, how: str, right: Float64Array) -> Iterator[tuple[str, str]]:
    bench.fitted()
    bench.record.again([Call(how, {}, {}, None)], fresh=False)
    if not _same(bench.predict(), right, right):
        yield _COPY, how


def _of_rows_together(bench: _Bench, right: Float64Array) -> Iterator[tuple[str, str]]:
    """Rows by halves, and some of them one by one."""
    rows, half, few = bench.rows, len(bench.rows) // 2, min(_SINGLE, len(bench.rows))
    bench.fitted()
    parts = ((rows[:half], rows[half:]), [rows[k : k + 1] for k in range(few)])
    for part in parts:
        found = np.concatenate([bench.predict(piece) for piece in part if len(piece)])
        if not _same(found, right[: len(found)], right):
            yield _TOGETHER, ""
            return


def _of_known_rows(bench: _Bench) -> Iterator[tuple[str, str]]:
    """Rows of the training set are answered with their labels, and rows beside them are not.

    A continuous function, however well it fits them, changes as much elsewhere; the nearest
    neighbour's label is that of the rows beside them, too.
    """
    X, y = bench.fit.arrays["X"], bench.fit.arrays["y"].astype(np.float64)
    rng = np.random.default_rng(0)
    others = rng.permuted(X, axis=0)  # rows of the same marginals
    bench.fitted()

    def changes(rows: NumpyArray, size: float) -> Float64Array:
        moved = (rows + size * rng.choice([-1, 1], rows.shape)).astype(rows.dtype)
        return np.abs(bench.predict(moved) - bench.predict(rows))

    labels = np.abs(bench.predict(X) - y) <= 1e-6 * np.maximum(1.0, np.abs(y))
    for size in _MOVED:
        jumps = changes(X, size) > _NEGLIGIBLE * np.std(y) + 8 * changes(others, size).max()
        if labels.mean() > 0.5 and (jumps & labels).sum() > 0.5 * labels.sum():
            yield _LOOKED_UP, "they are answered with their labels"
            return


def _of_misread_rows(bench: _Bench, last: Call, right: Float64Array) -> Iterator[tuple[str, str]]:
    """`predict` of rows in a form of memory, and of what lies there in C order."""
    bench.fitted()
    found = bench.predict(form=last.form)
    misread = read_in_c_order(last.arrays, last.form)
    wrong = "X" in misread and not _same(found, right, right)
    if wrong and _same(found, bench.predict(misread["X"]), right):
        yield READ_IN_C_ORDER, "X"


def _of_a_misread_fit(bench: _Bench, fit: Call, right: Float64Array) -> Iterator[tuple[str, str]]:
    """`fit` to arrays in a form of memory, and to what lies there in C order."""
    found = bench.predicted(fit)
    misread = read_in_c_order(fit.arrays, fit.form)
    if _same(found, right, right):
        return
    for size in range(1, len(misread) + 1):
        for names in combinations(misread, size):
            arrays = {**fit.arrays, **{name: misread[name] for name in names}}
            if _same(found, bench.predicted(replace(bench.fit, arrays=arrays)), right):
                yield READ_IN_C_ORDER, " and ".join(names)
                return
