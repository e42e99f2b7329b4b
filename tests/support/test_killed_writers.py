"""Runs killed at every system call that changes files: one whole file is left, and no lock."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import killed_writers
import mimverify
from mimverify.support.files import check_place
from mimverify.support.sibling_files import mark_in_use, partial_path

PACKAGE = Path(mimverify.__file__).parent


# -- kills -------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize(
    "scenario",
    [  # `fit` writes in the same way as `train` does
        pytest.param(name, marks=pytest.mark.slow if name == "fit" else ())
        for name in killed_writers.SCENARIOS
    ],
)
def test_killed_at_every_write(scenario: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, killed_writers.__file__, scenario, str(tmp_path)],
        env=os.environ
        | {"PYTHONPATH": str(PACKAGE.parent), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for calls in json.loads(done.stdout):
        assert calls.keys() >= {"open", "write", "half a write", "fsync", "os.rename"}


# -- what killed writers leave -----------------------------------------------------------------


def abandoned(path: Path, process: int) -> Path:
    """A partial file of another process."""
    own = f".{os.getpid()}-"
    partial = partial_path(path)
    partial = partial.with_name(partial.name.replace(own, f".{process}-"))
    partial.touch()
    return partial


def test_partial_files_are_swept_once_nobody_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    left, long = abandoned(path, ended.pid), abandoned(tmp_path / ("x" * 255), ended.pid)
    alive, locked = abandoned(path, os.getpid()), abandoned(path, ended.pid)
    others = [
        tmp_path / f".a.json.{ended.pid}-1.part",
        tmp_path / f"a.{ended.pid}-1.mimverify-part",
    ]
    for other in others:
        other.touch()
    with open(locked, "wb") as file:  # of a process that only seems to have ended
        mark_in_use(file.fileno())
        check_place("--json", path)
        assert not left.exists()
        assert not long.exists()
        assert all(kept.exists() for kept in (alive, locked, *others))
    check_place("--json", path)
    assert not locked.exists()


# -- all that writes ---------------------------------------------------------------------------

#: Each call in the package that changes files. Another one is not killed above, and may leave half
#: a file: use `atomic_write`.
WRITERS = {
    "support/files.py": ("os.open", "os.replace", "os.unlink", "os.write"),  # atomic_write, probes
    "support/sibling_files.py": ("os.open", "os.unlink"),  # what killed runs left
    "support/journal.py": ("os.ftruncate", "os.open", "os.write"),  # adds lines
    "support/output_lock.py": ("os.ftruncate", "os.open", "os.unlink", "os.write"),
    "trial/running/capsule.py": ("mkdir",),  # the folder for capsules
    # Folders of the system for temporary files, removed at exit; those of killed runs are swept.
    "trial/running/scratch_folder.py": ("os.open", "shutil.rmtree", "tempfile.TemporaryDirectory"),
    "trial/running/runner.py": ("mkdir", "open", "write_text"),
    "handles/isolated.py": ("tempfile.TemporaryFile",),  # without a name
    "handles/worker.py": ("os.ftruncate",),  # of shared memory
    "performance/competitors/process.py": ("tempfile.TemporaryFile",),
    # A folder beside its place, which is renamed as a whole.
    "cli/verbs/new_pack.py": ("mkdir", "rename", "shutil.rmtree", "tempfile.mkdtemp", "write_text"),
    "cli/standard_streams.py": ("os.open",),  # /dev/null for a closed stream
    # Of the standard library alone, since the package's build loads it; the library appears whole.
    "native/compiler.py": (
        "os.replace",
        "shutil.copyfile",
        "shutil.which",
        "tempfile.TemporaryDirectory",
        "unlink",
    ),
    "native/build_hook.py": ("tempfile.TemporaryDirectory",),
    # Into memory, and from there by `atomic_write`.
    "support/archive.py": ("np.savez",),
    "cli/options.py": ("np.savez",),
    "pages/figures.py": ("savefig",),
    "sweeps/trial_table.py": ("write_table",),
    "cli/verbs/new_trainer.py": ("unlink",),  # what it has written itself, where the rest failed
    "handles/pipe/child_process.py": ("os.write",),  # into a pipe
    "handles/pipe/pipe_trainer.py": ("shutil.which",),  # writes nothing
    "support/disk_cache.py": ("mkdir", "unlink"),  # the oldest of its own entries
    "sweeps/dask_pool.py": ("shutil.rmtree", "tempfile.TemporaryDirectory"),  # of the workers
    "sweeps/store_file.py": ("mkdir",),  # the store's folder; SQLite writes the store
}

_OF_OS = {
    "open", "write", "writev", "pwrite", "replace", "rename", "renames", "remove", "unlink",
    "mkdir", "makedirs", "rmdir", "removedirs", "truncate", "ftruncate", "link", "symlink",
    "mkfifo",
}  # fmt: skip
_OF_NUMPY = {"save", "savez", "savez_compressed", "savetxt"}
_METHODS = {
    "write_bytes", "write_text", "touch", "mkdir", "unlink", "rename", "symlink_to", "tofile",
    "savefig", "to_csv", "to_parquet", "write_table", "dump",
}  # fmt: skip


def writing_call(node: ast.Call) -> str | None:
    """The call's name if it may change files."""
    name, owner = node.func, ""
    if isinstance(name, ast.Attribute):
        owner = name.value.id if isinstance(name.value, ast.Name) else "…"
        word = name.attr
    elif isinstance(name, ast.Name):
        word = name.id
    else:
        return None
    modes = [
        argument.value
        for argument in (*node.args, *(keyword.value for keyword in node.keywords))
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]
    writes = any(set(mode) <= set("rwaxbt+") and set(mode) & set("wax+") for mode in modes)
    if word in {"open", "fdopen", "ZipFile", "memmap"} and writes and owner != "os":
        return word
    if owner in {"shutil", "tempfile"} or (owner == "os" and word in _OF_OS):
        return f"{owner}.{word}"
    if owner in {"np", "numpy"} and word in _OF_NUMPY:
        return f"{owner}.{word}"
    return word if owner and word in _METHODS else None


def test_every_write_goes_through_atomic_write() -> None:
    found: dict[str, Counter[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            call = writing_call(node) if isinstance(node, ast.Call) else None
            if call not in (None, "tempfile.gettempdir"):
                found.setdefault(path.relative_to(PACKAGE).as_posix(), Counter())[str(call)] += 1
    assert {name: tuple(sorted(calls)) for name, calls in found.items()} == WRITERS
