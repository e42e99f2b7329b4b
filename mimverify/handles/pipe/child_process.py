"""A child process and its three pipes: requests go in, answers come out, neither side ever waits
for the other to read."""

from __future__ import annotations

import contextlib
import math
import os
import select
import shlex
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Sequence

from mimverify.handles.launcher import launch_command
from mimverify.handles.pipe.pipe_messages import (
    LONGEST_HEADER,
    Request,
    answer_of,
    payload_size,
)
from mimverify.handles.process_end import how_it_ended, open_pidfd
from mimverify.support.closing import Closing
from mimverify.support.errors import TrainerError
from mimverify.support.importing import visible
from mimverify.support.strict_json import Json, brief

__all__ = ["ChildProcess"]

_CHUNK = 1 << 18  # bytes read or written at once
_POLL_INTERVAL = 0.5  # s; between checks of the process where its end cannot be polled
_POLL_MAX = 3600.0  # s; poll() counts milliseconds in an int
_EXIT_GRACE = 1.0  # s; from the end of its input to being killed
_REAP_LIMIT = 10.0  # s; a killed process ends at once, unless a driver holds it
_KEPT_ERRORS = 4096  # bytes of standard error, for the message about an end
_STANDARD_ERROR = 2


class ChildProcess(Closing):
    """A running program that answers requests.

    It leads a process group of its own, which is killed at `close`, when this object is dropped,
    and, on Linux, when this process ends in any way. What it writes to standard error is passed on
    to this process's.

    **Arguments**

    - `command`: the program and its arguments; no shell reads them.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.program = shlex.join(command)
        #: The process that may speak to it: a fork of this one shares the pipes.
        self.owner = os.getpid()
        self._errors = bytearray()
        self._stderr_ended = False
        self._grace = [_EXIT_GRACE]
        with contextlib.ExitStack() as stack:
            in_main_thread = threading.current_thread() is threading.main_thread()
            process = subprocess.Popen(
                launch_command(
                    "mimverify.handles.pipe.exec_command",
                    *command,
                    flags=("-E",),
                    # The signal is sent when the thread that starts the child ends.
                    end_with=self.owner if in_main_thread else None,
                    group_of=self.owner,
                ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
            assert process.stdin and process.stdout and process.stderr
            for pipe in (process.stdin, process.stdout, process.stderr):
                stack.callback(pipe.close)
                os.set_blocking(pipe.fileno(), False)  # of this end alone
            self._process = process
            self._in, self._out, self._err = (
                pipe.fileno() for pipe in (process.stdin, process.stdout, process.stderr)
            )
            self._pidfd = open_pidfd(process.pid, stack)
            # May not refer to this object, or that would never be dropped.
            self._stop = weakref.finalize(
                self, _end, process, self.owner, self._grace, stack.pop_all()
            )

    @property
    def pid(self) -> int:
        """Of the program, and of its process group."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it can be sent another request, by this process."""
        return self._stop.alive and os.getpid() == self.owner

    def exchange(self, request: Request, limit: float | None) -> tuple[Json, bytearray]:
        """Send a request: the header that answers it, and the bytes behind.

        **Arguments**

        - `limit`: seconds for both ways together; None for no limit.

        **Raises** `TrainerError`: `"timeout"`; `"died"`; `"protocol"`, `"shape"` or `"dtype"` for
        an answer that is none; `"raised"`, an error that the child reports. After any other than
        this last one the process is ended, since what it writes later would answer the next
        request.
        """
        try:
            self._refuse_surplus(request)
            return self._exchange(request, limit)
        except TrainerError as error:
            if error.kind != "raised":
                self._kill()
            raise
        except BaseException:
            self._kill()
            raise

    def close(self) -> None:
        """End it, and whatever it started."""
        self._stop()

    def _kill(self) -> None:
        self._grace[0] = 0.0
        self._stop()

    def _exchange(self, request: Request, limit: float | None) -> tuple[Json, bytearray]:
        deadline = math.inf if limit is None else time.monotonic() + limit
        waiting = [memoryview(part) for part in request.parts]
        received, header, size = bytearray(), None, 0
        failure: TrainerError | None = None
        while waiting or (failure is None and (header is None or len(received) < size)):
            ready = self._wait(bool(waiting), deadline, request, limit)
            if self._in in ready and waiting:
                self._write(waiting)
            if self._out in ready:
                chunk = self._read(self._out)
                if chunk == b"":  # its end of the pipe is closed
                    raise self._death(request)
                received += chunk or b""
                if header is None:
                    line, received = self._header(received, request)
                    if line is not None:
                        try:
                            header = answer_of(request, line, self.program)
                            size = payload_size(request, header, self.program)
                        except TrainerError as error:
                            if error.kind != "raised":
                                raise
                            failure, header = error, {}  # once the request is out
                if header is not None and len(received) > size:
                    raise self._surplus(f"after its answer to {request.name}", received[size:])
        if failure is not None:
            raise failure
        assert header is not None
        return header, received

    def _wait(
        self, writing: bool, deadline: float, request: Request, limit: float | None
    ) -> set[int]:
        """The descriptors that are ready, once any is; what it wrote to standard error is read."""
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        if not self._stderr_ended:
            poll.register(self._err, select.POLLIN)
        if writing:
            poll.register(self._in, select.POLLOUT)
        if self._pidfd is not None:
            poll.register(self._pidfd, select.POLLIN)
        left = deadline - time.monotonic()
        if left <= 0:
            self._pass_on_errors()
            message = f"{request.name}: {self.program} did not answer within {limit:g} s"
            raise TrainerError("timeout", message)
        longest = _POLL_MAX if self._pidfd is not None else _POLL_INTERVAL
        ready = {fd for fd, _ in poll.poll(math.ceil(1000 * min(left, longest)))}
        if self._err in ready:
            self._pass_on_errors()
        # A process that it started may hold its pipes open: the end of the program counts, after
        # what it has written.
        if self._out not in ready and self._has_exited():
            last = select.poll()
            last.register(self._out, select.POLLIN)
            if not last.poll(0):
                raise self._death(request)
            ready.add(self._out)
        return ready

    def _write(self, waiting: list[memoryview]) -> None:
        try:
            written = os.write(self._in, waiting[0][:_CHUNK])
        except BlockingIOError:
            return
        except BrokenPipeError:  # it says why on another pipe, if at all
            waiting.clear()
            return
        waiting[0] = waiting[0][written:]
        if not waiting[0]:
            del waiting[0]

    def _read(self, descriptor: int) -> bytes | None:
        """What there is to read; None: nothing yet, b"": nothing any more."""
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return None

    def _header(self, received: bytearray, request: Request) -> tuple[bytes | None, bytearray]:
        """The line that the bytes begin with, and the others; None: it is not complete."""
        end = received.find(b"\n", 0, LONGEST_HEADER)
        if end >= 0:
            return bytes(received[: end + 1]), received[end + 1 :]
        if len(received) >= LONGEST_HEADER:
            shown = brief(bytes(received[:60]).decode(errors="backslashreplace"))
            raise TrainerError(
                "protocol",
                f"{request.name}: {self.program} wrote {len(received)} bytes without an end of the "
                f"line, {shown}: expected a line of JSON of at most {LONGEST_HEADER} bytes",
            )
        return None, received

    def _refuse_surplus(self, request: Request) -> None:
        """**Raises** `TrainerError` where it wrote what no request asked for."""
        self._pass_on_errors()
        poll = select.poll()
        poll.register(self._out, select.POLLIN)
        surplus = self._read(self._out) if poll.poll(0) else None
        if surplus:
            raise self._surplus(f"before {request.name}", surplus)

    def _surplus(self, when: str, written: bytes | bytearray) -> TrainerError:
        shown = brief(bytes(written[:60]).decode(errors="backslashreplace"))
        message = f"{when} {self.program} wrote {shown}, which no request asked for"
        advice = "Whatever it prints besides answers belongs on standard error"
        return TrainerError("protocol", f"{message}. {advice}")

    def _pass_on_errors(self) -> None:
        """What it wrote to standard error goes to this process's."""
        while not self._stderr_ended:
            chunk = self._read(self._err)
            if not chunk:
                self._stderr_ended = chunk == b""
                return
            self._errors += chunk
            del self._errors[:-_KEPT_ERRORS]
            with contextlib.suppress(OSError):  # closed, full, or not there
                os.write(_STANDARD_ERROR, chunk)

    def _death(self, request: Request) -> TrainerError:
        """How it ended; releases what is left of it."""
        until = time.monotonic() + _EXIT_GRACE  # its pipes close a moment earlier
        while not self._has_exited() and time.monotonic() < until:
            time.sleep(0.005)
        ended_itself = self._has_exited()
        self._pass_on_errors()
        self._kill()
        code = self._process.returncode
        how = how_it_ended(code) if ended_itself and code is not None else "closed its output"
        lines = self._errors.decode(errors="replace").strip().splitlines()
        last = f"; the last line of its stderr: {visible(lines[-1].strip()[:200])}" if lines else ""
        return TrainerError("died", f"{self.program} {how} during {request.name}{last}")

    def _has_exited(self) -> bool:
        """Whether the program has ended. It is not reaped, so that its group keeps its number."""
        return _has_exited(self._process)


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # reaped elsewhere
        return True


def _end(
    process: subprocess.Popen[bytes],
    owner: int,
    grace: Sequence[float],
    resources: contextlib.ExitStack,
) -> None:
    """End a child and its group, reap it, close the pipes; in a fork only its own descriptors."""
    with resources:
        if os.getpid() != owner:
            process.returncode = 0  # not this process's to wait for
            return
        assert process.stdin
        process.stdin.close()
        until = time.monotonic() + grace[0]
        while not _has_exited(process) and time.monotonic() < until:
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_REAP_LIMIT)
