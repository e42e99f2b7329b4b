"""Covering arrays: every pair, or triple, of values is met, in few rows."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimverify import numpy_trainer
from mimverify.trial import (
    KINDS,
    PROFILES,
    STANDARD_DTYPES,
    STANDARD_LOSSES,
    STEP_ACTIVATIONS,
    Inconclusive,
    InProcessTrainer,
    Ledger,
    Session,
    Status,
    TrainerUnderTrial,
    Trial,
    load_claims,
)
from mimverify.trial.claims.covering import covering_blocks, extended_blocks
from mimverify.trial.running.trial import Replayed
from mimverify.zoo.numerics import GuardsAgainstOverflow, HidesNaN

METHODS = ("step", "trajectory")
UNHURRIED = replace(PROFILES["quick"], seconds=1e6)
LEVELS = st.tuples(*[st.integers(1, 7), st.integers(1, 5), st.integers(1, 2)])


def rows_of(blocks):
    """The rows with their block as the first factor."""
    return [(number, *row) for number, block in enumerate(blocks) for row in block]


def missing(rows, sizes, strength):
    """The joint values of `strength` factors that no row has."""
    for chosen in combinations(range(len(sizes)), min(strength, len(sizes))):
        seen = {tuple(row[factor] for factor in chosen) for row in rows}
        yield from set(product(*(range(sizes[factor]) for factor in chosen))) - seen


@settings(deadline=None, max_examples=40)
@given(
    levels=LEVELS, blocks=st.integers(1, 9), strength=st.integers(1, 5), seed=st.integers(0, 2**32)
)
def test_all_joint_values_are_met_and_no_row_twice(levels, blocks, strength, seed):
    found = covering_blocks(levels, blocks, strength=strength, seed=seed)
    assert len(found) == blocks
    rows = rows_of(found)
    assert not list(missing(rows, (blocks, *levels), strength))
    assert len(set(rows)) == len(rows)
    assert found == covering_blocks.__wrapped__(levels, blocks, strength=strength, seed=seed)


@settings(deadline=None, max_examples=40)
@given(
    levels=LEVELS,
    blocks=st.integers(1, 9),
    extra=st.integers(1, 3),
    strength=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_a_further_factor_is_covered_too_and_leaves_the_rows_as_they_are(
    levels, blocks, extra, strength, seed
):
    base = covering_blocks(levels, blocks, strength=strength, seed=seed)
    found = extended_blocks(levels, blocks, extra=extra, strength=strength, seed=seed)
    for rows, extended in zip(base, found, strict=True):
        assert tuple(row[:-1] for row in extended[: len(rows)]) == rows
    rows = rows_of(found)
    assert not list(missing(rows, (blocks, *levels, extra), strength))
    assert len(set(rows)) == len(rows)


@pytest.mark.parametrize(("levels", "blocks"), [((7, 5, 2), 15), ((7, 5, 2), 8), ((5, 5, 2), 5)])
@pytest.mark.parametrize("strength", [2, 3])
def test_a_second_method_takes_no_further_rows(levels, blocks, strength):
    base = covering_blocks(levels, blocks, strength=strength)
    found = extended_blocks(levels, blocks, extra=2, strength=strength)
    assert sum(map(len, found)) == sum(map(len, base))


@pytest.mark.parametrize("blocks", [1, 2, 3, 5, 8, 15])
@pytest.mark.parametrize("levels", [(7, 5, 2), (3, 5, 2), (1, 5, 2), (3, 3, 2), (2, 5, 1)])
@pytest.mark.parametrize("strength", [2, 3, 4])
def test_the_size_is_near_its_lower_bound(levels, blocks, strength):
    found = covering_blocks(levels, blocks, strength=strength)
    sizes = sorted((blocks, *levels))
    bound = math.prod(sizes[-min(strength, 4) :])
    total = sum(map(len, found))
    assert bound <= total <= max(bound + 1, 1.1 * bound)
    # No configuration bears more than its part of it.
    assert max(map(len, found)) <= math.ceil(total / blocks) + 1


def test_claims_with_more_kinds_begin_with_the_combinations_of_those_with_fewer():
    many = covering_blocks((7, 5, 2), 15, strength=2)
    assert many[:8] == covering_blocks((7, 5, 2), 8, strength=2)
    assert many[:5] == covering_blocks((7, 5, 2), 5, strength=2)


def test_the_seed_changes_the_rows_and_not_their_number():
    arrays = [covering_blocks((7, 5, 2), 8, strength=2, seed=seed) for seed in range(5)]
    assert len(set(arrays)) == 5
    assert {sum(map(len, array)) for array in arrays} == {56}


class _Recorded(Trial):
    """Keeps the combinations of each configuration; nothing is computed with them."""

    def __init__(self, name, monkeypatch, *, profile="quick", **options):
        super().__init__(
            load_claims()[name],
            TrainerUnderTrial(InProcessTrainer(numpy_trainer)),
            profile=PROFILES[profile],
            ledger=Ledger.split(load_claims().values(), PROFILES[profile]),
            **options,
        )
        self.chosen: dict[tuple[int, Any], list[tuple[str, ...]]] = {}
        self.by: dict[tuple[int, Any], list[str | None]] = {}
        # Without a decision in any configuration, which would be the claim's fault.
        monkeypatch.setattr(self._declared, "end_example", lambda: None)
        with pytest.raises(Inconclusive, match="nothing was decided"):
            self.run()

    def combinations(self, activations, losses, dtypes, **options):
        tried = [
            (combination, self.trainer.trained_by)
            for combination in super().combinations(activations, losses, dtypes, **options)
        ]
        self.chosen[self.turn, self.case] = [combination for combination, _ in tried]
        self.by[self.turn, self.case] = [method for _, method in tried]
        return iter(())


COMBINING = [
    "gradient-step", "trajectory", "backends-agree", "equivariance", "one-pass",
    "antisymmetry", "power-iteration", "small-initialisation", "weak-feedback",
]  # fmt: skip


#: Which goes through all combinations at once, and calls both methods with each.
AT_ONCE = ["independent-steps"]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", COMBINING + AT_ONCE)
def test_an_exact_claim_meets_every_pair_in_the_quick_profile(name, seed, monkeypatch):
    trial = _Recorded(name, monkeypatch, seed=seed)
    rows = [(case.kind, *row) for (_, case), found in trial.chosen.items() for row in found]
    values = [sorted({row[factor] for row in rows}) for factor in range(4)]
    assert len(values[0]) == len(trial.claim.strata(trial.trainer))
    for first, second in combinations(range(4), 2):
        met = {(row[first], row[second]) for row in rows}
        assert met == set(product(values[first], values[second]))


@pytest.mark.parametrize("seed", [0, 1])
def test_every_triple_with_the_method_is_met_in_the_standard_profile(seed, monkeypatch):
    """Of kind, activation, loss, dtype and method, by the two claims on gradient descent."""
    rows = [
        (case.kind, *row, method)
        for name in ("gradient-step", "trajectory")
        for trial in [_Recorded(name, monkeypatch, profile="standard", seed=seed)]
        for place, found in trial.chosen.items()
        for case in [place[1]]
        for row, method in zip(found, trial.by[place], strict=True)
    ]
    values = [KINDS, STEP_ACTIVATIONS, STANDARD_LOSSES, STANDARD_DTYPES, METHODS]
    for chosen in combinations(range(5), 3):
        met = {tuple(row[factor] for factor in chosen) for row in rows}
        assert met == set(product(*(values[factor] for factor in chosen)))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", COMBINING[2:])
def test_a_claim_about_both_methods_tries_each_of_them_with_every_value(name, seed, monkeypatch):
    trial = _Recorded(name, monkeypatch, seed=seed)
    rows = [
        (method, case.kind, *row)
        for (turn, case), found in trial.chosen.items()
        for row, method in zip(found, trial.by[turn, case], strict=True)
    ]
    for factor in range(1, 5):
        values = {row[factor] for row in rows}
        assert {(row[0], row[factor]) for row in rows} == set(product(METHODS, values))


@pytest.mark.parametrize("name", ["gradient-step", "trajectory"])
def test_where_rounding_and_overflow_show_depends_on_the_dtype(name, monkeypatch):
    """With large numbers each activation and each loss is tried in both."""
    found = [
        row
        for (_, case), rows in _Recorded(name, monkeypatch).chosen.items()
        for row in rows
        if case.kind == "large-magnitude"
    ]
    assert len(set(found)) == len(found) == 2 * len(STEP_ACTIVATIONS)
    for names, place in ((STEP_ACTIVATIONS, 0), (STANDARD_LOSSES, 1)):
        met = {(row[place], row[2]) for row in found}
        assert met == set(product(names, STANDARD_DTYPES))


@pytest.mark.parametrize("mutant", [GuardsAgainstOverflow, HidesNaN])
def test_mistakes_of_three_values_are_met_whatever_the_seed(mutant):
    """Large labels, one loss and one dtype: pairs alone met them with three seeds of four."""
    for seed in range(8):
        with Session(mutant, claims=["gradient-step"], seed=seed, profile=UNHURRIED) as session:
            assert session.verdict(load_claims()["gradient-step"]).status is Status.FAILED, seed


#: Relations of sizes that a mistake may need, each met by some kind.
SIZES = {
    "m > d": lambda case: case.neurons > case.dim,
    "m < d": lambda case: case.neurons < case.dim,
    "m = d": lambda case: case.neurons == case.dim,
    "n ≤ d": lambda case: case.samples <= case.dim,
    "n = 1": lambda case: case.samples == 1,
    "n > 512": lambda case: case.samples > 512,
    "n > 4096": lambda case: case.samples > 4096,
    "m odd": lambda case: case.neurons % 2 == 1,
    "m > 128": lambda case: case.neurons > 128,
    "T ≥ 12": lambda case: case.steps >= 12,
}


@pytest.mark.parametrize("name", ["gradient-step", "trajectory"])
def test_what_sizes_the_quick_profile_meets_is_no_matter_of_luck(name, monkeypatch):
    """Its only example of a kind has the first of all values, whatever the seed."""
    shapes = [
        [case for _, case in _Recorded(name, monkeypatch, seed=seed).chosen] for seed in range(3)
    ]
    assert shapes[0] == shapes[1] == shapes[2]
    for what, holds in SIZES.items():
        assert any(map(holds, shapes[0])), what


def test_claims_of_one_kind_share_shapes_and_combinations(monkeypatch):
    """So that a trainer that compiles finds its programs again."""

    def programs(name):
        tried = _Recorded(name, monkeypatch).chosen.items()
        return {
            (replace(case, kind="", norm=0), *row) for (_, case), found in tried for row in found
        }

    for fewer, more in (("equivariance", "trajectory"), ("one-pass", "gradient-step")):
        # But for the last kind of the smaller claim, which has to complete the pairs.
        shared = programs(fewer) & programs(more)
        assert len(shared) > 0.8 * len(programs(fewer))


def test_a_replay_tries_the_combinations_of_the_recorded_configuration(monkeypatch):
    tried = _Recorded("backends-agree", monkeypatch).chosen
    assert len(tried) == 6  # two of each kind, the second with other combinations
    for (turn, case), found in tried.items():
        again = _Recorded("backends-agree", monkeypatch, replayed=Replayed(case, turn))
        assert again.chosen == {(turn, case): found}
    assert len({tuple(found) for found in tried.values()}) == 6


def test_no_exact_claim_tries_the_full_product_of_many_kinds():
    """The claims above are all that combine: a new one joins the list, or says why not."""
    found = [
        name
        for name, claim in load_claims().items()
        if "combinations" in claim.procedure.__code__.co_names
    ]
    assert sorted(found) == sorted(COMBINING + AT_ONCE)
