"""Independent standard normals, drawn stream by stream, in any order and from any thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from mimverify.backends import Backend
from mimverify.problems.normal_stream import NormalStream
from mimverify.support.arrays import Array

if TYPE_CHECKING:
    from jaxtyping import Float


class Normals(ABC):
    """A family of independent Gaussian vectors: stream k depends on the seed and k alone."""

    @abstractmethod
    def fill(self, rows: Float[Array, "p k"], stream: int) -> None:
        """Overwrite `rows`, each of them contiguous, with the numbers of that stream."""


class _CountedNormals(Normals):
    """By counter, entry by entry of the rows in order: the same of any backend on the host."""

    def __init__(self, seed: int, backend: Backend) -> None:
        self._stream, self._backend = NormalStream(seed, _PURPOSE), backend

    def fill(self, rows: Float[Array, "p k"], stream: int) -> None:
        for number, row in enumerate(rows):
            place = self._backend.view(row)
            self._stream.fill(place, stream, first=number * len(place))


class _DeviceNormals(Normals):
    """By the device's own generator."""

    def __init__(self, seed: int, backend: Backend) -> None:
        self._backend = backend
        # Consecutive seeds never collide within one design; two designs of P streams each share
        # one with probability 2P/2⁶³.
        self._base = int(np.random.SeedSequence([seed, _KEY]).generate_state(1, np.uint64)[0])

    def fill(self, rows: Float[Array, "p k"], stream: int) -> None:
        self._backend.fill_normals(rows, (self._base + stream) % 2**63)


_KEY = 0x6C617A79
_PURPOSE = 0x6C  # among the streams of normals


def normals(seed: int, backend: Backend) -> Normals:
    """The normals of a design: counted ones in this process's memory, elsewhere the device's."""
    return _CountedNormals(seed, backend) if backend.on_host else _DeviceNormals(seed, backend)
