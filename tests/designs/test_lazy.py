"""The lazy design, deterministically: its answers are those of one matrix, to rounding.

`test_lazy_law` tests the law of that matrix. Tolerances are in roundings u of the dtype,
relative to ‖v‖ (√n + √d), about the largest X v can be.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lazy_mutants import CAUGHT_BY, Correct
from mimverify import LayerwiseTrainer, MultiIndexModel
from mimverify.backends import get_backend
from mimverify.designs import Design
from mimverify.designs.lazy import LazyGaussianDesign, gram_schmidt, lazy_bytes
from mimverify.designs.lazy import design as design_module
from mimverify.designs.lazy.normals import Normals
from mimverify.designs.lazy.storage import ColumnBlocks
from mimverify.designs.lazy.workers import Workers
from mimverify.support import memory
from mimverify.support.errors import InputError
from mimverify.support.threads import thread_limit

Matrix = np.ndarray[Any, Any]

# Orthonormal to so many roundings: above that, rows are orthogonalised again.
DEFECT = 2 * gram_schmidt._DEFECT


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """ColumnBlocks of 32 columns, so that small designs have several."""
    monkeypatch.setattr(design_module, "block_width", lambda rows, backend: 32)


def lazy(
    n: int, d: int, kind: type[LazyGaussianDesign] = Correct, library: str = "numpy",
    dtype: str = "float64", seed: int = 0, **options: Any,
) -> LazyGaussianDesign:  # fmt: skip
    return kind(n, d, get_backend(library, dtype), seed=seed, **{"threads": 1, **options})


def query_right(design: Design, V: Matrix) -> Matrix:
    """X V of V given in rows `(q, d)`: `(n, q)`."""
    backend = design.backend
    return backend.to_numpy(design.project(backend.asarray(V))).astype(float)


def query_left(design: Design, R: Matrix) -> Matrix:
    """R X of R `(p, n)`: `(p, d)`."""
    backend = design.backend
    rows = backend.asarray(R)
    nowhere = backend.asarray(np.zeros((1, design.dim)))
    return backend.to_numpy(design.one_pass(nowhere, lambda _, part: rows[:, part].T)).astype(float)


def complete(design: LazyGaussianDesign, seed: int = 0) -> Matrix:
    """A matrix with the products revealed so far, and fresh normals elsewhere."""
    R, L, B, C = (design.revealed()[name].astype(float) for name in "RLBC")
    fresh = np.random.default_rng(seed).standard_normal((design.n_samples, design.dim))
    fresh -= L.T @ (L @ fresh)
    fresh -= (fresh @ R.T) @ R
    return np.asarray(L.T @ C + B.T @ R - L.T @ (L @ B.T) @ R + fresh)


def size(design: Design) -> float:
    """About the largest singular value of X."""
    return float(np.sqrt(design.n_samples) + np.sqrt(design.dim))


def length(rows: Matrix) -> Matrix:
    """Euclidean lengths of rows, of any magnitude; 1 for those of zeros."""
    largest = np.abs(rows).max(axis=1)
    largest[largest == 0] = 1.0
    return np.asarray(largest * np.maximum(np.linalg.norm(rows / largest[:, None], axis=1), 1e-300))


# --- what must hold of any design, as multiples of a rounding bound -------------------------


def orthonormality(design: LazyGaussianDesign) -> float:
    bases = (design.revealed()[name].astype(float) for name in "RL")
    defect = max(np.abs(A @ A.T - np.eye(len(A))).max(initial=0.0) for A in bases)
    return float(defect / (DEFECT * design.backend.unit_roundoff))


def consistency(design: LazyGaussianDesign) -> float:
    """L Bᵀ = L X Rᵀ = C Rᵀ, up to the defect of the bases times the length of an answer."""
    R, L, B, C = (design.revealed()[name].astype(float) for name in "RLBC")
    difference = np.abs(L @ B.T - C @ R.T).max(initial=0.0)
    return float(difference / (DEFECT * design.backend.unit_roundoff * size(design)))


class RecordingNormals(Normals):
    """Records which streams are drawn: a stream drawn twice gives dependent noise."""

    def __init__(self, normals: Normals) -> None:
        self.normals = normals
        self.streams: list[int] = []

    def fill(self, rows: Any, stream: int) -> None:
        self.normals.fill(rows, stream)
        if len(rows):
            self.streams.append(stream)


def all_checks(kind: type[LazyGaussianDesign], n: int, d: int) -> dict[str, float]:
    """All checks, on queries from both sides that depend on one another."""
    design = lazy(n, d, kind)
    recorded = RecordingNormals(design._normals)
    design._normals = recorded
    rng = np.random.default_rng(1)
    V = [rng.standard_normal((3, d))]
    P = [query_right(design, V[0])]
    R = [np.vstack([P[0].T[:2], rng.standard_normal((2, n))])]
    G = [query_left(design, R[0])]
    for remainder in (1, 1e-1, 3e-2, 1e-6, 1e-10):
        V.append(V[0] + remainder * rng.standard_normal((3, d)))
        P.append(query_right(design, V[-1]))
        R.append(R[0] + remainder * rng.standard_normal((4, n)))
        G.append(query_left(design, R[-1]))
    rounding = DEFECT * design.backend.unit_roundoff * size(design)
    directions, residuals = np.concatenate(V), np.concatenate(R)
    forth, back = np.concatenate(P, axis=1).T, np.concatenate(G)
    adjoint = np.abs(residuals @ forth.T - back @ directions.T)
    adjoint /= np.outer(length(residuals), length(directions))
    mixture = rng.standard_normal((2, len(directions)))
    together = query_right(design, mixture @ directions).T - mixture @ forth
    blend = rng.standard_normal((2, len(residuals)))
    jointly = query_left(design, blend @ residuals) - blend @ back
    linear = max(
        (np.linalg.norm(together, axis=1) / (np.abs(mixture) @ length(directions))).max(),
        (np.linalg.norm(jointly, axis=1) / (np.abs(blend) @ length(residuals))).max(),
    )
    completion = retraining_error(design, MultiIndexModel("z1z2", d), steps=5)  # both sides draw
    return {
        "distinct": np.inf if len(set(recorded.streams)) < len(recorded.streams) else 0.0,
        "orthonormality": orthonormality(design),
        "consistency": consistency(design),
        "adjoint": float(adjoint.max() / rounding),
        "linearity": float(linear / rounding),
        "completion": completion,
    }


def retraining_error(
    design: LazyGaussianDesign, model: MultiIndexModel, *, rounding: float | None = None,
    **options: Any,
) -> float:  # fmt: skip
    """How far, at any step, training is from that on a completion of what it revealed.

    Rounding by default: that of an answer on the bases, fourfold, as terms of a gradient cancel.
    """
    backend = design.backend
    y = model.labels(query_right(design, model.subspace), dtype=backend.dtype)
    seen: dict[str, list[Matrix]] = {"lazy": [], "stored": []}
    common: dict[str, Any] = {"neurons": 8, "steps": 4, "dtype": backend.dtype}
    trainer = LayerwiseTrainer(backend=backend.name, **common | options)

    def observer(name: str) -> Callable[[int, Any], None]:
        return lambda t, W: seen[name].append(backend.to_numpy(W).astype(float))

    trainer.fit_first_layer(design, y, observe=observer("lazy"))
    if rounding is None:
        rounding = 4 * DEFECT * backend.unit_roundoff
    X = complete(design)
    again = model.labels(X @ model.subspace.T)
    # Links here have slopes of about one at the hidden features, some of which are near 4.
    label_error = np.abs(again - y).max() / (1 + np.abs(y).max())
    trainer.fit_first_layer(X, y, observe=observer("stored"))
    assert len(seen["lazy"]) == trainer.steps_ + 1
    errors = [
        np.abs(one - other).max() / np.abs(other).max()
        for one, other in zip(seen["lazy"], seen["stored"], strict=True)
    ]
    labels = label_error / (DEFECT * backend.unit_roundoff * size(design))
    return float(max(*np.array(errors) / rounding, labels))


@pytest.mark.usefixtures("narrow")
def test_the_right_design_passes_all_checks() -> None:
    found = all_checks(Correct, 60, 40)
    assert max(found.values()) <= 1, found


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    ("broken", "check"),
    [(kind, check) for kind, checks in CAUGHT_BY.items() for check in checks if check != "law"],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_broken_design_fails(broken: type[LazyGaussianDesign], check: str) -> None:
    assert all_checks(broken, 60, 40)[check] > 100


# --- training --------------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "eight-steps": {"steps": 8},
    "l1-gelu": {"activation": "gelu", "loss": "l1"},
    "tanh-squared": {"activation": "tanh", "loss": "squared", "centre": False},
    "relu-huber": {"activation": "relu", "init_norm": 1.0},
    "quadratic": {"activation": "quadratic", "loss": "log-cosh"},
    "pseudo-huber": {"activation": "pseudo-huber", "loss": "pseudo-huber", "steps": 1},
    "constant-rate": {
        "activation": "softplus", "loss": "squared", "schedule": "constant", "eta": 0.5,
        "beta": 0.1,
    },
    "far-from-zero": {
        "activation": "exp-centred", "loss": "huber", "schedule": "constant", "eta": 1.0,
        "init_norm": 1.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_training_is_that_on_a_completion(name: str, library: str, dtype: str) -> None:
    """At every step, labels included, also beyond what was reserved."""
    design = lazy(400, 50, library=library, dtype=dtype, seed=3, right=4, left=4)
    model = MultiIndexModel("tanh3", 50, seed=1, noise=0.0)
    assert retraining_error(design, model, **OPTIONS[name]) <= 1
    assert orthonormality(design) <= 1
    assert consistency(design) <= 1


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_conjugate_gradients_run_on_it(loss: str, library: str, dtype: str) -> None:
    """The regression stops at 8 u √d or 1e-12, which weights of norm 0.01 see a hundredfold."""
    design = lazy(200, 20, library=library, dtype=dtype, seed=3)
    stop = max(8 * design.backend.unit_roundoff * np.sqrt(20), 1e-12)
    options = {"activation": "softplus", "remove_linear_part": True, "loss": loss}
    model = MultiIndexModel("tanh3", 20, seed=1)
    assert retraining_error(design, model, rounding=400 * stop, **options) <= 1
    assert orthonormality(design) <= 1
    assert consistency(design) <= 1


# --- any queries -----------------------------------------------------------------------------

KINDS = ("fresh", "zero", "repeat", "near", "combination", "tiny", "huge", "alike")
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["right", "left", "both"]),
        st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
        st.integers(0, 2**32 - 1),
    ),
    min_size=1,
    max_size=8,
)


def rows_to_query(kinds: list[str], before: Matrix, seed: int) -> Matrix:
    """Rows of these kinds; `before` `(·, length)` are those that were queried already."""
    rng = np.random.default_rng(seed)
    rows: list[Matrix] = []
    for kind in kinds:
        fresh = rng.standard_normal(before.shape[1])
        known = before[rng.integers(len(before))] if len(before) else fresh
        scale = np.abs(known).max() or 1.0
        if kind == "zero":
            fresh = 0 * fresh
        elif kind == "repeat":
            fresh = known
        elif kind == "near":
            fresh = known / scale + 10.0 ** -rng.integers(1, 13) * fresh
        elif kind == "combination" and len(before):
            unit = before / np.maximum(np.abs(before).max(axis=1, keepdims=True), 1e-300)
            fresh = rng.standard_normal(len(before)) @ unit
        elif kind == "tiny":
            fresh = 1e-25 * fresh
        elif kind == "huge":
            fresh = 1e25 * fresh
        elif kind == "alike" and rows:
            fresh = rows[-1] * (1 + 1e-3 * rng.standard_normal())
        rows.append(fresh)
    return np.array(rows)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 70),
    d=st.integers(1, 40),
    dtype=st.sampled_from(["float64", "float32"]),
    queries=QUERIES,
)
def test_there_is_one_matrix_behind_all_answers(
    n: int, d: int, dtype: str, queries: list[tuple[str, list[str], int]]
) -> None:
    """All answers are products with a completion of what is revealed in the end.

    So they are linear, adjoint to one another, and the same when queried again.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(design_module, "block_width", lambda rows, backend: 32)
        design = lazy(n, d, dtype=dtype, right=2, left=2)
        V, R = np.zeros((0, d)), np.zeros((0, n))
        forth, back = np.zeros((0, n)), np.zeros((0, d))
        for side, kinds, seed in queries:
            if side in ("right", "both"):
                queried = rows_to_query(kinds, V, seed).astype(dtype).astype(float)
                V, forth = (
                    np.vstack([V, queried]),
                    np.vstack([forth, query_right(design, queried).T]),
                )
            if side in ("left", "both"):
                queried = rows_to_query(kinds, R, seed).astype(dtype).astype(float)
                R, back = np.vstack([R, queried]), np.vstack([back, query_left(design, queried)])
    assert design.right <= min(d, len(V) + len(R))
    assert design.left <= min(n, len(R))
    assert orthonormality(design) <= 1
    assert consistency(design) <= 1
    X = complete(design)
    rounding = DEFECT * design.backend.unit_roundoff * size(design)
    if len(V):
        V, forth = V / length(V)[:, None], forth / length(V)[:, None]
        assert np.linalg.norm(V @ X.T - forth, axis=1).max() <= rounding
    if len(R):
        R, back = R / length(R)[:, None], back / length(R)[:, None]
        assert np.linalg.norm(R @ X - back, axis=1).max() <= rounding
    if len(V) and len(R):
        assert np.abs(R @ forth.T - back @ V.T).max() <= 2 * rounding


def test_a_pass_returns_its_residuals_times_x(library: str, dtype: str) -> None:
    """ρ is called with X Vᵀ of the rows of its range, each row once; the answer is ρᵀ X."""
    design = lazy(300, 12, library=library, dtype=dtype)
    backend = design.backend
    V = np.random.default_rng(0).standard_normal((3, 12))
    seen = np.zeros(300, dtype=int)
    residuals = np.zeros((300, 2))

    def rho(P: Any, rows: slice) -> Any:
        seen[rows] += 1
        result = P[:, :2] ** 3 + P[:, 2:]
        residuals[rows] = backend.to_numpy(result)
        return result

    answer = backend.to_numpy(design.one_pass(backend.asarray(V), rho))
    assert answer.dtype == np.dtype(dtype)
    assert (seen == 1).all()
    X = complete(design)
    rounding = DEFECT * backend.unit_roundoff * size(design)
    P = X @ V.T
    # A cube of three standard deviations and more passes errors of P on thirtyfold.
    np.testing.assert_allclose(residuals, P[:, :2] ** 3 + P[:, 2:], rtol=rounding, atol=rounding)
    assert (np.abs(answer - residuals.T @ X).max(axis=1) <= rounding * length(residuals.T)).all()


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_residuals_that_are_not_finite(value: float, library: str) -> None:
    """Have no finite gradient, and leave the design as it was."""
    design = lazy(100, 10, library=library)
    V = np.eye(10)[:2]
    before = query_right(design, V)
    R = np.ones((2, 100))
    R[1, 50] = value
    with np.errstate(invalid="ignore"):
        assert np.isnan(query_left(design, R)).all()
    assert design.left == 0
    np.testing.assert_array_equal(query_right(design, V), before)
    assert np.isfinite(query_left(design, np.ones((1, 100)))).all()
    assert consistency(design) <= 1


@pytest.mark.parametrize(("n", "d"), [(30, 8), (8, 30), (1, 9), (9, 1), (1, 1), (70, 70)])
def test_all_of_the_matrix_can_be_revealed(n: int, d: int, library: str, dtype: str) -> None:
    """k ends at d and l at n; then X is determined, and no noise is left."""
    design = lazy(n, d, library=library, dtype=dtype)
    rng = np.random.default_rng(0)
    for _ in range(3):
        query_right(design, rng.standard_normal((d // 2 + 1, d)))
        query_left(design, rng.standard_normal((n // 2 + 1, n)))
    assert (design.right, design.left) == (d, n)
    assert orthonormality(design) <= 1
    assert consistency(design) <= 1
    rounding = DEFECT * design.backend.unit_roundoff * size(design)
    X = query_right(design, np.eye(d))
    np.testing.assert_allclose(query_left(design, np.eye(n)), X, atol=2 * rounding)
    np.testing.assert_allclose(complete(design), X, atol=2 * rounding)


# --- memory, seeds, threads --------------------------------------------------------------------


def answers(design: LazyGaussianDesign) -> list[Matrix]:
    rng = np.random.default_rng(5)
    n, d = design.n_samples, design.dim
    result = []
    for _ in range(3):
        result += [query_right(design, rng.standard_normal((3, d)))]
        result += [query_left(design, rng.standard_normal((2, n)))]
    return result


@pytest.mark.usefixtures("narrow")
def test_growth_changes_nothing(library: str, dtype: str) -> None:
    reserved = answers(lazy(150, 40, library=library, dtype=dtype))
    grown = answers(lazy(150, 40, library=library, dtype=dtype, right=1, left=1))
    rounding = DEFECT * get_backend("numpy", dtype).unit_roundoff
    for one, other in zip(reserved, grown, strict=True):
        np.testing.assert_allclose(one, other, atol=rounding * np.abs(one).max())


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_no_bit(threads: int, library: str, dtype: str) -> None:
    one = answers(lazy(150, 70, library=library, dtype=dtype))
    many = answers(lazy(150, 70, library=library, dtype=dtype, threads=threads))
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("directions", [4, 16])
def test_the_libraries_threads_change_no_bit(directions: int, library: str, dtype: str) -> None:
    """ColumnBlocks of full width, whose products a BLAS would divide among threads."""
    n, d = 20_000, 200
    rng = np.random.default_rng(0)
    V = [rng.standard_normal((directions, d)) for _ in range(2)]

    def gradients(threads: int) -> list[Any]:
        with thread_limit(threads):
            design = LazyGaussianDesign(n, d, get_backend(library, dtype))
            place = design.backend
            return [
                place.to_numpy(design.one_pass(place.asarray(v), lambda P, _: P * P)) for v in V
            ]

    for one, two in zip(gradients(1), gradients(2), strict=True):
        np.testing.assert_array_equal(one, two)


def test_the_last_bit_of_a_residual_makes_no_other_matrix() -> None:
    """Directions are chosen by order, not by which of equal sizes rounding made the largest."""
    n, d = 20_000, 200
    rng = np.random.default_rng(0)
    V = rng.standard_normal((4, d)).astype("float32")

    def gradient(factor: float) -> Any:
        design = LazyGaussianDesign(n, d, get_backend("numpy", "float32"))
        return design.one_pass(V, lambda P, _: P * P * np.float32(factor))

    one, other = gradient(1.0), gradient(1.0 + 2.0**-23)
    assert np.abs(one - other).max() < 1e-5 * np.abs(one).max()


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("fails_at", ["first", "later"])
def test_an_interrupted_query_changes_nothing(fails_at: str, library: str) -> None:
    design = lazy(150, 70, library=library, threads=2)
    recorded = RecordingNormals(design._normals)
    design._normals = recorded
    place, rng = design.backend, np.random.default_rng(3)
    V, R = rng.standard_normal((3, 70)), rng.standard_normal((2, 150))
    before = query_right(design, V)
    query_left(design, R)
    known = design.right, design.left

    def rho(P: Any, rows: slice) -> Any:
        if fails_at == "first" or rows.start > 0:
            raise ValueError("no")
        return P

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            design.one_pass(place.asarray(rng.standard_normal((2, 70))), rho)
        assert (design.right, design.left) == known
    query_right(design, rng.standard_normal((2, 70)))
    query_left(design, rng.standard_normal((2, 150)))
    np.testing.assert_allclose(query_right(design, V), before, atol=1e-10)
    assert consistency(design) <= 1
    assert len(set(recorded.streams)) == len(recorded.streams)


def test_residuals_far_from_one(library: str) -> None:
    """Also where the first block's residuals are zero; float32 squares would underflow."""
    n, d = 200_000, 20
    place = get_backend(library, "float32")
    for scale in (1e-25, 1e18):
        design = LazyGaussianDesign(n, d, place, threads=2)

        def rho(P: Any, rows: slice, scale: float = scale) -> Any:
            return P * (scale if rows.start else 0.0)

        V = place.asarray(np.eye(d)[:2])
        G = place.to_numpy(design.one_pass(V, rho)).astype(np.float64) / scale
        # X_1 · X_1 summed over the later rows: about as many as there are.
        later = n - design._B.columns(0).stop
        assert later > 0
        np.testing.assert_allclose(G[:, :2], later * np.eye(2), atol=10 * np.sqrt(n))


def test_threads_are_a_positive_number() -> None:
    with pytest.raises(InputError, match="threads=0"):
        LazyGaussianDesign(10, 5, get_backend("numpy", "float64"), threads=0)


def test_a_seed_fixes_the_answers(library: str, dtype: str) -> None:
    first, again, other = (
        answers(lazy(100, 20, library=library, dtype=dtype, seed=s)) for s in (1, 1, 2)
    )
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).mean() > 0.9


def test_too_large_a_design_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "physical_memory", lambda: 10**6)
    with pytest.raises(InputError, match=r"n=4000, d=1000 with 16 \+ 16.*1\.28 MB.*1 MB"):
        lazy(4000, 1000)


def test_growth_beyond_memory_is_refused_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves the answers so far as they are."""
    design = lazy(500, 100, right=2, left=2)
    V, R = np.eye(100), np.eye(500)
    before = query_right(design, V[:2])
    monkeypatch.setattr(memory, "physical_memory", lambda: lazy_bytes(500, 100, 8, 8, "float64"))
    for _ in range(2):
        with pytest.raises(InputError, match="this machine has"):
            query_right(design, V[:20])
        with pytest.raises(InputError, match="this machine has"):
            query_left(design, R[:20])
    np.testing.assert_allclose(query_right(design, V[:2]), before, atol=1e-12)
    assert consistency(design) <= 1


def test_memory_is_what_is_announced() -> None:
    """Bases and answers to within a tenth at rest; no copy of them while it works."""
    n, d = 1 << 16, 1 << 13
    announced = lazy_bytes(n, d, 16, 16, "float64")
    rng = np.random.default_rng(0)
    V, R = rng.standard_normal((2, d)), rng.standard_normal((2, n))
    tracemalloc.start()
    try:
        design = lazy(n, d)
        query_right(design, V)
        query_left(design, R)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert announced <= held <= 1.1 * announced
    assert peak <= 1.5 * announced


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n_samples=0"), ({"d": 0}, "dim=0"), ({"seed": -1}, "seed=-1"),
        ({"right": 0}, "right=0"), ({"left": 1.5}, "left=1.5"),
    ],
)  # fmt: skip
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lazy(**{"n": 10, "d": 5, **options})


def test_bad_queries_reveal_nothing() -> None:
    design = lazy(10, 5)
    for V in (np.ones((2, 4)), np.full((1, 5), np.nan)):
        with pytest.raises(InputError, match="V"):
            design.project(V)
    assert (design.right, design.left) == (0, 0)


# --- Gram–Schmidt alone ----------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    known=st.integers(0, 12),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=10),
    columns=st.integers(1, 100),
    dtype=st.sampled_from(["float64", "float32"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_rows_become_an_orthonormal_extension(
    known: int, kinds: list[str], columns: int, dtype: str, seed: int
) -> None:
    """Orthonormal to 128 roundings, the old rows untouched, and the given rows recovered."""
    backend = get_backend("numpy", dtype)
    known = min(known, columns)
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((columns, known)))[0].T
    given_rows = rows_to_query(kinds, basis, seed)
    given_rows /= np.maximum(np.abs(given_rows).max(axis=1, keepdims=True), 1e-300)
    given_rows = given_rows.astype(dtype).astype(float)
    rows = ColumnBlocks(columns, known + len(kinds), 32, backend)
    for i in rows.blocks:
        both = np.vstack([basis, given_rows])
        rows.view(i, 0, known + len(kinds))[:] = both[:, rows.columns(i)]
    before = rows.dense(0, known)
    coefficients = gram_schmidt.orthonormalise(rows, known, len(kinds), Workers(backend, 1))
    total = coefficients.shape[1]
    assert known <= total <= min(columns, known + len(kinds))
    np.testing.assert_array_equal(rows.dense(0, known), before)
    Q = rows.dense(0, total).astype(float)
    u = backend.unit_roundoff
    assert np.abs(Q @ Q.T - np.eye(total)).max(initial=0.0) <= DEFECT * u
    left = np.linalg.norm(coefficients @ Q - given_rows, axis=1)
    assert (left <= DEFECT * u * np.sqrt(total + 1) * length(given_rows)).all()
