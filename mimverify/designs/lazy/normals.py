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
    """By counter, entry by entry of the rows in order: the same of either backend on a CPU."""

    def __init__(self, seed: int) -> None:
        self._stream = NormalStream(seed, _PURPOSE)

    def fill(self, rows: Float[Array, "p k"], stream: int) -> None:
        for number, row in enumerate(rows):
            place = row if isinstance(row, np.ndarray) else row.numpy()  # a tensor's own memory
            self._stream.fill(place, stream, first=number * len(place))


class _TorchNormals(Normals):
    """By the device's own generator."""

    def __init__(self, seed: int, device: str) -> None:
        import torch  # only where its user has loaded it already

        self._torch, self._device = torch, device
        # Consecutive seeds never collide within one design; two designs of P streams each share
        # one with probability 2P/2⁶³.
        self._base = int(np.random.SeedSequence([seed, _KEY]).generate_state(1, np.uint64)[0])

    def fill(self, rows: Float[Array, "p k"], stream: int) -> None:
        generator = self._torch.Generator(device=self._device)
        generator.manual_seed((self._base + stream) % 2**63)
        for row in rows:
            row.normal_(generator=generator)


_KEY = 0x6C617A79
_PURPOSE = 0x6C  # among the streams of normals


def normals(seed: int, backend: Backend) -> Normals:
    """The normals of a design: counted ones on a CPU, elsewhere those of the device."""
    if backend.device == "cpu":
        return _CountedNormals(seed)
    return _TorchNormals(seed, backend.device)
