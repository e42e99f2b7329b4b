"""The suite's power: every mutant fails its claim, and the control passes it."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest

from mimverify import zoo as zoo_package
from mimverify.handles import InProcessTrainer
from mimverify.support.errors import InputError
from mimverify.support.importing import load_attribute
from mimverify.support.package_files import modules_of
from mimverify.trial import PROFILES, Session, Status, load_claims
from mimverify.trial.claims.claim import CAPABILITIES, Claim
from mimverify.trial.diagnosis.causes import reconcile
from mimverify.trial.diagnosis.rules.single_precision import FLOAT32
from mimverify.trial.diagnosis.seen import CAUSE_NAMES
from mimverify.zoo import CATEGORIES, JUSTIFIED, Correct, Mutant, zoo
from mimverify.zoo.arithmetic import Counting
from mimverify.zoo.record import records_in
from mimverify.zoo.update_rule import StopsAfterTwo

# The quick profile without a time limit, which a busy machine would exceed.
UNHURRIED = replace(PROFILES["quick"], seconds=1e6)

_SEEDS = 4  # that have to tell rules apart which are the same on the arrays of one

T = TypeVar("T")

ZOO = zoo()
CLAIMS = sorted({mutant.caught_by for mutant in ZOO if mutant.caught_by is not None})


def long_ones_slow(values: Sequence[T], claim: Callable[[T], str]) -> list[Any]:
    """Parameters of a test, those of claims that take half a minute marked as slow: so do some that
    the quick profile leaves out."""

    def long(record: Claim) -> bool:
        return record.cost > 10 or record.profile != "quick"

    return [
        pytest.param(value, marks=pytest.mark.slow if long(load_claims()[claim(value)]) else ())
        for value in values
    ]


@pytest.mark.parametrize(
    "mutant",
    long_ones_slow(
        [mutant for mutant in ZOO if mutant.caught_by is not None],
        lambda mutant: str(mutant.caught_by),
    ),
    ids=lambda mutant: mutant.name,
)
def test_the_claim_on_record_catches_the_mutant(mutant: Mutant) -> None:
    claim = str(mutant.caught_by)
    with Session(mutant.trainer, profile=UNHURRIED, claims=[claim]) as session:
        verdict = session.verdict(load_claims()[claim])
    assert verdict.status is Status.FAILED, verdict
    assert verdict.message
    assert f"--claim {claim}" in verdict.reproduce
    # Its cause is named where a rule describes it, and none that is not its own. Rules that these
    # arrays cannot tell apart are told apart by others, as in a trial by its other claims.
    divergences = {"seed 0": verdict.evidence.divergence}
    seen = {"seed 0": verdict.evidence.seen}
    while len(rules := reconcile(divergences, seen).named) > 1 and len(divergences) < _SEEDS:
        assert {each.rule for each in rules} & set(mutant.causes), verdict
        seed = len(divergences)
        with Session(mutant.trainer, profile=UNHURRIED, claims=[claim], seed=seed) as session:
            other = session.verdict(load_claims()[claim])
        divergences[f"seed {seed}"] = other.evidence.divergence
        seen[f"seed {seed}"] = other.evidence.seen
    assert {each.rule for each in rules} <= set(mutant.causes), verdict
    assert bool(rules) is bool(mutant.causes), verdict
    assert ("declare dtypes" in verdict.message) is (FLOAT32 in mutant.causes)


def test_three_fifths_of_the_causes_are_named() -> None:
    """Each that has a rule is named, by the test above."""
    assert sum(bool(mutant.causes) for mutant in ZOO) >= 0.6 * len(ZOO)


@pytest.mark.parametrize("claim", long_ones_slow(CLAIMS, str))
def test_the_control_passes_every_claim_that_catches_a_mutant(claim: str) -> None:
    counted = load_claims()[claim].needs == "operation counts"
    with Session(Counting if counted else Correct, profile=UNHURRIED, claims=[claim]) as session:
        verdict = session.verdict(load_claims()[claim])
    assert verdict.status is Status.PASSED, verdict


def test_the_zoo_is_complete() -> None:
    assert len(ZOO) >= 30
    names = Counter(mutant.name for mutant in ZOO)
    assert max(names.values()) == 1, names
    assert {mutant.category for mutant in ZOO} == set(CATEGORIES)
    sentences = Counter(mutant.wrong for mutant in ZOO)
    assert max(sentences.values()) == 1, sentences


@pytest.mark.parametrize("mutant", ZOO, ids=lambda m: m.name)
def test_records_are_complete(mutant: Mutant) -> None:
    assert mutant.wrong.endswith(".")
    assert mutant.breaks in CAPABILITIES
    assert issubclass(mutant.trainer, Correct)
    assert load_attribute("trainer", mutant.spec) is mutant.trainer
    assert load_attribute("trainer", f"mimverify.zoo:{mutant.name}") is mutant.trainer
    assert set(mutant.causes) <= set(CAUSE_NAMES)
    if mutant.caught_by is not None:
        assert load_claims()[mutant.caught_by].needs == mutant.breaks


def test_every_file_with_mutants_names_its_category() -> None:
    """One that does not would be left out, whatever is in it."""
    for file in modules_of(zoo_package):
        records = records_in(file)
        categories = {record.category for record in records}
        assert categories == ({file.CATEGORY} if records else set()), file
    assert {mutant.trainer for mutant in ZOO} == {
        record.trainer for file in modules_of(zoo_package) for record in records_in(file)
    }


def test_a_mutant_has_the_category_of_its_module_or_its_own(user_module) -> None:
    head = "from mimverify.zoo import Correct, broken\n"
    body = "@broken({})\nclass Wrong(Correct):\n    '''It is wrong.'''\n"
    for given, constant, category in (("", "mine", "mine"), ("'its own'", "mine", "its own")):
        name = user_module(head + f"CATEGORY = {constant!r}\n" + body.format(given))
        (record,) = records_in(importlib.import_module(name))
        assert record.category == category
    for given, constant in (("", ""), ("", "' '"), ("", "3"), ("' '", "'mine'"), ("3", "'mine'")):
        declared = f"CATEGORY = {constant}\n" if constant else ""
        with pytest.raises(InputError, match="expected a few words"):
            importlib.import_module(user_module(head + declared + body.format(given)))


def test_justified_claims_exist() -> None:
    assert set(JUSTIFIED) <= set(load_claims())


def test_a_name_that_is_no_mutants_is_an_attribute_error() -> None:
    assert not hasattr(zoo_package, "NoSuchMutant")


def test_the_first_divergent_step_and_neuron_are_named() -> None:
    with Session(StopsAfterTwo, profile=UNHURRIED, claims=["trajectory"]) as session:
        verdict = session.verdict(load_claims()["trajectory"])
    assert verdict.status is Status.FAILED
    assert verdict.evidence.to_json()["first_divergence"]["tensor"] == "W_3"
    assert len(verdict.evidence.to_json()["first_divergence"]["index"]) == 2  # neuron, coordinate


@pytest.mark.parametrize(
    "mutant",
    [each for each in ZOO if each.category == "memory" and each.breaks == "first layer"],
    ids=lambda m: m.name,
)
def test_mutants_of_memory_are_right_where_arguments_are_private_and_contiguous(
    mutant: Mutant,
) -> None:
    """So that only claims about memory can catch them."""
    rng = np.random.default_rng(0)
    shapes = {"W0": (4, 3), "a": (4,), "b": (4,), "X": (20, 3), "y": (20,)}
    arrays = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    options = {"steps": 3, "eta": 0.5, "beta": 0.1, "activation": "tanh", "loss": "huber"}
    found = InProcessTrainer(mutant.trainer).call("trajectory", arrays, options)
    expected = InProcessTrainer(Correct).call("trajectory", arrays, options)
    assert found is not None
    assert expected is not None
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
