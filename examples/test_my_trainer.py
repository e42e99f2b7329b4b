"""A trainer's own test suite: each claim that applies is a test. Run `pytest` in this folder."""

from numpy_trainer import Trainer

from mimverify import parametrize_with_claims


@parametrize_with_claims(Trainer)
def test_claim(claim):
    claim()
