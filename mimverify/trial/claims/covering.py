"""Covering arrays: few combinations of values in which all pairs, or triples, of values occur.

A mistake that shows only with one value, or only with two values together, is met by some row
of a *covering array of strength 2*, and the array has hardly more rows than the two longest
lists of values have pairs. See D. R. Kuhn, R. N. Kacker and Y. Lei, *Introduction to
Combinatorial Testing*, CRC Press 2013, ch. 4.

Libraries build such arrays as a whole. Here a row belongs to a configuration, and the rows of a
configuration should not depend on how many follow: then claims that try the same kinds of
configurations meet the same rows, and a trainer that compiles finds its programs again.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import combinations, product

__all__ = ["covering_blocks", "extended_blocks"]

#: A value of each factor, by its index.
Row = tuple[int, ...]
#: Values of some factors: (factor, value) of each.
Tuple = tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def covering_blocks(
    levels: tuple[int, ...], blocks: int, *, strength: int, seed: int = 0
) -> tuple[tuple[Row, ...], ...]:
    """Rows of a covering array whose first factor is the block, for each of the blocks.

    Any `strength` factors, the block among them, take all their joint values in some row. Rows
    are chosen greedily, block by block, and the first blocks of many are mostly those of few.
    Every block takes a share of the tuples that concern no block, so that its size is near
    that of the others.

    **Arguments**

    - `levels`: how many values each factor has.
    - `blocks`: how many blocks there are, at least one.
    - `strength`: from 1 to the number of factors and one more, which gives all combinations.
    - `seed`: of the order in which equally good rows are taken.
    """
    factors = range(len(levels))
    strength = min(strength, len(levels) + 1)
    candidates = list(product(*map(range, levels)))
    random.Random(seed).shuffle(candidates)
    smaller = {row: set(_tuples([row], factors, strength - 1)) for row in candidates}
    larger = {row: set(_tuples([row], factors, strength)) for row in candidates}
    everywhere = set().union(*larger.values())
    found = []
    for block in range(blocks):
        inside = set().union(*smaller.values())
        least = math.ceil(_rows_needed(everywhere) / (blocks - block))
        rows: list[Row] = []
        while inside or (everywhere and len(rows) < least) or (everywhere and block == blocks - 1):
            row = max(
                candidates,
                key=lambda row: (len(inside & smaller[row]), len(everywhere & larger[row])),
            )
            rows.append(row)
            inside -= smaller[row]
            everywhere -= larger[row]
        found.append(tuple(rows))
    return tuple(found)


@lru_cache(maxsize=64)
def extended_blocks(
    levels: tuple[int, ...], blocks: int, *, extra: int, strength: int, seed: int = 0
) -> tuple[tuple[Row, ...], ...]:
    """`covering_blocks` with one more factor, the last, of `extra` values.

    Its rows are those of `covering_blocks` in their order, each with a value of the new factor, so
    that what knows nothing of that factor finds the same rows; where they are too few for all joint
    values of `strength` factors, others follow at the end of their block.

    **Arguments**

    - `levels`, `blocks`, `strength`, `seed`: as of `covering_blocks`.
    - `extra`: how many values the new factor has.
    """
    base = covering_blocks(levels, blocks, strength=strength, seed=seed)
    factors = range(len(levels) + 2)  # the block first, the new one last
    others = min(strength, len(factors)) - 1

    def with_last(row: Row) -> set[Tuple]:
        """The row's tuples with the new factor."""
        last = (factors[-1], row[-1])
        return {(*some, last) for some in _tuples([row[:-1]], factors[:-1], others)}

    values = list(range(extra))
    full = [
        (k, *row, v) for k in range(blocks) for row in product(*map(range, levels)) for v in values
    ]
    missing = set().union(*map(with_last, full))
    rng = random.Random(seed)
    found: list[list[Row]] = [[] for _ in range(blocks)]

    def take(candidates: Sequence[Row]) -> None:
        best = max(candidates, key=lambda row: len(missing & with_last(row)))
        missing.difference_update(with_last(best))
        found[best[0]].append(best[1:])

    for block, rows in enumerate(base):
        for row in rows:
            rng.shuffle(values)  # of values that are equally good
            take([(block, *row, value) for value in values])
    while missing:
        take(full)
    return tuple(map(tuple, found))


def _tuples(rows: Iterable[Row], factors: Sequence[int], size: int) -> Iterable[Tuple]:
    """The values of each `size` factors in the rows; the empty tuple for size 0."""
    for row in rows:
        for chosen in combinations(factors, size):
            yield tuple((factor, row[factor]) for factor in chosen)


def _rows_needed(tuples: Iterable[Tuple]) -> int:
    """The least number of rows in which they occur: a row has one for each choice of factors."""
    counts: dict[tuple[int, ...], int] = {}
    for single in tuples:
        chosen = tuple(factor for factor, _ in single)
        counts[chosen] = counts.get(chosen, 0) + 1
    return max(counts.values(), default=0)
