"""The cause of all failures of one trial: the wrong rules that fit every wrong step found in it.

Beside them stands what the trainer was seen to do wrong, which no step contradicts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mimverify.support.strict_json import Json
from mimverify.trial.diagnosis.catalogue import RULES
from mimverify.trial.diagnosis.localisation import Divergence
from mimverify.trial.diagnosis.matching import Match

__all__ = ["Causes", "reconcile"]


@dataclass(frozen=True)
class Causes:
    """What one trial says about the cause of its failures.

    **Arguments**

    - `rules`: those that fit every wrong step that was compared with the known rules; with a
      fitted constant only if none fits without one. Empty: no known rule fits all.
    - `claims`: in which these wrong steps were found.
    - `partly`: whether some rule fits a part of them.
    - `seen`: what the trainer was seen to do wrong beside its steps.
    - `seen_in`: in which claims.
    """

    rules: tuple[Match, ...]
    claims: tuple[str, ...]
    partly: bool = False
    seen: tuple[Match, ...] = ()
    seen_in: tuple[str, ...] = ()

    @property
    def named(self) -> tuple[Match, ...]:
        """All causes, each of them once."""
        known = {each.rule for each in self.rules}
        return (*self.rules, *(each for each in self.seen if each.rule not in known))

    @property
    def lines(self) -> list[str]:
        """For a report: of the wrong steps, and of what was seen."""
        found = f"{'; '.join(map(str, self.seen))}: seen in {', '.join(self.seen_in)}"
        return [line for line in (self.text, found if self.seen else "") if line]

    @property
    def text(self) -> str:
        """Of the wrong steps, one line; "" if nothing was compared."""
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
            "text": "; ".join(self.lines),
            "rules": [
                {"rule": each.rule, "details": list(each.details), "named": str(each)}
                for each in self.named
            ],
            "claims": list(dict.fromkeys((*self.claims, *self.seen_in))),
        }


def reconcile(
    divergences: Mapping[str, Divergence | None],
    seen: Mapping[str, Sequence[Match]] | None = None,
) -> Causes:
    """The causes that are consistent with all wrong steps of a trial, and those that were seen.

    A rule that fits some of the steps and is contradicted by another is no cause of the trial.

    **Arguments**

    - `divergences`: of failed claims, by the claim's id. Steps that were not compared with the
      rules, too near to the right one or too large, neither support nor contradict any.
    - `seen`: what the trainer was seen to do in failed claims, by the claim's id.
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
    where = {claim: causes for claim, causes in (seen or {}).items() if causes}
    return Causes(
        exact or found,
        tuple(compared),
        partly=any(compared.values()),
        seen=_joined([each for causes in where.values() for each in causes]),
        seen_in=tuple(where),
    )


def _joined(seen: Sequence[Match]) -> tuple[Match, ...]:
    """One for each cause, with the details of all."""
    details: dict[str, dict[str, None]] = {}
    for each in seen:
        details.setdefault(each.rule, {}).update(dict.fromkeys(filter(None, each.details)))
    return tuple(Match(cause, tuple(found) or ("",), 0.0, 0) for cause, found in details.items())


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
