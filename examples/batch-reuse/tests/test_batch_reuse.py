"""The pack: its links and predictions, its claims on right and wrong trainers."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_reuse import claims, mutants
from batch_reuse.links import ALTERNATING, HALF_ALTERNATING
from batch_reuse.prediction import fresh_deviation, reused_overlap

from mimverify import MultiIndexModel, numpy_trainer
from mimverify.trial import PROFILES, Claim, Session, Status

#: The quick profile without its limit of time.
PATIENT = replace(PROFILES["quick"], seconds=3600.0)
PACK = {record.id: record for record in vars(claims).values() if isinstance(record, Claim)}
OPTIONS: Any = {"eta": 0.3, "beta": 0.1, "activation": "relu", "loss": "squared"}

#: A claim that catches each mutant with little work.
CAUGHT = {
    "OnePass": "two-steps-escape",
    "CachesItsRows": "one-pass-fails",
    "FrozenNeurons": "two-steps-escape",
    "HalvesTheRate": "two-steps-escape",
    "RateDecays": "two-steps-escape",
    "DecaysAnyway": "finite-rate",
    "PairsNeurons": "two-steps-escape",
    "TransformsLabels": "two-steps-escape",
    "AbsoluteNeurons": "two-steps-escape",
}


def test_the_links_have_their_information_exponents():
    nodes = np.linspace(-9, 9, 2_000_001)
    density = np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi) * (nodes[1] - nodes[0])
    for link, exponent in ((HALF_ALTERNATING, 3), (ALTERNATING, 4)):
        y = link(nodes[:, None])
        hermite = [1, nodes, nodes**2 - 1, nodes**3 - 3 * nodes, nodes**4 - 6 * nodes**2 + 3]
        components = [abs(float(np.sum(density * y * h))) for h in hermite]
        assert max(components[:exponent]) < 1e-4, link.name
        assert components[exponent] > 0.1, link.name
        assert np.sum(density * y * y) == pytest.approx(1, abs=1e-4)


def test_the_prediction_is_of_second_order_in_the_rate():
    # rate²/α · E[y² z]/(2 √(2π)), with E[y² z] = 2/√(2π).
    rate, ratio = 0.01, 4.0
    expected = rate**2 / ratio / (2 * np.pi)
    assert reused_overlap(HALF_ALTERNATING, rate=rate, ratio=ratio, scale=0) == pytest.approx(
        expected, rel=0.02
    )
    assert reused_overlap(ALTERNATING, rate=4, ratio=4) == pytest.approx(0, abs=1e-12)


def one_run(dim, seed, *, fresh):
    """The mean overlap after two steps, in plain NumPy."""
    model = MultiIndexModel(HALF_ALTERNATING, dim, seed=seed)
    W = np.random.default_rng(seed).standard_normal((64, dim))
    W /= np.linalg.norm(W, axis=1, keepdims=True)
    a, trainer = np.repeat([1 / 64, -1 / 64], 32), mutants.Correct()
    for purpose in ("stage1", "stage2" if fresh else "stage1"):
        data = model.sample(4 * dim, purpose=purpose)
        W = trainer.step(W, a, 0 * a, data.X, data.y, **(OPTIONS | {"eta": 4 * 64, "beta": 0}))
    return float((W @ model.subspace[0]).mean())


def test_predictions_agree_with_training():
    dim = 192
    reused, fresh = (
        np.array([one_run(dim, seed, fresh=fresh) for seed in range(40)]) for fresh in (False, True)
    )
    predicted = reused_overlap(HALF_ALTERNATING, rate=4, ratio=4)
    deviation = fresh_deviation(HALF_ALTERNATING, rate=4, dim=dim, samples=4 * dim, neurons=64)
    # Four deviations of a mean over 40 (that of the reused batch is smaller), and O(1/d).
    assert abs(reused.mean() - predicted) < 4 * deviation / np.sqrt(40) + predicted / 20
    assert abs(fresh.mean()) < 4 * deviation / np.sqrt(40)
    assert 1 / 1.6 < fresh.std() / deviation < 1.6  # 4 deviations of a deviation over 40


def test_the_control_of_the_mutants_is_right():
    rng = np.random.default_rng(0)
    W, X = rng.standard_normal((6, 5)), rng.standard_normal((40, 5))
    a, b, y = rng.standard_normal(6), rng.standard_normal(6), rng.standard_normal(40)
    expected = numpy_trainer().step(W, a, b, X, y, **OPTIONS)
    np.testing.assert_allclose(mutants.Correct().step(W, a, b, X, y, **OPTIONS), expected)


@pytest.mark.parametrize("name", ["two-steps-escape", "one-pass-fails", "finite-rate"])
def test_the_reference_trainer_passes(name):
    with Session(numpy_trainer, profile=PATIENT) as session:
        verdict = session.verdict(PACK[name])
    assert verdict.status is Status.PASSED, verdict


@pytest.mark.parametrize("mutant", mutants.MUTANTS)
def test_every_mutant_is_caught(mutant):
    with Session(mutant, profile=PATIENT) as session:
        verdict = session.verdict(PACK[CAUGHT[mutant.__name__]])
    assert verdict.status is Status.FAILED, verdict


def test_the_pack_needs_nothing_private():
    public = {"mimverify", "mimverify.trial", "mimverify.statistics", "mimverify.theory"}
    public |= {"mimverify.zoo"}
    for path in Path(claims.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mimverify"):
                assert node.module in public, (path.name, node.module)
