"""The process in which an isolated trainer runs, and the shared memory that it uses.

Started by `mimverify.handles.isolated` through `mimverify.handles.launcher`; of no use on its
own. Requests and replies are lines of JSON on a socket; arrays travel through two blocks of
shared memory, one per direction. POSIX only.

Requests are `load` (import the source), `fresh` (construct a trainer), `call` and `sources` (hash
its files). A reply holds `result`, or `error` with kind, message and traceback of a
`TrainerError`; and `warnings`, where there were any, and `changes`, where a watched call changed
what is not its own. What the trainer prints is on two pipes.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import math
import mmap
import os
import socket
import sys
from collections.abc import Callable, Sequence

import numpy as np

from mimverify.handles.calling import call
from mimverify.handles.capabilities import describe
from mimverify.handles.construction import load_source, new_trainer
from mimverify.handles.framing import decode, encode
from mimverify.handles.memory_watch import MemoryWatch
from mimverify.handles.operations import OPERATIONS, label, operate
from mimverify.handles.own_methods import methods_from_json, with_own
from mimverify.handles.source_hashes import program_hashes, source_hashes
from mimverify.handles.tracebacks import trainer_error
from mimverify.handles.warning_log import WarningLog
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError, TrainerError
from mimverify.support.importing import adopt_search_path, find_in_folder, summarise
from mimverify.support.strict_json import Json
from mimverify.support.threads import set_library_threads

__all__ = ["Segment", "main"]

_C_LIBRARY = ctypes.CDLL(None)


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
        """Grow the file to at least `nbytes`."""
        if os.fstat(self._descriptor).st_size < nbytes:
            pages = math.ceil(nbytes / mmap.PAGESIZE)
            os.ftruncate(self._descriptor, pages * mmap.PAGESIZE)

    def view(self, dtype: str, shape: Sequence[int], offset: int) -> NumpyArray:
        """The array at `offset`, not a copy: drop it before the segment changes its size."""
        end = offset + np.dtype(dtype).itemsize * math.prod(shape)
        self.reserve(max(end, 1))  # an empty file cannot be mapped, an empty array can be sent
        return np.ndarray(tuple(shape), dtype, buffer=self._mapped(), offset=offset)

    def trim(self, keep: int) -> None:
        """Release the memory if it is more than `keep` bytes."""
        if os.fstat(self._descriptor).st_size > keep:
            self.unmap()
            os.ftruncate(self._descriptor, 0)

    def unmap(self) -> None:
        """Drop the mapping, which holds a descriptor of its own."""
        if self._map is not None:
            with contextlib.suppress(BufferError):  # a view still exists, and keeps the mapping
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
        self._signatures = with_own(None)
        self._module = ""
        self._watch = MemoryWatch()
        self._log = WarningLog()
        self._log.listen()
        self._handlers: dict[str, Callable[[Json], object]] = {
            "load": self._load,
            "fresh": self._fresh,
            "call": self._call,
            "sources": self._sources,
        }

    def answer(self, request: Json) -> Json:
        reply = self._reply(request)
        _flush()
        output, changes = self._log.take(), self._watch.take()
        if output:
            reply["warnings"] = output.to_json()
        if changes:
            reply["changes"] = list(changes)
        return reply

    def _reply(self, request: Json) -> Json:
        try:
            return {"result": self._handlers[request["op"]](request)}
        except TrainerError as error:
            return _failure(error)
        except InputError as error:
            return {"error": {"kind": "input", "message": str(error)}}
        except BaseException as error:  # a KeyboardInterrupt here was raised by the trainer
            what = label(request["method"]) if "method" in request else request["op"]
            return _failure(trainer_error("raised", f"{what} raised {summarise(error)}", error))

    def _load(self, request: Json) -> None:
        adopt_search_path(request["path"], request["pythonpath"])
        self._threads = request["threads"]
        self._signatures = with_own(methods_from_json(request["methods"]))
        for name, folder in request["folders"].items():
            find_in_folder(name, folder)
        self._module = request["spec"].partition(":")[0]
        self._source = load_source(request["spec"])
        self._limit_libraries()

    def _fresh(self, request: Json) -> Json:
        self._trainer = None
        self._watch.forget()
        self._trainer = new_trainer(self._source, request["random_state"], self._signatures)
        self._limit_libraries()
        return describe(self._trainer, self._signatures).to_json()

    def _call(self, request: Json) -> Json | None:
        arrays = {
            name: self._inbox.view(item["dtype"], item["shape"], item["offset"])
            for name, item in request["arrays"].items()
        }
        if request["method"] in OPERATIONS:
            self._trainer, result = operate(self._trainer, request["method"])
        else:
            result = call(
                self._trainer, request["method"], arrays, request["options"], self._signatures,
                form=request["form"], watch=self._watch if request["watched"] else None,
            )  # fmt: skip
        if result is None:
            return None
        description: Json = {"dtype": result.dtype.str, "shape": result.shape, "offset": 0}
        np.copyto(self._outbox.view(**description), result)
        return description

    def _sources(self, request: Json) -> dict[str, str]:
        modules = (self._module, type(self._trainer).__module__)
        return source_hashes(modules, alone=True) | program_hashes(self._source)

    def _limit_libraries(self) -> None:
        """Torch may have been imported before the environment variables were set."""
        if self._threads is not None:
            set_library_threads(self._threads)


def _failure(error: TrainerError) -> Json:
    found = {"kind": error.kind, "message": str(error), "traceback": error.traceback}
    return {"error": found}


def _prepare_output() -> None:
    """Standard output arrives line by line, as on a terminal: a call that hangs has said where."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")


def _flush() -> None:
    """Write what the trainer printed, from Python or from C, to the pipes."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the trainer may have replaced or closed it
            stream.flush()
    with contextlib.suppress(Exception):
        _C_LIBRARY.fflush(None)


def main(arguments: Sequence[str]) -> int:
    """Serve until the other end closes the connection.

    **Arguments**

    - `arguments`: descriptors of the socket, of the shared memory for arguments and of that for
      results.
    """
    channel_fd, inbox_fd, outbox_fd = map(int, arguments)
    for descriptor in (channel_fd, inbox_fd, outbox_fd):
        os.set_inheritable(descriptor, False)  # not inherited by processes that the trainer starts
    _prepare_output()
    server = _Server(Segment(inbox_fd), Segment(outbox_fd))
    pid = os.getpid()
    with socket.socket(fileno=channel_fd) as channel, channel.makefile("rb") as requests:
        for line in requests:
            reply = server.answer(decode(line, "a request"))
            if os.getpid() != pid:  # a child that the trainer's construction forked
                os._exit(0)
            try:
                channel.sendall(encode(reply))
            except (BrokenPipeError, ConnectionResetError):
                break
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
