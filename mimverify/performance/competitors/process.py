"""A competitor's process, as its parent handles it.

While another competitor is timed, the process is stopped by a signal: its thread pools cannot spin,
and its libraries keep their default settings. POSIX only.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import threading
import time

from mimverify.handles.framing import decode, encode, read_line
from mimverify.handles.launcher import launch_command
from mimverify.performance.competitors.problem import Problem
from mimverify.support.closing import Closing
from mimverify.support.errors import InputError, MimverifyError
from mimverify.support.importing import search_path
from mimverify.support.strict_json import Json, jsonable
from mimverify.support.threads import thread_environment

_TIME_LIMIT = 900.0  # s; a competitor that takes longer to reply hangs
_TAIL = 2000  # bytes of its stderr that are searched for a last line


class CompetitorError(MimverifyError):
    """A competitor raised, died or hung."""


class CompetitorProcess(Closing):
    """A process for one competitor, started at once and stopped between requests.

    **Arguments**

    - `spec`: see `get_competitor`.
    - `threads`: of every pool in it; None leaves the libraries' defaults.
    - `time_limit`: seconds that one reply may take.
    """

    def __init__(
        self, spec: str, *, threads: int | None = None, time_limit: float = _TIME_LIMIT
    ) -> None:
        self.spec = spec
        self._time_limit = time_limit
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        # A process group of its own in this session: Ctrl-C does not reach it, and if this process
        # is killed the kernel ends the orphaned group, stopped or not; on Linux the process itself
        # in any case.
        in_main_thread = threading.current_thread() is threading.main_thread()
        self._process = subprocess.Popen(
            launch_command(
                "mimverify.performance.competitors.worker",
                end_with=os.getpid() if in_main_thread else None,
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(threads),
            process_group=0,
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def prepare(self, problem: Problem) -> Json:
        """Make the run for a problem. **Returns** its facts. **Raises** `CompetitorError`."""
        return self._request({"op": "prepare", "problem": problem.to_json()})

    def time(self, repetitions: int | None = None) -> float:
        """Seconds of one step, the median of a round. **Raises** `CompetitorError`."""
        return float(self._request({"op": "time", "repetitions": repetitions})["seconds"])

    def peaks(self, dtype: str, **sizes: int) -> dict[str, float]:
        """See `measure_peaks`; empty but for the bare products. **Raises** `CompetitorError`."""
        return self._request({"op": "peaks", "dtype": dtype, **sizes})

    @property
    def closed(self) -> bool:
        """Whether it has ended, by itself or by `close`."""
        return self._process.returncode is not None

    def close(self) -> None:
        """End the process. May be called again."""
        if not self.closed:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _request(self, request: Json) -> Json:
        """The reply to a request; an exception on the way also ends the process."""
        if self.closed:
            raise CompetitorError(f"{self.spec}: its process has ended")
        try:
            self._signal(signal.SIGCONT)
            where = {"path": search_path(), "pythonpath": os.environ.get("PYTHONPATH")}
            reply = self._exchange({"competitor": self.spec, **where, **request})
            self._signal(signal.SIGSTOP)
        except BaseException:
            self.close()
            raise
        if "error" in reply:
            raise CompetitorError(reply["error"])
        return reply

    def _exchange(self, request: Json) -> Json:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        descriptor, deadline = stdout.fileno(), time.monotonic() + self._time_limit

        def readable() -> bool:
            left = deadline - time.monotonic()
            return left > 0 and bool(select.select([descriptor], [], [], left)[0])

        try:
            stdin.write(encode(jsonable(request)))
            stdin.flush()
            line = read_line(readable, lambda size: os.read(descriptor, size))
        except TimeoutError:
            raise CompetitorError(f"no answer within {self._time_limit:g} s") from None
        except (BrokenPipeError, ConnectionResetError):
            raise self._died() from None
        try:
            return decode(line, "its reply")
        except InputError as error:
            raise CompetitorError(str(error)) from None

    def _died(self) -> CompetitorError:
        code = self._process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _TAIL))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return CompetitorError(f"its process died, {how}" + (f": {lines[-1]}" if lines else ""))

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def _environment(threads: int | None) -> dict[str, str]:
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)  # the worker's own modules are not looked for there
    if threads is not None:
        environment.update(thread_environment(threads))
    return environment
