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


class Correct(LazyGaussianDesign):
    """Nothing wrong: the control."""


# --- what is known is forgotten ---------------------------------------------------------


class ForgetsTheLeft(LazyGaussianDesign):
    """Answers X q by fresh noise alone, as if no Xᵀ r had been asked before."""

    def _settle(self, i: int, pending: Any) -> None:
        pass


class KeepsTheNoiseOnTheLeft(LazyGaussianDesign):
    """X q = Lᵀ (C q) + ξ: the noise is not projected off L."""

    def _reveal_right(self, first: int) -> Any:
        pending = super()._reveal_right(first)
        if pending.onto_left is not None:  # the new rows of B are the bare noise still
            for i in self._B.slabs:
                noise = self._B.part(i, first, pending.last)
                pending.onto_left += noise @ self._L.part(i, 0, self.left).T
        return pending


class _WrongRight(LazyGaussianDesign):
    """Xᵀ l = Rᵀ (B l) + (I − Rᵀ R) ξ with weights on its terms other than one."""

    known, overlap = 1.0, 1.0

    def _reveal_left(self, first: int) -> None:
        piece = self._pieces
        super()._reveal_left(first)
        last, right = self.left, self.right
        if first == last:
            return
        answer = sum(
            self._L.part(i, first, last) @ self._B.part(i, 0, right).T for i in self._B.slabs
        )
        noise = []
        for i in self._C.slabs:
            noise.append(0 * self._C.part(i, first, last))
            self._normals.fill(noise[-1], piece + i)
        overlap = sum(
            part @ self._R.part(i, 0, right).T for i, part in zip(self._C.slabs, noise, strict=True)
        )
        onto_right = self.known * answer - self.overlap * overlap
        for i, part in zip(self._C.slabs, noise, strict=True):
            self._C.part(i, first, last)[:] = part + onto_right @ self._R.part(i, 0, right)


class ForgetsTheRight(_WrongRight):
    """Xᵀ l = (I − Rᵀ R) ξ: what X q has told of it is left out."""

    known = 0.0


class KeepsTheNoiseOnTheRight(_WrongRight):
    """Xᵀ l = Rᵀ (B l) + ξ: the noise is not projected off R."""

    overlap = 0.0


class HalfOfTheRight(_WrongRight):
    """Knows half of what X q has told."""

    known = 0.5


# --- wrong noise --------------------------------------------------------------------------


class ReusesNoise(LazyGaussianDesign):
    """Draws the same numbers whenever it draws."""

    def _take_pieces(self, count: int) -> int:
        return 0


class ReusesNoiseOnTheLeft(LazyGaussianDesign):
    """Draws the same numbers for all Xᵀ l."""

    def _reveal_left(self, first: int) -> None:
        pieces, self._pieces = self._pieces, 1 << 20
        super()._reveal_left(first)
        self._pieces = pieces


class ReusesNoiseOnTheRight(LazyGaussianDesign):
    """Draws the same numbers for all X q."""

    def _reveal_right(self, first: int) -> Any:
        pieces, self._pieces = self._pieces, 1 << 20
        pending = super()._reveal_right(first)
        self._pieces = pieces
        return pending


class CountsDrawsNotSlabs(LazyGaussianDesign):
    """A slab draws what another slab has drawn the time before."""

    def _take_pieces(self, count: int) -> int:
        return super()._take_pieces(1)


class _OtherNoise(LazyGaussianDesign):
    """Noise that is not standard normal."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._normals = _Changed(self._normals, self)

    def change(self, row: Any) -> None:
        """Make something else of a row of standard normals."""
        raise NotImplementedError


class _Changed(Normals):
    def __init__(self, normals: Normals, design: _OtherNoise) -> None:
        self._normals, self._design = normals, design

    def fill(self, rows: Any, piece: int) -> None:
        self._normals.fill(rows, piece)
        for row in rows:
            self._design.change(row)


class TooLoud(_OtherNoise):
    """Variance 1.1."""

    def change(self, row: Any) -> None:
        row *= 1.1**0.5


class NotGaussian(_OtherNoise):
    """±1 instead of normals: mean, variance and third moment are right."""

    def change(self, row: Any) -> None:
        row[:] = 1 - 2.0 * (row < 0)


# --- bases that are not what they are taken for ------------------------------------------


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


class NeverLooksAgain(_WrongBases):
    """Projects once, and takes the result for orthonormal."""

    @contextmanager
    def rules(self, rows: int) -> Iterator[None]:
        with (
            mock.patch.object(gram_schmidt, "_LENGTH_KEPT", 0.0),
            mock.patch.object(gram_schmidt, "_polish"),
        ):
            yield


class DropsWhatIsNear(_WrongBases):
    """Takes a row for a combination of the others where less than a tenth of it is left."""

    @contextmanager
    def rules(self, rows: int) -> Iterator[None]:
        null = 0.1 / (self.backend.unit_roundoff * np.sqrt(rows))
        with mock.patch.object(gram_schmidt, "_NULL", null):
            yield


#: Broken design → checks of which each must catch it (`test_lazy`, `test_lazy_law`).
class SharesNoiseBetweenSides(LazyGaussianDesign):
    """The left side of a pass draws what its right side has just drawn."""

    def _reveal_left(self, first: int) -> None:
        pieces = self._pieces
        self._pieces = max(0, pieces - len(self._B.slabs))
        super()._reveal_left(first)
        self._pieces = max(pieces, self._pieces)


CAUGHT_BY: dict[type[LazyGaussianDesign], tuple[str, ...]] = {
    ForgetsTheLeft: ("consistency", "adjoint", "law"),
    KeepsTheNoiseOnTheLeft: ("consistency", "adjoint", "law"),
    ForgetsTheRight: ("consistency", "adjoint", "law"),
    KeepsTheNoiseOnTheRight: ("consistency", "adjoint", "law"),
    HalfOfTheRight: ("consistency", "adjoint", "law"),
    ReusesNoise: ("distinct", "law"),
    SharesNoiseBetweenSides: ("distinct",),
    ReusesNoiseOnTheLeft: ("distinct", "law"),
    ReusesNoiseOnTheRight: ("distinct", "law"),
    CountsDrawsNotSlabs: ("distinct",),
    TooLoud: ("law",),
    NotGaussian: ("law",),
    NeverLooksAgain: ("orthonormality",),
    DropsWhatIsNear: ("completion", "linearity"),
}
