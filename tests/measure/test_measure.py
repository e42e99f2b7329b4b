"""Tests of `mimverify.measure`: subspaces, recorder, test error and the reduced model."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import binom

from mimverify.measure import (
    Recorder,
    alignment,
    baseline_predictors,
    normalised_error,
    overlaps,
    principal_cosines,
    reduce_model,
    span_recovery,
    test_errors,
)
from mimverify.problems import BLOCK_ROWS, MultiIndexModel, haar_subspace
from mimverify.support.arrays import Array, ArrayLike, NumpyArray
from mimverify.support.errors import InputError

U64 = 2.0**-53


def subspace(rank: int, dim: int, seed: int = 0) -> NumpyArray:
    return haar_subspace(rank, dim, np.random.default_rng([seed, 1]))


def weights(m: int, dim: int, seed: int = 0) -> NumpyArray:
    return np.random.default_rng([seed, 2]).standard_normal((m, dim))


#: m < r, m < d, m > d; r = 1 and r = d.
SHAPES = [(1, 2, 5), (8, 3, 6), (20, 2, 4), (3, 1, 7), (6, 4, 4)]


def rounding(m: int, rank: int, dim: int) -> float:
    """Two routes to a ratio of sums of m·d squares, each square of a product of length d."""
    return 16 * (m + rank) * dim * U64


# --- alignment and overlaps -----------------------------------------------------------


@pytest.mark.parametrize(("m", "rank", "dim"), SHAPES)
def test_alignment_is_a_fraction(m: int, rank: int, dim: int) -> None:
    U, W = subspace(rank, dim), weights(m, dim)
    overlap = overlaps(W, U)
    assert overlap.shape == (rank,)
    assert (overlap >= 0).all()
    A = alignment(W, U)
    eps = rounding(m, rank, dim)
    assert abs(A - overlap.sum()) <= eps
    assert 0 <= A <= 1 + eps
    assert abs(A - np.trace(U @ W.T @ W @ U.T) / np.trace(W @ W.T)) <= eps
    # What U leaves is the overlap with its complement.
    complement = np.linalg.svd(U)[2][rank:]
    rest = alignment(W, complement) if len(complement) else 0.0
    assert A + rest == pytest.approx(1, abs=4 * eps)


@pytest.mark.parametrize(("m", "rank", "dim"), SHAPES)
def test_rotations_change_nothing(m: int, rank: int, dim: int) -> None:
    """Of space (both), of the neurons, of U's basis; and no scale, exactly for powers of two."""
    U, W = subspace(rank, dim), weights(m, dim)
    Q, R, S = (subspace(k, k, seed=5) for k in (dim, m, rank))
    eps = 8 * rounding(m, rank, dim)
    base, cosines = overlaps(W, U), principal_cosines(W, U)
    np.testing.assert_allclose(overlaps(W @ Q.T, U @ Q.T), base, rtol=0, atol=eps)
    np.testing.assert_allclose(overlaps(R @ W, U), base, rtol=0, atol=eps)
    assert alignment(W, S @ U) == pytest.approx(base.sum(), abs=eps)
    for factor in (2.0**-700, 2.0**600, -1.0):  # squares leave the range of float64
        np.testing.assert_array_equal(overlaps(factor * W, U), base)
    # Cosines err by rounding over the relative gap after the r-th singular value (Davis–Kahan).
    sizes = np.linalg.svd(W, compute_uv=False)
    gap = 1.0
    if rank < len(sizes):
        gap = (sizes[rank - 1] - sizes[rank]) / sizes[0]
    for other in (
        principal_cosines(W @ Q.T, U @ Q.T), principal_cosines(R @ W, U),
        principal_cosines(W, S @ U), principal_cosines(-3 * W, U),
    ):  # fmt: skip
        # arccos at 1 turns eps into √eps, its cosine back into eps.
        np.testing.assert_allclose(other, cosines, rtol=0, atol=4 * eps / gap)


def test_extremes() -> None:
    U = np.eye(2, 5)
    assert alignment([[3, 4, 0, 0, 0]], U) == 1
    assert alignment([[0, 0, 1, 2, 3]], U) == 0
    np.testing.assert_array_equal(overlaps([[3, 4, 0, 0, 0]], U), [9 / 25, 16 / 25])
    assert alignment(np.eye(5), U) == pytest.approx(2 / 5, rel=4 * U64)


# --- the span -------------------------------------------------------------------------


@given(st.integers(1, 4), st.integers(0, 3), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_principal_cosines_against_scipy(rank: int, rows: int, columns: int, seed: int) -> None:
    """W = R diag(s) V with s_r/s_{r+1} ≥ 2: its top right singular vectors are V's first rows,
    known to rounding over the gap, 1/2 of s_r, which is ≥ 1/16 of s_1."""
    m, dim = rank + rows, rank + columns
    k = min(m, dim)
    U, V = subspace(rank, dim, seed), subspace(k, dim, seed + 1)
    R = subspace(k, m, seed + 2).T
    W = (R * 2.0 ** -np.arange(k)) @ V
    expected = np.cos(subspace_angles(U.T, V[:rank].T))[::-1]
    got = principal_cosines(W, U)
    np.testing.assert_allclose(got, expected, rtol=0, atol=32 * 16 * (m + dim) * U64)
    assert (np.diff(got) <= 0).all()
    assert (got >= 0).all()
    assert (got <= 1).all()
    assert span_recovery(W, U) == got[-1]


def test_a_lost_direction_shows_in_the_span_only() -> None:
    """Every neuron on the first hidden direction: alignment 1, span lost."""
    U = np.eye(2, 6)
    W = np.zeros((8, 6))
    W[:, 0] = np.arange(1.0, 9)
    assert alignment(W, U) == 1
    np.testing.assert_array_equal(principal_cosines(W, U), [1.0, 0.0])
    assert span_recovery(W, U) == 0
    # The same in a general position, where only rounding raises the rank: still no direction.
    Q = subspace(6, 6)
    outer = np.outer(np.linspace(-1, 2, 8), Q[0])
    assert alignment(outer, Q[:2]) == pytest.approx(1, abs=1e2 * U64)
    np.testing.assert_allclose(principal_cosines(outer, Q[:2]), [1, 0], rtol=0, atol=1e2 * U64)
    assert span_recovery(outer, Q[:2]) == 0
    # A weak second direction outside U: alignment 1 − 1e-8, and the span is lost all the same.
    W[:, 2] = 1e-4 * W[:, 0] * (-1.0) ** np.arange(8)
    assert alignment(W, U) > 1 - 1e-7
    assert span_recovery(W, U) < 1e-7
    W[:, 2] *= 1e-4
    # Found again as soon as it points the right way, however weak: it is a direction.
    W[:, 1], W[:, 2] = W[:, 2], 0
    assert span_recovery(W, U) == pytest.approx(1, abs=1e-6)  # rounding 1e-15 over the gap 1e-8


def test_fewer_neurons_than_directions() -> None:
    U = np.eye(3, 5)
    np.testing.assert_array_equal(principal_cosines([[0, 1.0, 0, 0, 0]], U), [1, 0, 0])
    assert span_recovery(np.eye(2, 5), U) == 0
    assert span_recovery(np.eye(3, 5)[::-1], U) == 1


@pytest.mark.parametrize("scale", [1e-30, 1e-37, 1e30])
def test_tiny_and_huge_float32_weights(scale: float) -> None:
    """Their squares leave the range of float32; the measures do not notice."""
    U, W = subspace(2, 6), weights(8, 6)
    narrow = (W * scale).astype(np.float32)
    with np.errstate(over="ignore"):
        assert np.isin(narrow**2, [0, np.inf]).all()
    exact = narrow.astype(np.float64) / scale
    eps = 8 * rounding(8, 2, 6)
    np.testing.assert_allclose(overlaps(narrow, U), overlaps(exact, U), rtol=0, atol=eps)
    np.testing.assert_allclose(
        principal_cosines(narrow, U), principal_cosines(exact, U), rtol=0, atol=100 * eps
    )


@pytest.mark.parametrize("measure", [alignment, overlaps, principal_cosines, span_recovery])
def test_measures_take_any_array_and_refuse_others(
    measure: Callable[[ArrayLike, ArrayLike], ArrayLike],
) -> None:
    U, W = subspace(2, 6), weights(8, 6)
    np.testing.assert_array_equal(measure(torch.tensor(W), U.tolist()), measure(W, U))
    for wrong, message in [
        (0 * W, "W is zero"),
        (W[:, :5], "W has shape (8, 5): expected (*, 6)"),
        (W[0], "W has shape (6,)"),
        (W * np.nan, "W[0, 0]=nan"),
    ]:
        with pytest.raises(InputError, match=re.escape(message)):
            measure(wrong, U)


# --- the recorder ---------------------------------------------------------------------


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_recorder(make: Callable[[NumpyArray], Array]) -> None:
    U = subspace(2, 6)
    seen: list[int] = []
    recorder = Recorder(U, keep_weights=True, on_step=lambda r: seen.append(len(r.alignment)))
    sequence = [make(weights(8, 6, seed)) for seed in range(3)]
    for t, W in enumerate(sequence):
        recorder(t, W)
    for t, W in enumerate(sequence):
        copy = np.asarray(W)
        np.testing.assert_array_equal(recorder.weights[t], copy)
        np.testing.assert_array_equal(recorder.overlaps[t], overlaps(copy, U))
        np.testing.assert_array_equal(recorder.cosines[t], principal_cosines(copy, U))
        assert recorder.alignment[t] == alignment(copy, U)
        assert recorder.span_recovery[t] == span_recovery(copy, U)
    sequence[0][0, 0] = 99.0  # a copy was kept
    assert recorder.weights[0][0, 0] != 99.0
    assert seen == [1, 2, 3]
    assert recorder.seconds[0] == 0
    assert len(recorder.seconds) == 3
    assert min(recorder.seconds) >= 0


def test_recorder_keeps_weights_only_on_request() -> None:
    recorder = Recorder(subspace(2, 6))
    recorder(0, weights(8, 6))
    assert recorder.weights == []


# --- test error -----------------------------------------------------------------------


def test_normalised_error() -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal(500)
    prediction = y + 0.1 * rng.standard_normal(500)
    rounding = 500 * U64 * 8
    assert normalised_error(y, y) == 0
    assert normalised_error(np.full(500, y.mean()), y) == pytest.approx(1, abs=rounding)
    assert normalised_error(2 * y.mean() - y, y) == pytest.approx(4, abs=4 * rounding)
    base = normalised_error(prediction, y)
    assert base == pytest.approx(((prediction - y) ** 2).sum() / (500 * y.var()), rel=rounding)
    assert normalised_error(-4 * prediction, -4 * y) == base
    assert normalised_error(torch.tensor(prediction), y.tolist()) == base
    for wrong, labels, message in [
        (y, np.ones(500), "y is constant"),
        (y[:-1], y, "prediction has shape (499,): expected (500)"),
        (y[:, None], y, "prediction has shape (500, 1)"),
        (y * np.inf, y, "prediction[0]="),
        (y, y[:, None], "y has shape (500, 1)"),
    ]:
        with pytest.raises(InputError, match=re.escape(message)):
            normalised_error(wrong, labels)


def test_errors_on_fresh_data_block_by_block() -> None:
    model = MultiIndexModel("z1z2", 4, noise=0.5, seed=3)
    n = 2 * BLOCK_ROWS + 17
    rows: list[int] = []

    def predict(X: NumpyArray) -> NumpyArray:
        rows.append(len(X))
        return np.asarray(X[:, 0])

    result = test_errors(model, {"mine": predict, "zero": lambda X: np.zeros(len(X))}, samples=n)
    assert rows == [BLOCK_ROWS, BLOCK_ROWS, 17]
    test = model.sample(n, purpose="test")
    assert result == {
        "mine": normalised_error(test.X[:, 0], test.y),
        "zero": normalised_error(np.zeros(n), test.y),
    }


@pytest.mark.parametrize("n", [200, 6])
def test_baselines_by_hand(n: int, dtype: str) -> None:
    """`mean` and `linear` by definition; n ≤ d included, where the shortest solution is taken.

    The linear fit is off by its gradient over the moments' smallest eigenvalue: what stops it, (8 u
    √d + max(8 u √d, 1e-12)) std y, and the rounding of n + d + 8 operations in it.
    """
    model = MultiIndexModel("relu-sum", 8, noise=0.1, seed=2)
    new = model.sample(20, purpose="test").X
    stage2 = model.sample(n, purpose="stage2", dtype=dtype)
    baseline = baseline_predictors(model, stage2, neurons=10)
    assert set(baseline) == {"mean", "linear", "oracle_subspace"}
    X, y = stage2.X.astype(float), stage2.y.astype(float)
    np.testing.assert_array_equal(baseline["mean"](new), np.full(20, y.mean()))
    centre = X.mean(axis=0)
    theta = np.linalg.pinv(X - centre) @ (y - y.mean())
    expected = y.mean() + (new - centre) @ theta
    sizes = np.linalg.svd(X - centre, compute_uv=False)
    smallest = sizes[min(n - 1, 8) - 1] ** 2 / n
    u = float(np.finfo(dtype).eps) / 2
    gradient = 2 * max(8 * u * np.sqrt(8), 1e-12) * y.std()
    lengths = np.linalg.norm(X, axis=1)
    terms = lengths * (lengths * np.linalg.norm(theta) + np.abs(y))
    gradient += 2 * (n + 8 + 8) * u * terms.mean()
    atol = gradient / smallest * (1 + np.linalg.norm(new, axis=1).max())
    assert atol < 0.01 * np.ptp(expected)
    assert np.abs(baseline["linear"](new) - expected).max() <= atol


def test_baselines_are_ordered() -> None:
    """The true subspace explains what a mean or a linear fit cannot, where E[y x] = 0.

    y = z1 z2 + noise, read by 64 smooth features of the true plane from 2000 samples: an error of a
    few per cent, far below 1/2; linear fits are at 1 + d/n. With fluctuations of 2 to 5 per cent
    either inequality fails with probability p < 1e-3 at most. Five independent models: more than
    two failures then have probability < 1e-7.
    """
    failures = 0
    for seed in range(5):
        model = MultiIndexModel("z1z2", 12, noise=0.1, seed=seed)
        baseline = baseline_predictors(model, model.sample(2000, purpose="stage2"), neurons=64)
        error = test_errors(model, baseline, samples=2000)
        failures += not (error["oracle_subspace"] < 0.5 < 0.9 < error["linear"])
        assert error["mean"] >= 1 - 2000 * U64  # no constant beats the test set's own mean
    assert binom.sf(2, 5, 1e-3) < 1e-7
    assert failures <= 2


# --- the reduced model ----------------------------------------------------------------


def gram(U: NumpyArray, W: NumpyArray) -> NumpyArray:
    stacked = np.vstack([U, W])
    return np.asarray(stacked @ stacked.T)


def symmetric_pairs(m: int, dim: int) -> NumpyArray:
    half = weights(m // 2, dim)
    return np.concatenate([half, -half])


@pytest.mark.parametrize("pairs", [False, True])
def test_reduction_keeps_the_law(pairs: bool) -> None:
    """(U x, W x) is Gaussian: the same Gram matrix of [U; W] is the same law, and with the same
    link, noise and readout the same test error in distribution. Pairs make the matrix singular."""
    model = MultiIndexModel("tanh3", 40, noise=0.2, seed=4)
    W = symmetric_pairs(6, 40) if pairs else weights(6, 40)
    reduced, directions = reduce_model(model, W)
    assert reduced.dim == 9
    assert directions.shape == (6, 9)
    assert (reduced.link, reduced.noise, reduced.seed) == (model.link, model.noise, model.seed)
    sizes = np.linalg.norm(np.vstack([model.subspace, W]), axis=1)
    # QR is backward stable: each entry errs by some multiple of k·d units of the rows' norms.
    bound = 4 * 9 * 40 * U64 * np.outer(sizes, sizes)
    gap = np.abs(gram(reduced.subspace, directions) - gram(model.subspace, W))
    assert (gap <= bound).all()


def test_reduction_predicts_the_same_numbers() -> None:
    """In coordinates of the span, the same inputs give the same labels, projections and error."""
    model = MultiIndexModel("z1z2", 30, seed=1)
    W = weights(4, 30)
    reduced, directions = reduce_model(model, W)
    basis = np.linalg.lstsq(
        np.vstack([reduced.subspace, directions]), np.vstack([model.subspace, W]), rcond=None
    )[0]
    condition = np.linalg.cond(np.vstack([reduced.subspace, directions]))
    eps = 64 * 30 * U64 * condition
    np.testing.assert_allclose(basis @ basis.T, np.eye(6), rtol=0, atol=eps)
    X = model.sample(500, purpose="test").X
    inputs = X @ basis.T
    size = np.linalg.norm(X, axis=1).max()
    labels = model.link(X @ model.subspace.T)
    np.testing.assert_allclose(
        reduced.link(inputs @ reduced.subspace.T), labels, rtol=0, atol=2 * eps * size**2
    )
    np.testing.assert_allclose(
        inputs @ directions.T, X @ W.T, rtol=0, atol=eps * size * np.linalg.norm(W)
    )


def test_nothing_to_reduce() -> None:
    model = MultiIndexModel("z1z2", 6, seed=1)
    W = weights(4, 6)
    same, directions = reduce_model(model, W)
    assert same is model
    np.testing.assert_array_equal(directions, W)
    assert reduce_model(model, W[:3])[0].dim == 5
    with pytest.raises(InputError, match=re.escape("W has shape (4, 5): expected (*, 6)")):
        reduce_model(model, W[:, :5])
