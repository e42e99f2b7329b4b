"""Claims: falsifiable statements, each a record with the procedure that tries it.

The procedures are the functions of the suite (`properties/` in a checkout,
`mimverify/_properties` in an installed wheel), found by path: this package never imports
the suite by name, and the suite imports only this package's public interface.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mimverify.errors import InputError, MimverifyError
from mimverify.trial.profile import PROFILES
from mimverify.validation import choice

__all__ = [
    "CAPABILITIES",
    "CLAIM_SET_VERSION",
    "DIRECTIONS",
    "Claim",
    "claim",
    "load_claims",
    "suite_path",
]

#: Version of the set of claims; reports carry it. Raise it when a claim is added, removed or
#: decides differently.
CLAIM_SET_VERSION = "4"

#: What a claim can need of a trainer, and which methods provide it.
CAPABILITIES = {
    "first layer": "features() or step()",
    "regression": "fit() and predict()",
    "operation counts": "operation_counts() beside features() or step()",
}

#: On which side of what is claimed a trainer must deviate to fail.
DIRECTIONS = {
    "error": "only too large an error fails",
    "below": "only learning too little fails",
    "above": "only learning too much fails",
    "both": "too little and too much fail",
}

Procedure = Callable[[Any], None]


@dataclass(frozen=True)
class Claim:
    """A falsifiable statement about a trainer.

    **Arguments**

    - `id`: short name for command lines.
    - `statement`: the claim, in mathematics.
    - `source`: where the theorem or its analysis says so.
    - `assumptions`: what it presupposes of configuration and trainer.
    - `measures`: the statistic and how it decides.
    - `direction`: a key of `DIRECTIONS`.
    - `needs`: a key of `CAPABILITIES`.
    - `decisions`: statistical decisions per example; 0 for an exact claim, which has no
      false alarms.
    - `cost`: its share of a profile's time, relative to the other claims'.
    - `profile`: the smallest profile that tries it unasked.
    - `procedure`: takes a `Trial`.
    - `holds`: whether a configuration meets the assumptions, or None: all that the claim
      draws do.
    """

    id: str
    statement: str
    source: str
    assumptions: tuple[str, ...]
    measures: str
    direction: str
    needs: str
    decisions: int
    cost: float
    profile: str
    procedure: Procedure
    holds: Callable[[Any], bool] | None = None

    @property
    def exact(self) -> bool:
        """Whether the claim is decided without chance."""
        return self.decisions == 0

    def admits(self, case: Any) -> bool:
        """Whether a configuration meets the assumptions."""
        return self.holds is None or bool(self.holds(case))

    def to_json(self) -> dict[str, Any]:
        """The record without its functions."""
        return {
            "id": self.id,
            "statement": self.statement,
            "source": self.source,
            "assumptions": list(self.assumptions),
            "measures": self.measures,
            "direction": f"{self.direction}: {DIRECTIONS[self.direction]}",
            "needs": f"{self.needs}: {CAPABILITIES[self.needs]}",
            "kind": "exact" if self.exact else "statistical",
            "decisions": self.decisions,
            "cost": self.cost,
            "profile": self.profile,
        }


def claim(
    *,
    id: str,
    statement: str,
    source: str,
    measures: str,
    needs: str,
    assumptions: tuple[str, ...] = (),
    direction: str | None = None,
    decisions: int = 0,
    cost: float = 1.0,
    profile: str = "quick",
    holds: Callable[[Any], bool] | None = None,
) -> Callable[[Procedure], Procedure]:
    """Make a function of the suite a claim; see `Claim` for the arguments.

    `direction` is `"error"` for an exact claim and `"both"` for a statistical one by default.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", id):
        raise InputError(f"id={id!r}: expected lower-case words joined by hyphens")
    choice("needs", needs, CAPABILITIES)
    choice("profile", profile, PROFILES)
    direction = direction or ("both" if decisions else "error")
    choice("direction", direction, DIRECTIONS)

    def decorate(procedure: Procedure) -> Procedure:
        record = Claim(
            id=id,
            statement=statement,
            source=source,
            assumptions=assumptions,
            measures=measures,
            direction=direction,
            needs=needs,
            decisions=decisions,
            cost=cost,
            profile=profile,
            procedure=procedure,
            holds=holds,
        )
        procedure.claim = record  # type: ignore[attr-defined]
        return procedure

    return decorate


def suite_path() -> Path:
    """The folder of the suite: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_properties", package.parent / "properties"):
        if (folder / "pytest.ini").is_file():
            return folder
    raise MimverifyError(
        f"the suite is missing: neither {package / '_properties'} nor "
        f"{package.parent / 'properties'} holds it; reinstall mimverify"
    )


@lru_cache(maxsize=1)
def load_claims() -> dict[str, Claim]:
    """All claims by id, in the suite's order."""
    claims: dict[str, Claim] = {}
    for path in sorted(suite_path().glob("test_*.py")):
        name = f"_mimverify_suite_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        for value in list(vars(module).values()):
            record = getattr(value, "claim", None)
            if isinstance(record, Claim):
                if record.id in claims:
                    raise MimverifyError(f"claim id {record.id!r} is used twice")
                claims[record.id] = record
    return claims
