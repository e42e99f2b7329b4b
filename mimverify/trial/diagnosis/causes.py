"""The cause of all failures of one trial: the wrong rules that fit every wrong step found in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mimverify.support.strict_json import Json
from mimverify.trial.diagnosis.localisation import Divergence
from mimverify.trial.diagnosis.matching import Match
from mimverify.trial.diagnosis.rules.catalogue import RULES

__all__ = ["Causes", "reconcile"]


@dataclass(frozen=True)
class Causes:
    """What one trial says about the cause of its failures.

    **Arguments**

    - `rules`: those that fit every wrong step that was compared with the known rules; with a
      fitted constant only if none fits without one. Empty: no known rule fits all.
    - `claims`: in which these wrong steps were found.
    - `partly`: whether some rule fits a part of them.
    """

    rules: tuple[Match, ...]
    claims: tuple[str, ...]
    partly: bool = False

    @property
    def text(self) -> str:
        """One line for a report; "" if nothing was compared."""
        count = len(self.claims)
        if not count:
            return ""
        steps, where = "wrong steps found", f"({', '.join(self.claims)})"
        every = "the wrong step found" if count == 1 else f"all {count} {steps}"
        if self.rules:
            return f"{' or '.join(map(str, self.rules))}: fits {every} {where}"
        if self.partly:
            return f"some known rules fit a part, but none fits {every} {where}"
        some = "the wrong step found" if count == 1 else f"any of the {count} {steps}"
        return f"no known rule fits {some} {where}"

    @property
    def remedies(self) -> tuple[str, ...]:
        """What to do about them, where that is no matter of course."""
        return tuple(dict.fromkeys(each.remedy for each in self.rules if each.remedy))

    def to_json(self) -> Json:
        """`causes` of a trainer's report."""
        return {
            "text": self.text,
            "rules": [
                {"rule": each.rule, "details": list(each.details), "named": str(each)}
                for each in self.rules
            ],
            "claims": list(self.claims),
        }


def reconcile(divergences: Mapping[str, Divergence | None]) -> Causes:
    """The causes that are consistent with all wrong steps of a trial.

    A rule that fits some of them and is contradicted by another is no cause of the trial.

    **Arguments**

    - `divergences`: of failed claims, by the claim's id. Steps that were not compared with the
      rules, too near to the right one or too large, neither support nor contradict any.
    """
    compared = {
        claim: each.behaves_like.matches
        for claim, each in divergences.items()
        if each is not None and each.behaves_like is not None
    }
    common: tuple[Match, ...] | None = None
    for matches in compared.values():
        if common is None:
            common = matches
            continue
        pairs = [(one, other) for one in common for other in matches if one.rule == other.rule]
        common = tuple(
            both for one, other in pairs if (both := _consistent(one, other)) is not None
        )
    found = common or ()
    exact = tuple(each for each in found if not each.fitted)
    return Causes(exact or found, tuple(compared), partly=any(compared.values()))


def _consistent(one: Match, other: Match) -> Match | None:
    """One match for two wrong steps of one rule; None if their details contradict each other."""
    details = tuple(detail for detail in one.details if detail in other.details)
    if one.fitted:
        return _with_details(one, details or _range(one.details, other.details))
    varies = one.rule in RULES and RULES[one.rule].varies
    return _with_details(one, details) if details or varies else None


def _with_details(found: Match, details: tuple[str, ...]) -> Match:
    return Match(found.rule, details, found.misfit, found.steps)


def _range(*constants: tuple[str, ...]) -> tuple[str, ...]:
    """A factor that is not the same everywhere: from its smallest to its largest value."""
    values = [float(end) for each in constants for text in each for end in text.split(" to ")]
    return (f"{min(values):.4g} to {max(values):.4g}",)
