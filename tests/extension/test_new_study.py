"""A named study and a kind of trials: one file each."""

from __future__ import annotations

import json


def test_it_is_found_run_and_compared(extended) -> None:
    run = ("-m", "mimverify", "study", "mean-labels", "--store", "store.sqlite")
    record = json.loads(extended(*run, "-n", "1", "-q", "--json", "-").stdout)
    assert record["title"] == "Mean labels"
    (compared,) = record["comparisons"]
    assert compared["runs"] == 8
    assert compared["prediction"] == 0
