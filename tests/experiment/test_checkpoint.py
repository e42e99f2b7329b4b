"""Tests of checkpoints: exact on the way back, and refused when damaged."""

from __future__ import annotations

import errno
import gc
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mimverify.backends import get_backend
from mimverify.experiment.checkpoint import (
    Checkpoint,
    check_resumable,
    load_checkpoint,
    save_checkpoint,
)
from mimverify.experiment.config import ExperimentConfig
from mimverify.experiment.resumption import keep_step, resume_run
from mimverify.experiment.run import Experiment, run_experiment
from mimverify.measure.recorder import Recorder
from mimverify.support.archive import digest
from mimverify.support.errors import InputError, OutputError
from mimverify.support.output_lock import lock_path
from mimverify.training.centring import Centring
from mimverify.training.stage1 import FirstLayerState
from mimverify.training.trainer import LayerwiseTrainer

Array = NDArray[Any]

CONFIGURATION = {"link": "cos2z", "dim": 3, "noise": 0.1, "eta": None, "threads": 2}


def example(dtype: str = "float64", *, linear: bool = True) -> Checkpoint:
    """Figures that only an exact format keeps."""
    W = np.array([[1 / 3, -0.0, 1e-30], [2.0**-126, np.pi, 7.0]], dtype=dtype)
    theta = np.array([0.1, 5e-324, -1 / 7]) if linear else None
    record: dict[str, list[Any]] = {
        "alignment": [0.1 + 0.2, float("nan"), float("inf")],
        "overlaps": [[0.5], [1 / 3]],
    }
    state = FirstLayerState(3, W, Centring(0.1, -1e-17), theta)
    return Checkpoint(dict(CONFIGURATION), state, record)


def assert_equal(one: Checkpoint, other: Checkpoint) -> None:
    assert one.configuration == other.configuration
    np.testing.assert_equal(one.record, other.record)  # NaN equals NaN here
    assert (one.state.step, one.state.centring) == (other.state.step, other.state.centring)
    pairs = [(one.state.W, other.state.W), (one.state.linear_part, other.state.linear_part)]
    for a, b in pairs:
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


@pytest.mark.parametrize("linear", [True, False])
def test_what_is_read_is_what_was_written(dtype: str, linear: bool, tmp_path: Path) -> None:
    path, written = tmp_path / "run.npz", example(dtype, linear=linear)
    save_checkpoint(path, written)
    assert_equal(load_checkpoint(path), written)
    assert_equal(load_checkpoint(str(path)), written)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]
    with np.load(path, allow_pickle=False) as archive:  # plain arrays throughout
        assert {archive[name].dtype.kind for name in archive.files} == {"f", "u"}


def test_numpy_numbers_are_kept_as_python_s(tmp_path: Path) -> None:
    state = FirstLayerState(np.int64(2), np.ones((2, 3)), Centring(np.float64(0.5)))  # type: ignore[arg-type]
    record: dict[str, list[Any]] = {
        "cosines": [np.array([1 / 3, 0.5])],
        "alignment": [np.float32(0.1)],
    }
    save_checkpoint(tmp_path / "run.npz", Checkpoint({"sizes": (1, np.int64(2))}, state, record))
    read = load_checkpoint(tmp_path / "run.npz")
    assert read.state.step == 2
    assert read.configuration == {"sizes": [1, 2]}
    assert read.record == {"cosines": [[1 / 3, 0.5]], "alignment": [float(np.float32(0.1))]}


@pytest.mark.parametrize("linear", [True, False])
def test_a_resumed_run_has_the_bits_of_the_whole_one(
    linear: bool, library: str, dtype: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 6)).astype(dtype)
    y = X[:, 0] * X[:, 1] + np.cos(X[:, 2]) + X[:, 3]
    path, steps, to_numpy = tmp_path / "run.npz", 5, get_backend(library, dtype).to_numpy

    def trainer() -> LayerwiseTrainer:
        return LayerwiseTrainer(
            backend=library, neurons=4, steps=steps, remove_linear_part=linear, readout_neurons=8
        )

    whole, seen = trainer(), []

    def keep(t: int, W: Any) -> None:
        seen.append(to_numpy(W))
        if t == 2:
            state = FirstLayerState(t, seen[-1], whole.centring_, whole.linear_part_)
            save_checkpoint(path, Checkpoint({}, state, {}))

    whole.fit_first_layer(X, y, observe=keep).fit_readout(X, y)
    rest, later = trainer(), []
    rest.fit_first_layer(
        X, y, resume=load_checkpoint(path).state, observe=lambda _, W: later.append(to_numpy(W))
    ).fit_readout(X, y)
    np.testing.assert_array_equal(later, seen[3:])
    np.testing.assert_array_equal(rest.predict(X), whole.predict(X))
    assert rest.centring_ == whole.centring_


# -- files that are not to be trusted ----------------------------------------------------------


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    save_checkpoint(path, example())
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=re.escape(str(path))):
            load_checkpoint(path)


def test_a_changed_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Harmless: a part of the archive that carries nothing, such as the time of writing."""
    path, written = tmp_path / "run.npz", example()
    save_checkpoint(path, written)
    content, refused, harmless = path.read_bytes(), 0, 0
    for position in range(0, len(content), 3):
        changed = bytearray(content)
        changed[position] ^= 0x41
        path.write_bytes(changed)
        try:
            read = load_checkpoint(path)
        except InputError as error:
            refused += str(error).startswith(f"{path}: ")
        else:
            assert_equal(read, written)
            harmless += 1
    assert refused + harmless == len(range(0, len(content), 3))
    assert refused > harmless


def repacked(path: Path, change: Callable[[dict[str, Array]], None], *, signed: bool) -> None:
    """Rewrite the arrays of a file as a forger would, with the right checksum or the old one."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    change(arrays)
    if signed:
        arrays.pop("sha256", None)
        arrays["sha256"] = digest(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    path.write_bytes(buffer.getvalue())


def described(**changes: Any) -> Callable[[dict[str, Array]], None]:
    def change(arrays: dict[str, Array]) -> None:
        description = json.loads(arrays["description"].tobytes()) | changes
        text = json.dumps({k: v for k, v in description.items() if v != "absent"})
        arrays["description"] = np.frombuffer(text.encode(), dtype=np.uint8)

    return change


def replaced(**arrays: Array) -> Callable[[dict[str, Array]], None]:
    return lambda held: held.update(arrays)


@pytest.mark.parametrize(
    "change",
    [
        replaced(W=np.zeros((2, 3))),
        replaced(W=example().state.W.astype(np.float32)),
        replaced(extra=np.zeros(1)),
        lambda arrays: arrays.pop("linear_part"),
        described(step=2),
    ],
)
def test_another_content_than_was_signed_is_refused(
    change: Callable[[dict[str, Array]], None], tmp_path: Path
) -> None:
    path = tmp_path / "run.npz"
    save_checkpoint(path, example())
    repacked(path, change, signed=False)
    with pytest.raises(InputError, match=r"run\.npz: damaged or changed"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (described(version=1), "a checkpoint of format 1"),
        (described(version=2), "format 2: this version reads format 3; .*start the run from"),
        (described(version=4), "a checkpoint of format 4: this version reads format 3$"),
        (described(format="something"), "found something else"),
        (described(format="absent"), "found something else"),
        (replaced(description=np.array([255, 254], dtype=np.uint8)), "found something else"),
        (lambda arrays: arrays.pop("description"), "arrays of something else"),
        (lambda arrays: arrays.pop("W"), "not a valid checkpoint"),
        (replaced(W=np.ones(3)), "W of shape"),
        (replaced(W=np.ones((2, 3), dtype=np.int64)), "dtype int64"),
        (replaced(W=np.full((2, 3), np.nan)), "W of shape"),
        (replaced(linear_part=np.ones(4)), "linear_part of shape"),
        (described(step=-1), "step=-1"),
        (described(step=1.5), r"step=1\.5"),
        (described(step="absent"), "not a valid checkpoint"),
        (described(centring={"constant": float("nan"), "offset": 0.0}), "constant=nan"),
        (described(centring=3), "not a valid checkpoint"),
        (described(configuration=[]), "expected objects"),
        (described(record={"alignment": 3}), "expected lists"),
        (described(step=10**400), "a number of 401 digits"),
        (described(step=10**200), "step=1000"),
        (described(centring={"constant": 10**299, "offset": True}), "centring="),
        (described(centring={"constant": "1", "offset": 0}), "centring="),
    ],
)
def test_a_well_signed_file_is_checked_as_well(
    change: Callable[[dict[str, Array]], None], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.npz"
    save_checkpoint(path, example())
    repacked(path, change, signed=True)
    with pytest.raises(InputError, match=rf"run\.npz: .*{reason}"):
        load_checkpoint(path)


class _Trap:
    """Unpickling it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_foreign_files_are_refused_and_nothing_is_unpickled(tmp_path: Path) -> None:
    path, mark = tmp_path / "run.npz", tmp_path / "mark"
    np.savez(path, W=np.array([_Trap(mark)], dtype=object))
    with pytest.raises(InputError, match=r"run\.npz: no checkpoint"):
        load_checkpoint(path)
    assert not mark.exists()
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(InputError, match="arrays of something else"):
        load_checkpoint(path)
    np.save(path.with_suffix(".npy"), np.zeros(3))
    for content in (b"", b"text", path.with_suffix(".npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"run\.npz: no checkpoint"):
            load_checkpoint(path)
    with pytest.raises(InputError, match=r"absent\.npz: cannot be read \(No such file"):
        load_checkpoint(tmp_path / "absent.npz")
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("alignment", "0.5", r"alignment\[1\]='0\.5': expected a number"),
        ("seconds", None, r"seconds\[1\]=None: expected a number"),
        ("overlaps", [0.5], r"overlaps\[1\]=\[0\.5\]: expected 2 numbers"),
        ("cosines", [0.5, []], r"cosines\[1\]=\[0\.5, \[\]\]: expected 2 numbers"),
        ("cosines", 3, r"cosines\[1\]=3: expected 2 numbers"),
    ],
)
def test_a_record_of_other_values_is_not_resumed(
    column: str, value: object, reason: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "run.npz")
    config = ExperimentConfig("z1z2", dim=6, samples=40, steps=3, neurons=4).resolved()
    one, two = [0.5, 0.5], [[0.5, 0.5]] * 2
    record: dict[str, list[Any]] = {
        "alignment": one, "span_recovery": one, "seconds": one, "overlaps": two, "cosines": two,
    }  # fmt: skip

    def resume(record: dict[str, list[Any]], shape: tuple[int, int]) -> FirstLayerState:
        state = FirstLayerState(1, np.ones(shape), Centring())
        save_checkpoint(path, Checkpoint(config.to_json(), state, record))
        return resume_run(path, config, Recorder(np.eye(6)[:2]))

    assert resume(record, (4, 6)).step == 1
    with pytest.raises(InputError, match=rf"run\.npz: its record has {reason}"):
        resume(record | {column: [record[column][0], value]}, (4, 6))
    with pytest.raises(InputError, match=r"run\.npz: its weights have shape \(6, 4\)"):
        resume(record, (6, 4))


# -- writing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (Checkpoint({"loss": object()}, example().state, {}), "got object"),
        (Checkpoint({}, example().state, {"alignment": [1j]}), "got complex"),
        (Checkpoint({}, FirstLayerState(1, np.full((2, 3), np.nan), Centring()), {}), "W of shape"),
        (Checkpoint({}, FirstLayerState(-1, np.ones((2, 3)), Centring()), {}), "step=-1"),
        (Checkpoint({}, example().state, {"alignment": 3}), "expected lists"),  # type: ignore[dict-item]
    ],
)
def test_what_could_not_be_read_is_not_written(
    wrong: Checkpoint, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.npz"
    save_checkpoint(path, example())
    with pytest.raises(InputError, match=f"checkpoint: .*{reason}"):
        save_checkpoint(path, wrong)
    assert_equal(load_checkpoint(path), example())  # the last one is still there


def test_an_interrupted_write_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.npz"
    save_checkpoint(path, example())

    write = os.write

    def half(descriptor: int, content: bytes) -> int:
        write(descriptor, content[: len(content) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, example("float32"))
    assert_equal(load_checkpoint(path), example())
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.npz"
    save_checkpoint(path, example())

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"run\.npz: cannot be written \(No space left"):
            save_checkpoint(path, example("float32"))
    assert_equal(load_checkpoint(path), example())
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


def test_a_checkpoint_is_one_run_s(tmp_path: Path) -> None:
    """Claimed from the first step on, and given back after the last, or with the recorder."""
    path = tmp_path / "run.npz"
    config = ExperimentConfig("z1z2", dim=6, samples=40, steps=2, neurons=4).resolved()
    trainer = LayerwiseTrainer(neurons=4)
    trainer.centring_, trainer.linear_part_ = Centring(), None
    recorders = [Recorder(np.eye(6)[:2])]

    def step(t: int) -> None:
        keep_step(str(path), config, recorders[0], trainer, t, np.ones((4, 6)))

    hold = "from mimverify.support.output_lock import hold\nimport sys\nhold('x', sys.argv[1])"
    step(0)
    other = subprocess.run(
        [sys.executable, "-c", hold, str(path)], capture_output=True, text=True, check=False
    )
    assert f"process {os.getpid()} is writing it" in other.stderr
    step(1)
    assert lock_path(path).exists()
    step(2)
    assert not lock_path(path).exists()
    step(1)
    assert lock_path(path).exists()
    recorders.clear()
    gc.collect()
    assert not lock_path(path).exists()


HOLDER = """
import sys
from mimverify.support.output_lock import hold
release = hold("x", sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_claims_its_checkpoint_before_the_work(resume: bool, tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    options: dict[str, Any] = {"dim": 6, "samples": 40, "neurons": 4, "checkpoint": str(path)}
    if resume:
        run_experiment(ExperimentConfig("cos2z", steps=1, **options, test_samples=20))
    config = ExperimentConfig("cos2z", steps=2, resume=resume, **options)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"checkpoint=.*process {other.pid} is writing it"):
            Experiment(config)
        other.communicate("")
    first = Experiment(config)
    assert lock_path(path).exists()
    del first
    gc.collect()
    assert not lock_path(path).exists()


def test_a_run_that_was_stopped_in_its_first_step_resumes_to_the_same_record(
    tmp_path: Path,
) -> None:
    options: dict[str, Any] = {"dim": 6, "samples": 40, "neurons": 4, "test_samples": 20}
    whole = run_experiment(ExperimentConfig("cos2z", steps=2, **options))
    for taken in (0, 1):
        options["checkpoint"] = str(tmp_path / f"{taken}.npz")
        run_experiment(ExperimentConfig("cos2z", steps=taken, **options))
        resumed = run_experiment(ExperimentConfig("cos2z", steps=2, resume=True, **options))
        assert (resumed.alignment, resumed.test_error) == (whole.alignment, whole.test_error)


def test_a_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.*run\.npz: cannot be written"):
        save_checkpoint(tmp_path / "nowhere" / "run.npz", example())


# -- going on ----------------------------------------------------------------------------------


def test_the_same_configuration_can_resume(tmp_path: Path) -> None:
    check_resumable(example(), CONFIGURATION)
    check_resumable(example(), CONFIGURATION | {"threads": 8}, may_differ=("threads",))
    check_resumable(example(), CONFIGURATION | {"noise": np.float64(0.1)})
    sizes = {"sizes": (1, 2)}
    save_checkpoint(tmp_path / "run.npz", Checkpoint(dict(sizes), example().state, {}))
    check_resumable(load_checkpoint(tmp_path / "run.npz"), sizes)


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        (CONFIGURATION | {"dim": 4, "noise": 0.2}, r"^dim=4: .* had 3"),
        (CONFIGURATION | {"link": "he2"}, r"^link='he2': .* had 'cos2z'"),
        (CONFIGURATION | {"eta": 0.1}, r"^eta=0\.1: .* had None"),
        (CONFIGURATION | {"beta": 0.1}, r"^beta: .* missing in the checkpoint's"),
        ({k: v for k, v in CONFIGURATION.items() if k != "dim"}, "^dim: .* missing in the new one"),
    ],
)
def test_another_configuration_is_named(configuration: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_resumable(example(), configuration, may_differ=("threads",))
