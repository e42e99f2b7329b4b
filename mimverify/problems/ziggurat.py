"""Tables of the ziggurat for the normal law, the same to the bit on every machine.

Marsaglia and Tsang, "The ziggurat method for generating random variables" (J. Stat. Softw. 5(8),
2000): 1024 layers of one area v cover the region under f(x) = e^(−x²/2), x ≥ 0. The lowest also
has what lies beyond x = R, so that it is as wide as v/f(R) would be without; layer i ≥ 1 lies
between the heights f(x_i) and f(x_(i+1)) and is x_i wide, from x_1 = R on, until x_1024 = 0.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mimverify.support.arrays import Float64Array, NumpyArray

#: Layers: with 1024 of them only one in 234 normals needs more than a multiplication.
LAYERS = 1024

# Digits that are carried. Exponentials and logarithms of `decimal` are correctly rounded, which
# those of a C library are not, so that no two machines have different tables.
_DIGITS = 30
# Where the tail begins, R: with it the last layer ends at height 1.
_TAIL = Decimal("4.03884984610950452271442340534")


class Ziggurat(NamedTuple):
    """The tables.

    - `scale` `(1024,)`: a layer's width over 2⁵².
    - `inside` `(1024,)`, uint64: a point whose 52-bit magnitude is below it is under the curve.
    - `height` `(1025,)`: f at a layer's width, from the bottom up; the last is 1.
    - `tail`: R.
    """

    scale: Float64Array
    inside: NumpyArray
    height: Float64Array
    tail: float


@lru_cache(maxsize=1)
def ziggurat() -> Ziggurat:
    """The tables, computed once in a process, in a twentieth of a second."""
    with localcontext() as context:
        context.prec = _DIGITS
        widths, heights = _layers(_TAIL)
        whole = Decimal(2**52)
        scale = [float(width / whole) for width in widths[:-1]]
        inside = [int(whole * narrow / wide) for wide, narrow in pairwise(widths)]
    return Ziggurat(
        np.array(scale),
        np.array(inside, dtype=np.uint64),
        np.array([float(height) for height in heights]),
        float(_TAIL),
    )


def _layers(tail: Decimal) -> tuple[list[Decimal], list[Decimal]]:
    """Widths x_0 … x_1024 and heights f(x_0) … f(x_1024); those of x_0 = v/f(R) are not used."""
    bottom = _curve(tail)
    area = tail * bottom + _beyond(tail)
    widths, heights = [area / bottom, tail], [Decimal(0), bottom]
    for _ in range(LAYERS - 2):
        heights.append(heights[-1] + area / widths[-1])
        widths.append((-2 * heights[-1].ln()).sqrt())
    return [*widths, Decimal(0)], [*heights, Decimal(1)]


def _curve(x: Decimal) -> Decimal:
    return (-x * x / 2).exp()


def _beyond(x: Decimal) -> Decimal:
    """∫ f from x on: half of √(2π) without x f(x) (1 + x²/3 + x⁴/(3·5) + …)."""
    term = total = Decimal(1)
    odd = 1
    while term > Decimal(10) ** -_DIGITS:
        odd += 2
        term *= x * x / odd
        total += term
    pi = Decimal("3.1415926535897932384626433832795028841971693993751")
    return (pi / 2).sqrt() - x * _curve(x) * total
