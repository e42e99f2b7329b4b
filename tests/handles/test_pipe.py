"""Tests of `mimverify.handles.pipe`: trainers that are child processes, good ones and others."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mimverify.adapt import process
from mimverify.handles import InProcessTrainer
from mimverify.handles.isolated import SpawnedTrainer
from mimverify.handles.pipe import PipeSource
from mimverify.handles.pipe.pipe_messages import (
    Hello,
    answer_of,
    array_of,
    method_request,
    payload_size,
)
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError, TrainerError
from processes import is_running, wait_until

CHILD = str(Path(__file__).parents[1] / "helpers" / "stubs" / "pipe_child.py")
N, M, D = 5, 4, 3
OPTIONS = {"eta": 0.5, "beta": 0.1, "activation": "relu", "loss": "huber"}
LIMIT = 60.0  # s; generous, for slow machines
SHORT = 0.3  # s; for what never answers

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched by pidfd")


def command(behaviour: str = "doubled", **hello: object) -> list[str]:
    return [sys.executable, "-I", CHILD, behaviour, json.dumps(hello)]


def arrays(n: int = N, m: int = M, d: int = D, dtype: str = "float64") -> dict[str, NumpyArray]:
    rng = np.random.default_rng(0)
    shapes = {"W": (m, d), "a": (m,), "b": (m,), "X": (n, d), "y": (n,)}
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def handle(behaviour: str = "doubled", **hello: object) -> InProcessTrainer:
    return InProcessTrainer(process(command(behaviour, **hello), time_limit=LIMIT))


def refusal(kind: str, call: Callable[..., object], *given: object, **named: object) -> str:
    with pytest.raises(TrainerError) as caught:
        call(*given, **named)
    assert caught.value.kind == kind, caught.value
    return str(caught.value)


@pytest.fixture(scope="module")
def good() -> Iterator[InProcessTrainer]:
    """One child for many tests."""
    with handle(activations=["relu"], dtypes=["float64", "float32"], random_state=True) as trainer:
        yield trainer


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_arrays_arrive_and_come_back_bit_by_bit(good: InProcessTrainer, dtype: str) -> None:
    given = arrays(dtype=dtype)
    for _ in range(2):  # of one child
        stepped = good.call("step", given, OPTIONS)
        assert stepped is not None
        assert stepped.dtype == dtype
        np.testing.assert_array_equal(stepped, 2 * given["W"], strict=True)
    start = {"W0": given.pop("W"), **given}
    weights = good.call("trajectory", start, {"steps": 3, **OPTIONS})
    np.testing.assert_array_equal(weights, [2**k * start["W0"] for k in range(4)])


def test_what_the_child_declares_is_what_is_tried(good: InProcessTrainer) -> None:
    found = good.capabilities
    assert found.methods == {"step", "trajectory", "fit", "predict"}
    assert found.activations == ("relu",)
    assert found.losses is None
    assert found.sets_random_state


@pytest.mark.parametrize("form", ["Fortran", "strided", "reversed", "read-only", "misaligned"])
def test_arrays_in_any_memory_are_sent_alike(good: InProcessTrainer, form: str) -> None:
    given = arrays()
    np.testing.assert_array_equal(good.call("step", given, OPTIONS, form=form), 2 * given["W"])


def test_arrays_without_entries(good: InProcessTrainer) -> None:
    stepped = good.call("step", arrays(n=0, m=0), OPTIONS)
    assert stepped is not None
    assert stepped.shape == (0, D)


def test_both_pipes_are_full_at_once() -> None:
    """4 MB each way through pipes of 64 KiB, and much on standard error beside."""
    with handle("chatter") as trainer:
        given = arrays(n=10, m=10_000, d=50)
        np.testing.assert_array_equal(trainer.call("step", given, OPTIONS), 2 * given["W"])


def test_an_answer_may_begin_before_the_request_was_read() -> None:
    """It is read on while the request is written: neither waits for the other."""
    program = textwrap.dedent("""
        import json, sys
        given, out = sys.stdin.buffer, sys.stdout.buffer
        for line in given:
            header = json.loads(line)
            if header["request"] == "hello":
                out.write(b'{"answer": "hello", "protocol": 1, "methods": ["step"]}\\n')
                out.flush()
                continue
            m, d = header["m"], header["d"]
            out.write(json.dumps({"answer": "step", "dtype": "float64", "shape": [m, d]}).encode())
            out.write(b"\\n" + bytes(8 * m * d))
            out.flush()
            given.read(header["bytes"])
    """)
    with InProcessTrainer(process([sys.executable, "-I", "-c", program], time_limit=LIMIT)) as own:
        given = arrays(n=1, m=10_000, d=50)
        np.testing.assert_array_equal(own.call("step", given, OPTIONS), 0 * given["W"])


# --- Children that answer wrongly ---


def text(header: object, payload: bytes = b"") -> str:
    """What a child writes, as an argument of a command can hold it."""
    written = json.dumps(header).encode() + b"\n" + payload
    return written.decode("latin-1").encode("unicode_escape").decode()


def step_answer(shape: object = (M, D), dtype: str = "float64", **other: object) -> dict[str, Any]:
    return {"answer": "step", "dtype": dtype, "shape": shape, **other}


STEP = method_request("step", arrays(), OPTIONS)
NAN = np.full((M, D), np.nan).tobytes()


def read(line: bytes) -> tuple[Mapping[str, Any], int]:
    header = answer_of(STEP, line, "child")
    return header, payload_size(STEP, header, "child")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ("Loading the model\\n", "protocol", "'Loading the model'.*standard error"),
        ("x" * 70_000, "protocol", "without an end of the line"),
        (text(step_answer((D, M))), "shape", r"\(3, 4\), expected \(4, 3\)"),
        (text(step_answer(), NAN), "non-finite", "nan at neuron 0, coordinate 0"),
        (text(step_answer(), bytes(8 * M * D + 1)), "protocol", "which no request asked for"),
        ("leave", "died", "exit code 3 during step; the last line of its stderr: out of ideas"),
        ("crash", "died", "signal SIGSEGV during step"),
        ("half", "died", "exit code 0 during step"),
    ],
)
def test_a_wrong_answer_is_an_error_that_says_what_is_wrong(
    answer: str, kind: str, words: str
) -> None:
    with handle(answer) as trainer:
        message = refusal(kind, trainer.call, "step", arrays(), OPTIONS)
        assert re.search(words, message), message


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"\x00\xff\xfe\n", "protocol", "expected a line of JSON"),
        (b"\n", "protocol", "expected a line of JSON"),
        (b"[1, 2]\n", "protocol", "expected a line of JSON"),
        ({"answer": "fit"}, "protocol", '"answer": "step"'),
        ({"shape": [M, D]}, "protocol", '"answer": "step"'),
        ({"error": "a norm\nis \x1b[31mzero"}, "raised", r"a norm\nis \x1b[31mzero"),
        ({"error": 7}, "raised", "reports: 7"),
        (step_answer((1 << 40, 1 << 40)), "shape", "expected (4, 3)"),
        (step_answer("4, 3"), "protocol", "shape"),
        (step_answer((4.0, True)), "protocol", "shape"),
        (step_answer((-4, -3)), "protocol", "shape"),
        (step_answer(dtype="int64"), "dtype", "'int64', expected one of float32"),
        (step_answer(dtype="float16"), "dtype", "'float16'"),
    ],
)
def test_another_header_is_refused(answer: Any, kind: str, words: str) -> None:
    line = answer if isinstance(answer, bytes) else json.dumps(answer).encode() + b"\n"
    assert words in refusal(kind, read, line)


@pytest.mark.parametrize(
    ("hello", "words"),
    [
        ({"protocol": 2}, "speaks protocol 2; this mimverify speaks 1"),
        ({"protocol": None}, "speaks protocol None"),
        ({"methods": ["stepp"]}, "did you mean 'step'"),
        ({"methods": []}, "expected some of"),
        ({"methods": "step"}, "expected a list of names"),
        ({"loses": ["huber"]}, "did you mean 'losses'"),
        ({"losses": [1]}, "expected a list of names"),
        ({"dtypes": ["double"]}, "unknown dtype 'double'"),
        ({"random_state": 1}, "expected true or false"),
    ],
)
def test_another_hello_is_refused(hello: dict[str, object], words: str) -> None:
    good = {"answer": "hello", "protocol": 1, "methods": ["step"]}
    assert words in refusal("protocol", Hello.of, {**good, **hello}, "child")


def test_a_program_that_does_not_speak_the_protocol_is_refused() -> None:
    assert "speaks protocol 7" in refusal("protocol", handle, protocol=7)
    assert '"answer": "hello"' in refusal("protocol", handle, answer="hallo")


def test_a_child_that_hangs_is_killed_and_the_next_call_starts_another() -> None:
    source = PipeSource(command("wait"), time_limit=SHORT)
    trainer = source()
    for _ in range(2):
        message = refusal("timeout", trainer.step, *arrays().values(), **OPTIONS)
        assert "did not answer within 0.3 s" in message


def test_an_error_that_a_child_reports_leaves_it_running() -> None:
    source = PipeSource(command(text({"error": "not today"})), time_limit=LIMIT)
    trainer = source()
    for _ in range(2):
        refusal("raised", trainer.step, *arrays().values(), **OPTIONS)
    child = trainer._child
    assert child is not None
    trainer.fit(*(arrays()[name] for name in ("X", "y")))
    assert trainer._child is child
    assert child.usable


@linux
def test_what_a_child_started_ends_with_it(capfd: pytest.CaptureFixture[str]) -> None:
    source = PipeSource(command("leave_one_behind"), time_limit=LIMIT)
    trainer = source()
    trainer.step(*arrays().values(), **OPTIONS)
    assert trainer._child
    trainer._child._pass_on_errors()
    left = int(capfd.readouterr().err.split()[0])
    trainer._child.close()
    for pid in (trainer._child.pid, left):
        assert wait_until(partial(has_ended, pid), 20.0)


def has_ended(pid: int) -> bool:
    return not is_running(pid)


def test_children_are_dropped_with_their_source() -> None:
    source = PipeSource(command(), time_limit=LIMIT)
    first, second = source(), source()
    for each in (first, second):
        each.step(*arrays().values(), **OPTIONS)
    pids = [each._child.pid for each in (first, second) if each._child]
    assert len(set(pids)) == 2  # they live at the same time
    del first
    third = source()
    third.step(*arrays().values(), **OPTIONS)
    assert third._child
    assert third._child.pid in pids  # taken over
    del second, third, each, source
    gc.collect()
    assert wait_until(lambda: not any(map(is_running, pids)), 20.0)


def test_a_fit_belongs_to_its_trainer_and_a_copy_repeats_it() -> None:
    source = PipeSource(command(random_state=True), time_limit=LIMIT)
    X, y = arrays()["X"], arrays()["y"]
    one, other = source(), source()
    one.random_state, other.random_state = 3, 4
    one.fit(X, y)
    other.fit(X[:2], y[:2])
    expected = {one: 3 + X.nbytes + y.nbytes, other: 4 + X[:2].nbytes + y[:2].nbytes}
    for trainer, value in expected.items():
        for how in (lambda t: t, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))):
            assert set(how(trainer).predict(X)) == {value}


def test_what_cannot_be_repeated_is_not_copied() -> None:
    trainer = PipeSource(command(), time_limit=LIMIT)()
    trainer.fit(arrays()["X"], arrays()["y"])
    with pytest.raises(TypeError, match="random_state"):
        copy.deepcopy(trainer)


def test_a_fit_that_was_lost_is_not_predicted_from() -> None:
    trainer = PipeSource(command("leave"), time_limit=LIMIT)()
    with pytest.raises(InputError, match="before fit"):
        trainer.predict(arrays()["X"])
    trainer.fit(arrays()["X"], arrays()["y"])
    refusal("died", trainer.step, *arrays().values(), **OPTIONS)
    assert "what it had learned" in refusal("died", trainer.predict, arrays()["X"])


@pytest.mark.parametrize("given", ["", [], "'", [1], "a\0b"])
def test_a_command_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(InputError, match=r"^command="):
        process(given)


def test_a_program_that_cannot_be_found_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"given as './name'"):
        process("trainer --flag")
    with pytest.raises(InputError, match="is it built"):
        process("./trainer")
    script = tmp_path / "trainer"
    script.write_text("no program\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"chmod \+x"):
        process("./trainer")
    script.chmod(0o755)
    with pytest.raises(InputError, match=r"is './trainer'"):
        process("trainer")
    message = refusal("died", process("./trainer"))
    assert "exit code 126" in message
    assert "format" in message  # as the system says it


def test_a_name_of_the_command_line_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    spec = "process:" + " ".join([sys.executable, "-I", CHILD, "chatter"])
    with SpawnedTrainer(spec, time_limit=LIMIT) as spawned:
        given = arrays()
        np.testing.assert_array_equal(spawned.call("step", given, OPTIONS), 2 * given["W"])
        assert spawned.take_output().stderr.endswith("the end of it\n")
        assert "process:pipe_child.py" in " ".join(spawned.source_hashes())
    assert "command=''" in refusal("import", SpawnedTrainer, "process:", time_limit=LIMIT)


@linux
def test_a_child_ends_with_a_process_that_is_killed() -> None:
    program = textwrap.dedent(f"""
        import os, signal
        from mimverify.adapt import process
        source = process({command()!r})
        source()
        print(source._idle[-1].pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    pid = int(done.stdout)
    assert wait_until(lambda: not is_running(pid), 20.0)


# --- The reader alone ---

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON_VALUES = SCALARS | st.lists(SCALARS, max_size=4)
KEYS = ("answer", "error", "shape", "dtype", "protocol", "methods", "losses", "random_state")


@given(st.binary(max_size=200))
def test_any_line_is_an_answer_or_a_trainers_error(line: bytes) -> None:
    with pytest.raises(TrainerError):
        read(line)


# How long drawing takes is the machine's affair: the first draw compiles the strategies.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(KEYS), JSON_VALUES),
    st.sampled_from(["step", "hello", None]),
)
def test_any_header_is_an_answer_or_a_trainers_error(
    header: dict[str, Any], answer: str | None
) -> None:
    if answer is not None:
        header["answer"] = answer
    try:
        found, size = read(json.dumps(header).encode() + b"\n")
    except TrainerError:
        pass
    else:
        assert found["shape"] == [M, D]
        assert size == M * D * int(found["dtype"].removeprefix("float")) // 8
    try:
        hello = Hello.of(header, "child")
    except TrainerError:
        pass
    else:
        assert hello.methods


def test_bytes_of_the_wire() -> None:
    """The example of docs/protocol.md."""
    given = {"X": np.array([[1.0, -2.0]]), "y": np.array([0.5])}
    request = method_request("fit", given, {"random_state": 7})
    header, *data = (bytes(part) for part in request.parts)
    assert json.loads(header) == {
        "request": "fit", "dtype": "float64", "n": 1, "d": 2, "random_state": 7, "bytes": 24
    }  # fmt: skip
    page = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert header.decode() in page
    assert b"".join(data).hex(" ", 8) in page
    answered = array_of({"dtype": "float32", "shape": [1, 2]}, bytes.fromhex("0000803f000000c0"))
    np.testing.assert_array_equal(answered, np.array([[1, -2]], np.float32), strict=True)


def test_arrays_that_contradict_each_other_are_not_sent() -> None:
    given = arrays()
    with pytest.raises(InputError, match=r"b: of shape \(5,\), expected m=4"):
        method_request("step", {**given, "b": given["y"]}, OPTIONS)
    with pytest.raises(InputError, match="steps"):
        method_request("trajectory", {"W0": given["W"]}, {"steps": -1})
