"""The process in which an isolated trainer runs, and what both of its ends share.

Started by `mimverify.handles.isolated` as `python -m mimverify.handles.worker`; of no use on its
own. Requests and replies are lines of JSON on a socket; arrays travel through two blocks of
shared memory, one per direction. POSIX only.

Requests are `load` (import the source), `fresh` (construct a trainer) and `call`. A reply
holds `result`, or `error` with the kind and message of a `TrainerError`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.handles.calling import call
from mimverify.handles.capabilities import describe
from mimverify.handles.construction import load_source, new_trainer
from mimverify.support.errors import InputError, TrainerError
from mimverify.support.importing import summarise

__all__ = ["Segment", "encode", "main"]

Array = NDArray[Any]
Message = dict[str, Any]


def encode(message: Mapping[str, Any]) -> bytes:
    """`message` as one line. NumPy scalars become Python ones; **raises** `TypeError` for
    anything else that JSON cannot hold."""

    def plain(value: object) -> object:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"expected a number or a name, got {value!r}")

    return json.dumps(message, default=plain).encode() + b"\n"


class Segment:
    """A block of memory behind an open file, which two processes map.

    Either end may grow or shrink the file, but only while the other one waits: an access to
    a page that was cut off is a bus error. The descriptor stays the caller's to close.

    **Arguments**

    - `descriptor`: of a file that can be mapped for reading and writing.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    def reserve(self, nbytes: int) -> None:
        """Make room for at least `nbytes`."""
        if os.fstat(self._descriptor).st_size < nbytes:
            pages = math.ceil(nbytes / mmap.PAGESIZE)
            os.ftruncate(self._descriptor, pages * mmap.PAGESIZE)

    def view(self, dtype: str, shape: Sequence[int], offset: int) -> Array:
        """The array at `offset`, not a copy: drop it before the segment changes its size."""
        end = offset + np.dtype(dtype).itemsize * math.prod(shape)
        self.reserve(max(end, 1))  # an empty file cannot be mapped, an empty array can be sent
        return np.ndarray(tuple(shape), dtype, buffer=self._mapped(), offset=offset)

    def trim(self, keep: int) -> None:
        """Give the memory back if it is more than `keep` bytes."""
        if os.fstat(self._descriptor).st_size > keep:
            self.unmap()
            os.ftruncate(self._descriptor, 0)

    def unmap(self) -> None:
        """Let go of the mapping, which holds a descriptor of its own."""
        if self._map is not None:
            with contextlib.suppress(BufferError):  # a view lives on, and with it the mapping
                self._map.close()
            self._map = None

    def _mapped(self) -> mmap.mmap:
        size = os.fstat(self._descriptor).st_size
        if self._map is None or len(self._map) != size:
            self.unmap()
            self._map = mmap.mmap(self._descriptor, size)
        return self._map


class _Server:
    """Answers requests, one after the other."""

    def __init__(self, inbox: Segment, outbox: Segment) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._source: object = None
        self._trainer: object = None
        self._threads: int | None = None
        self._handlers: dict[str, Callable[[Message], object]] = {
            "load": self._load,
            "fresh": self._fresh,
            "call": self._call,
        }

    def answer(self, request: Message) -> Message:
        try:
            return {"result": self._handlers[request["op"]](request)}
        except TrainerError as error:
            return _failure(error.kind, str(error))
        except InputError as error:
            return _failure("input", str(error))
        except BaseException as error:  # a KeyboardInterrupt here is the trainer's own doing
            what = f"{request['method']}()" if "method" in request else request["op"]
            return _failure("raised", f"{what} raised {summarise(error)}")

    def _load(self, request: Message) -> None:
        sys.path[:] = request["path"]
        # PYTHONPATH only had to lead here. A process that the trainer starts, another
        # version of Python perhaps, must find it as the user set it.
        os.environ.pop("PYTHONPATH", None)
        if request["pythonpath"] is not None:
            os.environ["PYTHONPATH"] = request["pythonpath"]
        self._threads = request["threads"]
        self._source = load_source(request["spec"])
        self._limit_torch()

    def _fresh(self, request: Message) -> Message:
        self._trainer = None
        self._trainer = new_trainer(self._source, request["random_state"])
        self._limit_torch()
        return describe(self._trainer).to_json()

    def _call(self, request: Message) -> Message | None:
        arrays = {
            name: self._inbox.view(item["dtype"], item["shape"], item["offset"])
            for name, item in request["arrays"].items()
        }
        result = call(self._trainer, request["method"], arrays, request["options"])
        if result is None:
            return None
        description: Message = {"dtype": result.dtype.str, "shape": result.shape, "offset": 0}
        np.copyto(self._outbox.view(**description), result)
        return description

    def _limit_torch(self) -> None:
        """Torch may have been set up before it could see the environment variables."""
        torch = sys.modules.get("torch")
        if self._threads is not None and torch is not None:
            torch.set_num_threads(self._threads)


def _failure(kind: str, message: str) -> Message:
    return {"error": {"kind": kind, "message": message}}


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process when the thread that started it ends.

    Best effort, Linux only. Elsewhere an idle worker still notices the closed socket.
    """
    if not sys.platform.startswith("linux"):
        return
    set_death_signal = 1  # PR_SET_PDEATHSIG
    try:
        ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL), 0, 0, 0)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:  # it ended before the request was made
        os._exit(0)


def main(arguments: Sequence[str]) -> int:
    """Serve until the other end hangs up.

    **Arguments**

    - `arguments`: descriptors of the socket, of the memory for what comes in and of that for
      what goes out; the id of the process to die with, or 0.
    """
    channel_fd, inbox_fd, outbox_fd, parent = map(int, arguments)
    for descriptor in (channel_fd, inbox_fd, outbox_fd):
        os.set_inheritable(descriptor, False)  # not for the trainer's own children
    if parent:
        _die_with(parent)
    server = _Server(Segment(inbox_fd), Segment(outbox_fd))
    pid = os.getpid()
    with socket.socket(fileno=channel_fd) as channel, channel.makefile("rb") as requests:
        for line in requests:
            reply = server.answer(json.loads(line))
            if os.getpid() != pid:  # a fork that the trainer made came back from its method
                os._exit(0)
            try:
                channel.sendall(encode(reply))
            except (BrokenPipeError, ConnectionResetError):
                break
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
