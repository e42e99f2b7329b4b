"""Standard normals by counter: any entry of any block of a stream on its own.

Entry e of block k is a function of the stream's key, k and e. Its 64 random bits are half e mod 2
of Philox4x32-10 at the counter (⌊e/2⌋, k, 0), of 40, 56 and 32 bits, and a ziggurat of 1024 layers
makes a normal of them: ten bits choose the layer, 52 are the magnitude and one is the sign. One
entry in 234 falls outside the part of its layer that lies under the curve; its further bits come
from counters of its own, (⌊e/2⌋, k, 2 a + e mod 2), a = 1, 2, …

All is integers, sums, products and quotients of float64 in a fixed order, which every machine
rounds alike: this code and the native one give the same bits.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mimverify.native import NativeNormals, native_library
from mimverify.problems.philox import philox_in_place
from mimverify.problems.ziggurat import LAYERS, ziggurat
from mimverify.support.arrays import Float64Array, FloatArray, NumpyArray
from mimverify.support.errors import InputError
from mimverify.support.validation import DTYPES, integer

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int64, UInt64

# Pairs that NumPy draws at a time: what they take stays in the level-2 cache.
_PAIRS = 1 << 14
_ENTRIES, _BLOCKS = 2**41, 2**56
# Of the second word of a key. Torch's generator on CUDA is the same Philox, with a seed of two
# words as its key; small seeds, whose second word is 0, must not give anybody these numbers.
_TAG = 0x6D696D00

_MAGNITUDE = np.uint64(2**52 - 1)
_LAYER = np.uint64(LAYERS - 1)
_SHIFT = np.uint64(11)
_SIGN = np.uint64(1 << 63)
_ONE = np.uint64(1)
_LOW = np.uint64(2**32 - 1)
_HALF = np.uint64(32)


class NormalStream:
    """Independent standard normals, numbered by block and by entry within the block.

    **Arguments**

    - `seed`: below 2³².
    - `purpose`: below 2⁸. Streams that differ in either are independent: both are words of the
      key, so that no two streams share one.
    """

    def __init__(self, seed: int, purpose: int) -> None:
        self.key = (
            integer("seed", seed, minimum=0, maximum=2**32 - 1),
            _TAG + integer("purpose", purpose, minimum=0, maximum=2**8 - 1),
        )

    def fill(self, out: FloatArray, block: int, *, first: int = 0) -> None:
        """Write a block's entries from number `first` on into `out`, in C order.

        **Arguments**

        - `out`: contiguous; float64, or float32, which gets the float64 numbers rounded.
        - `block`: below 2⁵⁶. A block has 2⁴¹ entries.

        **Raises** `InputError` for another array, or numbers beyond these.
        """
        if not out.flags.carray or out.dtype.name not in DTYPES:
            raise InputError(
                f"out: dtype {out.dtype} and strides {out.strides}: expected contiguous and "
                f"writeable memory of {' or '.join(DTYPES)}"
            )
        block = integer("block", block, minimum=0, maximum=_BLOCKS - 1)
        first = integer("first", first, minimum=0, maximum=_ENTRIES - out.size)
        flat, native = out.reshape(-1), native_library()
        if native is None:
            fill_in_numpy(flat, self.key, block, first)
        else:
            _native_normals().fill(native, flat, self.key, block, first)


@lru_cache(maxsize=1)
def _native_normals() -> NativeNormals:
    return NativeNormals(*ziggurat())


class _Memory(threading.local):
    """Arrays that a thread works in: new ones would take as long as the arithmetic."""

    def __init__(self) -> None:
        self.pairs = np.arange(_PAIRS, dtype=np.uint64)
        self.counters = np.empty((3, 2, _PAIRS), dtype=np.uint64)
        self.words = np.empty((4, 2 * _PAIRS), dtype=np.uint64)
        self.normals = np.empty(2 * _PAIRS)


_memory = _Memory()


def fill_in_numpy(
    out: Float[FloatArray, " n"], key: tuple[int, int], block: int, first: int
) -> None:
    """`NormalStream.fill` without native code."""
    start, places, words = 0, [], []
    while start < len(out):
        pair, skip = divmod(first + start, 2)
        entries = min(len(out) - start, 2 * _PAIRS - skip)
        drawn = _memory.normals[: (skip + entries + 1) // 2 * 2]
        outside, their_words = _normals(key, block, pair, drawn)
        out[start : start + entries] = drawn[skip : skip + entries]
        asked = (outside >= skip) & (outside < skip + entries)
        places.append(outside[asked] + (start - skip))
        words.append(their_words[asked])
        start += entries
    if start:
        # All at once: the calls take as long for one entry as for a hundred.
        place, word = np.concatenate(places), np.concatenate(words)
        sizes, word = _resolve(key, block, place.astype(np.uint64) + np.uint64(first), word)
        _set_signs(sizes, word)
        out[place] = sizes


def _normals(
    key: tuple[int, int], block: int, pair: int, out: Float64[Float64Array, " entries"]
) -> tuple[Int64[NumpyArray, " k"], UInt64[NumpyArray, " k"]]:
    """Write both entries of each pair from number `pair` on.

    **Returns** the places in `out` that are outside the sure part of their layers, and their
    words: what is written there is not their normal yet.
    """
    tables, count = ziggurat(), len(out) // 2
    factors, others, products = _memory.counters[:, :, :count]
    np.add(_memory.pairs[:count], np.uint64(pair), out=factors[0])
    np.right_shift(factors[0], _HALF, out=others[0])
    _finish_counters(factors, others, block, 0)
    philox_in_place(factors, others, products, key)
    words, layers, magnitudes, looked_up = _memory.words[:, : 2 * count]
    others <<= _HALF
    np.bitwise_or(factors[0], others[0], out=words[0::2])
    np.bitwise_or(factors[1], others[1], out=words[1::2])
    np.bitwise_and(words, _LAYER, out=layers)
    np.right_shift(words, _SHIFT, out=magnitudes)
    magnitudes &= _MAGNITUDE
    places, scales = layers.view(np.int64), looked_up.view(np.float64)
    np.take(tables.scale, places, out=scales, mode="clip")  # "raise" would copy
    np.multiply(magnitudes, scales, out=out, casting="unsafe")
    np.take(tables.inside, places, out=looked_up, mode="clip")
    outside = np.flatnonzero(magnitudes >= looked_up)
    their_words = words[outside]
    _set_signs(out, words)
    return outside, their_words


def _set_signs(sizes: Float64[Float64Array, " n"], words: UInt64[NumpyArray, " n"]) -> None:
    """Give magnitudes the signs of their words, which are overwritten.

    By the bit, so that there is a −0 and the native code need not tell it from 0.
    """
    words &= _SIGN
    signs = sizes.view(np.uint64)
    signs |= words


def _finish_counters(
    factors: UInt64[NumpyArray, "2 n"],
    others: UInt64[NumpyArray, "2 n"],
    block: int,
    attempt: NumpyArray | int,
) -> None:
    """Complete counters that hold a pair's number and, in `others[0]`, what is beyond 32 bits."""
    factors[0] &= _LOW
    others[0] |= np.uint64(block % 2**24 << 8)
    factors[1] = block >> 24
    others[1] = attempt


def _resolve(
    key: tuple[int, int],
    block: int,
    entries: UInt64[NumpyArray, " n"],
    words: UInt64[NumpyArray, " n"],
) -> tuple[Float64[Float64Array, " n"], UInt64[NumpyArray, " n"]]:
    """Magnitudes of entries outside the sure part of their layers, and words with their signs."""
    tables = ziggurat()
    sizes, final = np.empty(len(entries)), words.copy()
    open_ = np.arange(len(entries))
    attempt = 0
    while len(open_):
        attempt += 2
        word, entry = final[open_], entries[open_]
        layer = (word & _LAYER).view(np.int64)
        magnitude = (word >> _SHIFT) & _MAGNITUDE
        x = magnitude.astype(np.float64) * tables.scale[layer]
        done = magnitude < tables.inside[layer]
        one, two = _draw(key, block, entry >> _ONE, attempt + (entry & _ONE))
        first, second = _unit(one), _unit(two)
        in_tail = layer == 0
        # Beyond R: an exponential variable, accepted with probability e^(−x²/2).
        beyond = -_logarithm(first) / tables.tail
        low, high = tables.height[layer], tables.height[layer + 1]
        level = np.where(in_tail, second, low + first * (high - low))
        distance = np.where(in_tail, beyond, x)
        under = level <= _exponential(-0.5 * (distance * distance))
        x = np.where(in_tail & ~done, tables.tail + beyond, x)
        done |= under
        sizes[open_[done]] = x[done]
        # The lowest layer is left in the tail only; any other is chosen anew.
        final[open_] = np.where(done | in_tail, word, two)
        open_ = open_[~done]
    return sizes, final


def _draw(
    key: tuple[int, int], block: int, pairs: UInt64[NumpyArray, " n"], attempt: NumpyArray | int
) -> tuple[UInt64[NumpyArray, " n"], UInt64[NumpyArray, " n"]]:
    """The two 64-bit words of each pair's counter."""
    factors, others, products = np.empty((3, 2, len(pairs)), dtype=np.uint64)
    factors[0], others[0] = pairs, pairs >> _HALF
    _finish_counters(factors, others, block, attempt)
    philox_in_place(factors, others, products, key)
    factors |= others << _HALF
    return factors[0], factors[1]


def _unit(words: UInt64[NumpyArray, " n"]) -> Float64[Float64Array, " n"]:
    """In (0, 1], multiples of 2⁻⁵³."""
    return ((words >> _SHIFT) + _ONE).astype(np.float64) * 2.0**-53


def _exponential(t: Float64[Float64Array, " n"]) -> Float64[Float64Array, " n"]:
    """e^t for −700 < t ≤ 0."""
    n = np.floor(t * 1.4426950408889634 + 0.5)
    r = t - n * float.fromhex("0x1.62e42fee00000p-1") - n * float.fromhex("0x1.a39ef35793c76p-33")
    total = np.full_like(r, 1.0 / 6227020800.0)
    for factorial in _FACTORIALS:
        total = total * r + 1.0 / factorial
    return np.ldexp(total, n.astype(np.int32))


# 12! … 0!
_FACTORIALS = (
    *(479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0),
    *(720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0),
)


def _logarithm(u: Float64[Float64Array, " n"]) -> Float64[Float64Array, " n"]:
    """log u for 2⁻⁵³ ≤ u ≤ 1."""
    mantissa, exponent = np.frexp(u)
    small = mantissa < float.fromhex("0x1.6a09e667f3bcdp-1")  # √½
    mantissa = np.where(small, 2.0 * mantissa, mantissa)
    power = (exponent - small).astype(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square = s * s
    total = np.full_like(s, 1.0 / 25.0)
    for odd in range(23, 0, -2):
        total = total * square + 1.0 / odd
    return power * float.fromhex("0x1.62e42fefa39efp-1") + 2.0 * s * total
