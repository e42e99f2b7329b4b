"""Tests of `mimverify.problems`: Philox, the ziggurat's tables, and normals by counter."""

from __future__ import annotations

import hashlib
import itertools
import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy.special import log_ndtr, ndtr
from scipy.stats import binom, chi2, chisquare, norm, pearsonr

from mimverify import InputError, MultiIndexModel
from mimverify.backends import REQUIRED_BACKENDS, get_backend
from mimverify.designs.lazy.normals import normals
from mimverify.native import loadable_levels, using
from mimverify.problems import normal_stream
from mimverify.problems.normal_stream import NormalStream, fill_in_numpy
from mimverify.problems.philox import philox4x32
from mimverify.problems.streams import BLOCK_ROWS
from mimverify.problems.ziggurat import LAYERS, ziggurat
from mimverify.statistics import uniformity_test
from mimverify.support.arrays import NumpyArray
from mimverify.support.threads import map_in_order, thread_limit

LEVELS = loadable_levels()
#: How numbers may be drawn: by NumPy and at each level that this processor has.
WAYS = ["0", *LEVELS]
#: False alarm of each statistical test here, split where there are several.
LEVEL = 1e-7


def drawn(
    count: int, *, seed: int = 1, purpose: int = 0, block: int = 0, first: int = 0,
    dtype: str = "float64",
) -> NumpyArray:  # fmt: skip
    out = np.full(count, np.nan, dtype)
    NormalStream(seed, purpose).fill(out, block, first=first)
    return out


def bits(values: NumpyArray) -> NumpyArray:
    """To compare −0 and 0, which are equal, as well."""
    return values.view(f"u{values.itemsize}")


# -- the generator -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_known_answers_of_philox(counter: str, key: str, words: str) -> None:
    """Of the authors' library Random123 (`kat_vectors`, philox4x32, 10 rounds)."""
    first, second = (int(word, 16) for word in key.split())
    counters = np.array([[int(word, 16)] for word in counter.split()], dtype=np.uint64)
    found = philox4x32(counters, (first, second))[:, 0]
    assert " ".join(f"{word:08x}" for word in found.tolist()) == words


def philox_of(counter: list[int], key: list[int]) -> list[int]:
    """One counter in Python's integers, as the paper's figure has it."""
    c, k = list(counter), list(key)
    for _ in range(10):
        high_0, low_0 = divmod(0xD2511F53 * c[0], 2**32)
        high_1, low_1 = divmod(0xCD9E8D57 * c[2], 2**32)
        c = [high_1 ^ c[1] ^ k[0], low_1, high_0 ^ c[3] ^ k[1], low_0]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def test_each_bit_of_counter_and_key_changes_half_of_the_words_bits() -> None:
    """For 512 counters each of 192 bits; exact binomial limits of each count of changed bits."""
    rng = np.random.default_rng(11)
    counters = rng.integers(2**32, size=(4, 512), dtype=np.uint64)
    key = [int(word) for word in rng.integers(2**32, size=2)]
    words = philox4x32(counters, (key[0], key[1]))
    low, high = binom(512, 0.5).ppf([LEVEL / (2 * 192 * 128), 1 - LEVEL / (2 * 192 * 128)])
    for word, bit in itertools.product(range(6), range(32)):
        changed, other = counters.copy(), list(key)
        if word < 4:
            changed[word] ^= np.uint64(1 << bit)
        else:
            other[word - 4] ^= 1 << bit
        flips = words ^ philox4x32(changed, (other[0], other[1]))
        for k in range(32):
            counts = (flips >> np.uint64(k) & np.uint64(1)).sum(axis=1)
            assert low <= counts.min() <= counts.max() <= high, (word, bit, k)


# -- the tables --------------------------------------------------------------------------------


def test_layers_have_one_area_and_end_at_the_top() -> None:
    tables = ziggurat()
    widths = tables.scale * 2.0**52
    area = tables.tail * math.exp(-(tables.tail**2) / 2) + math.sqrt(2 * math.pi) * ndtr(
        -tables.tail
    )
    assert widths[0] * np.exp(-(tables.tail**2) / 2) == pytest.approx(area, rel=1e-14)
    assert widths[1] == tables.tail
    np.testing.assert_allclose(widths[1:] * np.diff(tables.height[1:]), area, rtol=1e-10)
    np.testing.assert_allclose(tables.height[1:-1], np.exp(-(widths[1:] ** 2) / 2), rtol=1e-14)
    assert tables.height[-1] == 1
    narrower = np.append(widths[1:], 0.0)
    np.testing.assert_allclose(tables.inside * 2.0**-52, narrower / widths, rtol=1e-14)
    # One in 234 entries takes more than a multiplication.
    assert 1 / (1 - tables.inside.mean() * 2.0**-52) == pytest.approx(234, abs=1)


def test_the_law_of_the_construction() -> None:
    """The density that the tables give, layer by layer, is the normal one up to rounding, and its
    integral the distribution function. A layer is chosen with probability 1/1024, a point of it
    evenly; what is not under the curve is chosen anew, except for the lowest layer's tail."""
    tables = ziggurat()
    widths, height = tables.scale * 2.0**52, tables.height
    sure = tables.inside * tables.scale  # up to here a layer's points are taken as they are

    def weight(x: NumpyArray) -> NumpyArray:
        """Of |x| < R, not normalised: the sum over layers of density times acceptance."""
        curve, total = np.exp(-(x**2) / 2), np.zeros_like(x)
        for i in range(LAYERS):
            if i:
                accepted = np.clip((curve - height[i]) / (height[i + 1] - height[i]), 0, 1)
            else:
                accepted = np.zeros_like(x)  # beyond R there is the tail instead
            taken = np.where(x < sure[i], 1.0, accepted) * (x < widths[i])
            total += taken / widths[i]
        return total / LAYERS

    # All that is ever left is proportional to this; the tail has the rest of the lowest layer.
    borders = np.concatenate([[0.0], widths[:0:-1]])  # between them the density is smooth
    nodes, gauss = np.polynomial.legendre.leggauss(6)
    half = np.diff(borders) / 2
    x = borders[:-1, None] + half[:, None] * (1 + nodes)
    pieces = (weight(x) * gauss).sum(axis=1) * half
    tail = (1 - sure[0] / widths[0]) / LAYERS
    whole = pieces.sum() + tail
    expected = math.sqrt(2 / math.pi) * np.exp(-(x**2) / 2)
    np.testing.assert_allclose(weight(x) / whole, expected, rtol=1e-12)
    np.testing.assert_allclose(
        np.cumsum(pieces) / whole, 2 * ndtr(borders[1:]) - 1, rtol=0, atol=1e-13
    )
    assert tail / whole == pytest.approx(2 * ndtr(-tables.tail), rel=1e-11)


def test_tables_and_normals_are_the_same_on_every_machine() -> None:
    """A change of either changes all data sets: DATA_DEFINITION, formats of checkpoints, capsules
    and so on with them."""
    tables = ziggurat()
    digest = hashlib.sha256()
    for table in (tables.scale, tables.inside, tables.height, np.array([tables.tail])):
        digest.update(table.astype(table.dtype.newbyteorder("<")).tobytes())
    assert digest.hexdigest()[:16] == "7e74f50830886e3f"
    values = drawn(1 << 18, seed=3, purpose=2, block=5)  # some of them in the tail
    assert (np.abs(values) > tables.tail).sum() > 0
    digest = hashlib.sha256(values.astype("<f8").tobytes())
    assert digest.hexdigest()[:16] == "8e7dc7bd2f11b8af"


# -- the definition ----------------------------------------------------------------------------


def normal_of(key: tuple[int, int], block: int, entry: int) -> float:
    """One entry as the module's text defines it; decisions in 40 digits."""
    tables = ziggurat()

    def two_words(attempt: int) -> tuple[int, int]:
        counter = entry // 2 | block << 40 | attempt << 96
        c = philox_of([counter >> 32 * k & 0xFFFFFFFF for k in range(4)], list(key))
        return c[0] | c[1] << 32, c[2] | c[3] << 32

    word = two_words(0)[entry % 2]
    for a in itertools.count(1):
        layer, magnitude = word % LAYERS, word >> 11 & (2**52 - 1)
        sign = -1 if word >> 63 else 1
        x = magnitude * float(tables.scale[layer])
        if magnitude < int(tables.inside[layer]):
            return sign * x
        first, second = two_words(2 * a + entry % 2)
        unit, other = (Decimal((w >> 11) + 1) / 2**53 for w in (first, second))
        with localcontext() as context:
            context.prec = 40
            if layer == 0:
                beyond = -unit.ln() / Decimal(tables.tail)
                if other <= (-beyond * beyond / 2).exp():
                    return sign * float(Decimal(tables.tail) + beyond)
                continue
            low, high = (Decimal(float(h)) for h in tables.height[layer : layer + 2])
            if low + unit * (high - low) <= (-(Decimal(x) ** 2) / 2).exp():
                return sign * x
        word = second
    raise AssertionError


def test_numpy_follows_the_definition() -> None:
    """All entries that need a second counter, among 40 000, and some others."""
    key, block = (77, 1 << 31), 3 << 33
    values = np.empty(40_000)
    fill_in_numpy(values, key, block, 0)
    counters = normal_stream._draw(key, block, np.arange(20_000, dtype=np.uint64), 0)
    words = np.stack(counters, axis=1).ravel()
    magnitudes = words >> np.uint64(11) & np.uint64(2**52 - 1)
    outside = np.flatnonzero(magnitudes >= ziggurat().inside[words & np.uint64(LAYERS - 1)])
    assert len(outside) > 100
    for entry in [*outside.tolist(), *range(200)]:
        expected = normal_of(key, block, entry)
        if abs(expected) < ziggurat().tail:
            assert values[entry] == expected
        else:  # a logarithm, rounded otherwise
            assert values[entry] == pytest.approx(expected, rel=4e-16)


def test_the_own_exponential_and_logarithm() -> None:
    rng = np.random.default_rng(2)
    t = np.concatenate([-50 * rng.random(5000) ** 3, [0.0, -700.0, -math.log(2) / 2]])
    np.testing.assert_allclose(normal_stream._exponential(t), np.exp(t), rtol=5e-16)
    u = np.concatenate([rng.random(5000), 2.0 ** -np.arange(54), [1 - 2**-53, math.sqrt(0.5)]])
    np.testing.assert_allclose(normal_stream._logarithm(u), np.log(u), rtol=5e-16, atol=1e-300)


# -- the same bits -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", LEVELS or [pytest.param("none", marks=pytest.mark.skip(
    reason="the native library was not built"))])  # fmt: skip
def test_native_code_gives_the_same_bits(way: str) -> None:
    """A million entries, some hundred of them in the tail; then odd places and counts."""
    places = [(1 << 20, 3, 1), (1 << 16, 2**56 - 1, 2**41 - (1 << 16))]
    places += [(count, 2**40 + 9, 2**33 - 5) for count in (*range(70), 511, 512, 513, 1025)]
    places += [(600, 7, first) for first in range(9)]
    for (count, block, first), dtype in itertools.product(places, ("float64", "float32")):
        with using("0"):
            expected = drawn(count, seed=5, purpose=9, block=block, first=first, dtype=dtype)
        with using(way):
            found = drawn(count, seed=5, purpose=9, block=block, first=first, dtype=dtype)
        np.testing.assert_array_equal(bits(found), bits(expected))


@pytest.mark.parametrize("way", WAYS)
def test_any_entries_on_their_own(way: str) -> None:
    rng = np.random.default_rng(3)
    with using(way):
        whole = drawn(70_000, block=4)
        for _ in range(40):
            first = int(rng.integers(len(whole)))
            count = int(rng.integers(len(whole) - first) ** rng.random()) + 1
            alone = drawn(count, block=4, first=first)
            np.testing.assert_array_equal(alone, whole[first : first + count])
        narrow = drawn(70_000, block=4, dtype="float32")
    np.testing.assert_array_equal(narrow, whole.astype(np.float32))


@pytest.mark.parametrize("way", LEVELS)
def test_data_sets_do_not_depend_on_native_code_or_threads(way: str) -> None:
    model = MultiIndexModel("he2-mix", 77, noise=0.3, seed=12)
    n = 2 * BLOCK_ROWS + 17
    with using("0"), thread_limit(1):
        expected = model.sample(n, purpose="test")
    for threads in (1, 2):
        with using(way), thread_limit(threads):
            found = model.sample(n, purpose="test")
        np.testing.assert_array_equal(found.X, expected.X)
        np.testing.assert_array_equal(found.y, expected.y)


@pytest.mark.parametrize("way", WAYS)
def test_lazy_designs_draw_the_same_numbers_with_either_backend(way: str, dtype: str) -> None:
    with using(way):
        expected = np.stack([drawn(9, seed=6, purpose=0x6C, block=2, first=9 * k, dtype=dtype)
                             for k in range(3)])  # fmt: skip
        for name in REQUIRED_BACKENDS:
            backend = get_backend(name, dtype)
            place = backend.empty((3, 20))
            normals(6, backend).fill(place[:, 4:13], 2)
            np.testing.assert_array_equal(backend.to_numpy(place)[:, 4:13], expected)


# -- the law -----------------------------------------------------------------------------------

COUNT = 1 << 19


def test_moments() -> None:
    """Of order 1 to 6, against their exact standard errors; the mean and Σ x² have exact laws."""
    x = drawn(COUNT, seed=21)
    assert abs(norm.cdf(x.mean() * math.sqrt(COUNT)) - 0.5) < 0.5 - LEVEL / 2
    assert abs(chi2(COUNT).cdf(float(x @ x)) - 0.5) < 0.5 - LEVEL / 2
    moments = [0, 1, 0, 3, 0, 15, 0, 105, 0, 945, 0, 10395]
    limit = norm.isf(LEVEL / 2)
    for order in range(1, 7):
        mean, square = moments[order - 1], moments[2 * order - 1]
        error = math.sqrt((square - mean**2) / COUNT)
        assert abs((x**order).mean() - mean) < limit * error, order


def test_the_whole_law_and_each_layer() -> None:
    """Kolmogorov–Smirnov for all values, χ² of cells much finer than the layers, and signs."""
    x = drawn(COUNT, seed=22)
    assert not uniformity_test(ndtr(x), alpha=LEVEL).rejected
    cells = np.bincount((ndtr(x) * 8192).astype(int), minlength=8192)
    assert chisquare(cells).pvalue > LEVEL
    assert binom.cdf((x < 0).sum(), COUNT, 0.5) > LEVEL / 2
    assert binom.sf((x < 0).sum(), COUNT, 0.5) > LEVEL / 2


def outside(layers: NumpyArray, rng: np.random.Generator) -> NumpyArray:
    """Random words of these layers whose magnitudes lie outside the sure part."""
    least = ziggurat().inside[layers].astype(np.int64)
    words = layers.astype(np.uint64) | rng.integers(least, 2**52).astype(np.uint64) << np.uint64(11)
    return np.asarray(words | rng.integers(2, size=len(words), dtype=np.uint64) << np.uint64(63))


def test_the_tail_beyond_six_sigma() -> None:
    """2¹⁹ entries that start in the tail, as one in 20 000 does: the law given |x| > R, and how
    many lie beyond 6 (19 are expected)."""
    count, tail = 1 << 19, ziggurat().tail
    words = outside(np.zeros(count, dtype=np.int64), np.random.default_rng(23))
    x, final = normal_stream._resolve((1, 2), 3, np.arange(count, dtype=np.uint64), words)
    np.testing.assert_array_equal(final, words)
    assert x.min() > tail
    assert not uniformity_test(np.exp(log_ndtr(-x) - log_ndtr(-tail)), alpha=LEVEL).rejected
    beyond, share = int((x > 6).sum()), float(np.exp(log_ndtr(-6.0) - log_ndtr(-tail)))
    assert min(binom.cdf(beyond, count, share), binom.sf(beyond - 1, count, share)) > LEVEL / 2


def test_the_corners_of_layers() -> None:
    """Entries outside the sure part of layer i are accepted as often as the curve's share says,
    and those accepted at once have the curve's law there."""
    tables, rng = ziggurat(), np.random.default_rng(24)
    for layer in (1, 2, 300, 900, LAYERS - 1):
        words = outside(np.full(1 << 15, layer), rng)
        entries = np.arange(len(words), dtype=np.uint64)
        x, final = normal_stream._resolve((1, layer), 3, entries, words)
        wide = float(tables.scale[layer] * 2.0**52)
        narrow = float(tables.scale[layer + 1] * 2.0**52) if layer < LAYERS - 1 else 0.0
        low, high = tables.height[layer : layer + 2]

        def under(t: NumpyArray | float, low: float = low, narrow: float = narrow) -> NumpyArray:
            """∫ (f − low) from `narrow` to t."""
            curve = math.sqrt(2 * math.pi) * (ndtr(t) - ndtr(narrow))
            return np.asarray(curve - low * (np.asarray(t) - narrow))

        kept = final == words
        share = float(under(wide)) / ((high - low) * (wide - narrow))
        count = int(kept.sum())
        law = binom(len(words), share)
        assert min(law.cdf(count), law.sf(count - 1)) > LEVEL / 10, layer
        values = np.clip(under(x[kept]) / float(under(wide)), 0, 1)
        assert not uniformity_test(values, alpha=LEVEL / 5).rejected, layer


@pytest.mark.slow
def test_counts_in_cells_far_into_the_tail() -> None:
    """2³¹ normals, 13 expected on either side of ±5.69: χ² of cells of σ/16; native only."""
    if not LEVELS:
        pytest.skip("the native library was not built")
    borders = np.arange(-91, 92) / 16
    block, blocks, tasks = 1 << 16, 1 << 15, 1 << 8

    def count(task: int) -> NumpyArray:
        counts = np.zeros(184, dtype=np.int64)
        for index in range(task, blocks, tasks):
            cells = np.floor(drawn(block, seed=25, block=index) * 16).astype(np.int64)
            counts += np.bincount(np.clip(cells, -92, 91) + 92, minlength=184)
        return counts

    total = sum(map_in_order(count, range(tasks), 2))
    shares = np.diff(np.concatenate([[0.0], ndtr(borders), [1.0]]))
    shares[92:] = shares[:92][::-1]  # the upper half without cancellation
    expected = shares / shares.sum() * blocks * block
    assert expected.min() > 5
    assert chisquare(np.asarray(total), expected).pvalue > LEVEL


# -- independence ------------------------------------------------------------------------------


def correlated(streams: list[NumpyArray]) -> float:
    """The smallest p-value, times the number of tests, of all correlations between streams and
    between their squares. The former are exact, for independent normals."""
    pairs = list(itertools.combinations(streams, 2))
    smallest = min(pearsonr(a, b).pvalue for a, b in pairs)
    squares = min(pearsonr(a * a, b * b).pvalue for a, b in pairs)
    return float(min(smallest, squares) * 2 * len(pairs))


def test_counters_keys_and_blocks_are_independent() -> None:
    """Streams next to each other in one respect: entries, blocks, seeds and purposes."""
    count = 1 << 15
    whole = drawn(8 * count, seed=31)
    assert correlated([whole[k::8] for k in range(8)]) > LEVEL  # also halves of one counter
    assert correlated([whole[k : k + count] for k in range(6)]) > LEVEL  # lags
    assert correlated([drawn(count, seed=31, block=k) for k in (0, 1, 2, 3, 1 << 32)]) > LEVEL
    assert correlated([drawn(count, seed=k) for k in (0, 1, 2, 3, 2**32 - 1)]) > LEVEL
    assert correlated([drawn(count, seed=31, purpose=k) for k in (0, 1, 2, 3, 255)]) > LEVEL


def test_sums_over_neighbouring_streams_are_normal() -> None:
    """Sums of 16 streams of neighbouring seeds, blocks and entries: any dependence of several."""
    count = 1 << 15
    sums = [
        sum(drawn(count, seed=k) for k in range(16)),
        sum(drawn(count, seed=32, block=k) for k in range(16)),
        drawn(16 * count, seed=33).reshape(count, 16).sum(axis=1),
    ]
    for total in sums:
        assert not uniformity_test(ndtr(np.asarray(total) / 4), alpha=LEVEL / 3).rejected


@pytest.mark.slow
def test_rows_of_neighbouring_counters_have_the_identity_as_covariance() -> None:
    """2²³ rows of 32 entries and of 32 blocks: every entry of the covariance, against its law."""
    count, width = 1 << 23, 32
    limit = norm.isf(LEVEL / width**2)
    for kind in ("entries", "blocks"):
        total = np.zeros((width, width))
        for part in range(512):
            rows = count // 512
            if kind == "entries":
                X = drawn(rows * width, seed=34, first=part * rows * width).reshape(rows, width)
            else:
                X = np.stack([drawn(rows, seed=35, block=k, first=part * rows)
                              for k in range(width)], axis=1)  # fmt: skip
            total += X.T @ X
        deviation = (total / count - np.eye(width)) * math.sqrt(count)
        deviation /= np.where(np.eye(width), math.sqrt(2), 1)
        assert np.abs(deviation).max() < limit, kind


# -- wrong input -------------------------------------------------------------------------------


def test_wrong_places_are_refused() -> None:
    stream, out = NormalStream(0, 0), np.zeros(8)
    read_only = np.zeros(8)
    read_only.flags.writeable = False
    for wrong in (np.zeros(8, np.float16), np.zeros(8, int), out[::2], np.zeros((4, 4)).T):
        with pytest.raises(InputError, match=r"out: dtype .* expected contiguous"):
            stream.fill(wrong, 0)
    with pytest.raises(InputError, match=r"out: .* writeable"):
        stream.fill(read_only, 0)
    for block, first, message in (
        (-1, 0, "block=-1"), (2**56, 0, "block="), (0, -1, "first=-1"), (0, 2**41 - 7, "first="),
        (0.5, 0, "block=0.5"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            stream.fill(out, block, first=first)  # type: ignore[arg-type]
    assert not out.any()
    for seed, purpose, message in (
        (-1, 0, "seed=-1"),
        (2**32, 0, "seed="),
        (0, 256, "purpose=256"),
    ):
        with pytest.raises(InputError, match=message):
            NormalStream(seed, purpose)
    stream.fill(np.empty(0), 0)
    stream.fill(np.empty((0, 5)), 0)
