"""What was tried when a claim ended: the configuration, the call, and what had passed before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from mimverify.handles.operations import label
from mimverify.support.strict_json import Json
from mimverify.trial.trainer.calls import Call, TriedCombination

__all__ = ["Tried"]

_NAMED = 4  # combinations and configurations that are named at most


@dataclass(frozen=True)
class Tried:
    """The configuration and the call with which a claim ended, and what had passed before.

    **Arguments**

    - `case`: the configuration's kind, or all of it.
    - `method`: of the trainer that was called last; "" before the first call.
    - `sizes`: n, d, m and T of the call, as far as it has them.
    - `combination`: activation, loss and dtype of the call, as far as it has them.
    - `passed`: combinations that had passed a comparison in this configuration.
    - `planned`: how many combinations this configuration tries; 0: not known.
    - `earlier`: configurations of the claim that were finished before.
    """

    case: str
    method: str = ""
    sizes: Json | None = None
    combination: TriedCombination = ()
    passed: tuple[TriedCombination, ...] = ()
    planned: int = 0
    earlier: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        case: object,
        call: Call | None,
        *,
        passed: Iterable[TriedCombination],
        planned: int,
        earlier: Iterable[object],
    ) -> Tried:
        """From the configurations and the last call themselves."""
        if call is None:
            return cls(_kind(case), earlier=tuple(map(_kind, earlier)))
        return cls(
            case=_kind(case),
            method=call.method,
            sizes=call.sizes,
            combination=call.combination,
            # A trajectory passes step by step: the one under way has passed in part.
            passed=tuple(one for one in passed if one and one != call.combination),
            planned=planned,
            earlier=tuple(map(_kind, earlier)),
        )

    def __str__(self) -> str:
        shown = ", ".join(f"{name} = {size}" for name, size in (self.sizes or {}).items())
        called = f"{label(self.method)} in " if self.method else ""
        parts = [f"{called}case {self.case}" + (f": {shown}" if shown else "")]
        if self.combination:
            parts.append(", ".join(self.combination))
        before = []
        if self.passed:
            of = f" of {self.planned}" if self.planned else ""
            names = _few(["/".join(one) for one in self.passed])
            noun = "combination" if len(self.passed) == 1 and not of else "combinations"
            before.append(f"{len(self.passed)}{of} {noun} ({names})")
        if self.earlier:
            kinds = list(dict.fromkeys(self.earlier))
            before.append(f"the case{'s' * (len(kinds) > 1)} {_few(kinds)}")
        parts.append(f"passed before: {' and '.join(before) or 'nothing'}")
        return "; ".join(parts)

    def to_json(self) -> Json:
        """Plain JSON values."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, record: Json) -> Tried:
        """What `to_json` wrote."""
        passed = tuple(map(tuple, record.get("passed", ())))
        lists = {name: tuple(record.get(name, ())) for name in ("combination", "earlier")}
        return cls(**{**record, **lists, "passed": passed})


def _kind(case: object) -> str:
    kind = getattr(case, "kind", None)
    return kind if isinstance(kind, str) else str(case)


def _few(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
