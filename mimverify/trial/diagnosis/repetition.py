"""The failing call made again, by the same trainer and by new ones: is its result its own?

Gradient descent from given weights is deterministic, so that a call that is repeated returns what
it did. Where two new trainers differ, something random or shared by them is at work; where they
agree with one another but not with the one that has been called before, that one remembers.
Only differences beyond rounding count: threads may add in another order.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np

from mimverify.handles.methods import SIGNATURES
from mimverify.support.arrays import Float64Array, NumpyArray
from mimverify.support.errors import MimverifyError, TrainerError
from mimverify.support.strict_json import Json
from mimverify.trial.diagnosis.localisation import canonical_options
from mimverify.trial.reference.envelope import step_envelope
from mimverify.trial.reference.oracle import Option, Options, exact_step
from mimverify.trial.trainer.calls import Call, RecordedTrainer

__all__ = [
    "DEPENDS_ON_EARLIER_CALLS",
    "NOT_DETERMINISTIC",
    "REPEATED",
    "VARIES",
    "Repetition",
    "repeat",
]

REPEATED = "the same each time"
NOT_DETERMINISTIC = "not deterministic"
DEPENDS_ON_EARLIER_CALLS = "depends on earlier calls"
#: Another number each time, but no further apart than a trainer's that computes in float32 on
#: several threads: it may be chance or the order of a sum.
VARIES = "varies within float32's rounding"

_LONGEST = 5.0  # s; that repeating may be expected to take in all,
_SHARE = 0.1  # and this part of the time that is left: other claims may fail as well
_LARGEST = 1 << 28  # multiplications of the exact steps to compare with
#: Predictions that differ by less than this fraction of their spread (root mean square) move an
#: explained variance by at most twice as much: too little for any claim on test error. No
#: envelope is known: what lies between `fit` and `predict` is the trainer's own.
_NEGLIGIBLE = 1e-3
#: A trainer may compute in float32, and so differ by its rounding, whatever it was given.
_COARSEST = "float32"
#: The calls that the result of a method rests on, with it.
_RESTS_ON = {"predict": ("fit",), "operation_counts": ("trajectory", "step")}
#: Errors that are provoked again; others cost a time limit or a process.
_CHEAP_ERRORS = ("raised", "shape", "dtype", "non-finite")

#: What a call came to: its result, or the kind of its error.
_Outcome: TypeAlias = NumpyArray | str


@dataclass(frozen=True)
class Repetition:
    """What the failing call did when it was repeated.

    **Arguments**

    - `method`: what was called.
    - `found`: `REPEATED`, `NOT_DETERMINISTIC`, `DEPENDS_ON_EARLIER_CALLS` or `VARIES`.
    - `difference`: how the results differ, in words; "" if they do not.
    """

    method: str
    found: str
    difference: str = ""

    def __str__(self) -> str:
        """For messages: empty if there was nothing to see."""
        if self.found == REPEATED:
            return ""
        who = {
            NOT_DETERMINISTIC: " of two new trainers",
            DEPENDS_ON_EARLIER_CALLS: " of a trainer that was called before and a new one",
        }.get(self.found, ", repeated,")
        return f"{self.found}: on the same arrays {self.method}{who} {self.difference}"

    def to_json(self) -> Json:
        """Plain JSON values."""
        return asdict(self)


def repeat(record: RecordedTrainer, error: TrainerError | None = None) -> Repetition | None:
    """Make the last call again: once by the current trainer, twice by new ones of its seed.

    The record of calls stays as it is; the trainer is a new one afterwards.

    **Arguments**

    - `record`: with the last call, whose result contradicts the claim.
    - `error`: what that call raised instead.

    **Returns** None if no call can be repeated: there was none, it would take more than seconds,
    its results may differ (predictions of a trainer that takes no seed), or a repeated call does
    not return.
    """
    calls = _last_calls(record)
    if not calls or (error is not None and error.kind not in _CHEAP_ERRORS):
        return None
    before, now = record.deadline, time.monotonic()
    affordable = _LONGEST if before is None else min(_LONGEST, _SHARE * (before - now))
    if _expected_seconds(calls, record) > affordable or not _comparable(calls, record, error):
        return None
    last = calls[-1]
    first: _Outcome | None = last.result if error is None else error.kind
    assert first is not None
    record.deadline = now + 2 * affordable
    try:
        again = _outcome(record, calls, fresh=False)
        new, newer = (_outcome(record, calls, fresh=True) for _ in range(2))
    except MimverifyError:
        return None
    finally:
        record.deadline = before
    method = " and ".join(f"{call.method}()" for call in calls)
    pairs = ((new, newer), (first, new), (again, new))
    by_chance, *by_memory = (_difference(last, *pair, _COARSEST) for pair in pairs)
    if by_chance:
        return Repetition(method, NOT_DETERMINISTIC, by_chance)
    if any(by_memory):
        return Repetition(method, DEPENDS_ON_EARLIER_CALLS, next(filter(None, by_memory)))
    precision = str(last.arrays["X"].dtype) if "X" in last.arrays else _COARSEST
    small = next(filter(None, (_difference(last, *pair, precision) for pair in pairs)), "")
    return Repetition(method, VARIES if small else REPEATED, small)


def _last_calls(record: RecordedTrainer) -> list[Call]:
    """The last call, after the one of this trainer that it rests on.

    None of a copy: fitted again it is a copy no longer.
    """
    last = record.latest
    if last is None or record.copied:
        return []
    if last.method not in SIGNATURES:  # what claims' own rest on is not known
        return []
    rests_on = _RESTS_ON.get(last.method, ())
    earlier = [call for call in record.calls if call.method in rests_on]
    return [last] if not rests_on else [*earlier[-1:], last] if earlier else []


def _expected_seconds(calls: Sequence[Call], record: RecordedTrainer) -> float:
    once = sum(call.seconds or 0.0 for call in calls)
    return 3 * once + 2 * record.construction_seconds


def _comparable(calls: Sequence[Call], record: RecordedTrainer, error: TrainerError | None) -> bool:
    """Whether a correct trainer would return the same."""
    last = calls[-1]
    if error is not None:
        return last.seconds is None  # it is that call which raised
    if last.result is None:
        return False
    return last.method != "predict" or record.capabilities.sets_random_state


def _outcome(record: RecordedTrainer, calls: Sequence[Call], *, fresh: bool) -> _Outcome:
    """**Raises** `MimverifyError` for what is no outcome: a time limit, a dead process."""
    try:
        result = record.again(calls, fresh=fresh)
    except TrainerError as error:
        if error.kind in _CHEAP_ERRORS:
            return error.kind
        raise
    return np.zeros(0) if result is None else result


def _difference(call: Call, one: _Outcome, other: _Outcome, precision: str) -> str:
    """How two results of a call differ beyond the rounding of this dtype; "" if they do not."""
    if isinstance(one, str) or isinstance(other, str):
        kinds = [each if isinstance(each, str) else "returns" for each in (one, other)]
        shown = [f"fails ({kind})" if kind != "returns" else kind for kind in kinds]
        return "" if kinds[0] == kinds[1] else f"now {shown[0]}, now {shown[1]}"
    if one.shape != other.shape or np.array_equal(one, other):
        return ""
    if call.method in ("trajectory", "step"):
        with np.errstate(all="ignore"):  # weights may be of any size
            return _difference_of_steps(call, one, other, precision)
    if call.method == "predict":
        spread = float(np.std(other)) or 1.0
        part = float(np.sqrt(np.mean((one - other) ** 2))) / spread
        return f"differs by {part:.2g} of the predictions' spread" if part > _NEGLIGIBLE else ""
    return f"differs: {one.tolist()} and {other.tolist()}"


def _difference_of_steps(call: Call, one: NumpyArray, other: NumpyArray, precision: str) -> str:
    """In the first step in which the weights differ, taken from equal ones."""
    options = canonical_options(call.options)
    start = call.arrays["W" if call.method == "step" else "W0"].astype(np.float64)
    paths = [np.asarray(weights, dtype=np.float64) for weights in (one, other)]
    if call.method == "step":
        paths = [np.stack([start, weights]) for weights in paths]
    t = int(np.argmax((paths[0] != paths[1]).any(axis=(1, 2))))
    apart = np.abs(paths[0][t] - paths[1][t])
    where = f" in step {t}" if call.method == "trajectory" else ""
    if options is None or t == 0 or start.size * len(call.arrays["y"]) > _LARGEST:
        size = float(apart.max() / (np.abs(paths[1][t]).max() or 1.0))
        rounding = float(np.finfo(precision).eps) * len(call.arrays["y"])
        return f"differs by {size:.2g} of the largest weight{where}" if size > rounding else ""
    arrays = {key: np.asarray(call.arrays[key], dtype=np.float64) for key in "abXy"}
    allowed = _allowed(paths[1][t - 1], paths[1][t], arrays, options, precision)
    ratio = float((apart / allowed).max())
    if not ratio > 1:
        return ""
    return f"differs by {ratio:.3g} envelopes of {precision}'s rounding{where}"


def _allowed(
    W: Float64Array,
    after: Float64Array,
    arrays: Mapping[str, Option],
    options: Options,
    precision: str,
) -> Float64Array:
    """How far rounding can move two steps from W apart, `(m, d)`.

    Twice the envelope of a correct step; larger by the factor by which this step is, since
    rounding errors are relative.
    """
    length = float(np.abs(exact_step(W, **arrays, **options) - W).max())
    longer = float(np.abs(after - W).max()) / length if length else 1.0
    envelope = step_envelope(W, **arrays, **options, dtype=precision)
    return np.asarray(2 * max(longer, 1.0) * envelope)
