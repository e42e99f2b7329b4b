"""Locks of SQLite, which a process loses on a file that it opens and closes otherwise (POSIX)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mimverify
from mimverify.sweeps import Store
from mimverify.sweeps.store import StoreWriter

_OTHER = """
import sys
from mimverify.sweeps.store import Store, StoreWriter
with StoreWriter(sys.argv[1]) as writer:
    Store(sys.argv[1]).rows()
    writer.renew()
"""


def test_another_coordinator_that_ends_leaves_the_log(tmp_path: Path) -> None:
    """A coordinator reads its store while it writes. If reading dropped its locks, another one
    that ends would take itself for the last, and remove the log under it."""
    path = tmp_path / "trials.sqlite"
    with StoreWriter(path) as writer:
        writer.renew()
        store = Store(path)
        assert store.rows() == []
        log = path.with_name(f"{path.name}-wal")
        before = log.stat().st_ino
        subprocess.run(
            [sys.executable, "-c", _OTHER, str(path)],
            check=True, timeout=60,
            env=os.environ | {"PYTHONPATH": str(Path(mimverify.__file__).parents[1])},
        )  # fmt: skip
        assert log.stat().st_ino == before
        writer.renew()
        assert store.rows() == []
