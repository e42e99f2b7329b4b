"""Tests of `mimverify.problems`: streams, subspaces, links and models."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss, hermeval
from scipy.special import ndtr
from scipy.stats import binom, chi2, pearsonr

from mimverify.backends import REQUIRED_BACKENDS, get_backend
from mimverify.designs import StoredDesign
from mimverify.problems import (
    BLOCK_ROWS,
    DATA_DEFINITION,
    LINKS,
    PURPOSES,
    Dataset,
    Link,
    MultiIndexModel,
    get_link,
    haar_subspace,
    row_blocks,
)
from mimverify.problems import model as model_module
from mimverify.problems.normal_stream import NormalStream
from mimverify.problems.streams import Stream
from mimverify.statistics import null_overlap_cdf, uniformity_test
from mimverify.support.arrays import ArrayLike, NumpyArray
from mimverify.support.errors import InputError

U64 = 2.0**-53


def quadrature(rank: int, nodes: int) -> tuple[NumpyArray, NumpyArray]:
    """Gauss–Hermite nodes `(N, rank)` and probabilities `(N,)`: exact up to degree 2·nodes − 1."""
    x, w = hermegauss(nodes)
    z = np.array(list(itertools.product(x, repeat=rank)))
    p = np.prod(np.array(list(itertools.product(w, repeat=rank))), axis=1)
    return z, p / p.sum()


def rounding(p: NumpyArray, *factors: NumpyArray) -> float:
    """Rounding of Σ p Π factors: 64 units a term, for products of a few polynomials of low degree
    (Horner in hermeval: 2·degree units of Σ|terms|, which the factor 8 between Σ|terms| and |g| at
    the outer nodes covers) and the nodes' own error."""
    return float(64 * 8 * U64 * np.sum(p * np.abs(np.prod(factors, axis=0))))


# --- streams --------------------------------------------------------------------------


def test_the_number_of_the_definition_of_data_sets() -> None:
    """Where the digest changes, raise `DATA_DEFINITION` and write both here: results in stores of
    trials are of other data then."""
    X = MultiIndexModel("he2", 5, seed=7).sample(2050).X
    integers = Stream(7, 1).block(2).integers(2**62, size=16)
    digest = hashlib.sha256(X.astype("<f8").tobytes() + integers.astype("<i8").tobytes())
    assert (DATA_DEFINITION, digest.hexdigest()[:16]) == (2, "c00e45cd16a6e9e2")


def test_blocks_cover_the_rows() -> None:
    for n in (1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS + 5):
        rows = np.concatenate([np.arange(n)[block] for block in row_blocks(n)])
        np.testing.assert_array_equal(rows, np.arange(n))
        assert {b.stop - b.start for b in list(row_blocks(n))[:-1]} <= {BLOCK_ROWS}
    assert list(row_blocks(0)) == []


def test_a_block_does_not_depend_on_others() -> None:
    alone = Stream(5, 1, 2).block(7).standard_normal(10)
    stream = Stream(5, 1, 2)
    for index in range(7):
        stream.block(index).standard_normal(3)
    np.testing.assert_array_equal(stream.block(7).standard_normal(10), alone)
    np.testing.assert_array_equal(stream.block(7).standard_normal(4), alone[:4])


def test_no_two_blocks_start_alike() -> None:
    """Seeds, purposes and indices are distinct, trailing zeros and numbers of words included."""
    purposes = [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 0, 0), (2, 1), (0x55,), (0x55, 0)]
    blocks = list(itertools.product((0, 1, 2**32 - 1), purposes, (0, 1, 2, 1000, 2**32)))
    starts = {Stream(seed, *purpose).block(index).bytes(16) for seed, purpose, index in blocks}
    assert len(starts) == len(blocks)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_data_set_is_a_prefix_of_any_larger_one(noise: float) -> None:
    model = MultiIndexModel("z1z2", 3, noise=noise, seed=4)
    whole = model.sample(2 * BLOCK_ROWS + 7)
    for n in (1, 10, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS + 6):
        part = model.sample(n)
        np.testing.assert_array_equal(part.X, whole.X[:n])
        # Labels pass through a matrix product, whose summation order may depend on the rows.
        np.testing.assert_allclose(part.y, whole.y[:n], rtol=0, atol=label_rounding(whole.X))


def label_rounding(X: NumpyArray) -> float:
    """z1 z2 + noise: each z errs by d u Σ|x_k u_k| ≤ d u ‖x‖ at most, z1 z2 by 2‖x‖ times that."""
    size = float(np.linalg.norm(X, axis=1).max())
    return 4 * X.shape[1] * U64 * size**2


@pytest.mark.parametrize("purpose", PURPOSES)
def test_blocks_alone_are_the_stored_rows(purpose: str) -> None:
    model = MultiIndexModel("he2-mix", 5, noise=0.2, seed=1)
    n = 2 * BLOCK_ROWS + 100
    stored = model.sample(n, purpose=purpose)
    for index, rows in reversed(list(enumerate(row_blocks(n)))):
        block = model.block(index, rows.stop - rows.start, purpose=purpose)
        np.testing.assert_array_equal(block.X, stored.X[rows])
        np.testing.assert_array_equal(block.y, stored.y[rows])
    rows_seen = 0
    for rows, block in model.blocks(n, purpose=purpose):
        np.testing.assert_array_equal(block.X, stored.X[rows])
        np.testing.assert_array_equal(block.y, stored.y[rows])
        assert rows.start == rows_seen
        rows_seen = rows.stop
    assert rows_seen == n


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("first", [0, 1, 700, BLOCK_ROWS, BLOCK_ROWS + 3, 2 * BLOCK_ROWS + 99])
@pytest.mark.parametrize("dim", [5, 300])  # one chunk a block, and several
def test_any_rows_can_be_filled_in(dim: int, first: int, dtype: str) -> None:
    model = MultiIndexModel("he2-mix", dim, noise=0.2, seed=1)
    n = 2 * BLOCK_ROWS + 100
    whole = model.sample(n, dtype=dtype)
    for last in {first, min(first + 1, n), n}:
        data = Dataset(np.full((last - first, dim), np.nan, dtype), np.full(last - first, np.nan))
        done = list(model.fill(data, first=first))
        assert done == sorted(done)
        assert done[-1:] == ([last - first] if last > first else [])
        np.testing.assert_array_equal(data.X, whole.X[first:last])
        # The last chunk's labels pass through a product of another height.
        tolerance = label_rounding(whole.X) + 20 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(data.y, whole.y[first:last], rtol=0, atol=tolerance)


def test_rows_are_filled_into_memory_of_any_layout() -> None:
    model = MultiIndexModel("z1z2", 70, seed=3)
    n = BLOCK_ROWS + 10
    for X in (np.empty((70, n)).T, np.empty((n, 140))[:, ::2], np.empty((2 * n, 70))[::2]):
        data = Dataset(X, np.empty(n))
        assert list(model.fill(data)) == [n]
        np.testing.assert_array_equal(data.X, model.sample(n).X)
        np.testing.assert_array_equal(data.y, model.sample(n).y)


def test_labels_alone_are_those_of_the_block() -> None:
    model = MultiIndexModel("he2-mix", 300, noise=0.2, seed=1)
    for rows in (1, 500, BLOCK_ROWS):
        block = model.block(2, rows, purpose="stage2", seed=7)
        labels = model.block_labels(2, rows, purpose="stage2", seed=7)
        np.testing.assert_array_equal(labels, block.y)


def test_memory_of_blocks_is_used_again_but_for_labels() -> None:
    model = MultiIndexModel("z1z2", 6, seed=4)
    n = 9 * BLOCK_ROWS + 5
    blocks = [block for _, block in model.blocks(n)]
    assert np.shares_memory(blocks[0].X, blocks[-1].X)
    np.testing.assert_array_equal(np.concatenate([block.y for block in blocks]), model.sample(n).y)


def test_filling_reports_its_progress_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "_ROUND", 1)
    monkeypatch.setattr(model_module, "current_threads", lambda: 1)
    data = Dataset(np.empty((2 * BLOCK_ROWS, 3)), np.empty(2 * BLOCK_ROWS))
    done = list(MultiIndexModel("he2", 3).fill(data, first=100))
    assert done == [BLOCK_ROWS - 100, 2 * BLOCK_ROWS - 100, 2 * BLOCK_ROWS]


def test_rows_longer_than_what_is_drawn_at_a_time() -> None:
    dim = model_module.CHUNK_ENTRIES + 7
    model = MultiIndexModel("he2", dim, seed=2)
    whole = model.sample(5, dtype="float32")
    expected = np.empty((5, dim))
    NormalStream(2, 0).fill(expected, 0)
    np.testing.assert_array_equal(whole.X, expected.astype(np.float32))
    np.testing.assert_array_equal(model.block_labels(0, 5).astype(np.float32), whole.y)


@pytest.mark.parametrize(
    ("X", "y", "first", "message"),
    [
        (np.empty((4, 2)), np.empty(4), 0, r"data\.X: shape \(4, 2\).*expected \(4, 3\)"),
        (np.empty((4, 3)), np.empty(5), 0, r"data\.y: shape \(5,\).*expected \(4,\)"),
        (np.empty((4, 3), dtype=int), np.empty(4), 0, r"data\.X: .*int64; expected"),
        (np.empty((4, 3)), np.empty(4, dtype=complex), 0, r"data\.y: .*complex128"),
        (np.empty((4, 3)), np.empty(4), -1, "first=-1"),
    ],
)
def test_arrays_that_cannot_be_filled_are_refused(
    X: NumpyArray, y: NumpyArray, first: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        next(MultiIndexModel("he2", 3).fill(Dataset(X, y), first=first))


def test_float32_is_float64_rounded() -> None:
    model = MultiIndexModel("cos2z", 4, noise=0.1, seed=2)
    wide, narrow = model.sample(1500), model.sample(1500, dtype="float32")
    assert narrow.X.dtype == narrow.y.dtype == np.float32
    np.testing.assert_array_equal(narrow.X, wide.X.astype(np.float32))
    np.testing.assert_array_equal(narrow.y, wide.y.astype(np.float32))


def test_both_backends_see_the_same_numbers(dtype: str) -> None:
    X = MultiIndexModel("cos2z", 4, seed=2).sample(50, dtype=dtype).X
    for name in REQUIRED_BACKENDS:
        backend = get_backend(name, dtype)
        np.testing.assert_array_equal(backend.to_numpy(StoredDesign(X, backend).X), X)


def noise_of(model: MultiIndexModel, clean: MultiIndexModel, n: int, **options: Any) -> NumpyArray:
    return np.asarray((model.sample(n, **options).y - clean.sample(n, **options).y) / model.noise)


def test_seeds_and_purposes_are_independent() -> None:
    """Pairwise correlations of all streams; for independent Gaussians the test is exact.

    In one dimension, where row i is the i-th draw of its stream. False alarm: 1e-6 in all, split
    over the pairs; equal or opposite streams have p = 0.
    """
    n = BLOCK_ROWS
    model = MultiIndexModel("he2", 1, noise=1.0, seed=8)
    clean = MultiIndexModel("he2", 1, seed=8, subspace=model.subspace)
    streams = [
        model.sample(n, purpose=purpose, seed=seed).X[:, 0]
        for purpose in PURPOSES for seed in (None, 0, 9)
    ]  # fmt: skip
    streams += [
        noise_of(model, clean, n, purpose=purpose, seed=seed)
        for purpose in PURPOSES for seed in (None, 9)
    ]  # fmt: skip
    streams += [model.block(index, n).X[:, 0] for index in (1, 2)]
    streams += [Stream(8, key).block(0).standard_normal(n) for key in (0x55, 0x57, 0x62)]
    pairs = list(itertools.combinations(streams, 2))
    assert min(pearsonr(a, b).pvalue for a, b in pairs) > 1e-6 / len(pairs)


def test_inputs_and_noise_are_gaussian() -> None:
    """False alarm: 3 · 1e-7 (exact Kolmogorov–Smirnov, and χ² on the noise's variance)."""
    model = MultiIndexModel("he2", 6, noise=0.25, seed=3)
    clean = MultiIndexModel("he2", 6, seed=3, subspace=model.subspace)
    n = 4000
    assert not uniformity_test(ndtr(model.sample(n).X.ravel()), alpha=1e-7).rejected
    noise = noise_of(model, clean, n)
    assert not uniformity_test(ndtr(noise), alpha=1e-7).rejected
    tail = chi2(n).cdf(float(noise @ noise))
    assert 0.5e-7 < tail < 1 - 0.5e-7


def test_noise_is_optional_and_labels_follow_the_link() -> None:
    model = MultiIndexModel("z1z2", 5, seed=6)
    sample = model.sample(200)
    expected = np.prod(sample.X @ model.subspace.T, axis=1)
    np.testing.assert_allclose(sample.y, expected, rtol=0, atol=2 * label_rounding(sample.X))


# --- subspaces ------------------------------------------------------------------------


@pytest.mark.parametrize(("rank", "dim"), [(1, 1), (1, 4), (3, 7), (5, 5)])
def test_haar_rows_are_orthonormal(rank: int, dim: int) -> None:
    U = haar_subspace(rank, dim, np.random.default_rng(0))
    assert U.shape == (rank, dim)
    # Householder QR: each entry of Q Qᵀ − I is within about d·r units (Higham §19.3).
    assert np.abs(U @ U.T - np.eye(rank)).max() <= 16 * dim * rank * U64


def test_haar_law() -> None:
    """‖U e‖² ~ Beta(r/2, (d − r)/2) for any unit e, and the signs of all entries are fair.

    Without the signs of R's diagonal, LAPACK's choice would show in the diagonal of U.
    False alarm: (1 + 2·15) · 1e-8.
    """
    rank, dim, draws = 3, 5, 2000
    rng = np.random.default_rng(0)
    e = rng.standard_normal(dim)
    e /= np.linalg.norm(e)
    U = np.array([haar_subspace(rank, dim, rng) for _ in range(draws)])
    overlaps = np.clip(((U @ e) ** 2).sum(axis=1), 0, 1)
    assert not uniformity_test(null_overlap_cdf(overlaps, rank=rank, dim=dim), alpha=1e-8).rejected
    positive = (U > 0).sum(axis=0)
    low, high = binom.ppf(1e-8, draws, 0.5), binom.isf(1e-8, draws, 0.5)
    assert (low <= positive).all()
    assert (positive <= high).all()


def test_models_draw_haar_subspaces_from_their_seed() -> None:
    """False alarm 1e-7; a model that ignored its seed would have one subspace only."""
    dim = 6
    U = np.array([MultiIndexModel("z1z2", dim, seed=s).subspace for s in range(600)])
    overlaps = np.clip((U[:, :, 0] ** 2).sum(axis=1), 0, 1)
    assert not uniformity_test(null_overlap_cdf(overlaps, rank=2, dim=dim), alpha=1e-7).rejected
    np.testing.assert_array_equal(MultiIndexModel("he2-mix", dim, seed=5).subspace, U[5])


def test_subspaces_of_growing_rank_are_nested() -> None:
    one, three = (haar_subspace(r, 6, np.random.default_rng(1)) for r in (1, 3))
    # The first row of Q is x/‖x‖ for the first row x drawn, to a few units times d.
    np.testing.assert_allclose(three[:1], one, rtol=0, atol=16 * 6 * U64)


def test_given_subspaces_are_used_or_refused() -> None:
    rows = [[1, 0, 0], [0, 0.6, 0.8]]
    model = MultiIndexModel("z1z2", 3, subspace=rows)
    np.testing.assert_array_equal(model.subspace, rows)
    assert model.rank == 2
    narrow = haar_subspace(2, 50, np.random.default_rng(0)).astype(np.float32)
    assert MultiIndexModel("z1z2", 50, subspace=narrow).subspace.dtype == np.float64
    for subspace, message in [
        ([[1, 0, 0], [0, 0.6, 0.801]], "rows are not orthonormal"),
        ([[1, 0, 0], [1, 0, 0]], "rows are not orthonormal"),
        ([[1, 0, 0]], "subspace has shape (1, 3): expected (2, 3)"),
        ([[1, 0], [0, 1]], "subspace has shape (2, 2): expected (2, 3)"),
        ([[1, 0, 0], [0, np.nan, 1]], "subspace[1, 1]=nan"),
    ]:
        with pytest.raises(InputError, match=re.escape(message)):
            MultiIndexModel("z1z2", 3, subspace=subspace)


# --- links ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", LINKS)
def test_which_links_are_polynomials(name: str) -> None:
    """On lines the interpolant in 13 Chebyshev points is the link, up to rounding, or far off."""
    link = get_link(name)
    assert link.polynomial is not None
    rng = np.random.default_rng(3)
    gaps = []
    for start, slope in rng.standard_normal((8, 2, link.rank)):  # past any kinks and jumps

        def line(t: Any, start: Any = start, slope: Any = slope) -> Any:
            return link(start + 2 * np.outer(t, slope))

        fit, t = np.polynomial.Chebyshev.interpolate(line, 12), np.linspace(-1, 1, 101)
        gaps.append(np.abs(fit(t) - line(t)).max() / np.abs(line(t)).max())
    assert max(gaps) < 1e-12 if link.polynomial else max(gaps) > 1e-6


def test_a_user_s_link_may_say_that_it_is_a_polynomial() -> None:
    assert Link("mine", 1, lambda z: z[:, 0]).polynomial is None
    assert get_link(Link("mine", 1, lambda z: z[:, 0], polynomial=True)).polynomial is True


@pytest.mark.parametrize("name", LINKS)
def test_registered_links(name: str) -> None:
    link = get_link(name)
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.standard_normal((100, link.rank)), np.zeros((1, link.rank)),
                        np.full((1, link.rank), 40.0), np.full((1, link.rank), -40.0)])  # fmt: skip
    y = link(z)
    assert y.shape == (103,)
    assert y.dtype == np.float64
    assert np.ptp(y) > 0
    assert link.formula
    with pytest.raises(InputError, match=f"rank={link.rank + 1}: link .* has rank {link.rank}"):
        get_link(name, rank=link.rank + 1)
    again = get_link(link.name, rank=link.rank)  # the name is a specification
    np.testing.assert_array_equal(again(z), y)
    # Every hidden feature counts: the rank is not smaller than stated.
    for axis in range(link.rank):
        moved = z[:100].copy()
        moved[:, axis] = rng.standard_normal(100)
        assert np.ptp(link(moved) - y[:100]) > 0


@pytest.mark.parametrize(
    ("name", "z", "y"),
    [
        ("he2", [[3.0]], 8 / np.sqrt(2)),
        ("he3", [[2.0]], 2 / np.sqrt(6)),
        ("phase-retrieval", [[-3.0]], 9.0),
        ("abs", [[-3.0]], 3.0),
        ("cos2z", [[np.pi]], 1.0),
        ("relu-sum", [[-1.0, 2.0]], 2.0),
        ("z1z2", [[-2.0, 3.0]], -6.0),
        ("z1z2z3", [[-2.0, 3.0, 0.5]], -3.0),
        ("sign-z1z2", [[-2.0, 3.0]], -1.0),
        ("sign-z1z2z3", [[-2.0, 3.0, -1.0]], 1.0),
        ("quadratic", [[2.0, 3.0]], 1.5 + 2.0),
        ("quadratic:2,-1,4", [[2.0, 3.0, 0.0]], 3.0 - 4.0 - 2.0),
        ("he2-mix", [[2.0, 3.0]], 3.0 + 0.6 * 8),
        ("he2-he3", [[2.0, 2.0]], 3.0 + 2.0),
        ("tanh3", [[0.0, 5.0, -2.0]], 1.4),
    ],
)
def test_links_by_hand(name: str, z: ArrayLike, y: float) -> None:
    # Each is at most eight correctly rounded operations on numbers below 10.
    assert get_link(name)(np.array(z))[0] == pytest.approx(y, rel=0, abs=80 * U64)


@pytest.mark.parametrize("values", [(1.0, 0.5), (2.0,), (1.0, -0.8), (0.3, 0.0, -1.7)])
def test_quadratic_has_the_eigenvalues_it_says(values: tuple[float, ...]) -> None:
    link = get_link("quadratic:" + ",".join(map(str, values)))
    z, p = quadrature(link.rank, 4)  # degree 4 in each variable: exact
    y = link(z)
    Lambda = np.einsum("i,ij,ik->jk", p * y, z, z) - (p @ y) * np.eye(link.rank)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(Lambda), np.sort(values), rtol=0,
        atol=link.rank * rounding(p, y, 1 + (z**2).sum(axis=1)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "degree"),
    [
        ("he2", 2),
        ("he3", 3),
        ("polynomial", 4),
        ("polynomial:rank=1,degree=1", 1),
        ("polynomial:rank=3,degree=2,seed=5", 2),
        ("polynomial:rank=2,degree=6,seed=1", 6),
    ],
)
def test_normalised_links(name: str, degree: int) -> None:
    """Mean 0, variance 1 and exact total degree, by exact quadrature."""
    link = get_link(name)
    z, p = quadrature(link.rank, degree + 2)  # products of degree 2·degree + 2: exact
    g = link(z)
    assert abs(p @ g) <= rounding(p, g)
    assert p @ g**2 == pytest.approx(1, abs=rounding(p, g, g))
    powers = itertools.product(range(degree + 2), repeat=link.rank)
    size = dict.fromkeys((degree, degree + 1), 0.0)
    for index in powers:
        if sum(index) in size:
            term = np.prod(
                [hermeval(z[:, axis], [0.0] * k + [1.0]) for axis, k in enumerate(index)], axis=0
            )
            coefficient = abs(p @ (g * term))
            small = rounding(p, g, term)
            size[sum(index)] += coefficient if coefficient > small else 0.0
    assert size[degree] > 0
    assert size[degree + 1] == 0


def test_random_links_depend_on_their_seed_only() -> None:
    z = np.random.default_rng(0).standard_normal((20, 2))
    for name in ("polynomial", "relu-network"):
        assert np.ptp(get_link(f"{name}:seed=1")(z) - get_link(f"{name}:seed=2")(z)) > 0
        np.testing.assert_array_equal(get_link(f"{name}:seed=1")(z), get_link(f"{name}:seed=1")(z))


def test_relu_network_is_piecewise_linear_with_few_kinks() -> None:
    link = get_link("relu-network:rank=1,width=3,seed=2")
    z = np.linspace(-5, 5, 2001)[:, None]
    y = link(z)
    # Second differences of a linear piece are rounding: each y errs by 8 units of at most 3·9.
    bends = np.abs(np.diff(y, 2)) > 4 * 8 * U64 * 27
    assert 1 <= bends.sum() <= 2 * 3  # a kink between two points bends at both


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cos2x", "did you mean 'cos2z'"),
        ("", "link=''"),
        ("he2:3", "link he2:3: takes no parameters"),
        ("polynomial:2", "takes rank=…, degree=…, seed=…"),
        ("polynomial:rnak=2", "takes rank=…"),
        ("polynomial:rank=two", "parameter 'rank=two': expected a number"),
        ("polynomial:rank=2.5", "expected a number"),
        ("polynomial:rank=0", "rank=0: expected an integer of at least 1"),
        ("polynomial:degree=0", "degree=0"),
        ("relu-network:width=0", "width=0"),
        ("quadratic:1,x", "parameter 'x': expected a number"),
        ("quadratic:0,0", "expected one that is not zero"),
        ("quadratic:nan", "eigenvalue=nan"),
        ("no_such_module:g", "neither a named link nor importable"),
        ("math:no_such_attribute", "neither a named link nor importable"),
        ("math:pi", "expected a callable, got float"),
        ("math:cos", "has no attribute `rank`; give the rank explicitly"),
    ],
)
def test_links_refused(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        get_link(spec)
    assert "\n" not in str(caught.value)


def test_link_names_keep_all_digits() -> None:
    third = 1 / 3
    link = get_link(f"quadratic:{third!r},-0.5")
    assert link.name == "quadratic:0.3333333333333333,-0.5"
    z = np.array([[2.0, 1.0]])
    assert get_link(link.name)(z)[0] == link(z)[0]


USER_LINKS = """
import numpy as np
from mimverify import Link

def bare(z):
    'z1 − z2'
    return z[:, 0] - z[:, 1]

def ranked(z):
    return z[:, 0] > 0
ranked.rank = 1

ready = Link("ready", 3, lambda z: z.sum(axis=1))

class nested:
    inner = ranked

def column(z): return z[:, :1]
def complex_valued(z): return z[:, 0] * 1j
def infinite(z): return np.where(z[:, 0] == 7, np.nan, 1.0)
"""


def test_user_links(user_module: Callable[[str], str]) -> None:
    module = user_module(USER_LINKS)
    bare = get_link(f"{module}:bare", rank=2)
    assert (bare.rank, bare.name, bare.formula) == (2, f"{module}:bare", "z1 − z2")
    assert bare(np.array([[3.0, 1.0]])) == [2.0]
    ranked = get_link(f"{module}:ranked")
    assert ranked(np.array([[3.0], [-1.0]])).tolist() == [1.0, 0.0]  # booleans become numbers
    assert get_link(f"{module}:nested.inner").rank == 1
    ready = get_link(f"{module}:ready")
    assert (ready.rank, ready.name) == (3, f"{module}:ready")  # its own name would not find it
    model = MultiIndexModel(f"{module}:bare", 4, rank=2)
    assert model.rank == 2
    for attribute, rank in [("ranked", 2), ("ready", 2)]:
        with pytest.raises(InputError, match=f"rank={rank}: link .* has rank"):
            get_link(f"{module}:{attribute}", rank=rank)
    for attribute, z, message in [
        ("column", 1.0, r"returned shape \(2, 1\)"),
        ("complex_valued", 1.0, "returned dtype complex128"),
        ("infinite", 7.0, r"g\(\[7\.\]\) = nan: expected finite labels"),
    ]:
        with pytest.raises(InputError, match=message):
            get_link(f"{module}:{attribute}", rank=1)(np.full((2, 1), z))


def test_links_pass_through() -> None:
    link = Link("mine", 2, lambda z: z[:, 0])
    assert get_link(link) is link
    for value in (None, 3, np.cos):
        with pytest.raises(InputError, match="expected a Link or a name"):
            get_link(value)  # type: ignore[arg-type]


# --- models ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("z1z2", 1), {}, "rank=2: expected at most dim=1"),
        (("z1z2", 1), {"subspace": [[1.0], [1.0]]}, "rank=2: expected at most dim=1"),
        (("he2", 0), {}, "dim=0"),
        (("he2", 2.0), {}, "dim=2.0"),
        (("he2", 3), {"noise": -0.1}, "noise=-0.1"),
        (("he2", 3), {"noise": np.nan}, "noise=nan"),
        (("he2", 3), {"seed": -1}, "seed=-1"),
        (("he2", 3), {"seed": None}, "seed=None"),
        (("he2", 3), {"seed": 2**32}, "seed=4294967296"),  # keys would collide with smaller seeds
        (("he2", 3), {"rank": 2}, "rank=2: link he2 has rank 1"),
        (("hee2", 3), {}, "did you mean 'he2'"),
    ],
)
def test_models_refused(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        MultiIndexModel(*arguments, **options)


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (0, {}, "n=0"),
        (2.0, {}, "n=2.0"),
        (2, {"purpose": "train"}, "expected one of stage1, stage2, test"),
        (2, {"dtype": "float16"}, "dtype='float16'"),
        (2, {"seed": -1}, "seed=-1"),
        (2, {"seed": 2**32}, "seed=4294967296"),
    ],
)
def test_samples_refused(n: object, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        MultiIndexModel("he2", 3).sample(n, **options)  # type: ignore[arg-type]


def test_models_describe_themselves() -> None:
    assert repr(MultiIndexModel("he2", 3)) == "MultiIndexModel('he2', dim=3, seed=0)"
    assert "noise=0.5" in repr(MultiIndexModel("he2", 3, noise=0.5))
