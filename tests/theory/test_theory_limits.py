"""The limits of one hidden feature against closed forms, brute force and simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr

from mimverify.problems.links import Link, get_link, hermite
from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.theory import BayesLimits, bayes_limits, label_information
from mimverify.theory.limits.fibres import fibres
from mimverify.theory.limits.noisy_channel import NoisyChannel
from mimverify.theory.limits.one_feature import OneFeature, one_feature


def link(function: Callable[[Float64Array], ArrayLike], name: str = "test") -> Link:
    return Link(name, 1, lambda z: function(z[:, 0]))


SQUARE = link(lambda z: z**2)
CAPPED = link(lambda z: np.minimum(z**2, 1.0))
BAND = link(lambda z: (np.abs(z) > 0.2) * 1.0)
LATE = link(lambda z: (((z > -0.9) & (z < 0)) | (z > 1.483)) * 1.0)
#: E[z² | y] = 1 for every y: the preimages ±a, ±b of a label balance.
BALANCED = link(lambda z: z**2 * np.exp(-(z**2)))
RELU = link(lambda z: np.maximum(z, 0.0))


def density(x: float) -> float:
    return math.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def explained(feature: OneFeature, q: float) -> float:
    return float(feature.best.curve.explained(np.array(-math.log1p(-q))))


def known(found: BayesLimits) -> dict[str, float | None]:
    names = ("alpha_c", "alpha_it", "alpha_it_exact", "alpha_alg")
    return {name: getattr(found, name).value for name in names}


# -- closed forms ------------------------------------------------------------------------------


def of_the_square(q: float) -> float:
    """P(q) of z²: E[z | z², ω] = |z| tanh(|z| ω/V), on nodes that know nothing of the package."""
    V = 1 - q
    x, w = np.polynomial.legendre.leggauss(800)
    z, weight = 8 * x, 8 * w * np.exp(-((8 * x) ** 2) / 2) / math.sqrt(2 * math.pi)
    s, mass = np.polynomial.hermite_e.hermegauss(120)
    omega = q * z[:, None] + math.sqrt(q * V) * s
    mean = np.abs(z)[:, None] * np.tanh(np.abs(z)[:, None] * omega / V)
    return float(weight @ ((mean - omega) ** 2 @ mass)) / math.sqrt(2 * math.pi) / V


def test_thresholds_of_the_square() -> None:
    found = bayes_limits(SQUARE)
    best = minimize_scalar(
        lambda q: -q / of_the_square(q), bounds=(0.7, 0.95), method="bounded",
        options={"xatol": 1e-7},
    )  # fmt: skip
    assert found.alpha_c.value == pytest.approx(0.5, abs=1e-8)
    assert found.alpha_it.value == pytest.approx(0.5, abs=1e-8)
    assert found.alpha_it_exact.value == pytest.approx(1.0, abs=1e-9)
    assert found.alpha_alg.value is not None
    assert found.alpha_alg.error is not None
    assert abs(found.alpha_alg.value + best.fun) < 2e-5
    assert found.alpha_alg.error < 2e-5
    (jump,) = found.jumps
    assert jump.low == pytest.approx(best.x, abs=2e-3)
    assert jump.high == 1
    assert found.hard_phase == ((found.alpha_it_exact.value, found.alpha_alg.value),)


@pytest.mark.parametrize("variance", [0.01, 0.25, 1.0])
def test_linear_labels_with_noise(variance: float) -> None:
    """y = z + √Δ ε: h = 1/(Δ + 1 − q), and the overlap solves a quadratic."""
    linear = link(lambda z: z)
    ratios = (0.3, 1.0, 2.5)
    found = bayes_limits(linear, noise=math.sqrt(variance), ratios=ratios)
    feature = one_feature(linear, math.sqrt(variance), 10.0)
    for q in (0.01, 0.5, 0.9):
        assert explained(feature, q) == pytest.approx((1 - q) / (variance + 1 - q), rel=1e-6)
    for ratio, point in zip(ratios, found.points, strict=True):
        # q (Δ + 1 − q) = α (1 − q).
        b = variance + 1 + ratio
        q = (b - math.sqrt(b**2 - 4 * ratio)) / 2
        assert point.alignment == pytest.approx(q, abs=1e-6)
        assert point.alignment_it == pytest.approx(point.alignment, abs=1e-12)
        assert point.label_error == pytest.approx(1 - q, abs=1e-6)
    assert found.alpha_alg.value is None
    assert "noisy" in str(found.alpha_alg.reason)
    assert found.hard_phase == ()


def test_linear_labels_without_noise_are_solved_at_once() -> None:
    (point,) = bayes_limits(link(lambda z: 3 * z - 1), ratios=[0.4]).points
    assert point.alignment == pytest.approx(0.4, abs=1e-9)
    assert point.label_error == pytest.approx(9 * 0.6, abs=1e-7)


def test_an_atom_makes_exact_recovery_dearer() -> None:
    found = bayes_limits(CAPPED)
    continuous = 2 * ndtr(1.0) - 1
    assert found.alpha_it_exact.value == pytest.approx(1 / continuous, abs=1e-8)
    # The atom {|z| > 1} has E[z² − 1 | y] = 2 φ(1)/(1 − P), and (z² − 1)² integrates to the rest.
    inside = quad(lambda z: (z**2 - 1) ** 2 * density(z), -1, 1)[0]
    second = inside + (2 * density(1.0)) ** 2 / (1 - continuous)
    assert found.alpha_c.value == pytest.approx(1 / second, abs=1e-7)
    assert found.alpha_alg.value == pytest.approx(1.5032, abs=1e-4)
    assert found.alpha_it.value == pytest.approx(1 / second, abs=1e-7)


def test_finitely_many_values_are_never_exact() -> None:
    """P ~ C √(1 − q), from the layers around both ends; a jump leads to a partial overlap."""
    found = bayes_limits(BAND)
    at_edge = 2 * density(0.2) * quad(
        lambda u: density(u) ** 2 / (ndtr(u) * ndtr(-u)), -8, 8, epsabs=1e-10
    )[0]  # fmt: skip
    feature = one_feature(BAND, 0.0, 10.0)
    for L in (10.0, 13.0, 20.0):
        P = float(feature.best.curve.explained(np.array(L)))
        assert P * math.exp(L / 2) == pytest.approx(at_edge, rel=2e-3)
    p = 2 * ndtr(-0.2)
    second = (0.4 * density(0.2)) ** 2 / (p * (1 - p))
    assert found.alpha_c.value == pytest.approx(1 / second, rel=1e-8)
    assert found.alpha_alg.value is None
    assert "finitely many" in str(found.alpha_alg.reason)
    assert found.alpha_it_exact.value is None
    (jump,) = found.jumps
    assert 5.77 < jump.ratio < 5.78
    assert 0.7 < jump.low < 0.8 < jump.high < 0.9
    (jump_it,) = found.jumps_it
    assert jump_it.ratio < jump.ratio
    assert np.array(found.hard_phase) == pytest.approx(np.array([[jump_it.ratio, jump.ratio]]))


def test_a_jump_at_the_threshold_itself() -> None:
    found = bayes_limits(LATE, ratios=(2, 20, 140))
    # E[z² − 1 | y] of {z ∈ (−.9, 0) ∪ (1.483, ∞)}: E[z² − 1; a < z < b] = a φ(a) − b φ(b).
    excess = -0.9 * density(0.9) + 1.483 * density(1.483)
    p = ndtr(0.0) - ndtr(-0.9) + ndtr(-1.483)
    assert found.alpha_c.value == pytest.approx(p * (1 - p) / excess**2, rel=1e-6)
    (jump,) = found.jumps
    assert jump.ratio == found.alpha_c.value
    assert jump.low == 0
    assert jump.high > 0.999
    assert found.alpha_it.value is not None
    assert found.alpha_it.value < 3
    before, between, after = found.points
    assert (before.alignment, before.alignment_it) == (0, 0)
    assert between.alignment == 0
    assert between.alignment_it is not None
    assert between.alignment_it > 0.98
    assert after.alignment == pytest.approx(after.alignment_it, abs=1e-9)


@pytest.mark.parametrize("name", ["square", "late", "cos2z"])
def test_the_curve_s_slope_at_zero(name: str) -> None:
    """d log 𝒜/dq = 1 + (E G³ − ½ E g₃²)/E G², by direct sums over labels."""
    problem = {"square": SQUARE, "late": LATE, "cos2z": get_link("cos2z")}[name]
    curve = one_feature(problem, 0.0, 10.0).best.curve
    z = np.linspace(-8, 8, 40_001)
    weight = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    if name == "late":
        y = problem(z[:, None])
        p = np.array([weight[y == label].sum() for label in (0, 1)])
        G, g3 = (
            np.array([weight[y == label] @ hermite(k, z)[y == label] for label in (0, 1)]) / p
            for k in (2, 3)
        )
        moments = p @ G**2, p @ G**3, p @ g3**2
    elif name == "square":
        G = z**2 - 1
        moments = weight @ G**2, weight @ G**3, 0.0
    else:
        # All z with cos 2z = y: ±a + kπ.
        a = z[:, None] + np.pi * np.arange(-5, 6)
        prior = np.exp(-(a**2) / 2)
        G = (prior * (a**2 - 1)).sum(axis=1) / prior.sum(axis=1)
        reflected = np.exp(-((np.pi * np.arange(-5, 6) - z[:, None]) ** 2) / 2)
        assert reflected.sum(axis=1) == pytest.approx(prior.sum(axis=1), rel=1e-6)
        moments = weight @ G**2, weight @ G**3, 0.0
    slope = 1 + (moments[1] - moments[2] / 2) / moments[0]
    steps = np.array([2e-3, 4e-3])
    q = -np.expm1(-steps)
    first, second = np.log(curve.ratio(steps) / curve.ratio(np.array(0.0))) / q
    assert 2 * first - second == pytest.approx(slope, rel=0.03, abs=0.05)


def test_a_link_whose_second_moments_say_nothing() -> None:
    """z² exp(−z²): the algorithm never starts, and the optimum is exact from α = 1 on."""
    found = bayes_limits(BALANCED, ratios=(0.9, 1.1, 50))
    assert found.alpha_c.value is None
    assert found.alpha_alg.value is None
    assert "never leaves" in str(found.alpha_alg.reason)
    assert found.alpha_it.value == pytest.approx(1.0, abs=1e-6)
    assert found.hard_phase is not None
    ((low, high),) = found.hard_phase
    assert low == pytest.approx(1.0)
    assert high is None
    assert [point.alignment for point in found.points] == [0, 0, 0]
    assert [point.alignment_it for point in found.points] == [0, 1, 1]


def test_labels_with_a_linear_part_need_no_threshold() -> None:
    found = bayes_limits(RELU, ratios=(0.1,))
    assert found.alpha_c.value is None
    assert "E[z | y] is not zero" in str(found.alpha_c.reason)
    assert found.alpha_it.value == 0
    # Half of the labels are 0: 1/P = 2.
    assert found.alpha_alg.value == pytest.approx(2, abs=1e-8)
    assert found.points[0].alignment is not None
    assert found.points[0].alignment > 0.05


# -- the information-theoretic threshold -------------------------------------------------------


def test_cosine_is_solved_from_one_sample_per_dimension() -> None:
    found = bayes_limits("cos2z")
    # The tail is analytic: a grid that ended at 1 − q = 5e-4 would say 1.05.
    assert found.alpha_it.value == pytest.approx(1.0, abs=1e-9)
    assert found.alpha_c.value == pytest.approx(
        float(label_information("cos2z").alpha_c or 0), abs=1e-7
    )
    # Independently: -(log(1 − q) + q)/∫ h dq is above 1 at every q.
    feature = one_feature(get_link("cos2z"), 0.0, 10.0)
    for q in (0.1, 0.5, 0.9, 0.999):
        integral = quad(lambda q: explained(feature, q) / (1 - q), 0, q, limit=200)[0]
        assert -(math.log1p(-q) + q) / integral > 1


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_optimum_maximises_the_free_entropy(noise: float) -> None:
    problem = get_link("cos2z") if noise else BAND
    found = bayes_limits(problem, noise=noise, ratios=(1.9, 2.1, 5.7735, 6))
    feature = one_feature(problem, noise, 10.0)
    q = 1 - np.exp(-np.linspace(1e-6, 6, 3001))
    h = np.array([explained(feature, each) / (1 - each) for each in q])
    integral = np.concatenate([[0], np.cumsum(np.diff(q) * (h[1:] + h[:-1]) / 2)])
    for point in found.points:
        entropy = (np.log1p(-q) + q + point.ratio * integral) / 2
        best = float(q[np.argmax(entropy)])
        assert point.alignment_it == pytest.approx(best, abs=5e-3)
        assert point.alignment is not None
        assert point.alignment <= best + 5e-3


# -- brute force -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "noise"),
    [("cos2z", 0.3), ("he3", 0.5), ("abs", 0.2), ("cos2z", 0.0), ("he3", 0.0), ("he2", 0.0)],
)
@pytest.mark.parametrize("q", [0.2, 0.7])
def test_the_posterior_mean_by_importance_sampling(name: str, noise: float, q: float) -> None:
    """E[z | y, ω] from weighted draws of z | ω; without noise, of labels within .01.

    The self-normalised estimate is off by 1/effective draws, the window by its square. A false
    alarm, at 5 standard errors, has probability 6e-7 for each case.
    """
    problem = get_link(name)
    rng = np.random.default_rng(17)
    V, cases, draws = 1 - q, 1200, 20_000
    omega = math.sqrt(q) * rng.standard_normal(cases)
    z = omega + math.sqrt(V) * rng.standard_normal(cases)
    y = problem(z[:, None]) + noise * rng.standard_normal(cases)
    t = np.sort(rng.standard_normal(draws))
    squares = np.empty(cases)
    for i in range(cases):
        candidates = omega[i] + math.sqrt(V) * t
        labels = problem(candidates[:, None])
        width = noise or 0.01
        weight = np.exp(-(((labels - y[i]) / width) ** 2) / 2)
        total = weight.sum()
        # Labels that no draw is near to: their own z is all that is known to be there.
        mean = weight @ candidates / total if total > 1e-3 else z[i]
        squares[i] = (mean - omega[i]) ** 2 / V
    feature = one_feature(problem, noise, 10.0)
    expected = explained(feature, q)
    assert abs(squares.mean() - expected) < 5 * squares.std() / math.sqrt(cases) + 0.01


def test_message_passing_follows_the_state_evolution() -> None:
    """Generalised AMP on z², d = 600, from an estimate of overlap .2: q after each iteration.

    Mean over 12 runs; 5 standard errors each, and a term of order 1/d.
    """
    d, ratio, start, steps, runs = 600, 1.5, 0.2, 6, 12
    n = int(ratio * d)
    feature = one_feature(SQUARE, 0.0, 10.0)
    seen = np.empty((runs, steps + 1))
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        u = rng.standard_normal(d)
        X = rng.standard_normal((n, d)) / math.sqrt(d)
        y = np.abs(X @ u)
        estimate = start * u + math.sqrt(start * (1 - start)) * rng.standard_normal(d)
        variance, gamma = 1 - start, np.zeros(n)
        for step in range(steps + 1):
            seen[seed, step] = (estimate @ u) / d
            omega = X @ estimate - variance * gamma
            tanh = np.tanh(y * omega / variance)
            gamma = (y * tanh - omega) / variance
            slope = (y**2 * (1 - tanh**2) / variance - 1) / variance
            precision = -slope.sum() / d
            estimate = (X.T @ gamma + precision * estimate) / (1 + precision)
            variance = 1 / (1 + precision)
    q = start
    for step in range(steps + 1):
        mean, error = seen[:, step].mean(), seen[:, step].std(ddof=1) / math.sqrt(runs)
        assert abs(mean - q) < 5 * error + 3 / d, (step, mean, q, error)
        strength = ratio * explained(feature, q) / (1 - q)
        q = strength / (1 + strength)


# -- error in y --------------------------------------------------------------------------------


def test_the_error_in_y_of_the_square() -> None:
    points = bayes_limits(SQUARE, ratios=(0.6, 0.9, 3)).points
    for point in points:
        assert point.alignment is not None
        assert point.label_error == pytest.approx(2 * (1 - point.alignment**2), abs=1e-9)
    assert points[-1].label_error == 0


def test_the_error_in_y_of_the_cosine() -> None:
    """E[cos 2z | ω] = e^(−2V) cos 2ω."""
    for point in bayes_limits("cos2z", noise=0.5, ratios=(1, 3, 8)).points:
        assert point.alignment is not None
        q = point.alignment
        variance = (1 + math.exp(-8)) / 2 - math.exp(-4 * (1 - q)) * (1 + math.exp(-8 * q)) / 2
        assert point.label_error == pytest.approx(variance, abs=1e-8)


def test_the_error_in_y_of_a_jump() -> None:
    """1{|z| > .2}: P(1 − P) averaged over ω, with P = P(|z| > .2 | ω) in closed form."""
    (point,) = bayes_limits(BAND, ratios=(6,)).points
    assert point.alignment is not None
    V = 1 - point.alignment

    def at(omega: float) -> float:
        inside = ndtr((0.2 - omega) / math.sqrt(V)) - ndtr((-0.2 - omega) / math.sqrt(V))
        scaled = density(omega / math.sqrt(1 - V)) / math.sqrt(1 - V)
        return float(inside * (1 - inside) * scaled)

    expected = 2 * quad(at, 0, 6, points=[0.2], epsabs=1e-11, limit=200)[0]
    assert point.label_error == pytest.approx(expected, abs=1e-7)


# -- invariance, noise, saturation -------------------------------------------------------------


def test_units_and_offsets_of_the_labels_change_nothing() -> None:
    plain = known(bayes_limits("he3"))
    scaled = known(bayes_limits(link(lambda z: 1e-5 * hermite(3, z))))
    moved = known(bayes_limits(link(lambda z: 1e4 - 3 * hermite(3, z))))
    bent = known(bayes_limits(link(lambda z: np.arctan(hermite(3, z) / 10))))
    for other in (scaled, moved, bent):
        for name, value in plain.items():
            assert other[name] == pytest.approx(value, abs=2e-4), name


def test_a_saturating_link_is_no_link_with_atoms() -> None:
    """tanh(5 z²) orders |z| as z² does, beyond where rounding makes its labels equal."""
    saturating, square = (known(bayes_limits(problem))
                          for problem in (link(lambda z: np.tanh(5 * z**2)), SQUARE))  # fmt: skip
    assert saturating == {name: pytest.approx(value, abs=1e-5) for name, value in square.items()}


def test_little_noise_is_nearly_none() -> None:
    without, little = (one_feature(get_link("cos2z"), noise, 10.0) for noise in (0.0, 0.02))
    for q in (0.1, 0.5, 0.8):
        P = explained(without, q)
        assert 0.99 * P < explained(little, q) < P


def test_noise_only_costs() -> None:
    ratios = (2.0, 2.5, 4.0)
    before = [2.0] * len(ratios)
    for noise in (0.0, 0.2, 0.5, 1.0):
        points = bayes_limits("cos2z", noise=noise, ratios=ratios).points
        now = [point.alignment_it or 0.0 for point in points]
        assert all(a <= b for a, b in zip(now, before, strict=True))
        before = now


@pytest.mark.parametrize("problem", ["square", "he3", "cos2z", "late", "balanced", "noisy"])
def test_errors_hold_against_finer_grids(problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors are those of the coarser grids: twice as fine ones change less than they say."""
    links = {"square": SQUARE, "late": LATE, "balanced": BALANCED, "noisy": get_link("cos2z")}
    chosen = links.get(problem) or get_link(problem)
    noise = 0.4 if problem == "noisy" else 0.0
    stated = one_feature(chosen, noise, 11.0)
    if noise:
        original = NoisyChannel.of

        def finer(*args: Any, order: int, step: float) -> NoisyChannel:
            return original(*args, order=order + 2, step=0.7 * step)

        monkeypatch.setattr(NoisyChannel, "of", staticmethod(finer))
    else:
        module = "mimverify.theory.limits.one_feature"
        monkeypatch.setattr(
            f"{module}.fibres", lambda pieces, order, even: fibres(pieces, order + 14, even=even)
        )
        monkeypatch.setattr(f"{module}._MANY", 10**9)
    fresh = Link("finer", 1, chosen.function)
    exact = one_feature(fresh, noise, 11.0)
    L = np.array([0.1, 0.5, 1.0, 2.0, 4.0, 8.0])
    before, after = (found.best.curve.explained(L) for found in (stated, exact))
    change = np.abs(after - before) / np.maximum(before, 0.01)
    assert change.max() < 3 * stated.relative_error + 1e-6
    for name in ("alpha_it", "alpha_alg"):
        value, other = getattr(stated.best, name), getattr(exact.best, name)
        if value is not None:
            error = stated.error(value, getattr(stated.coarse, name))
            assert error is not None
            assert abs(value - other) < 3 * error + 1e-5


def test_the_algorithm_s_fixed_point_is_one() -> None:
    """α P(q) = q at what the algorithm and the optimum reach, and 𝒜 < α below."""
    found = bayes_limits("he3", noise=0.5, ratios=(0.5, 1.5, 4))
    feature = one_feature(get_link("he3"), 0.5, 10.0)
    for point in found.points:
        assert point.alignment is not None
        q = point.alignment
        assert point.ratio * explained(feature, q) == pytest.approx(q, abs=1e-5)
        step = brentq(lambda x, a=point.ratio: a * explained(feature, x) - x, 1e-3, q + 1e-4)
        assert step == pytest.approx(q, abs=1e-3)


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "options", "words"),
    [
        ("cos2z", {"ratios": [-1.0]}, "ratio=-1"),
        ("cos2z", {"ratios": [math.nan]}, "ratio="),
        ("cos2z", {"noise": -0.1}, "noise="),
        ("quadratic:1,1,1,1", {}, "rank=4"),
    ],
)
def test_wrong_arguments_are_refused(problem: str, options: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        bayes_limits(problem, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [
    lambda z: z**3, lambda z: z - np.floor(z), np.exp, np.sign, lambda z: np.floor(3 * z),
    lambda z: np.log(np.abs(z) + 1e-9), lambda z: np.where(z > 0, z, -2 * z),
    lambda z: np.clip(np.abs(z), 0.5, 1.5), lambda z: np.tanh(np.tan(z)),
])  # fmt: skip
def test_all_kinds_of_links(function: Callable[[Float64Array], ArrayLike]) -> None:
    """Kinks, jumps, poles, atoms, inflections: no warning, and what holds for any link does."""
    problem = link(function)
    found = bayes_limits(problem, ratios=(0.3, 0.7, 3.0))
    feature = one_feature(problem, 0.0, 10.0)
    P = np.array([explained(feature, q) for q in (0.01, 0.3, 0.7, 0.99)])
    assert ((P >= 0) & (P <= 1 + 1e-9)).all()
    alignments = [point.alignment or 0.0 for point in found.points]
    errors = [point.label_error or 0.0 for point in found.points]
    assert alignments == sorted(alignments)
    assert errors == sorted(errors, reverse=True)
    for point in found.points:
        assert point.alignment is not None
        assert point.alignment_it is not None
        assert point.alignment <= point.alignment_it + 1e-9
    if found.alpha_alg.value is not None:
        assert found.alpha_it_exact.value is not None
        assert 1 - 1e-9 <= found.alpha_it_exact.value <= found.alpha_alg.value + 1e-9


def test_what_cannot_be_inverted_is_refused() -> None:
    with pytest.raises(InputError, match="monotone pieces"):
        bayes_limits(link(lambda z: np.sin(300 * z), "sin300"))
    with pytest.raises(InputError, match="rounded to"):
        bayes_limits(link(lambda z: 1e8 + z**2, "offset"))
    with pytest.raises(InputError, match="constant"):
        bayes_limits(link(lambda z: 0 * z + 1, "one"))
    with pytest.raises(InputError, match="no variance"):
        bayes_limits(link(lambda z: 1e200 * z, "huge"))
    with pytest.raises(InputError, match=r"noise=.*too little"):
        bayes_limits(link(lambda z: z**3, "cube"), noise=1e-5)
