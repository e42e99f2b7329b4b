"""Tests of `mimverify.handles.isolated`: trainers that hang, crash, print and leave children."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mimverify.handles import TrainerHandle
from mimverify.handles.isolated import SpawnedTrainer
from mimverify.handles.methods import SIGNATURES
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError, TrainerError
from processes import is_running, wait_until

N, M, D = 5, 4, 3
PHYSICS = {"eta": 0.5, "beta": 0.1, "activation": "square", "loss": "squared"}
STUBS = Path(__file__).parents[1] / "helpers" / "stubs"
TIMEOUT = 20.0  # s; generous, for slow machines

needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's /proc")


@pytest.fixture(autouse=True, scope="module")
def _stubs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STUBS))
        yield


@pytest.fixture(scope="module")
def shared(_stubs: None) -> Iterator[SpawnedTrainer]:
    """One worker for many tests: it takes most of a second to start."""
    with SpawnedTrainer("stub_trainers:Scripted", time_limit=TIMEOUT) as spawned:
        yield spawned


@pytest.fixture
def handle(shared: SpawnedTrainer) -> SpawnedTrainer:
    """A trainer with a generous time limit."""
    shared.fresh(None)
    return shared


def arrays(*names: str) -> dict[str, NumpyArray]:
    rng = np.random.default_rng(0)
    shapes = {"X": (N, D), "y": (N,), "W": (M, D), "W0": (M, D), "a": (M,), "b": (M,)}
    return {name: rng.standard_normal(shapes[name]) for name in names}


def step(trainer: TrainerHandle, cue: str = "square", **changed: NumpyArray) -> NumpyArray:
    given = arrays(*SIGNATURES["step"].arrays) | changed
    result = trainer.call("step", given, {**PHYSICS, "activation": cue})
    assert result is not None
    return result


def facts(trainer: TrainerHandle) -> list[float]:
    """Seed, number of steps taken, mean that `fit` saw, OMP_NUM_THREADS, PYTHONPATH."""
    result = trainer.call("predict", arrays("X"), {})
    assert result is not None
    return [float(value) for value in result]


def refusal(kind: str, function: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(TrainerError) as caught:
        function(*arguments)
    assert caught.value.kind == kind, caught.value
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- A correct trainer ------------------------------------------------------------


def test_all_methods_give_what_they_give_in_process(handle: SpawnedTrainer) -> None:
    assert handle.name == "stub_trainers:Scripted"
    assert handle.capabilities.methods == frozenset(SIGNATURES)
    assert handle.capabilities.losses == ("squared",)
    given = arrays(*SIGNATURES["trajectory"].arrays)
    path = handle.call("trajectory", given, {"steps": np.int64(3), **PHYSICS})
    assert path is not None
    np.testing.assert_array_equal(path, [given["W0"] * 0.5**t for t in range(4)])
    assert path.flags.owndata
    assert path.flags.writeable
    np.testing.assert_array_equal(step(handle), arrays("W", "a", "b", "X", "y")["W"] / 2)
    assert handle.call("fit", arrays("X", "y"), {}) is None
    handle.fresh(2**32 - 1)
    assert handle.call("fit", {"X": np.eye(2), "y": np.array([3.0, 4.0])}, {}) is None
    step(handle)
    assert facts(handle)[:3] == [2**32 - 1, 1, 3.5]
    handle.fresh(None)
    assert facts(handle)[:3] == [-1, 0, -1]


def test_arrays_arrive_whatever_their_layout_dtype_and_size(handle: SpawnedTrainer) -> None:
    rng = np.random.default_rng(1)
    big = rng.standard_normal((3000, D))
    for X in (
        np.asfortranarray(big),
        big[::-2],
        big.astype(">f4"),
        np.arange(6).reshape(2, 3),
        np.zeros((0, D)),
        rng.standard_normal((9000, D)),
    ):
        np.testing.assert_allclose(step(handle, "sum", X=X), np.full((M, D), X.sum()), rtol=1e-5)
    W = np.ones((M, D), np.float32)
    assert step(handle, W=W).dtype == np.float32
    assert step(handle, W=np.ones((700, 900))).shape == (700, 900)
    assert step(handle, W=np.ones((0, D))).shape == (0, D)


def test_arrays_are_copied_anew_unless_they_cannot_have_changed(
    handle: SpawnedTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[int] = []
    copyto = np.copyto

    def counting(target: NumpyArray, source: NumpyArray) -> None:
        copied.append(source.size)
        copyto(target, source)

    monkeypatch.setattr(np, "copyto", counting)
    X = np.ones((N, D))
    for value in (1.0, 2.0):  # the same object, but its contents change
        X[...] = value
        assert step(handle, "sum", X=X)[0, 0] == value * N * D
    X.setflags(write=False)
    step(handle, "mutate", X=X)
    copied.clear()
    for _ in range(2):
        assert step(handle, "sum", X=X)[0, 0] == 2 * N * D
        assert N * D not in copied
    assert step(handle, "sum", X=np.ones((N, D)))[0, 0] == N * D
    assert step(handle, "sum", X=X)[0, 0] == 2 * N * D
    assert copied.count(N * D) == 2
    writable = np.ones((N, D))
    view = writable[:]
    view.setflags(write=False)
    step(handle, "sum", X=view)
    writable[...] = 3.0  # a read-only view of what is not
    assert step(handle, "sum", X=view)[0, 0] == 3 * N * D


def test_held_arrays_survive_other_methods_and_larger_ones(handle: SpawnedTrainer) -> None:
    frozen = arrays("W", "a", "b", "X", "y")
    for array in frozen.values():
        array.setflags(write=False)
    total = frozen["X"].sum()
    assert step(handle, "sum", **frozen)[0, 0] == pytest.approx(total)
    handle.call("trajectory", arrays("X", "y", "W0", "a", "b"), {"steps": 1, **PHYSICS})
    assert step(handle, "sum", **frozen)[0, 0] == pytest.approx(total)
    step(handle, "sum", a=np.ones(70_000))  # moves everything
    assert step(handle, "sum", **frozen)[0, 0] == pytest.approx(total)
    step(handle, W=np.ones((3000, 900)))  # so large that the memory is released
    handle.fresh(None)
    assert step(handle, "sum", **frozen)[0, 0] == pytest.approx(total)


def test_the_worker_imports_what_its_parent_can_and_keeps_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "neighbour.py").write_text("from stub_trainers import Scripted\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/stub/path")
    with SpawnedTrainer("neighbour:Scripted", time_limit=TIMEOUT, threads=3) as spawned:
        assert facts(spawned)[3:] == [3, 1]


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_torch_gets_its_threads_and_tensors_come_back() -> None:
    spec = "stub_trainers:TorchTrainer"
    with SpawnedTrainer(spec, time_limit=60.0, threads=1) as spawned:
        given = arrays("W", "a", "b", "X", "y")
        result = spawned.call("step", given, PHYSICS)
        assert result is not None
        np.testing.assert_allclose(result, given["W"] + 1)
        with pytest.raises(InputError, match="does not offer it"):
            spawned.call("predict", arrays("X"), {})


# --- A trainer that fails ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("cue", "kind", "expected"),
    [
        ("raise", "raised", "step() raised ValueError: eta=0.5 is too large"),
        ("sys-exit", "raised", "step() raised SystemExit: enough"),
        ("interrupt", "raised", "step() raised KeyboardInterrupt"),
        ("shape", "shape", f"shape {(D, M)}, expected {(M, D)}"),
        ("nan", "non-finite", "nan at neuron 1, coordinate 2"),
    ],
)
def test_errors_are_passed_on_and_the_worker_continues(
    handle: SpawnedTrainer, cue: str, kind: str, expected: str
) -> None:
    pid = handle.pid
    assert expected in refusal(kind, step, handle, cue)
    step(handle)
    assert handle.pid == pid
    assert facts(handle)[1] == 2  # the trainer has kept its state


def test_in_place_work_printing_warnings_and_forks_change_nothing(handle: SpawnedTrainer) -> None:
    pid = handle.pid
    given = arrays("X", "W")
    before = given["X"].copy(), given["W"].copy()
    step(handle, "mutate", **given)
    np.testing.assert_array_equal(given["X"], before[0])
    np.testing.assert_array_equal(given["W"], before[1])
    # A forked child gives its reply back to nobody; the worker itself has no children to wait for.
    for cue in ("chatter", "warn", "wait", "fork", "chatter", "square"):
        np.testing.assert_array_equal(step(handle, cue, W=given["W"]), given["W"] / 2)
    assert handle.pid == pid


def test_errors_of_the_caller_are_input_errors(handle: SpawnedTrainer) -> None:
    pid = handle.pid
    for method, given, options in (
        ("fly", arrays("X"), {}),
        ("predict", arrays("X", "y"), {}),
        ("predict", {"X": np.array(["a"])}, {}),
        ("step", arrays(*SIGNATURES["step"].arrays), {**PHYSICS, "loss": object()}),
    ):
        with pytest.raises(InputError):
            handle.call(method, given, options)
    with pytest.raises(InputError, match="random_state="):
        handle.fresh(-1)
    step(handle)
    assert handle.pid == pid


@pytest.mark.parametrize(
    ("cue", "expected"),
    [
        ("segfault", "the worker ended by signal SIGSEGV during step()"),
        ("exit", "the worker ended with exit code 3 during step()"),
        ("fork-and-die", "the worker ended with exit code 4 during step()"),
        ("last-words", "SIGABRT during step(); the last line of its stderr: assertion failed in"),
    ],
)
def test_a_death_is_reported_and_survived(handle: SpawnedTrainer, cue: str, expected: str) -> None:
    handle.fresh(6)
    step(handle)
    pid = handle.pid
    step(handle, "chatter")  # what was printed before is not what it died of
    assert expected in (message := refusal("died", step, handle, cue))
    assert "blah" not in message
    assert facts(handle)[:2] == [6, 0]  # a new trainer with the last seed
    assert handle.pid != pid


def test_a_death_between_calls_is_reported_once(handle: SpawnedTrainer) -> None:
    assert handle.pid is not None
    os.kill(handle.pid, signal.SIGKILL)
    message = refusal("died", handle.fresh, 3)
    assert "signal SIGKILL (out of memory?)" in message
    handle.fresh(3)
    assert facts(handle)[0] == 3


@needs_proc
def test_a_hang_is_ended_with_its_children_and_not_tried_a_third_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "pid"
    monkeypatch.setenv("STUB_PID_FILE", str(pid_file))
    with SpawnedTrainer("stub_trainers:Scripted", time_limit=1.5) as hasty:
        step(hasty, "square")  # a method that returned before is tried again once
        for cue in ("hang", "grandchild"):
            worker = hasty.pid
            assert refusal("timeout", step, hasty, cue) == "step() did not return within 1.5 s"
            for pid in (worker, int(pid_file.read_text(encoding="utf-8"))):
                assert pid is not None
                assert wait_until(lambda pid=pid: not is_running(pid), TIMEOUT)  # type: ignore[misc]
            assert facts(hasty)[1] == 0  # a new worker
        assert "step() hung before" in refusal("timeout", step, hasty, "square")
        assert facts(hasty)[1] == 0  # the other methods are still called


def test_a_first_call_that_hangs_is_not_repeated() -> None:
    with SpawnedTrainer("stub_trainers:Scripted", time_limit=1.5) as hasty:
        refusal("timeout", step, hasty, "hang")
        assert "step() hung before" in refusal("timeout", step, hasty, "square")


def test_a_call_aborted_at_the_deadline_does_not_count_as_a_hang() -> None:
    with SpawnedTrainer("stub_trainers:Scripted", time_limit=30) as handle:
        handle.deadline = time.monotonic()
        assert "time was spent during step()" in refusal("deadline", step, handle, "hang")
        handle.deadline = None
        step(handle, "square")


def test_an_interrupt_ends_the_worker_and_passes(handle: SpawnedTrainer) -> None:
    pid = handle.pid
    with pytest.raises(KeyboardInterrupt):
        step(handle, "interrupt-parent")
    assert handle.pid is None
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    step(handle)


# --- A trainer that cannot be constructed ---------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "kind", "expected"),
    [
        ("stub_raising_module:Trainer", "import", "raised ZeroDivisionError: no licence"),
        ("stub_trainers:Nothing", "construct", "is no trainer"),
        ("stub_trainers:BadDeclaration", "construct", "losses of BadDeclaration"),
    ],
)
def test_import_and_construction_fail_with_their_kind(spec: str, kind: str, expected: str) -> None:
    def spawn() -> None:
        SpawnedTrainer(spec, time_limit=TIMEOUT).close()

    assert expected in refusal(kind, spawn)


def test_a_worker_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = [sys.executable, "-c", "raise OSError('no space left')"]
    monkeypatch.setattr("mimverify.handles.isolated.launch_command", lambda *_, **__: failing)

    def spawn() -> None:
        SpawnedTrainer("stub_trainers:Scripted", time_limit=TIMEOUT).close()

    message = refusal("died", spawn)
    assert "the worker ended with exit code 1" in message  # perhaps before it is asked to import
    assert "OSError: no space left" in message


def test_construction_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    # Long enough for a new process to import NumPy on a busy machine.
    monkeypatch.setattr("mimverify.handles.isolated._LOAD_LIMIT", 6.0)

    def spawn() -> None:
        SpawnedTrainer("stub_trainers:SlowToConstruct", time_limit=0.5).close()

    expected = "the construction of stub_trainers:SlowToConstruct did not return within 6 s"
    assert refusal("timeout", spawn) == expected


@pytest.mark.parametrize("limit", [0, -1.0, float("inf"), float("nan"), "3", None, True])
def test_the_time_limit_must_be_positive_and_finite(limit: Any) -> None:
    with pytest.raises(InputError, match="time_limit="):
        SpawnedTrainer("stub_trainers:Scripted", time_limit=limit)


@pytest.mark.parametrize("threads", [0, 1.5, True, "2"])
def test_threads_must_be_a_positive_integer(threads: Any) -> None:
    with pytest.raises(InputError, match="threads="):
        SpawnedTrainer("stub_trainers:Scripted", time_limit=1.0, threads=threads)


# --- Nothing is left behind ---------------------------------------------------------------


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@needs_proc
def test_nothing_is_left_after_close() -> None:
    before = open_descriptors()
    handle = SpawnedTrainer("stub_trainers:Scripted", time_limit=TIMEOUT)
    first = handle.pid
    step(handle)
    refusal("died", step, handle, "exit")
    step(handle)
    second = handle.pid
    handle.close()
    handle.close()
    assert open_descriptors() == before
    for pid in (first, second):
        assert pid is not None
        with pytest.raises(ProcessLookupError):  # not even a zombie
            os.kill(pid, 0)
    with pytest.raises(InputError, match="closed"):
        step(handle)
    with pytest.raises(InputError, match="closed"):
        handle.fresh(None)
    with pytest.raises(TrainerError, match="no module 'no_such_module'"):
        SpawnedTrainer("no_such_module:Trainer", time_limit=TIMEOUT)
    assert open_descriptors() == before


@needs_proc
def test_a_handle_outlives_the_thread_that_made_it_but_no_process_a_forgotten_handle() -> None:
    before = open_descriptors()
    made: list[SpawnedTrainer] = []

    def make() -> None:
        made.append(SpawnedTrainer("stub_trainers:Scripted", time_limit=TIMEOUT))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    step(made[0])
    pid = made[0].pid
    assert pid is not None
    assert is_running(pid)
    made.clear()
    gc.collect()
    assert not is_running(pid)
    assert open_descriptors() == before


@needs_proc
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
@pytest.mark.parametrize("thread", ["main", "other"])
@pytest.mark.parametrize("cue", ["hang", "grandchild"])
def test_worker_and_its_processes_end_with_a_parent_that_is_killed_in_the_middle_of_a_call(
    tmp_path: Path, cue: str, thread: str
) -> None:
    code = f"""
        import threading
        import numpy as np
        from mimverify.handles.isolated import SpawnedTrainer

        def train():
            given = dict.fromkeys(("W", "a", "b", "X", "y"), np.zeros((1, 1)))
            options = {{"eta": 1.0, "beta": 1.0, "activation": "{cue}", "loss": "squared"}}
            trainer = SpawnedTrainer("stub_trainers:Scripted", time_limit=60.0)
            print(trainer.pid, flush=True)
            trainer.call("step", given, options)

        if "{thread}" == "main":
            train()
        else:
            threading.Thread(target=train).start()
    """
    pid_file = tmp_path / "pid"
    path = os.pathsep.join([str(STUBS), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": path, "STUB_PID_FILE": str(pid_file)},
        stdout=subprocess.PIPE,
    ) as parent:
        try:
            assert parent.stdout is not None
            worker = int(parent.stdout.readline())
            assert wait_until(lambda: pid_file.exists() and pid_file.read_text() != "", TIMEOUT)
            last = int(pid_file.read_text(encoding="utf-8"))
            assert is_running(worker)
            assert is_running(last)
        finally:
            parent.kill()
    assert wait_until(lambda: not is_running(worker), TIMEOUT)
    assert wait_until(lambda: not is_running(last), TIMEOUT)
    assert wait_until(lambda: not group_of(worker), TIMEOUT)


def group_of(leader: int) -> list[int]:
    """Processes of this group that are running: what was started, and what watches it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] not in "ZX":
            found.append(int(folder.name))
    return found


@needs_proc
def test_whatever_is_left_of_a_worker_that_ended_ends_too() -> None:
    """The process that watches the group is in it, and ends with it."""
    with SpawnedTrainer("stub_trainers:Scripted", time_limit=TIMEOUT) as handle:
        assert handle.pid is not None
        worker = handle.pid
        assert worker in group_of(worker)
    assert wait_until(lambda: not group_of(worker), TIMEOUT)


def test_it_works_where_processes_cannot_be_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mimverify.handles.isolated.open_pidfd", lambda pid, stack: None)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with SpawnedTrainer("stub_trainers:Scripted", time_limit=TIMEOUT) as spawned:
        step(spawned)
        assert "exit code 4" in refusal("died", step, spawned, "fork-and-die")
        step(spawned)
