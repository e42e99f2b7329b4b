"""The closed-form laws, each against brute force or a simulation in its own limit."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy.stats import norm

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.theory.closed_forms import (
    bulk_edges,
    closed_form_n_half,
    collapse_fraction,
    corrected_alignment,
    error_floor,
    fresh_samples_alignment,
    large_ratio_alignment,
    log_catalan,
    outlier_locations,
    plateau,
    spurious_outlier,
)
from mimverify.theory.labels.label_law import label_law
from mimverify.theory.labels.label_measure import LabelMeasure, label_measure
from mimverify.theory.sample_sizes import alignment_at
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.theory.spectrum.traces import traces

# cos 2z under squared loss, in closed form: λ = −4 e⁻², v = (1 + e⁻⁸)/2 − e⁻⁴, and
# u = E[(cos 2z − e⁻²)² z²] from E[z² cos az] = (1 − a²) e^(−a²/2).
LAMBDA = -4 * math.exp(-2)
V = (1 + math.exp(-8)) / 2 - math.exp(-4)
U = (1 - 15 * math.exp(-8)) / 2 - 2 * math.exp(-2) * (-3 * math.exp(-2)) + math.exp(-4)


@cache
def measure_of(link: str | Link, loss: str = "squared") -> LabelMeasure:
    return label_measure(label_law(link, loss))


def test_moments_of_the_cosine() -> None:
    """The constants above are those of the law that the other modules use."""
    measure = measure_of("cos2z")
    assert measure.weighted_second(1)[0, 0] == pytest.approx(LAMBDA, abs=1e-10)
    assert measure.moment(2) == pytest.approx(V, abs=1e-10)
    assert measure.weighted_second(2)[0, 0] == pytest.approx(U, abs=1e-10)


# --- Catalan numbers ------------------------------------------------------------------


def test_catalan_numbers() -> None:
    """C_{t+1} = Σ C_i C_{t−i}, the recursion of Dyck paths, in integers; C_0 = 1."""
    numbers = [1]
    for t in range(60):
        numbers.append(sum(numbers[i] * numbers[t - i] for i in range(t + 1)))
    assert numbers[1:6] == [1, 2, 5, 14, 42]
    expected = [math.log(c) for c in numbers]
    # Three log-gammas of up to 500, each to a few roundings.
    np.testing.assert_allclose(log_catalan(np.arange(61)), expected, rtol=0, atol=20 * 500 * 2**-53)
    assert log_catalan(3) == pytest.approx(math.log(5), abs=1e-14)


def test_catalan_numbers_are_the_semicircle() -> None:
    """tr H^{2T} → d C_T (v d/n)^T for n ≫ d where nothing is to be learned (y = sgn z: v = 1). Next
    order: κ_4/κ_2² = 1/α in free cumulants, times (2T choose 4) and less: 10⁻⁸ · 10⁵."""
    link = Link("sign", 1, lambda z: np.sign(z[:, 0]))
    alpha, powers = 1e8, [2, 4, 10, 24]
    found = traces(Resolvent(measure_of(link), alpha), 10**6, powers)
    logs = np.log(found.bulk) + found.log_scale
    half = np.array(powers) / 2
    expected = math.log(10**6 - 1) + log_catalan(half) - half * math.log(alpha)
    np.testing.assert_allclose(logs, expected, rtol=0, atol=1e-3)


# --- D2 and its correction ------------------------------------------------------------


def direct_d2(lam: list[float], v: float, steps: int, dim: int, n: float) -> float:
    catalan = math.comb(2 * steps, steps) // (steps + 1)
    signal = math.fsum(x ** (2 * steps) for x in lam)
    return signal / (signal + dim * catalan * (v * dim / n) ** steps)


@pytest.mark.parametrize("lam", [[0.5], [-0.5, 0.2], [0.3, 0.3, -0.3], [0.4, 0.0]])
@pytest.mark.parametrize("dim", [64, 10**5])
def test_d2_is_its_formula(lam: list[float], dim: int) -> None:
    steps = np.array([[1, 2], [3, 9]])
    for ratio in (3.0, 100.0):
        found = large_ratio_alignment(lam, 0.7, steps, dim=dim, samples=ratio * dim)
        expected = np.vectorize(lambda t, r=ratio: direct_d2(lam, 0.7, int(t), dim, r * dim))(steps)
        # Logarithms of up to 100 lose 100 roundings.
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_d2_far_beyond_floats() -> None:
    """λ^{2T} underflows, and with λ = 0 nothing is learned."""
    found = large_ratio_alignment([1e-3], 1e-9, 400, dim=100, samples=1e4)
    # (λ²)^T against d C_T (v/α)^T: α λ²/v = 10⁵ ≫ 4.
    assert found == pytest.approx(1, abs=1e-12)
    assert large_ratio_alignment([0.0], 1.0, 3, dim=100, samples=1e4) == 0


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("dim", [256, 10**5])
def test_d2_is_the_limit_of_d1(steps: int, dim: int) -> None:
    """At the n with A = 1/2 and n ≫ d. Relative corrections of the odds are of order
    T (d/n) u/λ² (signal: outlier² and overlap) and r/d·…; twice that is allowed, and the corrected
    law must do better wherever the correction is what matters."""
    n = float(closed_form_n_half([LAMBDA], V, steps, dim=dim))
    d1 = alignment_at(measure_of("cos2z"), dim, n / dim, steps)
    size = steps * dim / n * U / LAMBDA**2
    plain = float(large_ratio_alignment([LAMBDA], V, steps, dim=dim, samples=n))
    better = float(corrected_alignment(LAMBDA, V, U, steps, dim=dim, samples=n))
    assert plain == pytest.approx(0.5, abs=1e-9)
    # A (1 − A) = 1/4 turns odds into alignments; signal gains 2 T (d/n) u/λ² at most.
    assert abs(d1 - plain) <= 0.25 * 2 * size + 2 / dim
    if 0.01 < size < 0.5:
        assert abs(d1 - better) < 0.5 * abs(d1 - plain)


def test_orders_of_d2_and_its_correction() -> None:
    """At T = 3 and growing α, with dim chosen so that A stays at 1/2: D2 errs at order 1/α.

    So does the corrected law, by what it leaves out: the bulk's sixth moment is 5 κ_2³ +
    6 κ_2 κ_4 + 3 κ_3² in free cumulants κ_j = E[T^j]/α^{j−1}: the noise's odds are larger by
    (6/5 E T⁴/v² + 3/5 (E T³)²/v³)/α."""
    measure, steps = measure_of("cos2z"), 3
    missing = 1.2 * measure.moment(4) / V**2 + 0.6 * measure.moment(3) ** 2 / V**3
    plain = []
    for alpha in (100.0, 1600.0):
        dim = round(LAMBDA ** (2 * steps) / 5 * (alpha / V) ** steps)  # d C_T (v/α)^T = λ^{2T}
        d1 = alignment_at(measure, dim, alpha, steps)
        n = alpha * dim
        plain.append(d1 - float(large_ratio_alignment([LAMBDA], V, steps, dim=dim, samples=n)))
        better = d1 - float(corrected_alignment(LAMBDA, V, U, steps, dim=dim, samples=n))
        # dA/d log-odds = A (1 − A) = 1/4; 15 %: the order after that, 5/α and more.
        assert better == pytest.approx(-missing / alpha / 4, rel=0.15)
        assert abs(better) < abs(plain[-1]) / 3
    assert plain[0] / plain[1] == pytest.approx(16, rel=0.2)


def test_stated_numbers_of_d2() -> None:
    """theory.md §4, D2 at cos 2z, d = 1024: D1, D2 and better, to three digits."""
    for alpha, steps, stated in ((16, 3, (0.224, 0.153, 0.239)), (48, 5, (0.953, 0.998, 0.954))):
        n = alpha * 1024
        found = (
            alignment_at(measure_of("cos2z"), 1024, alpha, steps),
            float(large_ratio_alignment([LAMBDA], V, steps, dim=1024, samples=n)),
            float(corrected_alignment(LAMBDA, V, U, steps, dim=1024, samples=n)),
        )
        np.testing.assert_allclose(found, stated, rtol=0, atol=6e-4)


def test_correction_needs_a_signal() -> None:
    with pytest.raises(InputError, match="eigenvalue=0"):
        corrected_alignment(0.0, 1.0, 1.0, 3, dim=10, samples=100)


# --- D3 -------------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [[0.5], [0.9, -0.4], [0.2, 0.2, 0.2]])
@pytest.mark.parametrize("steps", [1, 2, 4, 10])
def test_n_half_inverts_d2(lam: list[float], steps: int) -> None:
    n = float(closed_form_n_half(lam, 0.3, steps, dim=500))
    found = large_ratio_alignment(lam, 0.3, steps, dim=500, samples=n)
    assert float(found) == pytest.approx(0.5, abs=1e-12 * steps)
    # ∝ d^{1 + 1/T} exactly.
    ratio = float(closed_form_n_half(lam, 0.3, steps, dim=32 * 500)) / n
    assert math.log(ratio) / math.log(32) == pytest.approx(1 + 1 / steps, abs=1e-12)


def test_n_half_without_signal_is_infinite() -> None:
    assert closed_form_n_half([0.0, 0.0], 1.0, 3, dim=100) == math.inf


# --- D4 -------------------------------------------------------------------------------


def test_first_order_of_the_spectrum() -> None:
    """Against the resolvent at α = 10⁴: relative errors of the next order, 1/α or 1/√α."""
    measure = measure_of("quadratic:1,-0.5", "huber")
    alpha, dim = 1e4, 100
    n = alpha * dim
    lam = np.diag(measure.weighted_second(1))
    u = np.diag(measure.weighted_second(2))
    v, third = measure.moment(2), measure.moment(3)
    outliers = sorted(Resolvent(measure, alpha).outliers, key=lambda o: -o.location)
    places = outlier_locations(lam, u, dim=dim, samples=n)
    floors = error_floor(lam, u, dim=dim, samples=n)
    for k, outlier in enumerate(outliers):
        first = abs(places[k] - lam[k])
        size = u[k] / (alpha * lam[k] ** 2)  # the small parameter
        assert abs(outlier.location - places[k]) <= 5 * size * first
        assert abs(1 - outlier.squared_overlap - floors[k]) <= 5 * size * floors[k]
        assert first > 0
    edges = np.array(Resolvent(measure, alpha).edges)
    found = np.array(bulk_edges(v, third, dim=dim, samples=n))
    # 2 √(v/α) has relative corrections E T³/(v^1.5 √α) (kept) and E T⁴/(v² α) (not).
    fourth = measure.moment(4) / v**2 / alpha
    assert (np.abs(edges - found) <= 5 * fourth * np.abs(found)).all()
    assert abs(found.sum()) > 20 * np.abs(edges - found).max()  # the shift is resolved
    assert error_floor([0.0], [1.0], dim=dim, samples=n) == math.inf


def test_stated_floor() -> None:
    """theory.md D4 and §5: u_k (d/n)/λ_k² by hand for two directions."""
    found = error_floor([1.0, -0.5], [2.0, 3.0], dim=10, samples=1000)
    np.testing.assert_allclose(found, [0.02, 0.12], rtol=1e-14)


# --- D5 -------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [(1.0, 0.8), (-0.5, 0.45), (0.3, -0.3), (2.0, 0.0)])
def test_collapse_by_monte_carlo(first: float, second: float) -> None:
    """Neurons λ_k^T z_k, nearer to the larger component; 4.5 binomial standard errors."""
    count = 200_000
    z = np.random.default_rng(2).standard_normal((count, 2))
    steps = np.array([0, 1, 3, 8])
    found = collapse_fraction(first, second, steps)
    for t, fraction in zip(steps, found, strict=True):
        nearer = np.abs(second**t * z[:, 1]) > np.abs(first**t * z[:, 0])
        error = math.sqrt(max(fraction * (1 - fraction), 0) / count)
        assert abs(nearer.mean() - fraction) <= 4.5 * error
    assert found[0] == pytest.approx(0.5, abs=1e-15)


@pytest.mark.parametrize(("first", "second"), [(0.5, 0.6), (0.0, 0.0), (math.nan, 0.1)])
def test_collapse_refused(first: float, second: float) -> None:
    with pytest.raises(InputError, match="first="):
        collapse_fraction(first, second, 3)


# --- D7 -------------------------------------------------------------------------------


@cache
def fresh_simulation(
    runs: int, dim: int, alpha: int, steps: int
) -> tuple[Float64Array, Float64Array]:
    """Σ_j ‖U w_j‖² and Σ_j ‖w_j‖² of 16 neurons, new samples at every step, `(runs, T + 1)`."""
    n = alpha * dim
    signal, total = np.zeros((runs, steps + 1)), np.zeros((runs, steps + 1))
    for run in range(runs):
        rng = np.random.default_rng([run, 11])
        W = rng.standard_normal((16, dim))
        for t in range(steps + 1):
            signal[run, t], total[run, t] = (W[:, 0] ** 2).sum(), (W**2).sum()
            X = rng.standard_normal((n, dim), dtype=np.float32)
            y = np.cos(2 * X[:, 0].astype(float))
            T = (y - y.mean()).astype(np.float32)
            W = ((X @ W.T.astype(np.float32) * T[:, None]).T @ X / n).astype(float)
            # A common factor, the same in every run (only ratios of means matter).
            W = W / 0.5
    return signal, total


def test_fresh_samples_by_simulation() -> None:
    """D7 at d = 200, α = 8: ratio of means of 40 runs within 3.5 standard errors + 1 % (O(1/d))."""
    runs, dim, alpha, steps = 40, 200, 8, 6
    signal, total = fresh_simulation(runs, dim, alpha, steps)
    found = fresh_samples_alignment(LAMBDA, V, U, steps, dim=dim, samples=alpha * dim)
    ratio = signal.mean(axis=0) / total.mean(axis=0)
    linear = (signal - ratio * total) / total.mean(axis=0)
    error = linear.std(axis=0, ddof=1) / math.sqrt(runs)
    assert found[0] == 1 / dim
    assert (np.abs(ratio - found) <= 3.5 * error + 0.01 * found).all()
    assert error[-1] < 0.02 * found[-1]  # a sharp test where the alignment is large
    # It is another law than that of reused samples: better than D1 by far.
    reused = [alignment_at(measure_of("cos2z"), dim, alpha, t) for t in range(1, steps + 1)]
    assert found[3] > 1.2 * reused[2]


def test_stated_numbers_of_d7() -> None:
    """theory.md D7: α = 8, d = 400, t = 3, 5, 8, as stated to three digits, with the natural ratio
    n/(d − 1) in place of n/d (which gives .2548 .6922 .7481)."""
    found = fresh_samples_alignment(LAMBDA, V, U, 8, dim=400, samples=3200 * 400 / 399)[[3, 5, 8]]
    np.testing.assert_allclose(found, [0.256, 0.693, 0.749], rtol=0, atol=6e-4)


def test_floor_of_fresh_samples() -> None:
    """Odds (d/n) u/(λ² − v d/n) of noise to signal in the limit, up to u/n."""
    dim, alpha = 10**6, 8.0
    found = fresh_samples_alignment(LAMBDA, V, U, 80, dim=dim, samples=alpha * dim)[-1]
    odds = U / alpha / (LAMBDA**2 - V / alpha)
    assert 1 / found - 1 == pytest.approx(odds, rel=100 / dim)


# --- D9 -------------------------------------------------------------------------------


@pytest.mark.parametrize(("v", "alpha"), [(0.4, 4.0), (2.0, 0.7)])
def test_spurious_outliers(v: float, alpha: float) -> None:
    """Present iff |T| > √(v α), where they leave the bulk's edge 2 √(v/α), and odd in T."""
    threshold = math.sqrt(v * alpha)
    T = threshold * np.array([0.0, 0.5, 1 - 1e-9, 1 + 1e-9, 2.0, -2.0])
    found = spurious_outlier(T, v, alpha)
    edge = 2 * math.sqrt(v / alpha)
    # T/α + v/T is flat at the threshold: (1 + 1e-9) changes it by 1e-18.
    np.testing.assert_allclose(found, [0, 0, 0, edge, 1.25 * edge, -1.25 * edge], rtol=1e-12)


def test_spurious_outlier_of_an_atom_in_the_resolvent() -> None:
    """An atom of vanishing mass m at T_1 adds a component of the bulk around ζ(T_1) = T_1/α +
    E[T²/(T_1 − T)], whose end tends there as √m; the law's v/T_1 is its leading order in 1/T_1.
    (The simulated matrix is in `test_theory_resolvent`.)"""
    alpha = 4.0
    errors = []
    for huge in (15.0, 30.0):
        place = huge / alpha + huge / (huge**2 - 1)  # the others are ±1
        gaps = []
        for mass in (1e-8, 1e-12):
            masses = np.array([0.5 + mass * (huge - 1) / 2, 0.5 - mass * (huge + 1) / 2, mass])
            measure = LabelMeasure(
                T=np.array([-1.0, 1.0, huge]),
                features=np.stack([masses, masses], axis=1),  # E[z² | T] = 1
                products=None,
                rank=1,
                low=-1.0,
                high=huge,
            )
            gaps.append(Resolvent(measure, alpha).edges[1] - place)
        assert gaps[0] > gaps[1] > 0
        assert gaps[0] / gaps[1] == pytest.approx(100, rel=0.05)  # next: huge · √m = .003
        errors.append(place - float(spurious_outlier(huge, 1.0, alpha)))
    # E[T⁴]/T_1³ is next (E T³ = 0): 2³.
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.02)


# --- N1 -------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1.2, 1.5, 2.0])
def test_plateau_of_an_odd_link(level: float) -> None:
    """y = sgn z · 1{|z| > t}: v = 2Φ(−t), u = v + 2 t φ(t), λ = 0. Outliers ±u/√(α (u − v)) with
    the plateau as overlap at large α; corrections 1/√α cancel between the two sides: 1/α, here
    u/v-sized constants over 10⁵."""
    link = Link(
        f"odd {level}", 1, lambda z: np.where(np.abs(z[:, 0]) > level, np.sign(z[:, 0]), 0.0)
    )
    v = 2 * float(norm.sf(level))
    u = v + 2 * level * float(norm.pdf(level))
    expected = (u - 2 * v) / (2 * (u - v))
    assert plateau(u, v) == pytest.approx(expected, rel=1e-14)
    alpha = 1e7
    outliers = Resolvent(measure_of(link), alpha).outliers
    place = u / math.sqrt(alpha * (u - v))
    assert sorted(np.sign(o.location) for o in outliers) == [-1, 1]
    for outlier in outliers:
        # T/w ~ √(1/(α u)) is the small parameter: 1e-3.
        assert abs(outlier.location) == pytest.approx(place, rel=1e-2)
        assert outlier.squared_overlap == pytest.approx(expected, abs=1e-2)
    mean = np.mean([o.squared_overlap for o in outliers])
    assert mean == pytest.approx(expected, abs=1e-4)


def test_stated_plateaus() -> None:
    """theory.md N1: y = z (u = 3, v = 1) .25; sgn z·1{|z| > 1.5}: u/v = 3.91, .328."""
    assert plateau(3.0, 1.0) == 0.25
    v = 2 * float(norm.sf(1.5))
    u = v + 3 * float(norm.pdf(1.5))
    assert u / v == pytest.approx(3.91, abs=5e-3)
    assert plateau(u, v) == pytest.approx(0.328, abs=5e-4)


def test_no_plateau_below_two() -> None:
    """u ≤ 2 v: no outliers however many samples; y = z under Huber (u/v = 1.77: theory.md N1)."""
    assert plateau(2.0, 1.0) == 0
    assert plateau(1.5, 1.0) == 0
    link = Link("identity", 1, lambda z: z[:, 0])
    measure = measure_of(link, "huber")
    ratio = measure.weighted_second(2)[0, 0] / measure.moment(2)
    assert ratio == pytest.approx(1.77, abs=5e-3)
    assert plateau(float(ratio), 1.0) == 0
    for alpha in (10.0, 1e3, 1e6):
        assert Resolvent(measure, alpha).outliers == ()
