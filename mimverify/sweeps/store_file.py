"""The SQLite file of a store: recognised, created, opened for reading or writing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from mimverify.support.errors import InputError, OutputError
from mimverify.support.files import check_place, is_special, resolved

__all__ = ["open_reader", "open_writer", "recognise"]

#: In the file's header: what tells a store from any other database of SQLite's.
APPLICATION = 0x6D696D76  # "mimv"
#: Of the tables below.
FORMAT = 1
#: Seconds to wait for another process that writes.
PATIENCE = 60.0

_SCHEMA = """
CREATE TABLE environments (
    id INTEGER PRIMARY KEY,
    content TEXT NOT NULL UNIQUE            -- JSON: host, machine, versions
);
CREATE TABLE trials (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    version TEXT NOT NULL,                  -- of the kind
    parameters TEXT NOT NULL,               -- JSON
    status TEXT NOT NULL CHECK (status IN ('done', 'failed')),
    result TEXT,                            -- JSON of one that is done
    error TEXT,                             -- JSON of one that failed: type, message, traceback
    seconds REAL,
    finished TEXT NOT NULL,                 -- UTC
    environment INTEGER REFERENCES environments (id)
);
CREATE INDEX trials_kind ON trials (kind, version);
CREATE TABLE claims (                       -- of trials that are under way
    key TEXT PRIMARY KEY,
    owner TEXT NOT NULL,                    -- JSON: host, process, its start
    expires REAL NOT NULL                   -- seconds since 1970
);
"""


def recognise(path: str | Path) -> bool:
    """Whether there is a store; False where there is no file yet, or an empty one.

    **Raises** `InputError` for anything else: another file, a store of another format.
    """
    place = Path(path)
    named = f"store={str(path)!r}"
    try:
        if place.is_dir() or is_special(place):
            raise InputError(f"{named}: is no regular file, expected a store of trials, or none")
        # Never by `open`: closing a file drops all locks that this process holds on it (POSIX),
        # those of its connections included; another process would then take itself for the last
        # one, and remove the log that we write to.
        if place.stat().st_size == 0:
            return False
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise InputError(f"{named}: cannot be read ({error})") from None
    try:
        reader = open_reader(path)
    except InputError as error:
        if "not a database" in str(error):
            raise InputError(f"{named}: is no store of trials: expected another name") from None
        raise
    with closed(reader) as connection:
        application, version, tables = _signature(connection, named)
    if application == 0 and version == 0 and tables == 0:
        return False  # its maker was killed before there was anything in it
    if application != APPLICATION:
        raise InputError(f"{named}: is a database of another program: expected another name")
    if version != FORMAT:
        raise InputError(
            f"{named}: has format {version}, this version of mimverify reads {FORMAT}: expected "
            "another name, or the version that wrote it"
        )
    return True


def _signature(connection: sqlite3.Connection, named: str) -> tuple[int, int, int]:
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise InputError(f"{named}: is a damaged database ({error})") from None
    return application, version, tables


@contextmanager
def closed(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """The connection, closed at the end: SQLite's own context only ends transactions."""
    try:
        yield connection
    finally:
        connection.close()


def open_reader(path: str | Path) -> sqlite3.Connection:
    """A connection that cannot write, and that no writer has to wait for.

    **Raises** `InputError`.
    """
    place = resolved(Path(path))
    address = "file:" + quote(os.fsencode(place))
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        connection = None
        try:
            connection = sqlite3.connect(f"{address}?{mode}", uri=True, timeout=PATIENCE)
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return connection
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            # In a folder that cannot be written to, readers cannot make the file of locks that
            # WAL needs. Nobody else can write there, either, unless there is a log.
            frozen = not os.access(place.parent, os.W_OK) and not os.path.exists(f"{place}-wal")
            if mode != "mode=ro" or not frozen:
                raise InputError(f"store={str(path)!r}: cannot be read ({error})") from None
    raise AssertionError("unreachable")


def open_writer(path: str | Path) -> sqlite3.Connection:
    """A connection for the coordinator; the file is made unless it is there.

    **Raises** `InputError` for a file that is no store or that cannot be written, `OutputError`
    where making it fails midway.
    """
    place = Path(path)
    with suppress(OSError):  # then check_place says why. One folder at most: more is a mistake
        resolved(place).parent.mkdir(exist_ok=True)
    check_place("store", path)
    known = recognise(path)
    connection = sqlite3.connect(resolved(place), timeout=PATIENCE, isolation_level=None)
    try:
        _use_log(connection)
        # A commit outlives the process that made it. (Of a machine that loses its power the last
        # ones may be lost, the file stays whole.)
        connection.execute("PRAGMA synchronous = NORMAL")
        if not known:
            _create(connection)
    except sqlite3.Error as error:
        connection.close()
        raise OutputError(f"store={str(path)!r}: cannot be written ({error})") from None
    return connection


def _use_log(connection: sqlite3.Connection) -> None:
    """Have SQLite write a log, so that readers and the writer do not wait for one another."""
    end = time.monotonic() + PATIENCE
    while True:  # SQLite does not wait for others that do the same
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
        else:
            if mode == "wal":
                return
            raise sqlite3.OperationalError("the file system does not support SQLite's log")
        time.sleep(0.01)


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables == 0:  # else another process was faster
            for statement in _SCHEMA.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
