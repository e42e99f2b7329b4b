"""A law of inputs: one file."""

from __future__ import annotations

import json


def test_data_are_drawn_by_it(extended) -> None:
    code = (
        "import mimverify; "
        "X = mimverify.MultiIndexModel('he2', 6, inputs='triangular', seed=0).sample(20000).X; "
        "print(abs(X).max(), X.mean(), X.var(), (X**4).mean())"
    )
    largest, mean, variance, fourth = map(float, extended("-c", code).stdout.split())
    assert 2 < largest <= 6**0.5
    # The error of each is below 0.01 with probability .99 and more, and the seed is fixed.
    assert abs(mean) < 0.02
    assert abs(variance - 1) < 0.02
    assert abs(fourth - 2.4) < 0.1


def test_a_run_is_trained_on_it_and_a_misspelt_one_is_near(extended) -> None:
    words = ("-m", "mimverify", "train", "he2", "--dim", "8", "--samples", "200", "--json", "-")
    record = json.loads(extended(*words, "--inputs", "triangular").stdout)
    assert record["configuration"]["inputs"] == "triangular"
    refused = extended(*words, "--inputs", "triangle", code=2)
    assert "did you mean 'triangular'?" in refused.stderr
