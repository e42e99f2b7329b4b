"""Errors that the theory states of its own numbers bound the real ones, where these are known.

A transform that jumps across a curve is what nodes resolve worst: the references are integrals in
one variable of smooth functions.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.polynomial.legendre import leggauss
from scipy.optimize import brentq
from scipy.special import erf, ndtr

from mimverify.network import get_loss
from mimverify.support.arrays import Float64Array
from mimverify.theory import analyse_transform, label_law
from mimverify.theory.inspection import _constant_error
from mimverify.theory.labels.label_law import _constant

X, W = leggauss(120)


def density(t: Float64Array | float) -> Float64Array:
    return np.asarray(np.exp(-np.square(t) / 2) / math.sqrt(2 * math.pi))


def second_moment(s: Float64Array | float) -> Float64Array:
    """E[z²; |z| < s]."""
    return np.asarray(erf(np.asarray(s) / math.sqrt(2)) - 2 * np.asarray(s) * density(s))


def inside_ellipse(a: float, b: float, level: float, power: int) -> float:
    """E[z1^power; a z1² + b z2² ≤ level]."""
    angle = np.pi / 2 * X
    first, second = (math.sqrt(level / axis) for axis in (a, b))
    z = first * np.sin(angle)
    at = density(z) * z**power * erf(second * np.cos(angle) / math.sqrt(2))
    return float(np.pi / 2 * W @ (at * first * np.cos(angle)))


def below(level: float, power: int) -> float:
    """E[z1^power; relu(z1) + relu(z2) ≤ level], for an even power."""
    first = float(second_moment(level) if power else erf(level / math.sqrt(2))) / 2
    z = level * (X + 1) / 2
    triangle = level / 2 * W @ (density(z) * z**power * (ndtr(level - z) - 0.5))
    return 0.25 + first / 2 + (ndtr(level) - 0.5) / 2 + float(triangle)


def product_below(level: float) -> float:
    """E[z1 z2; relu(z1) + relu(z2) ≤ level]."""

    def first_moment(s: Float64Array | float) -> Float64Array:  # of z in (0, s)
        return np.asarray(density(0.0) - density(s))

    z = level * (X + 1) / 2
    triangle = level / 2 * W @ (density(z) * z * first_moment(level - z))
    whole = 1 / math.sqrt(2 * math.pi)
    return float(whole**2 - 2 * whole * first_moment(level) + triangle)


def of_ellipses(a: float, b: float) -> tuple[float, list[float]]:
    """The median of a z1² + b z2² − a − b, and the eigenvalues of Λ of the sign about it."""
    level = brentq(lambda at: inside_ellipse(a, b, at, 0) - 0.5, 1e-3, 20, xtol=1e-15)
    values = [
        1 - 2 * inside_ellipse(one, other, level, 2) for one, other in ((a, b), (b, a))
    ]  # fmt: skip
    return level - a - b, values


def of_relu_sum() -> tuple[float, list[float]]:
    level = brentq(lambda at: below(at, 0) - 0.5, 1e-9, 5, xtol=1e-15)
    diagonal, beside = 1 - 2 * below(level, 2), -2 * product_below(level)
    return level, [diagonal + beside, diagonal - beside]


@pytest.mark.parametrize(
    ("link", "exact"),
    [
        ("quadratic", of_ellipses(0.5, 0.25)),
        ("he2-mix", of_ellipses(1.0, 0.6)),
        ("relu-sum", of_relu_sum()),
    ],
)
def test_errors_at_a_curved_jump(link: str, exact: tuple[float, list[float]]) -> None:
    constant, eigenvalues = exact
    law, analysis = label_law(link, "l1"), analyse_transform(link, "l1")
    assert law.constant is not None
    assert abs(law.constant - constant) <= _constant_error(law) < 1e-4
    off = np.sort(analysis.eigenvalues) - np.sort(eigenvalues)
    assert np.abs(off).max() <= analysis.eigenvalue_error < 1e-4
    # T is ±1.
    assert np.abs(analysis.u - 1).max() <= analysis.second_error < 1e-4


def test_a_median_of_many_is_kept_on_other_nodes() -> None:
    """Where every constant in [−1, 1] is a median, rounding does not move it from one end to the
    other."""
    y = np.array([-1.0, 1.0])
    for excess in (-1e-16, 0.0, 1e-16):
        weights = np.array([0.5 - excess, 0.5 + excess])
        for near in (-1.0, 0.0, 1.0):
            assert _constant(get_loss("l1"), y, weights, near=near).constant == near
    # But not where it is none.
    assert _constant(get_loss("l1"), y, np.array([0.4, 0.6]), near=-1.0).constant == 1.0
