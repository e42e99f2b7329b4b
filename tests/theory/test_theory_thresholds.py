"""Thresholds against the equations of theory.md §5, closed forms and dense matrices.

The oracle for one feature solves the equations by Gauss–Legendre panels in z, scanning s, and
never uses the measure on the axis of T or the variable w that the code works in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss
from scipy.optimize import brentq
from scipy.sparse.linalg import eigsh
from scipy.stats import norm
from scipy.stats import t as student

from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Float64Array
from mimverify.theory import (
    LabelLaw,
    LabelMeasure,
    LabelTransform,
    OptimalTransform,
    Resolvent,
    descent_threshold,
    label_law,
    label_measure,
    optimal_transform,
    overlap_curve,
    spectral_thresholds,
    thresholds,
)
from mimverify.theory.spectrum.thresholds import Thresholds

ROOT_2_PI = math.sqrt(2 * math.pi)


def scalar(name: str, function: Callable[[Float64Array], Float64Array]) -> Link:
    """A link of rank 1."""
    return Link(name, 1, lambda z: function(z[:, 0]))


IDENTITY = scalar("z", lambda z: z)
RARE_SIGN = scalar("rare sign", lambda z: np.sign(z) * (np.abs(z) > 1.5))


@cache
def population(link: str, loss: str) -> LabelLaw:
    """The population's law of named things, once per session."""
    return label_law(link, loss)


@cache
def measure(link: str, loss: str) -> LabelMeasure:
    """Its measure, once per session."""
    return label_measure(population(link, loss), fourth_moments=False)


def measure_of(
    link: Link | str, function: Callable[[Float64Array], Float64Array], *, centred: bool = True
):
    """The measure of a transform given as a function of y, which has to be bounded."""
    transform = LabelTransform("test", function, bounded=True)
    return label_measure(label_law(link, transform, centred=centred))


@cache
def optimal(name: str, alpha: float | None = None) -> OptimalTransform:
    """The optimal transform of a named link, once per session."""
    return optimal_transform(get_link(name), alpha=alpha)


# --- the oracle for r = 1 ---------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """Nodes z, weights for the normal law, and T(g(z)) at the nodes."""

    z: Float64Array
    weight: Float64Array
    T: Float64Array

    def mean(self, values: Float64Array) -> float:
        return float(self.weight @ values)


def panels(breaks: Sequence[float]) -> tuple[Float64Array, Float64Array]:
    """Nodes and weights for E φ(z) with kinks and jumps at `breaks` and their negatives."""
    ends = np.unique(np.concatenate([np.arange(-10, 10.5, 0.5), breaks, np.negative(breaks)]))
    x, w = leggauss(24)
    z = np.concatenate([(a + b) / 2 + (b - a) / 2 * x for a, b in pairwise(ends)])
    weight = np.concatenate([(b - a) / 2 * w for a, b in pairwise(ends)])
    return z, weight * np.exp(-(z**2) / 2) / ROOT_2_PI


def rule(T: Callable[[Float64Array], Float64Array], breaks: Sequence[float] = ()) -> Rule:
    z, weight = panels(breaks)
    return Rule(z, weight, T(z))


def centred_rule(
    derivative: Callable[[Float64Array], Float64Array],
    label: Callable[[Float64Array], Float64Array],
    breaks: Callable[[float], Sequence[float]],
    bracket: tuple[float, float],
) -> Rule:
    """T = l'(y − c) at the c with E T = 0; `breaks` of c are the kinks' places in z."""

    def at(c: float) -> Rule:
        return rule(lambda z: derivative(label(z) - c), [b for b in breaks(c) if b > 0])

    def mean(c: float) -> float:
        found = at(c)
        return found.mean(found.T)

    return at(float(brentq(mean, *bracket, xtol=1e-14)))


def solve_spectral(found: Rule) -> float:
    """min over both signs of s of α with 1/α = E[ψ²] = E[ψ(z² − 1)], ψ = T s/(1 − T s).

    The smallest α belongs to the s nearest to the end 1/sup T (or 1/inf T) of its range: one
    scans from there towards 0.
    """
    best = math.inf
    excess = found.z**2 - 1

    def psi(s: float) -> Float64Array:
        return np.asarray(found.T * s / (1 - found.T * s))

    def surplus(s: float) -> float:
        return found.mean(psi(s) * excess) - found.mean(psi(s) ** 2)

    for end in (found.T.max(), found.T.min()):
        s = (1 - np.geomspace(1e-6, 1 - 1e-9, 1500)) / end
        values = np.array([surplus(x) for x in s])
        births = np.flatnonzero((values[:-1] <= 0) & (values[1:] > 0))
        if len(births):
            root = float(brentq(surplus, s[births[0]], s[births[0] + 1], xtol=1e-15))
            best = min(best, 1 / found.mean(psi(root) ** 2))
    return best


def spectrum(found: Rule, alpha: float, side: int) -> tuple[float, float, float] | None:
    """Edge, outlier and its squared overlap on one side, by Ψ and Φ; None without an outlier."""
    T, z2 = found.T, found.z**2
    end = T.max() if side > 0 else T.min()

    def big_psi(w: float) -> float:
        return w * (1 / alpha + found.mean(T / (w - T)))

    def slope(w: float) -> float:
        return 1 / alpha - found.mean((T / (w - T)) ** 2)

    def surplus(w: float) -> float:
        return found.mean((z2 - 1) * T / (w - T)) - 1 / alpha

    far = end + side * 1e4
    turn = float(brentq(slope, end + side * 1e-7 * abs(end), far, xtol=1e-14))
    if surplus(turn) <= 0:
        return None
    w = float(brentq(surplus, turn, far, xtol=1e-14))
    inside = found.mean(T * z2 / (w - T)) - w * found.mean(T * z2 / (w - T) ** 2)
    return big_psi(turn), big_psi(w), slope(w) / (slope(w) - inside)


def edge(found: Rule, alpha: float, side: int) -> float:
    """Where the bulk ends: the turning point of Ψ."""
    end = found.T.max() if side > 0 else found.T.min()

    def slope(w: float) -> float:
        return 1 / alpha - found.mean((found.T / (w - found.T)) ** 2)

    w = float(brentq(slope, end + side * 1e-7 * abs(end), end + side * 1e4, xtol=1e-14))
    return w * (1 / alpha + found.mean(found.T / (w - found.T)))


def clip_rule(label, kinks, low: float, high: float) -> Rule:
    return centred_rule(lambda u: np.clip(u, -1, 1), label, kinks, (low, high))


def roots(*values: float) -> list[float]:
    """√ of those that are positive."""
    return [math.sqrt(v) for v in values if v > 0]


TANH = rule(lambda z: np.tanh(z**2 - 1))
MEDIAN = norm.ppf(0.75)
ORACLES: dict[tuple[str, str], Callable[[], Rule]] = {
    # λ > 0: right outliers.
    ("phase-retrieval", "log-cosh"): lambda: centred_rule(
        np.tanh, lambda z: z**2, lambda c: [], (0.1, 2.0)
    ),
    ("phase-retrieval", "huber"): lambda: clip_rule(
        lambda z: z**2, lambda c: roots(c - 1, c + 1), 0.1, 2.0
    ),
    ("phase-retrieval", "l1"): lambda: rule(lambda z: np.sign(z**2 - MEDIAN**2), [float(MEDIAN)]),
    ("abs", "huber"): lambda: clip_rule(np.abs, lambda c: [c - 1, c + 1, 1e-12], 0.1, 2.0),
    # λ < 0: left outliers.
    ("cos2z", "squared"): lambda: rule(lambda z: np.cos(2 * z) - math.exp(-2)),
    ("cos2z", "log-cosh"): lambda: centred_rule(
        np.tanh, lambda z: np.cos(2 * z), lambda c: [], (-0.9, 0.9)
    ),
}


@pytest.mark.parametrize(("link", "loss"), ORACLES)
def test_spectral_threshold_solves_its_equations(link: str, loss: str) -> None:
    found = thresholds(measure(link, loss))
    assert found.spectral == pytest.approx([solve_spectral(ORACLES[link, loss]())], rel=1e-8)
    assert found.descent >= found.spectral[0]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_uncentred_tanh(sign: float) -> None:
    """The example of theory.md §5, and its mirror image: one scans the other side of the bulk."""
    mu = measure_of("phase-retrieval", lambda y: sign * np.tanh(y - 1), centred=False)
    found = thresholds(mu)
    assert found.spectral == pytest.approx([solve_spectral(TANH)], rel=1e-8)
    assert found.spectral == pytest.approx([0.639], abs=5e-4)

    def lead(alpha: float) -> float:
        right = spectrum(TANH, alpha, 1)
        assert right is not None
        return right[1] - max(right[0], -edge(TANH, alpha, -1))

    # The bulk reaches further to the left, so power iteration needs far more.
    expected = float(brentq(lead, 1.0, 100.0, xtol=1e-10))
    assert found.descent == pytest.approx(expected, rel=1e-6)
    assert found.descent == pytest.approx(8.43, abs=5e-3)
    alphas = np.array([1.0, 2.0, 4.0, 8.0, 9.0, 30.0])
    overlaps = []
    for alpha in alphas:
        right = spectrum(TANH, alpha, 1)
        assert right is not None
        overlaps.append(right[2])
        outlier = Resolvent(mu, alpha).outliers[0]
        assert sign * outlier.location == pytest.approx(right[1], rel=1e-8)
        assert outlier.squared_overlap == pytest.approx(right[2], rel=1e-8)
    assert overlaps[:4] == pytest.approx([0.144, 0.432, 0.692, 0.850], abs=1e-3)
    assert overlap_curve(mu, alphas) == pytest.approx([0, 0, 0, 0, *overlaps[4:]], rel=1e-8)


def test_overlap_curve_is_the_outliers() -> None:
    for key, side in ((("cos2z", "squared"), -1), (("phase-retrieval", "huber"), 1)):
        found, mu = ORACLES[key](), measure(*key)
        start = thresholds(mu).spectral[0]
        alphas = start * np.array([0.3, 0.99, 1.01, 1.5, 4.0, 50.0])
        expected = [spectrum(found, alpha, side) for alpha in alphas]
        assert expected[:2] == [None, None]
        overlaps = [0.0 if part is None else part[2] for part in expected]
        curve = overlap_curve(mu, alphas)
        assert curve == pytest.approx(overlaps, rel=1e-6)
        assert (np.diff(curve[1:]) > 0).all()
        assert curve[-1] > 0.9


@pytest.mark.parametrize("link", ["phase-retrieval", "cos2z"])
def test_symmetric_transform_has_one_threshold(link: str) -> None:
    """T = ±1, half each: α_spec in closed form, and both edges equal in modulus for every α.

    With q = |E[T(z² − 1)]| the equations are q w (w² − 1) = w² + 1 and α = (w² − 1)²/(w² + 1).
    (So α_GD cannot be 2.831 and 1.730, as theory.md §5 once had it: it is α_spec, 2.691 and 1.710.)
    """
    if link == "phase-retrieval":
        q = 4 * MEDIAN * norm.pdf(MEDIAN)
    else:
        # cos 2z exceeds its median on |z| < x and around every multiple of π.
        def above(x: float) -> tuple[float, float]:
            ends = np.pi * np.arange(-4, 5)[:, None] + np.array([-x, x])
            mass = np.diff(norm.cdf(ends)).sum()
            return float(mass), float(-np.diff(ends * norm.pdf(ends)).sum())

        x = brentq(lambda x: above(x)[0] - 0.5, 0.1, 1.5, xtol=1e-14)
        q = abs(2 * above(x)[1])
    w = brentq(lambda w: q * w * (w * w - 1) - w * w - 1, 1 + 1e-9, 1e3, xtol=1e-13)
    found = thresholds(measure(link, "l1"))
    assert found.spectral == pytest.approx([(w * w - 1) ** 2 / (w * w + 1)], rel=1e-7)
    assert found.descent == found.spectral[0]
    for factor in (1.01, 1.04, 2.0):  # between the two that the document states, among others
        assert overlap_curve(measure(link, "l1"), factor * found.spectral)[0] > 0


def test_odd_links_show_nothing() -> None:
    for link, loss in (("he3", "huber"), ("he3", "l1")):
        found = thresholds(measure(link, loss))
        assert found.spectral.tolist() == [math.inf]
        assert found.descent == math.inf
    huber = thresholds(label_measure(label_law(IDENTITY, "huber")))
    assert huber.spectral.tolist() == [math.inf]


def test_plateau_has_a_threshold_of_second_order() -> None:
    """Λ = 0, T = 0, ±1 with u/v = ρ > 2: w² = ρ/(ρ − 2), α = (w² − 1)²/(p (w² + 1))."""
    p = 2 * norm.sf(1.5)
    ratio = 1 + 3 * norm.pdf(1.5) / p
    square = ratio / (ratio - 2)
    expected = (square - 1) ** 2 / (p * (square + 1))
    mu = label_measure(label_law(RARE_SIGN, "squared"))
    found = thresholds(mu)
    assert found.spectral == pytest.approx([expected], rel=1e-8)
    assert found.descent == pytest.approx(expected, rel=1e-4)  # symmetric, up to a tolerance
    curve = overlap_curve(mu, expected * np.array([0.9, 1.1, 1e3, 1e6]))
    assert curve[0] == 0
    assert (np.diff(curve) > 0).all()
    assert curve[-1] == pytest.approx((ratio - 2) / (2 * (ratio - 1)), rel=1e-3)


def test_outliers_in_a_window_of_ratios() -> None:
    """Λ = 0 and u < 2v, yet outliers lead between two ratios: N1's condition is for n/d → ∞.

    T = ±t_k on two shells of |z| with masses p_k and M_k = E[z² − 1; shell]. At an edge w²
    of the bulk 1/α = Σ p_k t_k² (w² + t_k²)/(w² − t_k²)²; an outlier is beyond it where
    Σ M_k t_k²/(w² − t_k²) exceeds that.
    """
    cut, low = 2.5, 0.072
    inner = Link(
        "two shells", 1, lambda z: np.sign(z[:, 0]) * np.where(np.abs(z[:, 0]) > cut, 1, low**0.5)
    )
    tail = 2 * norm.sf(cut)
    mass, square = np.array([tail, 1 - tail]), np.array([1, low])
    shift = 2 * cut * norm.pdf(cut) * np.array([1, -1])

    def inverse_ratio(w2: float) -> float:
        return float(np.sum(mass * square * (w2 + square) / (w2 - square) ** 2))

    def beyond(w2: float) -> float:
        return float(np.sum(shift * square / (w2 - square))) - inverse_ratio(w2)

    variance = np.sum(mass * square)
    assert np.sum((mass + shift) * square) < 2 * variance
    first, last = (1 / inverse_ratio(brentq(beyond, *ends)) for ends in ((1.001, 3), (3, 1e3)))
    assert first < 10 < 100 < last < 200
    mu = label_measure(label_law(inner, "squared"))
    found = thresholds(mu)
    assert found.spectral == pytest.approx([first], rel=1e-6)
    assert found.descent == math.inf
    for alpha in (10, 100, last * 0.98):
        outliers = Resolvent(mu, alpha).leading
        assert len(outliers) == 2
        assert all(0 < outlier.squared_overlap < 0.05 for outlier in outliers)
    for alpha in (first * 0.99, last * 1.02, 1e4):
        assert not Resolvent(mu, alpha).outliers


# --- invariances and orders -------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain() -> list[tuple[LabelMeasure, Thresholds]]:
    """Measures, with their thresholds."""
    return [
        (mu, thresholds(mu))
        for mu in (
            measure("cos2z", "huber"),
            measure("phase-retrieval", "log-cosh"),
            measure_of("phase-retrieval", lambda y: np.tanh(y - 1), centred=False),
        )
    ]


@pytest.mark.parametrize("factor", [1e-6, 3.7, -1.0, -250.0])
def test_scale_and_sign_do_not_matter(
    factor: float, plain: list[tuple[LabelMeasure, Thresholds]]
) -> None:
    for mu, one in plain:
        low, high = sorted((factor * mu.low, factor * mu.high))
        scaled = replace(mu, T=factor * mu.T, low=low, high=high)
        two = thresholds(scaled)
        assert two.spectral == pytest.approx(one.spectral, rel=1e-8)
        assert two.descent == pytest.approx(one.descent, rel=1e-6)
        alphas = one.descent * np.array([0.9, 1.2, 3.0])
        assert overlap_curve(scaled, alphas) == pytest.approx(overlap_curve(mu, alphas), rel=1e-7)


def test_scaled_transform_gives_the_same_thresholds() -> None:
    """The same through the whole chain of laws and measures."""
    plain = thresholds(measure_of("cos2z", np.tanh))
    for factor in (1e3, -0.02):

        def scaled(y: Float64Array, factor: float = factor) -> Float64Array:
            return np.asarray(factor * np.tanh(y))

        other = thresholds(measure_of("cos2z", scaled))
        assert other.spectral == pytest.approx(plain.spectral, rel=1e-9)
        assert other.descent == pytest.approx(plain.descent, rel=1e-9)


@pytest.mark.parametrize(("link", "loss"), [("z1z2", "huber"), ("he2-mix", "l1")])
def test_descent_never_beats_the_spectral_threshold(link: str, loss: str) -> None:
    mu = measure(link, loss)
    found = thresholds(mu)
    assert (np.diff(found.spectral) >= 0).all()
    assert found.descent >= found.spectral[0]
    assert descent_threshold(mu) == pytest.approx(found.descent, rel=1e-9)
    below = Resolvent(mu, found.spectral[0] * 0.99)
    assert not below.outliers
    for index, alpha in enumerate(found.spectral):
        # Each threshold lets one more out; equal ones let several.
        at_least = int(np.sum(found.spectral <= alpha * (1 + 1e-6)))
        assert index < at_least
        assert len(Resolvent(mu, alpha * 1.01).outliers) >= at_least


def test_two_equal_directions_share_a_threshold() -> None:
    """z1 z2 is (s² − t²)/2 with s, t = (z1 ± z2)/√2: an outlier to either side at once."""
    found = spectral_thresholds(measure("z1z2", "huber"))
    assert found[0] == pytest.approx(found[1], rel=1e-9)
    # sign(z1 z2): T = ±1, half each, with q = 2/π along s and −2/π along t.
    q = 2 / math.pi
    w = brentq(lambda w: q * w * (w * w - 1) - w * w - 1, 1 + 1e-9, 1e3, xtol=1e-13)
    expected = (w * w - 1) ** 2 / (w * w + 1)
    signs = thresholds(measure("sign-z1z2", "squared"))
    assert signs.spectral == pytest.approx([expected, expected], rel=1e-8)
    assert signs.descent == pytest.approx(expected, rel=1e-8)


# --- dense matrices ---------------------------------------------------------------------------


def leading_overlaps(
    link: Link,
    T: Callable[[Float64Array], Float64Array],
    alphas: Sequence[float],
    *,
    dim: int,
    seeds: int,
    which: str = "LM",
) -> Float64Array:
    """‖U v̂‖² of H's leading eigenvector, `(seeds, A)`; one set of inputs serves every α."""
    result = np.empty((seeds, len(alphas)))
    largest = round(max(alphas) * dim)
    for seed in range(seeds):
        rng = np.random.default_rng([seed, dim, 0x7468])
        X = rng.standard_normal((largest, dim), dtype=np.float32)
        transformed = T(link(X[:, : link.rank].astype(np.float64))).astype(np.float32)
        for index, alpha in enumerate(alphas):
            n = round(alpha * dim)
            H = (X[:n].T * transformed[:n]) @ X[:n] / n
            vector = eigsh(H, k=1, which=which, v0=np.ones(dim, np.float32), tol=1e-5)[1][:, 0]
            result[seed, index] = np.sum(vector[: link.rank] ** 2)
    return result


def assert_agrees(measured: Float64Array, predicted: Float64Array, dim: int) -> None:
    """Means over seeds are right up to their own scatter (Student, 1 % for all of them
    together) and a bias of a few 1/d, the order of what D1 leaves out."""
    seeds, count = measured.shape
    quantile = student.isf(0.01 / (2 * count), seeds - 1)
    error = measured.std(axis=0, ddof=1) / math.sqrt(seeds)
    assert (np.abs(measured.mean(axis=0) - predicted) < quantile * error + 4 / dim).all()
    # The scatter itself is a finite-size effect: nothing would pass by being noisy.
    assert (quantile * error < 0.15).all()


def edge_overlap(mu: LabelMeasure, alpha: float, dim: int) -> float:
    """E ‖U v̂‖² of an eigenvector at the edge of the bulk: Im tr M⁻¹/(d Im g) there."""
    resolvent = Resolvent(mu, alpha)
    largest = 0.0
    for w in (resolvent.w_minus, resolvent.w_plus):
        inverse = np.linalg.inv(resolvent.matrix(np.float64(w)))
        slope = resolvent.matrix_slope(np.float64(w))
        largest = max(largest, float(np.trace(inverse @ slope @ inverse)) * w**2 / alpha / dim)
    return largest


CASES = [
    ("cos2z", "squared", (1.0, 1.4), (3.0, 5.0, 8.0)),
    ("z1z2", "huber", (0.45, 0.6), (2.5, 5.0)),
]


def dense_transition(link: str, loss: str, below, above, *, dim: int, seeds: int) -> None:
    """Below the threshold nothing but what the edge of the bulk shows; above it the curve."""
    mu = measure(link, loss)
    constant = population(link, loss).constant
    assert constant is not None
    cut = 1.0 if loss == "huber" else np.inf
    measured = leading_overlaps(
        get_link(link),
        lambda y: np.clip(y - constant, -cut, cut),
        [*below, *above],
        dim=dim,
        seeds=seeds,
    )
    curve = overlap_curve(mu, np.array([*below, *above], dtype=float))
    assert (curve[: len(below)] == 0).all()
    assert (curve[len(below) :] > 0.2).all()
    for index, alpha in enumerate(below):
        # A mean over few seeds of what is about χ² in units of its mean.
        assert measured[:, index].mean() < 4 * edge_overlap(mu, alpha, dim)
    assert_agrees(measured[:, len(below) :], curve[len(below) :], dim)


@pytest.mark.parametrize(("link", "loss", "below", "above"), CASES)
def test_transition_of_a_dense_matrix(link: str, loss: str, below, above) -> None:
    dense_transition(link, loss, below, above, dim=800, seeds=6)


@pytest.mark.slow
@pytest.mark.parametrize(("link", "loss", "below", "above"), CASES)
def test_transition_of_larger_dense_matrices(link: str, loss: str, below, above) -> None:
    dense_transition(link, loss, below, above, dim=2000, seeds=16)


# --- the optimal transform --------------------------------------------------------------------


def optimal_measure(name: str, alpha: float | None, *, centred: bool) -> LabelMeasure:
    transform = optimal(name, alpha).label_transform()
    return label_measure(label_law(get_link(name), transform, centred=centred))


@pytest.mark.parametrize("name", ["phase-retrieval", "cos2z", "abs"])
def test_optimal_transform_attains_the_limit(name: str) -> None:
    """α_spec ↓ α_c as its design ratio does: never below, and quadratically near."""
    limit = optimal(name).scalar_alpha
    excess = []
    for factor in (2.0, 1.2, 1.05, 1.01):
        spectral = spectral_thresholds(optimal_measure(name, limit * factor, centred=False))[0]
        excess.append(spectral / limit - 1)
    assert min(excess) > -1e-7
    assert (np.diff(excess) < 0).all()
    assert excess[-1] < 1e-4
    assert excess[-2] / excess[-1] > 10  # a factor 5 in distance, squared


def test_optimal_transform_of_two_features() -> None:
    """Along its direction it attains the threshold of scalar transforms."""
    name = "sign-z1z2"
    transform = optimal(name)
    assert transform.scalar_alpha == pytest.approx(math.pi**2 / 4, rel=1e-3)
    spectral = spectral_thresholds(optimal_measure(name, None, centred=False))
    assert spectral[0] == pytest.approx(
        transform.scalar_alpha, abs=4 * transform.scalar_alpha_error + 1e-9
    )
    outlier = Resolvent(optimal_measure(name, None, centred=False), 1.5 * spectral[0]).outliers[0]
    assert abs(outlier.direction @ transform.direction) == pytest.approx(1, abs=1e-3)


def test_centring_costs_the_optimal_transform_its_threshold() -> None:
    """E T < 0 (Jensen), and H of T − E T is another matrix: (1/n) Σ x xᵀ is not I at n ~ d.

    So stage 1, which centres, does not attain α_c with it; nor does power iteration without
    centring, for the bulk then reaches further to the left than the outlier to the right.
    """
    for name in ("cos2z", "phase-retrieval"):
        limit = optimal(name).scalar_alpha
        plain = optimal_measure(name, 1.2 * limit, centred=False)
        centred = optimal_measure(name, 1.2 * limit, centred=True)
        assert plain.moment(1) < -0.1
        assert centred.moment(1) == pytest.approx(0, abs=1e-12)
        assert spectral_thresholds(plain)[0] < 1.1 * limit
        assert spectral_thresholds(centred)[0] > 1.25 * limit
        assert descent_threshold(plain) == math.inf


def test_dense_outlier_of_the_optimal_transform() -> None:
    link = get_link("cos2z")
    dim, alphas = 800, [3.5, 6.0]
    plain = optimal_measure("cos2z", None, centred=False)
    # It leads to the right only: the largest eigenvalue, not the largest in modulus.
    predicted = []
    for alpha in alphas:
        (outlier,) = Resolvent(plain, alpha).outliers
        assert outlier.location > 0
        predicted.append(outlier.squared_overlap)
    assert overlap_curve(plain, np.array(alphas)).tolist() == [0, 0]
    measured = leading_overlaps(link, optimal("cos2z"), alphas, dim=dim, seeds=6, which="LA")
    assert_agrees(measured, np.array(predicted), dim)
    # It is the best there is.
    assert (
        np.array(predicted) > overlap_curve(measure("cos2z", "squared"), np.array(alphas))
    ).all()


def test_dense_leader_of_the_centred_optimal_transform() -> None:
    """What power iteration finds once centring has made the outlier lead."""
    link, name = get_link("cos2z"), "cos2z"
    transform = optimal(name, 2 * optimal(name).scalar_alpha)
    mu = optimal_measure(name, transform.alpha, centred=True)
    law = label_law(link, transform.label_transform())
    dim, alphas = 800, np.array([7.0, 10.0])
    assert descent_threshold(mu) < alphas[0]
    measured = leading_overlaps(
        link, lambda y: transform(y) - law.removed_mean, alphas.tolist(), dim=dim, seeds=5
    )
    assert_agrees(measured, overlap_curve(mu, alphas), dim)


def test_unbounded_optimal_transform_is_known_to_be() -> None:
    """T = 1 − 1/y of y = z² has no lower bound: thresholds would be those of the cut-off."""
    transform = optimal("phase-retrieval")
    assert not transform.bounded
    law = label_law("phase-retrieval", transform.label_transform(), centred=False)
    assert law.tail.bounded is False


@pytest.mark.parametrize(
    ("link", "loss"),
    [
        ("abs", "pseudo-huber:3"),  # T's density vanishes at the end of its support
        ("he2", "pseudo-huber:3"),
        ("phase-retrieval", "huber:3"),
        ("cos2z", "squared"),
        ("z1z2", "pseudo-huber:3"),
        ("tanh3", "huber"),
    ],
)
def test_thresholds_are_where_the_resolvent_has_its_outliers(link: str, loss: str) -> None:
    measure = label_measure(label_law(link, loss), fourth_moments=False)
    for count, alpha in enumerate(spectral_thresholds(measure), start=1):
        assert len(Resolvent(measure, alpha * (1 - 1e-3)).outliers) < count
        assert len(Resolvent(measure, alpha * (1 + 1e-3)).outliers) >= count
    descent = descent_threshold(measure)
    assert Resolvent(measure, descent * 1.001).leading
    assert not Resolvent(measure, descent * 0.999).leading
