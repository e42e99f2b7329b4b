"""A sweep as it is declared: a grid of parameters with seeds, or a search at each point of one."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from pathlib import Path

from mimverify.support.errors import InputError
from mimverify.support.files import open_regular
from mimverify.support.strict_json import Json, brief
from mimverify.support.validation import integer
from mimverify.sweeps.content_key import checked_parameters, trial_key
from mimverify.sweeps.threshold_search import Search
from mimverify.sweeps.trial_kind import TrialKind, get_trial_kind

__all__ = ["Sweep", "SweepTrial"]

_LARGEST_FILE = 1 << 20  # bytes
#: Trials of one sweep: each has a row in memory.
_MOST_TRIALS = 10**6
_SEED = "seed"


@dataclass(frozen=True)
class SweepTrial:
    """One trial of a sweep.

    **Arguments**

    - `key`: of its content.
    - `given`: the parameters that the sweep names, its seed among them.
    - `parameters`: all of the kind's, on which the result depends.
    """

    kind: str
    version: str
    key: str
    given: Json
    parameters: Json


@dataclass(frozen=True)
class Sweep:
    """What is tried: all combinations of the axes' values, each with every seed.

    **Arguments**

    - `name`: for people, and for the files that are made of it.
    - `kind`: of trial: a name of `trial_kinds()`, or `"module:function"`.
    - `axes`: values by parameter. `fixed`: parameters with one value.
    - `seeds`: each point is tried with the parameter `seed` = 0 … `seeds` − 1.
    - `search`: at each point of the grid, look for a threshold in one more parameter.

    **Raises** `InputError` for parameters that are named twice, that JSON does not have, or that
    the kind refuses.
    """

    name: str
    _: KW_ONLY
    kind: str = "experiment"
    axes: Mapping[str, Sequence[object]] = field(default_factory=dict)
    fixed: Mapping[str, object] = field(default_factory=dict)
    seeds: int = 1
    search: Search | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise InputError(f"name={brief(self.name)}: expected the name of the sweep")
        set_ = object.__setattr__
        axes = checked_parameters("axes", self.axes)
        for name, values in axes.items():
            if not isinstance(values, list) or not values:
                raise InputError(f"axes.{name}={brief(values)}: expected a list of values")
            if any(value in values[:k] for k, value in enumerate(values)):
                raise InputError(f"axes.{name}={brief(values)}: expected each value once")
        set_(self, "axes", axes)
        set_(self, "fixed", checked_parameters("fixed", self.fixed))
        integer("seeds", self.seeds, minimum=1, maximum=_MOST_TRIALS)
        if isinstance(self.search, Mapping):
            set_(self, "search", _search(self.search))
        elif self.search is not None and not isinstance(self.search, Search):
            raise InputError(f"search={brief(self.search)}: expected a search")
        self._check_names()
        if self.size > _MOST_TRIALS:
            raise InputError(f"axes: {self.size:,} trials: expected at most {_MOST_TRIALS:,}")
        set_(self, "kind", get_trial_kind(self.kind).name)
        point = next(self.grid())
        for value in (None,) if self.search is None else self.search.examples():
            self.trial(point, 0, value)  # the kind refuses what it does not know

    def _check_names(self) -> None:
        searched = [] if self.search is None else [self.search.parameter]
        names = [*self.axes, *self.fixed, *searched]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{name!r} is given twice: expected it in one of axes, fixed, "
                                 "search.parameter")  # fmt: skip
        if _SEED in names:
            raise InputError("'seed' is a parameter of its own: expected seeds = how many")

    # -- reading and writing -------------------------------------------------------------------

    @classmethod
    def from_toml(cls, path: str | Path) -> Sweep:
        """The sweep that a file of TOML declares, with this class's names.

        **Raises** `InputError`, also for names that it does not have.
        """
        with open_regular(path) as (file, size):
            if size > _LARGEST_FILE:
                raise InputError(f"{path}: {size} bytes: expected a file of TOML")
            content = file.read()
        try:
            found = tomllib.loads(content.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"{path}: no valid TOML ({error})") from None
        try:
            return cls.from_json(found)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> Sweep:
        """The inverse of `to_json`. **Raises** `InputError`."""
        known = [each.name for each in fields(cls) if each.name != "_"]
        for name in content:
            if name not in known:
                raise InputError(f"{name!r}: expected {', '.join(known)}")
        if "name" not in content:
            raise InputError("name: is missing: expected the name of the sweep")
        return cls(**content)  # type: ignore[arg-type]

    def to_json(self) -> Json:
        """The fields by name."""
        return {
            "name": self.name, "kind": self.kind, "axes": dict(self.axes),
            "fixed": dict(self.fixed), "seeds": self.seeds,
            "search": None if self.search is None else self.search.to_json(),
        }  # fmt: skip

    # -- trials --------------------------------------------------------------------------------

    @property
    def points(self) -> int:
        """Points of the grid."""
        count = 1
        for values in self.axes.values():
            count *= len(values)
        return count

    @property
    def size(self) -> int:
        """Trials; of a search as many as it may come to."""
        each = 1 if self.search is None else self.search.most_values()
        return self.points * self.seeds * each

    def grid(self) -> Iterator[Json]:
        """The points of the grid: the axes' parameters by name."""
        for values in itertools.product(*self.axes.values()):
            yield dict(zip(self.axes, values, strict=True))

    def trials(self) -> tuple[SweepTrial, ...]:
        """All trials, the first seed's first; of a search those with which it begins."""
        return tuple(trial for seed in range(self.seeds) for trial in self._of_seed(seed))

    def _of_seed(self, seed: int) -> Iterator[SweepTrial]:
        starts = (None,) if self.search is None else self.search.wanted({})
        for point in self.grid():
            for value in starts:
                yield self.trial(point, seed, value)

    def trial(
        self, point: Mapping[str, object], seed: int, value: float | None = None
    ) -> SweepTrial:
        """The trial at a point of the grid; `value`: of the parameter that is searched."""
        searched = {} if self.search is None or value is None else {self.search.parameter: value}
        given = checked_parameters("parameters", {**self.fixed, **point, **searched, _SEED: seed})
        return content_of(get_trial_kind(self.kind), given)


def content_of(kind: TrialKind, given: Json) -> SweepTrial:
    """The trial of a kind with these parameters. **Raises** `InputError`."""
    parameters = checked_parameters("parameters", kind.complete(dict(given)))
    key = trial_key(kind.name, kind.version, parameters)
    return SweepTrial(kind.name, kind.version, key, given, parameters)


def _search(content: Mapping[str, object]) -> Search:
    known = [each.name for each in fields(Search) if each.name != "_"]
    for name in content:
        if name not in known:
            raise InputError(f"search.{name}: expected {', '.join(known)}")
    missing = [
        name for name in ("parameter", "result", "level", "low", "high") if name not in content
    ]
    if missing:
        raise InputError(f"search: {', '.join(missing)}: missing")
    return Search(**content)  # type: ignore[arg-type]
