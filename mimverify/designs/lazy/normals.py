"""Independent standard normals, drawn stream by stream, in any order and from any thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from mimverify.backends import Backend
from mimverify.support.arrays import Array

if TYPE_CHECKING:
    from jaxtyping import Float


class Normals(ABC):
    """A family of independent Gaussian vectors: stream k depends on the seed and k alone."""

    @abstractmethod
    def fill(self, rows: Float[Array, "p k"], stream: int) -> None:
        """Overwrite `rows`, each of them contiguous, with the numbers of that stream."""


class _NumpyNormals(Normals):
    def __init__(self, seed: int, dtype: str) -> None:
        self._seed, self._dtype = seed, np.dtype(dtype)

    def fill(self, rows: Float[Array, "p k"], stream: int) -> None:
        # SFC64 is the fastest of NumPy's; hashing the key makes the streams independent.
        key = np.random.SeedSequence([self._seed, _KEY, stream])
        generator = np.random.Generator(np.random.SFC64(key))
        for row in rows:
            generator.standard_normal(out=row, dtype=self._dtype)


class _TorchNormals(Normals):
    def __init__(self, seed: int, device: str) -> None:
        import torch  # only where its user has loaded it already

        self._torch, self._device = torch, device
        # On a CPU Torch uses only 32 bits of a seed: hashes of that size would collide.
        # Consecutive seeds never do, within one design; two designs of P streams each share
        # one with probability 2P/2³².
        self._base = int(np.random.SeedSequence([seed, _KEY]).generate_state(1)[0])

    def fill(self, rows: Float[Array, "p k"], stream: int) -> None:
        generator = self._torch.Generator(device=self._device)
        generator.manual_seed((self._base + stream) % 2**32)
        for row in rows:
            row.normal_(generator=generator)


_KEY = 0x6C617A79


def normals(seed: int, backend: Backend) -> Normals:
    """The backend's own generator, seeded."""
    if backend.name == "torch":
        return _TorchNormals(seed, backend.device)
    return _NumpyNormals(seed, backend.dtype)
