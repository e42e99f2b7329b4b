"""What `inspect_link`, `predict` and `compare` combine, and their messages.

The numbers themselves are tested with the modules that they come from.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student

from few_nodes import few_nodes
from mimverify.network.losses import LOSSES, Loss
from mimverify.problems.links import LINKS, Link, get_link, hermite
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.theory import (
    LinkInspection,
    Prediction,
    inspect_link,
    label_law,
    n_half,
    predict,
    predict_trajectory,
    recommended_steps,
    sampled_law,
    truncated_law,
)
from mimverify.theory.comparison import DEVIATIONS, Comparison, compare, expected_beyond
from mimverify.theory.recommendations import Recommendation
from mimverify.theory.spectrum.population import population_of


def scalar(name: str, function: Callable[[Float64Array], Float64Array]) -> Link:
    """A link of rank 1."""
    return Link(name, 1, lambda z: function(z[:, 0]))


IDENTITY = scalar("z", lambda z: z)
RELU = scalar("relu", lambda z: np.maximum(z, 0))


@cache
def inspected(link: str | Link, loss: str = "squared", noise: float = 0.0) -> LinkInspection:
    """`inspect_link`, once per session."""
    return inspect_link(link, loss, noise=noise)


@cache
def inspected_roughly(link: str | Link, loss: str, noise: float = 0.0) -> LinkInspection:
    """The same on few nodes and with few losses, for what does not depend on them."""
    with few_nodes():
        return inspect_link(link, loss, noise=noise)


def strict(record: Json) -> Json:
    """A round trip through JSON that refuses NaN and Infinity."""
    back: Json = json.loads(json.dumps(record, allow_nan=False))
    return back


# --- negative controls ------------------------------------------------------------------------


def test_nothing_is_wrong() -> None:
    found = inspected("cos2z", "huber")
    assert found.control is None
    assert all(a.holds is True for a in found.assumptions.values())
    assert all(a.repair is None for a in found.assumptions.values())
    assert set(found.assumptions) == {
        "generic",
        "bounded-transform",
        "no-linear-part",
        "second-order-information",
    }
    assert found.gap is not None
    assert found.gap >= 1


def test_n1_nothing_learned() -> None:
    found = inspected_roughly(IDENTITY, "huber")
    assert "N1" in str(found.control)
    assert "nothing is learned" in str(found.control)
    generic = found.assumptions["generic"]
    assert generic.holds is False
    # E[z² | y] = y²: the optimal transform finds what no built-in loss does.
    assert "optimal" in str(generic.repair)
    assert found.assumptions["second-order-information"].holds is True
    assert many(found).losses == ()
    assert many(found).reason == "Λ = 0 under every built-in loss"
    assert found.gap is None
    assert found.to_json()["efficiency"] is None


def test_n1_plateau_and_n2() -> None:
    found = inspected_roughly(IDENTITY, "squared")
    assert "plateau: squared overlap 0.25" in str(found.control)
    assert "N2" in str(found.control)
    # N3 as well: y = z is all linear part.
    assert "N3" in str(found.control)
    assert found.assumptions["no-linear-part"].holds is False
    assert "regression" in str(found.assumptions["no-linear-part"].repair)


def test_n1_beyond_repair() -> None:
    """sign z has no second-order information."""
    found = inspected_roughly(scalar("sign", np.sign), "squared")
    assert found.assumptions["generic"].holds is False
    assert str(found.assumptions["generic"].repair).startswith("none")
    assert found.assumptions["second-order-information"].holds is False
    assert found.information.generative_exponent == 1
    assert "nothing is learned" in str(found.control)


def test_n1_one_direction_of_two() -> None:
    """He2 + He3 under squared loss; under l1 the second direction has a small eigenvalue."""
    found = inspected_roughly("he2-he3", "squared")
    assert "Λ sees 1 of 2 directions" in str(found.control)
    generic = found.assumptions["generic"]
    assert generic.holds is False
    best = many(found).losses[0]
    assert f"the loss {best} has Λ of full rank" in str(generic.repair)
    assert found.losses[best].rank == 2
    assert found.to_json()["kappa"] is None


def test_n1_half_of_the_information() -> None:
    """He2(z1) + sign(z1 z2 z3): second moments depend on z1 only. That nothing else is there cannot
    be shown by sampling: undetermined, not broken."""
    link = Link("stairs", 3, lambda z: hermite(2, z[:, 0]) + np.sign(np.prod(z, axis=1)))
    found = inspected_roughly(link, "huber")
    information = found.assumptions["second-order-information"]
    assert information.holds is None
    assert "1 of 3 directions" in information.reason
    assert found.assumptions["generic"].holds is not True
    assert many(found).losses == ()
    assert "1 of 3 directions" in many(found).reason


def test_n1_undetermined() -> None:
    found = inspected_roughly("sign-z1z2z3", "huber")
    assert found.assumptions["second-order-information"].holds is None
    assert found.assumptions["second-order-information"].repair is None
    assert "nothing is learned" in str(found.control)
    assert str(found.assumptions["generic"].repair).startswith("none")


@pytest.mark.parametrize("link", ["he2", "abs"])
def test_n2_only(link: str) -> None:
    found = inspected(link)
    assert found.control == "N2 heavy tails (T is unbounded)"
    assert found.paper["lipschitz-loss"].holds is False
    assert found.assumptions["bounded-transform"].holds is False
    assert "Lipschitz" in str(found.assumptions["bounded-transform"].repair)
    limits = found.to_json()["limits"]
    assert (limits["alpha_gd"], limits["gap"], limits["holds_from"]) == (None, None, None)
    assert "D9" in limits["alpha_gd_reason"]
    # Squared loss is not Lipschitz on a bounded link either, but its T is bounded there.
    bounded = inspected_roughly("sign-z1z2", "squared")
    assert bounded.paper["lipschitz-loss"].holds is False
    assert bounded.assumptions["bounded-transform"].holds is True
    assert bounded.control is None


def test_n3_only() -> None:
    found = inspected_roughly(RELU, "huber")
    assert found.control == "N3 for activations with σ'(0) ≠ 0 (the linear part)"
    linear = found.assumptions["no-linear-part"]
    assert linear.holds is False
    size = float(np.linalg.norm(found.analysis.linear))
    assert f"{size:.3g}" in linear.reason


def test_noise_is_heard_of() -> None:
    found = inspected_roughly("phase-retrieval", "huber", 0.5)
    assert found.noise == 0.5
    assert found.information.alpha_c is not None
    assert found.information.alpha_c > 0.51
    assert found.assumptions["generic"].holds is True


# --- the paper's own assumptions --------------------------------------------------------------


def broken(link: str | Link, loss: str) -> set[str]:
    """The paper's assumptions that a link and a loss do not meet; none is left open."""
    found = inspected_roughly(link, loss)
    assert all(a.holds is not None for a in found.paper.values())
    assert all(a.reason and a.extension for a in found.paper.values())
    return {name for name, a in found.paper.items() if not a.holds}


@pytest.mark.parametrize(
    ("link", "loss", "expected"),
    [
        # Labels He2/√2 are centred as they are, their median and M-estimate are not.
        ("he2", "squared", {"lipschitz-loss"}),
        ("he2", "huber", {"centred-at-zero"}),
        ("quadratic:1,-1", "huber", {"positive-eigenvalues"}),  # a symmetric law
        ("quadratic:1,-1", "squared", {"positive-eigenvalues", "lipschitz-loss"}),
        ("z1z2", "l1", {"differentiable-loss", "positive-eigenvalues"}),
        ("sign-z1z2", "huber", {"polynomial-link", "positive-eigenvalues"}),
        ("he3", "huber", {"positive-eigenvalues"}),  # Λ = 0
        (
            "cos2z",
            "squared",
            {"polynomial-link", "lipschitz-loss", "centred-at-zero", "positive-eigenvalues"},
        ),
        ("abs", "l1", {"polynomial-link", "differentiable-loss", "centred-at-zero"}),
    ],
)
def test_assumptions_of_the_paper(link: str, loss: str, expected: set[str]) -> None:
    assert broken(link, loss) == expected


def test_a_link_and_a_loss_inside_the_paper() -> None:
    """He2 shifted so that its Huber estimate is 0, with the law's own constant."""
    shift = inspected("he2", "huber").analysis.constant
    assert shift is not None
    link = Link("shifted", 1, lambda z: hermite(2, z[:, 0]) / math.sqrt(2) - shift, "", True)
    assert broken(link, "huber") == set()


def test_users_links_need_not_say_that_they_are_polynomials() -> None:
    assert inspected_roughly(IDENTITY, "huber").paper["polynomial-link"].holds is None
    assert inspected_roughly(RELU, "huber").paper["positive-eigenvalues"].holds is True


# --- best loss --------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["he2", "abs"])
def test_best_loss_has_the_largest_signal(link: str) -> None:
    found = inspected(link)
    assert set(found.losses) == set(LOSSES)
    eligible = {
        name: a.eigenvalues[0] ** 2 / a.v
        for name, a in found.losses.items()
        if a.tail.bounded and a.rank == 1
    }
    best = many(found)
    assert max(eligible, key=lambda name: eligible[name]) in best.losses
    assert "squared" not in best.losses
    # Ties are within 1 %, and nothing else is.
    ties = {name for name in eligible if eligible[name] >= 0.99 * max(eligible.values())}
    assert set(best.losses) == ties
    # Samples at n ≫ d go like v/λ²: the efficiency orders losses in the same way.
    efficiency = {name: found.to_json()["losses"][name]["efficiency"] for name in eligible}
    assert max(efficiency, key=lambda name: efficiency[name]) in best.losses
    assert all(0 < e <= 1 + 1e-9 for e in efficiency.values())


def test_users_own_loss_competes() -> None:
    """One that is not declared Lipschitz, beside the built-in ones."""
    own = Loss("own", lambda f, y: np.tanh(5 * (f - y)))
    found = inspect_link("cos2z", own)
    assert set(found.losses) == {"own", *LOSSES}
    assert found.analysis is found.losses["own"]
    paper = {name: a.holds for name, a in found.paper.items()}
    assert paper == {
        "polynomial-link": False,
        "convex-loss": None,
        "differentiable-loss": None,
        "lipschitz-loss": None,
        "centred-at-zero": False,
        "positive-eigenvalues": False,
    }
    assert found.assumptions["bounded-transform"].holds is True
    check_record(found)


def test_unusable_losses_say_why() -> None:
    """Labels so large that their fourth moments overflow: no loss that is not clipped."""
    found = inspect_link(scalar("huge", lambda z: 1e80 * (z**2 - 1)), "l1")
    assert set(found.losses) == set(LOSSES) - {"squared"}
    assert set(found.unusable) == {"squared"}
    assert "not a number below 1e+70" in found.unusable["squared"]
    assert strict(found.to_json())["unusable_losses"] == found.unusable


def test_small_labels_are_as_good_as_others() -> None:
    small = inspect_link(scalar("tiny", lambda z: 1e-12 * (z**2 - 1)), "l1")
    assert not small.unusable
    # λ²/v has no unit: √2 He2 is as good as He2.
    squares = [found.losses["squared"] for found in (small, inspected("he2"))]
    assert squares[0].weakest == pytest.approx(squares[1].weakest, rel=1e-9)


# --- JSON -------------------------------------------------------------------------------------

SMALL = [n for n in LINKS if n not in ("quadratic", "polynomial", "relu-network")]
SQUARED = ("he2-he3", "sign-z1z2")
LONG = ("tanh3", "z1z2z3")  # among the slow ones below
ONE = [name for name in SMALL if get_link(name).rank == 1]


def many(found: LinkInspection) -> Recommendation:
    """The recommendation for n ≫ d."""
    return next(best for best in found.recommendations if best.regime == "n ≫ d")


def check_record(found: LinkInspection) -> None:
    record = strict(found.to_json())
    r = found.link.rank
    assert record["rank"] == r == len(record["lambda"]) == len(record["u"])
    assert [np.ndim(t) for t in record["hermite"]["transform"]["tensors"]] == [0, 1, 2, 3, 4]
    # What does not exist has a reason beside it.
    for value, reason in (
        ("alpha_c", "alpha_c_reason"),
        ("alpha_gd", "alpha_gd_reason"),
        ("generative_exponent", "generative_exponent_reason"),
    ):
        assert (record[value] is None) == (record[reason] is not None)
    if record["alpha_gd"] is not None:
        assert record["alpha_gd"] >= record["alpha_spectral"] * (1 - 1e-9)
    if record["gap"] is not None:
        assert record["gap"] == pytest.approx(record["alpha_gd"] / record["alpha_c"])
    assert record["kappa"] is None or record["kappa"] >= 1
    assert (record["plateau"] is None) == (record["rank_of_lambda"] > 0)
    limits = record["limits"]
    assert (limits["alpha_gd"] is None) == (limits["alpha_gd_reason"] is not None)
    for best in record["recommendations"]:
        assert set(best["losses"]) <= set(record["losses"])
        assert best["reason"]
    assert set(record["paper_assumptions"]) == set(found.paper)
    for row in record["paper_assumptions"].values():
        assert row["holds"] in (True, False, None)
        assert row["reason"]
        assert row["extension"]
    assert not set(record["assumptions"]) & set(found.paper)
    for name, row in record["losses"].items():
        assert name in {*LOSSES, found.loss.name}
        assert len(row["lambda"]) == r
        assert row["efficiency"] is None or 0 < row["efficiency"] < 1.01
        assert row["gap"] is None or row["gap"] > 0.99


@pytest.mark.parametrize(
    ("link", "loss"),
    [
        ("he2", "squared"),
        ("he3", "squared"),
        ("he3", "l1"),
        ("phase-retrieval", "l1"),
        ("abs", "squared"),
        ("cos2z", "huber"),
    ],
)
def test_record_of_one_feature(link: str, loss: str) -> None:
    check_record(inspected(link, loss))


def test_every_fixed_link_is_among_these() -> None:
    assert set(ONE) == {"he2", "he3", "phase-retrieval", "abs", "cos2z"}


@pytest.mark.parametrize("link", sorted({*SMALL} - {*ONE, *LONG}))
def test_record_of_several_features(link: str) -> None:
    check_record(inspected_roughly(link, "squared" if link in SQUARED else "huber"))


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["squared", "l1", "huber:0.5"])
@pytest.mark.parametrize("link", SMALL)
def test_record_in_full(link: str, loss: str) -> None:
    check_record(inspect_link(link, loss))


def test_inspection_refuses() -> None:
    with pytest.raises(InputError, match=r"noise=-0\.1"):
        inspect_link("he2", "squared", noise=-0.1)
    with pytest.raises(InputError, match=r"constant|differ"):
        inspect_link(scalar("three", lambda z: 0 * z + 3), "squared")
    with pytest.raises(InputError, match="12"):
        inspect_link(Link("wide", 13, lambda z: z.sum(axis=1)), "squared")


# --- predictions ------------------------------------------------------------------------------


@cache
def predicted(link: str, loss: str, dim: int, samples: int, steps: int, **rest: Any) -> Prediction:
    """`predict`, once per session."""
    return predict(link, loss, dim=dim, samples=samples, steps=steps, **rest)


STANDARD = ("cos2z", "huber", 512, 4096, 4)


def test_fields_agree_with_each_other() -> None:
    found = predicted(*STANDARD)
    trajectory = found.trajectory
    assert trajectory.alignment[0] == pytest.approx(1 / 512)
    assert trajectory.overlaps.sum(axis=1) == pytest.approx(trajectory.alignment)
    assert len(found.n_half) == len(found.closed_form_n_half) == len(found.local_exponents) == 4
    # The floor is where the trajectory ends, up to 1/d.
    outlier = found.outliers[0]
    assert found.floor == pytest.approx(1 - outlier.squared_overlap)
    end = predict_trajectory("cos2z", "huber", dim=512, samples=4096, steps=40).alignment[-1]
    assert end == pytest.approx(outlier.squared_overlap, abs=0.01)
    # Outliers lie outside the bulk.
    low, high = found.edges
    assert all(not low <= o.location <= high for o in found.outliers)
    assert found.span is not None
    assert found.span.steps.tolist() == [1, 2, 3, 4]
    assert (found.span.low <= found.span.median).all()
    assert (found.span.median <= found.span.high).all()
    assert found.recommended == recommended_steps(
        population_of(get_link("cos2z"), _loss("huber")).measure, 512, 4096
    )
    assert found.notes == ()
    assert not trajectory.sampled


def _loss(name: str) -> Loss:
    return LOSSES[name]()


def test_sample_sizes_are_where_the_alignment_is_half() -> None:
    found = predicted(*STANDARD)
    for step, samples in enumerate(found.n_half, start=1):
        assert samples is not None
        at = predict_trajectory("cos2z", "huber", dim=512, samples=round(samples), steps=step)
        assert at.alignment[step] == pytest.approx(0.5, abs=0.02)
    sizes = [float(s or 0) for s in found.n_half]
    closed = [float(s or 0) for s in found.closed_form_n_half]
    exponents = [float(e or 0) for e in found.local_exponents]
    assert (np.diff(sizes) < 0).all()
    # D3 needs T (d/n) u/λ² ≪ 1: good for one step, worse with every step.
    assert closed[0] == pytest.approx(sizes[0], rel=0.01)
    assert (np.diff(np.array(closed) / sizes) > 0).all()
    # Exponents fall from 2 towards 1 + 1/T and below.
    assert exponents[0] == pytest.approx(2, abs=0.01)
    assert (np.diff(exponents) < 0).all()
    # They are slopes of n_half itself.
    measure = population_of(get_link("cos2z"), _loss("huber")).measure
    wide = [n_half(measure, dim, 3) for dim in (256, 1024)]
    assert wide[0] is not None
    assert wide[1] is not None
    assert math.log(wide[1] / wide[0]) / math.log(4) == pytest.approx(exponents[2], abs=0.01)


def test_options_change_what_they_should() -> None:
    standard = ("cos2z", "squared", 256, 2048, 2)
    plain = predicted(*standard)
    shrunk = predicted(*standard, decay=0.5, rate=2.0)
    # What is known of power iteration alone is not shown for other decays.
    assert shrunk.n_half == (None, None)
    assert shrunk.span is None
    assert shrunk.window is None
    assert shrunk.recommended.steps is None
    assert any("η1 β1 ≠ 1" in note for note in shrunk.notes)
    assert shrunk.edges == plain.edges
    assert shrunk.trajectory.alignment[-1] < plain.trajectory.alignment[-1]
    removed = predicted(*standard, linear_part_removed=True)
    fewer = predicted("cos2z", "squared", 256, 2048 - 256, 2)
    with pytest.raises(InputError, match="only 'squared' is predicted"):
        predicted("cos2z", "huber", 256, 2048, 2, linear_part_removed=True)
    assert removed.trajectory.alignment == pytest.approx(fewer.trajectory.alignment)
    assert removed.edges == fewer.edges
    assert removed.samples == removed.trajectory.samples == 2048
    for with_removal, without in zip(removed.n_half, plain.n_half, strict=True):
        assert with_removal == pytest.approx((without or 0) + 256)
    few = predicted(*standard, neurons=4)
    assert few.neurons == 2
    assert few.trajectory.run_mean(few.neurons)[2] < plain.trajectory.run_mean(plain.neurons)[2]


def test_nothing_to_predict() -> None:
    none = predicted("he3", "huber", 128, 1024, 2)
    assert none.n_half == none.closed_form_n_half == none.local_exponents == (None, None)
    assert none.floor is None
    assert none.outliers == ()
    assert none.recommended.steps is None
    assert none.recommended.reason
    still = predicted("cos2z", "huber", 128, 1024, 0)
    assert still.span is None
    assert still.window is None
    assert still.n_half == ()
    assert still.trajectory.alignment == pytest.approx([1 / 128])


def test_unbounded_transform_says_that_it_is_simulated() -> None:
    found = predicted("he2", "squared", 64, 512, 2)
    assert any("not bounded" in note for note in found.notes)
    assert found.trajectory.sampled
    assert (found.trajectory.error[1:] > 0).all()
    other = predict("he2", "squared", dim=64, samples=512, steps=2, seed=1)
    assert other.edges != found.edges
    # Sample sizes rest on a deterministic stand-in.
    assert other.n_half == found.n_half
    spread = 6 * np.hypot(other.trajectory.error, found.trajectory.error) + 1e-12
    assert (np.abs(other.trajectory.alignment - found.trajectory.alignment) < spread).all()


def test_truncated_law_drops_what_one_label_in_n_exceeds() -> None:
    n = 2048
    whole, cut = label_law("he2", "squared"), truncated_law("he2", "squared", n)
    # Nodes carry mass: what is left out is at most 1/n, and the next node would be too much.
    level = np.abs(cut.y).max()
    dropped = whole.weights[np.abs(whole.T) > level].sum()
    assert 0.5 / n < dropped <= 1 / n
    assert cut.weights.sum() == pytest.approx(1)
    assert cut.weights @ cut.T == pytest.approx(0, abs=1e-14)
    assert cut.weights @ cut.T**2 == pytest.approx(1, rel=0.05)
    assert cut.weights @ cut.T**2 < whole.weights @ whole.T**2
    # Labels beyond |z| with 2 sf(z) = 1/n.
    z = math.sqrt(1 + math.sqrt(2) * level)
    assert math.erfc(z / math.sqrt(2)) == pytest.approx(1 / n, rel=0.05)


def test_sampled_law_is_a_sample() -> None:
    law = sampled_law("he2", "squared", 1000, noise=0.3, seed=5)
    assert law.sampled
    assert law.z.shape == (1000, 1)
    assert pytest.approx(law.y - law.y.mean(), abs=1e-12) == law.T
    assert (law.weights == 1e-3).all()
    residual = law.y - get_link("he2")(law.z)
    assert residual.std() == pytest.approx(0.3, rel=0.1)
    same, other = (sampled_law("he2", "squared", 1000, noise=0.3, seed=s) for s in (5, 6))
    assert (same.y == law.y).all()
    assert (other.y != law.y).all()


@pytest.mark.parametrize(
    ("link", "loss", "steps", "options"),
    [
        ("cos2z", "squared", 3, {}),
        ("he2", "squared", 2, {}),
        ("he3", "huber", 2, {}),
        ("abs", "log-cosh", 0, {}),
        ("abs", "pseudo-huber:0.3", 2, {"decay": 0.7, "rate": 3.0}),
        ("cos2z", "squared", 2, {"linear_part_removed": True, "neurons": 2}),
    ],
)
def test_prediction_record(link: str, loss: str, steps: int, options: dict[str, Any]) -> None:
    record = strict(predicted(link, loss, 64, 512, steps, **options).to_json())
    assert len(record["alignment"]) == len(record["overlaps"]) == steps + 1
    assert record["chance"] == pytest.approx(1 / 64)
    run = record["one_run"]
    for low, mean, high in zip(run["low"], run["mean"], run["high"], strict=True):
        assert 0 <= low <= mean <= high <= 1
    assert len(record["n_half"]) == steps
    assert record["recommended_steps_reason"]
    assert (record["span_recovery"] is None) == (steps == 0 or not record["power_iteration"])


def test_prediction_refuses() -> None:
    for options, message in (
        ({"neurons": 3}, "neurons=3: expected an even number"),
        ({"dim": 1}, "dim=1"),
        ({"samples": 0}, "samples=0"),
        ({"steps": -1}, "steps=-1"),
        ({"noise": -1.0}, "noise=-1"),
        ({"linear_part_removed": True, "samples": 64}, "samples=64"),
    ):
        arguments: dict[str, Any] = {"dim": 64, "samples": 512, "steps": 2, **options}
        with pytest.raises(InputError, match=message):
            predict("cos2z", "squared", **arguments)


# --- comparisons ------------------------------------------------------------------------------


def made_up(
    predicted: Float64Array, simulated: Float64Array, error: Float64Array, seeds: int = 20
) -> Comparison:
    """A comparison that was not simulated."""
    return Comparison("link", "loss", 64, 512, seeds, False, predicted, simulated, error)


@pytest.mark.parametrize(("steps", "level"), [(1, 0.05), (5, 0.05), (5, 0.3)])
def test_contradiction_has_the_stated_level(steps: int, level: float) -> None:
    """Means of normal data about the prediction, the margin of 1 % being nothing beside them.

    Bonferroni's bound is attained up to 1 − (1 − a/T)^T for independent steps.
    """
    rng = np.random.default_rng(1)
    seeds, repeats = 8, 4_000
    predicted = np.full(steps, 0.5)
    data = 0.5 + 1e4 * rng.standard_normal((repeats, seeds, steps))
    means = data.mean(axis=1)
    errors = data.std(axis=1, ddof=1) / math.sqrt(seeds)
    rate = np.mean(
        [
            made_up(predicted, m, e, seeds).contradicts(level)
            for m, e in zip(means, errors, strict=True)
        ]
    )
    exact = 1 - (1 - level / steps) ** steps
    assert abs(rate - exact) < 4 * math.sqrt(exact * (1 - exact) / repeats)
    assert exact < level * (1 + 1e-9)


def test_contradiction_allows_for_one_per_cent() -> None:
    predicted = np.array([0.2, 0.4])
    error = np.full(2, 1e-9)
    assert not made_up(predicted, 1.0099 * predicted, error).contradicts(1e-3)
    assert made_up(predicted, np.array([1.0101, 1]) * predicted, error).contradicts(1e-3)
    # And beyond that for what chance does, the more so the fewer data sets there are.
    quantile = float(student.isf(1e-3 / 4, 19))
    wide = np.full(2, 0.01)
    just = predicted * 1.01 + quantile * wide
    assert not made_up(predicted, just - 1e-6, wide).contradicts(1e-3)
    assert made_up(predicted, just + 1e-6, wide).contradicts(1e-3)
    assert not made_up(predicted, just + 1e-6, wide, seeds=5).contradicts(1e-3)
    assert made_up(predicted, just, wide).beyond.tolist() == [True, True]
    assert made_up(predicted, predicted + DEVIATIONS * wide, wide).beyond.tolist() == [False] * 2
    assert made_up(predicted, just, wide).z == pytest.approx((just - predicted) / wide)


def test_expected_beyond_is_students() -> None:
    two = np.full(2, 0.3)
    results = [made_up(two, two, two, seeds) for seeds in (5, 30)]
    expected = 4 * student.sf(3, 4) + 4 * student.sf(3, 29)
    assert expected_beyond(results) == pytest.approx(expected)
    assert expected_beyond([]) == 0


def test_small_comparison_agrees() -> None:
    done: list[tuple[int, int]] = []
    rows = list(
        compare(
            ["cos2z", "he2"],
            ["squared", "huber"],
            [16.0, 8.0],
            dim=128,
            seeds=8,
            steps=3,
            on_progress=lambda *part: done.append(part),
        )
    )
    assert done == [(k, 16) for k in range(1, 17)]
    assert [(row.link, row.loss, row.samples) for row in rows] == [
        (link, loss, n)
        for n in (2048, 1024)
        for link in ("cos2z", "he2")
        for loss in ("squared", "huber")
    ]
    for row in rows:
        assert row.realised == (row.link == "he2" and row.loss == "squared")
        assert row.predicted.shape == row.simulated.shape == row.standard_error.shape == (3,)
        assert (row.standard_error > 0).all()
        assert not row.contradicts(1e-3)
        record = strict(row.to_json())
        assert record["z"] == pytest.approx(row.z.tolist())
        assert record["beyond"] == row.beyond.tolist()
    again = next(compare(["he2"], ["huber"], [16.0], dim=128, seeds=8, steps=3))
    # Same inputs whatever else is compared.
    assert again.simulated == pytest.approx(rows[3].simulated, rel=1e-12)
    other = next(compare(["he2"], ["huber"], [16.0], dim=128, seeds=8, steps=3, seed=1))
    assert (other.simulated != again.simulated).all()


def test_comparison_finds_a_wrong_prediction() -> None:
    """Power: what a ratio n/d that is 25 % too high predicts is contradicted."""
    right = next(compare(["cos2z"], ["squared"], [16.0], dim=64, seeds=60, steps=4))
    wrong = next(compare(["cos2z"], ["squared"], [20.0], dim=64, seeds=3, steps=4))
    assert not right.contradicts(1e-3)
    assert made_up(wrong.predicted, right.simulated, right.standard_error, 60).contradicts(1e-3)


def textbook_traces(
    dim: int, n: int, steps: int, repeats: int
) -> tuple[Float64Array, Float64Array]:
    """u H^{2t} u and tr H^{2t} of cos 2z under squared loss, `(repeats, T)` each, by powers."""
    rng = np.random.default_rng(99)
    signal, total = np.empty((repeats, steps)), np.empty((repeats, steps))
    for k in range(repeats):
        X = rng.standard_normal((n, dim))
        y = np.cos(2 * X[:, 0])
        H = (X.T * (y - y.mean())) @ X / n
        power = np.eye(dim)
        for t in range(steps):
            power = power @ H @ H
            signal[k, t], total[k, t] = power[0, 0], np.trace(power)
    return signal, total


def test_simulated_alignment_is_a_ratio_of_means() -> None:
    """At d = 32 a mean of ratios lies below, and the estimator hits the other."""
    dim, n, steps = 32, 256, 4
    signal, total = textbook_traces(dim, n, steps, 2_000)
    ratio = signal.mean(axis=0) / total.mean(axis=0)
    residual = (signal - ratio * total) / total.mean(axis=0)
    own = residual.std(axis=0) / math.sqrt(len(signal))
    seeds = 2000
    row = next(compare(["cos2z"], ["squared"], [n / dim], dim=dim, seeds=seeds, steps=steps))
    error = np.hypot(own, row.standard_error)
    assert (np.abs(row.simulated - ratio) < 4 * error).all()
    assert row.simulated[-1] - (signal / total).mean(axis=0)[-1] > 4 * error[-1]
    # Its standard error is that of a ratio.
    assert row.standard_error == pytest.approx(own * math.sqrt(len(signal) / seeds), rel=0.15)


def test_comparison_refuses() -> None:
    for options, message in (
        ({"seeds": 2}, "seeds=2"),
        ({"dim": 1}, "dim=1"),
        ({"steps": 0}, "steps=0"),
        ({"ratios": [0.0]}, "ratio"),
        ({"ratios": [0.01]}, r"ratio=.*two samples"),
        ({"ratios": []}, "at least one"),
        ({"links": []}, "at least one"),
        ({"links": ["cos2y"]}, "link='cos2y'"),
        ({"losses": ["hubber"]}, "loss='hubber'"),
        ({"links": ["z1z2"], "dim": 2}, "dim=2: expected more than the rank"),
    ):
        arguments: dict[str, Any] = {
            "links": ["cos2z"],
            "losses": ["huber"],
            "ratios": [4.0],
            "dim": 16,
            **options,
        }
        with pytest.raises(InputError, match=message):
            next(compare(**arguments))
