"""Every file that is read back, damaged: its reader returns or raises InputError, nothing else.

A second or two by default. `make fuzz ARGS="-k capsule"` runs longer: MIMVERIFY_FUZZ_EXAMPLES is
the number of inputs for each format and kind of damage, at random rather than always the same.
"""

from __future__ import annotations

import io
import json
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mimverify import LayerwiseTrainer
from mimverify.calibration import Calibration, EventCount, Plan, Tried
from mimverify.cli.verbs.calibrate import count_finished
from mimverify.cli.verbs.power import finished_rows
from mimverify.designs import NpyRows, ParquetRows, npy_labels, parquet_labels
from mimverify.experiment.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mimverify.experiment.config import ExperimentConfig
from mimverify.experiment.resumption import resume_run
from mimverify.measure.recorder import Recorder
from mimverify.performance.history import read_history
from mimverify.support.archive import digest
from mimverify.support.errors import InputError
from mimverify.support.journal import Journal
from mimverify.training.centring import Centring
from mimverify.training.stage1 import FirstLayerState
from mimverify.trial import PROFILES, Session, Status, load_claims
from mimverify.trial.running.capsule import decode_case, load_capsule
from mimverify.trial.running.expectations import read_expected_failures
from mimverify.trial.running.report import TrainerReport
from mimverify.zoo import zoo
from mimverify.zoo.matrix import Row

EXAMPLES = int(os.environ.get("MIMVERIFY_FUZZ_EXAMPLES", "0"))
FEW = 15  # of each format and kind of damage, without a request
#: No reader takes more memory than this, for each byte of the file and besides.
PER_BYTE, BESIDES = 100, 1 << 24

#: One number decides the whole input: drawing each part of it takes ten times as long.
SEEDS = st.integers(0, 2**64 - 1)
SETTINGS = settings(
    max_examples=EXAMPLES or FEW,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,) if EXAMPLES else (Phase.generate, Phase.shrink),
)


@dataclass(frozen=True)
class Format:
    """A kind of file: a valid one, and all that reads it."""

    path: Path
    content: bytes
    read: Callable[[Path], object]


# -- the formats -------------------------------------------------------------------------------


def _rows(path: Path) -> None:
    rows = NpyRows(path)
    if rows.n_rows * rows.dim < 1 << 16:
        rows.begin(0)(slice(0, rows.n_rows), np.empty((rows.n_rows, rows.dim)))


def _parquet(path: Path) -> None:
    rows = ParquetRows(path, exclude="y")
    stop = min(rows.n_rows, 256)
    rows.begin(0)(slice(0, stop), np.empty((stop, rows.dim)))
    parquet_labels(path, "y")


class NoDecay(LayerwiseTrainer):
    def trajectory(self, *args: Any, **options: Any) -> Any:
        return super().trajectory(*args, **{**options, "beta": 0.0})


def _npy(folder: Path) -> Format:
    np.save(folder / "X.npy", np.random.default_rng(0).standard_normal((20, 3)))
    return _made(folder / "X.npy", _rows)


def _labels(folder: Path) -> Format:
    np.save(folder / "y.npy", np.arange(20, dtype=np.float32))
    return _made(folder / "y.npy", npy_labels)


def _parquet_file(folder: Path) -> Format:
    pa = pytest.importorskip("pyarrow")
    table = {"a": np.arange(300.0), "b": np.arange(300), "y": np.arange(300.0) % 7}
    pytest.importorskip("pyarrow.parquet").write_table(
        pa.table(table), folder / "X.parquet", row_group_size=100
    )
    return _made(folder / "X.parquet", _parquet)


def _checkpoint(folder: Path) -> Format:
    config = ExperimentConfig("z1z2", dim=6, samples=40, steps=3, neurons=4).resolved()
    one, two = [0.5, float("nan")], [[0.5, 1 / 3]] * 2
    record: dict[str, list[Any]] = {
        "alignment": one, "span_recovery": one, "seconds": one, "overlaps": two, "cosines": two,
    }  # fmt: skip
    state = FirstLayerState(1, np.ones((4, 6)), Centring(0.1, 0.2), np.ones(6))
    save_checkpoint(folder / "run.npz", Checkpoint(config.to_json(), state, record))

    def read(path: Path) -> None:
        load_checkpoint(path)
        resume_run(str(path), config, Recorder(np.eye(6)[:2]))

    return _made(folder / "run.npz", read)


def _capsule(folder: Path) -> Format:
    with Session(NoDecay, claims=["gradient-step"], capsules=folder) as session:
        verdict = session.verdict(load_claims()["gradient-step"])
    claims = load_claims()

    def read(path: Path) -> None:
        capsule, _ = load_capsule(path)
        if capsule.claim in claims:
            decode_case(capsule.case, claims[capsule.claim])

    return _made(Path(verdict.capsule), read)


def _expectations(folder: Path) -> Format:
    (folder / "known.txt").write_text("# mine\n\ntrajectory: for now\nnull-law: µ\n", "utf-8")
    return _made(folder / "known.txt", read_expected_failures)


def _asv(folder: Path) -> Path:
    pytest.importorskip("asv")
    (folder / "lab").mkdir()
    (folder / "lab" / "machine.json").write_text("{}")
    params = [["'numpy'", "'torch'"], ["256", "512"]]
    (folder / "benchmarks.json").write_text(
        json.dumps(
            {
                "a.time": {
                    "params": params,
                    "param_names": ["b", "dim"],
                    "unit": "s",
                    "version": "1",
                },
                "a.track": {"params": [], "param_names": [], "unit": "ratio", "version": "1"},
                "version": 2,
            }
        )
    )
    columns = ["result", "params", "version", "started_at", "duration", "stats_ci_99_a",
               "stats_ci_99_b", "samples", "profile"]  # fmt: skip
    values = [1.0, None, float("nan"), 2.0]
    rows = {
        "a.time": [values, params, "1", 10, 1.0, values, values],
        "a.track": [[0.5], [], "1", 10, 1.0],
    }
    (folder / "lab" / "01234567-env.json").write_text(
        json.dumps(
            {
                "commit_hash": "01" * 20, "env_name": "env", "date": 1_700_000_000_000,
                "params": {"machine": "lab"}, "python": "3.11", "requirements": {}, "env_vars": {},
                "result_columns": columns, "results": rows, "durations": {}, "version": 2,
            }
        )
    )  # fmt: skip
    return folder


def _asv_result(folder: Path) -> Format:
    return _made(_asv(folder) / "lab" / "01234567-env.json", lambda _: read_history(folder))


def _asv_benchmarks(folder: Path) -> Format:
    return _made(_asv(folder) / "benchmarks.json", lambda _: read_history(folder))


def _made(path: Path, read: Callable[[Path], object]) -> Format:
    read(path)
    return Format(path, path.read_bytes(), read)


def _power(folder: Path) -> Format:
    def read(path: Path) -> None:
        journal = Journal(path, "power", {"seed": 0}, resume=True)
        finished_rows(journal, "power.jsonl", zoo())

    journal = Journal(folder / "power.jsonl", "power", {"seed": 0}, resume=False)
    for mutant in zoo()[:2]:
        with Session(mutant.trainer, claims=["gradient-step"]) as session:
            verdicts = [session.verdict(load_claims()["gradient-step"])]
        journal.add({"seed": 0, **Row(mutant, TrainerReport(mutant.spec, verdicts)).to_record()})
    return _made(folder / "power.jsonl", read)


def _calibration(folder: Path) -> Format:
    plan = Plan(("numpy",), ("null-law",), (0.1,), range(3), PROFILES["quick"])

    def read(path: Path) -> None:
        journal = Journal(path, "calibrate", {"seed": 0}, resume=True)
        count_finished(journal, "trials.jsonl", Calibration(plan), {})

    journal = Journal(folder / "trials.jsonl", "calibrate", {"seed": 0}, resume=False)
    for seed in plan.seeds:
        counts = (EventCount("it happens", "a case", 3, 4),)
        tried = Tried("null-law", seed, (Status.PASSED,), counts, seconds=0.5)
        journal.add({"trainer": "numpy", "trainer_sources": None} | tried.to_json())
    return _made(folder / "trials.jsonl", read)


FORMATS = {
    "npy": _npy, "labels": _labels, "parquet": _parquet_file, "checkpoint": _checkpoint,
    "capsule": _capsule, "expectations": _expectations, "asv-result": _asv_result,
    "asv-benchmarks": _asv_benchmarks, "power": _power, "calibration": _calibration,
}  # fmt: skip


@pytest.fixture(scope="module", params=list(FORMATS))
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Format:
    return FORMATS[request.param](tmp_path_factory.mktemp(request.param))


def read_damaged(kind: Format, content: bytes, seed: int) -> None:
    kind.path.write_bytes(content)
    message, taken = "", 0
    traced = not EXAMPLES or seed % 8 == 0  # it halves the speed
    if traced:
        tracemalloc.start()
    try:
        kind.read(kind.path)
    except InputError as error:
        message = str(error)
    finally:
        if traced:
            taken = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert len(message.splitlines()) <= 1, message
    assert len(message) < 2000, message
    assert taken <= PER_BYTE * len(content) + BESIDES, taken


# -- damage ------------------------------------------------------------------------------------

_PIECES = (
    b"", b"\0", b"\xff\xff\xff\xff", b"\x7f" * 8, b"(" * 300, b"[" * 300, b"'", b'"', b"{", b"}",
    b"-", b"9" * 400, b"NaN", b"1e999", b"null", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\n", b",",
    b":", b"O", b"PK\x05\x06", b"PAR1",
)  # fmt: skip


def damaged(rng: Random, content: bytes) -> bytes:
    """A few bytes changed, pieces inserted or copied from elsewhere, an end cut off."""

    def place() -> int:
        # Headers and directories are at the ends, where most of what can go wrong is.
        first, last = rng.choice([(0, len(content)), (0, 160), (len(content) - 400, len(content))])
        return rng.randint(max(first, 0), min(last, len(content)))

    changed = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at = min(place(), max(len(changed) - 1, 0))
        match rng.choice(("flip", "set", "insert", "bytes", "copy", "remove", "cut")):
            case "flip" if changed:
                changed[at] ^= 1 << rng.randint(0, 7)
            case "set" if changed:
                changed[at] = rng.randint(0, 255)
            case "insert":
                changed[at:at] = rng.choice(_PIECES)
            case "bytes":
                changed[at:at] = rng.randbytes(rng.randint(1, 8))
            case "copy":
                start, length = place(), rng.randint(1, 64)
                changed[at : at + length] = content[start : start + length]
            case "remove":
                del changed[at : at + rng.randint(1, 64)]
            case "cut":
                del changed[max(at, 1) :]
    return bytes(changed)


@SETTINGS
@given(seed=SEEDS)
def test_damaged_bytes(kind: Format, seed: int) -> None:
    read_damaged(kind, damaged(Random(seed), kind.content), seed)


_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**17, -(10**300), 10**290, 0.5, 1e300, -1e300, float("nan"),
     float("inf"), "", "x", "1", "\0", "é" * 300, "numpy", "class", [], [[]], [None], [1, "a"], {},
     {"a": 1}, {"class": "Path"}, {"tuple": 3}, {"plain": []},
)  # fmt: skip


def revised(rng: Random, value: Any) -> Any:
    """A JSON value in which one value, at any depth, is another, gone, or there twice."""
    inside: list[Any] = []
    if isinstance(value, (dict, list)):
        inside = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not inside or rng.randint(0, 7) == 0:
        return rng.choice(_VALUES)
    key = rng.choice(inside)
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    match rng.randint(0, 9):
        case 0:
            del copy[key]
        case 1 if isinstance(copy, list):
            copy.append(copy[key])
        case 1:
            copy[f"{key}s"] = copy[key]
        case _:
            copy[key] = revised(rng, copy[key])
    return copy


def resigned(rng: Random, content: bytes) -> bytes:
    """An archive with another description or arrays, and the checksum of these."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "sha256"}
    description = json.loads(arrays["description"].tobytes())
    for _ in range(rng.randint(1, 2)):
        description = revised(rng, description)
    arrays["description"] = np.frombuffer(json.dumps(description).encode(), dtype=np.uint8)
    if rng.randint(0, 3) == 0:
        arrays[rng.choice(sorted(arrays))] = rng.choice(_ARRAYS)
    arrays["sha256"] = digest(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


_ARRAYS: tuple[Any, ...] = (
    np.zeros(0), np.zeros((4, 6), np.float32), np.full((4, 6), np.inf), np.array(3),
    np.zeros((1, 1), complex), np.array([True]), np.zeros((2, 2), np.uint8),
)  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["checkpoint", "capsule", "asv-result", "asv-benchmarks", "power", "calibration"],
    indirect=True,
)
@SETTINGS
@given(seed=SEEDS)
def test_other_json_values(kind: Format, seed: int) -> None:
    """Of JSON files, and of the JSON text in archives, whose checksum is then the right one."""
    if kind.path.suffix == ".jsonl":
        rng, lines = Random(seed), kind.content.splitlines()
        at = rng.randrange(len(lines))
        lines[at] = json.dumps(revised(rng, json.loads(lines[at]))).encode()
        read_damaged(kind, b"\n".join(lines) + b"\n", seed)
    elif kind.path.suffix == ".json":
        value = revised(Random(seed), json.loads(kind.content))
        read_damaged(kind, json.dumps(value).encode(), seed)
    else:
        read_damaged(kind, resigned(Random(seed), kind.content), seed)
