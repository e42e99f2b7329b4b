"""The store of trials: one SQLite file that survives whoever writes it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from mimverify.support.errors import InputError, OutputError
from mimverify.support.strict_json import Json, jsonable, parse_json
from mimverify.sweeps.agenda import sweep_trials
from mimverify.sweeps.claim_owner import ClaimOwner
from mimverify.sweeps.content_key import canonical_json
from mimverify.sweeps.row import Row
from mimverify.sweeps.store_file import closed, open_reader, open_writer, recognise
from mimverify.sweeps.sweep import Sweep, SweepTrial

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Store", "StoreWriter"]

_AT_ONCE = 500  # keys in one query; SQLite's limit is 999 in old versions

_COLUMNS = (
    "trials.key, kind, version, parameters, status, result, error, seconds, finished, content"
)
_FROM = "FROM trials LEFT JOIN environments ON environments.id = trials.environment"


class Store:
    """A file of finished trials. Any number of processes may read it while it is written.

    **Arguments**

    - `path`: of the file. It is made when first written to.

    Writing is `run_sweep`'s. Nothing in the file is pickled: values are JSON texts.
    **Raises** `InputError` for a file that is no such store, or of another format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        recognise(self.path)

    def rows(self, sweep: Sweep | Iterable[Sweep] | None = None) -> list[Row]:
        """The finished trials of a sweep (or several) in its order, or all in the order of their
        ends. Of a search, those that it has come to so far."""
        if sweep is None:
            return list(self._query("ORDER BY trials.rowid"))
        sweeps = [sweep] if isinstance(sweep, Sweep) else list(sweep)
        trials = {trial.key: trial for one in sweeps for trial in sweep_trials(one, self)}
        found = self.of_keys(trials)
        return [_with_given(found[key], trial) for key, trial in trials.items() if key in found]

    def of_keys(self, keys: Iterable[str]) -> dict[str, Row]:
        """The finished trials among these, by key."""
        found: dict[str, Row] = {}
        for some in _batches(keys):
            marks = ",".join("?" * len(some))
            found.update((row.key, row) for row in self._query(f"WHERE key IN ({marks})", some))
        return found

    def states(self, keys: Iterable[str]) -> dict[str, tuple[str, Json | None]]:
        """Status and result of the finished trials among these, by key."""
        found: dict[str, tuple[str, Json | None]] = {}
        if not recognise(self.path):
            return found
        with closed(open_reader(self.path)) as connection, _readable(self.path):
            for some in _batches(keys):
                marks = ",".join("?" * len(some))
                for key, status, result in connection.execute(
                    f"SELECT key, status, result FROM trials WHERE key IN ({marks})", some
                ):
                    found[key] = (status, None if result is None else _value(result, self.path))
        return found

    def latest(self, kind: str, version: str, most: int) -> list[Row]:
        """The latest trials of one kind that are done, whichever sweep asked for them."""
        condition = "WHERE kind = ? AND version = ? AND status = 'done' "
        return list(
            self._query(condition + "ORDER BY trials.rowid DESC LIMIT ?", (kind, version, most))
        )

    def count(self) -> int:
        """Finished trials."""
        if not recognise(self.path):
            return 0
        with closed(open_reader(self.path)) as connection, _readable(self.path):
            (count,) = connection.execute("SELECT count(*) FROM trials").fetchone()
        return int(count)

    def export(self, path: str | Path, sweep: Sweep | Iterable[Sweep] | None = None) -> None:
        """Write one flat table, CSV or Parquet by the name's end, in one step.

        **Raises** `InputError`, also where a library is missing.
        """
        from mimverify.sweeps.trial_table import export

        export(self.rows(sweep), path)

    def to_pandas(self, sweep: Sweep | Iterable[Sweep] | None = None) -> pd.DataFrame:
        """The same table as a data frame. **Raises** `InputError` without pandas."""
        from mimverify.sweeps.trial_table import to_pandas

        return to_pandas(self.rows(sweep))

    def _query(self, condition: str, values: Iterable[object] = ()) -> Iterator[Row]:
        if not recognise(self.path):
            return
        with closed(open_reader(self.path)) as connection, _readable(self.path):
            # All at once: a reader that stays keeps the log from being folded into the file.
            found = connection.execute(
                f"SELECT {_COLUMNS} {_FROM} {condition}", tuple(values)
            ).fetchall()
        for record in found:
            yield _row(record, self.path)


class StoreWriter:
    """The coordinator's hold on a store: claims of trials, and their results as they end.

    A context that gives back what is still claimed.

    **Raises** `InputError` for a file that is no store, `OutputError` for one that cannot be
    written.
    """

    def __init__(self, path: str | Path, owner: ClaimOwner | None = None) -> None:
        self._path = str(path)
        self._owner = ClaimOwner.this() if owner is None else owner
        self._connection = open_writer(path)
        self._environments: dict[str, int] = {}

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with self._writing():
                self._connection.execute(
                    "DELETE FROM claims WHERE owner = ?", (self._owner.to_text(),)
                )
        except OutputError:
            if kind is None:  # else the first reason counts; claims end with this process
                raise
        finally:
            self._fold()
            self._connection.close()

    def _fold(self) -> None:
        """Fold the log into the file, so that a copy of the file alone has all trials. SQLite does
        that for whoever closes last, unless that is a reader. Nobody waits: a reader that is there
        leaves the rest to the next writer."""
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def claim(self, keys: Iterable[str], *, again: bool = False) -> set[str]:
        """Those of the trials that this process may run now: neither finished nor under way.

        **Arguments**

        - `again`: trials that failed may be run.
        """
        granted = set()
        finished = "status = 'done'" if again else "1"
        with self._writing() as connection:
            for key in keys:
                if connection.execute(
                    f"SELECT 1 FROM trials WHERE key = ? AND {finished}", (key,)
                ).fetchone():
                    continue
                held = connection.execute(
                    "SELECT owner, expires FROM claims WHERE key = ?", (key,)
                ).fetchone()
                if held is None or self._owner.may_take_over(*held):
                    connection.execute(
                        "INSERT OR REPLACE INTO claims VALUES (?, ?, ?)",
                        (key, self._owner.to_text(), self._owner.expiry()),
                    )
                    granted.add(key)
        return granted

    def renew(self) -> None:
        """Say that the trials under way still are."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE claims SET expires = ? WHERE owner = ?",
                (self._owner.expiry(), self._owner.to_text()),
            )

    def add(self, trial: SweepTrial, record: Mapping[str, object]) -> bool:
        """Store the end of a trial, and its claim with it. **Returns** whether it was new.

        One that is done stays as it is; one that failed is replaced.
        """
        content = canonical_json(jsonable(record.get("environment") or {}))
        with self._writing() as connection:
            count = connection.execute(
                """INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (key) DO UPDATE SET status = excluded.status, result = excluded.result,
                error = excluded.error, seconds = excluded.seconds, finished = excluded.finished,
                environment = excluded.environment WHERE trials.status = 'failed'""",
                (
                    trial.key, trial.kind, trial.version, canonical_json(trial.parameters),
                    record["status"], _text(record.get("result")), _text(record.get("error")),
                    record.get("seconds"), datetime.now(UTC).isoformat(timespec="milliseconds"),
                    self._environment(content),
                ),
            ).rowcount  # fmt: skip
            connection.execute(
                "DELETE FROM claims WHERE key = ? AND owner = ?", (trial.key, self._owner.to_text())
            )
        return count > 0

    def _environment(self, content: str) -> int:
        if content not in self._environments:
            self._connection.execute(
                "INSERT OR IGNORE INTO environments (content) VALUES (?)", (content,)
            )
            (number,) = self._connection.execute(
                "SELECT id FROM environments WHERE content = ?", (content,)
            ).fetchone()
            self._environments[content] = number
        return self._environments[content]

    def _writing(self) -> _Transaction:
        return _Transaction(self._connection, self._path, self._environments)


class _Transaction:
    """All or nothing, and errors of SQLite as `OutputError`."""

    def __init__(
        self, connection: sqlite3.Connection, path: str, environments: dict[str, int]
    ) -> None:
        self._connection, self._path, self._environments = connection, path, environments

    def __enter__(self) -> sqlite3.Connection:
        try:
            if self._connection.in_transaction:  # a signal came between its begin and its block
                self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise self._failure(error) from None
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
                return
        except sqlite3.Error as failure:
            error = failure
        self._environments.clear()  # one that was new is rolled back
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.Error):
            raise self._failure(error) from None

    def _failure(self, error: sqlite3.Error) -> OutputError:
        return OutputError(f"store={self._path!r}: cannot be written ({error})")


class _readable:  # noqa: N801 - reads as a function, as contextmanager's do
    """Errors of SQLite as `InputError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, _: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise InputError(f"store={str(self._path)!r}: cannot be read ({error})") from None


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def _text(value: object) -> str | None:
    return None if value is None else json.dumps(jsonable(value), allow_nan=False)


def _value(text: object, source: Path) -> Json:
    return dict(parse_json(str(text).encode(), str(source)))


def _row(record: tuple[object, ...], source: Path) -> Row:
    key, kind, version, parameters, status, result, error, seconds, finished, environment = record

    def value(text: object) -> Json:
        return _value(text, source)

    return Row(
        key=str(key),
        kind=str(kind),
        version=str(version),
        parameters=value(parameters),
        status=str(status),
        result=None if result is None else value(result),
        error=None if error is None else value(error),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        finished=str(finished),
        environment={} if environment is None else value(environment),
    )


def _with_given(row: Row, trial: SweepTrial) -> Row:
    return replace(row, parameters={**row.parameters, **trial.given})
