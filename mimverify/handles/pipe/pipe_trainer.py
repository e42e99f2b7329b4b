"""The trainer that a child process is, as an object with methods."""

from __future__ import annotations

import os
import shlex
import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from mimverify.handles.methods import SIGNATURES
from mimverify.handles.pipe.child_process import ChildProcess
from mimverify.handles.pipe.pipe_messages import (
    FIRST_LAYER_REQUEST,
    Hello,
    Request,
    array_of,
    counts_of,
    hello_request,
    method_request,
)
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError, TrainerError
from mimverify.support.strict_json import Json
from mimverify.support.validation import seconds

__all__ = ["PREFIX", "PipeSource", "PipeTrainer"]

#: What the name of such a trainer begins with on the command line.
PREFIX = "process:"

_START_LIMIT = 60.0  # s; an interpreter and its libraries from a cold disk
_FIRST_LAYER = "first_layer_"
_NOT_FITTED = "predict: called before fit, or fit failed"


class PipeSource:
    """Makes trainers that are answered by a child process: called without arguments, a new one.

    Children are started when they are needed and outlive a trainer: the next one takes over the
    child of one that was dropped. Two trainers that live at the same time have a child each.

    **Arguments**

    - `command`: the program and its arguments, as a list or as a line that is split like a shell's
      words. No shell is started.
    - `time_limit`: seconds that one call may take; None for no limit of its own.

    **Raises** `InputError` for no command, or a program that cannot be found.
    """

    def __init__(self, command: str | Sequence[str], *, time_limit: float | None = None) -> None:
        self.command = _words(command)
        self.time_limit = None if time_limit is None else seconds("time_limit", time_limit)
        self.__qualname__ = PREFIX + shlex.join(self.command)  # what messages call it
        self._idle: list[ChildProcess] = []
        self._hello: Hello | None = None

    def __call__(self) -> PipeTrainer:
        """**Raises** `TrainerError` where the program does not start, or answers hello wrongly."""
        if self._hello is None:
            self.give_back(self.take())
        assert self._hello is not None
        return PipeTrainer(self, self._hello)

    def __reduce__(self) -> tuple[Callable[..., PipeSource], tuple[object, ...]]:
        return _source, (self.command, self.time_limit)

    def __deepcopy__(self, memo: object) -> PipeSource:
        return self  # its children are shared by whoever needs one

    def take(self) -> ChildProcess:
        """A child that nobody else speaks to until it is given back."""
        while self._idle:
            child = self._idle.pop()
            if child.usable:
                return child
        child = ChildProcess(self.command)
        try:
            header, _ = child.exchange(hello_request(), self._limit(_START_LIMIT))
            self._hello = Hello.of(header, child.program)
        except BaseException:
            child.close()
            raise
        return child

    def give_back(self, child: ChildProcess) -> None:
        """Leave a child to the next trainer."""
        if child.usable:
            self._idle.append(child)

    def _limit(self, least: float) -> float | None:
        return None if self.time_limit is None else max(self.time_limit, least)

    @property
    def files(self) -> tuple[str, ...]:
        """Words of the command that are files: the program, and perhaps a script."""
        found = [shutil.which(self.command[0]), *self.command[1:]]
        return tuple(path for path in found if path and os.path.isfile(path))


class PipeTrainer:
    """One trainer of a `PipeSource`; it has the methods that the child says it has.

    A copy repeats the fit, from the same `random_state`, before its first prediction: what was
    trained is in the child.
    """

    def __init__(self, source: PipeSource, hello: Hello) -> None:
        self._source, self._hello = source, hello
        self._child: ChildProcess | None = None
        self._fitted: dict[str, NumpyArray] | None = None
        self._fitted_in: ChildProcess | None = None
        self._seed: int | None = None
        self.__qualname__ = source.__qualname__
        for name, values in hello.declared.items():
            setattr(self, name, values)
        if hello.random_state:
            self.random_state: int | None = None

    def __getattr__(self, name: str) -> Any:  # a method, or an array
        hello = self.__dict__.get("_hello")
        if hello is not None and name in hello.methods and name in SIGNATURES:
            return partial(self._method, name)
        if hello is not None and name == _FIRST_LAYER and FIRST_LAYER_REQUEST in hello.methods:
            self._fit_again()
            return self._array(method_request(FIRST_LAYER_REQUEST, {}, {}))
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __deepcopy__(self, memo: object) -> PipeTrainer:
        rebuild, state = self.__reduce__()
        return rebuild(*state)

    def __reduce__(self) -> tuple[Callable[..., PipeTrainer], tuple[object, ...]]:
        if self._fitted is not None and not self._hello.random_state:
            raise TypeError(
                "what was fitted is in the child, and a repeated fit may give another one: the "
                "program declares no random_state"
            )
        state = (self._source, self._hello, self.__dict__.get("random_state"), self._fitted,
                 self._seed)  # fmt: skip
        return _copy, state

    def _method(self, name: str, *arrays: NumpyArray, **options: object) -> object:
        given = dict(zip(SIGNATURES[name].arrays, arrays, strict=True))
        if name == "fit":
            return self._fit(given)
        if name == "predict":
            if self._fitted is None:
                raise InputError(_NOT_FITTED)
            self._fit_again()
        request = method_request(name, given, options)
        if name == "operation_counts":
            return counts_of(self._exchange(request)[0])
        return self._array(request)

    def _fit(self, arrays: Mapping[str, NumpyArray]) -> PipeTrainer:
        self._fitted = self._fitted_in = None
        seed = self.random_state if self._hello.random_state else None
        self._seed = None if seed is None else int(seed)
        self._send_fit(arrays)
        # Whoever copies this trainer fits again; the caller's arrays may change until then.
        self._fitted = {name: array.copy() for name, array in arrays.items()}
        return self

    def _send_fit(self, arrays: Mapping[str, NumpyArray]) -> None:
        self._exchange(method_request("fit", arrays, {"random_state": self._seed}))
        self._fitted_in = self._child

    def _fit_again(self) -> None:
        """Of a copy: carry out the fit of the original."""
        if self._fitted is not None and self._fitted_in is None:
            self._send_fit(self._fitted)
        elif self._fitted is not None and not (self._fitted_in and self._fitted_in.usable):
            raise TrainerError(
                "died", "the process that was fitted has ended since, with what it had learned"
            )

    def _array(self, request: Request) -> NumpyArray:
        return array_of(*self._exchange(request))

    def _exchange(self, request: Request) -> tuple[Json, bytearray]:
        if self._child is None or not self._child.usable:
            self._child = self._source.take()
            weakref.finalize(self, self._source.give_back, self._child)
        return self._child.exchange(request, self._source.time_limit)


def _words(command: str | Sequence[str]) -> tuple[str, ...]:
    try:
        words = shlex.split(command) if isinstance(command, str) else list(command)
    except (ValueError, TypeError) as error:
        raise InputError(f"command={command!r}: {error}") from None
    if not words or not all(isinstance(word, str) and word and "\0" not in word for word in words):
        raise InputError(f"command={command!r}: expected a program and its arguments")
    if shutil.which(words[0]) is None:
        hint = " on PATH; one in this folder is given as './name'"
        if os.path.isfile(words[0]):
            hint = f" that may be executed: chmod +x {words[0]}, or name its interpreter first"
            if os.sep not in words[0] and os.access(words[0], os.X_OK):
                hint = f" of that name on PATH; the one in this folder is './{words[0]}'"
        elif os.sep in words[0]:
            hint = "; is it built?"
        raise InputError(f"command={shlex.join(words)!r}: there is no program {words[0]!r}{hint}")
    return tuple(words)


def _source(command: tuple[str, ...], time_limit: float | None) -> PipeSource:
    return PipeSource(command, time_limit=time_limit)


def _copy(
    source: PipeSource,
    hello: Hello,
    random_state: int | None,
    fitted: dict[str, NumpyArray] | None,
    seed: int | None,
) -> PipeTrainer:
    copied = PipeTrainer(source, hello)
    if hello.random_state:
        copied.random_state = random_state
    copied._fitted = None if fitted is None else {name: a.copy() for name, a in fitted.items()}
    copied._seed = seed
    return copied
