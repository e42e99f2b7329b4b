"""The counter-based generator Philox4x32-10, in NumPy.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): a bijection
of 128-bit counters, one for each 64-bit key, whose outputs pass the known batteries of tests for
counters and keys that differ in single bits. A random number is a function of where it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import NumpyArray

if TYPE_CHECKING:
    from jaxtyping import UInt64

_ROUNDS = 10
_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], dtype=np.uint64)
_WEYL = np.array([[0x9E3779B9], [0xBB67AE85]], dtype=np.uint64)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


def philox4x32(
    counters: UInt64[NumpyArray, "4 n"], key: tuple[int, int]
) -> UInt64[NumpyArray, "4 n"]:
    """The four 32-bit words of each counter, as uint64.

    **Arguments**

    - `counters`: four words below 2³² each, the least significant first.
    - `key`: two words below 2³².
    """
    factors, others = counters[0::2].copy(), counters[1::2].copy()
    philox_in_place(factors, others, np.empty_like(factors), key)
    words = np.empty_like(counters)
    words[0::2], words[1::2] = factors, others
    return words


def philox_in_place(
    factors: UInt64[NumpyArray, "2 n"],
    others: UInt64[NumpyArray, "2 n"],
    products: UInt64[NumpyArray, "2 n"],
    key: tuple[int, int],
) -> None:
    """The same on the words of even number, which a round multiplies, and the others.

    **Arguments**

    - `products`: memory to work in; new one would take as long as the arithmetic.
    """
    keys = np.array([[key[0]], [key[1]]], dtype=np.uint64)
    for _ in range(_ROUNDS):
        np.multiply(factors, _MULTIPLIERS, out=products)
        np.right_shift(products[::-1], _HALF, out=factors)
        factors ^= others
        factors ^= keys
        np.bitwise_and(products[::-1], _LOW, out=others)
        keys = (keys + _WEYL) & _LOW
