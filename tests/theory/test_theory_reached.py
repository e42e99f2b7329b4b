"""What n labels reach: thresholds, predictions and recommendations by it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mimverify.network.losses import get_loss
from mimverify.problems.links import Link, get_link
from mimverify.support.errors import InputError
from mimverify.theory import inspect_link, label_law, predict_trajectory, sampled_law
from mimverify.theory.labels.label_measure import label_measure
from mimverify.theory.labels.quantile_measure import quantile_measure, reaches_both_ends
from mimverify.theory.reach import limit_holds_from, reached_thresholds
from mimverify.theory.spectrum.population import (
    FEWEST_LABELS,
    deciding_labels,
    limiting_population,
    population_of,
)
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.theory.spectrum.thresholds import thresholds

SQUARE = get_link("phase-retrieval")
RATIO = Link("ratio", 2, lambda z: z[:, 0] / z[:, 1])


@pytest.mark.parametrize("delta", [pytest.param(20, marks=pytest.mark.slow), 50])
def test_a_bound_that_no_label_reaches_is_none(delta: int) -> None:
    """Huber's transform of z² is then the squared loss's for every label of a sample, and so is
    the prediction: same labels, same numbers but for the rare label above the bound."""
    bounded, unbounded = (
        predict_trajectory(SQUARE, loss, dim=500, samples=3000, steps=8)
        for loss in (f"huber:{delta}", "squared")
    )
    assert bounded.sampled
    np.testing.assert_allclose(bounded.run_mean(32), unbounded.run_mean(32), rtol=0.02)
    for t in range(9):
        low, high = (end[t] for end in bounded.run_interval(32))
        assert low < bounded.run_mean(32)[t] < high
    # Measured: .527 ± .014 (40 runs at another seed: .487 ± .016).
    assert 0.45 < bounded.run_mean(32)[8] < 0.56


@pytest.mark.parametrize(
    ("delta", "reached"), [(1, True), (4, True), (8, True), (20, False), (50, False)]
)
def test_whether_a_bound_is_reached_depends_on_n(delta: int, reached: bool) -> None:
    loss = get_loss(f"huber:{delta}")
    sizes = {"dim": 500, "samples": 3000, "steps": 8}
    assert (limiting_population(SQUARE, loss, **sizes) is not None) == reached
    # Every bound is reached by enough labels.
    if delta <= 20:
        many = {"dim": 500, "samples": 10**10, "steps": 8}
        assert limiting_population(SQUARE, loss, **many) is not None


def test_deciding_labels_count_equal_labels() -> None:
    """T = ±1: c takes two values, and the fewer labels are those of the nearer end's variance."""
    measure = population_of(get_link("sign-z1z2"), get_loss("squared")).measure
    n, power = 1000, 16
    resolvent = Resolvent(measure, 10.0)
    low, high = resolvent.extremes
    margin = 3 * max(-low, high) / power
    w = resolvent.w_at(resolvent.edges[1] + margin)
    near, far = 1 / (w - 1) ** 2, 1 / (w + 1) ** 2
    expected = n * (near + far) ** 2 / 2 / (near**2 + far**2)
    assert deciding_labels(resolvent, n, power) == pytest.approx(expected, rel=1e-6)
    assert deciding_labels(resolvent, 2 * n, power) == pytest.approx(2 * expected, rel=1e-6)
    assert expected > FEWEST_LABELS


@pytest.mark.parametrize("n", [10, 1000, 10**5])
@pytest.mark.parametrize(("link", "loss"), [("he2", "squared"), ("z1z2", "huber")])
def test_quantile_measure(link: str, loss: str, n: int) -> None:
    """Mass 1, E T = 0, and the largest T is the median of the largest share 1/n."""
    law = label_law(link, loss)
    found = quantile_measure(law, n)
    assert found.mass.sum() == pytest.approx(1)
    assert found.moment(1) == pytest.approx(0, abs=1e-12)
    assert found.low == found.T.min()
    assert found.high == found.T.max()
    order = np.argsort(law.T)
    level = float(np.interp(1 - 0.5 / n, law.weights[order].cumsum(), law.T[order]))
    spread = math.sqrt(found.moment(2))
    assert found.high == pytest.approx(level, abs=0.25 * spread)
    assert found.moment(2) == pytest.approx(law.weights @ law.T**2, rel=5 / math.sqrt(n))
    assert found.weighted_second(0) == pytest.approx(np.eye(law.rank), abs=1e-6)


def test_an_atom_is_reached_as_a_whole() -> None:
    clipped = label_law("phase-retrieval", "huber")
    assert not reaches_both_ends(clipped, 100)  # z² − c ≥ −1 but in one point
    assert reaches_both_ends(label_law("cos2z", "l1"), 1000)


@pytest.mark.parametrize(
    ("link", "loss", "n"),
    [("phase-retrieval", "huber:50", 3000), ("he3", "squared", 3000), ("cos2z", "huber", 3000)],
)
def test_thresholds_are_those_of_typical_labels(link: str, loss: str, n: int) -> None:
    """The threshold by n labels at the quantiles lies among those of 30 simulated label sets (a
    median lies outside of all of them with probability 2⁻²⁹), near their median."""
    found = reached_thresholds(link, loss, samples=n)
    law = get_link(link), get_loss(loss)
    seen = [
        thresholds(label_measure(sampled_law(*law, n, seed=k), fourth_moments=False)).descent
        for k in range(30)
    ]
    assert min(seen) < found.descent < max(seen)
    assert found.descent == pytest.approx(float(np.median(seen)), rel=0.25)


def test_thresholds_tend_to_their_limits() -> None:
    limit = limit_holds_from(SQUARE, get_loss("huber"))
    assert limit is not None
    assert limit <= 1000
    assert limit_holds_from(SQUARE, get_loss("squared")) is None
    rare = limit_holds_from(SQUARE, get_loss("huber:50"))
    assert rare is not None
    # P(z² > 51) = 1e-12.
    assert 10**10 <= rare <= 10**14
    at = reached_thresholds(SQUARE, "huber:50", samples=3000)
    squared = reached_thresholds(SQUARE, "squared", samples=3000)
    assert at.descent == pytest.approx(squared.descent, rel=0.01)
    assert 2 < at.descent < 3.5
    with pytest.raises(InputError, match="samples=1"):
        reached_thresholds(SQUARE, "huber", samples=1)


def test_recommendations_differ_between_regimes_and_name_ties() -> None:
    found = inspect_link(SQUARE, "huber:50", dim=500, samples=3000)
    best = {row.regime: row for row in found.recommendations}
    assert set(best) == {"few samples", "n ≫ d", "n/d = 6"}
    # huber:50 is the squared loss: largest λ²/v, but α_GD = 2.7 beside .66.
    assert best["n ≫ d"].losses == ("huber:50",)
    assert best["few samples"].losses == ("pseudo-huber",)
    assert len(best["n/d = 6"].losses) > 1  # overlaps .757, .756; Huber has .754
    assert "huber:50" not in best["n/d = 6"].losses
    assert found.gap is not None
    assert found.gap < 7
    # Without d and n there is no "your n/d".
    assert len(inspect_link("cos2z", "huber").recommendations) == 2


def test_a_loss_without_an_analysis_leaves_alpha_c() -> None:
    """Cauchy labels: squared loss has no moments. E[zzᵀ | z1/z2 = y] = 2 × a projection, so that
    E[G ⊗ G] has the top eigenvalue 1: α_c = 1."""
    with pytest.raises(InputError, match="expected a bounded one, such as 'huber'") as caught:
        inspect_link(RATIO, "squared")
    assert "α_c = 1 ±" in str(caught.value)


def test_a_plateau_says_from_where_it_holds() -> None:
    """he3, squared: .417, measured .14, .28, .40 at n/d = 20, 100, 400 (d = 256)."""
    found = inspect_link("he3", "squared")
    assert found.plateau_from is not None
    assert 150 < found.plateau_from < 1000
    assert "at d = 256" in str(found.control)
