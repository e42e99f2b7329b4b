"""Which known wrong rules a trainer's step follows.

A rule is named only if the trainer's weights agree with its prediction within the rule's own
rounding envelope, while they are `CLEAR` envelopes or more from the correct ones and as many
times nearer to the rule: chance agreement is excluded. Every later step that is wrong too has to
follow the rule as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.support.strict_json import Json
from mimverify.trial.diagnosis.catalogue import RULES
from mimverify.trial.diagnosis.rule import Prediction, Rule
from mimverify.trial.diagnosis.trainer_step import Step

__all__ = ["CLEAR", "Behaviour", "Match", "match"]

#: A deviation of fewer envelopes is too small to identify its cause. Rules with a fitted
#: constant must explain `CLEAR_FITTED` of them.
CLEAR, CLEAR_FITTED = 8.0, 100.0
_LATER = 3  # steps after the first on which a rule is tested as well


@dataclass(frozen=True)
class Match:
    """A wrong rule that a trainer's step follows.

    **Arguments**

    - `rule`: its name, a key of `RULES`.
    - `details`: which rows, which constant; several where they cannot be distinguished, or where
      a constant changes from step to step.
    - `misfit`: distance of the trainer's weights from its prediction, in rounding envelopes.
    - `steps`: how many consecutive steps follow it, of those that were tested.
    """

    rule: str
    details: tuple[str, ...]
    misfit: float
    steps: int

    @property
    def fitted(self) -> bool:
        """Whether it has a constant that was fitted."""
        return self.rule in RULES and RULES[self.rule].fitted

    @property
    def remedy(self) -> str:
        """What to do about it, "" where that is a matter of course."""
        return RULES[self.rule].remedy if self.rule in RULES else ""

    def __str__(self) -> str:
        shown = ", then ".join(self.details) if self.fitted else _listed(self.details)
        if "{}" in self.rule:
            return self.rule.format(shown)
        return f"{self.rule} ({shown})" if shown else self.rule

    @classmethod
    def from_json(cls, record: Json) -> Match:
        """The match that `to_json` wrote."""
        return cls(
            record["rule"], tuple(record["details"]), record["misfit_envelopes"], record["steps"]
        )

    def to_json(self) -> Json:
        """An entry of `rules` in `behaves_like`."""
        return {
            "rule": self.rule,
            "details": list(self.details),
            "misfit_envelopes": self.misfit,
            "steps": self.steps,
        }


def _listed(details: Iterable[str]) -> str:
    """ "7 rows, a partial block of 512 or 256": details that differ in their last word joined."""
    endings: dict[str, list[str]] = {}
    for detail in filter(None, details):
        start, space, last = detail.rpartition(" ")
        known = start if space and last[-1:].isdigit() else detail
        endings.setdefault(known, []).append(last if known is start else "")
    parts = [f"{start} {' or '.join(ends)}".strip() for start, ends in endings.items()]
    return ", or ".join(parts)


@dataclass(frozen=True)
class Behaviour:
    """All known wrong rules that a trainer's steps follow.

    **Arguments**

    - `matches`: those that fit for longest, exactly predicted ones first. Empty: none fits.
    - `deviation`: distance from the correct weights, in rounding envelopes.
    - `tried`: how many steps were tested.
    """

    matches: tuple[Match, ...]
    deviation: float
    tried: int

    @property
    def named(self) -> tuple[Match, ...]:
        """Those to name: with a fitted constant only if none fits without one, of which it would
        be a special case on these arrays."""
        exact = tuple(each for each in self.matches if not each.fitted)
        return exact or self.matches

    @property
    def rule(self) -> str:
        """Their names."""
        return " or ".join(map(str, self.named))

    @property
    def steps(self) -> int:
        """How many consecutive steps follow them."""
        return max((each.steps for each in self.named), default=0)

    def __str__(self) -> str:
        if not self.named:
            return "no known rule fits"
        some = "" if self.steps == self.tried else f", at {self.steps} of {self.tried} steps"
        return f"behaves like: {self.rule}{some}"

    @classmethod
    def from_json(cls, record: Json) -> Behaviour:
        """The behaviour that `to_json` wrote, or an earlier version: a capsule may be older."""
        alone = {**record, "details": ("",)}
        return cls(
            tuple(map(Match.from_json, record.get("rules", (alone,)))),
            _number(record["deviation_envelopes"]),
            record["steps_tried"],
        )

    def to_json(self) -> Json:
        """`behaves_like` of a verdict's evidence."""
        return {
            "rule": self.rule or None,
            "misfit_envelopes": min((each.misfit for each in self.named), default=None),
            "deviation_envelopes": self.deviation,
            "steps": self.steps,
            "steps_tried": self.tried,
            "rules": [each.to_json() for each in self.matches],
        }


def _number(value: float | None) -> float:
    """The number from JSON, which has no infinity."""
    return float("inf") if value is None else value


def match(
    steps: Sequence[Step],
    rules: Iterable[Rule] | None = None,
    *,
    earlier: Sequence[Step] = (),
    passed: Step | None = None,
) -> Behaviour | None:
    """The wrong rules that `steps` follow; None if the first is too near to the right one to tell.

    **Arguments**

    - `steps`: of one trajectory in order; the first is the one that deviates.
    - `rules`: those to try; all by default.
    - `earlier`: the right steps of the trajectory before them: they contradict a rule that is about
      a whole trajectory and predicts something else.
    - `passed`: a step of the same trainer that was right. Of several rules that fit, those that
      predict it are kept, if there are any.
    """
    first, later = steps[0], list(steps[1 : 1 + _LATER])
    with np.errstate(all="ignore"):  # what overflows matches nothing
        deviation = _distance(first.got, first.right, first.envelope)
        if not deviation >= CLEAR:
            return None
        found: list[Match] = []
        for rule in RULES.values() if rules is None else rules:
            here = _fits(first, rule, deviation)
            if here:
                misfit = min(here.values())
                found.append(Match(rule.name, tuple(here), misfit, 1))
        later = [step for step in later if _is_finite(step)]
        for step in later:
            found = [still for each in found if (still := _still(step, each)) is not None]
        found = [
            each
            for each in found
            if not RULES[each.rule].lasting
            or all(_allows(step, each) for step in earlier[-_LATER:] if not each.fitted)
        ]
        if passed is not None and len(found) > 1:
            found = [each for each in found if _allows(passed, each)] or found
    # Of rules that fit, those that fit for longest.
    longest = max((each.steps for each in found), default=0)
    kept = sorted((each for each in found if each.steps == longest), key=lambda each: each.fitted)
    return Behaviour(tuple(kept), deviation, 1 + len(later))


def _fits(step: Step, rule: Rule, deviation: float) -> dict[str, float]:
    """Details with which the rule fits → distance in envelopes from its weights."""
    clear = CLEAR_FITTED if rule.fitted else CLEAR
    if not deviation >= clear:
        return {}
    found: dict[str, float] = {}
    for prediction in rule.predict(step):
        misfit = _misfit(step, prediction, clear)
        if misfit <= 1:
            found.setdefault(prediction.detail, misfit)
    return found


def _misfit(step: Step, prediction: Prediction, clear: float) -> float:
    """Distance from the prediction in its envelopes; infinite for one that proves nothing."""
    if prediction.evident is False:
        return np.inf
    weights = prediction.weights()
    apart = float(np.abs(step.got - step.right).max())
    # The envelope costs as much as the step: skip it where it cannot decide.
    if prediction.evident is None and not np.abs(step.got - weights).max() <= apart / clear:
        return np.inf
    allowed = prediction.allowed()
    # A rule that allows nearly as much as what is wrong would explain too much.
    if prediction.evident is None and not _distance(step.got, step.right, allowed) >= clear:
        return np.inf
    return _distance(step.got, weights, allowed)


def _still(step: Step, found: Match) -> Match | None:
    """The match with a later step; None if that one is wrong otherwise.

    A right step where the rule has another one is no contradiction: it may hold on some steps
    only. But for one about a whole trajectory it is.
    """
    rule = RULES[found.rule]
    deviation = _distance(step.got, step.right, step.envelope)
    fits = {}
    for prediction in rule.predict(step):
        # Whether it fits is the question here, not whether anything else would.
        misfit = _distance(step.got, prediction.weights(), prediction.allowed())
        if misfit <= 1:
            fits[prediction.detail] = misfit
    if deviation <= 1 and (rule.fitted or not fits):
        return None if rule.lasting else found
    if not fits:
        return None
    if rule.fitted:
        (constant,) = fits
        changed = deviation > CLEAR_FITTED and constant != found.details[-1]
        details = (*found.details, constant) if changed else found.details
        return replace(found, details=details, steps=found.steps + 1)
    common = tuple(detail for detail in found.details if detail in fits)
    if not common and not rule.varies:
        return None
    return replace(found, details=common, steps=found.steps + 1)


def _is_finite(step: Step) -> bool:
    """Whether it can be compared: weights that explode overflow soon after."""
    return all(np.isfinite(part).all() for part in (step.got, step.right, step.envelope))


def _allows(passed: Step, found: Match) -> bool:
    """Whether a rule leaves a right step right: one of its predictions is, or it has none.

    One with a fitted constant has, where it applies, another constant than the wrong step's.
    """
    rule = RULES[found.rule]
    predictions = [
        each
        for each in rule.predict(passed)
        if rule.varies or rule.fitted or each.detail in found.details
    ]
    return not predictions or (
        not rule.fitted
        and any(
            _distance(passed.right, each.weights(), each.allowed() + passed.envelope) <= 1
            for each in predictions
        )
    )


def _distance(got: Float64Array, expected: Float64Array, allowed: Float64Array) -> float:
    """Largest |got − expected| in units of what is allowed."""
    return float((np.abs(got - expected) / np.maximum(allowed, np.finfo(np.float64).tiny)).max())
