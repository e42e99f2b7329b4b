"""Where a trainer first departs from gradient descent: step, neuron, and the rule it follows.

Every call of `trajectory` or `step` gives arrays and the weights after each step. Each step is
compared with the oracle's from the trainer's own weights, so that errors do not accumulate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mimverify.handles.memory_forms import PLAIN
from mimverify.support.arrays import Float64Array
from mimverify.support.strict_json import Json
from mimverify.support.validation import canonical
from mimverify.trial.diagnosis.catalogue import RULES
from mimverify.trial.diagnosis.matching import Behaviour, Match, match
from mimverify.trial.diagnosis.pattern import pattern
from mimverify.trial.diagnosis.row_range import find_row_range
from mimverify.trial.diagnosis.rules.first_weights import rules_of_start
from mimverify.trial.diagnosis.rules.single_precision import FLOAT32, is_rounded_result
from mimverify.trial.diagnosis.trainer_step import Step
from mimverify.trial.reference.oracle import ORACLE_ACTIVATIONS, ORACLE_LOSSES, Options
from mimverify.trial.trainer.calls import Call

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["Divergence", "canonical_options", "localise"]

_LARGEST = 1 << 28  # multiplications of one step; larger ones would take too long
_LARGEST_RULES = 1 << 26  # multiplications of one step, which the rules repeat hundreds of times


@dataclass(frozen=True)
class Divergence:
    """The first step that rounding does not explain.

    **Arguments**

    - `step`: counted from 1; 0 if the first weights returned are not those handed over.
    - `neuron`, `coordinate`: of the entry with the largest error in units of its envelope.
    - `error`, `allowed`: of that entry, and its envelope.
    - `relative`: the error as a fraction of the correct weight's size.
    - `neurons`: how many of the `of` neurons are outside their envelopes.
    - `settings`: of the step: activation, loss, η, β, n, d, dtype.
    - `behaves_like`: the known wrong rules that the steps follow, without any if none fits;
      None if that was not tried: the step is too near to the right one, or too large.
    - `pattern`: the neurons and coordinates outside their envelopes, in words; "" for all.
    - `rows`: the rows of X whose weight explains the step, in words; "" if none do.
    """

    step: int
    neuron: int
    coordinate: int
    error: float
    allowed: float
    relative: float
    neurons: int
    of: int
    settings: Json
    behaves_like: Behaviour | None
    pattern: str = ""
    rows: str = ""

    @property
    def ratio(self) -> float:
        """The error in rounding envelopes."""
        return self.error / max(self.allowed, float(np.finfo(np.float64).tiny))

    def __str__(self) -> str:
        place = f"neuron {self.neuron}, coordinate {self.coordinate}"
        if self.step == 0:
            text = f"the first weights returned are not those handed over ({place})"
        else:
            text = (
                f"step {self.step} is the first beyond rounding: {place} "
                f"by {self.ratio:.3g} envelopes of rounding"
            )
            if np.isfinite(self.relative):
                text += f" (relative error {self.relative:.2g})"
            text += "".join(f", {found}" for found in (self.pattern, self.rows) if found)
        if self.behaves_like is None:
            return text
        text += f"; {self.behaves_like}"
        remedies = dict.fromkeys(each.remedy for each in self.behaves_like.named if each.remedy)
        return "; ".join([text, *remedies])

    @classmethod
    def from_json(cls, record: Json, behaves_like: Json | None) -> Divergence:
        """The divergence from the records of its own `to_json` and of `Behaviour.to_json`."""
        own = ("step", "neuron", "coordinate", "error", "allowed", "relative_error")
        shown = (
            *own,
            "tensor",
            "index",
            "envelopes",
            "neurons_beyond",
            "neurons",
            "pattern",
            "rows",
        )
        return cls(
            step=record["step"],
            neuron=record["neuron"],
            coordinate=record["coordinate"],
            error=_number(record["error"]),
            allowed=_number(record["allowed"]),
            relative=_number(record["relative_error"]),
            neurons=record["neurons_beyond"],
            of=record["neurons"],
            settings={name: value for name, value in record.items() if name not in shown},
            behaves_like=None if behaves_like is None else Behaviour.from_json(behaves_like),
            pattern=record.get("pattern", ""),
            rows=record.get("rows", ""),
        )

    def to_json(self) -> Json:
        """`first_divergence` of a verdict's evidence."""
        return {
            "tensor": f"W_{self.step}",
            "index": [self.neuron, self.coordinate],
            "step": self.step,
            "neuron": self.neuron,
            "coordinate": self.coordinate,
            "error": self.error,
            "allowed": self.allowed,
            "relative_error": self.relative,
            "envelopes": self.ratio,
            "neurons_beyond": self.neurons,
            "neurons": self.of,
            "pattern": self.pattern,
            "rows": self.rows,
            **self.settings,
        }


def _number(value: float | None) -> float:
    """The number from JSON, which has no infinity."""
    return float("inf") if value is None else value


def localise(calls: Sequence[Call], passed: Call | None = None) -> Divergence | None:
    """The first divergent step of these calls, in order; None if every step is correct.

    Calls whose activation or loss the oracle does not know are skipped, and so are problems
    that would take more than seconds.

    **Arguments**

    - `passed`: the call before, which passed its comparison: of several rules that fit, it may
      tell which is right, and a trainer may remember it.
    """
    with np.errstate(all="ignore"):  # weights may be of any size
        before = [_last_step(run) for run in _trajectories([] if passed is None else [passed])]
        for trajectory in _trajectories(calls):
            divergence = _first_divergence(trajectory, tuple(before))
            if divergence is not None:
                return divergence
            before.append(_last_step(trajectory))
    return None


@dataclass(frozen=True)
class _Trajectory:
    """A trainer's weights `(steps + 1, m, d)` on one set of arrays, from `start` `(m, d)`."""

    start: Float64Array
    weights: Float64Array
    arrays: Mapping[str, Float64Array]
    options: Options
    dtype: str
    form: str = PLAIN


def _trajectories(calls: Sequence[Call]) -> list[_Trajectory]:
    """One for each call of `trajectory`; consecutive calls of `step` are joined."""
    found: list[_Trajectory] = []
    for call in calls:
        names = {"trajectory": "W0", "step": "W"}
        if call.method not in names or call.result is None:
            continue
        options = canonical_options(call.options)
        if options is None:
            continue
        given = call.arrays[names[call.method]]
        arrays = {key: np.asarray(call.arrays[key], dtype=np.float64) for key in "abXy"}
        result = np.asarray(call.result)
        if call.method == "step":  # as the next step was given it, see `TrainerUnderTrial`
            result = result.astype(given.dtype)
        result = result.astype(np.float64)
        start = np.asarray(given, dtype=np.float64)
        weights = np.stack([start, result]) if call.method == "step" else result
        new = _Trajectory(start, weights, arrays, options, given.dtype.name, call.form)
        if call.method == "step" and found and _continues(found[-1], new):
            joined = np.concatenate([found[-1].weights, result[None]])
            found[-1] = replace(found[-1], weights=joined)
        else:
            found.append(new)
    return [one for one in found if one.start.size * len(one.arrays["y"]) <= _LARGEST]


def canonical_options(options: Options) -> Options | None:
    """η, β and the names in the oracle's spelling; None for names that it does not know."""
    found: Options = {key: float(options[key]) for key in ("eta", "beta")}
    for key, known in (("activation", ORACLE_ACTIVATIONS), ("loss", ORACLE_LOSSES)):
        ours = {canonical(name): name for name in known}
        name = canonical(options[key])
        if name not in ours:
            return None
        found[key] = ours[name]
    return found


def _continues(earlier: _Trajectory, later: _Trajectory) -> bool:
    return (
        earlier.options == later.options
        and earlier.form == later.form
        and np.array_equal(earlier.weights[-1], later.start)
        and all(np.array_equal(earlier.arrays[key], later.arrays[key]) for key in "abXy")
    )


def _first_divergence(run: _Trajectory, before: tuple[Step, ...]) -> Divergence | None:
    moved = np.abs(run.weights[0] - run.start)
    if moved.max() > 0:
        return _divergence(run, 0, moved, np.zeros_like(moved), run.start, _behaviour_at_start(run))
    for t in range(len(run.weights) - 1):
        step = _step(run, t, before)
        if not _is_right(step):
            behaviour = None
            if _is_cheap(step):
                passed = next((s for s in reversed(before) if _is_cheap(s) and _is_right(s)), None)
                behaviour = match(
                    [_step(run, k, before) for k in range(t, len(run.weights) - 1)],
                    earlier=[_step(run, k, before) for k in range(t)],
                    passed=passed,
                )
            error = np.abs(step.got - step.right)
            return _divergence(run, t + 1, error, step.envelope, step.right, behaviour)
    return None


def _is_right(step: Step) -> bool:
    return bool((np.abs(step.got - step.right) <= step.envelope).all())


def _is_cheap(step: Step) -> bool:
    return step.W.size * len(step.y) <= _LARGEST_RULES


def _behaviour_at_start(run: _Trajectory) -> Behaviour:
    """Of a trainer whose first weights are not those handed over."""
    found = [
        Match(name, (detail,), 0.0, 1)
        for name, detail in rules_of_start(run.weights, run.start, run.dtype)
    ]
    steps = [_step(run, t, ()) for t in range(len(run.weights) - 1)]
    if any(each.details == ("float32",) for each in found) and all(map(_is_cheap, steps)):
        # A trainer that computes in float32 rounds the start as well; one that rounds what it
        # returns has taken its step from the weights as they were.
        single = match(steps, [RULES[FLOAT32]]) if steps else None
        if (
            single is not None
            and single.steps == single.tried
            and not is_rounded_result(replace(steps[0], W=run.start))
        ):
            return single
    return Behaviour(tuple(found), np.inf, 1)


def _step(run: _Trajectory, t: int, before: tuple[Step, ...]) -> Step:
    arrays = run.arrays
    return Step(
        W=run.weights[t],
        a=arrays["a"],
        b=arrays["b"],
        X=arrays["X"],
        y=arrays["y"],
        got=run.weights[t + 1],
        **run.options,
        dtype=run.dtype,
        history=tuple(run.weights[:t]),
        calls_before=before,
        form=run.form,
    )


def _last_step(run: _Trajectory) -> Step:
    return _step(run, max(len(run.weights) - 2, 0), ())


def _divergence(
    run: _Trajectory,
    step: int,
    error: Float64[Float64Array, "m d"],
    allowed: Float64[Float64Array, "m d"],
    right: Float64[Float64Array, "m d"],
    rule: Behaviour | None,
) -> Divergence:
    ratio = error / np.maximum(allowed, np.finfo(np.float64).tiny)
    neuron, coordinate = (int(k) for k in np.unravel_index(int(np.argmax(ratio)), ratio.shape))
    worst = float(error[neuron, coordinate])
    size = abs(float(right[neuron, coordinate]))
    n, d = run.arrays["X"].shape
    return Divergence(
        step=step,
        neuron=neuron,
        coordinate=coordinate,
        error=worst,
        allowed=float(allowed[neuron, coordinate]),
        relative=worst / size if size else float("inf"),
        neurons=int((error > allowed).any(axis=1).sum()),
        of=len(error),
        settings={**run.options, "n": n, "d": d, "dtype": run.dtype},
        behaves_like=rule,
        pattern=pattern(error > allowed),
        rows=_rows(run, step, allowed),
    )


def _rows(run: _Trajectory, step: int, allowed: Float64[Float64Array, "m d"]) -> str:
    """`Divergence.rows` of the step to the weights of this number."""
    if step == 0 or run.start.size * len(run.arrays["y"]) > _LARGEST_RULES:
        return ""
    given: Options = {**run.arrays, **run.options}
    before, after = run.weights[step - 1], run.weights[step]
    found = find_row_range(before, after, allowed, **given, dtype=run.dtype)
    return "" if found is None else str(found)
