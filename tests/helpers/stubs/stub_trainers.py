"""Correct and faulty trainers, for the tests of the two handles.

What `Scripted.step` does is chosen by `activation`, so that one worker serves many tests.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from mimverify.support.arrays import NumpyArray


def hang() -> None:
    """Sleep, ignoring SIGINT and SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    pid_file = os.environ.get("STUB_PID_FILE")
    if pid_file:
        with open(f"{pid_file}.part", "w", encoding="utf-8") as stream:
            stream.write(str(os.getpid()))
        os.rename(f"{pid_file}.part", pid_file)
    time.sleep(60)


def grandchild() -> None:
    """Start a process that outlives the worker if that alone is killed, then hang."""
    code = "import time; time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-S", "-c", code])
    with open(os.environ["STUB_PID_FILE"], "w", encoding="utf-8") as stream:
        stream.write(str(child.pid))
    time.sleep(60)


def fork_and_die() -> None:
    """Exit, but leave a child that holds the worker's socket open."""
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    os._exit(4)


def chatter() -> None:
    """Print more than an unread pipe holds."""
    for stream in (sys.stdout, sys.stderr):
        stream.write("blah " * 300_000)
        stream.flush()
    os.write(1, b'{"result": null}\n')


def abort_with_message() -> None:
    print("first line", file=sys.stderr)
    print("assertion failed in kernel 7", file=sys.stderr)
    os.abort()


def wait_for_children() -> None:
    """Wait for every process that this one has started."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


def interrupt_parent() -> None:
    os.kill(os.getppid(), signal.SIGINT)
    time.sleep(60)


ACTIONS: dict[str, Callable[[], object]] = {
    "hang": hang,
    "grandchild": grandchild,
    "fork-and-die": fork_and_die,
    "fork": os.fork,
    "chatter": chatter,
    "last-words": abort_with_message,
    "wait": wait_for_children,
    "interrupt-parent": interrupt_parent,
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "sys-exit": lambda: sys.exit("enough"),
    "warn": lambda: warnings.warn("careful", stacklevel=1),
}


class Scripted:
    """Does what `activation` says, then returns (1 - eta) W."""

    activations: ClassVar[list[str]] = ["square", *ACTIONS]
    losses = ("squared",)
    dtypes: ClassVar[list[str]] = ["float32", "float64"]
    random_state: int | None = None

    def __init__(self) -> None:
        self.calls = 0

    def step(
        self, W: NumpyArray, a: NumpyArray, b: NumpyArray, X: NumpyArray, y: NumpyArray, *,
        eta: float, beta: float, activation: str, loss: str,
    ) -> Any:  # fmt: skip
        self.calls += 1
        if activation == "raise":
            raise ValueError(f"eta={eta} is too large\nsecond line")
        if activation == "interrupt":
            raise KeyboardInterrupt
        if activation == "shape":
            return W.T
        if activation == "nan":
            W[1, 2] = np.nan
            return W
        if activation == "mutate":
            for array in (W, a, b, X, y):
                array[...] = -1
            return W
        if activation == "sum":  # shows which X was received
            return np.full_like(W, X.sum())
        ACTIONS.get(activation, lambda: None)()
        W *= 1 - eta
        return W

    def trajectory(
        self, W0: NumpyArray, a: NumpyArray, b: NumpyArray, X: NumpyArray, y: NumpyArray, *,
        steps: int, eta: float, beta: float, activation: str, loss: str,
    ) -> NumpyArray:  # fmt: skip
        return np.stack([W0 * (1 - eta) ** t for t in range(steps + 1)])

    def fit(self, X: NumpyArray, y: NumpyArray) -> Scripted:
        self.mean = y.mean()
        return self

    def operation_counts(self) -> dict[str, int]:
        return {"multiply_adds": self.calls, "design_passes": 2 * self.calls}

    def predict(self, X: NumpyArray) -> NumpyArray:
        """The seed, the number of calls, the mean from `fit`, and parts of the environment."""
        facts = [
            -1 if self.random_state is None else self.random_state,
            self.calls,
            getattr(self, "mean", -1.0),
            int(os.environ.get("OMP_NUM_THREADS", "-1")),
            int(os.environ.get("PYTHONPATH", "") == "/stub/path"),
        ]
        return np.resize(facts, (len(X), 1))


class TorchTrainer:
    """Returns a tensor that requires grad: W plus the number of threads."""

    def __init__(self) -> None:
        import torch

        self.torch = torch

    def step(
        self,
        W: NumpyArray,
        a: NumpyArray,
        b: NumpyArray,
        X: NumpyArray,
        y: NumpyArray,
        **options: Any,
    ) -> Any:
        weights = self.torch.tensor(W, requires_grad=True)
        return weights + self.torch.get_num_threads()


class SlowToConstruct:
    def __init__(self) -> None:
        hang()

    def predict(self, X: NumpyArray) -> NumpyArray:
        return X[:, 0]


class BadDeclaration:
    losses = "squared"

    def predict(self, X: NumpyArray) -> NumpyArray:
        return X[:, 0]


class NeedsArguments:
    def __init__(self, width: int) -> None:
        self.width = width

    def predict(self, X: NumpyArray) -> NumpyArray:
        return X[:, 0]


class Nothing:
    """No trainer at all."""


def factory() -> Scripted:
    return Scripted()


nested = SimpleNamespace(deeper=SimpleNamespace(Trainer=Scripted))
instance = Scripted()


#: Facts about an array's memory, each a power of two in what `ReportsMemory` returns.
MEMORY_FACTS: tuple[Callable[[NumpyArray], bool], ...] = (
    lambda array: bool(array.flags.c_contiguous),
    lambda array: bool(array.flags.f_contiguous),
    lambda array: bool(array.flags.writeable),
    lambda array: bool(array.flags.aligned),
    lambda array: any(stride < 0 for stride in array.strides),
    lambda array: isinstance(array.base, np.ndarray) and array.base.nbytes > array.nbytes,
)


def memory_code(*arrays: NumpyArray) -> float:
    """The facts of all arrays in one number, and whether any two share their memory."""
    code = 0
    for array in arrays:
        code = code << len(MEMORY_FACTS) | sum(
            fact(array) << place for place, fact in enumerate(MEMORY_FACTS)
        )
    shared = any(
        np.may_share_memory(one, other)
        for place, one in enumerate(arrays)
        for other in arrays[:place]
    )
    return float(2 * code + shared)


class ReportsMemory:
    """Returns `memory_code` of its arguments, and their sum."""

    def fit(self, X: NumpyArray, y: NumpyArray) -> None:
        self.fitted = memory_code(X, y), float(X.sum() + y.sum())

    def predict(self, X: NumpyArray) -> NumpyArray:
        return np.resize([*self.fitted, memory_code(X), X.sum()], len(X))

    def step(self, W: NumpyArray, *arrays: NumpyArray, **_: object) -> NumpyArray:
        total = float(sum(array.sum() for array in (W, *arrays)))
        return np.resize([memory_code(W, *arrays), total], W.shape)

    def trajectory(self, W: NumpyArray, *arrays: NumpyArray, steps: int, **_: object) -> NumpyArray:
        return np.stack([self.step(W, *arrays)] * (steps + 1))


class ChangesMemory:
    """Changes what is not its own, as `activation` says; `fit` and `predict` say it by y[0]."""

    buffer: NumpyArray = np.zeros(0)
    kept: NumpyArray

    def step(
        self, W: NumpyArray, a: NumpyArray, b: NumpyArray, X: NumpyArray, y: NumpyArray,
        *, activation: str, **_: object,
    ) -> NumpyArray:  # fmt: skip
        if activation == "returns-W":
            return W
        if activation == "buffer":
            if self.buffer.shape != W.shape:
                self.buffer = np.zeros(W.shape)
            self.buffer[...] = W
            return self.buffer
        if activation == "earlier":
            self.kept[0, 0] += 1
        elif activation == "beside":
            memory = X.base
            assert isinstance(memory, np.ndarray)
            memory[0, -1] += 1
        elif activation in ("W", "a", "b", "X", "y"):
            chosen = {"W": W, "a": a, "b": b, "X": X, "y": y}[activation]
            chosen.setflags(write=True)
            chosen[(-1,) * chosen.ndim] *= -1
        self.kept = X
        return W.copy()

    def trajectory(self, W: NumpyArray, *arrays: NumpyArray, steps: int, **options: Any) -> object:
        return np.stack([self.step(W, *arrays, **options)] * (steps + 1))

    def fit(self, X: NumpyArray, y: NumpyArray) -> None:
        y[0] = -y[0]

    def predict(self, X: NumpyArray) -> NumpyArray:
        X.sort(axis=0)
        return np.zeros(len(X))
