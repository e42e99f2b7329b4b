"""Independent standard normals, drawn piece by piece in any order and from any thread."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from mimverify.backends import Backend


class Normals(ABC):
    """A family of independent Gaussian vectors: piece k depends on the seed and k alone."""

    @abstractmethod
    def fill(self, rows: Any, piece: int) -> None:
        """Overwrite `rows` `(p, k)`, of contiguous rows, with the numbers of that piece."""


class _NumpyNormals(Normals):
    def __init__(self, seed: int, dtype: str) -> None:
        self._seed, self._dtype = seed, np.dtype(dtype)

    def fill(self, rows: Any, piece: int) -> None:
        # SFC64 is the fastest of NumPy's; its streams are told apart by hashing the key.
        key = np.random.SeedSequence([self._seed, _KEY, piece])
        generator = np.random.Generator(np.random.SFC64(key))
        for row in rows:
            generator.standard_normal(out=row, dtype=self._dtype)


class _TorchNormals(Normals):
    def __init__(self, seed: int, device: str) -> None:
        import torch  # only where its user has loaded it already

        self._torch, self._device = torch, device
        # On a CPU only 32 bits of a seed count: hashes of that size would meet by chance, so
        # that two pieces were alike. Consecutive seeds never do, within one design; of two
        # designs of P pieces each some are alike with probability 2P/2³².
        self._base = int(np.random.SeedSequence([seed, _KEY]).generate_state(1)[0])

    def fill(self, rows: Any, piece: int) -> None:
        generator = self._torch.Generator(device=self._device)
        generator.manual_seed((self._base + piece) % 2**32)
        for row in rows:
            row.normal_(generator=generator)


_KEY = 0x6C617A79


def normals(seed: int, backend: Backend) -> Normals:
    """The backend's own generator, seeded."""
    if backend.name == "torch":
        return _TorchNormals(seed, backend.device)
    return _NumpyNormals(seed, backend.dtype)
