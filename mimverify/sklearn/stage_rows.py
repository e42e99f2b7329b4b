"""Which rows train which stage. Source: theory.md §2 (stage 2 needs rows that stage 1 did not use)."""

from __future__ import annotations

import numpy as np

from mimverify.support.arrays import FloatArray, NumpyArray
from mimverify.support.errors import InputError
from mimverify.support.validation import choice, number

__all__ = ["SPLITS", "stage_rows"]

SPLITS = ("shuffle", "ordered", "reuse")


def stage_rows(
    split: str, fraction: object, y: FloatArray, rng: np.random.RandomState
) -> tuple[NumpyArray, NumpyArray]:
    """Rows of stage 1 and of stage 2, by their numbers.

    **Arguments**

    - `split`: `"shuffle"`: two parts at random; `"ordered"`: the first rows, then the others;
      `"reuse"`: all rows for both, as the theorem does not allow.
    - `fraction`: of the rows that stage 1 gets, in (0, 1); each stage gets a row at least, and
      stage 1 two where there are three.
    - `y`: labels `(n,)` that vary, n ≥ 2. Where rare labels leave stage 1 with only one of them,
      a shuffled split exchanges a row: one label trains nothing.
    - `rng`: shuffles.

    **Raises** `InputError` for another split or fraction.
    """
    split = choice("split", split, SPLITS)
    share = number("stage1_fraction", fraction, minimum=0.0, exclusive=True, maximum=1.0)
    if share == 1:
        raise InputError("stage1_fraction=1.0: leaves no rows to stage 2; use split='reuse'")
    n = len(y)
    if split == "reuse":
        return np.arange(n), np.arange(n)
    first = min(max(int(share * n), 2), n - 1)
    order = np.arange(n) if split == "ordered" else rng.permutation(n)
    if split == "shuffle" and first > 1 and np.ptp(y[order[:first]]) == 0:
        other = int(np.argmax(y[order] != y[order[0]]))
        order[[0, other]] = order[[other, 0]]
    return order[:first], order[first:]
