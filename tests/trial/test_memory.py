"""The claims about memory: who passes, what a failure says, and that it is the only one."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from mimverify.handles import InProcessTrainer
from mimverify.handles.memory_forms import MEMORY_FORMS
from mimverify.support.errors import TrainerError
from mimverify.trial import (
    PROFILES,
    ClaimFailed,
    DecisionEvidence,
    Ledger,
    MemoryUse,
    Session,
    Status,
    TrainerUnderTrial,
    Trial,
    Verdict,
    load_claims,
)
from mimverify.trial.running.capsule import load_capsule
from mimverify.trial.running.replay import Conclusion, replay
from mimverify.trial.trainer.calls import RecordedTrainer
from mimverify.zoo import Correct
from mimverify.zoo.memory import FillsInMemoryOrder, RefusesReadOnly, UpdatesInPlace

UNHURRIED = replace(PROFILES["quick"], seconds=1e6)
OF_STEPS = ("memory-layout", "arguments-unchanged")
OF_FITS = ("memory-layout-of-fit", "arguments-unchanged-by-fit")


def verdicts(trainer: object, claims: Sequence[str], **settings: Any) -> dict[str, Verdict]:
    with Session(trainer, profile=UNHURRIED, claims=claims, **settings) as session:
        return {name: session.verdict(claim) for name, claim in session.claims.items()}


class StepOnly:
    """One step at a time, in lists."""

    def step(self, W, a, b, X, y, **options):
        return Correct().trajectory(W, a, b, X, y, steps=1, **options)[-1].tolist()


class ContiguousCopies(Correct):
    """Brings its arguments to one layout before it computes."""

    def trajectory(self, *arrays, **options):
        return super().trajectory(*map(np.ascontiguousarray, arrays), **options)


class NearestNeighbour:
    """A regressor with nothing but `fit` and `predict`, which keeps the arrays that it is given."""

    def fit(self, X, y):
        self.X, self.y = X, y

    def predict(self, X):
        distances = ((X[:, None, :] - self.X) ** 2).sum(axis=2)
        return self.y[np.argmin(distances, axis=1)]


class ByChance(NearestNeighbour):
    """Another regressor each time, without a seed."""

    def fit(self, X, y):
        kept = np.random.default_rng().integers(len(y), size=len(y))
        super().fit(X[kept], y[kept])


@pytest.mark.parametrize("trainer", [StepOnly, ContiguousCopies, "numpy", "torch"])
@pytest.mark.parametrize("seed", [0, 1])
def test_correct_trainers_of_the_first_layer_pass(trainer: object, seed: int) -> None:
    found = verdicts(trainer, OF_STEPS, seed=seed)
    assert {each.status for each in found.values()} == {Status.PASSED}, found


@pytest.mark.parametrize("trainer", [NearestNeighbour, ByChance, ContiguousCopies, "torch"])
def test_regressors_pass(trainer: object) -> None:
    found = verdicts(trainer, OF_FITS)
    assert {each.status for each in found.values()} == {Status.PASSED}, found


@pytest.mark.parametrize(
    "name", ["linear_model:Ridge", "neighbors:KNeighborsRegressor", "tree:DecisionTreeRegressor"]
)
def test_regressors_of_scikit_learn_pass_and_refuse_no_form(name: str) -> None:
    module, _, attribute = name.partition(":")
    pytest.importorskip("sklearn", reason="scikit-learn is optional")
    regressor = getattr(importlib.import_module(f"sklearn.{module}"), attribute)
    found = verdicts(regressor, OF_FITS)
    assert {each.status for each in found.values()} == {Status.PASSED}, found
    assert "refuses" not in " ".join(each.evidence.summary for each in found.values())


def test_fits_by_chance_are_not_compared_but_predictions_are() -> None:
    evidence = verdicts(ByChance, ["memory-layout-of-fit"])["memory-layout-of-fit"].evidence
    (omission,) = evidence.omitted_decisions
    assert omission.decision == "predictions after fits in every form"
    assert "compared in law only" in omission.reason
    assert "predictions for rows in every form" in {each.decision for each in evidence.records}


# Torch warns of read-only memory, which it does not write to here.
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")
@pytest.mark.parametrize(
    "name",
    [
        "torch_sgd", "numpy_fortran",
        # Most of their time is the compiler's, once for each shape.
        pytest.param("jax_grad", marks=pytest.mark.slow),
        pytest.param("jax_jit", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_trainers_of_other_origin_pass(name: str) -> None:
    if name.startswith("jax"):
        pytest.importorskip("jax", reason="the trainers on JAX need jax: pip install jax")
    trainer = importlib.import_module(f"correct_trainers.{name}").Trainer
    found = verdicts(trainer, OF_STEPS + OF_FITS)
    assert {each.status for each in found.values()} == {Status.PASSED}, found


def test_a_trainer_that_changes_its_arguments_fails_no_claim_on_its_steps() -> None:
    found = verdicts(UpdatesInPlace, ["arguments-unchanged", "gradient-step", "trajectory"])
    assert found["gradient-step"].status is Status.PASSED
    assert found["trajectory"].status is Status.PASSED
    assert found["arguments-unchanged"].status is Status.FAILED
    assert "trajectory() changed its argument W0: [0, 0] was " in (
        found["arguments-unchanged"].message
    )


def test_a_refusal_of_read_only_arguments_says_what_to_do() -> None:
    found = verdicts(RefusesReadOnly, ["memory-layout", "arguments-unchanged"])
    assert found["arguments-unchanged"].status is Status.PASSED
    failure = found["memory-layout"]
    assert failure.status is Status.FAILED
    assert "fails with read-only arguments" in failure.message
    assert "buffer source array is read-only" in failure.message
    assert "np.array(…) makes a copy" in failure.message
    record = failure.evidence.decisive
    assert record is not None
    assert record.kind == MemoryUse.kind
    assert DecisionEvidence.from_json(record.to_json()) == record


class RefusesAll:
    def step(self, *arrays, **options):
        raise ValueError("no licence")


@pytest.mark.parametrize("claim", OF_STEPS)
def test_a_trainer_that_cannot_be_called_is_no_failure_of_these(claim: str) -> None:
    found = verdicts(RefusesAll, [claim])[claim]
    assert found.status is Status.ERROR
    assert "no licence" in found.message


@pytest.mark.parametrize("trainer", ["mimverify.zoo:FillsInMemoryOrder", FillsInMemoryOrder])
def test_a_failure_names_the_form_and_its_capsule_replays_it(
    trainer: object, tmp_path: Path
) -> None:
    found = verdicts(trainer, ["memory-layout"], capsules=tmp_path)["memory-layout"]
    assert found.status is Status.FAILED
    assert "memory=Fortran" in found.message
    assert found.capsule is not None
    capsule, _ = load_capsule(found.capsule)
    assert [call["form"] for call in capsule.calls] == ["Fortran"]
    again = replay(capsule, trainer)
    assert again.conclusion is Conclusion.SAME
    assert not again.differences


class RecordsForms(Correct):
    orders: list[bool] = []  # noqa: RUF012

    def trajectory(self, W0, *arrays, **options):
        self.orders.append(W0.flags.c_contiguous)
        return super().trajectory(W0, *arrays, **options)


def test_a_call_that_is_repeated_has_the_form_that_it_had() -> None:
    record = RecordedTrainer(InProcessTrainer(RecordsForms))
    trainer = TrainerUnderTrial(record)
    rng = np.random.default_rng(0)
    shapes = ((4, 3), (4,), (4,), (20, 3), (20,))
    given = [rng.standard_normal(shape) for shape in shapes]
    options: dict[str, Any] = {
        "steps": 1,
        "eta": 1.0,
        "beta": 0.0,
        "activation": "tanh",
        "loss": "huber",
    }
    RecordsForms.orders.clear()
    with trainer.memory("Fortran"):
        trainer.trajectory(*given, **options)
    trainer.trajectory(*given, **options)
    assert [call.form for call in record.calls] == ["Fortran", "C"]
    record.again(record.calls, fresh=True)
    assert RecordsForms.orders == [False, True, False, True]


# -- the decision --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", MEMORY_FORMS)
@pytest.mark.parametrize("kind", ["raised", "dtype", "shape", "non-finite", "timeout", "died"])
def test_which_errors_are_failures(form: str, kind: str) -> None:
    """Not those of plain memory, nor those that may have another reason."""
    state = MemoryUse("taken").open()
    if kind == "raised" and MEMORY_FORMS[form].refusable:
        with state.accepted(form, "step()") as taken:
            raise TrainerError(kind, "it did not work")
        assert taken.refused
        record = state.evidence()
        assert record is not None
        assert not record.failed
        assert record.summary == f"1 call; step() refuses {form} arguments"
        return
    failure = form != "C" and kind not in ("timeout", "died")
    error = ClaimFailed if failure else TrainerError
    with pytest.raises(error) as caught, state.accepted(form, "step()"):
        raise TrainerError(kind, "it did not work")
    assert "it did not work" in str(caught.value)
    assert state.refuted is failure
    if failure:
        assert MEMORY_FORMS[form].text in str(caught.value)
        assert MEMORY_FORMS[form].remedy in str(caught.value)


def test_no_change_is_a_comparison_that_passes() -> None:
    state = MemoryUse("unchanged").open()
    assert state.evidence() is None
    state.unchanged((), "C")
    with state.accepted("C", "step()"):
        pass
    record = state.evidence()
    assert record is not None
    assert (record.comparisons, record.failed, record.summary) == (2, False, "2 calls")
    with pytest.raises(ClaimFailed, match="changed W, and 1 more, given strided arguments"):
        state.unchanged(("step() changed W", "step() changed b"), "strided")
    record = state.evidence()
    assert record is not None
    assert record.failed
    assert "changed W" in record.summary


class Recording(Correct):
    """Both methods, and which of them was called how often."""

    called: ClassVar[list[str]] = []

    def step(self, W, a, b, X, y, **options):
        self.called.append("step")
        return super().trajectory(W, a, b, X, y, steps=1, **options)[-1]

    def trajectory(self, *arrays, **options):
        self.called.append("trajectory")
        return super().trajectory(*arrays, **options)


@pytest.mark.parametrize("claim", [*OF_STEPS, "independent-steps"])
def test_a_claim_calls_both_methods_of_a_trainer_that_offers_them(claim: str) -> None:
    Recording.called.clear()
    claims = load_claims()
    trainer = TrainerUnderTrial(InProcessTrainer(Recording))
    ledger = Ledger.split(claims.values(), UNHURRIED)
    Trial(claims[claim], trainer, profile=UNHURRIED, ledger=ledger).run()
    step, trajectory = (Recording.called.count(name) for name in ("step", "trajectory"))
    forms = len(MEMORY_FORMS) if claim in OF_STEPS else 1
    assert min(step, trajectory) >= 4 * forms  # four kinds of configuration
