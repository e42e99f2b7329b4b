"""What was tried, in the message of whatever did not pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mimverify import numpy_trainer
from mimverify.support.arrays import NumpyArray
from mimverify.trial import PROFILES, Session, Status, Verdict, load_claims
from mimverify.trial.running.tried import Tried

UNHURRIED = replace(PROFILES["quick"], seconds=1e6)


class Overflows:
    """In float32, on many rows."""

    activations = ("relu", "log-cosh")
    losses = ("squared", "huber")

    def trajectory(
        self,
        W0: NumpyArray,
        a: NumpyArray,
        b: NumpyArray,
        X: NumpyArray,
        y: NumpyArray,
        **options: Any,
    ) -> NumpyArray:
        path = np.array(numpy_trainer().trajectory(W0, a, b, X, y, **options))
        if len(X) > 1000 and W0.dtype == np.float32:
            path[-1, 0, 0] = np.inf
        return path


class Wrong(Overflows):
    def trajectory(self, *arrays: NumpyArray, **options: Any) -> NumpyArray:
        path = super().trajectory(*arrays, **options)
        return np.where(np.isfinite(path), path, 0)


class FailsToFit:
    def fit(self, X: NumpyArray, y: NumpyArray) -> None:
        raise ValueError("too many rows")

    def predict(self, X: NumpyArray) -> NumpyArray:
        return X[:, 0]


def verdict_of(source: object, claim: str) -> Verdict:
    with Session(source, profile=UNHURRIED, claims=[claim]) as session:
        return session.verdict(load_claims()[claim])


@pytest.mark.parametrize(("source", "status"), [(Overflows, "error"), (Wrong, "failed")])
def test_the_message_says_what_was_tried_and_what_passed_before(source: type, status: str) -> None:
    verdict = verdict_of(source, "trajectory")
    tried = verdict.evidence.tried
    assert verdict.status == status
    assert tried is not None
    assert verdict.message.endswith(f"; {tried}")
    assert tried.sizes is not None
    assert tried.sizes["n"] > 1000
    assert set(tried.sizes) == {"n", "d", "m", "T"}
    assert tried.combination[2] == "float32"
    assert tried.combination not in tried.passed  # its first steps alone have
    assert tried.passed
    assert f"case {tried.case}: n = {tried.sizes['n']}, d = " in verdict.message
    assert f"; {', '.join(tried.combination)}; passed before: " in verdict.message
    assert "/".join(tried.passed[0]) in verdict.message
    assert Verdict.from_json(verdict.to_json()).evidence.tried == tried


def test_methods_without_options_have_sizes_alone() -> None:
    verdict = verdict_of(FailsToFit, "test-error")
    assert verdict.evidence.tried is not None
    assert verdict.evidence.tried.method == "fit"
    assert set(verdict.evidence.tried.sizes or {}) == {"n", "d"}
    assert verdict.message.endswith("passed before: nothing")


def test_a_pass_says_nothing() -> None:
    verdict = verdict_of(numpy_trainer, "gradient-step")
    assert verdict.status is Status.PASSED
    assert verdict.message == ""
    assert verdict.evidence.tried is None


def test_long_lists_are_cut() -> None:
    passed = tuple(("relu", f"loss-{k}", "float64") for k in range(9))
    tried = Tried("tall", "step", {"n": 3}, ("relu", "l1", "float64"), passed, 12, ("small",) * 6)
    assert str(tried) == (
        "step() in case tall: n = 3; relu, l1, float64; passed before: 9 of 12 combinations "
        "(relu/loss-0/float64, relu/loss-1/float64, relu/loss-2/float64, relu/loss-3/float64 "
        "and 5 more) and the case small"
    )
    assert str(Tried("small")) == "case small; passed before: nothing"
