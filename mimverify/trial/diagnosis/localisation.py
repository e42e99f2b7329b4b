"""Where a trainer first leaves gradient descent: step, neuron, and the rule it follows instead.

Every call of `features` or `step` gives arrays and the weights after each step. Each step is
compared with the oracle's from the trainer's own weights, so that errors do not accumulate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.support.validation import canonical
from mimverify.trial.diagnosis.wrong_rules import Match, Step, match
from mimverify.trial.reference.oracle import ORACLE_ACTIVATIONS, ORACLE_LOSSES
from mimverify.trial.trainer.calls import Call

__all__ = ["Divergence", "localise"]

Array = NDArray[np.float64]

_LARGEST = 1 << 28  # multiplications of one trajectory; beyond, looking takes too long
_LARGEST_RULES = 1 << 26  # multiplications of one step, which the rules take some sixty times


@dataclass(frozen=True)
class Divergence:
    """The first step that rounding does not explain.

    **Arguments**

    - `step`: counted from 1; 0 where the first weights returned are not those handed over.
    - `neuron`, `coordinate`: of the entry that is farthest outside its envelope.
    - `error`, `allowed`: there, and what rounding allows.
    - `relative`: the error as a fraction of the right weight's size.
    - `neurons`: how many of them have left their envelopes, of `of`.
    - `settings`: of the step: activation, loss, η, β, n, d, dtype.
    - `behaves_like`: the known wrong rule that the step follows, if one fits.
    """

    step: int
    neuron: int
    coordinate: int
    error: float
    allowed: float
    relative: float
    neurons: int
    of: int
    settings: dict[str, Any]
    behaves_like: Match | None

    @property
    def ratio(self) -> float:
        """The error in rounding envelopes."""
        return self.error / max(self.allowed, float(np.finfo(np.float64).tiny))

    def __str__(self) -> str:
        place = f"neuron {self.neuron}, coordinate {self.coordinate}"
        if self.step == 0:
            return f"the first weights returned are not those handed over ({place})"
        text = (
            f"step {self.step} is the first beyond rounding: {place} by {self.ratio:.3g} envelopes"
        )
        if self.neurons < self.of:
            text += f", {self.neurons} of {self.of} neurons"
        if self.behaves_like is not None:
            text += f"; behaves like: {self.behaves_like}"
        return text

    @classmethod
    def from_json(
        cls, record: Mapping[str, Any], behaves_like: Mapping[str, Any] | None
    ) -> Divergence:
        """The divergence that `to_json` wrote, and what `Match.to_json` wrote of its rule."""
        own = ("step", "neuron", "coordinate", "error", "allowed", "relative_error")
        shown = (*own, "tensor", "index", "envelopes", "neurons_beyond", "neurons")
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
            behaves_like=None if behaves_like is None else Match.from_json(behaves_like),
        )

    def to_json(self) -> dict[str, Any]:
        """What `first_divergence` holds in a verdict's evidence."""
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
            **self.settings,
        }


def _number(value: float | None) -> float:
    """JSON has no infinity."""
    return float("inf") if value is None else value


def localise(calls: Sequence[Call]) -> Divergence | None:
    """The first divergent step of these calls, in order; None where every step is right.

    Calls whose activation or loss the oracle does not know are left out, and so are problems
    too large to look at in seconds.
    """
    with np.errstate(all="ignore"):  # weights may be anything
        for run in _runs(calls):
            divergence = _first(run)
            if divergence is not None:
                return divergence
    return None


@dataclass(frozen=True)
class _Run:
    """Weights `(steps + 1, m, d)` that a trainer went through on one set of arrays."""

    start: Array
    weights: Array
    arrays: Mapping[str, Any]
    options: Mapping[str, Any]
    dtype: str


def _runs(calls: Sequence[Call]) -> list[_Run]:
    """Trajectories; calls of `step` that go on from one another are one."""
    runs: list[_Run] = []
    for call in calls:
        names = {"features": "W0", "step": "W"}
        if call.method not in names or call.result is None:
            continue
        options = _canonical(call.options)
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
        run = _Run(start, weights, arrays, options, given.dtype.name)
        if call.method == "step" and runs and _goes_on(runs[-1], run):
            joined = np.concatenate([runs[-1].weights, result[None]])
            runs[-1] = _Run(runs[-1].start, joined, arrays, options, run.dtype)
        else:
            runs.append(run)
    return [run for run in runs if run.start.size * len(run.arrays["y"]) <= _LARGEST]


def _canonical(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """η, β and the names in the oracle's spelling; None where it does not know them."""
    found: dict[str, Any] = {key: float(options[key]) for key in ("eta", "beta")}
    for key, known in (("activation", ORACLE_ACTIVATIONS), ("loss", ORACLE_LOSSES)):
        ours = {canonical(name): name for name in known}
        if canonical(options[key]) not in ours:
            return None
        found[key] = ours[canonical(options[key])]
    return found


def _goes_on(run: _Run, later: _Run) -> bool:
    return (
        run.options == later.options
        and np.array_equal(run.weights[-1], later.start)
        and all(np.array_equal(run.arrays[key], later.arrays[key]) for key in "abXy")
    )


def _first(run: _Run) -> Divergence | None:
    moved = np.abs(run.weights[0] - run.start)
    if moved.max() > 0:
        return _divergence(run, 0, moved, np.zeros_like(moved), run.start, None)
    for t in range(len(run.weights) - 1):
        step = _step(run, t)
        right = step.right
        error, allowed = np.abs(step.got - right), step.envelope
        if (error > allowed).any():
            cheap = step.W.size * len(step.y) <= _LARGEST_RULES
            later = [_step(run, k) for k in range(t, len(run.weights) - 1)] if cheap else []
            rule = match(later) if later else None
            return _divergence(run, t + 1, error, allowed, right, rule)
    return None


def _step(run: _Run, t: int) -> Step:
    return Step(
        W=run.weights[t],
        **run.arrays,
        got=run.weights[t + 1],
        **run.options,
        dtype=run.dtype,
        previous=run.weights[t - 1] if t else None,
    )


def _divergence(
    run: _Run, step: int, error: Array, allowed: Array, right: Array, rule: Match | None
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
    )
