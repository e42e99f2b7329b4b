"""The pack: its predictions, its claims on right and wrong trainers."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_giant_step import claims, mutants
from one_giant_step.prediction import log_odds, samples_for_half

from mimverify import MultiIndexModel, alignment, numpy_trainer, overlaps, symmetric_start
from mimverify.trial import PROFILES, Claim, Session, Status

#: The quick profile without its limit of time.
PATIENT = replace(PROFILES["quick"], seconds=3600.0)
PACK = {record.id: record for record in vars(claims).values() if isinstance(record, Claim)}

#: A statistical claim that catches each mutant with little work; `start-cancels` catches all.
CAUGHT = {
    "KeepsTheStart": "leading-order",
    "DecaysTwice": "leading-order",
    "TrainsOnHalf": "quadratic-samples",
    "LinearNeurons": "leading-order",
    "ClipsLabels": "leading-order",
    "SmallSteps": "leading-order",
    "RemovesItAgain": "linear-part-first",
    "SpectralMethod": "linear-samples-fail",
}


def one_step(link, dim, n, seed, *, kept=False):
    model = MultiIndexModel(link, dim, seed=seed)
    data = model.sample(n)
    y = data.y if kept else claims.without_linear_part(data.X, data.y)
    start = symmetric_start(32, dim, np.random.default_rng(seed), norm=1.0)
    W = mutants.Correct().step(
        start.W, start.a, start.b, data.X, y,
        eta=1.0, beta=1.0, activation="relu", loss="squared",
    )  # fmt: skip
    return model, start.W, W


def test_half_of_the_weight_is_signal_at_the_predicted_size():
    dim = 48
    n = samples_for_half(dim)
    assert n == round(np.pi / 4 * dim**2)
    gaps = []
    for seed in range(30):
        model, start, W = one_step("he2", dim, n, seed)
        A = alignment(W, model.subspace)
        gaps.append(np.log(A / (1 - A)) - log_odds(start @ model.subspace[0], dim=dim, samples=n))
    # A run's deviation is 0.17: four deviations of a mean over 30, and O(1/d).
    assert abs(np.mean(gaps)) < 4 * 0.17 / np.sqrt(30) + 2 / dim


def test_removing_the_linear_part_halves_the_noise():
    dim, n = 32, 4 * 32**2
    across = {}
    for kept in (False, True):
        parts = []
        for seed in range(20):
            model, _, W = one_step("he2", dim, n, seed, kept=kept)
            parts.append((1 - alignment(W, model.subspace)) * np.sum(W**2))
        across[kept] = np.mean(parts)
    assert across[True] / across[False] == pytest.approx(2, rel=0.15)


def test_degree_three_leaves_only_noise():
    dim, shares = 32, []
    for seed in range(20):
        model, _, W = one_step(claims.HE2_HE3, dim, 2048, seed)
        first, second = overlaps(W, model.subspace)
        shares.append(second / (1 - first))
    assert np.mean(shares) == pytest.approx(8 / (2 * dim + 4), rel=0.3)


def test_the_control_of_the_mutants_is_right():
    rng = np.random.default_rng(0)
    W, X = rng.standard_normal((6, 5)), rng.standard_normal((40, 5))
    a, b, y = rng.standard_normal(6), rng.standard_normal(6), rng.standard_normal(40)
    options: Any = {"eta": 0.3, "beta": 0.1, "activation": "relu", "loss": "squared"}
    expected = numpy_trainer().step(W, a, b, X, y, **options)
    np.testing.assert_allclose(mutants.Correct().step(W, a, b, X, y, **options), expected)


@pytest.mark.parametrize("name", ["leading-order", "linear-part-first", "start-cancels"])
def test_the_reference_trainer_passes(name):
    with Session(numpy_trainer, profile=PATIENT) as session:
        verdict = session.verdict(PACK[name])
    assert verdict.status is Status.PASSED, verdict


@pytest.mark.parametrize("mutant", mutants.MUTANTS)
def test_every_mutant_is_caught(mutant):
    with Session(mutant, profile=PATIENT) as session:
        verdict = session.verdict(PACK[CAUGHT[mutant.__name__]])
        exact = session.verdict(PACK["start-cancels"])
    assert verdict.status is Status.FAILED, verdict
    assert exact.status is Status.FAILED, exact


def test_the_pack_needs_nothing_private():
    public = {"mimverify", "mimverify.trial", "mimverify.statistics", "mimverify.theory"}
    public |= {"mimverify.zoo"}
    for path in Path(claims.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mimverify"):
                assert node.module in public, (path.name, node.module)
