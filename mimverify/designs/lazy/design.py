"""A Gaussian design matrix sampled lazily. Source: theory.md §8.

Training uses a Gaussian matrix X `(n, d)` only through products X V and Xᵀ R. Given orthonormal
bases R `(k, d)` of the directions queried so far and L `(l, n)` on the other side, and the
answers B = R Xᵀ `(k, n)` and C = L X `(l, d)`, the next answer has a known part and an
independent Gaussian one: for q ⟂ R,

    X q = Lᵀ (C q) + (I − Lᵀ L) ξ,    ξ ~ N(0, I_n),

and the same with the sides exchanged. So training proceeds as on the stored matrix, exactly in
distribution, in (n + d)(k + l) numbers instead of n d.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from mimverify.backends import Backend
from mimverify.designs.base import Design, RowFunction
from mimverify.designs.lazy.gram_schmidt import orthonormalise, products
from mimverify.designs.lazy.normals import normals
from mimverify.designs.lazy.stopwatch import Stopwatch
from mimverify.designs.lazy.storage import ColumnBlocks, block_width
from mimverify.designs.lazy.workers import Workers
from mimverify.support.arrays import Array, Float64Array, FloatArray
from mimverify.support.memory import check_fits
from mimverify.support.threads import single_threaded_libraries
from mimverify.support.validation import array, integer

if TYPE_CHECKING:
    from jaxtyping import Float

# Between this and its inverse, sums of n squares are far from float32's limits.
_LARGEST = 1e9


class LazyGaussianDesign(Design):
    """n rows of independent N(0, I_d), drawn only as far as training queries them.

    Distributed exactly as a stored matrix of independent standard normals, for any queries in
    any order, to the rounding of the backend's dtype. A seed fixes the answers to one sequence
    of queries; for another sequence the same seed gives another matrix.

    **Arguments**

    - `n_samples`, `dim`: n and d.
    - `backend`: of the arrays of queries and answers.
    - `seed`: of the independent parts.
    - `right`, `left`: directions to allocate memory for, of X V and of Xᵀ R. More are
      allocated as needed, up to the memory of the machine.
    - `threads`: None for as many as the libraries use. Answers do not depend on it.

    The attributes `right`, `left` count the directions revealed so far. Memory: `lazy_bytes`.
    Time: `cost`.

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
        self._check_memory(right, left)
        self._reserved = (right, left)
        self._workers = Workers(backend, threads)
        self._normals = normals(integer("seed", seed, minimum=0, maximum=2**32 - 1), backend)
        self._watch = Stopwatch()
        self._streams = 0  # used: no two draws of this design share a number
        width = block_width(right + left, backend)
        self._R = ColumnBlocks(self.dim, right, width, backend)
        self._C = ColumnBlocks(self.dim, left, width, backend)
        self._B = ColumnBlocks(self.n_samples, right, width, backend)
        self._L = ColumnBlocks(self.n_samples, left, width, backend)
        self.right = self.left = 0

    # -- the passes -------------------------------------------------------------------------

    def one_pass(self, V: Float[Array, "q d"], rho: RowFunction) -> Float[Array, "p d"]:
        with self._atomic():
            coefficients, pending = self._query_right(V)
            return self._query_left(coefficients, pending, rho)

    def project(self, V: Float[Array, "q d"]) -> Float[Array, "n q"]:
        with self._atomic():
            coefficients, pending = self._query_right(V)
            factors = self.backend.asarray(coefficients)
            result = self.backend.empty((len(coefficients), self.n_samples))

            def task(i: int) -> None:
                self._add_known_part(i, pending)
                with self._watch("projections"):
                    result[:, self._B.columns(i)] = factors @ self._B.view(i, 0, self.right)

            self._workers.run(task, self._B.blocks)
        return result.T

    def projections(self, V: Float[Array, "q d"]) -> Iterator[tuple[slice, Float[Array, "k q"]]]:
        projected = self.project(V)
        for i in self._B.blocks:
            rows = self._B.columns(i)
            yield rows, projected[rows]

    @property
    def threads(self) -> int:
        """Threads that work on the design."""
        return self._workers.threads

    def cost(self) -> dict[str, float]:
        """Thread-seconds spent so far, by kind of work.

        `random numbers`; `known parts` (of an answer, given the earlier ones);
        `orthogonalisation`; `projections`; `residuals` (activation and loss).
        """
        return self._watch.totals()

    def revealed(self) -> dict[str, FloatArray]:
        """Copies of R `(k, d)`, L `(l, n)`, B = R Xᵀ `(k, n)` and C = L X `(l, d)`.

        Any X with these products is a completion: Lᵀ C + Bᵀ R − Lᵀ (L Bᵀ) R, plus normals
        on both complements.
        """
        return {
            "R": self._R.dense(0, self.right),
            "L": self._L.dense(0, self.left),
            "B": self._B.dense(0, self.right),
            "C": self._C.dense(0, self.left),
        }

    # -- X V --------------------------------------------------------------------------------

    def _query_right(self, V: Array) -> tuple[Float64Array, _Pending]:
        """Coefficients `(q, k)` of V's rows on the extended R, and what B's new rows still lack."""
        rows = array("V", self.backend.to_numpy(V), (None, self.dim))
        scale = np.abs(rows).max(axis=1).astype(np.float64)
        scale[scale == 0] = 1.0  # squares of small numbers would underflow
        count, known = len(rows), self.right
        self._reserve(right=known + count)
        for i in self._R.blocks:
            block = rows[:, self._R.columns(i)] / scale[:, None]
            self._R.view(i, known, known + count)[:] = self.backend.asarray(block)
        coefficients = self._orthonormalise_right(known, count)
        self.right = coefficients.shape[1]
        return scale[:, None] * coefficients, self._reveal_right(known)

    def _orthonormalise_right(self, known: int, count: int) -> Float64Array:
        with self._watch("orthogonalisation", self._workers.threads):
            return orthonormalise(self._R, known, count, self._workers)

    def _reveal_right(self, first: int) -> _Pending:
        """Draw B's rows from `first` on, X q for the new q; their part in L's span is pending."""
        last, left = self.right, self.left
        stream = self._take_streams(len(self._B.blocks))
        to_numpy = self.backend.to_numpy
        if first == last or left == 0:  # nothing is known of X q
            self._workers.run(
                lambda i: self._draw(self._B.view(i, first, last), stream + i), self._B.blocks
            )
            return _Pending(first, last, None)

        def draw(i: int) -> tuple[Float64Array]:
            fresh = self._B.view(i, first, last)
            self._draw(fresh, stream + i)
            with self._watch("known parts"):
                return (to_numpy(fresh @ self._L.view(i, 0, left).T).astype(np.float64),)

        def known(i: int) -> tuple[Float64Array]:
            product = self._R.view(i, first, last) @ self._C.view(i, 0, left).T
            return (to_numpy(product).astype(np.float64),)

        (overlap,) = self._workers.total(draw, self._B.blocks)
        (answer,) = self._workers.total(known, self._R.blocks)
        return _Pending(first, last, self.backend.asarray(answer - overlap))

    def _add_known_part(self, i: int, pending: _Pending) -> None:
        """Add to the new rows of B, in block i, their part in the span of L."""
        if pending.onto_left is not None:
            with self._watch("known parts"):
                new = self._B.view(i, pending.first, pending.last)
                new += pending.onto_left @ self._L.view(i, 0, self.left)

    # -- Xᵀ R -------------------------------------------------------------------------------

    def _query_left(self, coefficients: Float64Array, pending: _Pending, rho: RowFunction) -> Array:
        """ρ(X V)ᵀ X, shape `(p, d)`; V by its coefficients on R."""
        known, right, to_numpy = self.left, self.right, self.backend.to_numpy
        factors = self.backend.asarray(coefficients)
        scale: Array | None = None
        count = 0

        def residuals(i: int) -> Array:
            with self._watch("projections"):
                projected = (factors @ self._B.view(i, 0, right)).T
            with self._watch("residuals"):
                return rho(projected, self._B.columns(i)).T

        def write(i: int, answer: Array) -> tuple[Float64Array, Float64Array]:
            with self._watch("orthogonalisation"):
                added = self._L.view(i, known, known + count)
                added[:] = answer if scale is None else answer / scale
                return products(self._L, i, known, added)

        def largest_of(answer: Array) -> Float64Array:
            return np.asarray(np.abs(to_numpy(answer)).max(axis=1, keepdims=True), dtype=float)

        # The first block gives the number of residuals, and as a rule their magnitude.
        first, *others = self._B.blocks
        self._add_known_part(first, pending)
        answer = residuals(first)
        count = int(answer.shape[0])
        largest = largest_of(answer)
        in_range = bool(((largest > 1 / _LARGEST) & (largest < _LARGEST)).all())
        if not in_range:  # squares would overflow or underflow: scale by the maximum

            def maximum(i: int) -> Float64Array:
                self._add_known_part(i, pending)
                return largest_of(residuals(i))

            largest = np.max([largest, *self._workers.run(maximum, others)], axis=0)
            largest[~(np.isfinite(largest) & (largest > 0))] = 1.0
            scale = self.backend.asarray(largest)
        self._reserve(left=known + count)

        def reveal(i: int) -> tuple[Float64Array, Float64Array]:
            if in_range:
                self._add_known_part(i, pending)
            return write(i, residuals(i))

        head = write(first, answer)
        rest = self._workers.run(reveal, others)
        cross, gram = (np.sum(column, axis=0) for column in zip(head, *rest, strict=True))
        if not np.isfinite(gram).all():
            # A diverging step: its residuals are not finite, and nor is its gradient.
            return self.backend.asarray(np.full((count, self.dim), np.nan))
        onto_left = self._orthonormalise_left(known, count, (cross, gram))
        self.left = onto_left.shape[1]
        self._reveal_left(known)
        return self._combine_left(onto_left if in_range else largest * onto_left)

    def _orthonormalise_left(
        self, known: int, count: int, moments: tuple[Float64Array, Float64Array]
    ) -> Float64Array:
        with self._watch("orthogonalisation", self._workers.threads):
            return orthonormalise(self._L, known, count, self._workers, moments)

    def _reveal_left(self, first: int) -> None:
        """Draw C's rows from `first` on: Xᵀ l for the new l, given X on the span of R."""
        last, right, to_numpy = self.left, self.right, self.backend.to_numpy
        if first == last:
            return
        stream = self._take_streams(len(self._C.blocks))

        def known(i: int) -> tuple[Float64Array]:
            with self._watch("known parts"):
                product = self._L.view(i, first, last) @ self._B.view(i, 0, right).T
                return (to_numpy(product).astype(np.float64),)

        def draw(i: int) -> tuple[Float64Array]:
            fresh = self._C.view(i, first, last)
            self._draw(fresh, stream + i)
            with self._watch("known parts"):
                return (to_numpy(fresh @ self._R.view(i, 0, right).T).astype(np.float64),)

        (answer,) = self._workers.total(known, self._B.blocks)
        (overlap,) = self._workers.total(draw, self._C.blocks)
        onto_right = self.backend.asarray(answer - overlap)

        def add_known_part(i: int) -> None:
            new = self._C.view(i, first, last)
            new += onto_right @ self._R.view(i, 0, right)

        self._workers.run(add_known_part, self._C.blocks)

    def _combine_left(self, onto_left: Float64Array) -> Array:
        """onto_left @ C, shape `(p, d)`."""
        factors = self.backend.asarray(onto_left)
        result = self.backend.empty((len(onto_left), self.dim))

        def task(i: int) -> None:
            result[:, self._C.columns(i)] = factors @ self._C.view(i, 0, self.left)

        self._workers.run(task, self._C.blocks)
        return result

    def _draw(self, rows: Array, stream: int) -> None:
        with self._watch("random numbers"):
            self._normals.fill(rows, stream)

    @contextmanager
    def _atomic(self) -> Iterator[None]:
        """Undo a query that was interrupted: half an answer would invalidate all later ones."""
        before = self.right, self.left
        try:
            # Around all of it: how a library divides a product among threads changes last bits.
            with single_threaded_libraries():
                yield
        except BaseException:
            self.right, self.left = before
            raise

    # -- memory -----------------------------------------------------------------------------

    def _take_streams(self, count: int) -> int:
        first = self._streams
        self._streams += count
        return first

    def _reserve(self, *, right: int = 0, left: int = 0) -> None:
        """Memory for so many directions; beyond what was reserved, half as many again."""
        wanted = [
            present if needed <= present else max(needed, present * 3 // 2)
            for needed, present in zip((right, left), self._reserved, strict=True)
        ]
        if wanted == list(self._reserved):
            return
        # First, so that a refusal changes nothing.
        self._check_memory(wanted[0], wanted[1], max(self._reserved))
        for rows, capacity in (
            (self._R, wanted[0]), (self._B, wanted[0]), (self._C, wanted[1]), (self._L, wanted[1])
        ):  # fmt: skip
            rows.reserve(capacity)
        self._reserved = (wanted[0], wanted[1])

    def _check_memory(self, right: int, left: int, copied: int = 0) -> None:
        """`copied`: rows of the longer side that exist twice while an array grows."""
        n, d, dtype = self.n_samples, self.dim, self.backend.dtype
        needed = lazy_bytes(n, d, right, left, dtype) + lazy_bytes(max(n, d), 0, copied, 0, dtype)
        what = f"a lazy design of n={n}, d={d} with {right} + {left} directions"
        check_fits(needed, what, self.backend.device)


class _Pending:
    """New rows first … last − 1 of B that still lack `onto_left` @ L (None: nothing)."""

    def __init__(self, first: int, last: int, onto_left: Array | None) -> None:
        self.first, self.last, self.onto_left = first, last, onto_left


def lazy_bytes(n_samples: int, dim: int, right: int, left: int, dtype: str) -> int:
    """Bytes of the bases and answers of a lazy design with so many directions on each side."""
    return (n_samples + dim) * (right + left) * int(np.dtype(dtype).itemsize)
