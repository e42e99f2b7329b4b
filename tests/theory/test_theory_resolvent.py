"""Edges, outliers, overlaps and traces of H, against dense matrices and exact arithmetic.

Oracles: direct sums over atoms; eigenvalues of simulated H; the one-dimensional formulas of
theory.md §5; exact rational coefficients of the resolvent's series at infinity (Lagrange
inversion, no contour).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.sparse.linalg import eigsh

from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.theory.closed_forms import spurious_outlier
from mimverify.theory.labels.label_law import LabelLaw, label_law, realised_law
from mimverify.theory.labels.label_measure import LabelMeasure, label_measure
from mimverify.theory.labels.transforms import LabelTransform
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.theory.spectrum.traces import traces

LAWS = [
    ("cos2z", "squared"),
    ("cos2z", "l1"),
    ("he2", "huber"),
    ("z1z2", "huber"),
    ("sign", "squared"),  # T = ±1 and Λ = 0
]


SIGN = Link("sign", 1, lambda z: np.sign(z[:, 0]))


@cache
def law_of(link: str, loss: str) -> LabelLaw:
    return label_law(SIGN if link == "sign" else link, loss)


@cache
def measure_of(link: str, loss: str) -> LabelMeasure:
    return label_measure(law_of(link, loss))


def atoms(T: list[float], mass: list[float], second: list[list[list[float]]]) -> LabelMeasure:
    """A measure with E[z zᵀ | T] given for each atom, without fourth moments."""
    r = len(second[0])
    i, j = np.triu_indices(r)
    features = np.array(mass)[:, None] * np.column_stack(
        [np.ones(len(T)), np.array(second)[:, i, j]]
    )
    return LabelMeasure(
        T=np.array(T), features=features, products=None, rank=r, low=min(T), high=max(T)
    )


# --- functions of w -------------------------------------------------------------------


@pytest.mark.parametrize(("link", "loss"), LAWS)
@pytest.mark.parametrize("alpha", [0.3, 4.0, 1000.0])
def test_functions_of_w_are_their_definitions(link: str, loss: str, alpha: float) -> None:
    """theory.md §4: ζ = 1/g + E[T/(1 − T g/α)], M = ζ I − E[T z zᵀ/(1 − T g/α)], w = α/g; sums
    over all nodes of the law, real and complex w; derivatives by a complex step."""
    law, measure = law_of(link, loss), measure_of(link, loss)
    resolvent = Resolvent(measure, alpha)
    span = measure.high - measure.low
    points = [
        complex(measure.high + 0.3 * span),
        complex(measure.low - 2 * span),
        measure.low + span * (0.5 + 0.8j),
    ]
    for w in points:
        g = alpha / w
        tau = law.weights * law.T / (1 - law.T * g / alpha)
        zeta = 1 / g + tau.sum()
        M = zeta * np.eye(law.rank) - law.z.T @ (tau[:, None] * law.z)
        # 18 Chebyshev points a panel: 1e-11 (see `label_measure`) relative to the sums' size.
        size = abs(1 / g) + float(np.abs(tau) @ (1 + (law.z**2).sum(axis=1)))
        assert abs(resolvent.zeta(w) - zeta) <= 1e-11 * size
        assert np.abs(resolvent.matrix(w) - M).max() <= 1e-11 * size
    for real in (measure.high + 0.3 * span, measure.low - 2 * span):
        step = 1e-30j  # complex step: no cancellation
        slope = np.imag(resolvent.zeta(np.complex128(real + step))) / 1e-30
        assert resolvent.slope(np.float64(real)) == pytest.approx(slope, rel=1e-12)
        slopes = np.imag(resolvent.matrix(np.complex128(real + step))) / 1e-30
        found = resolvent.matrix_slope(np.float64(real))
        np.testing.assert_allclose(found, slopes, rtol=0, atol=1e-12 * np.abs(slopes).max())
    several = np.array([points[0], points[2], points[1]]).reshape(3, 1)
    assert resolvent.zeta(several).shape == (3, 1)
    assert resolvent.matrix(several).shape == (3, 1, law.rank, law.rank)
    for index in range(3):
        # The same sums in another order: 600 terms.
        np.testing.assert_allclose(
            resolvent.matrix(several)[index, 0], resolvent.matrix(several[index, 0]), rtol=1e-11,
            atol=1e-12 * np.abs(resolvent.zeta(several[index, 0])),
        )  # fmt: skip


@pytest.mark.parametrize(("link", "loss"), LAWS)
@pytest.mark.parametrize("alpha", [1.5, 8.0])
def test_w_at_inverts_zeta(link: str, loss: str, alpha: float) -> None:
    resolvent = Resolvent(measure_of(link, loss), alpha)
    lower, upper = resolvent.edges
    width = upper - lower
    for off in (1e-3, 0.3, 10.0, 1e5):
        for zeta in (upper + off * width, lower - off * width):
            w = resolvent.w_at(zeta)
            assert resolvent.zeta(np.float64(w)) == pytest.approx(zeta, rel=1e-12)
            assert w > resolvent.w_plus if zeta > upper else w < resolvent.w_minus
            assert resolvent.slope(np.float64(w)) > 0
    for inside in (lower, upper, (lower + upper) / 2):
        with pytest.raises(InputError, match="outside the bulk"):
            resolvent.w_at(inside)


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan, math.inf])
def test_ratios_refused(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha="):
        Resolvent(measure_of("cos2z", "l1"), alpha)


@pytest.mark.parametrize("factor", [3.0, 0.125, -1.0, -2.5])
@pytest.mark.parametrize(("link", "loss"), LAWS)
def test_scale_of_the_transform(link: str, loss: str, factor: float) -> None:
    """T → c T scales H by c: edges and outliers scale (and swap for c < 0), overlaps stay."""
    measure = measure_of(link, loss)
    ends = sorted((factor * measure.low, factor * measure.high))
    scaled = replace(measure, T=factor * measure.T, low=ends[0], high=ends[1])
    one, other = Resolvent(measure, 6.0), Resolvent(scaled, 6.0)
    size = abs(factor) * max(map(abs, one.edges))
    expected = sorted(factor * edge for edge in one.edges)
    # ζ' vanishes at an edge, so that errors of w do not matter; sums of signed masses: 1e-12.
    np.testing.assert_allclose(other.edges, expected, rtol=0, atol=1e-12 * size)
    assert len(one.outliers) == len(other.outliers)
    for a, b in zip(
        sorted(one.outliers, key=lambda o: factor * o.location),
        sorted(other.outliers, key=lambda o: o.location),
        strict=True,
    ):
        assert b.location == pytest.approx(factor * a.location, rel=1e-11)
        np.testing.assert_allclose(b.overlap, a.overlap, rtol=0, atol=1e-10)
    if link != "sign":
        assert one.outliers  # else the loop above is empty


def test_overlaps_have_rank_one_along_their_directions() -> None:
    for link, loss in LAWS:
        for outlier in Resolvent(measure_of(link, loss), 20.0).outliers:
            e = outlier.direction
            assert np.linalg.norm(e) == pytest.approx(1, abs=1e-14)
            np.testing.assert_allclose(
                outlier.overlap, outlier.squared_overlap * np.outer(e, e), rtol=0, atol=1e-14
            )
            assert 0 < outlier.squared_overlap < 1


# --- closed forms ---------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.2, 1.0, 7.0])
def test_marchenko_pastur(alpha: float) -> None:
    """T = 1: H is a sample covariance matrix, bulk (1 ± 1/√α)²; for α < 1 also zeros, which lie
    to the left of its lower edge: there the end of the spectrum is 0."""
    resolvent = Resolvent(atoms([1.0], [1.0], [[[1.0]]]), alpha)
    assert resolvent.edges[1] == pytest.approx((1 + alpha**-0.5) ** 2, rel=1e-12)
    if alpha > 1:
        assert resolvent.edges[0] == pytest.approx((1 - alpha**-0.5) ** 2, rel=1e-9)
    else:
        assert abs(resolvent.edges[0]) <= 1e-9
    assert resolvent.outliers == ()  # M = 1/g − … has the same law as the bulk


@pytest.mark.parametrize("alpha", [3.0, 8.0, 50.0])
@pytest.mark.parametrize("power", [2.0, 0.8])
def test_spiked_covariance(alpha: float, power: float) -> None:
    """T = 1 and E z² = ℓ: the spiked covariance model. Baik–Ben Arous–Péché, γ = 1/α: outlier
    ℓ (1 + γ/(ℓ − 1)) and squared overlap (1 − γ/(ℓ − 1)²)/(1 + γ/(ℓ − 1)) iff |ℓ − 1| > √γ."""
    resolvent = Resolvent(atoms([1.0], [1.0], [[[power]]]), alpha)
    gamma, excess = 1 / alpha, power - 1
    if abs(excess) <= math.sqrt(gamma):
        assert resolvent.outliers == ()
        return
    (outlier,) = resolvent.outliers
    assert outlier.location == pytest.approx(power * (1 + gamma / excess), rel=1e-12)
    expected = (1 - gamma / excess**2) / (1 + gamma / excess)
    assert outlier.squared_overlap == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("alpha", [0.5, 4.0, 100.0])
def test_symmetric_atoms(alpha: float) -> None:
    """T = ±1: with s = w², ζ' = 0 reads 1/α = (s + 1)/(s − 1)²: a quadratic."""
    resolvent = Resolvent(measure_of("sign", "squared"), alpha)
    # (s − 1)² = α (s + 1) ⇒ s = 1 + α/2 + √(α²/4 + 2α).
    s = 1 + alpha / 2 + math.sqrt(alpha**2 / 4 + 2 * alpha)
    w = math.sqrt(s)
    edge = w / alpha + w / (s - 1)  # E[T²/(w − T)] = w/(w² − 1)
    # E T = 1e-15 by quadrature; w± lie where ζ is flat.
    np.testing.assert_allclose(resolvent.edges, [-edge, edge], rtol=1e-11)
    assert resolvent.outliers == ()


def one_dimensional(
    T: Callable[[Float64Array], Float64Array], alpha: float, side: int
) -> tuple[float, float] | None:
    """theory.md §5, r = 1: λ with E[(z² − 1) T/(λ − T)] = 1/α, eigenvalue Ψ(λ) = λ (1/α +
    E[T/(λ − T)]), Φ(λ) = λ E[T z²/(λ − T)], squared overlap Ψ'/(Ψ' − Φ') if Ψ' > 0; the left
    outlier of T is the right one of −T. Trapezoid in z: T is smooth or the kinks are many cells
    wide, 1e-8."""
    z = np.linspace(-11, 11, 220_001)
    density = np.exp(-(z**2) / 2)
    density /= density.sum()
    t = side * T(z)
    top = max(float(t.max()), 0.0)

    def mean(values: Float64Array) -> float:
        return float(density @ values)

    def gap(log_distance: float) -> float:
        lam = top + math.exp(log_distance)
        return mean((z**2 - 1) * t / (lam - t)) - 1 / alpha

    grid = np.linspace(-9, 9, 60)
    signs = np.array([gap(x) > 0 for x in grid])
    last = np.flatnonzero(signs)
    if len(last) == 0:
        return None
    k = int(last[-1])  # the largest root: beyond it E[…] decreases to 0
    lam = top + math.exp(float(brentq(gap, grid[k], grid[k + 1], xtol=1e-14)))
    weight = t / (lam - t)
    slope = -t / (lam - t) ** 2  # of the weight in λ
    psi = lam * (1 / alpha + mean(weight))
    psi_slope = 1 / alpha + mean(weight) + lam * mean(slope)
    phi_slope = mean(z**2 * weight) + lam * mean(z**2 * slope)
    if psi_slope <= 0:
        return None
    return side * psi, psi_slope / (psi_slope - phi_slope)


TANH = LabelTransform("tanh(y − 1)", lambda y: np.tanh(y - 1), bounded=True)


@pytest.mark.parametrize(
    ("alpha", "stated"), [(0.5, 0.0), (1.0, 0.144), (2.0, 0.432), (4.0, 0.692), (8.0, 0.850)]
)
def test_uncentred_transform(alpha: float, stated: float) -> None:
    """y = z², T = tanh(y − 1) with its mean: theory.md §5 says threshold .639 and these overlaps,
    to three digits; here both sides are computed by its formula."""
    measure = label_measure(label_law("phase-retrieval", TANH, centred=False))
    resolvent = Resolvent(measure, alpha)
    expected = one_dimensional(lambda z: np.tanh(z**2 - 1), alpha, +1)
    if expected is None:
        assert stated == 0
        assert resolvent.outliers == ()
        return
    (outlier,) = resolvent.outliers
    assert outlier.location == pytest.approx(expected[0], rel=1e-8)
    assert outlier.squared_overlap == pytest.approx(expected[1], abs=1e-8)
    assert outlier.squared_overlap == pytest.approx(stated, abs=6e-4)


@pytest.mark.parametrize("alpha", [0.3, 2.0, 9.0])
@pytest.mark.parametrize("level", [0.0, 0.6])
def test_transform_of_one_sign(alpha: float, level: float) -> None:
    """T ≥ 0 (its support then ends at 0 or above, and w₋ lies below 0): edges and outlier."""
    transform = LabelTransform(f"positive {level}", lambda y: level + np.exp(-y / 2), bounded=True)
    resolvent = Resolvent(
        label_measure(label_law("phase-retrieval", transform, centred=False)), alpha
    )
    assert resolvent.edges[0] >= -1e-9  # H is positive semi-definite
    assert resolvent.w_minus < resolvent.w_plus
    for side in (+1, -1):
        expected = one_dimensional(lambda z: level + np.exp(-(z**2) / 2), alpha, side)
        found = [o for o in resolvent.outliers if (o.location > resolvent.edges[1]) == (side > 0)]
        if side > 0:
            assert len(found) == (expected is not None)
        for outlier in found:
            if expected is not None:
                assert outlier.location == pytest.approx(expected[0], rel=1e-7)
                assert outlier.squared_overlap == pytest.approx(expected[1], abs=1e-7)


@pytest.mark.parametrize("alpha", [1.0, 2.5, 5.0, 40.0])
@pytest.mark.parametrize("loss", ["squared", "log-cosh", "huber:0.5"])
def test_centred_transforms_by_the_formula_of_rank_one(loss: str, alpha: float) -> None:
    """cos 2z, whose outlier is on the left (λ < 0), and nothing on the right."""
    law = label_law("cos2z", loss)
    assert law.constant is not None
    c, removed = law.constant, law.removed_mean
    function: dict[str, Callable[[Float64Array], Float64Array]] = {
        "squared": lambda u: u,
        "log-cosh": np.tanh,
        "huber:0.5": lambda u: np.clip(u, -0.5, 0.5),
    }
    resolvent = Resolvent(label_measure(law), alpha)
    for side in (-1, 1):
        expected = one_dimensional(
            lambda z: function[loss](np.cos(2 * z) - c) - removed, alpha, side
        )
        found = [o for o in resolvent.outliers if side * o.location > 0]
        assert len(found) == (expected is not None)
        for outlier in found:
            assert expected is not None
            # Kinks on a grid of 1e-4: second order, 1e-8 relative; squared by 1/(λ − T).
            assert outlier.location == pytest.approx(expected[0], rel=1e-7)
            assert outlier.squared_overlap == pytest.approx(expected[1], abs=1e-7)
    assert (len(resolvent.outliers) == 0) == (alpha == 1.0)


@pytest.mark.parametrize(
    ("link", "loss"), [("cos2z", "squared"), ("he2", "huber"), ("z1z2", "huber")]
)
def test_limits_for_many_samples(link: str, loss: str) -> None:
    """D4, n ≫ d: outliers λ + u/(α λ), 1 − overlap u/(α λ²), edges ±2 √(v/α) + E T³/(α v). The
    next orders are α⁻² for outliers, α^−3/2 for edges: from α = 10³ to 10⁵ the errors fall by 10⁴
    and 10³ (within 20 %, the order after that)."""
    law, measure = law_of(link, loss), measure_of(link, loss)
    lam, vectors = np.linalg.eigh(np.einsum("q,qi,qj->ij", law.weights * law.T, law.z, law.z))
    v = float(law.weights @ law.T**2)
    third = float(law.weights @ law.T**3)
    u = np.array([law.weights @ (law.T * (law.z @ vectors[:, k])) ** 2 for k in range(law.rank)])
    errors = []
    for alpha in (1e3, 1e5):
        resolvent = Resolvent(measure, alpha)
        found = sorted(resolvent.outliers, key=lambda o: o.location)
        places = lam + u / (alpha * lam)
        outlier = max(abs(o.location - p) for o, p in zip(found, places, strict=True))
        floor = max(
            abs(1 - o.squared_overlap - f) for o, f in zip(found, u / (alpha * lam**2), strict=True)
        )
        middle, half = third / (alpha * v), 2 * math.sqrt(v / alpha)
        edge = max(abs(resolvent.edges[0] - middle + half), abs(resolvent.edges[1] - middle - half))
        errors.append([outlier, floor, edge])
    ratios = np.array(errors[0]) / np.array(errors[1])
    np.testing.assert_allclose(ratios, [1e4, 1e4, 1e3], rtol=0.2)


# --- dense matrices -------------------------------------------------------------------

D = 800
SEEDS = 3


def transform_by_hand(y: Float64Array, loss: str) -> Float64Array:
    if loss == "squared":
        return y - y.mean()
    if loss == "l1":
        return np.sign(y - np.median(y)) - np.sign(y - np.median(y)).mean()
    name, _, parameter = loss.partition(":")
    delta = float(parameter or 1)
    squash: Callable[[Float64Array], Float64Array] = (
        np.tanh if name == "log-cosh" else lambda u: np.clip(u, -delta, delta)
    )
    c = brentq(lambda c: squash(y - c).mean(), y.min(), y.max(), xtol=1e-14)
    return squash(y - c)


@dataclass(frozen=True)
class Dense:
    """Extreme eigenvalues and hidden parts of their eigenvectors of one simulated H."""

    low: Float64Array
    low_hidden: Float64Array
    high: Float64Array
    high_hidden: Float64Array
    law: LabelLaw


@cache
def dense(link: str, loss: str, alpha: float, seed: int, rank: int) -> Dense:
    """The inputs are float32: its rounding, 1e-7, is far below what is measured."""
    rng = np.random.default_rng([seed, D, int(10 * alpha)])
    n = round(alpha * D)
    X = rng.standard_normal((n, D), dtype=np.float32)
    z = X[:, :rank].astype(float)
    y = get_link(link)(z)
    T = transform_by_hand(y, loss)
    H = (X.T @ (T.astype(np.float32)[:, None] * X) / np.float32(n)).astype(float)
    start = rng.standard_normal(D)
    high, high_vectors = eigsh(H, k=rank + 2, which="LA", v0=start, tol=1e-9)
    low, low_vectors = eigsh(H, k=rank + 2, which="SA", v0=start, tol=1e-9)
    down = np.argsort(-high)
    up = np.argsort(low)
    law = realised_law(z, y, loss)
    # The code's own transform of the same labels.
    np.testing.assert_allclose(law.T, T, rtol=0, atol=1e-9)
    return Dense(low[up], low_vectors[:rank, up].T, high[down], high_vectors[:rank, down].T, law)


CASES = [
    # link, loss, α, rank, outliers expected on the left and right
    ("cos2z", "squared", 6.0, 1, (1, 0)),
    ("he2", "huber", 4.0, 1, (0, 1)),
    ("z1z2", "log-cosh", 6.0, 2, (1, 1)),
    ("quadratic:1,0.5,-0.9", "huber", 8.0, 3, (1, 2)),
    ("relu-sum", "squared", 8.0, 2, (0, 1)),
    ("cos2z", "squared", 1.2, 1, (0, 0)),
]


def edge_scale(resolvent: Resolvent, side: int) -> float:
    """δ of Tracy–Widom: ζ(g) ≈ E + ζ_gg (g − g_c)²/2 at an edge gives the density √(2x/ζ_gg)/π,
    Airy's √s/π in s = x/δ, hence δ = (|ζ_gg|/2)^(1/3) d^(−2/3); ζ_gg = ζ''(w) (w²/α)²."""
    w = resolvent.w_plus if side > 0 else resolvent.w_minus
    T, mass = resolvent.measure.T, resolvent.measure.mass
    second = 2 * float((T**2 / (w - T) ** 3) @ mass)
    return float((abs(second) * (w**2 / resolvent.alpha) ** 2 / 2) ** (1 / 3) * D ** (-2 / 3))


def outlier_deviation(resolvent: Resolvent, w: float, e: Float64Array) -> float:
    """Standard deviation of an outlier given the labels: the (e, e) entry of M fluctuates with
    variance (2/(n α)) S² γ, S = E[τ² (e·z)²], τ = T/(1 − T g/α), γ = −dg/dζ (quadratic forms of
    independent Gaussian vectors), and dζ = δM/(e·dM/dζ e)."""
    T, alpha = resolvent.measure.T, resolvent.alpha
    tau = T * w / (w - T)
    S = float(tau**2 @ np.einsum("kij,i,j->k", resolvent.measure.second, e, e))
    slope = float(resolvent.slope(np.float64(w)))
    gamma = alpha / w**2 / slope
    reaction = slope / float(e @ resolvent.matrix_slope(np.float64(w)) @ e)
    return reaction * math.sqrt(2 * gamma / (alpha * D * alpha)) * S


@pytest.mark.parametrize(("link", "loss", "alpha", "rank", "count"), CASES)
def test_spectrum_of_simulated_matrices(
    link: str, loss: str, alpha: float, rank: int, count: tuple[int, int]
) -> None:
    """Edges to a fraction of the Tracy–Widom scale d^(−2/3), outliers to their own deviation, both
    given the labels (`realised_law`); overlaps by their scatter."""
    edges: dict[int, list[float]] = {-1: [], 1: []}
    places: list[float] = []
    overlaps: list[list[tuple[float, float]]] = [[] for _ in range(sum(count))]
    for seed in range(SEEDS):
        found = dense(link, loss, alpha, seed, rank)
        resolvent = Resolvent(label_measure(found.law), alpha)
        left = sorted((o for o in resolvent.outliers if o.location < 0), key=lambda o: o.location)
        right = sorted((o for o in resolvent.outliers if o.location > 0), key=lambda o: -o.location)
        assert (len(left), len(right)) == count
        for side, values, outliers in ((-1, found.low, left), (1, found.high, right)):
            edge = resolvent.edges[0 if side < 0 else 1]
            beyond = float(values[len(outliers)]) - edge
            edges[side].append(side * beyond / edge_scale(resolvent, side))
            for value, outlier in zip(values[: len(outliers)], outliers, strict=True):
                deviation = outlier_deviation(resolvent, outlier.w, outlier.direction)
                places.append((float(value) - outlier.location) / deviation)
        pairs = [*zip(left, found.low_hidden, strict=False)]
        pairs += [*zip(right, found.high_hidden, strict=False)]
        for k, (outlier, hidden) in enumerate(pairs):
            # The scalar overlap, and its part along the predicted direction.
            overlaps[k].append((float(hidden @ hidden), outlier.squared_overlap))
            along = float(hidden @ outlier.direction) ** 2
            # The two differ by a rotation among hidden directions, of variance ~ 1/d.
            assert abs(along - hidden @ hidden) <= 0.03
    for beyond_edge in edges.values():
        # Tracy–Widom (β = 1): mean −1.2065, deviation 1.268. Next order: d^(−1/3) ≈ .11 of that
        # scale times a constant of order one; .5 allowed.
        assert abs(np.mean(beyond_edge) + 1.2065) <= 4 * 1.268 / math.sqrt(SEEDS) + 0.5
    # Unit normal deviates, and a bias of order (1/d)/(deviation ~ d^−1/2) = .035 times a constant.
    assert np.abs(places).max(initial=0) <= 4.5
    if places:
        assert abs(np.mean(places)) <= 4 / math.sqrt(len(places)) + 0.3
    for pair in overlaps:
        # One overlap scatters by ≲ 2/√(n) × (condition ≈ 1/(1 − α_c/α)): .05 here.
        simulated, predicted = np.array(pair).T
        assert abs(simulated.mean() - predicted.mean()) <= 4 * 0.02 / math.sqrt(SEEDS)


def test_below_the_threshold_nothing_shows() -> None:
    """cos 2z, α = 1.2 < 1.942: extreme eigenvectors overlap like O(1/d). theory.md §6, N5: power
    iteration reaches A d = 27.5; single vectors scatter like χ²₁ about that: P(χ²₁ > 17) = 4e-5."""
    for seed in range(SEEDS):
        found = dense("cos2z", "squared", 1.2, seed, 1)
        for hidden in (*found.low_hidden, *found.high_hidden):
            assert hidden @ hidden <= 17 * 27.5 / D


@pytest.mark.parametrize(
    ("link", "loss", "alpha", "rank"), [("cos2z", "squared", 6.0, 1), ("he2", "huber", 4.0, 1)]
)
def test_population_law_predicts_matrices(link: str, loss: str, alpha: float, rank: int) -> None:
    """The quadrature law instead of the labels': they add a deviation of (overlap) ·
    √(Var[τ z²]/n), τ = T/(1 − T g/α), before the centring's and g's own reaction (a factor 2)."""
    resolvent = Resolvent(measure_of(link, loss), alpha)
    (outlier,) = resolvent.outliers
    law = label_law(link, loss)
    tau = law.T * outlier.w / (outlier.w - law.T) * law.z[:, 0] ** 2
    variance = float(law.weights @ tau**2) - float(law.weights @ tau) ** 2
    labels = outlier.squared_overlap * math.sqrt(variance / (alpha * D))
    inputs = outlier_deviation(resolvent, outlier.w, outlier.direction)
    deviation = 2 * math.hypot(labels, inputs)
    places, overlaps = [], []
    for seed in range(SEEDS):
        found = dense(link, loss, alpha, seed, rank)
        left = outlier.location < 0
        places.append(found.low[0] if left else found.high[0])
        overlaps.append(
            float((found.low_hidden if left else found.high_hidden)[0] @ np.ones(1)) ** 2
        )
    assert abs(np.mean(places) - outlier.location) <= 4 * deviation / math.sqrt(SEEDS)
    assert abs(np.mean(overlaps) - outlier.squared_overlap) <= 4 * 0.04 / math.sqrt(SEEDS)


@pytest.mark.parametrize("huge", [40.0, -60.0])
def test_one_huge_label(huge: float) -> None:
    """D9: it puts an eigenvalue at T/α + v/T, which a realised law shows as an end of the bulk.
    In the matrix |x_i|² ~ χ²_d makes it scatter by T/α √(2/d)."""
    d, alpha = 600, 4.0
    n = round(alpha * d)
    rng = np.random.default_rng(8)
    X = rng.standard_normal((n, d))
    y = np.sign(X[:, 0])
    y[7] = huge
    T = y - y.mean()
    v = float(np.mean(np.delete(T, 7) ** 2))
    place = float(spurious_outlier(T[7], v, alpha))
    assert abs(T[7]) > math.sqrt(v * alpha)
    eigenvalues = np.linalg.eigvalsh(X.T @ (T[:, None] * X) / n)
    extreme = eigenvalues[-1] if huge > 0 else eigenvalues[0]
    second = eigenvalues[-2] if huge > 0 else eigenvalues[1]
    scatter = abs(T[7]) / alpha * math.sqrt(2 / d)
    assert abs(extreme - place) <= 4 * scatter
    resolvent = Resolvent(label_measure(realised_law(X[:, :1], y, "squared")), alpha)
    lower, upper = resolvent.edges
    end, other = (upper, lower) if huge > 0 else (lower, upper)
    # An atom of mass 1/n: a small semicircle of radius 2 (T/α)/√d about the place.
    assert abs(end) >= abs(place)
    assert abs(end - place) <= 3 * abs(T[7]) / alpha / math.sqrt(d)
    # The rest of the spectrum ends where it did without the label, 2 √(v/α) + …, far inside.
    assert abs(second) < 0.5 * abs(place)
    assert abs(other) < 0.5 * abs(place)
    without = Resolvent(
        label_measure(realised_law(np.delete(X[:, :1], 7, 0), np.delete(y, 7), "squared")), alpha
    )
    assert abs(abs(second) - max(map(abs, without.edges))) <= 0.1 * abs(second)


# --- traces ---------------------------------------------------------------------------


class Exact:
    """U H^k Uᵀ and tr H^k for a law of rational atoms, as exact fractions.

    With φ(u) = 1 + Σ_j E[T^j] u^j/α^(j−1), the resolvent g of the bulk solves x = 1/ζ = g/φ(g), and
    by Lagrange [x^k] F(g(x)) = (1/k) [u^(k−1)] F'(u) φ(u)^k for every series F. Independent of any
    contour.
    """

    def __init__(
        self,
        T: list[Fraction],
        mass: list[Fraction],
        second: list[list[list[Fraction]]],
        alpha: Fraction,
        order: int,
    ) -> None:
        self.order, self.rank = order + 2, len(second[0])
        r, size = self.rank, self.order
        one = Fraction(1)
        self.phi = [one] + [
            sum((m * t**j for m, t in zip(mass, T, strict=True)), Fraction(0)) / alpha ** (j - 1)
            for j in range(1, size)
        ]
        # A(u) = u M(u) = φ I − Σ_j E[T^j z zᵀ] u^j/α^(j−1): M = A/u.
        A = []
        for j in range(size):
            block = [[self.phi[j] if a == b else Fraction(0) for b in range(r)] for a in range(r)]
            if j:
                for a in range(r):
                    for b in range(r):
                        block[a][b] -= sum(
                            (m * t**j * s[a][b] for m, t, s in zip(mass, T, second, strict=True)),
                            Fraction(0),
                        ) / alpha ** (j - 1)
            A.append(block)
        # B = A⁻¹ as a series: B_0 = I, B_n = −Σ_{j ≥ 1} A_j B_{n − j}.
        B = [A[0]]
        for n in range(1, size):
            B.append(
                [
                    [
                        -sum(
                            (
                                A[j][a][c] * B[n - j][c][b]
                                for j in range(1, n + 1)
                                for c in range(r)
                            ),
                            Fraction(0),
                        )
                        for b in range(r)
                    ]
                    for a in range(r)
                ]
            )
        # M⁻¹ = u B; its derivative has coefficients (n + 1) B_n.
        self.inverse = B
        # d/du log det(A/φ^r) = tr(B A') − r φ'/φ.
        reciprocal = self._power(self.phi, -1)
        self.log_det = []
        for n in range(size - 1):
            total = sum(
                (
                    B[n - j][a][c] * (j + 1) * A[j + 1][c][a]
                    for j in range(n + 1)
                    for a in range(r)
                    for c in range(r)
                ),
                Fraction(0),
            )
            total -= r * sum(
                (reciprocal[n - j] * (j + 1) * self.phi[j + 1] for j in range(n + 1)), Fraction(0)
            )
            self.log_det.append(total)

    @staticmethod
    def _power(series: list[Fraction], k: int) -> list[Fraction]:
        """series^k for series_0 = 1 (J. C. P. Miller's recursion)."""
        result = [Fraction(1)]
        for n in range(1, len(series)):
            terms = ((k * j - (n - j)) * series[j] * result[n - j] for j in range(1, n + 1))
            result.append(sum(terms, Fraction(0)) / n)
        return result

    @cache  # noqa: B019 (each law is needed to the end)
    def powers(self, k: int) -> list[Fraction]:
        """φ^k."""
        return self._power(self.phi, k)

    def moments(self, k: int, dim: int) -> tuple[list[list[Fraction]], Fraction, Fraction]:
        """(U H^k Uᵀ, bulk, total), k ≥ 1."""
        power = self.powers(k + 1)
        signal = [
            [
                sum(
                    ((n + 1) * self.inverse[n][a][b] * power[k - n] for n in range(k + 1)),
                    Fraction(0),
                )
                / (k + 1)
                for b in range(self.rank)
            ]
            for a in range(self.rank)
        ]
        bulk = (dim - self.rank) * power[k] / (k + 1)
        lower = self.powers(k)
        hidden = -sum((self.log_det[n] * lower[k - 1 - n] for n in range(k)), Fraction(0))
        return signal, bulk, bulk + hidden


F = Fraction
EXACT_LAWS = {
    # T = ±1, one direction that leans to +1: an outlier at α = 8.
    "two atoms": ([F(-1), F(1)], [F(1, 2), F(1, 2)], [[[F(1, 4)]], [[F(7, 4)]]]),
    # Centred, three atoms, rank 2, outliers on both sides.
    "three atoms": (
        [F(-1), F(0), F(2)],
        [F(1, 2), F(1, 4), F(1, 4)],
        [
            [[F(1, 4), F(0)], [F(0), F(3, 2)]],
            [[F(1), F(1, 8)], [F(1, 8), F(1)]],
            [[F(5, 2), F(-1, 8)], [F(-1, 8), F(0)]],
        ],
    ),
    # Not centred, and no signal: below every threshold.
    "null": ([F(0), F(1)], [F(2, 3), F(1, 3)], [[[F(1)]], [[F(1)]]]),
}  # fmt: skip


def floats(name: str) -> LabelMeasure:
    T, mass, second = EXACT_LAWS[name]
    return atoms(
        [float(t) for t in T],
        [float(m) for m in mass],
        [[[float(x) for x in row] for row in block] for block in second],
    )


def log(value: Fraction) -> float:
    """log |value| beyond the range of floats."""
    return math.log(abs(value.numerator)) - math.log(value.denominator)


def scaled(value: Fraction, log_scale: float) -> float:
    return 0.0 if value == 0 else math.copysign(math.exp(log(value) - log_scale), value)


@pytest.mark.parametrize(
    ("name", "alpha"),
    [
        ("two atoms", F(1, 2)),
        ("three atoms", F(8)),
    ],
)
def test_traces_in_exact_arithmetic(name: str, alpha: Fraction) -> None:
    """T = 60, d = 10⁸: e³ times rounding (of k log ζ: 120 · 1e-16) leaves 1e-11. The split
    contour does better (docs/theory-engine.md); one contour for both terms would not do."""
    T, mass, second = EXACT_LAWS[name]
    exact = Exact(T, mass, second, alpha, 120)
    powers = [1, 2, 3, 4, 5, 8, 16, 60, 120]
    for dim in (10, 10**8):
        found = traces(Resolvent(floats(name), float(alpha)), dim, powers)
        for index, k in enumerate(powers):
            signal, bulk, total = exact.moments(k, dim)
            scale = float(found.log_scale[index])
            expected = np.array([[scaled(x, scale) for x in row] for row in signal])
            # Odd powers cancel: relative to what their modulus sums to, about 1 in these units
            # for the signal, d − r times the bulk's part for the traces.
            tolerance = 1e-11 * max(float(np.abs(expected).max()), 1e-3 if k % 2 else 0.0)
            np.testing.assert_allclose(found.signal[index], expected, rtol=0, atol=tolerance)
            for value, reference in ((found.bulk[index], bulk), (found.total[index], total)):
                even = 1.0 if k % 2 == 0 else float(dim)
                size = max(abs(scaled(reference, scale)), 1e-3 * even if k % 2 else 0.0)
                assert abs(value - scaled(reference, scale)) <= 1e-11 * size


@pytest.mark.parametrize("name", EXACT_LAWS)
@pytest.mark.parametrize("offset", [0.5, -0.125, 3.0])
def test_offsets_in_exact_arithmetic(name: str, offset: float) -> None:
    """(o + H)^k = Σ_j C(k, j) o^(k−j) H^j, the moments of H^j exact."""
    T, mass, second = EXACT_LAWS[name]
    exact, dim, o = Exact(T, mass, second, F(8), 24), 1000, F(offset)
    resolvent = Resolvent(floats(name), 8.0)
    moments = [exact.moments(k, dim) for k in range(1, 25)]
    r = exact.rank
    for k in (1, 2, 6, 24):
        found = traces(resolvent, dim, [k], offset=offset)
        total = dim * o**k + sum(
            (math.comb(k, j) * o ** (k - j) * moments[j - 1][2] for j in range(1, k + 1)), F(0)
        )
        scale = float(found.log_scale[0])
        # The largest (o + ζ)^k is 1 in these units, times d for the trace.
        assert abs(found.total[0] - scaled(total, scale)) <= 1e-12 * dim
        for a in range(r):
            for b in range(r):
                terms = (
                    math.comb(k, j) * o ** (k - j) * moments[j - 1][0][a][b]
                    for j in range(1, k + 1)
                )
                entry = (o**k if a == b else F(0)) + sum(terms, F(0))
                assert abs(found.signal[0, a, b] - scaled(entry, scale)) <= 1e-11


@pytest.mark.parametrize(("link", "loss"), LAWS)
def test_power_zero(link: str, loss: str) -> None:
    measure = measure_of(link, loss)
    r = measure.rank
    found = traces(Resolvent(measure, 5.0), 77, [0, 2])
    np.testing.assert_allclose(found.signal[0], np.eye(r), rtol=0, atol=1e-12)
    assert found.total[0] == pytest.approx(77, rel=1e-12)
    assert found.bulk[0] == pytest.approx(77 - r, rel=1e-12)
    assert found.log_scale[0] == 0


@pytest.mark.parametrize(
    ("link", "loss"), [("cos2z", "squared"), ("z1z2", "huber"), ("he2", "huber")]
)
def test_second_moments_by_wick(link: str, loss: str) -> None:
    """E U H² Uᵀ and E tr H² at finite n and d exactly: the pairings of the Gaussian inputs.

    U H² Uᵀ: Λ̃² + (d − r)/n E[T² z zᵀ] + (E[T² z zᵀ |z|²] − Λ̃²)/n, Λ̃ = E[T z zᵀ]; D1 keeps the
    first two, with d for d − r."""
    law, measure = law_of(link, loss), measure_of(link, loss)
    r, dim, alpha = law.rank, 1000, 6.0
    n = alpha * dim
    lam = np.einsum("q,qi,qj->ij", law.weights * law.T, law.z, law.z)
    u = np.einsum("q,qi,qj->ij", law.weights * law.T**2, law.z, law.z)
    norm2 = (law.z**2).sum(axis=1)
    found = traces(Resolvent(measure, alpha), dim, [1, 2])
    scale = np.exp(found.log_scale)
    first, second = found.signal * scale[:, None, None]
    np.testing.assert_allclose(first, lam, rtol=0, atol=1e-10)
    np.testing.assert_allclose(second, lam @ lam + u / alpha, rtol=0, atol=1e-10)
    weighted = np.einsum("q,qi,qj->ij", law.weights * law.T**2 * norm2, law.z, law.z)
    wick = lam @ lam + (dim - r) / n * u + (weighted - lam @ lam) / n
    difference = (weighted - lam @ lam - r * u) / n
    np.testing.assert_allclose(wick - second, difference, rtol=0, atol=1e-10)
    # tr H: exact. tr H²: (1/n) E[T² |x|⁴] + (1 − 1/n) tr (E T x xᵀ)².
    total = found.total * scale
    assert total[0] == pytest.approx(np.trace(lam), abs=1e-9)
    rest = dim - r
    fourth = law.weights @ (law.T**2 * (norm2**2 + 2 * norm2 * rest + rest * (rest + 2)))
    exact = fourth / n + (1 - 1 / n) * np.trace(lam @ lam)
    v = measure.moment(2)
    assert found.bulk[1] * scale[1] == pytest.approx(rest * v / alpha, rel=1e-11)
    # D1 drops terms of order one: v (2 d − 2 r d + …)/n + …, bounded by 2 (r + 1) v/α + …/n.
    assert abs(total[1] - exact) <= 2 * (r + 1) * v / alpha + 10 * float(fourth) / n / dim


def test_low_moments_of_simulated_matrices() -> None:
    """tr H^k and U H^k Uᵀ, k = 1 … 4, means over 60 matrices: 4.5 standard errors and O(k²/d)."""
    dim, alpha, runs = 128, 5.0, 60
    n = round(alpha * dim)
    law = label_law("z1z2", "huber")
    assert law.constant == pytest.approx(0, abs=1e-6)  # by symmetry: T = clip(y)
    total, signal = np.zeros((runs, 4)), np.zeros((runs, 4, 2, 2))
    for run in range(runs):
        X = np.random.default_rng([run, 3]).standard_normal((n, dim))
        T = np.clip(X[:, 0] * X[:, 1], -1, 1)
        H = X.T @ (T[:, None] * X) / n
        power = np.eye(dim)
        for k in range(4):
            power = power @ H
            total[run, k] = np.trace(power)
            signal[run, k] = power[:2, :2]
    found = traces(Resolvent(label_measure(law), alpha), dim, [1, 2, 3, 4])
    scale = np.exp(found.log_scale)
    for k in range(4):
        error = total[:, k].std(ddof=1) / math.sqrt(runs)
        size = float(np.abs(traces_of_modulus(found.total, k)) * scale[k])
        tolerance = 4.5 * error + 4 * (k + 1) ** 2 / dim * size
        assert abs(total[:, k].mean() - found.total[k] * scale[k]) <= tolerance
        errors = signal[:, k].std(axis=0, ddof=1) / math.sqrt(runs)
        limit = 4.5 * errors + 4 * (k + 1) ** 2 / dim * np.abs(found.signal[k] * scale[k]).max()
        assert (np.abs(signal[:, k].mean(axis=0) - found.signal[k] * scale[k]) <= limit).all()


def traces_of_modulus(total: Float64Array, k: int) -> float:
    """Size of a trace of H^(k+1): for odd powers, which cancel, that of the even one beside it."""
    return float(total[k] if k % 2 else total[min(k + 1, 3)])
