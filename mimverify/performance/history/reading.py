"""Reading asv's results as series: for each benchmark a value per commit, with its interval."""

from __future__ import annotations

import ast
import importlib
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from mimverify.support.errors import InputError
from mimverify.support.files import open_regular, reason_of
from mimverify.support.strict_json import LARGEST, Json, brief, parse_json

__all__ = [
    "DIM",
    "RATIO",
    "Commit",
    "History",
    "Parameters",
    "Point",
    "Series",
    "asv_module",
    "listed",
    "read_history",
]

#: Name of the parameter that is the input dimension d.
DIM = "dim"

#: Unit of the benchmarks that compare two measurements of one run.
RATIO = "ratio"

#: Names and values of a benchmark's parameters.
Parameter: TypeAlias = str | int | float | bool
Parameters: TypeAlias = tuple[tuple[str, Parameter], ...]

# asv has no types: its modules, and its results as it loads them.
_Module: TypeAlias = Any
_Result: TypeAlias = Any

_TEXT = (str, int, type(None))  # of a benchmark's version
_LONG_AGO = datetime.fromtimestamp(0, UTC)
_MOST_COMBINATIONS = 100_000  # of one benchmark's parameters
_MOST = 1e100  # of a measurement; what an axis can hold
_LATEST = 250_000_000_000_000  # milliseconds since 1970, in the year 9892
# Literals of single values: Python's parser is not given what nests.
_SINGLE = re.compile(
    r"""True|False|[+-]?[0-9][0-9_.eE+-]{0,40}"""
    r"""|'(?:[^'\\\n]|\\[\\'nt])*'|"[^"\\\n]*\""""
)

# Raised by asv's reader for a file that is no result file of asv's.
_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True)
class Commit:
    """A commit that was measured.

    **Arguments**

    - `hash`: in full.
    - `date`: the author's, as asv stores it, in UTC.
    """

    hash: str
    date: datetime

    @property
    def short(self) -> str:
        """Eight characters of the hash."""
        return self.hash[:8]

    def __str__(self) -> str:
        return f"{self.short} ({self.date:%Y-%m-%d})"


@dataclass(frozen=True)
class Point:
    """The value of a benchmark at a commit.

    **Arguments**

    - `commit`: where.
    - `value`: lower is better; None where there is none: a gap, never a zero.
    - `low`, `high`: asv's 99 % interval, which it has for timings only.
    - `recorded`: whether the benchmark was run at this commit. Recorded without a value, it
      failed, or left this combination of parameters out (`skipped`).
    - `skipped`: left out by the benchmark itself.
    - `run`: its start, in milliseconds since 1970, which identifies the run.
    """

    commit: Commit
    value: float | None
    low: float | None = None
    high: float | None = None
    recorded: bool = True
    skipped: bool = False
    run: int | None = None

    @property
    def failed(self) -> bool:
        """Whether the benchmark was run here, and broke."""
        return self.recorded and self.value is None and not self.skipped


@dataclass(frozen=True)
class Series:
    """A benchmark with one combination of its parameters, over the commits.

    **Arguments**

    - `benchmark`, `unit`: its name and unit in asv.
    - `parameters`: names and values.
    - `machine`, `environment`: asv's names of where it was measured.
    - `points`: one per commit measured there, oldest first.
    """

    benchmark: str
    unit: str
    parameters: Parameters
    machine: str
    environment: str
    points: tuple[Point, ...]

    @property
    def key(self) -> tuple[str, Parameters, str, str]:
        """Identifies the series in other results."""
        return self.benchmark, self.parameters, self.machine, self.environment

    @property
    def dim(self) -> int | None:
        """The input dimension, if the benchmark has one."""
        value = dict(self.parameters).get(DIM)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            return None
        return value

    @property
    def others(self) -> Parameters:
        """Its parameters but for the input dimension."""
        return tuple(pair for pair in self.parameters if pair[0] != DIM)

    @property
    def measured(self) -> tuple[Point, ...]:
        """The points that have a value."""
        return tuple(point for point in self.points if point.value is not None)

    @property
    def label(self) -> str:
        """The benchmark and its parameters, in one line."""
        return f"{self.benchmark}({listed(self.parameters)})" if self.parameters else self.benchmark


@dataclass(frozen=True)
class History:
    """All that a results folder of asv's holds.

    **Arguments**

    - `path`: the folder.
    - `commits`: oldest first.
    - `series`: of the benchmarks that still exist, in their current version, as asv records it.
    """

    path: Path
    commits: tuple[Commit, ...]
    series: tuple[Series, ...]

    def find(self, key: tuple[str, Parameters, str, str]) -> Series | None:
        """The series of that key, if it is here."""
        return next((series for series in self.series if series.key == key), None)

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Machines and environments, the one measured last first."""
        latest: dict[tuple[str, str], datetime] = {}
        for one in self.series:
            place = one.machine, one.environment
            latest[place] = max(latest.get(place, _LONG_AGO), one.measured[-1].commit.date)
        return tuple(sorted(latest, key=lambda place: (latest[place], place), reverse=True))


def listed(parameters: Parameters) -> str:
    """Parameters as `name=value, …`."""
    return ", ".join(f"{name}={value}" for name, value in parameters)


def asv_module(name: str) -> _Module:
    """A module of asv, which is optional. **Raises** `InputError` where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError("history needs asv: pip install 'mimverify[bench]'") from None


def read_history(results: Path, argument: str = "RESULTS") -> History:
    """Read a results folder of asv's.

    **Arguments**

    - `results`: the folder that holds `benchmarks.json` and a folder for each machine.
    - `argument`: its name in messages.

    **Raises** `InputError` where there is none, or a file in it is broken, naming it; and
    without asv.
    """
    asv_module("asv")
    where = f"{argument}={str(results)!r}"
    if not results.is_dir():
        raise InputError(f"{where}: no such folder, expected asv's results (see `asv run`)")
    files = sorted(
        path
        for path in results.glob("*/*.json")
        if path.name != "machine.json" and (path.parent / "machine.json").is_file()
    )
    if not (results / "benchmarks.json").is_file() or not files:
        raise InputError(
            f"{where}: holds no results of asv's, expected benchmarks.json and "
            "MACHINE/COMMIT-ENVIRONMENT.json (see `asv run`)"
        )
    benchmarks = _benchmarks(results / "benchmarks.json", where)
    places: dict[tuple[str, str], list[_Result]] = {}
    for path in files:
        result = _result(path, where)
        places.setdefault((result.params["machine"], result.env_name), []).append(result)
    series: list[Series] = []
    for (machine, environment), found in places.items():
        found.sort(key=lambda result: (result.date, result.commit_hash))
        for name, benchmark in benchmarks.items():
            series += _series(name, benchmark, machine, environment, found)
    commits = {_commit(result) for found in places.values() for result in found}
    return History(
        path=results,
        commits=tuple(sorted(commits, key=lambda commit: (commit.date, commit.hash))),
        series=tuple(sorted(series, key=lambda one: one.benchmark)),
    )


def _benchmarks(path: Path, where: str) -> dict[str, Json]:
    util = asv_module("asv.util")
    version = asv_module("asv.benchmarks").Benchmarks.api_version
    try:
        _checked_benchmarks(_json_object(path))
        found = util.load_json(str(path), version)
        found.pop("version", None)
    except (*_ERRORS, util.UserError) as error:
        raise _broken(path, where, error) from None
    return dict(sorted(found.items()))


def _result(path: Path, where: str) -> _Result:
    util = asv_module("asv.util")
    try:
        _check_result(_json_object(path))
        result = asv_module("asv.results").Results.load(str(path))
        _ = _commit(result)
    except (*_ERRORS, util.UserError) as error:
        raise _broken(path, where, error) from None
    return result


def _broken(path: Path, where: str, error: Exception) -> InputError:
    return InputError(
        f"{where}: {path} is broken, expected a file written by asv ({reason_of(error)})"
    )


# -- what asv writes -----------------------------------------------------------------------------


def _json_object(path: Path) -> Json:
    with open_regular(path) as (file, size):
        content = file.read(min(size, LARGEST) + 1)
    value = parse_json(content, path.name, finite=False)  # asv writes NaN
    found: Json = _of(dict, "the file", value)
    return found


def _checked_benchmarks(found: Json) -> None:
    """**Raises** `TypeError`, `KeyError` or `ValueError` for what asv would not have written."""
    for name, benchmark in found.items():
        if name == "version":
            continue
        _of(dict, name, benchmark)
        _of(str, f"{name}: unit", benchmark["unit"])
        _of(_TEXT, f"{name}: version", benchmark.get("version"))
        names = _texts(f"{name}: param_names", benchmark["param_names"])
        params = _parameters(name, _of(list, f"{name}: params", benchmark["params"]))
        if len(names) != len(params):
            raise ValueError(f"{name}: {len(names)} param_names for {len(params)} params")
        if math.prod(map(len, params)) > _MOST_COMBINATIONS:
            raise ValueError(f"{name}: more than {_MOST_COMBINATIONS} combinations of params")


def _check_result(content: Json) -> None:
    """As `_checked_benchmarks`."""
    for name in ("commit_hash", "env_name"):
        if not _of(str, name, content[name]):
            raise ValueError(f"{name} is empty")
    _of(str, "machine", _of(dict, "params", content["params"])["machine"])
    _count("date", content["date"], _LATEST)
    columns = _texts("result_columns", content["result_columns"])
    for name, row in _of(dict, "results", content["results"]).items():
        cells = dict(zip(columns, _of(list, name, row), strict=False))
        params = _parameters(name, cells.get("params"))
        combinations = math.prod(map(len, params))
        if combinations > _MOST_COMBINATIONS:
            raise ValueError(f"{name}: more than {_MOST_COMBINATIONS} combinations of params")
        _of(_TEXT, f"{name}: version", cells.get("version"))
        if cells.get("started_at") is not None:
            _count(f"{name}: started_at", cells["started_at"], _LATEST)
        lengths = {
            len(_numbers(f"{name}: {column}", values))
            for column, values in cells.items()
            if values is not None and (column == "result" or column.startswith("stats_"))
        }
        if lengths and cells.get("params") is None:
            raise ValueError(f"{name}: values without params")
        if lengths - {combinations}:
            raise ValueError(f"{name}: {max(lengths)} values for {combinations} combinations")


def _parameters(name: str, value: object) -> list[list[str]]:
    """Lists of texts; none where asv left them out."""
    if value is None:
        return []
    return [_texts(f"{name}: params", one) for one in _of(list, f"{name}: params", value)]


def _texts(name: str, value: object) -> list[str]:
    texts: list[str] = [_of(str, name, one) for one in _of(list, name, value)]
    return texts


def _numbers(name: str, value: object) -> list[object]:
    numbers: list[object] = _of(list, name, value)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, float, type(None))):
            raise TypeError(f"{name} holds {brief(number)}: expected numbers")
        if number is not None and _MOST < abs(number) < math.inf:
            raise ValueError(f"{name} holds {brief(number)}: expected {_MOST:g} at most")
    return numbers


def _count(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise ValueError(f"{name}={brief(value)}: expected milliseconds since 1970")


def _of(kind: type | tuple[type, ...], name: str, value: object) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {brief(value)}")
    return value


# -- series --------------------------------------------------------------------------------------


def _commit(result: _Result) -> Commit:
    return Commit(str(result.commit_hash), datetime.fromtimestamp(result.date / 1000, UTC))


def _series(
    name: str, benchmark: Json, machine: str, environment: str, results: list[_Result]
) -> Iterator[Series]:
    """One series for each combination of parameters that has a value somewhere."""
    combinations = list(itertools.product(*benchmark["params"]))
    columns = [_points(name, benchmark, result, len(combinations)) for result in results]
    for index, combination in enumerate(combinations):
        points = tuple(column[index] for column in columns)
        if any(point.value is not None for point in points):
            values = (_parameter(text) for text in combination)
            yield Series(
                benchmark=name,
                unit=str(benchmark["unit"]),
                parameters=tuple(zip(benchmark["param_names"], values, strict=False)),
                machine=machine,
                environment=environment,
                points=points,
            )


def _points(name: str, benchmark: Json, result: _Result, count: int) -> list[Point]:
    commit = _commit(result)
    if name not in result.get_result_keys({name: benchmark}):
        return [Point(commit, None, recorded=False)] * count
    values = result.get_result_value(name, benchmark["params"])
    stats = result.get_result_stats(name, benchmark["params"])
    run = result.started_at.get(name)
    return [
        Point(
            commit,
            _finite(value),
            low=_finite((stat or {}).get("ci_99_a")),
            high=_finite((stat or {}).get("ci_99_b")),
            skipped=isinstance(value, float) and math.isnan(value),
            run=run,
        )
        for value, stat in zip(values, stats, strict=True)
    ]


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _parameter(text: str) -> Parameter:
    """The value whose repr asv stores; the text itself where it is no literal."""
    if not _SINGLE.fullmatch(text):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, (str, int, float, bool)) else text
