"""Sobol points as SciPy draws them, without its import.

`scipy.stats` takes a second of processor time to import, longer than most of what this package
does with the points. These are the same to the bit, scrambled or not, as
`scipy.stats.qmc.Sobol(dimensions, scramble=..., rng=rng)` gives first: direction numbers of Joe
and Kuo (2008, new-joe-kuo-6), in the order of the Gray code; scrambled by a random lower
triangular matrix and a digital shift (Matoušek 1998).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import integer

if TYPE_CHECKING:
    from jaxtyping import Float64

_BITS = 30
# Of each dimension from the second on: degree and inner coefficients of the primitive polynomial,
# and the first direction integers.
_DIRECTIONS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (1, 0, (1,)),
    (2, 1, (1, 3)),
    (3, 1, (1, 3, 1)),
    (3, 2, (1, 1, 1)),
    (4, 1, (1, 1, 3, 3)),
    (4, 4, (1, 3, 5, 13)),
    (5, 2, (1, 1, 5, 5, 17)),
    (5, 4, (1, 1, 5, 5, 5)),
    (5, 7, (1, 1, 7, 11, 19)),
    (5, 11, (1, 1, 5, 1, 1)),
    (5, 13, (1, 1, 1, 3, 11)),
    (5, 14, (1, 3, 5, 5, 31)),
    (6, 1, (1, 3, 3, 9, 7, 49)),
    (6, 13, (1, 1, 1, 15, 21, 21)),
    (6, 16, (1, 3, 1, 13, 27, 49)),
)

#: Dimensions for which there are direction numbers here.
MOST_DIMENSIONS = len(_DIRECTIONS) + 1


def sobol_points(
    dimensions: int, power: int, rng: np.random.Generator | None = None
) -> Float64[Float64Array, "n D"]:
    """The first n = 2^`power` points in [0, 1)^D, multiples of 2⁻³⁰, `(n, D)`.

    **Arguments**

    - `dimensions`: D, at most `MOST_DIMENSIONS`; `power`: 0 … 30.
    - `rng`: scrambles them; each call takes a generator of its own from it. None: unscrambled.

    **Raises** `InputError` for other sizes.
    """
    dimensions = integer("dimensions", dimensions, minimum=1)
    if dimensions > MOST_DIMENSIONS:
        raise InputError(f"dimensions={dimensions}: expected at most {MOST_DIMENSIONS}")
    power = integer("power", power, minimum=0, maximum=_BITS)
    directions = np.array([_directions(axis) for axis in range(dimensions)], dtype=np.uint32)
    shift = np.zeros(dimensions, dtype=np.uint32)
    if rng is not None:
        directions, shift = _scrambled(directions, rng)
    found = np.empty((dimensions, 1 << power), dtype=np.uint32)
    found[:, 0] = shift
    for level in range(power):
        # Gray codes of 2^level and more are those below it in reverse order, with one more bit.
        size = 1 << level
        np.bitwise_xor(
            found[:, size - 1 :: -1] if level else found[:, :1],
            directions[:, level, None],
            out=found[:, size : 2 * size],
        )
    return np.multiply(found.T, 2.0**-_BITS, order="C")


def _directions(axis: int) -> list[int]:
    """Direction numbers of one axis, as fractions of 2³⁰."""
    if axis == 0:
        return [1 << (_BITS - 1 - k) for k in range(_BITS)]
    degree, coefficients, first = _DIRECTIONS[axis - 1]
    integers = list(first)
    for k in range(degree, _BITS):
        new = integers[k - degree] ^ (integers[k - degree] << degree)
        for step in range(1, degree):
            if coefficients >> (degree - 1 - step) & 1:
                new ^= integers[k - step] << step
        integers.append(new)
    return [value << (_BITS - 1 - k) for k, value in enumerate(integers)]


def _scrambled(
    directions: NDArray[np.uint32], rng: np.random.Generator
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Direction numbers `(D, bits)` under a random matrix for each axis, and a random shift."""
    (own,) = rng.spawn(1)  # as SciPy does, which wants to reset it
    axes = len(directions)
    places = np.arange(_BITS, dtype=np.uint32)
    drawn = own.integers(2, size=(axes, _BITS), dtype=np.uint32)
    shift = np.asarray((drawn << places).sum(axis=1), dtype=np.uint32)
    matrices = np.tril(own.integers(2, size=(axes, _BITS, _BITS), dtype=np.uint32))
    matrices[:, places, places] = 1
    bits = directions[:, :, None] >> places[::-1] & 1  # the leading one first
    turned = np.einsum("dpk,djk->djp", matrices, bits) & 1
    return np.asarray((turned << places[::-1]).sum(axis=2), dtype=np.uint32), shift
