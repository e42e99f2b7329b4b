"""Profiles: named sets of sample sizes and time limits of a trial."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mimverify.support.errors import InputError
from mimverify.support.validation import choice, integer, number

__all__ = ["FALSE_ALARM_BUDGET", "PROFILES", "Profile", "profiles_up_to"]

#: Probability that a *correct* trainer fails any statistical claim in a whole run, at most.
FALSE_ALARM_BUDGET = 1e-6


@dataclass(frozen=True)
class Profile:
    """Sample sizes and time limits of a trial. **Raises** `InputError` for a number out of range.

    **Arguments**

    - `name`: a key of `PROFILES`, from the smallest to the largest.
    - `exact_examples`, `statistical_examples`: Hypothesis configurations per claim.
    - `maximum_runs`: runs after which a statistical decision is inconclusive.
    - `null_samples`: independent runs in each test of a null law.
    - `false_pass`: probability of passing although the event has at most the lower
      probability (see `SequentialBinomial`).
    - `seconds`: time for the whole trial of one trainer; claims undecided then are inconclusive.
    - `call_seconds`: time limit of one call of the trainer.
    - `strength`: of the covering arrays of kind of configuration, activation, loss, dtype and
      method that exact claims try: with 2 every pair of values occurs, with 4 every four.
    - `stratum_examples`: configurations of each stratum of an exact claim, at least.
    """

    name: str
    exact_examples: int
    statistical_examples: int
    maximum_runs: int
    null_samples: int
    false_pass: float
    seconds: float
    call_seconds: float
    strength: int = 4
    stratum_examples: int = 1

    def __post_init__(self) -> None:
        for name in (
            "exact_examples",
            "statistical_examples",
            "maximum_runs",
            "null_samples",
            "strength",
            "stratum_examples",
        ):
            integer(f"profile.{name}", getattr(self, name), minimum=1)
        for name in ("false_pass", "seconds", "call_seconds"):
            number(f"profile.{name}", getattr(self, name), minimum=0, exclusive=True)
        if self.false_pass >= 1:
            raise InputError(
                f"profile.false_pass={self.false_pass}: expected a probability below 1"
            )
        if not isinstance(self.name, str):
            raise InputError(f"profile.name={self.name!r}: expected a text")

    def examples_of_stratum(self, strata: int) -> int:
        """Configurations of each of the strata of an exact claim."""
        return max(self.stratum_examples, math.ceil(self.exact_examples / strata))


PROFILES: dict[str, Profile] = {
    "quick": Profile("quick", 4, 1, 100, 256, 1e-3, 55.0, 10.0, strength=2),
    "standard": Profile(
        "standard", 20, 3, 200, 512, 1e-4, 290.0, 30.0, strength=3, stratum_examples=2
    ),
    "deep": Profile("deep", 100, 12, 500, 2048, 1e-6, 3600.0, 120.0, stratum_examples=7),
}


def profiles_up_to(name: str) -> tuple[str, ...]:
    """The names of this profile and of all smaller ones."""
    names = list(PROFILES)
    return tuple(names[: names.index(choice("profile", name, PROFILES)) + 1])
