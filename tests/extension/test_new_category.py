"""A category of mutants, with a wrong rule that describes one: a file of each."""

from __future__ import annotations

import json

CATEGORY, MUTANT = "compressed gradients", "RankOneGradients"
CAUSE = "gradient replaced by the nearest one of rank 1"


def test_its_mutant_is_caught_and_its_cause_named(extended) -> None:
    found = extended(
        "-m", "mimverify", "check", f"mimverify.zoo:{MUTANT}", "--claim", "gradient-step",
        "--json", "-", code=1,
    )  # fmt: skip
    (trainer,) = json.loads(found.stdout)["trainers"]
    (verdict,) = trainer["claims"]
    assert verdict["status"] == "failed"
    assert f"behaves like: {CAUSE};" in verdict["message"]


def test_power_knows_the_category(extended) -> None:
    helped = " ".join(extended("-m", "mimverify", "power", "--help").stdout.split())
    # Among the others, in alphabetical order.
    assert f"backend-specific, {CATEGORY}, fit, " in helped
    refused = extended(
        "-m", "mimverify", "power", "--category", CATEGORY, "--mutant", "Momentum", code=2
    )
    assert f"--mutant Momentum: none is of the category {CATEGORY}" in refused.stderr


def test_the_zoo_has_it_in_its_place(extended) -> None:
    code = "from mimverify.zoo import zoo; print(json.dumps([m.to_json() for m in zoo()]))"
    records = json.loads(extended("-c", f"import json; {code}").stdout)
    categories = [record["category"] for record in records]
    assert categories == sorted(categories)
    (record,) = (record for record in records if record["category"] == CATEGORY)
    assert record["trainer"] == f"mimverify.zoo.compressed_gradients:{MUTANT}"
    assert record["causes"] == [CAUSE]
