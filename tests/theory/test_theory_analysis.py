"""What a loss makes of a link, and Hermite tensors: closed forms, integrals, large samples.

None of the oracles shares a quadrature with the code: closed forms by hand, one-dimensional
integrals over densities, Gauss–Hermite rules (exact for polynomials), or averages over samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss, hermeval
from numpy.polynomial.legendre import leggauss
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import k0, k1
from scipy.stats import norm

from mimverify.network.losses import get_loss
from mimverify.problems.links import Link, get_link, hermite
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.theory import (
    LabelTransform,
    TransformAnalysis,
    analyse_transform,
    label_law,
    label_measure,
    thresholds,
    transform_overlaps,
)
from mimverify.theory.conditional.hermite import HermiteTensors, hermite_tensors
from mimverify.theory.conditional.moments import CLEARLY
from normal import phi, upper

PHI_0 = 1 / math.sqrt(2 * math.pi)
E2, E4, E8 = math.exp(-2), math.exp(-4), math.exp(-8)


def scalar(name: str, function: Callable[[Float64Array], Float64Array]) -> Link:
    """A link of rank 1."""
    return Link(name, 1, lambda z: function(z[:, 0]))


IDENTITY = scalar("z", lambda z: z)
RARE_SIGN = scalar("rare sign", lambda z: np.sign(z) * (np.abs(z) > 1.5))
FOUR = Link("z1 z2 z3 z4", 4, lambda z: np.prod(z, axis=1))


@cache
def analysed(link: str, loss: str) -> TransformAnalysis:
    """`analyse_transform` of named things, once per session."""
    return analyse_transform(link, loss)


def outer(directions: Float64Array) -> Float64Array:
    """Projections on rows: a direction has no sign."""
    return np.asarray(directions[:, :, None] * directions[:, None, :])


# --- closed forms under squared loss ----------------------------------------------------------

# λ, v, u, E T³, E[T z]; by hand, from moments of z and characteristic functions.
CLOSED: dict[str, tuple[list[float], float, list[float], float, list[float]]] = {
    "he2": ([math.sqrt(2)], 1.0, [5.0], math.sqrt(8), [0.0]),
    "he3": ([0.0], 1.0, [42 / 6], 0.0, [0.0]),
    "z1z2": ([1.0, -1.0], 1.0, [3.0, 3.0], 0.0, [0.0, 0.0]),
    # v = Σ λ²/2, u_k = v + 2 λ_k², E T³ = Σ λ³.
    "quadratic:1,-0.8": ([1.0, -0.8], 0.82, [2.82, 2.1], 0.488, [0.0, 0.0]),
    # Λ = φ(0) I, and E[T² zzᵀ] = (2 − 2/π) I + [[0, ½], [½, 0]].
    "relu-sum": (
        [PHI_0, PHI_0],
        1 - 1 / math.pi,
        [2.5 - 2 / math.pi, 1.5 - 2 / math.pi],
        PHI_0 + 4 * PHI_0**3,
        [0.5, 0.5],
    ),
    # E[cos kz] = e^{−k²/2}, E[z² cos kz] = (1 − k²) e^{−k²/2}.
    "cos2z": (
        [-4 * E2],
        0.5 * (1 + E8) - E4,
        [0.5 - 7.5 * E8 + 7 * E4],
        0.75 * E2 + 0.25 * math.exp(-18) - 1.5 * E2 * (1 + E8) + 2 * E2**3,
        [0.0],
    ),
    "sign-z1z2": ([2 / math.pi, -2 / math.pi], 1.0, [1.0, 1.0], 0.0, [0.0, 0.0]),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms(name: str) -> None:
    eigenvalues, v, u, third, linear = CLOSED[name]
    found = analysed(name, "squared")
    order = np.argsort(-found.eigenvalues, kind="stable") if eigenvalues[-1] < 0 else slice(None)
    assert found.eigenvalues[order] == pytest.approx(eigenvalues, rel=1e-8, abs=1e-12)
    assert found.v == pytest.approx(v, rel=1e-8)
    assert np.sort(found.u[order]) == pytest.approx(np.sort(u), rel=1e-8)
    assert found.second_order == pytest.approx(max(u), rel=1e-8)
    assert found.third == pytest.approx(third, rel=1e-8, abs=1e-9)
    assert found.linear == pytest.approx(linear, abs=1e-9)
    assert found.mean == pytest.approx(0, abs=1e-10)
    assert found.rank == (0 if name == "he3" else len(eigenvalues))
    assert found.eigenvalue_error < 1e-6
    if found.rank:
        smallest = min(map(abs, eigenvalues))
        assert found.kappa == pytest.approx(max(map(abs, eigenvalues)) / smallest, rel=1e-8)
        assert found.weakest == pytest.approx(smallest**2 / v, rel=1e-7)
        assert found.plateau is None
        assert not found.nothing_learned


def test_singular_matrix_has_no_condition() -> None:
    found = analysed("he2-he3", "squared")
    assert found.rank == 1
    assert found.eigenvalues == pytest.approx([2, 0], abs=1e-12)
    assert (found.kappa, found.weakest) == (math.inf, 0.0)
    assert found.plateau is None  # Λ ≠ 0
    assert found.u / found.v == pytest.approx([(8 + 2 + 6) / 8, 5.5], rel=1e-8)


def test_degenerate_eigenvalues_take_the_basis_of_second_order() -> None:
    """Λ = φ(0) I would allow any basis; outliers of H follow E[T² zzᵀ] (theory.md D4)."""
    found = analysed("relu-sum", "squared")
    half = math.sqrt(0.5)
    expected = outer(np.array([[half, half], [half, -half]]))
    best = outer(found.directions)[np.argsort(-found.u)]
    assert best == pytest.approx(expected, abs=1e-6)
    # Another link with Λ ∝ I, whose basis for second order is turned by an angle of our choice:
    # along s, t the features a(s² − 1) + b He4(s) and a(t² − 1).
    angle = 0.4
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])

    def link(z: Float64Array) -> Float64Array:
        s, t = (z @ turn.T).T
        return np.asarray(hermite(2, s) + 0.2 * hermite(4, s) + hermite(2, t))

    turned = analyse_transform(Link("turned", 2, link), "squared")
    assert turned.eigenvalues == pytest.approx([2, 2], rel=1e-9)
    assert outer(turned.directions)[np.argsort(-turned.u)] == pytest.approx(outer(turn), abs=1e-6)


def test_rotation_turns_directions_only() -> None:
    angle = 1.1
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    mix = get_link("he2-mix")
    plain = analysed("he2-mix", "squared")
    turned = analyse_transform(Link("turned", 2, lambda z: mix(z @ turn.T)), "squared")
    error = 5 * (plain.eigenvalue_error + turned.eigenvalue_error)
    assert turned.eigenvalues == pytest.approx(plain.eigenvalues, abs=error)
    assert turned.u == pytest.approx(plain.u, abs=5 * (plain.second_error + turned.second_error))
    assert outer(turned.directions) == pytest.approx(outer(plain.directions @ turn), abs=1e-7)


@pytest.mark.parametrize(("name", "noise"), [("he2", 0.3), ("he2", 2.0), ("quadratic:1,-0.8", 0.3)])
def test_noise_under_squared_loss(name: str, noise: float) -> None:
    """T gains an independent ε: λ and E T³ stay, v and u grow by its variance."""
    eigenvalues, v, u, third, _ = CLOSED[name]
    found = analyse_transform(name, "squared", noise=noise)
    assert found.eigenvalues == pytest.approx(eigenvalues, abs=5 * found.eigenvalue_error + 1e-9)
    assert found.v == pytest.approx(v + noise**2, abs=5 * found.second_error + 1e-9)
    assert found.u == pytest.approx(np.array(u) + noise**2, abs=5 * found.second_error + 1e-9)
    assert found.third == pytest.approx(third, rel=1e-5)


# --- errors are not too small: nothing is further off than what counts as clearly not zero ----


def segments(ends: list[float], order: int = 80) -> tuple[Float64Array, Float64Array]:
    """Nodes and weights on consecutive intervals, crowding towards all of the ends."""
    t, weight = leggauss(order)
    t, weight = (t + 1) / 2, weight / 2
    place = t**4 * (35 - 84 * t + 70 * t**2 - 20 * t**3)
    slope = 140 * (t * (1 - t)) ** 3 * weight
    x = np.concatenate([a + (b - a) * place for a, b in pairwise(ends)])
    return x, np.concatenate([(b - a) * slope for a, b in pairwise(ends)])


def tanh3_oracle(cut: float) -> Float64Array:
    """λ's of tanh(z1 z2) + .7|z3| under Huber (δ = `cut`) or l1 (`cut` = 0), ascending.

    x = z1 z2 has the density K0(|x|)/π, E[z1 z2 | x] = x and E[z1² | x] = |x| K1(|x|)/K0(|x|);
    the label's kinks in z3 are known for each x.
    """

    def integrals(c: float) -> Float64Array:
        tight = [-40, -6, -1, 0, 1, 6, 40]
        # Where a kink enters at z3 = 0.
        kinks = [math.atanh(k) for k in (c - cut, c, c + cut) if abs(k) < 1]
        x, dx = segments(sorted({*map(float, tight), *kinks}))
        size = np.maximum(np.abs(x), 1e-300)
        square = size * k1(size) / k0(size) - 1
        dx = dx * k0(size) / math.pi
        shifted = np.tanh(x) - c
        t, weight = leggauss(40)
        totals = np.zeros(4)
        below = np.maximum((-cut - shifted) / 0.7, 0)
        above = np.maximum((cut - shifted) / 0.7, 0)
        for start, stop in ((0 * x, below), (below, above), (above, 0 * x + 12)):
            half = (stop - start)[:, None] / 2
            v = (start + stop)[:, None] / 2 + half * t
            mass = 2 * half * weight * norm.pdf(v) * dx[:, None]
            label = shifted[:, None] + 0.7 * v
            T = np.clip(label, -cut, cut) if cut else np.sign(label)
            for k, factor in enumerate((1.0, square[:, None], x[:, None], v**2 - 1)):
                totals[k] += np.sum(mass * T * factor)
        return totals

    c = float(brentq(lambda c: float(integrals(c)[0]), 0.1, 1.0, xtol=1e-13))
    own, crossed, third = integrals(c)[1:]
    return np.sort([own + crossed, own - crossed, third])


@pytest.mark.parametrize(("loss", "cut"), [("huber", 1.0), ("l1", 0.0)])
def test_eigenvalue_error_of_three_features(loss: str, cut: float) -> None:
    found = analysed("tanh3", loss)
    miss = np.abs(np.sort(found.eigenvalues) - tanh3_oracle(cut)).max()
    assert miss <= CLEARLY * found.eigenvalue_error
    assert found.eigenvalue_error < 1e-3


def test_eigenvalue_error_of_two_features() -> None:
    """z1 z2, density K0(|y|)/π: Huber by an integral, l1 exactly 2/π."""
    tail = quad(lambda y: y * k0(y), 1, 80, epsabs=1e-14)[0]
    inside = quad(lambda y: y * y * k0(y), 0, 1, epsabs=1e-14)[0]
    for loss, expected in (("huber", 2 * (inside + tail) / math.pi), ("l1", 2 / math.pi)):
        found = analysed("z1z2", loss)
        miss = np.abs(np.abs(found.eigenvalues) - expected).max()
        assert miss <= CLEARLY * found.eigenvalue_error + 1e-12
        assert found.eigenvalue_error < 1e-3

    # relu(z1) + relu(z2) under l1: what z2 has to exceed, given z1.
    def expect(m: float, given: Callable[[float], float], rest: float, at: float) -> float:
        """E over z1 of `at` (z1 < 0: threshold m), `given`(m − z1), and `rest` (z1 > m)."""
        middle = quad(lambda z: phi(z) * given(z), 0, m, epsabs=1e-13)[0]
        return at + middle + rest

    def mass(m: float) -> float:
        return expect(m, lambda z: upper(m - z), upper(m), 0.5 * upper(m))

    m = float(brentq(lambda m: mass(m) - 0.5, 0.1, 2, xtol=1e-13))
    diagonal = 2 * expect(m, lambda z: (z * z - 1) * upper(m - z), m * phi(m), 0.0)
    crossed = 2 * expect(m, lambda z: z * phi(m - z), 0.0, -PHI_0 * phi(m))
    found = analysed("relu-sum", "l1")
    expected_pair = sorted([diagonal + crossed, diagonal - crossed], key=abs, reverse=True)
    miss = np.abs(found.eigenvalues - expected_pair).max()
    assert miss <= CLEARLY * found.eigenvalue_error
    assert found.eigenvalue_error < 1e-4


def test_eigenvalue_error_of_a_sobol_rule() -> None:
    """Four dimensions and more: two standard errors of independent replicates."""
    values = np.array([1.0, 0.5, 0.3, -0.2])
    found = analyse_transform("quadratic:1,0.5,0.3,-0.2", "squared")
    assert "Sobol" in found.rests_on
    assert np.abs(found.eigenvalues - values).max() <= found.eigenvalue_error
    v = float(values @ values / 2)
    assert abs(found.v - v) <= 2 * found.second_error
    assert np.abs(found.u - v - 2 * values**2).max() <= 2 * found.second_error
    assert found.eigenvalue_error < 0.01
    assert found.rank == 4


@pytest.mark.parametrize(
    ("link", "loss", "noise"),
    [
        ("tanh3", "huber", 0.0),
        ("polynomial:rank=2,degree=3,seed=7", "log-cosh", 0.4),
        ("he2-mix", "l1", 0.0),
    ],
)
def test_large_sample_agrees(link: str, loss: str, noise: float) -> None:
    """λ, u, v, E T³, E[T z] against plain averages; constants by the population's centring."""
    found = analyse_transform(link, loss, noise=noise) if noise else analysed(link, loss)
    assert found.constant is not None
    rng = np.random.default_rng(11)
    z = rng.standard_normal((400_000, get_link(link).rank))
    y = get_link(link)(z) + noise * rng.standard_normal(len(z))
    u = y - found.constant
    T = np.clip(u, -1, 1) if loss == "huber" else np.tanh(u) if loss == "log-cosh" else np.sign(u)
    features = z @ found.directions.T

    def check(values: Float64Array, expected: float, error: float) -> None:
        deviation = values.std() / math.sqrt(len(values))
        assert abs(values.mean() - expected) < 4.5 * deviation + 5 * error

    check(T, 0.0, 1e-4)
    check(T**2, found.v, found.second_error)
    check(T**3, found.third, found.second_error + 1e-4)
    for k, feature in enumerate(features.T):
        check(T * (feature**2 - 1), found.eigenvalues[k], found.eigenvalue_error)
        check(T**2 * feature**2, found.u[k], found.second_error)
        check(T * feature, float(found.directions[k] @ found.linear), found.linear_error)
        for other in features.T[:k]:
            check(T * feature * other, 0.0, found.eigenvalue_error)


# --- N1: what degenerate links show -----------------------------------------------------------


def test_identity_under_squared_loss_has_a_plateau() -> None:
    found = analyse_transform(IDENTITY, "squared")
    assert found.rank == 0
    assert found.second_order / found.v == pytest.approx(3, rel=1e-12)
    assert found.plateau == pytest.approx(0.25, rel=1e-10)
    assert not found.nothing_learned


def test_identity_under_huber_learns_nothing() -> None:
    found = analyse_transform(IDENTITY, "huber")
    # T = clip(z, ±1).
    v = 1 - 2 * norm.pdf(1) - 2 * norm.sf(1) + 2 * norm.sf(1)
    u = 2 * quad(lambda z: min(z, 1) ** 2 * z * z * phi(z), 0, 30, points=[1])[0]
    assert found.v == pytest.approx(v, rel=1e-10)
    assert found.u == pytest.approx([u], rel=1e-8)
    assert found.second_order / found.v == pytest.approx(1.77, abs=5e-3)
    assert found.nothing_learned
    assert found.plateau == 0


def test_rare_sign_has_a_plateau() -> None:
    found = analyse_transform(RARE_SIGN, "squared")
    p = 2 * norm.sf(1.5)
    assert found.v == pytest.approx(p, rel=1e-9)
    assert found.u / found.v == pytest.approx([1 + 3 * norm.pdf(1.5) / p], rel=1e-9)
    assert found.u / found.v == pytest.approx([3.91], abs=5e-3)
    assert found.plateau == pytest.approx(0.328, abs=5e-4)
    assert found.alpha_gd is not None
    assert math.isfinite(found.alpha_gd)


def test_three_signs_show_nothing() -> None:
    found = analysed("sign-z1z2z3", "squared")
    assert found.rank == 0
    assert found.u == pytest.approx(np.full(3, found.v), rel=1e-6)
    assert found.nothing_learned
    assert found.plateau == 0
    assert found.alpha_gd == math.inf
    assert found.alpha_gd_error is None


def test_clipping_hides_what_a_square_shows() -> None:
    """He2 + He3: rank 1 for T = y, z2 below the plateau's bound once clipped, rank 2 for y²."""
    clipped = analyse_transform(
        "he2-he3", LabelTransform("clip", lambda y: np.clip(y, -3, 3), bounded=True)
    )
    assert clipped.u[1] / clipped.v == pytest.approx(1.44, abs=5e-3)
    assert abs(clipped.eigenvalues[1]) < 0.03 * clipped.eigenvalues[0]
    assert clipped.constant is None
    square = analyse_transform("he2-he3", LabelTransform("square", np.square))
    assert square.eigenvalues == pytest.approx([36, 8], rel=1e-10)
    assert square.mean == pytest.approx(8, rel=1e-10)
    assert square.rank == 2
    assert square.tail.bounded is False


def test_staircase_shows_its_first_step_only() -> None:
    link = Link("stairs", 3, lambda z: hermite(2, z[:, 0]) + np.sign(np.prod(z, axis=1)))
    found = analyse_transform(link, "squared")
    assert found.rank == 1
    assert found.eigenvalues == pytest.approx([2, 0, 0], abs=1e-6)
    assert np.abs(found.directions[0]) == pytest.approx([1, 0, 0], abs=1e-6)


# --- thresholds inside the analysis -----------------------------------------------------------


def test_thresholds_need_a_bounded_transform() -> None:
    found = analysed("he2", "squared")
    assert found.alpha_spectral is None
    assert found.alpha_gd is None
    assert found.alpha_gd_error is None
    assert "unbounded" in str(found.threshold_reason)
    bounded = analysed("cos2z", "squared")
    assert bounded.threshold_reason is None
    assert bounded.alpha_gd == pytest.approx(1.942, abs=5e-4)
    assert bounded.alpha_gd_error is not None
    assert bounded.alpha_gd_error < 1e-6


def test_threshold_error_covers_a_known_threshold() -> None:
    """sign(z1 z2) in closed form, by a rule that meets its jumps, and by l1 on z1 z2, which
    is the same transform behind curved level sets that the rule does not meet."""
    exact = analysed("sign-z1z2", "squared").alpha_gd
    rough = analysed("z1z2", "l1")
    assert exact is not None
    assert rough.alpha_gd == pytest.approx(exact, abs=2 * (rough.alpha_gd_error or 0) + 1e-9)


def test_noise_of_the_quadrature_makes_no_threshold() -> None:
    """λ's that are noise have thresholds of their own, n/d ≈ (2v − u)²/(λ² v); such are inf."""
    huber = get_loss("huber")  # the same object, so that one law serves both
    raw = thresholds(label_measure(label_law(FOUR, huber), fourth_moments=False))
    assert math.isfinite(raw.spectral[0])
    found = analyse_transform(FOUR, huber)
    assert found.rank == 0
    assert found.nothing_learned
    assert found.alpha_spectral is not None
    assert found.alpha_spectral.tolist() == [math.inf] * 4
    assert found.alpha_gd == math.inf
    assert found.alpha_gd_error is None


def test_analysis_refuses() -> None:
    with pytest.raises(InputError, match="noise=-1"):
        analyse_transform("he2", "squared", noise=-1.0)
    with pytest.raises(InputError, match="loss"):
        analyse_transform("he2", "no such loss")
    with pytest.raises(InputError, match=r"constant|varies"):
        analyse_transform(scalar("three", lambda z: 0 * z + 3), "squared")
    with pytest.raises(InputError, match=r"T\(y\) is constant"):
        analyse_transform("he2", LabelTransform("one", np.ones_like))
    with pytest.raises(InputError, match="12"):
        analyse_transform(Link("wide", 13, lambda z: z.sum(axis=1)), "squared")


# --- Hermite tensors --------------------------------------------------------------------------


def tensors(link: Link | str, loss: str = "squared", noise: float = 0.0) -> HermiteTensors:
    """Tensors of the label."""
    (found,) = hermite_tensors(label_law(link, loss, noise=noise), lambda at: at.y)
    return found


def direct_tensor(
    function: Callable[[Float64Array], Float64Array], rank: int, order: int
) -> Float64Array:
    """E[f He_order(z)] entry by entry: He of a multi-index is a product of He's."""
    x, w = hermegauss(16)
    grid = np.stack([g.ravel() for g in np.meshgrid(*[x] * rank, indexing="ij")], axis=1)
    weight = np.prod(np.meshgrid(*[w / w.sum()] * rank, indexing="ij"), axis=0).ravel()
    f = weight * function(grid)
    result = np.empty((rank,) * order)
    for index in np.ndindex(*result.shape):
        product = f
        for axis in range(rank):
            degree = index.count(axis)
            product = product * hermeval(grid[:, axis], [0.0] * degree + [1.0])
        result[index] = product.sum()
    return result


@pytest.mark.parametrize("name", ["polynomial:rank=2,degree=3,seed=7", "z1z2z3", "he2-he3", "he3"])
def test_tensors_of_polynomials(name: str) -> None:
    link = get_link(name)
    found = tensors(link)
    for order, tensor in enumerate(found.tensors):
        assert tensor == pytest.approx(direct_tensor(link, link.rank, order), abs=1e-6)
        assert found.norm(order) == pytest.approx(float(np.linalg.norm(tensor)))
        assert (np.moveaxis(tensor, 0, -1) == tensor).all() if order else True
    # Parseval: these have no part beyond degree 3.
    law = label_law(link, "squared")
    parts = sum(found.norm(k) ** 2 / math.factorial(k) for k in range(1, 5))
    assert parts == pytest.approx(float(law.weights @ law.T**2), rel=1e-6)


def test_tensors_of_a_cosine() -> None:
    """E[cos 2z He_k(z)] = Re (2i)^k e^{−2}."""
    found = tensors("cos2z")
    expected = [E2, 0, -4 * E2, 0, 16 * E2]
    assert [float(t.item()) for t in found.tensors[:1]] == pytest.approx([E2])
    assert [float(t.ravel()[0]) for t in found.tensors] == pytest.approx(expected, abs=1e-12)
    assert max(found.errors) < 1e-11


def test_second_tensor_is_the_matrix_of_the_analysis() -> None:
    law = label_law("relu-sum", "squared")
    (found,) = hermite_tensors(law, lambda at: at.T)
    assert found.tensors[0] == pytest.approx(0, abs=1e-12)
    analysis = analysed("relu-sum", "squared")
    assert np.sort(np.linalg.eigvalsh(found.tensors[2])) == pytest.approx(
        np.sort(analysis.eigenvalues), abs=1e-12
    )
    assert found.tensors[1] == pytest.approx(analysis.linear, abs=1e-12)


def turned_he3(z: Float64Array) -> Float64Array:
    return hermite(3, 0.6 * z[:, 0] + 0.8 * z[:, 1])


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("he2", 2),
        ("he3", 3),
        ("relu-sum", 1),
        ("z1z2", 2),
        ("z1z2z3", 3),
        (scalar("he4", lambda z: hermite(4, z)), 4),
        (scalar("he5", lambda z: hermite(5, z)), None),
        (Link("turned", 2, turned_he3), 3),
        (Link("turned and scaled", 2, lambda z: 1e-9 * turned_he3(z)), 3),
    ],
)
def test_information_exponent(link: Link | str, expected: int | None) -> None:
    assert tensors(link).lowest == expected


def test_information_exponent_under_noise() -> None:
    """Label noise is independent of z: the label's tensors stay as they are."""
    noisy, plain = tensors("he3", noise=1.0), tensors("he3")
    assert noisy.lowest == 3
    for order in range(1, 5):
        error = 5 * noisy.errors[order] + 1e-9
        assert noisy.tensors[order] == pytest.approx(plain.tensors[order], abs=error)


def test_exponent_of_the_transform_is_not_that_of_the_label() -> None:
    """he3 squared has an even part: a transform of the label may lower the exponent."""
    law = label_law("he3", LabelTransform("square", np.square))
    of_label, of_transform = hermite_tensors(law, lambda at: at.y, lambda at: at.T)
    assert of_label.lowest == 3
    assert of_transform.lowest == 2


# --- equal eigenvalues ------------------------------------------------------------------------


def test_equal_eigenvalues_are_equal_and_span_a_plane() -> None:
    """A link of ‖z‖ alone has one eigenvalue, and any direction is an eigenvector."""
    found = analyse_transform(Link("norm", 2, lambda z: np.linalg.norm(z, axis=1)), "huber")
    assert found.eigenvalues[0] == found.eigenvalues[1]
    assert found.groups == ((0, 1),)
    assert found.kappa == 1
    apart = analyse_transform("quadratic:1,-0.5", "huber")
    assert apart.groups == ((0,), (1,))
    assert 0 <= apart.kappa_error < 1e-3 * apart.kappa
    # z1 z2: opposite eigenvalues are no degeneracy.
    assert analyse_transform("z1z2", "l1").groups == ((0,), (1,))


def test_overlaps_of_an_uncentred_transform() -> None:
    """theory.md §5: tanh(y − 1) of y = z² as it is has threshold .639, overlaps as given there;
    power iteration finds them from 8.43 only."""
    tanh = LabelTransform("tanh(y − 1)", lambda y: np.tanh(y - 1), bounded=True)
    alphas = [0.63, 0.65, 1.0, 2.0, 4.0, 8.0]
    found = transform_overlaps("phase-retrieval", tanh, alphas)
    assert found == pytest.approx([0, 0.004, 0.144, 0.432, 0.692, 0.850], abs=5e-3)
    assert (found > 0).tolist() == [False] + [True] * 5
    by_descent = transform_overlaps("phase-retrieval", tanh, [8.3, 8.6], leading=True)
    assert (by_descent > 0).tolist() == [False, True]
    centred = transform_overlaps("phase-retrieval", tanh, [2.0], centred=True)
    assert centred != pytest.approx(found[3], abs=1e-3)
    with pytest.raises(InputError, match="alpha"):
        transform_overlaps("phase-retrieval", tanh, [0.0])
