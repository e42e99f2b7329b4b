"""What a claim decides, as data: one kind of decision in each file of this package.

A `Decision` is declared with the claim. A *statistical* one is opened anew for every
configuration at a false-alarm level, and observes independent runs until it has passed or
failed, or its runs are spent. An *exact* one is deterministic: it is opened once and makes
comparisons until one of them contradicts the claim.

Each kind reports in a frozen record of its own, a `DecisionEvidence`. A new kind is one file:
a decision, its state, its record. Kinds are registered by subclassing, wherever they are
defined.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from typing import ClassVar, NoReturn, Self, get_type_hints

from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json, jsonable
from mimverify.support.validation import choice
from mimverify.trial.outcomes import ClaimFailed
from mimverify.trial.profile import Profile

__all__ = [
    "DIRECTIONS",
    "POWER",
    "Decision",
    "DecisionEvidence",
    "ExactDecision",
    "ExactState",
    "OtherEvidence",
    "StatisticalDecision",
    "StatisticalState",
    "evidence_times_level",
    "risk_text",
]

#: The direction in which a trainer must deviate from the claim to fail.
DIRECTIONS = {
    "error": "only too large an error fails",
    "below": "only learning too little fails",
    "above": "only learning too much fails",
    "both": "too little and too much fail",
}

#: With this probability a record's smallest detectable deviation would have failed.
POWER = 0.95


def risk_text(probability: float) -> str:
    """An upper bound on a probability with one digit, rounded up: "3e-08"."""
    if not 0 < probability < 1:
        return f"{probability:.1g}"
    unit = 10.0 ** math.floor(math.log10(probability))
    # An exact digit stays that digit despite rounding.
    return f"{math.ceil(probability / unit - 1e-9) * unit:.1g}"


def evidence_times_level(log_evidence: float, level: float) -> float:
    """exp(log_evidence) · level, infinite where a float64 overflows."""
    exponent = log_evidence + math.log(level)
    return math.exp(exponent) if exponent < 700 else math.inf


@dataclass(frozen=True)
class Decision(ABC):
    """One thing that a claim decides: a `StatisticalDecision` or an `ExactDecision`.

    **Arguments**

    - `name`: what is decided, unique among the claim's decisions; messages begin with it.
    - `direction`: a key of `DIRECTIONS`.
    """

    #: The kind of decision, in a few words.
    kind: ClassVar[str]

    name: str
    _: KW_ONLY
    direction: str = "both"

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise InputError(f"name={self.name!r}: expected what the decision is about")
        choice("direction", self.direction, DIRECTIONS)

    def to_json(self) -> Json:
        """Name, kind and direction."""
        return {"name": self.name, "kind": self.kind, "direction": self.direction}


# -- records -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class DecisionEvidence(ABC):
    """The record of one decision: plain numbers and texts.

    **Arguments**

    - `decision`: its name.
    - `case`: the configuration; for an exact decision that of the worst comparison.
    - `failed`: whether it contradicts the claim.
    """

    kind: ClassVar[str]
    _kinds: ClassVar[dict[str, type[DecisionEvidence]]] = {}

    decision: str
    case: str
    failed: bool

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "kind" not in vars(cls):
            return
        known = DecisionEvidence._kinds.get(cls.kind)
        # Dataclasses and reloaded modules define a class again.
        if known is not None and known.__qualname__ != cls.__qualname__:
            raise InputError(f"kind={cls.kind!r}: is that of {known.__qualname__} already")
        DecisionEvidence._kinds[cls.kind] = cls

    @property
    @abstractmethod
    def statistic(self) -> float | None:
        """The number that the decision rests on."""

    @property
    @abstractmethod
    def fraction_used(self) -> float | None:
        """The statistic as a fraction of its limit: 1 at the limit, more beyond it; None: no scale.

        It ranks records of different kinds.
        """

    @property
    def against_bound(self) -> float | None:
        """The evidence relative to its bound, for a logarithmic axis: 1 is where it fails, less
        does not. Of an exact decision an error relative to what it may be; of a statistical one
        the evidence against the claim (an e-value, or 1/p) times its false-alarm level. None: the
        decision has no such scale, or no run yet. At least 0; may be infinite."""
        return self.fraction_used

    @property
    @abstractmethod
    def summary(self) -> str:
        """What was measured, for the table of verdicts."""

    @property
    def details(self) -> str:
        """Runs, risk and power, one line; empty for an exact decision."""
        return ""

    @property
    def legend(self) -> str:
        """What `details` means for records of this kind, one sentence."""
        return ""

    def to_json(self) -> Json:
        """The fields in strict JSON's terms, with kind, statistic and summary."""
        content = {item.name: getattr(self, item.name) for item in fields(self)}
        derived = {"kind": self.kind, "statistic": self.statistic, "summary": self.summary}
        record: Json = jsonable(content | derived)
        return record

    def junit(self, prefix: str) -> Iterator[tuple[str, object]]:
        """Names and single values for JUnit's properties."""
        for name, value in self.to_json().items():
            if name != "decision":
                yield from _flat(f"{prefix}.{name}", value)

    @classmethod
    def from_json(cls, record: Json) -> DecisionEvidence:
        """The record that `to_json` wrote; `OtherEvidence` for a kind that is not loaded."""
        kind = cls._kinds.get(str(record.get("kind")), OtherEvidence)
        return kind._rebuilt(record)

    @classmethod
    def _rebuilt(cls, record: Json) -> Self:
        hints = get_type_hints(cls)
        content: Json = {
            item.name: _value(record[item.name], hints[item.name]) for item in fields(cls)
        }
        return cls(**content)


@dataclass(frozen=True)
class OtherEvidence(DecisionEvidence):
    """A record of a kind that is not loaded: its JSON as it was read."""

    record: Json

    @property
    def statistic(self) -> float | None:
        return self.record.get("statistic")

    @property
    def fraction_used(self) -> float | None:
        return None

    @property
    def summary(self) -> str:
        return str(self.record.get("summary", ""))

    def to_json(self) -> Json:
        return dict(self.record)

    @classmethod
    def _rebuilt(cls, record: Json) -> Self:
        return cls(
            str(record.get("decision")),
            str(record.get("case", "")),
            bool(record.get("failed")),
            dict(record),
        )


def _flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Names and single values; the names of a mapping's are `outer.inner`."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(f"{name}.{key}", item)
    else:
        yield name, value


def _value(value: object, hint: object) -> object:
    """A field's value from JSON, which has neither tuples nor infinities."""
    if value is None and hint is float:
        return math.inf
    return tuple(_value(item, None) for item in value) if isinstance(value, list) else value


# -- statistical decisions ---------------------------------------------------------------------


@dataclass(frozen=True)
class StatisticalDecision(Decision):
    """A decision on random data: its false alarms are counted against the run's budget."""

    @abstractmethod
    def open(self, alpha: float, profile: Profile) -> StatisticalState:
        """The state before the first run, at this false-alarm level."""

    def happened(self, observation: object) -> bool | None:
        """Whether the claimed event happened; None for a decision that is not about an event."""
        return None


class StatisticalState(ABC):
    """A statistical decision under way; `passed` or `failed` becomes True at most once."""

    #: Runs observed until it was decided.
    runs: int = 0
    passed: bool = False
    failed: bool = False

    @property
    @abstractmethod
    def maximum_runs(self) -> int:
        """Runs after which it stays undecided."""

    @property
    @abstractmethod
    def minimum_runs(self) -> int:
        """The fewest runs with which it can pass."""

    @abstractmethod
    def observe(self, observation: object) -> None:
        """Count one independent run; none once it is decided.

        **Raises** `ClaimError` for an observation of another kind.
        """

    @abstractmethod
    def failure_message(self, case: str) -> str:
        """Why it failed in this configuration, one line that begins with the decision's name."""

    @abstractmethod
    def evidence(self, case: str) -> DecisionEvidence:
        """The record so far, in this configuration."""

    @property
    def decided(self) -> bool:
        """Whether it has passed or failed."""
        return self.passed or self.failed


# -- exact decisions ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ExactDecision(Decision):
    """A deterministic decision."""

    _: KW_ONLY
    direction: str = "error"

    @abstractmethod
    def open(self) -> ExactState:
        """The state before the first comparison."""


class ExactState(ABC):
    """Comparisons of an exact decision over all configurations of a claim.

    A kind adds the method that compares. It calls `_compared`, keeps the worst comparison for
    the record, and raises through `_refute` if the claim is contradicted.
    """

    def __init__(self) -> None:
        self.comparisons = 0
        self.refuted = False
        #: What the trainer was seen to do that explains a failure: causes, with details.
        self.seen: list[tuple[str, str]] = []
        #: The configuration under way, for messages and records.
        self.case: object = None
        #: Called with each comparison.
        self.on_compared: Callable[[], None] = lambda: None
        #: Called when a comparison has confirmed the trainer's calls so far.
        self.on_passed: Callable[[], None] = lambda: None

    def _compared(self) -> None:
        self.comparisons += 1
        self.on_compared()

    def _refute(self, message: str) -> NoReturn:
        self.refuted = True
        raise ClaimFailed(message)

    @abstractmethod
    def evidence(self) -> DecisionEvidence | None:
        """The record so far; None before the first comparison."""
