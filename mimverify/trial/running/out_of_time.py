"""What to say where a claim's time was spent: how far it came, what it needs, and the remedy."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

from mimverify.trial.profile import PROFILES, Profile

__all__ = ["COMPILING", "Progress", "out_of_time"]

#: Seconds of compiling that do not count against a profile's time, as a multiple of it. One claim
#: may take half of those that are left.
COMPILING = 2.0


@dataclass(frozen=True)
class Progress:
    """How far a claim came in its share of the time.

    **Arguments**

    - `done`, `planned`: of its configurations or runs (`unit`); the one under way counts in part.
    - `bound`: "at least" or "at most" so many may be needed; "" if it is exactly these.
    - `seconds`, `compiling`: spent, and the part of it in which the trainer compiled.
    - `share`: seconds that the claim had, without compiling.
    """

    done: float
    planned: int
    unit: str
    bound: str
    seconds: float
    compiling: float
    share: float

    @property
    def needed(self) -> tuple[float, float]:
        """Estimated seconds of the whole claim, without compiling and of compiling."""
        times = self.planned / self.done if self.done else math.inf
        return (self.seconds - self.compiling) * times, self.compiling * times


def out_of_time(
    claim: str, profile: Profile, progress: Progress, larger: Callable[[Profile], float]
) -> str:
    """The message of an inconclusive claim whose time was spent.

    **Arguments**

    - `claim`: its id.
    - `larger`: how many times as much the claim tries in another profile.
    """
    spent = f"its share of the profile's time ({_text(progress.share)}) was spent"
    alone = f"--claim {claim}"
    if not progress.done:
        return f"{spent} before the first {progress.unit} was finished: try {alone} or -n 2"
    each = progress.seconds / progress.done
    compiling = progress.compiling / progress.done
    slow = f", {_text(compiling)} of it compiling" if compiling > 0.05 * each else ""
    of = " ".join(filter(None, ("of", progress.bound, str(progress.planned))))
    return (
        f"{spent} after {progress.done:.3g} {of} {progress.unit}s at {_text(each)} each{slow}; "
        f"it needs about {_text(sum(progress.needed))}: "
        f"{_remedies(alone, profile, progress, larger)}"
    )


def _remedies(
    alone: str, profile: Profile, progress: Progress, larger: Callable[[Profile], float]
) -> str:
    """Options with which the claim would have the time that it needs, by the estimate."""
    found = []
    others = [other for other in PROFILES.values() if other.seconds > profile.seconds]
    for other in (profile, *others):
        if _counted(progress, other, larger(other)) <= other.seconds:
            chosen = "" if other is profile else f" --profile {other.name}"
            found.append(f"{alone}{chosen} (alone it has {_text(other.seconds)})")
            break
    # So many processes give each claim so many times its share.
    processes = max(2, math.ceil(_counted(progress, profile) / max(progress.share, 1e-9)))
    if processes <= max(2, os.cpu_count() or 1):
        found.append(f"-n {processes}")
    if not found:
        found.append("a profile with more seconds (mimverify.trial.Profile)")
    return "try " + " or ".join(found)


def _counted(progress: Progress, profile: Profile, times: float = 1.0) -> float:
    """Seconds that would count against the profile's time, for so many times as much work."""
    steady, compiling = (times * seconds for seconds in progress.needed)
    return steady + max(0.0, compiling - COMPILING * profile.seconds / 2)


def _text(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
