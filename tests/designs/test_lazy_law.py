"""The lazy design against the stored one: all that a run records has the same distribution.

A pair is one run on a stored matrix of fresh normals and one on the lazy design, each with
its own seed and label noise, of one model from one start. `SequentialTwoSample` decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lazy_mutants import CAUGHT_BY, Correct
from mimverify import LayerwiseTrainer, MultiIndexModel
from mimverify.backends import get_backend
from mimverify.designs import Design, StoredDesign
from mimverify.designs.lazy import LazyGaussianDesign
from mimverify.designs.lazy import design as design_module
from mimverify.measure import Recorder
from mimverify.statistics import SequentialTwoSample

Vector = NDArray[np.float64]
BACKEND = get_backend("numpy", "float64")


@dataclass(frozen=True, eq=False)
class Configuration:
    """A problem and the options to train on it."""

    link: str
    n: int
    d: int
    noise: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def model(self) -> MultiIndexModel:
        return MultiIndexModel(self.link, self.d, seed=1, noise=self.noise)

    def stored(self, seed: int) -> Vector:
        X = np.random.default_rng([self.n, self.d, seed]).standard_normal((self.n, self.d))
        return self.statistics(StoredDesign(X, BACKEND), 2 * seed)

    def lazy(self, kind: type[LazyGaussianDesign], seed: int) -> Vector:
        design = kind(self.n, self.d, BACKEND, seed=seed, threads=1)
        return self.statistics(design, 2 * seed + 1)

    def statistics(self, design: Design, noise: int) -> Vector:
        """The fitted constant; for t ≥ 1 alignment, overlaps, principal cosines (the last is
        the span recovery) and log ‖W_t‖; and how W_T stretches X, three numbers of X W_Tᵀ."""
        U = self.model.subspace
        y = self.model.labels(BACKEND.to_numpy(design.project(U)), seed=noise)
        recorder = Recorder(U, keep_weights=True)
        trainer = LayerwiseTrainer(**{"neurons": 6, "steps": 3, **self.options}, random_state=1)
        trainer.fit_first_layer(design, y, observe=recorder)
        values = [trainer.centring_.constant]
        for t in range(1, trainer.steps_ + 1):
            if self.model.rank > 1:  # else it is the overlap
                values.append(recorder.alignment[t])
            values += [*recorder.overlaps[t], *recorder.cosines[t]]
            values.append(np.log(np.linalg.norm(recorder.weights[t])))
        if trainer.linear_part_ is not None:
            values += [np.log(np.linalg.norm(trainer.linear_part_)), *U @ trainer.linear_part_]
        W = trainer.network_.W
        P = BACKEND.to_numpy(design.project(W))
        first = P[:, 0] ** 2
        values += [
            np.log((P**2).sum() / (W**2).sum()),
            np.log(first.sum() / (W[0] ** 2).sum()),
            y @ first / first.sum(),
        ]
        return np.array(values)


@dataclass(frozen=True, eq=False)
class Queries:
    """Fixed queries, two rows at a time, from both sides in turn."""

    n: int
    d: int

    def stored(self, seed: int) -> Vector:
        X = np.random.default_rng([self.n, self.d, seed]).standard_normal((self.n, self.d))
        return self.statistics(StoredDesign(X, BACKEND))

    def lazy(self, kind: type[LazyGaussianDesign], seed: int) -> Vector:
        return self.statistics(kind(self.n, self.d, BACKEND, seed=seed, threads=1))

    def statistics(self, design: Design) -> Vector:
        """Lengths and directions of X v, Xᵀ r, Xᵀ X v and X Xᵀ r for fixed v and r."""
        half = self.n // 2
        V, R = np.eye(self.d)[:4], np.eye(self.n)[: half + 2]
        forth = design.project(V[:2])
        back = design.one_pass(V[:2], lambda P, rows: P)  # Xᵀ X v
        first = design.one_pass(0 * V[:1], lambda _, rows: R[:half, rows].T)
        second = design.one_pass(0 * V[:1], lambda _, rows: R[half:, rows].T)
        later = design.project(V[2:])
        again = design.project(first[:2])  # X Xᵀ r
        sizes = [np.log((A**2).mean()) for A in (forth, first, second, later)]
        stretched = [
            np.log((back**2).sum() / (forth**2).sum()),
            np.log((again**2).sum() / (first[:2] ** 2).sum()),
        ]
        angles = [
            (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
            for a, b in ((forth, later), (back, first[:2]), (forth, again))
        ]
        # Equal noise may be in any two rows.
        overlap = ((first @ second.T) ** 2).sum() / ((first**2).sum() * (second**2).sum())
        return np.array(
            [
                *sizes,
                *stretched,
                *angles,
                np.log(overlap),
                (forth**4).mean() / (forth**2).mean() ** 2,
            ]
        )


def constant_rate(eta: float) -> dict[str, Any]:
    """Weights of size one: f is far from zero after a step."""
    return {"schedule": "constant", "eta": eta, "beta": 0.1, "init_norm": 1.0}


QUICK: dict[str, Configuration | Queries] = {
    "queries": Queries(60, 40),
    "default": Configuration("cos2z", 150, 24, options={"steps": 4}),
    "quadratic-squared": Configuration(
        "z1z2", 160, 24, options={"activation": "quadratic", "loss": "squared"}
    ),
    "pseudo-huber-l1": Configuration(
        "sign-z1z2", 200, 24, options={"activation": "pseudo-huber", "loss": "l1"}
    ),
    "tanh-noise": Configuration(
        "tanh3", 200, 24, 0.3,
        options={"activation": "tanh", "loss": "log-cosh"} | constant_rate(5.0),
    ),
    "linear-part-removed": Configuration(
        "phase-retrieval", 50, 8,
        options={"activation": "softplus", "loss": "squared", "remove_linear_part": True},
    ),
    # Few rows and columns: the known parts are large, and bases become complete.
    "small": Configuration("cos2z", 32, 20),
    "small-noise": Configuration(
        "relu-sum", 32, 20, 0.3,
        options={"activation": "gelu", "loss": "pseudo-huber"} | constant_rate(20.0),
    ),
    "few-rows": Configuration(
        "he2-mix", 16, 30, 0.3,
        options={"neurons": 10, "steps": 2, "activation": "softplus"} | constant_rate(20.0),
    ),
}  # fmt: skip
DEEP: dict[str, Configuration | Queries] = {
    "linear-part-reweighted": Configuration(
        "phase-retrieval", 60, 8,
        options={"activation": "softplus", "loss": "pseudo-huber", "remove_linear_part": True},
    ),
    "large": Configuration("he2-he3", 400, 40, options={"steps": 4, "loss": "squared"}),
    "relu-noise": Configuration(
        "relu-network:2", 300, 40, 0.5,
        options={"steps": 4, "activation": "relu", "loss": "huber"} | constant_rate(5.0),
    ),
}  # fmt: skip

#: Probability that the right design is ever rejected, in all configurations together: the deep
#: tests go on with the pairs of the quick ones.
ALPHA = 1e-6
LEVEL = ALPHA / len(QUICK | DEEP)
PAIRS = 60


@pytest.fixture(autouse=True)
def _several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(design_module, "block_width", lambda rows, backend: 32)


@cache
def stored(name: str, seed: int) -> Vector:
    return (QUICK | DEEP)[name].stored(seed)


def decide(name: str, kind: type[LazyGaussianDesign], pairs: int) -> SequentialTwoSample:
    """The test after so many pairs, or as soon as it rejects."""
    configuration = (QUICK | DEEP)[name]
    test = SequentialTwoSample(len(stored(name, 0)), LEVEL)
    while test.pairs < pairs and not test.rejected:
        seed = test.pairs
        test.update(stored(name, seed), configuration.lazy(kind, seed))
    return test


def evidence(test: SequentialTwoSample) -> str:
    return f"log e = {test.log_e_value:.3g} after {test.pairs} pairs, from {test.strongest}"


#: Broken design, the configuration that must reject it, and within how many pairs.
REJECTED_WITHIN = [
    ("OmitsKnownPartOnTheLeft", "queries", 80),
    ("NoiseNotProjectedOffL", "queries", 80),
    ("OmitsKnownPartOnTheRight", "queries", 80),
    ("NoiseNotProjectedOffR", "queries", 160),
    ("HalvesKnownPartOnTheRight", "queries", 80),
    ("ReusesNoise", "queries", 80),
    ("ReusesNoiseOnTheLeft", "queries", 120),
    ("ReusesNoiseOnTheRight", "queries", 80),
    ("LargerVariance", "queries", 80),
    ("NotGaussian", "queries", 80),
    # Seen in training.
    ("OmitsKnownPartOnTheLeft", "small", 90),
    ("HalvesKnownPartOnTheRight", "small-noise", 90),
]
MUTANTS = {kind.__name__: kind for kind, checks in CAUGHT_BY.items() if "law" in checks}


@pytest.mark.parametrize("name", QUICK)
def test_the_lazy_design_has_the_law_of_the_stored_one(name: str) -> None:
    """In no fewer pairs than a broken one takes to be rejected there."""
    pairs = max([PAIRS, *(most for _, where, most in REJECTED_WITHIN if where == name)])
    test = decide(name, Correct, pairs)
    assert not test.rejected, evidence(test)


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK | DEEP)
def test_the_law_in_many_pairs(name: str) -> None:
    test = decide(name, Correct, 1000)
    assert not test.rejected, evidence(test)


def test_every_broken_law_is_tested_for() -> None:
    assert {broken for broken, _, _ in REJECTED_WITHIN} == MUTANTS.keys()


@pytest.mark.parametrize(("broken", "name", "pairs"), REJECTED_WITHIN)
def test_a_broken_law_is_rejected(broken: str, name: str, pairs: int) -> None:
    test = decide(name, MUTANTS[broken], pairs)
    assert test.rejected, evidence(test)
