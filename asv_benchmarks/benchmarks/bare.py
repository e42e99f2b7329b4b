"""The two bare products of a step, in a process of their own that is stopped while idle.

Idle threads of some libraries spin for a while after a product, and would take a core from what is
timed next. Those of a stopped process cannot.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, ClassVar

# Seconds after which idle threads of the requesting process no longer spin either.
_PAUSE = 0.2


class Products(ABC):
    """X Wᵀ `(n, m)` and then Rᵀ X `(m, d)`, of whole matrices into preallocated memory.

    A new backend is a subclass with `backend`, its name, `array` and `multiply`.
    """

    backend: ClassVar[str]

    def __init__(self, samples: int, dim: int, neurons: int) -> None:
        import numpy as np

        rng = np.random.default_rng(1)
        self.X = self.array(rng.standard_normal((samples, dim), dtype=np.float32))
        self.directions = self.array(rng.standard_normal((neurons, dim), dtype=np.float32)).T
        # Numbers of ordinary magnitude: products with zeros or denormals differ in time.
        self.residuals = self.array(np.ones((samples, neurons), dtype=np.float32))
        self.projections = self.array(np.empty((samples, neurons), dtype=np.float32))
        self.gradient = self.array(np.empty((neurons, dim), dtype=np.float32))

    @abstractmethod
    def array(self, values: Any) -> Any:
        """An array of the backend."""

    @abstractmethod
    def multiply(self, left: Any, right: Any, out: Any) -> None:
        """One product."""

    def __call__(self) -> None:
        self.multiply(self.X, self.directions, self.projections)
        self.multiply(self.residuals.T, self.X, self.gradient)


class NumpyProducts(Products):
    backend = "numpy"

    def array(self, values: Any) -> Any:
        return values

    def multiply(self, left: Any, right: Any, out: Any) -> None:
        import numpy as np

        np.matmul(left, right, out=out)


class TorchProducts(Products):
    backend = "torch"

    def array(self, values: Any) -> Any:
        import torch

        return torch.from_numpy(values)

    def multiply(self, left: Any, right: Any, out: Any) -> None:
        import torch

        torch.matmul(left, right, out=out)


PRODUCTS: dict[str, type[Products]] = {kind.backend: kind for kind in Products.__subclasses__()}


class BareProducts:
    """A process that times the products of one shape on request, and is stopped otherwise.

    **Raises** `RuntimeError` where the process ends by itself; its error is on standard error.
    """

    def __init__(self, backend: str, samples: int, dim: int, neurons: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, backend, str(samples), str(dim), str(neurons)],
            cwd=Path(__file__).parents[__name__.count(".")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()  # ready
        self._process.send_signal(signal.SIGSTOP)

    def seconds(self, calls: int, warm: int) -> float:
        """Median of `calls` calls, after a pause of this process and `warm` calls to warm up."""
        assert self._process.stdin is not None
        time.sleep(_PAUSE)
        self._process.send_signal(signal.SIGCONT)
        self._process.stdin.write(f"{calls} {warm}\n")
        self._process.stdin.flush()
        found = float(self._read())
        self._process.send_signal(signal.SIGSTOP)
        return found

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the products' process ended (exit {self._process.wait()})")
        return line

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # of a request that was not read
                    stream.close()


def _serve(backend: str, samples: int, dim: int, neurons: int) -> None:
    parent = os.getppid()
    products = PRODUCTS[backend](samples, dim, neurons)
    products()
    print("ready", flush=True)
    for line in sys.stdin:
        if os.getppid() != parent:
            return
        calls, warm = (int(count) for count in line.split())
        taken = []
        for _ in range(warm + calls):
            began = time.perf_counter()
            products()
            taken.append(time.perf_counter() - began)
        print(median(taken[warm:]), flush=True)


if __name__ == "__main__":
    _serve(sys.argv[1], *(int(size) for size in sys.argv[2:]))
