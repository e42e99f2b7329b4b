"""One flat table of trials: a row each, parameters, results and circumstances in columns."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mimverify.support.errors import InputError
from mimverify.support.files import atomic_write
from mimverify.sweeps.row import Row

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "check_format", "export", "flat_table", "to_pandas"]

FORMATS = ("csv", "parquet")

#: Of every table, in this order; then parameters by their names, results as `result_…`, versions
#: as `version_…`.
_FIXED = ("key", "kind", "kind_version", "status")
_LAST = ("error_type", "error_message", "seconds", "finished", "host", "system", "cores", "pass")


def check_format(path: str | Path) -> str:
    """The format that a file's name asks for, before the work.

    **Raises** `InputError`, also where the library for it is missing.
    """
    suffix = Path(path).suffix.lstrip(".").lower()
    if suffix not in FORMATS:
        raise InputError(f"export={str(path)!r}: expected a name that ends in .csv or .parquet")
    if suffix == "parquet":
        try:
            import pyarrow  # noqa: F401 - before the work rather than after
        except ImportError:
            raise InputError(
                f"export={str(path)!r} needs pyarrow: pip install 'mimverify[parquet]'"
            ) from None
    return suffix


def export(rows: Sequence[Row], path: str | Path) -> None:
    """Write the table, atomically, as the file's name asks. **Raises** `InputError`."""
    suffix = check_format(path)
    table = flat_table(rows)
    atomic_write(Path(path), _csv(table) if suffix == "csv" else _parquet(table))


def to_pandas(rows: Sequence[Row]) -> pd.DataFrame:
    """The table as a data frame. **Raises** `InputError` where pandas is missing."""
    try:
        import pandas as pd
    except ImportError:
        raise InputError("a data frame needs pandas: pip install 'mimverify[pandas]'") from None
    return pd.DataFrame(flat_table(rows))


def flat_table(rows: Sequence[Row]) -> dict[str, list[object]]:
    """Columns by name; None where a trial has no such value, JSON text for what is nested
    deeper than a list."""
    flat = [_flat(row) for row in rows]
    names: dict[str, None] = dict.fromkeys(_FIXED)
    for part in ("parameters", "result"):
        names.update(dict.fromkeys(name for row in flat for name in row[part]))
    names.update(dict.fromkeys(_LAST))
    names.update(dict.fromkeys(name for row in flat for name in row["versions"]))
    merged = [
        {name: value for part in row.values() for name, value in part.items()} for row in flat
    ]
    return {name: _uniform([row.get(name) for row in merged]) for name in names}


def _flat(row: Row) -> dict[str, Mapping[str, object]]:
    error, environment = row.error or {}, row.environment
    fixed = {
        "key": row.key, "kind": row.kind, "kind_version": row.version, "status": row.status,
        "error_type": error.get("type"), "error_message": error.get("message"),
        "seconds": row.seconds, "finished": row.finished,
        **{name: environment.get(name) for name in ("host", "system", "cores", "pass")},
    }  # fmt: skip
    return {
        "fixed": fixed,
        "parameters": {
            f"parameter_{name}" if name in fixed else name: value
            for name, value in row.parameters.items()
        },
        "result": {f"result_{name}": value for name, value in (row.result or {}).items()},
        "versions": {
            f"version_{name}": value for name, value in environment.get("versions", {}).items()
        },
    }


def _uniform(values: list[object]) -> list[object]:
    """A column of one type: numbers, texts, lists of numbers, or else JSON texts."""
    kinds = {_kind_of(value) for value in values if value is not None}
    if kinds <= {"integer", "number"} or len(kinds) == 1:
        if "number" in kinds and "integer" in kinds:
            return [None if value is None else float(value) for value in values]  # type: ignore[arg-type]
        if "other" not in kinds:
            return values
    return [None if value is None else _text(value) for value in values]


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int):
        return "integer" if abs(value) < 2**63 else "other"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list) and {_kind_of(item) for item in value} <= {"integer", "number"}:
        return "numbers"
    return "other"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False)


def _csv(table: Mapping[str, Sequence[object]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(table)
    rows: Iterable[tuple[object, ...]] = zip(*table.values(), strict=True)
    for row in rows:
        writer.writerow("" if value is None else _cell(value) for value in row)
    return buffer.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, allow_nan=False) if isinstance(value, list) else value


def _parquet(table: Mapping[str, Sequence[object]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    columns = {
        name: pa.array(
            [[float(x) for x in value] if isinstance(value, list) else value for value in values]
        )
        for name, values in table.items()
    }
    parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()
