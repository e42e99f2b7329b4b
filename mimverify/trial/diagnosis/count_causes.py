"""Which operations a trainer's wrong counts are of: those of two calls of different sizes.

Counts are whole numbers, so that a formula fits both calls exactly or is not named. All of n, d, m
and T differ between the calls, as far as the method has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mimverify.handles.methods import OPERATION_COUNTS
from mimverify.support.arrays import NumpyArray
from mimverify.trial.trainer.calls import Call, RecordedTrainer

__all__ = ["COUNT_CAUSES", "causes_of_counts"]

_HALF = "half of the multiply-adds counted"
_COVARIANCE = "n d² multiply-adds counted beside those of the steps, as of XᵀX"
_NEURONS = "passes over the rows counted for every neuron"
_STARTS_OVER = "all earlier steps taken again for each: T (T + 1)/2 of them counted"
_ADDED = "counts add up over calls"
#: All that `causes_of_counts` names.
COUNT_CAUSES = (_HALF, _COVARIANCE, _NEURONS, _STARTS_OVER, _ADDED)

_COUNTED = Call("operation_counts", {}, {}, None)
_CALLS = 5  # that are made


@dataclass(frozen=True)
class _Counts:
    """Of one call: its sizes, and what was counted."""

    n: int
    d: int
    m: int
    steps: int
    multiply_adds: int
    passes: int

    @property
    def least(self) -> int:
        """Multiply-adds of the steps: the products X Wᵀ and RᵀX of each."""
        return 2 * self.n * self.m * self.d * self.steps


def causes_of_counts(record: RecordedTrainer, seconds: float) -> Iterator[tuple[str, str]]:
    """Names and details of the causes; none of a trainer whose last call was no count.

    **Arguments**

    - `record`: whose trainer is called.
    - `seconds`: that its calls may take.
    """
    work = next((c for c in reversed(record.calls) if c.method in ("step", "trajectory")), None)
    last = record.latest
    if work is None or last is None or last.method != "operation_counts":
        return
    if _CALLS * (work.seconds or 0.0) > seconds:
        return
    other = _of_other_sizes(work)
    found = [_counted(record, call) for call in (work, other)]
    twice = [_counted(record, work), _counted(record, work, fresh=False)]
    if found[0] == twice[0] and found[0].passes and _ratio(twice[1], twice[0]) == (2, 2):
        yield _ADDED, f"{work.method}() called twice reports twice the counts"
    for name, formula in _FORMULAS.items():
        if all(formula(counts) for counts in found):
            yield name, ""


def _counted(record: RecordedTrainer, call: Call, *, fresh: bool = True) -> _Counts:
    numbers = record.again([call, _COUNTED], fresh=fresh)
    assert numbers is not None
    by_name = dict(zip(OPERATION_COUNTS, (int(k) for k in numbers), strict=True))
    (n, d), m = call.arrays["X"].shape, len(call.arrays["a"])
    steps = call.options.get("steps", 1)
    return _Counts(n, d, m, steps, by_name["multiply_adds"], by_name["design_passes"])


def _of_other_sizes(call: Call) -> Call:
    """A call with fewer rows and columns, one more neuron and one more step."""
    W = next(name for name in call.arrays if name in ("W", "W0"))
    rows, columns = (max(size - less, 1) for size, less in zip(_shape(call), (7, 3), strict=True))
    arrays: Mapping[str, NumpyArray] = {
        W: np.concatenate([call.arrays[W], call.arrays[W][:1]])[:, :columns].copy(),
        "a": np.append(call.arrays["a"], call.arrays["a"][:1]),
        "b": np.append(call.arrays["b"], call.arrays["b"][:1]),
        "X": call.arrays["X"][:rows, :columns].copy(),
        "y": call.arrays["y"][:rows].copy(),
    }
    options = dict(call.options)
    if "steps" in options:
        options["steps"] += 1
    return replace(call, arrays=arrays, options=options)


def _shape(call: Call) -> tuple[int, int]:
    n, d = call.arrays["X"].shape
    return n, d


def _ratio(one: _Counts, other: _Counts) -> tuple[float, float]:
    return one.multiply_adds / max(other.multiply_adds, 1), one.passes / other.passes


#: Whether the counts of a call are these. Passes may be one or two a step.
_FORMULAS: dict[str, Callable[[_Counts], bool]] = {
    _HALF: lambda c: 2 * c.multiply_adds == c.least,
    _COVARIANCE: lambda c: c.multiply_adds - c.least == c.n * c.d**2,
    _NEURONS: lambda c: (
        c.m > 1 and c.multiply_adds == c.least and c.passes in (c.m * c.steps, 2 * c.m * c.steps)
    ),
    _STARTS_OVER: lambda c: c.steps > 1 and c.multiply_adds * 2 == c.least * (c.steps + 1),
}
