"""Claims: falsifiable statements, each a record with the procedure that tests it.

The procedures are the functions of the suite (`properties/` in a checkout,
`mimverify/_properties` in an installed wheel), found by path: this package never imports
the suite by name, and the suite imports only this package's public interface.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mimverify.handles.own_methods import Capability
from mimverify.support.errors import InputError, MimverifyError
from mimverify.support.strict_json import Json
from mimverify.support.validation import choice
from mimverify.trial.claims.source import THEORY, references
from mimverify.trial.decisions import DIRECTIONS, Decision, StatisticalDecision
from mimverify.trial.profile import PROFILES

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from mimverify.trial.trainer.adapter import TrainerUnderTrial

__all__ = [
    "CAPABILITIES",
    "CLAIM_SET_VERSION",
    "Claim",
    "claim",
    "claims_by_file",
    "load_claims",
    "suite_path",
]

#: Version of the set of claims; reports carry it. Raise it when a claim is added, removed or
#: decides differently.
CLAIM_SET_VERSION = "7"

#: What a claim can need of a trainer, and which methods provide it.
CAPABILITIES = {
    "first layer": "trajectory() or step()",
    "regression": "fit() and predict()",
    "operation counts": "operation_counts() beside trajectory() or step()",
}

#: A configuration, of whatever type the claim's strategy draws.
Case: TypeAlias = Any
#: Tests the claim in one configuration: `procedure(trial, case)`. Trials know claims, so that the
#: type of a trial is not known here.
Procedure: TypeAlias = Callable[..., None]
Strategies: TypeAlias = "SearchStrategy[object] | Sequence[SearchStrategy[object]]"
#: Strategies for the configurations, or a function that returns them for a trainer.
Cases: TypeAlias = "Strategies | Callable[[TrainerUnderTrial], Strategies]"


@dataclass(frozen=True)
class Claim:
    """A falsifiable statement about a trainer.

    **Arguments**

    - `id`: short name for command lines.
    - `statement`: the claim, in mathematics.
    - `source`: where the theorem or its analysis says so; places of docs/theory.md are cited as
      in `references`.
    - `assumptions`: what it presupposes of configuration and trainer.
    - `measures`: the statistic and how it decides.
    - `needs`: a key of `CAPABILITIES`, or the name of `own`.
    - `decisions`: what it decides in every configuration. The false-alarm budget is divided
      among the statistical ones.
    - `cases`: the configurations: a Hypothesis strategy, or several, which are strata that
      share the profile's number of examples, each with at least one; or a function that
      returns such for a `TrainerUnderTrial`.
    - `cost`: its share of a profile's time, relative to the other claims'.
    - `profile`: the smallest profile that includes it.
    - `procedure`: called with a `Trial` and a configuration.
    - `holds`: whether a configuration meets the assumptions; None: all that are drawn do.
    - `own`: the capability that it needs, where that is none of `CAPABILITIES`.
    """

    id: str
    statement: str
    source: str
    assumptions: tuple[str, ...]
    measures: str
    needs: str
    decisions: tuple[Decision, ...]
    cases: Cases
    cost: float
    profile: str
    procedure: Procedure
    holds: Callable[[Case], bool] | None = None
    own: Capability | None = None

    @property
    def needed(self) -> str:
        """The methods that provide what it needs, for messages."""
        return CAPABILITIES[self.needs] if self.own is None else self.own.text

    def applies_to(self, trainer: TrainerUnderTrial) -> bool:
        """Whether the trainer has what it needs."""
        if self.own is None:
            return self.needs in trainer.capabilities
        return self.own.methods.keys() <= trainer.methods

    @property
    def statistical(self) -> tuple[StatisticalDecision, ...]:
        """Its decisions on random data."""
        return tuple(d for d in self.decisions if isinstance(d, StatisticalDecision))

    @property
    def exact(self) -> bool:
        """Whether no decision of the claim is random."""
        return not self.statistical

    @property
    def read(self) -> list[str]:
        """Where to read about it, as in the repository: the places that `source` cites."""
        return [f"{THEORY}#{anchor}" for anchor in references(self.source)]

    @property
    def direction(self) -> str:
        """A key of `DIRECTIONS`: that of its decisions, "both" where they differ."""
        directions = {decision.direction for decision in self.decisions}
        return directions.pop() if len(directions) == 1 else "both"

    def admits(self, case: Case) -> bool:
        """Whether a configuration meets the assumptions."""
        return self.holds is None or bool(self.holds(case))

    def strata(self, trainer: TrainerUnderTrial) -> list[SearchStrategy[object]]:
        """The strategies for this trainer."""
        from hypothesis.strategies import SearchStrategy

        cases = self.cases
        if not isinstance(cases, (SearchStrategy, Sequence)):
            cases = cases(trainer)
        return [cases] if isinstance(cases, SearchStrategy) else list(cases)

    def to_json(self) -> Json:
        """The record without its functions."""
        return {
            "id": self.id,
            "statement": self.statement,
            "source": self.source,
            "read": self.read,
            "assumptions": list(self.assumptions),
            "measures": self.measures,
            "direction": f"{self.direction}: {DIRECTIONS[self.direction]}",
            "needs": f"{self.needs}: {self.needed}",
            "kind": "exact" if self.exact else "statistical",
            "decisions": [decision.to_json() for decision in self.decisions],
            "cost": self.cost,
            "profile": self.profile,
        }


def claim(
    *,
    id: str,
    statement: str,
    source: str,
    measures: str,
    needs: str | Capability,
    decisions: Decision | Sequence[Decision],
    cases: Cases,
    assumptions: tuple[str, ...] = (),
    cost: float = 1.0,
    profile: str = "quick",
    holds: Callable[[Case], bool] | None = None,
) -> Callable[[Procedure], Claim]:
    """Make a function `procedure(trial, case)` a `Claim`; arguments as there.

    `needs` may be a `Capability` that is none of `CAPABILITIES`.

    **Raises** `InputError` for a malformed id, a citation of the theory that cannot be read, an
    unknown capability or profile, no decision or two of one name, or several strategies for a
    statistical claim: its examples are counted against the false-alarm budget, so one strategy
    has to draw them all.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id):
        raise InputError(f"id={id!r}: expected lower-case words joined by hyphens")
    references(source)
    own = needs if isinstance(needs, Capability) else None
    if own is not None and own.name in CAPABILITIES:
        raise InputError(f"needs={own.name!r}: mimverify has a capability of that name")
    named = choice("needs", needs, CAPABILITIES) if own is None else own.name
    choice("profile", profile, PROFILES)
    decided = (decisions,) if isinstance(decisions, Decision) else tuple(decisions)
    names = [decision.name for decision in decided]
    if not names or len(set(names)) < len(names):
        raise InputError(f"decisions={names}: expected at least one, each with a name of its own")

    def decorate(procedure: Procedure) -> Claim:
        record = Claim(
            id=id,
            statement=statement,
            source=source,
            assumptions=assumptions,
            measures=measures,
            needs=named,
            decisions=decided,
            cases=cases,
            cost=cost,
            profile=profile,
            procedure=procedure,
            holds=holds,
            own=own,
        )
        if not record.exact and isinstance(cases, Sequence) and len(cases) > 1:
            raise InputError(f"cases={cases!r}: expected one strategy for a statistical claim")
        return record

    return decorate


def suite_path() -> Path:
    """The folder of the suite: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "_properties", package.parent / "properties"):
        if (folder / "pytest.ini").is_file():
            return folder
    raise MimverifyError(
        f"the suite is missing: neither {package / '_properties'} nor "
        f"{package.parent / 'properties'} holds it; reinstall mimverify"
    )


@lru_cache(maxsize=1)
def claims_by_file() -> dict[Path, list[Claim]]:
    """The claims of each of the suite's files, in their order.

    The suite is imported here and nowhere else: pytest collects these records.
    """
    found: dict[Path, list[Claim]] = {}
    for path in sorted(suite_path().glob("test_*.py")):
        name = f"_mimverify_suite_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        found[path] = [value for value in vars(module).values() if isinstance(value, Claim)]
    return found


@lru_cache(maxsize=1)
def load_claims() -> dict[str, Claim]:
    """All claims by id, in the suite's order."""
    claims: dict[str, Claim] = {}
    for records in claims_by_file().values():
        for record in records:
            if record.id in claims:
                raise MimverifyError(f"claim id {record.id!r} is used twice")
            claims[record.id] = record
    return claims
