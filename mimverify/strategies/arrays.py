"""Arrays that are correct but awkward: shapes, scales and layouts where code breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from mimverify.problems import MultiIndexModel
from mimverify.strategies.choices import choices
from mimverify.support.arrays import FloatArray
from mimverify.support.validation import choice, dtype_name

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["ARRAY_KINDS", "AwkwardArrays", "adversarial_arrays"]


@dataclass(frozen=True, eq=False)
class AwkwardArrays:
    """A data set and a network: X `(n, d)`, y `(n,)`, W `(m, d)`, a and b `(m,)`.

    `kind` is the key of `ARRAY_KINDS` that describes what is awkward; all arrays are finite.
    """

    kind: str
    X: FloatArray
    y: FloatArray
    W: FloatArray
    a: FloatArray
    b: FloatArray

    def mapped(self, function: Callable[[FloatArray], FloatArray]) -> AwkwardArrays:
        """`function` applied to each array."""
        names = [field.name for field in fields(self) if field.name != "kind"]
        changed: dict[str, FloatArray] = {name: function(getattr(self, name)) for name in names}
        return replace(self, **changed)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Kind:
    """What is awkward: sizes as functions of d, or a change of the arrays."""

    reason: str
    rank: Callable[[int], int] = lambda d: 1
    samples: Callable[[int], int] = lambda d: 4 * d
    neurons: Callable[[int], int] = lambda d: 4
    change: Callable[[AwkwardArrays], AwkwardArrays] = lambda arrays: arrays


def _scaled(exponent: int) -> Callable[[AwkwardArrays], AwkwardArrays]:
    def change(arrays: AwkwardArrays) -> AwkwardArrays:
        # Squares of float32 numbers beyond 1e19 overflow: a quarter of the exponent's range.
        digits = np.finfo(arrays.y.dtype).maxexp // 16 * exponent
        return replace(arrays, y=np.ldexp(arrays.y, digits))

    return change


def _duplicated(arrays: AwkwardArrays) -> AwkwardArrays:
    half = (len(arrays.y) + 1) // 2
    rows = np.arange(len(arrays.y)) % half
    return replace(arrays, X=arrays.X[rows], y=arrays.y[rows])


def _strided(array: Float[FloatArray, "*shape"]) -> Float[FloatArray, "*shape"]:
    """The same numbers as every other entry, backwards, of a larger array."""
    spread = np.zeros([2 * size for size in array.shape], dtype=array.dtype)
    view = spread[(slice(None, None, -2),) * array.ndim]
    view[...] = array
    return view


def _read_only(array: FloatArray) -> FloatArray:
    array = array.copy()
    array.setflags(write=False)
    return array


#: Kinds of awkward arrays, each with its reason.
ARRAY_KINDS: dict[str, _Kind] = {
    "barely-tall": _Kind("n = d + 1", samples=lambda d: d + 1),
    "wide": _Kind("n < d", samples=lambda d: max(1, d // 2)),
    "one-row": _Kind("n = 1", samples=lambda d: 1),
    "full-rank": _Kind("r = d", rank=lambda d: d),
    "two-neurons": _Kind("m = 2", neurons=lambda d: 2),
    "many-neurons": _Kind("m > d", neurons=lambda d: 2 * d + 2),
    "huge": _Kind("labels of a size whose square is still finite", change=_scaled(4)),
    "tiny": _Kind("labels of a size whose square is still normal", change=_scaled(-4)),
    "duplicated": _Kind("every row occurs twice", change=_duplicated),
    "fortran": _Kind("column-major", change=lambda arrays: arrays.mapped(np.asfortranarray)),
    "strided": _Kind("non-contiguous views", change=lambda arrays: arrays.mapped(_strided)),
    "read-only": _Kind("not writable", change=lambda arrays: arrays.mapped(_read_only)),
}


def adversarial_arrays(
    *,
    kinds: Sequence[str] = tuple(ARRAY_KINDS),
    dims: Sequence[int] = (4, 3, 5, 8, 17),
    dtype: str = "float64",
) -> st.SearchStrategy[AwkwardArrays]:
    """Data of a multi-index model and a symmetric start, awkward in one way.

    Labels are Σ z_k² − r of all hidden features.

    **Arguments**

    - `kinds`: keys of `ARRAY_KINDS`, simplest first.
    - `dims`: values of d.

    **Raises** `InputError` for an unknown kind or dtype.
    """
    kinds = [choice("kinds", kind, ARRAY_KINDS) for kind in kinds]
    dtype = dtype_name("dtype", dtype)

    def build(name: str, dim: int, seed: int) -> AwkwardArrays:
        kind = ARRAY_KINDS[name]
        link = "quadratic:" + ",".join(["2"] * kind.rank(dim))
        data = MultiIndexModel(link, dim, seed=seed).sample(kind.samples(dim), dtype=dtype)
        rng = np.random.default_rng([seed, dim])
        half = kind.neurons(dim) // 2
        W = (rng.standard_normal((half, dim)) / 10 / np.sqrt(dim)).astype(dtype)
        a = np.full(half, 0.5 / half, dtype=dtype)
        arrays = AwkwardArrays(
            name,
            X=data.X,
            y=data.y,
            W=np.concatenate([W, W]),
            a=np.concatenate([a, -a]),
            b=np.zeros(2 * half, dtype=dtype),
        )
        return kind.change(arrays)

    return st.builds(build, choices(kinds), choices(dims), choices(range(256)))
