"""A trainer's own test suite, in which every claim is a test: run `pytest` in this folder."""

import mimverify


@mimverify.parametrize_with_claims("numpy_trainer:Trainer")
def test_theorem(claim):
    claim()
