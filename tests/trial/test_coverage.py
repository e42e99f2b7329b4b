"""What a trial really calls: kinds of case × methods × activations × losses × dtypes.

The table that docs/verdicts.md states is computed here from the calls of a trainer that offers
everything, and compared with all that there is to meet.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cache
from itertools import combinations, product

import pytest

from mimverify import LayerwiseTrainer, numpy_trainer
from mimverify.support.errors import InputError
from mimverify.trial import (
    KINDS,
    PROFILES,
    STANDARD_DTYPES,
    STANDARD_LOSSES,
    STEP_ACTIVATIONS,
    InProcessTrainer,
    Ledger,
    TrainerUnderTrial,
    Trial,
    load_claims,
)

FACTORS = {
    "kind": tuple(KINDS),
    "method": ("step", "trajectory"),
    "activation": STEP_ACTIVATIONS,
    "loss": STANDARD_LOSSES,
    "dtype": STANDARD_DTYPES,
}
#: Claims that try kinds of case; what each leaves out is its own matter.
BY_KINDS = (
    "gradient-step", "trajectory", "equivariance", "one-pass", "antisymmetry", "power-iteration",
    "small-initialisation", "weak-feedback",
)  # fmt: skip


class Recording(LayerwiseTrainer):
    """The reference trainer; notes each call with the case that is under way."""

    calls: list[tuple[str, ...]] = []  # noqa: RUF012 - of all trainers of a trial
    trial: Trial | None = None
    inside = False

    def step(self, W, a, b, X, y, **options):
        self._note("step", W, options)
        self.inside = True  # the reference's step is a trajectory
        try:
            return super().step(W, a, b, X, y, **options)
        finally:
            self.inside = False

    def trajectory(self, W0, a, b, X, y, **options):
        if not self.inside:
            self._note("trajectory", W0, options)
        return super().trajectory(W0, a, b, X, y, **options)

    def _note(self, method, W, options):
        assert Recording.trial is not None
        kind = getattr(Recording.trial.case, "kind", "statistical")
        Recording.calls.append((kind, method, options["activation"], options["loss"], W.dtype.name))


class OnlyTrajectory:
    """Offers `trajectory` alone."""

    activations, losses = Recording.activations, Recording.losses

    def __init__(self):
        self._trainer = Recording()

    def trajectory(self, W0, a, b, X, y, **options):
        return self._trainer.trajectory(W0, a, b, X, y, **options)


def called(name, *, seed, profile="quick", trainer=Recording):
    """The calls of one claim's trial."""
    Recording.calls = []
    claims, unhurried = load_claims(), replace(PROFILES[profile], seconds=1e6)
    trial = Recording.trial = Trial(
        claims[name],
        TrainerUnderTrial(InProcessTrainer(trainer)),
        profile=unhurried,
        ledger=Ledger.split(claims.values(), unhurried),
        seed=seed,
    )
    trial.run()
    return Recording.calls


@cache
def met(claims: tuple[str, ...], seed: int, profile: str = "quick"):
    """The rows (kind, method, activation, loss, dtype) of the table, each with its claims."""
    table = defaultdict(set)
    for name in claims:
        for row in called(name, seed=seed, profile=profile):
            table[row].add(name)
    return table


def missing(rows, factors, strength):
    """Joint values of `strength` factors that no row has."""
    for chosen in combinations(range(len(factors)), strength):
        seen = {tuple(row[k] for k in chosen) for row in rows}
        yield from set(product(*(factors[k] for k in chosen))) - seen


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_pair_is_met_in_the_quick_profile_whatever_the_seed(seed):
    """By two claims alone, of which one is about single steps and one about whole trajectories."""
    rows = met(("gradient-step", "trajectory"), seed)
    assert not list(missing(rows, tuple(FACTORS.values()), 2))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_method_meets_every_pair_in_the_quick_profile(seed):
    """Triples with the method: a mistake of two values in one method alone is met."""
    rows = met(("gradient-step", "trajectory"), seed)
    rest = [values for name, values in FACTORS.items() if name != "method"]
    for method in FACTORS["method"]:
        own = [(row[0], *row[2:]) for row in rows if row[1] == method]
        assert not list(missing(own, rest, 2))


@pytest.mark.slow
def test_every_triple_is_met_in_the_standard_profile():
    """The same without the calls: tests/trial/test_covering.py."""
    rows = met(("gradient-step", "trajectory"), 0, "standard")
    assert not list(missing(rows, tuple(FACTORS.values()), 3))


@pytest.mark.parametrize("name", BY_KINDS)
def test_each_claim_meets_all_of_its_values_with_each_method(name):
    """Pairs of method and any other value; but for the two claims that are about one method."""
    rows = list(met((name,), 0))
    methods = {"gradient-step": ["step"], "trajectory": ["trajectory"]}
    for other in (0, 2, 3, 4):
        values = {row[other] for row in rows}
        expected = set(product(methods.get(name, FACTORS["method"]), values))
        assert {(row[1], row[other]) for row in rows} == expected


def test_statistical_claims_share_both_methods():
    """Each calls one of them in an example, and the other in the next."""
    claims = load_claims()
    by = defaultdict(set)
    trainer = TrainerUnderTrial(InProcessTrainer(numpy_trainer))
    for name, claim in claims.items():
        if claim.exact or claim.needs != "first layer":
            continue
        trial = Trial(
            claim,
            trainer,
            profile=PROFILES["quick"],
            ledger=Ledger.split([claim], PROFILES["quick"]),
        )
        first, trial.turn = trial._method_of_example(), trial.turn + 1
        assert {first, trial._method_of_example()} == set(FACTORS["method"])
        trial.turn = 0
        if claim.profile == "quick":
            by[trial._method_of_example()].add(name)
    # Learning, the limit of many steps, and the law without signal are each met by both somewhere.
    assert min(map(len, by.values())) >= 5


def test_a_statistical_claim_calls_one_method_alone():
    """A trainer that compiles does so once."""
    assert len({row[1] for row in called("staircase", seed=0)}) == 1


def test_a_trainer_with_one_method_is_not_called_twice_with_the_same():
    """The combinations are those of a trainer with both, one call for each."""
    calls = called("antisymmetry", seed=0, trainer=OnlyTrajectory)
    assert len(calls) == len(set(calls))
    assert {row[1] for row in calls} == {"trajectory"}
    both = called("antisymmetry", seed=0)
    assert {(row[0], *row[2:]) for row in calls} == {(row[0], *row[2:]) for row in both}


def test_both_are_derived_from_the_method_that_is_set():
    trainer = TrainerUnderTrial(InProcessTrainer(numpy_trainer))
    assert trainer.first_layer_methods == ("step", "trajectory")
    assert trainer.trained_by is None
    trainer.train_by("step")
    assert trainer.trained_by == "step"
    with pytest.raises(InputError, match="method='fit': expected one that the trainer offers"):
        trainer.train_by("fit")
