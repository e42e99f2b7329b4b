"""Means of the traces of H to second order, against enumeration, Wick's formula and simulation.

Laws with a few atoms make the labels' part an ordinary second derivative: n labels move the law
p to p + δ, E δ δᵀ = (diag p − p pᵀ)/n, and D1's traces are functions of p. Given the labels,
low powers of H have means in closed form, and higher ones are simulated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chi2

from mimverify.network.losses import get_loss
from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Float64Array
from mimverify.theory.labels.label_law import label_law, realised_law
from mimverify.theory.labels.label_measure import LabelMeasure, label_measure, pairs
from mimverify.theory.spectrum import bias as engine
from mimverify.theory.spectrum.bias import trace_bias
from mimverify.theory.spectrum.fluctuations import LabelShift
from mimverify.theory.spectrum.population import population_of
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.theory.spectrum.traces import traces
from mimverify.theory.trajectory import Trajectory, alignments, predict_trajectory, trajectory_of

Transform = Callable[[Float64Array], Float64Array]  # of a law's masses p: T at its atoms


def measure_of(z: Float64Array, T: Float64Array, p: Float64Array) -> LabelMeasure:
    """The law with atoms (z_a, T_a) of mass p_a."""
    i, j = pairs(z.shape[1])
    order = np.argsort(T, kind="stable")
    features = np.column_stack([np.ones(len(T)), z[:, i] * z[:, j]])[order]
    mass = p[order]
    return LabelMeasure(
        T=T[order],
        features=features * mass[:, None],
        products=features[:, :, None] * features[:, None, :] * mass[:, None, None],
        rank=z.shape[1],
        low=float(T.min()),
        high=float(T.max()),
    )


def moments(
    measure: LabelMeasure, alpha: float, dim: int, powers: list[int], o: float
) -> Float64Array:
    """D1's (tr U p Uᵀ, tr p − tr U p Uᵀ) for p = ½(H + o)^k + ½(H − o)^k, `(P, 2)`."""
    resolvent, result = Resolvent(measure, alpha), np.zeros((len(powers), 2))
    for sign in (1, -1):
        part = traces(resolvent, dim, powers, offset=sign * o)
        signal = np.trace(part.signal, axis1=1, axis2=2)
        result += np.stack([signal, part.total - signal], 1) * np.exp(part.log_scale)[:, None] / 2
    return result


def labels_part(
    resolvent: Resolvent, dim: int, powers: list[int], **options: object
) -> Float64Array:
    """n times what the labels add to the relative shifts."""
    both = [
        trace_bias(resolvent, dim, powers, labels=labels, **options)  # type: ignore[arg-type]
        for labels in (True, False)
    ]
    return resolvent.alpha * (dim - resolvent.rank) * (both[0] - both[1])


# --- labels: the curvature of D1 under resampling -------------------------------------

DIM, ALPHA, POWERS = 50, 8.0, [2, 4, 8, 16]


@dataclass(frozen=True)
class Atoms:
    """Six labels at random, r features each."""

    z: Float64Array
    y: Float64Array
    p: Float64Array

    @classmethod
    def draw(cls, rank: int) -> Atoms:
        rng = np.random.default_rng([rank, 77])
        z = 1.3 * rng.standard_normal((6, rank))
        return cls(z, z[:, 0] ** 2 + rng.standard_normal(6), rng.dirichlet(np.full(6, 5.0)))

    def constant(self, p: Float64Array) -> float:
        return float(brentq(lambda c: p @ np.tanh(self.y - c), -20, 20, xtol=1e-15))

    def second_derivative(self, transform: Transform, offset: float) -> Float64Array:
        """½ Σ Cov_ab ∂²/∂p_a ∂p_b, relative: Cov = Σ_a p_a (e_a − p)(e_a − p)ᵀ."""

        def at(p: Float64Array) -> Float64Array:
            return moments(measure_of(self.z, transform(p), p), ALPHA, DIM, POWERS, offset)

        centre = at(self.p)
        total = np.zeros_like(centre)
        for a, mass in enumerate(self.p):
            direction = -self.p.copy()
            direction[a] += 1

            def second(h: float, e: Float64Array = direction) -> Float64Array:
                return (at(self.p + h * e) + at(self.p - h * e) - 2 * centre) / h**2

            total += mass * (4 * second(1e-3) - second(2e-3)) / 3
        return total / 2 / centre


@pytest.mark.parametrize("offset", [0.0, 0.3])
@pytest.mark.parametrize("rank", [1, 2])
def test_labels_whose_mean_is_subtracted(rank: int, offset: float) -> None:
    """Every label's T reacts to the sample's mean: T_i − mean T, to second order.

    Richardson's steps leave (k h)⁴ < 1e-6 of the largest, and rounding 1e-14/h² = 1e-8 of the
    traces, next to shifts of order 1.
    """
    atoms = Atoms.draw(rank)

    def centred(p: Float64Array) -> Float64Array:
        return np.asarray(atoms.y - atoms.y @ p)

    resolvent = Resolvent(measure_of(atoms.z, centred(atoms.p), atoms.p), ALPHA)
    expected = atoms.second_derivative(centred, offset)
    found = labels_part(resolvent, DIM, POWERS, offset=offset)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)
    # Without the mean of the reaction k = 2 would be off by more than 1, and its bulk by 1.
    assert abs(expected[0, 1]) > 0.3


@pytest.mark.parametrize("offset", [0.0, 0.3])
@pytest.mark.parametrize("rank", [1, 2])
def test_labels_to_which_a_constant_is_fitted(rank: int, offset: float) -> None:
    """T = tanh(y − c), c fitted to the same labels. The derivatives in c are differences over
    1e-3, wrong by 1e-6 of derivatives of order 1, times k² (the largest shifts grow so)."""
    atoms = Atoms.draw(rank)
    c, step = atoms.constant(atoms.p), 1e-3

    def at(constant: float) -> LabelMeasure:
        return measure_of(atoms.z, np.tanh(atoms.y - constant), atoms.p)

    def fitted(p: Float64Array) -> Float64Array:
        return np.asarray(np.tanh(atoms.y - atoms.constant(p)))

    expected = atoms.second_derivative(fitted, offset)
    shift = LabelShift(at(c - step), at(c + step), step)
    found = labels_part(Resolvent(at(c), ALPHA), DIM, POWERS, offset=offset, shift=shift)
    k = np.array(POWERS)[:, None]
    assert np.all(np.abs(found - expected) <= 2e-6 * k**2)


def test_squared_loss_subtracts_the_mean() -> None:
    """Both parametrisations agree: everything is quadratic or analytic in c, differences over
    .02 deviations are wrong by (.02)² k²/6 of a shift at the most."""
    population = population_of(get_link("cos2z"), get_loss("squared"))
    assert population.shift is not None
    resolvent = Resolvent(population.measure, 4.0)
    fitted = labels_part(resolvent, 256, [2, 8, 16], shift=population.shift)
    np.testing.assert_allclose(fitted, labels_part(resolvent, 256, [2, 8, 16]), rtol=0.02)


def moment_shifts(link: Link, loss: str) -> tuple[float, float]:
    """n times the labels' part of E U HUᵀ and E U H²Uᵀ, r = 1. The first power is linear in the
    labels' law, so it shows the reaction of the constant alone."""
    population = population_of(link, get_loss(loss))
    resolvent = Resolvent(population.measure, 8.0)
    with np.errstate(divide="ignore", invalid="ignore"):  # E tr H outside the subspace is 0
        shift = labels_part(resolvent, 64, [1, 2], shift=population.shift)[:, 0]
    first, second = shift * moments(population.measure, 8.0, 64, [1, 2], 0.0)[:, 0]
    return float(first), float(second)


SQUARE = Link("square", 1, lambda z: z[:, 0] ** 2)


def test_labels_about_their_median() -> None:
    """l1, y = z²: with the median at c, the two halves are independent samples of the law above
    and below, so E[T z²] = E_c[½ E[y|y > c] − ½ E[y|y < c]]; to order 1/n that is −1/(4 f(c)).
    And n Var(mean T_i y_i) → E(y − c)² − λ², while mean T_i² z_i² has no shift, as T² = 1.

    Differences of the density over ± .02·√2 about c = .455 are good to (.03/.455)²/2 < .3 %.
    """
    c = float(chi2.median(1))
    shift = -1 / (4 * chi2.pdf(c, 1))
    strength = chi2.expect(args=(1,), lb=c) - chi2.expect(args=(1,), ub=c)
    first, second = moment_shifts(SQUARE, "l1")
    assert first == pytest.approx(shift, rel=0.01)
    expected = 3 - 2 * c + c**2 - strength**2 + 2 * strength * shift
    assert second == pytest.approx(expected, abs=0.01 * 2 * strength * abs(shift))


def test_first_moment_of_labels_about_their_mean() -> None:
    """E[mean(T_i z_i²) − mean T · mean z_i²] = λ (1 − 1/n), exactly."""
    measure = population_of(get_link("cos2z"), get_loss("squared")).measure
    found, _ = moment_shifts(get_link("cos2z"), "squared")
    assert found == pytest.approx(-measure.weighted_second(1)[0, 0], rel=1e-3)


def test_first_moment_of_clipped_labels() -> None:
    """Huber(1), y = z², against direct simulation of mean T_i y_i, c fitted by bisection.

    What the labels do to first order is taken out: its mean is known to be 0. The rest scatters
    by O(1/n), and leaves out a relative O(1/n)."""
    n, draws = 250, 1000
    y = np.random.default_rng(5).chisquare(1, (draws, n))
    law = label_law(SQUARE, "huber")
    assert law.constant is not None
    low, high = np.zeros(draws), np.full(draws, 2.0)
    for _ in range(30):
        middle = (low + high) / 2
        above = np.clip(y - middle[:, None], -1, 1).sum(axis=1) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    fitted = (np.clip(y - low[:, None], -1, 1) * y).mean(axis=1)
    T = np.clip(y - law.constant, -1, 1)
    inside = chi2.cdf(law.constant + 1, 1)  # c − 1 < 0
    slope = chi2.expect(args=(1,), ub=law.constant + 1) / inside
    first = (T * y).mean(axis=1) - law.weights @ (law.T * law.y) - T.mean(axis=1) * slope
    rest = n * (fitted - law.weights @ (law.T * law.y) - first)
    se = rest.std(ddof=1) / np.sqrt(draws)
    found, _ = moment_shifts(SQUARE, "huber")
    assert abs(found - rest.mean()) <= 4 * se + abs(found) * 10 / n
    assert abs(found) > 20 * se


def test_median_between_nodes() -> None:
    """A quadrature's l1 transform has a small mean left, which `measure` takes away: 1e-3 of it
    moves the shift by no more, though second differences over .028 would make .8 of it."""
    population = population_of(SQUARE, get_loss("l1"))
    measure, shifts = population.measure, []
    for T in (measure.T, measure.T - 1e-3):
        resolvent = Resolvent(replace(measure, T=T), 8.0)
        shifts.append(labels_part(resolvent, 64, [2], shift=population.shift)[0, 0])
    assert shifts[1] == pytest.approx(shifts[0], rel=0.01)


THREE = Link("three", 1, lambda z: np.sign(z[:, 0]) * (np.abs(z[:, 0]) > 0.5) + (z[:, 0] > 2))


@pytest.mark.parametrize(
    ("link", "loss"), [("sign-z1z2", "l1"), ("sign-z1z2", "huber:0.5"), (THREE, "l1")]
)
def test_labels_at_atoms(link: str | Link, loss: str) -> None:
    """Where the median is an atom, or any c between two labels will do, the measures
    beside c are not used, and T is centred by its mean (two labels: up to a factor)."""
    population = population_of(get_link(link), get_loss(loss))
    resolvent = Resolvent(population.measure, 4.0)
    assert population.shift is not None
    found = trace_bias(resolvent, 64, [2, 8], shift=population.shift)
    np.testing.assert_array_equal(found, trace_bias(resolvent, 64, [2, 8]))


# --- inputs: Wick's formula -----------------------------------------------------------


def sample(rank: int, n: int) -> tuple[Float64Array, Float64Array]:
    """Given labels: features and centred, bounded transforms."""
    rng = np.random.default_rng([rank, n])
    z = rng.standard_normal((n, rank))
    T = np.clip(z[:, 0] * z[:, -1] + 0.6 * np.cos(2 * z[:, 0]), -1, 1.5)
    return z, T - T.mean()


def given(rank: int, n: int) -> LabelMeasure:
    z, T = sample(rank, n)
    return measure_of(z, T, np.full(n, 1 / n))


@pytest.mark.parametrize("rank", [1, 2])
def test_low_powers_given_the_labels(rank: int) -> None:
    """With D = d − r other coordinates, K_j = E[T^j zzᵀ], T centred:

        E U H²Uᵀ = K₁² + (D/n) K₂,             E tr H² = (D² + D)/n v + 2 (D/n) tr K₂ + tr K₁²,
        E U H³Uᵀ = K₁³ + (D/n)(K₁K₂ + K₂K₁) + ((D² + D)/n²) K₃,

    exact for every n, and all of it is in D1 at n/D but for D v/n and (D/n²) K₃.
    """
    outside, n = 40, 120
    dim, measure = outside + rank, given(rank, n)
    K = [measure.weighted_second(j) for j in range(4)]
    resolvent = Resolvent(measure, n / outside)
    found = trace_bias(resolvent, dim, [2, 3], labels=False)
    second, third = moments(measure, resolvent.alpha, dim, [2, 3], 0.0)
    v, ratio = measure.moment(2), outside / n
    # The contour has nodes for six digits.
    exact = np.trace(K[1] @ K[1] + ratio * K[2])
    assert second[0] * (1 + found[0, 0]) == pytest.approx(exact, rel=1e-6)
    total = (outside + 1) * ratio * v + 2 * ratio * np.trace(K[2]) + np.trace(K[1] @ K[1])
    assert second[1] * (1 + found[0, 1]) == pytest.approx(total - exact, rel=1e-6)
    exact = np.trace(K[1] @ K[1] @ K[1] + 2 * ratio * K[1] @ K[2])
    exact += ratio * (outside + 1) / n * np.trace(K[3])
    assert third[0] * (1 + found[1, 0]) == pytest.approx(exact, rel=1e-6)
    assert abs(found[1, 0]) > 1e-4  # the last term is observed


@pytest.mark.parametrize("rank", [1, 2])
def test_fourth_power_given_the_labels(rank: int) -> None:
    """U H⁴Uᵀ = n⁻⁴ ZᵀT G T G T G T Z with G = Z Zᵀ + W, W a Wishart matrix of D degrees of freedom.
    For tr T = 0 (diagonal T),

        E W = D I,   E W B W = (D² + D) B + D (tr B) I  (B = Bᵀ),
        E W T W T W = (D³ + 3 D² + 4 D) T² + (D² + D) (tr T²) I,

    and all but 4 D T², of relative order 1/n², is of first order. Every term of the inputs' part
    of the signal takes part.
    """
    outside, n = 40, 120
    measure, ratio = given(rank, n), outside / n
    _, K1, K2, K3, K4 = (measure.weighted_second(j) for j in range(5))
    more = ratio * (outside + 1) / n  # (D² + D)/n²
    exact = K1 @ K1 @ K1 @ K1 + ratio * (2 * K1 @ K1 @ K2 + K1 @ K2 @ K1) + 2 * more * K1 @ K3
    exact += more * K2 @ K2 + ratio / n * np.trace(K2) * K2
    exact += ratio**2 * (outside + 3) / n * K4 + more * measure.moment(2) * K2
    resolvent = Resolvent(measure, n / outside)
    found = trace_bias(resolvent, outside + rank, [4], labels=False)[0, 0]
    plain = moments(measure, resolvent.alpha, outside + rank, [4], 0.0)[0, 0]
    assert plain * (1 + found) == pytest.approx(np.trace(exact), rel=1e-6)


@pytest.mark.parametrize("rank", [1, 2])
def test_second_power_over_labels(rank: int) -> None:
    """Labels T_i − mean T: with S = E zzᵀ, Q = E[T²‖z‖² zzᵀ], {·} the trace,

        n (E U H²Uᵀ − K₁² − (D/n) K₂) → {Q − K₁²} − 2{K₁² + S K₂} + v{S²} + (D/n)(v{S} − 2{K₂})

    from Cov(mean T, ·) of Λ̂² and of mean T²zzᵀ; and n E tr H² loses (D²/n) v (of v (1 − 1/n)).
    """
    atoms, dim = Atoms.draw(rank), 10**6
    T = atoms.y - atoms.y @ atoms.p
    measure = measure_of(atoms.z, T, atoms.p)
    outside, alpha = dim - rank, 3.0
    n = alpha * outside
    resolvent = Resolvent(measure, alpha)
    found = n * trace_bias(resolvent, dim, [2])[0]
    signal, rest = moments(measure, alpha, dim, [2], 0.0)[0]
    S, K1, K2 = (measure.weighted_second(j) for j in range(3))
    v = measure.moment(2)
    square = (atoms.z**2).sum(axis=1)
    Q = np.einsum("a,ai,aj->ij", atoms.p * T**2 * square, atoms.z, atoms.z)
    expected = np.trace(Q - K1 @ K1 - 2 * (K1 @ K1 + S @ K2) + v * S @ S)
    expected += (v * np.trace(S) - 2 * np.trace(K2)) / alpha
    assert signal * found[0] == pytest.approx(expected, rel=1e-6)
    # n (D v/n − D² v/n²), and O(1) of the hidden block next to O(D).
    assert rest * found[1] == pytest.approx(outside * v * (1 - 1 / alpha), rel=1e-4)


# --- inputs: simulation ---------------------------------------------------------------


@pytest.mark.parametrize(("rank", "offset"), [(1, 0.0), (2, 0.3)])
def test_powers_given_the_labels(rank: int, offset: float) -> None:
    """Means over 2000 draws of the inputs, n = 256, 64 coordinates outside the subspace.

    What is known exactly (above) serves as control variate. Left out is the next order, some
    squares of the shifts; the shifts, up to .2, show beyond that and the scatter."""
    n, outside, powers = 256, 64, [4, 6, 8]
    dim = outside + rank
    z, T = sample(rank, n)
    measure = measure_of(z, T, np.full(n, 1 / n))
    rng = np.random.default_rng([rank, 3])
    values, controls = [], []
    for _ in range(20):
        X = np.empty((100, n, dim), dtype=np.float32)
        X[:, :, :rank] = z
        X[:, :, rank:] = rng.standard_normal((100, n, outside), dtype=np.float32)
        H = np.matmul((X * T[:, None].astype(np.float32)).transpose(0, 2, 1), X) / n
        h, V = np.linalg.eigh(H.astype(float))
        hidden = (V[:, :rank] ** 2).sum(axis=1)
        for k in (2, 3):
            controls.append((hidden * h**k).sum(axis=1))
        for k in (1, 2):
            controls.append((h**k).sum(axis=1))
        for k in powers:
            p = ((h + offset) ** k + (h - offset) ** k) / 2
            values += [(hidden * p).sum(axis=1), ((1 - hidden) * p).sum(axis=1)]
    K = [measure.weighted_second(j) for j in range(4)]
    ratio = outside / n
    exact = [
        np.trace(K[1] @ K[1] + ratio * K[2]),
        np.trace(K[1] @ K[1] @ K[1] + 2 * ratio * K[1] @ K[2])
        + ratio * (outside + 1) / n * np.trace(K[3]),
        np.trace(K[1]),
        (outside + 1) * ratio * measure.moment(2)
        + 2 * ratio * np.trace(K[2])
        + np.trace(K[1] @ K[1]),
    ]
    base = moments(measure, n / outside, dim, powers, offset)
    observed = np.array(values).reshape(20, len(powers), 2, 100)
    observed = observed.transpose(0, 3, 1, 2).reshape(2000, -1) / base.ravel() - 1
    known = np.array(controls).reshape(20, 4, 100).transpose(0, 2, 1).reshape(2000, 4) - exact
    design = np.column_stack([np.ones(len(known)), known])
    observed = observed - known @ np.linalg.lstsq(design, observed, rcond=None)[0][1:]
    se = observed.std(axis=0, ddof=5) / np.sqrt(len(observed))
    resolvent = Resolvent(measure, n / outside)
    found = trace_bias(resolvent, dim, powers, offset=offset, labels=False).ravel()
    assert np.all(np.abs(observed.mean(axis=0) - found) <= 4 * se + 1.5 * found**2)
    assert np.all(found > 8 * se)  # of either sign, or without one of its terms, it would fail


def test_nodes_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times the nodes change nothing: six digits, where two would do."""
    resolvent = Resolvent(given(2, 96), 4.0)
    before = trace_bias(resolvent, 256, [2, 8, 32])

    def finer(resolvent: Resolvent, power: int, offset: float) -> object:
        return contour(resolvent, power, offset, 9 * power + 150)

    def contour(resolvent: Resolvent, power: int, offset: float, nodes: int) -> object:
        low, high = resolvent.extremes
        margin = 3 * (max(abs(low), abs(high)) + abs(offset)) / power
        return resolvent.contour(low - margin, high + margin, nodes)

    monkeypatch.setattr(engine, "variance_contour", finer)
    after = trace_bias(resolvent, 256, [2, 8, 32])
    np.testing.assert_allclose(before, after, rtol=1e-6, atol=1e-9)


# --- trajectories ---------------------------------------------------------------------


def log_odds(alignment: Float64Array) -> Float64Array:
    return np.asarray(np.log(alignment / (1 - alignment)))


def simulate(
    link: str, dim: int, samples: int, steps: int, count: int
) -> tuple[Float64Array, Float64Array]:
    """Log-odds of the ratio of means over data sets after `steps`, and its standard error."""
    g, traces_seen = get_link(link), []
    for index in range(count):
        rng = np.random.default_rng([index, dim, 4])
        X = rng.standard_normal((samples, dim))
        T = realised_law(X[:, : g.rank], g(X[:, : g.rank]), get_loss("huber")).T
        X32 = X.astype(np.float32)
        H = (X32.T @ (T.astype(np.float32)[:, None] * X32) / np.float32(samples)).astype(float)
        rows = np.linalg.matrix_power(H, steps)
        traces_seen.append(((rows[: g.rank] ** 2).sum(), (rows[g.rank :] ** 2).sum()))
    s, b = np.array(traces_seen).T
    relative = s / s.mean() - b / b.mean()
    odds = np.log(s.mean() / b.mean())
    return odds, relative.std(ddof=1) / np.sqrt(count)


def assert_better(link: str, dim: int, count: int) -> None:
    """The corrected log-odds within four standard errors and the remainder; D1 is not."""
    predicted = predict_trajectory(link, "huber", dim=dim, samples=4 * dim, steps=8)
    odds, se = simulate(link, dim, 4 * dim, 8, count)
    corrected = abs(odds - predicted.log_odds[-1])
    plain = abs(odds - log_odds(predicted.asymptotic)[-1])
    assert corrected <= 4 * se + predicted.remainder[-1]
    assert plain > 4 * se + predicted.remainder[-1]
    assert corrected < plain / 2


def test_corrected_alignment_is_the_better_one() -> None:
    """tanh3, n = 4 d, T = 8, d = 256: D1's log-odds are off by .16."""
    assert_better("tanh3", 256, 200)


@pytest.mark.slow
@pytest.mark.parametrize("link", ["tanh3", "relu-sum", "he2-mix"])
def test_corrected_alignment_is_the_better_one_by_far(link: str) -> None:
    """The same with a fifth of the standard error."""
    assert_better(link, 256, 3000)


def cos2z(dim: int, steps: int = 8) -> Trajectory:
    population = population_of(get_link("cos2z"), get_loss("huber"))
    return trajectory_of(population.measure, dim, 4 * dim, steps, shift=population.shift)


def test_corrections_vanish_with_dimension() -> None:
    """The shift of log-odds falls like 1/d at fixed n/d, the remainder like 1/d²: from d on, at
    which the bulk outweighs the hidden block by far, a factor 100 in d gives 100 and 10⁴.

    Once A_t is small, odds of D1 are s/(d b), and the hidden part's fraction of b is O(1/d)."""
    runs = [cos2z(dim) for dim in (10**4, 10**6, 10**8)]
    shifts = [log_odds(run.alignment)[1:] - log_odds(run.asymptotic)[1:] for run in runs]
    for small, large in pairwise(runs):
        ratio = small.remainder[2:] / large.remainder[2:]
        np.testing.assert_allclose(ratio, 1e4, rtol=0.1)
    np.testing.assert_allclose(shifts[0] / shifts[1], 100, rtol=0.1)
    assert np.all(runs[2].remainder < 1e-12)
    assert np.all(cos2z(64).remainder[3:] > 1e-5)


def test_start_is_not_corrected() -> None:
    for run in (cos2z(64, steps=0), cos2z(64, steps=2)):
        assert run.alignment[0] == pytest.approx(1 / 64, rel=1e-12)
        assert run.asymptotic[0] == pytest.approx(1 / 64, rel=1e-12)
        assert run.remainder[0] == run.log_odds_shift[0] == 0


@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_ratios_of_traces(offset: float) -> None:
    """`alignments` is D1 of `traces`, at n/d or at n/(d − r); halves of opposite sign add up."""
    measure = given(2, 96)
    dim, samples, powers = 40, 400, [2, 4, 6]
    for natural, alpha in ((False, 10.0), (True, 400 / (40 - measure.rank))):
        expected = moments(measure, alpha, dim, powers, offset)
        found = alignments(measure, dim, samples, 3, offset=offset, natural=natural)
        np.testing.assert_allclose(found[0], measure.rank / dim, rtol=1e-12)
        np.testing.assert_allclose(found[1:], expected[:, 0] / expected.sum(axis=1), rtol=1e-10)
    plain = trajectory_of(measure, dim, samples, 3, offset=offset).asymptotic
    np.testing.assert_allclose(
        plain, alignments(measure, dim, samples, 3, offset=offset), rtol=1e-12
    )


@pytest.mark.parametrize("labels", [True, False])
def test_alignment_adds_the_shifts_to_the_log_odds(labels: bool) -> None:
    """`alignment` is D1 at n/(d − r) with both shifts; without `labels` those of the inputs."""
    population = population_of(get_link("cos2z"), get_loss("huber"))
    dim, samples = 256, 1024
    run = trajectory_of(population.measure, dim, samples, 4, shift=population.shift, labels=labels)
    resolvent = Resolvent(population.measure, samples / (dim - 1))
    bias = trace_bias(resolvent, dim, [2, 4, 6, 8], shift=population.shift, labels=labels)
    natural = alignments(population.measure, dim, samples, 4, natural=True)
    expected = log_odds(natural)[1:] + bias[:, 0] - bias[:, 1]
    np.testing.assert_allclose(run.log_odds[1:], expected, rtol=1e-10)
    np.testing.assert_allclose(
        run.remainder[1:], np.abs(bias[:, 0] ** 2 - bias[:, 1] ** 2) / 2, rtol=1e-10
    )
    np.testing.assert_allclose(run.overlaps.sum(axis=1), run.alignment, rtol=1e-12)


def test_given_labels_are_not_resampled() -> None:
    """A measure of given labels: the shift is that of the inputs, and the labels' own, of the
    same order, is left out; there is nothing to refit."""
    z, T = sample(2, 512)
    measure = measure_of(z, T, np.full(512, 1 / 512))
    fixed = trajectory_of(measure, 128, 512, 6, labels=False)
    free = trajectory_of(measure, 128, 512, 6)
    np.testing.assert_array_equal(fixed.asymptotic, free.asymptotic)
    assert np.all(fixed.log_odds_deviation[1:] < free.log_odds_deviation[1:])
    assert np.all(np.abs(fixed.log_odds[3:] - free.log_odds[3:]) > 0.01)
    # Labels alone need fourth moments of z.
    law = realised_law(z, T, get_loss("squared"))
    lean = trajectory_of(label_measure(law, fourth_moments=False), 128, 512, 6, labels=False)
    np.testing.assert_allclose(lean.alignment, fixed.alignment, rtol=1e-9)
    with pytest.raises(ValueError, match="fourth moments"):
        trajectory_of(label_measure(law, fourth_moments=False), 128, 512, 6)
