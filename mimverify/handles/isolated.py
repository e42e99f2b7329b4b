"""A trainer in a process of its own, so that hangs, crashes and output stay there.

`SpawnedTrainer` is a `mimverify.handles.handle.TrainerHandle`. Its worker,
`mimverify.handles.worker`, is a new interpreter: no fork of a process with threads, no pickle.
Commands are JSON on a socket, arrays lie in shared memory. The worker leads a session and a
process group of its own, so that Ctrl-C does not reach it and that the processes it starts end
with it: also, on Linux, where this process is killed. POSIX only.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from mimverify.handles.calling import check_call
from mimverify.handles.capabilities import Capabilities
from mimverify.handles.construction import check_random_state
from mimverify.handles.framing import decode, encode, read_line
from mimverify.handles.launcher import launch_command
from mimverify.handles.memory_forms import PLAIN
from mimverify.handles.methods import Arrays, Options
from mimverify.handles.operations import OPERATIONS, label
from mimverify.handles.output_tail import OutputTail
from mimverify.handles.own_methods import Method, with_own
from mimverify.handles.process_end import how_it_ended, open_pidfd
from mimverify.handles.trainer_output import TrainerOutput, last_lines
from mimverify.handles.worker import Segment
from mimverify.support.arrays import NumpyArray
from mimverify.support.closing import Closing
from mimverify.support.errors import InputError, TrainerError
from mimverify.support.importing import search_path, visible
from mimverify.support.strict_json import Json
from mimverify.support.threads import thread_environment
from mimverify.support.validation import parallel_count, seconds

__all__ = ["SpawnedTrainer"]

_LOAD_LIMIT = 60.0  # s; importing a large library from a cold disk takes long
_LEAST_LIMIT = 1.0  # s; even past the deadline, so that a call that is nearly done may finish
_EXIT_GRACE = 1.0  # s; for the exit handlers of the trainer's libraries
_REAP_LIMIT = 10.0  # s; a killed process ends at once, unless a driver holds it
_POLL_INTERVAL = 0.05  # s; between checks of the process where it cannot be polled
_POLL_MAX = 3600.0  # s; poll() counts milliseconds in an int
_MOST_TIMEOUTS = 2  # of a method that has returned before
_MEMORY_KEEP = 1 << 24  # bytes of shared memory kept from one example to the next
_ALIGNMENT = 64  # bytes; a cache line, and the widest vector register


class SpawnedTrainer(Closing):
    """A trainer that runs in a worker process.

    The worker is started at once. After a time-out or a death the next `fresh` or `call`
    starts another one; a `call` without `fresh` first makes a new trainer with the last
    `random_state`. A method that hung twice, or at its first call, is not called again.

    Arrays that are passed repeatedly should be read-only and own their data: as long as the
    same object is passed for the same argument it is not copied again.

    **Arguments**

    - `spec`: `"module:attribute"`, see `load_source`. The worker can import whatever this
      process can, and from the current directory: see `load_attribute`.
    - `time_limit`: seconds that one call may take. Import and construction may take 60 s if
      that is more.
    - `threads`: threads for BLAS, OpenMP and Torch in the worker; None leaves their defaults.
    - `methods`: that it may offer beyond `SIGNATURES`.
    - `folders`: of top-level modules that are found there and nowhere else, by name.

    `deadline`, a time of `time.monotonic()` or None, aborts calls earlier than the time limit
    would, without counting as a time-out of the method.

    **Raises** `InputError` for bad arguments; `TrainerError`, as all its methods may, of the
    kinds of `load_source`, `new_trainer` and `call`, and `"timeout"`, `"deadline"` and
    `"died"`.
    """

    deadline: float | None = None

    def __init__(
        self,
        spec: str,
        *,
        time_limit: float,
        threads: int | None = None,
        methods: Mapping[str, Method] | None = None,
        folders: Mapping[str, str] | None = None,
    ) -> None:
        self._name = spec
        self._methods, self._folders = dict(methods or {}), dict(folders or {})
        self._signatures = with_own(methods)
        self._limit = seconds("time_limit", time_limit)
        self._threads = None if threads is None else parallel_count("threads", threads)
        self._random_state: int | None = None
        self._closed = False
        self._constructed = False
        self._timeouts: Counter[str] = Counter()
        self._returned: set[str] = set()
        self._output = TrainerOutput()
        self._changes: tuple[str, ...] = ()
        self._worker: _Worker | None = None
        self._finalizer: weakref.finalize[[], SpawnedTrainer] | None = None
        try:
            self._capabilities = self._construct()
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def pid(self) -> int | None:
        """Process id of the running worker, None if there is none."""
        return None if self._worker is None else self._worker.pid

    def fresh(self, random_state: int | None) -> None:
        """Replace the trainer by a new one, in a new worker if the last one ended.

        **Raises** `TrainerError` of kind `"import"`, `"construct"`, `"timeout"` or `"died"`;
        `InputError` for a seed that is not one or a closed handle.
        """
        self._check_open()
        check_random_state(random_state)
        self._random_state = random_state
        self._construct()

    def call(
        self,
        method: str,
        arrays: Arrays,
        options: Options,
        *,
        form: str = PLAIN,
        watched: bool = False,
    ) -> NumpyArray | None:
        """As `TrainerHandle.call`; the worker lays out the arrays, and compares them.

        **Raises** what that raises, and `TrainerError` of kind `"timeout"` or `"died"`.
        """
        self._check_open()
        if method not in OPERATIONS:
            check_call(method, arrays, options, self._signatures)
            if method not in self._capabilities.methods:
                raise InputError(f"method={method!r}: {self._name} does not offer it")
        self._refuse_what_hung(label(method))
        if not self._constructed:
            self._construct()
        worker = self._running()
        message = {
            "op": "call",
            "method": method,
            "arrays": worker.inbox.put(arrays),
            "options": dict(options),
            "form": form,
            "watched": watched,
        }
        result = self._request(label(method), message, self._limit, deadline=self.deadline)
        if result is None:
            return None
        return np.array(worker.outbox.view(result["dtype"], result["shape"], result["offset"]))

    def take_changes(self) -> tuple[str, ...]:
        """See `TrainerHandle.take_changes`."""
        changes, self._changes = self._changes, ()
        return changes

    def take_output(self) -> TrainerOutput:
        """What it warned of and printed since the last time; the last of it, if it was much."""
        output, self._output = self._output, TrainerOutput()
        return output

    def source_hashes(self) -> dict[str, str]:
        """SHA-256 of its source files, by module; **raises** `TrainerError`."""
        self._check_open()
        if not self._constructed:
            self._construct()
        hashes: dict[str, str] = self._request(
            f"reading the source of {self._name}", {"op": "sources"}, self._load_limit
        )
        return hashes

    def close(self) -> None:
        """End the worker, and whatever it started. May be called again."""
        self._closed = True
        self._drop_worker(_EXIT_GRACE)

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"trainer={self._name!r}: its handle is closed")

    def _construct(self) -> Capabilities:
        """A new trainer in the worker, with the last `random_state`."""
        self._constructed, self._changes = False, ()
        worker = self._running()
        worker.forget()
        message = {"op": "fresh", "random_state": self._random_state}
        described = self._request(f"the construction of {self._name}", message, self._load_limit)
        self._constructed = True
        return Capabilities.from_json(described, self._signatures)

    @property
    def _load_limit(self) -> float:
        return max(self._limit, _LOAD_LIMIT)

    def _running(self) -> _Worker:
        """The worker; a new one, with the source imported, if there is none."""
        if self._worker is None:
            self._refuse_what_hung(f"the import of {self._name}")
            self._worker = _Worker(self._threads)
            # A handle that is dropped without close() must not leave a process behind. The
            # callback may not refer to the handle, or that would never be dropped.
            self._finalizer = weakref.finalize(self, self._worker.stop)
            message = {
                "op": "load",
                "spec": self._name,
                "path": search_path(),
                "pythonpath": os.environ.get("PYTHONPATH"),
                "threads": self._threads,
                "methods": {name: each.to_json() for name, each in self._methods.items()},
                "folders": self._folders,
            }
            try:
                self._request(f"the import of {self._name}", message, self._load_limit)
            except BaseException:
                self._drop_worker()  # a worker without a source is of no use
                raise
        return self._worker

    def _request(
        self, what: str, message: Mapping[str, object], limit: float, deadline: float | None = None
    ) -> Any:  # Any: a value of JSON
        """Send a request to the running worker and return its result.

        An exception also ends the worker: a reply that arrived later would be taken for the
        reply to the next request.
        """
        assert self._worker is not None
        self._refuse_what_hung(what)
        try:
            line = encode(message)
        except TypeError as error:
            raise InputError(f"options={message.get('options')!r}: {error}") from error
        left = limit if deadline is None else max(deadline - time.monotonic(), _LEAST_LIMIT)
        try:
            reply = self._worker.exchange(what, line, min(limit, left))
            self._output += self._worker.take_output(reply.get("warnings"))
            self._changes += tuple(map(str, reply.get("changes", ())))
        except BaseException as error:
            self._output += self._worker.take_output()
            self._drop_worker()
            if isinstance(error, TrainerError) and error.kind == "timeout":
                if left < limit:
                    raise TrainerError("deadline", f"time was spent during {what}") from None
                self._timeouts[what] += 1
            raise
        self._returned.add(what)
        failure = reply.get("error")
        if failure is None:
            return reply["result"]
        if failure["kind"] == "input":
            raise InputError(failure["message"])
        raise TrainerError(failure["kind"], failure["message"], failure["traceback"])

    def _refuse_what_hung(self, what: str) -> None:
        # A method that never returned is not tried again: it would take the whole limit again.
        if self._timeouts[what] >= (_MOST_TIMEOUTS if what in self._returned else 1):
            raise TrainerError("timeout", f"{what} hung before; not called again")

    def _drop_worker(self, grace: float = 0.0) -> None:
        self._constructed = False
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(grace)
        if self._finalizer is not None:
            self._finalizer.detach()
            self._finalizer = None


def _environment(threads: int | None) -> dict[str, str]:
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)  # the worker's own modules are not looked for there
    if threads is not None:
        environment.update(thread_environment(threads))
    return environment


class _Inbox:
    """Arguments for the worker: a slot of shared memory for every name of an argument.

    Slots do not overlap, so the contents of one stay valid while others change.
    """

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self.clear()

    def clear(self) -> None:
        """Forget the slots and the arrays in them."""
        self._slots: dict[str, tuple[int, int]] = {}  # name: (offset, capacity)
        self._held: dict[str, NumpyArray] = {}
        self._end = 0

    def put(self, arrays: Arrays) -> dict[str, Json]:
        """Copy those of `arrays` that are not there yet into shared memory.

        **Returns** the arguments of `Segment.view` for each one.
        """
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
                raise InputError(f"{name}={array!r}: expected an array of real numbers")
        if any(name in self._slots and array.nbytes > self._slots[name][1]
               for name, array in arrays.items()):  # fmt: skip
            self.clear()  # slots are not moved: sizes change with the example only
        for name, array in arrays.items():
            if name not in self._slots:
                self._slots[name] = (self._end, array.nbytes)
                self._end += math.ceil(array.nbytes / _ALIGNMENT) * _ALIGNMENT
        self._segment.reserve(self._end)
        return {name: self._put_one(name, array) for name, array in arrays.items()}

    def _put_one(self, name: str, array: NumpyArray) -> Json:
        location: Json = {
            "dtype": array.dtype.str,
            "shape": array.shape,
            "offset": self._slots[name][0],
        }
        if self._held.get(name) is not array or not _is_frozen(array):
            self._held.pop(name, None)  # the slot no longer holds what it did
            np.copyto(self._segment.view(**location), array)
            if _is_frozen(array):
                # The reference keeps the array alive, so that no other one gets its id.
                self._held[name] = array
        return location


def _is_frozen(array: NumpyArray) -> bool:
    """Whether the contents of `array` cannot change: it is read-only, and so is what it is a
    view of."""
    owner: object = array
    while isinstance(owner, np.ndarray):
        if owner.flags.writeable:
            return False
        if owner.base is None:
            return True
        owner = owner.base
    try:
        with memoryview(owner) as buffer:  # type: ignore[arg-type]
            return buffer.readonly
    except (TypeError, ValueError, BufferError):  # it cannot be read
        return False


class _Worker:
    """A running worker process, its socket and shared memory, and what it prints."""

    def __init__(self, threads: int | None) -> None:
        self._owner = os.getpid()
        self._stopped = False
        self._reaped_elsewhere = False
        self._printed = TrainerOutput()
        with contextlib.ExitStack() as stack:
            self._channel, theirs = map(stack.enter_context, socket.socketpair())
            self._stdout, self._stderr = OutputTail(stack), OutputTail(stack)
            inbox_fd, outbox_fd = _anonymous_file(stack), _anonymous_file(stack)
            self._memory = (Segment(inbox_fd), Segment(outbox_fd))
            for segment in self._memory:
                stack.callback(segment.unmap)
            self.inbox, self.outbox = _Inbox(self._memory[0]), self._memory[1]
            try:
                self._process = self._spawn((theirs.fileno(), inbox_fd, outbox_fd), threads)
            finally:
                for tail in (self._stdout, self._stderr):
                    os.close(tail.writing)
            theirs.close()
            self._pidfd = open_pidfd(self._process.pid, stack)
            self._poll = select.poll()
            for readable in (self._channel, self._stdout, self._stderr):
                self._poll.register(readable, select.POLLIN)
            if self._pidfd is not None:
                self._poll.register(self._pidfd, select.POLLIN)
            self._resources = stack.pop_all()

    def _spawn(self, passed: tuple[int, ...], threads: int | None) -> subprocess.Popen[bytes]:
        # The parent-death signal is sent when the thread that started the worker ends: only
        # the main thread lasts as long as the process.
        in_main_thread = threading.current_thread() is threading.main_thread()
        return subprocess.Popen(
            launch_command(
                "mimverify.handles.worker",
                *map(str, passed),
                end_with=self._owner if in_main_thread else None,
                group_of=self._owner,
            ),
            stdin=subprocess.DEVNULL,
            stdout=self._stdout.writing,
            stderr=self._stderr.writing,
            start_new_session=True,
            pass_fds=passed,
            env=_environment(threads),
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def forget(self) -> None:
        """Between examples: release the arrays, and memory beyond `_MEMORY_KEEP`."""
        self.inbox.clear()
        for segment in self._memory:
            segment.trim(_MEMORY_KEEP)

    def exchange(self, what: str, line: bytes, limit: float) -> Json:
        """Send a line and return the reply to it.

        **Raises** `TrainerError`: no reply within `limit` seconds, or the worker ended. The
        worker is of no more use after any exception.
        """
        if self._has_exited():
            raise self._death("between calls")
        self._collect_output()
        deadline = time.monotonic() + limit
        try:
            self._channel.sendall(line)
            line = read_line(lambda: self._wait_readable(deadline), self._channel.recv)
            reply = decode(line, "a reply")
            self._collect_output()
        except TimeoutError:
            self._collect_output()
            message = f"{what} did not return within {limit:g} s"
            raise TrainerError("timeout", message) from None
        except (ConnectionError, InputError) as error:
            raise self._death(f"during {what}") from error
        return reply

    def _wait_readable(self, deadline: float) -> bool:
        """Wait for a reply: False past the deadline, `ConnectionResetError` if none can come.

        The socket alone is not enough: a process that the trainer forked may hold it open.
        """
        longest = _POLL_MAX if self._pidfd is not None else _POLL_INTERVAL
        while (left := deadline - time.monotonic()) > 0:
            ready = {fd for fd, _ in self._poll.poll(math.ceil(1000 * min(left, longest)))}
            if self._channel.fileno() in ready:
                return True
            if self._drain(ready):
                continue
            if self._has_exited():
                # Its last reply may have arrived after the poll.
                if self._channel.fileno() in {fd for fd, _ in self._poll.poll(0)}:
                    return True
                raise ConnectionResetError
        return False

    def _has_exited(self) -> bool:
        """Whether the process has ended. It is not reaped: until `stop` does that, its id
        cannot be given to another process or group."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self._process.pid, options) is not None
        except ChildProcessError:  # it was reaped elsewhere, and its id is free
            self._reaped_elsewhere = True
            return True

    def _wait_exit(self, grace: float) -> bool:
        deadline = time.monotonic() + grace
        while not self._has_exited():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if self._pidfd is None:
                time.sleep(min(left, _POLL_INTERVAL))
            else:
                select.select([self._pidfd], [], [], left)
        return True

    def _death(self, when: str) -> TrainerError:
        """How the worker ended; releases what is left of it."""
        ended_itself = self._wait_exit(_EXIT_GRACE)  # the socket closes a moment earlier
        last_line = self._collect_output()
        self.stop()
        how = how_it_ended(self._process.returncode) if ended_itself else "closed its connection"
        message = f"the worker {how} {when}"
        if last_line:
            message += f"; the last line of its stderr: {last_line}"
        return TrainerError("died", message)

    def take_output(self, warnings: Json | None = None) -> TrainerOutput:
        """What it printed since the last time, before the last exchange ended; and `warnings`."""
        printed, self._printed = self._printed, TrainerOutput()
        return printed if warnings is None else printed + TrainerOutput.from_json(warnings)

    def _drain(self, ready: set[int]) -> bool:
        """Read from those of its pipes that are ready; whether any is."""
        tails = [tail for tail in (self._stdout, self._stderr) if tail.fileno() in ready]
        for tail in tails:
            tail.drain()
            if tail.ended:  # closed by the trainer: ready for ever
                self._poll.unregister(tail)
        return bool(tails)

    def _collect_output(self) -> str:
        """Add what was printed to the output; the last line of standard error, if there is one."""
        for tail in (self._stdout, self._stderr):
            tail.drain()
        errors = self._stderr.take()
        self._printed += TrainerOutput(
            stdout=last_lines(self._stdout.take()), stderr=last_lines(errors)
        )
        lines = errors.strip().splitlines()
        return visible(lines[-1].strip()[:200]) if lines else ""

    def stop(self, grace: float = 0.0) -> None:
        """End the process and its group, reap it and close all descriptors.

        **Arguments**

        - `grace`: seconds the worker has to exit by itself. 0 for one that is busy.
        """
        if self._stopped:
            return
        self._stopped = True
        try:
            if os.getpid() == self._owner:  # a fork of this process owns only its descriptors
                self._end_process(grace)
        finally:
            self._resources.close()

    def _end_process(self, grace: float) -> None:
        try:
            if grace > 0:
                with contextlib.suppress(OSError):
                    self._channel.shutdown(socket.SHUT_RDWR)
                self._wait_exit(grace)
        finally:
            # Even if the worker has exited: processes that it started may still run.
            self._has_exited()
            if not self._reaped_elsewhere:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_REAP_LIMIT)


def _anonymous_file(stack: contextlib.ExitStack) -> int:
    """Descriptor of a file without a name, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mimverify")
        stack.callback(os.close, descriptor)
        return descriptor
    return stack.enter_context(tempfile.TemporaryFile()).fileno()
