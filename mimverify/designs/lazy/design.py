"""The lazily revealed Gaussian design. Source: theory.md §8.

What training learns of a Gaussian matrix X `(n, d)` are its products X V and Xᵀ R. With
orthonormal bases R `(k, d)` of the directions asked for so far, L `(l, n)` on the other
side, and the answers B = R Xᵀ `(k, n)` and C = L X `(l, d)`, whatever is asked next has a
known part and a fresh Gaussian one: for q ⟂ R,

    X q = Lᵀ (C q) + (I − Lᵀ L) ξ,    ξ ~ N(0, I_n),

and the same with the sides exchanged. So training goes on as it would on the stored
matrix, exactly in law, in (n + d)(k + l) numbers instead of n d.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.backends import Backend
from mimverify.designs.base import Design, RowFunction
from mimverify.designs.lazy.gram_schmidt import orthonormalise, products
from mimverify.designs.lazy.normals import normals
from mimverify.designs.lazy.stopwatch import Stopwatch
from mimverify.designs.lazy.storage import Slabs, slab_width
from mimverify.designs.lazy.workers import Workers
from mimverify.support.memory import check_fits
from mimverify.support.threads import single_threaded_libraries
from mimverify.support.validation import array, integer

Matrix = NDArray[np.float64]

# Sizes whose squares, summed over any n, are far from the ends of float32's range.
_ORDINARY = 1e9


class LazyGaussianDesign(Design):
    """n rows of independent N(0, I_d), revealed as far as training asks.

    Exactly distributed as a stored matrix of independent standard normals, whatever is
    asked and in whatever order, to the rounding of the backend's dtype. A seed fixes all
    answers to the same questions, but questions reveal: asked differently, the same seed
    is another matrix.

    **Arguments**

    - `n_samples`, `dim`: n and d.
    - `backend`: of the arrays that it is asked with and answers in.
    - `seed`: of the fresh parts.
    - `right`, `left`: directions to reserve memory for, of X V and of Xᵀ R. More are found
      room for as long as the machine has it.
    - `threads`: None for as many as the libraries use. Answers do not depend on it.

    Revealed so far: `right`, `left`. Memory: `lazy_bytes`. Time: `cost`.

    **Raises** `InputError` for sizes below one, or beyond this machine's memory.
    """

    def __init__(
        self,
        n_samples: int,
        dim: int,
        backend: Backend,
        *,
        seed: int = 0,
        right: int = 16,
        left: int = 16,
        threads: int | None = None,
    ) -> None:
        self.n_samples = integer("n_samples", n_samples, minimum=1)
        self.dim = integer("dim", dim, minimum=1)
        self.backend = backend
        right, left = integer("right", right, minimum=1), integer("left", left, minimum=1)
        self._check_room(right, left)
        self._reserved = (right, left)
        self._workers = Workers(backend, threads)
        self._normals = normals(integer("seed", seed, minimum=0, maximum=2**32 - 1), backend)
        self._watch = Stopwatch()
        self._pieces = 0  # drawn: no two draws of this design share a number
        width = slab_width(right + left, backend)
        self._R = Slabs(self.dim, right, width, backend)
        self._C = Slabs(self.dim, left, width, backend)
        self._B = Slabs(self.n_samples, right, width, backend)
        self._L = Slabs(self.n_samples, left, width, backend)
        self.right = self.left = 0

    # -- the seam ---------------------------------------------------------------------------

    def one_pass(self, V: Any, rho: RowFunction) -> Any:
        with self._whole_or_not_at_all():
            coefficients, pending = self._ask_right(V)
            return self._ask_left(coefficients, pending, rho)

    def project(self, V: Any) -> Any:
        with self._whole_or_not_at_all():
            coefficients, pending = self._ask_right(V)
            factors = self.backend.asarray(coefficients)
            result = self.backend.empty((len(coefficients), self.n_samples))

            def task(i: int) -> None:
                self._settle(i, pending)
                with self._watch("projections"):
                    result[:, self._B.columns(i)] = factors @ self._B.part(i, 0, self.right)

            self._workers.run(task, self._B.slabs)
        return result.T

    def projections(self, V: Any) -> Iterator[tuple[slice, Any]]:
        projected = self.project(V)
        for i in self._B.slabs:
            rows = self._B.columns(i)
            yield rows, projected[rows]

    @property
    def threads(self) -> int:
        """Threads that work on the design."""
        return self._workers.threads

    def cost(self) -> dict[str, float]:
        """Thread-seconds spent so far, by kind of work.

        `random numbers`; `known parts` (what a question's answer owes to earlier ones);
        `orthogonalisation`; `projections`; `residuals` (activation and loss).
        """
        return self._watch.totals()

    def revealed(self) -> dict[str, NDArray[np.floating[Any]]]:
        """Copies of R `(k, d)`, L `(l, n)`, B = R Xᵀ `(k, n)` and C = L X `(l, d)`.

        Any X with these products is a completion: Lᵀ C + Bᵀ R − Lᵀ (L Bᵀ) R, and fresh normals
        on both complements.
        """
        return {
            "R": self._R.dense(0, self.right),
            "L": self._L.dense(0, self.left),
            "B": self._B.dense(0, self.right),
            "C": self._C.dense(0, self.left),
        }

    # -- X V --------------------------------------------------------------------------------

    def _ask_right(self, V: Any) -> tuple[Matrix, _Pending]:
        """Coefficients `(q, k)` of V's rows on R, extended, and what B's new rows still lack."""
        rows = array("V", self.backend.to_numpy(V), (None, self.dim))
        scale = np.abs(rows).max(axis=1).astype(np.float64)
        scale[scale == 0] = 1.0  # squares of small numbers would vanish
        count, known = len(rows), self.right
        self._reserve(right=known + count)
        for i in self._R.slabs:
            part = rows[:, self._R.columns(i)] / scale[:, None]
            self._R.part(i, known, known + count)[:] = self.backend.asarray(part)
        coefficients = self._orthonormalise_right(known, count)
        self.right = coefficients.shape[1]
        return scale[:, None] * coefficients, self._reveal_right(known)

    def _orthonormalise_right(self, known: int, count: int) -> Matrix:
        with self._watch("orthogonalisation", self._workers.threads):
            return orthonormalise(self._R, known, count, self._workers)

    def _reveal_right(self, first: int) -> _Pending:
        """Draw B's rows from `first` on, X q for the new q; what L knows of them is pending."""
        last, left = self.right, self.left
        piece = self._take_pieces(len(self._B.slabs))
        to_numpy = self.backend.to_numpy
        if first == last or left == 0:  # nothing is known of X q
            self._workers.run(
                lambda i: self._draw(self._B.part(i, first, last), piece + i), self._B.slabs
            )
            return _Pending(first, last, None)

        def draw(i: int) -> tuple[Matrix]:
            fresh = self._B.part(i, first, last)
            self._draw(fresh, piece + i)
            with self._watch("known parts"):
                return (to_numpy(fresh @ self._L.part(i, 0, left).T).astype(np.float64),)

        def known(i: int) -> tuple[Matrix]:
            product = self._R.part(i, first, last) @ self._C.part(i, 0, left).T
            return (to_numpy(product).astype(np.float64),)

        (overlap,) = self._workers.total(draw, self._B.slabs)
        (answer,) = self._workers.total(known, self._R.slabs)
        return _Pending(first, last, self.backend.asarray(answer - overlap))

    def _settle(self, i: int, pending: _Pending) -> None:
        """Put what L knows into the new rows of B, in slab i."""
        if pending.onto_left is not None:
            with self._watch("known parts"):
                new = self._B.part(i, pending.first, pending.last)
                new += pending.onto_left @ self._L.part(i, 0, self.left)

    # -- Xᵀ R -------------------------------------------------------------------------------

    def _ask_left(self, coefficients: Matrix, pending: _Pending, rho: RowFunction) -> Any:
        """ρ(X V)ᵀ X, shape `(p, d)`; V by its coefficients on R."""
        known, right, to_numpy = self.left, self.right, self.backend.to_numpy
        factors = self.backend.asarray(coefficients)
        scale: Any = None
        count = 0

        def residuals(i: int) -> Any:
            with self._watch("projections"):
                projected = (factors @ self._B.part(i, 0, right)).T
            with self._watch("residuals"):
                return rho(projected, self._B.columns(i)).T

        def write(i: int, answer: Any) -> tuple[Matrix, Matrix]:
            with self._watch("orthogonalisation"):
                added = self._L.part(i, known, known + count)
                added[:] = answer if scale is None else answer / scale
                return products(self._L, i, known, added)

        def largest_of(answer: Any) -> Matrix:
            return np.asarray(np.abs(to_numpy(answer)).max(axis=1, keepdims=True), dtype=float)

        # The first slab tells how many residuals there are, and as a rule of what size.
        first, *others = self._B.slabs
        self._settle(first, pending)
        answer = residuals(first)
        count = int(answer.shape[0])
        largest = largest_of(answer)
        ordinary = bool(((largest > 1 / _ORDINARY) & (largest < _ORDINARY)).all())
        if not ordinary:  # squares would leave the range of the dtype: all slabs are asked

            def look(i: int) -> Matrix:
                self._settle(i, pending)
                return largest_of(residuals(i))

            largest = np.max([largest, *self._workers.run(look, others)], axis=0)
            largest[~(np.isfinite(largest) & (largest > 0))] = 1.0
            scale = self.backend.asarray(largest)
        self._reserve(left=known + count)

        def reveal(i: int) -> tuple[Matrix, Matrix]:
            if ordinary:
                self._settle(i, pending)
            return write(i, residuals(i))

        head = write(first, answer)
        parts = self._workers.run(reveal, others)
        cross, gram = (np.sum(column, axis=0) for column in zip(head, *parts, strict=True))
        if not np.isfinite(gram).all():
            # A diverging step: its residuals are not finite, and nor is its gradient.
            return self.backend.asarray(np.full((count, self.dim), np.nan))
        onto_left = self._orthonormalise_left(known, count, (cross, gram))
        self.left = onto_left.shape[1]
        self._reveal_left(known)
        return self._combine_left(onto_left if ordinary else largest * onto_left)

    def _orthonormalise_left(
        self, known: int, count: int, moments: tuple[Matrix, Matrix]
    ) -> Matrix:
        with self._watch("orthogonalisation", self._workers.threads):
            return orthonormalise(self._L, known, count, self._workers, moments)

    def _reveal_left(self, first: int) -> None:
        """Draw C's rows from `first` on: Xᵀ l for the new l, given what R knows of them."""
        last, right, to_numpy = self.left, self.right, self.backend.to_numpy
        if first == last:
            return
        piece = self._take_pieces(len(self._C.slabs))

        def known(i: int) -> tuple[Matrix]:
            with self._watch("known parts"):
                product = self._L.part(i, first, last) @ self._B.part(i, 0, right).T
                return (to_numpy(product).astype(np.float64),)

        def draw(i: int) -> tuple[Matrix]:
            fresh = self._C.part(i, first, last)
            self._draw(fresh, piece + i)
            with self._watch("known parts"):
                return (to_numpy(fresh @ self._R.part(i, 0, right).T).astype(np.float64),)

        (answer,) = self._workers.total(known, self._B.slabs)
        (overlap,) = self._workers.total(draw, self._C.slabs)
        onto_right = self.backend.asarray(answer - overlap)

        def settle(i: int) -> None:
            new = self._C.part(i, first, last)
            new += onto_right @ self._R.part(i, 0, right)

        self._workers.run(settle, self._C.slabs)

    def _combine_left(self, onto_left: Matrix) -> Any:
        """onto_left @ C, shape `(p, d)`."""
        factors = self.backend.asarray(onto_left)
        result = self.backend.empty((len(onto_left), self.dim))

        def task(i: int) -> None:
            result[:, self._C.columns(i)] = factors @ self._C.part(i, 0, self.left)

        self._workers.run(task, self._C.slabs)
        return result

    def _draw(self, rows: Any, piece: int) -> None:
        with self._watch("random numbers"):
            self._normals.fill(rows, piece)

    @contextmanager
    def _whole_or_not_at_all(self) -> Iterator[None]:
        """Forget a question whose answer was cut short: half of it would spoil all later ones."""
        before = self.right, self.left
        try:
            # For all of it: which products a library shares out would decide the last bits.
            with single_threaded_libraries():
                yield
        except BaseException:
            self.right, self.left = before
            raise

    # -- room -------------------------------------------------------------------------------

    def _take_pieces(self, count: int) -> int:
        first = self._pieces
        self._pieces += count
        return first

    def _reserve(self, *, right: int = 0, left: int = 0) -> None:
        """Room for so many directions; beyond what was reserved, half as many again."""
        wanted = [
            present if needed <= present else max(needed, present * 3 // 2)
            for needed, present in zip((right, left), self._reserved, strict=True)
        ]
        if wanted == list(self._reserved):
            return
        # First, so that a refusal leaves everything as it was.
        self._check_room(wanted[0], wanted[1], max(self._reserved))
        for rows, capacity in (
            (self._R, wanted[0]), (self._B, wanted[0]), (self._C, wanted[1]), (self._L, wanted[1])
        ):  # fmt: skip
            rows.reserve(capacity)
        self._reserved = (wanted[0], wanted[1])

    def _check_room(self, right: int, left: int, copied: int = 0) -> None:
        """`copied`: rows of the longer side that are there twice while an array grows."""
        n, d, dtype = self.n_samples, self.dim, self.backend.dtype
        needed = lazy_bytes(n, d, right, left, dtype) + lazy_bytes(max(n, d), 0, copied, 0, dtype)
        what = f"a lazy design of n={n}, d={d} with {right} + {left} directions"
        check_fits(needed, what, self.backend.device)


class _Pending:
    """New rows first … last − 1 of B that still lack `onto_left` @ L (None: nothing)."""

    def __init__(self, first: int, last: int, onto_left: Any | None) -> None:
        self.first, self.last, self.onto_left = first, last, onto_left


def lazy_bytes(n_samples: int, dim: int, right: int, left: int, dtype: str) -> int:
    """Bytes of the bases and answers of a lazy design with so many directions on each side."""
    return (n_samples + dim) * (right + left) * int(np.dtype(dtype).itemsize)
