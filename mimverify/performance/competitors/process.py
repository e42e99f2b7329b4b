"""The parent's end of a contender's process.

A contender is stopped, by a signal, while another one's turn lasts: no thread pool of it can spin,
and its libraries keep the settings that their users have. POSIX only.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from mimverify.performance.competitors.problem import Problem
from mimverify.support.closing import Closing
from mimverify.support.errors import MimverifyError
from mimverify.support.strict_json import jsonable
from mimverify.support.threads import thread_environment

_PATIENCE = 900.0  # s; a contender that takes longer to answer hangs
_TAIL = 2000  # bytes of what it wrote that are searched for a last line


class ContenderError(MimverifyError):
    """A contender raised, died or hung."""


class ContenderProcess(Closing):
    """A process for one contender, started at once and asleep between requests.

    **Arguments**

    - `spec`: see `get_contender`.
    - `threads`: of every pool in it; None leaves the libraries' defaults.
    - `patience`: seconds that one answer may take.
    """

    def __init__(
        self, spec: str, *, threads: int | None = None, patience: float = _PATIENCE
    ) -> None:
        self.spec = spec
        self._patience = patience
        self._buffer = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        # A group of its own, in this session: Ctrl-C does not reach it, and if this process is
        # killed the system ends the group, stopped or not.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mimverify.performance.competitors.worker"],
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

    def prepare(self, problem: Problem) -> dict[str, Any]:
        """Make the run for a problem. **Returns** its facts. **Raises** `ContenderError`."""
        return self._ask({"op": "prepare", "problem": problem.to_json()})

    def time(self, repetitions: int | None = None) -> float:
        """Seconds of one step, the median of a turn. **Raises** `ContenderError`."""
        return float(self._ask({"op": "time", "repetitions": repetitions})["seconds"])

    def peaks(self, dtype: str, **sizes: int) -> dict[str, float]:
        """See `measure_peaks`; empty for all but the products. **Raises** `ContenderError`."""
        return self._ask({"op": "peaks", "dtype": dtype, **sizes})

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

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request; whatever cuts the exchange short ends the process as well."""
        if self.closed:
            raise ContenderError(f"{self.spec}: its process has ended")
        try:
            self._signal(signal.SIGCONT)
            reply = json.loads(self._exchange({"contender": self.spec, **request}))
            self._signal(signal.SIGSTOP)
        except BaseException:
            self.close()
            raise
        if "error" in reply:
            raise ContenderError(reply["error"])
        return dict(reply)

    def _exchange(self, request: dict[str, Any]) -> bytes:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        deadline = time.monotonic() + self._patience
        try:
            stdin.write(json.dumps(jsonable(request)).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._died() from None
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                raise ContenderError(f"no answer within {self._patience:g} s")
            received = os.read(stdout.fileno(), 1 << 16)
            if not received:
                raise self._died()
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _died(self) -> ContenderError:
        code = self._process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _TAIL))
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return ContenderError(f"its process died, {how}" + (f": {lines[-1]}" if lines else ""))

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def _environment(threads: int | None) -> dict[str, str]:
    environment = dict(os.environ)
    path = [os.getcwd(), *(os.path.abspath(entry) for entry in sys.path if entry)]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path))
    if threads is not None:
        # JAX's pool has a variable that no other library reads.
        environment.update(thread_environment(threads), NPROC=str(threads))
    return environment
