"""Broken lazy designs: each is the right one with one thing wrong.

`CAUGHT_BY` says which checks must catch each of them, by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from mimverify.designs.lazy import LazyGaussianDesign, gram_schmidt
from mimverify.designs.lazy.normals import Normals
from mimverify.support.arrays import Array


class Correct(LazyGaussianDesign):
    """Nothing wrong: the control."""


# --- known parts are left out -----------------------------------------------------------


class OmitsKnownPartOnTheLeft(LazyGaussianDesign):
    """Answers X q with independent noise alone, as if no Xᵀ r had been queried before."""

    def _add_known_part(self, i: int, pending: object) -> None:
        pass


class NoiseNotProjectedOffL(LazyGaussianDesign):
    """X q = Lᵀ (C q) + ξ: the noise is not projected off L."""

    def _reveal_right(self, first: int) -> Any:
        pending = super()._reveal_right(first)
        if pending.onto_left is not None:  # the new rows of B are the noise alone
            for i in self._B.blocks:
                noise = self._B.view(i, first, pending.last)
                pending.onto_left += noise @ self._L.view(i, 0, self.left).T
        return pending


class _WrongRight(LazyGaussianDesign):
    """Xᵀ l = Rᵀ (B l) + (I − Rᵀ R) ξ with weights on its terms other than one."""

    known, overlap = 1.0, 1.0

    def _reveal_left(self, first: int) -> None:
        stream = self._streams
        super()._reveal_left(first)
        last, right = self.left, self.right
        if first == last:
            return
        answer = sum(
            self._L.view(i, first, last) @ self._B.view(i, 0, right).T for i in self._B.blocks
        )
        noise = []
        for i in self._C.blocks:
            noise.append(0 * self._C.view(i, first, last))
            self._normals.fill(noise[-1], stream + i)
        overlap = sum(
            fresh @ self._R.view(i, 0, right).T
            for i, fresh in zip(self._C.blocks, noise, strict=True)
        )
        onto_right = self.known * answer - self.overlap * overlap
        for i, fresh in zip(self._C.blocks, noise, strict=True):
            self._C.view(i, first, last)[:] = fresh + onto_right @ self._R.view(i, 0, right)


class OmitsKnownPartOnTheRight(_WrongRight):
    """Xᵀ l = (I − Rᵀ R) ξ: its part that X q determines is left out."""

    known = 0.0


class NoiseNotProjectedOffR(_WrongRight):
    """Xᵀ l = Rᵀ (B l) + ξ: the noise is not projected off R."""

    overlap = 0.0


class HalvesKnownPartOnTheRight(_WrongRight):
    """Adds half of the part that X q determines."""

    known = 0.5


# --- wrong noise --------------------------------------------------------------------------


class ReusesNoise(LazyGaussianDesign):
    """Draws the same numbers whenever it draws."""

    def _take_streams(self, count: int) -> int:
        return 0


class ReusesNoiseOnTheLeft(LazyGaussianDesign):
    """Draws the same numbers for all Xᵀ l."""

    def _reveal_left(self, first: int) -> None:
        streams, self._streams = self._streams, 1 << 20
        super()._reveal_left(first)
        self._streams = streams


class ReusesNoiseOnTheRight(LazyGaussianDesign):
    """Draws the same numbers for all X q."""

    def _reveal_right(self, first: int) -> Any:
        streams, self._streams = self._streams, 1 << 20
        pending = super()._reveal_right(first)
        self._streams = streams
        return pending


class CountsDrawsNotBlocks(LazyGaussianDesign):
    """A block draws what another block drew the time before."""

    def _take_streams(self, count: int) -> int:
        return super()._take_streams(1)


class _OtherNoise(LazyGaussianDesign):
    """Noise that is not standard normal."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._normals = _Changed(self._normals, self)

    def change(self, row: Array) -> None:
        """Change a row of standard normals in place."""
        raise NotImplementedError


class _Changed(Normals):
    def __init__(self, normals: Normals, design: _OtherNoise) -> None:
        self._normals, self._design = normals, design

    def fill(self, rows: Array, stream: int) -> None:
        self._normals.fill(rows, stream)
        for row in rows:
            self._design.change(row)


class LargerVariance(_OtherNoise):
    """Variance 1.1."""

    def change(self, row: Array) -> None:
        row *= 1.1**0.5


class NotGaussian(_OtherNoise):
    """±1 instead of normals: mean, variance and third moment are right."""

    def change(self, row: Array) -> None:
        row[:] = 1 - 2.0 * (row < 0)


# --- bases that are not orthonormal or not complete --------------------------------------


class _WrongBases(LazyGaussianDesign):
    """Orthonormalises under changed rules."""

    @contextmanager
    def rules(self, rows: int) -> Iterator[None]:
        raise NotImplementedError
        yield

    def _orthonormalise_right(self, known: int, count: int) -> Any:
        with self.rules(known + count):
            return super()._orthonormalise_right(known, count)

    def _orthonormalise_left(self, known: int, count: int, moments: Any) -> Any:
        with self.rules(known + count):
            return super()._orthonormalise_left(known, count, moments)


class NeverReorthogonalises(_WrongBases):
    """Projects once, without a check of orthonormality."""

    @contextmanager
    def rules(self, rows: int) -> Iterator[None]:
        with (
            mock.patch.object(gram_schmidt, "_LENGTH_KEPT", 0.0),
            mock.patch.object(gram_schmidt, "_reorthogonalise"),
        ):
            yield


class DropsNearlyDependentRows(_WrongBases):
    """Treats a row as dependent on the others where its remainder is below a tenth."""

    @contextmanager
    def rules(self, rows: int) -> Iterator[None]:
        null = 0.1 / (self.backend.unit_roundoff * np.sqrt(rows))
        with mock.patch.object(gram_schmidt, "_NULL", null):
            yield


#: Broken design → checks of which each must catch it (`test_lazy`, `test_lazy_law`).
class SharesNoiseBetweenSides(LazyGaussianDesign):
    """The left side of a pass draws what its right side has just drawn."""

    def _reveal_left(self, first: int) -> None:
        streams = self._streams
        self._streams = max(0, streams - len(self._B.blocks))
        super()._reveal_left(first)
        self._streams = max(streams, self._streams)


CAUGHT_BY: dict[type[LazyGaussianDesign], tuple[str, ...]] = {
    OmitsKnownPartOnTheLeft: ("consistency", "adjoint", "law"),
    NoiseNotProjectedOffL: ("consistency", "adjoint", "law"),
    OmitsKnownPartOnTheRight: ("consistency", "adjoint", "law"),
    NoiseNotProjectedOffR: ("consistency", "adjoint", "law"),
    HalvesKnownPartOnTheRight: ("consistency", "adjoint", "law"),
    ReusesNoise: ("distinct", "law"),
    SharesNoiseBetweenSides: ("distinct",),
    ReusesNoiseOnTheLeft: ("distinct", "law"),
    ReusesNoiseOnTheRight: ("distinct", "law"),
    CountsDrawsNotBlocks: ("distinct",),
    LargerVariance: ("law",),
    NotGaussian: ("law",),
    NeverReorthogonalises: ("orthonormality",),
    DropsNearlyDependentRows: ("completion", "linearity"),
}
