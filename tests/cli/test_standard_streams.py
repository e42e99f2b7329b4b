"""Consoles without characters, full disks, closed descriptors: no verdict is lost to them."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mimverify

ROOT = Path(mimverify.__file__).parents[1]
ENCODINGS = ("ascii", "latin-1", "cp1252")

#: Verbs that take a second or two, and their exit codes. `{capsule}`: of a failure.
QUICK = {
    "none": ([], 0),
    "help": (["--help"], 0),
    "verb's help": (["scaling", "--help"], 0),
    "claims": (["claims"], 0),
    "claim": (["claims", "null-law"], 0),
    "claims, page": (["claims", "null-law", "--markdown", "-"], 0),
    "inspect": (["inspect", "he2", "--loss", "squared"], 0),
    "predict": (["predict", "he2", "--loss", "squared", "-d", "64", "-n", "1024", "-T", "2"], 0),
    "train": (["train", "he2", "-d", "16", "-n", "256", "-T", "2", "-m", "8"], 0),
    "check": (["check", "numpy", "--claim", "gradient-step", "-v"], 0),
    "check, failed": (["check", "mine:Wrong", "--claim", "gradient-step", "-v"], 1),
    "fit": (["fit", "X.npy", "--labels", "y.npy", "-T", "2", "-m", "8"], 0),
    "history": (["history", str(ROOT / "asv_benchmarks" / "results")], 0),
    "wrong": (["predict", "q…×"], 2),
}  # fmt: skip
#: Those whose JSON has more than ASCII.
JSON = {name: QUICK[name] for name in ("claims", "inspect", "claim")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np

    path = tmp_path_factory.mktemp("streams")
    (path / "mine.py").write_text(
        "class Wrong:\n    def step(self, W, a, b, X, y, **options):\n        return W + 1\n"
    )
    random = np.random.default_rng(0)
    inputs = random.standard_normal((200, 8))
    np.save(path / "X.npy", inputs)
    np.save(path / "y.npy", inputs[:, 0] ** 2)
    return path


def run(folder: Path, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    """`mimverify …` in a process of its own."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    environment |= settings.pop("env", {})
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
    command = [sys.executable, "-m", "mimverify", *arguments]
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        command, cwd=folder, env=environment, timeout=120, check=False, **streams
    )
    return done


# -- encodings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "encoding"), [
    (name, ENCODINGS[k % 3]) for k, name in enumerate(QUICK)
] + [("check, failed", encoding) for encoding in ENCODINGS[:1]])  # fmt: skip
def test_what_the_encoding_lacks_is_replaced(folder: Path, name: str, encoding: str) -> None:
    arguments, code = QUICK[name]
    if name == "history":
        pytest.importorskip("asv")
        if not Path(arguments[1]).is_dir():
            pytest.skip("no results of asv here")
    done = run(folder, *arguments, env={"PYTHONIOENCODING": encoding})
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == (code == 2)
    text = done.stdout.decode(encoding)  # nothing of another encoding
    assert bool(text) == (code != 2)
    assert not set(text) & set("─│┏┃â")


@pytest.mark.parametrize(("name", "encoding"), list(zip(JSON, ENCODINGS, strict=True)))
def test_json_is_strict_in_every_encoding(folder: Path, name: str, encoding: str) -> None:
    arguments, code = JSON[name]
    done = run(folder, *arguments, "--json", "-", env={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (code, b"")
    assert done.stdout.isascii()
    assert not json.dumps(json.loads(done.stdout), ensure_ascii=False).isascii()


def test_json_of_a_verdict_is_strict(folder: Path) -> None:
    arguments, code = QUICK["check, failed"]
    done = run(folder, *arguments, "--json", "-", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == code
    (trainer,) = json.loads(done.stdout)["trainers"]
    assert trainer["claims"][0]["status"] == "failed"


# -- output that cannot be written ---------------------------------------------------------------


def full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16))


def closed(descriptor: int) -> Callable[[], None]:
    return lambda: os.close(descriptor)


@pytest.mark.parametrize(
    ("name", "how"), [("none", "full"), ("train", "full"), ("fit", "closed"), ("claims", "closed")]
)
def test_lost_output_is_one_line_and_a_code(folder: Path, name: str, how: str) -> None:
    arguments, _ = QUICK[name]
    if how == "full":
        with os.fdopen(full(), "wb") as stream:
            done = run(folder, *arguments, stdout=stream)
        reason = b"No space left on device"
    else:
        done = run(folder, *arguments, preexec_fn=closed(1), stdout=None)
        reason = b"Bad file descriptor"
    assert done.returncode == 4
    assert done.stderr.strip() == b"Error: standard output: cannot be written (" + reason + b")"


def test_past_the_limit_of_files(folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as stream:
        done = run(folder, "claims", stdout=stream, preexec_fn=limit)
    assert done.returncode == 4
    assert done.stderr.count(b"\n") == 1
    assert b"File too large" in done.stderr


@pytest.mark.parametrize(
    ("name", "page"), [("claims", 0), ("predict", 1), ("train", 1), ("fit", 1)]
)
def test_lost_json_is_one_line_and_a_code(folder: Path, name: str, page: int) -> None:
    done = run(folder, *QUICK[name][0], "--json", "/dev/full")
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1
    assert b"/dev/full: cannot be written" in done.stderr
    assert bool(done.stdout) == page


def test_json_on_a_lost_output(folder: Path) -> None:
    with os.fdopen(full(), "wb") as stream:
        done = run(folder, "claims", "--json", "-", stdout=stream)
    assert done.returncode == 4
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["check", "check, failed"])
def test_a_verdict_outlives_its_output(folder: Path, name: str) -> None:
    arguments, code = QUICK[name]
    with os.fdopen(full(), "wb") as stream:
        done = run(folder, *arguments, "--json", "/dev/full", "--junitxml", "v.xml", stdout=stream)
    assert done.returncode == code
    assert b"/dev/full: cannot be written" in done.stderr
    assert b"standard output: cannot be written" in done.stderr
    assert (folder / "v.xml").read_bytes().startswith(b"<")


@pytest.mark.parametrize("how", ["full", "closed"])
def test_a_lost_standard_error_changes_nothing(folder: Path, how: str) -> None:
    for name in ("wrong", "claims"):
        arguments, code = QUICK[name]
        if how == "full":
            with os.fdopen(full(), "wb") as stream:
                done = run(folder, *arguments, stderr=stream)
        else:
            done = run(folder, *arguments, stderr=None, preexec_fn=closed(2))
        assert done.returncode == code
        assert bool(done.stdout) == (code != 2)


def test_a_reader_that_left_is_no_failure(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stream:
        done = run(folder, "claims", stdout=stream)
    assert (done.returncode, done.stderr) == (0, b"")


def test_closed_output_is_no_file_that_is_opened_later(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    done = run(folder, "claims", "--json", str(path), stdout=None, preexec_fn=closed(1))
    assert (done.returncode, done.stderr) == (0, b"")  # nothing was to be printed
    assert json.loads(path.read_text(encoding="utf-8"))["claims"]


# -- without a verb, without POSIX ---------------------------------------------------------------


def test_without_a_verb_the_help_is_shown(folder: Path) -> None:
    done = run(folder)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == run(folder, "--help").stdout
    assert done.stdout.count(b"\n") > 15
