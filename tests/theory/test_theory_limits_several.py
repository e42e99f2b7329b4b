"""The limits of several hidden features against closed forms, the exact r = 1, and invariance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import ive

from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.theory import bayes_limits
from mimverify.theory.limits.matrix_channel import Effort, MatrixChannel
from mimverify.theory.limits.one_feature import one_feature
from mimverify.theory.limits.several_features import several_features
from mimverify.theory.limits.state_evolution import entropy_gain, iterate, next_overlap


def link(function: Callable[[Float64Array], ArrayLike], rank: int = 2) -> Link:
    return Link("test", rank, function)


RING = get_link("quadratic:1,1")


def of_the_norm(q: float) -> float:
    """tr R/2 of ‖z‖² at q I: E[z | y, ω] = ‖z‖ I₁(κ)/I₀(κ) ω/‖ω‖, κ = ‖z‖ ‖ω‖/V."""
    V = 1 - q
    x, w = np.polynomial.legendre.leggauss(200)
    omega, weight = 4 * math.sqrt(q) * (1 + x), 4 * math.sqrt(q) * w
    weight = weight * omega / q * np.exp(-(omega**2) / (2 * q))
    # ‖z‖ given ω: the law of Rice.
    radius, inner = 5 * (1 + x), 5 * w
    kappa = radius * omega[:, None] / V
    density = radius / V * np.exp(-((radius - omega[:, None]) ** 2) / (2 * V)) * ive(0, kappa)
    mean = radius * ive(1, kappa) / ive(0, kappa)
    squares = (density * (mean - omega[:, None]) ** 2) @ inner
    return float(weight @ squares) / V / 2


def fixed_point_of_the_norm(ratio: float) -> float:
    """The one q > 0 with α = q/P, which is increasing up to there."""
    ratios = [q / of_the_norm(q) for q in (0.05, 0.1, 0.2, 0.3)]
    assert ratios == sorted(ratios)
    assert ratios[0] < ratio
    return float(brentq(lambda q: ratio * of_the_norm(q) - q, 0.05, 0.6, xtol=1e-6))


@pytest.mark.parametrize("q", [0.1, 0.4, 0.8, 0.97])
def test_the_norm_s_channel(q: float) -> None:
    """R = P I/…: half of ½ tr R to .5 %, of which 3 standard errors of 512 estimates are part."""
    channel = MatrixChannel.of(RING, 0.0, Effort(512, 512, 16, 3))
    R, _ = channel.evaluate(q * np.eye(2))
    assert np.trace(R) / 2 == pytest.approx(of_the_norm(q), rel=8e-3, abs=1.5e-3)
    assert abs(R[0, 1]) < 0.01
    assert abs(R[0, 0] - R[1, 1]) < 0.02


def test_the_norm_s_fixed_point() -> None:
    (point,) = bayes_limits(RING, ratios=[1.6]).points
    assert point.alignment is not None
    assert point.alignment_error is not None
    exact = fixed_point_of_the_norm(1.6)
    assert abs(point.alignment - exact) < 0.01 * exact + point.alignment_error
    assert point.alignment_error < 0.02
    assert point.label_error_error is not None
    assert point.overlap is not None
    assert point.overlap == pytest.approx(exact * np.eye(2), abs=0.02)
    # E Var of (‖z‖² − 2)/2: that of two squares, (1 − q²)/2 each.
    assert point.label_error == pytest.approx(1 - exact**2, abs=0.01 + point.label_error_error)
    found = bayes_limits(RING)
    assert found.alpha_c.value == pytest.approx(1.0, abs=0.01)
    assert found.alpha_it_exact.value == 2
    assert found.label_variance == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "noise"), [("he2", 0.0), ("cos2z", 0.0), ("cos2z", 0.3), ("abs", 0.2)]
)
def test_a_channel_of_one_feature(name: str, noise: float) -> None:
    """The sums for r > 1, given r = 1, beside the exact curve: the bins are fine enough."""
    problem = get_link(name)
    exact = one_feature(problem, noise, 10.0).best.curve
    channel = MatrixChannel.of(problem, noise, Effort(512, 512, 16, 1))
    for q in (0.1, 0.5, 0.9, 0.99):
        P = float(exact.explained(np.array(-math.log1p(-q))))
        R, _ = channel.evaluate(np.array([[q]]))
        assert R[0, 0] == pytest.approx(P, rel=0.01, abs=1.5e-3)


@pytest.mark.parametrize("quantile", [0.3, 0.5, 0.9])
def test_atoms_are_no_bins(quantile: float) -> None:
    """1{z < c}: E[z | y, ω] in closed form; and max(z, c), half atom, half exact."""
    from scipy.special import ndtri

    c = float(ndtri(quantile))
    for function in (lambda z: (z[:, 0] < c) * 1.0, lambda z: np.maximum(z[:, 0], c)):
        problem = Link("atoms", 1, function)
        exact = one_feature(problem, 0.0, 10.0).best.curve
        channel = MatrixChannel.of(problem, 0.0, Effort(512, 512, 16, 1))
        for q in (0.1, 0.5, 0.9):
            P = float(exact.explained(np.array(-math.log1p(-q))))
            R, _ = channel.evaluate(np.array([[q]]))
            assert R[0, 0] == pytest.approx(P, rel=0.015, abs=2e-3)


def test_labels_that_say_nothing_say_nothing() -> None:
    """Two halves of one channel are independent: R of labels that are noise has mean 0."""
    rng = np.random.default_rng(5)
    noise = link(lambda z: rng.standard_normal(len(z)))
    channel = MatrixChannel.of(noise, 0.0, Effort(512, 512, 16, 1))
    values = [channel.evaluate(0.3 * np.eye(2))[0] for _ in range(8)]
    # 66 functions of standard error 1/512 in each of 512 estimates: 7e-4 an entry.
    assert np.abs(np.mean(values, axis=0)).max() < 5 * 7e-4 / math.sqrt(8)
    assert np.std(values) < 2e-3


def test_an_idle_feature_stays_unknown() -> None:
    """y = He2(z1) of two features: q = diag(q of r = 1, 0)."""
    problem = link(lambda z: z[:, 0] ** 2)
    (exact,) = bayes_limits("he2", ratios=[0.8]).points
    channel = MatrixChannel.of(problem, 0.0, Effort(512, 512, 16, 1))
    found = iterate(channel, 0.8, np.array([[0.03, 0.01], [0.01, 0.02]]))
    assert exact.alignment is not None
    assert found.q[0, 0] == pytest.approx(exact.alignment, abs=0.02)
    assert abs(found.q[1, 1]) < 0.01
    assert abs(found.q[0, 1]) < 0.02


def test_rotated_features_rotate_the_overlap() -> None:
    angle = 0.7
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    plain = get_link("he2-mix")
    turned = link(lambda z: plain(np.ascontiguousarray(z @ turn)))
    start = np.array([[0.3, 0.05], [0.05, 0.2]])
    effort = Effort(512, 512, 16, 1)
    steps = [
        next_overlap(q, MatrixChannel.of(problem, 0.0, effort).evaluate(q)[0], 1.5)
        for problem, q in ((plain, start), (turned, turn @ start @ turn.T))
    ]
    assert turn @ steps[0] @ turn.T == pytest.approx(steps[1], abs=6e-3)


def test_more_information_in_more_bins() -> None:
    """Binned labels tell less: tr R rises with the bins, and little after 16."""
    problem = get_link("z1z2")
    q = np.diag([0.6, 0.5])
    found = [
        float(np.trace(MatrixChannel.of(problem, 0.0, Effort(512, 1024, bins, 1)).evaluate(q)[0]))
        for bins in (1, 4, 16, 32)
    ]
    assert found[0] < found[1] < found[2] + 2e-3
    assert found[3] == pytest.approx(found[2], rel=0.005)


def test_the_gain_of_free_entropy_is_that_of_the_curve() -> None:
    """Between two overlaps of r = 1, ½ (α ΔI − ΔC)."""
    problem = get_link("cos2z")
    curve = one_feature(problem, 0.0, 10.0).best.curve
    L = np.array([0.05, 1.5])
    expected = (1.3 * np.diff(curve.information(L)) - np.diff(curve.cost(L)))[0] / 2
    channel = MatrixChannel.of(problem, 0.0, Effort(512, 512, 16, 1))
    low, high = (np.array([[-math.expm1(-each)]]) for each in L)
    assert entropy_gain(channel, 1.3, low, high) == pytest.approx(expected, abs=3e-3)


@contextmanager
def small_sums() -> Iterator[None]:
    """For tests of what is decided, not of how exactly."""
    with pytest.MonkeyPatch.context() as patch:
        efforts = {r: (Effort(128, 256, 8, 1), Effort(64, 256, 4, 2)) for r in (2, 3)}
        patch.setattr("mimverify.theory.limits.several_features._EFFORTS", efforts)
        yield


def test_above_and_below_the_thresholds_of_z1z2() -> None:
    with small_sums():
        problem = link(lambda z: z[:, 0] * z[:, 1])
        lines: list[str] = []
        found = bayes_limits(problem, ratios=(0.4, 2.6), on_progress=lines.append)
    below, above = found.points
    assert (below.alignment, below.alignment_it) == (0, 0)
    assert (above.alignment, above.alignment_it, above.label_error) == (1, 1, 0)
    assert any("n/d = 2.6, from 0" in line for line in lines)
    assert found.alpha_it.value is None
    assert "one feature" in str(found.alpha_it.reason)
    assert found.hard_phase is None


def test_what_no_known_algorithm_finds() -> None:
    """sign(z1 z2 z3): E[z | y] and E[zzᵀ − I | y] vanish; AMP stays at 0 at every ratio."""
    with small_sums():
        found = bayes_limits(Link("signs", 3, get_link("sign-z1z2z3").function), ratios=(3.0, 12.0))
    few, many = found.points
    for point in found.points:
        assert point.alignment == 0
        assert point.label_error == pytest.approx(1.0, abs=1e-6)
    # Many labels determine U well all the same: the better of two fixed points by free entropy.
    assert few.alignment_it == 0
    assert many.alignment_it is not None
    assert many.label_error_it is not None
    assert many.alignment_it > 0.9
    assert many.label_error_it < 0.6
    assert found.alpha_c.value is None
    assert any("generative exponent" in note for note in found.notes)


@pytest.mark.parametrize("steps", [1, 3])
def test_labels_that_all_recur_never_determine_the_subspace(steps: int) -> None:
    """Rare values of a discrete law are atoms as well."""
    link = Link("steps", 2, lambda z: np.round(steps * z[:, 0]) + np.round(steps * z[:, 1]))
    assert several_features(link, 0.0).exact_from is None


def test_more_labels_than_can_be_counted_are_refused() -> None:
    link = Link("steps", 2, lambda z: np.round(10 * z[:, 0]) + np.round(10 * z[:, 1]))
    with pytest.raises(InputError, match="labels of positive probability"):
        bayes_limits(link)


def test_a_link_with_atoms_is_exact_later() -> None:
    """relu(z1) + relu(z2) is 0 in a quarter of the cases: 2/(3/4)."""
    features = several_features(get_link("relu-sum"), 0.0)
    assert features.exact_from == pytest.approx(8 / 3, rel=5e-3)
    assert features.exact_from is not None
    assert abs(features.exact_from - 8 / 3) <= features.exact_error
    assert features.starts_by_itself


def test_several_features_are_deterministic() -> None:
    channel, again = (MatrixChannel.of(RING, 0.2, Effort(64, 128, 8, 1)) for _ in range(2))
    q = np.array([[0.3, 0.1], [0.1, 0.5]])
    assert (channel.evaluate(q)[0] == again.evaluate(q)[0]).all()


@pytest.mark.parametrize(("name", "noise"), [("z1z2", 0.4), ("he2-mix", 0.8), ("relu-sum", 0.3)])
def test_the_posterior_mean_by_importance_sampling(name: str, noise: float) -> None:
    """E[t | y, ω] from weighted draws; its square is too large by 1/effective draws, < .01.

    5 standard errors for each of three entries: a false alarm has probability 2e-6.
    """
    problem = get_link(name)
    q = np.array([[0.5, 0.1], [0.1, 0.2]])
    rng = np.random.default_rng(23)
    root, rest = np.linalg.cholesky(q), np.linalg.cholesky(np.eye(2) - q)
    # With the symmetric root of V, t has the channel's axes.
    values, vectors = np.linalg.eigh(np.eye(2) - q)
    symmetric = (vectors * np.sqrt(values)) @ vectors.T
    to_axes = np.linalg.solve(symmetric, rest)
    cases, draws = 1000, 10_000
    omega = rng.standard_normal((cases, 2)) @ root.T
    y = problem(omega + rng.standard_normal((cases, 2)) @ rest.T)
    y = y + noise * rng.standard_normal(cases)
    t = rng.standard_normal((draws, 2))
    products = np.empty((cases, 3))
    for i in range(cases):
        weight = np.exp(-(((problem(omega[i] + t @ rest.T) - y[i]) / noise) ** 2) / 2)
        mean = to_axes @ (weight @ t / weight.sum())
        products[i] = mean[0] ** 2, mean[0] * mean[1], mean[1] ** 2
    R, _ = MatrixChannel.of(problem, noise, Effort(512, 512, 16, 1)).evaluate(q)
    error = products.std(axis=0) / math.sqrt(cases)
    assert np.abs(products.mean(axis=0) - [R[0, 0], R[0, 1], R[1, 1]]) == pytest.approx(
        np.zeros(3), abs=float((5 * error + 0.01).max())
    )
