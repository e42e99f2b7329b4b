"""Counted operations: the design that counts, the trainers' own counts, the claim on them."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mimverify import InputError, LayerwiseTrainer, numpy_trainer
from mimverify.backends import REQUIRED_BACKENDS, NumpyBackend, base, get_backend
from mimverify.designs import (
    CountedDesign,
    IterableRows,
    OperationCounts,
    StoredDesign,
    StreamedDesign,
)
from mimverify.handles.calling import call
from mimverify.handles.isolated import SpawnedTrainer
from mimverify.handles.methods import OPERATION_COUNTS
from mimverify.support.errors import TrainerError
from mimverify.trial import (
    PROFILES,
    InProcessTrainer,
    Session,
    Status,
    TrainerUnderTrial,
    load_claims,
)
from mimverify.trial.reference.oracle import Options
from mimverify.zoo.arithmetic import (
    Counting,
    CountsHalf,
    FormsTheCovariance,
    PassesPerNeuron,
    StartsOver,
)
from mimverify.zoo.update_rule import WrongSign

N, D, M = 30, 5, 4
OPTIONS: Options = {"eta": 0.1, "beta": 0.2, "activation": "log-cosh", "loss": "squared"}


def problem(*, symmetric=False):
    """W, a, b, X, y."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((N, D)), rng.standard_normal(N)
    W, a, b = rng.standard_normal((M, D)), rng.standard_normal(M), rng.standard_normal(M)
    if symmetric:
        half = M // 2
        W[half:], a[half:], b[:] = W[:half], -a[:half], 0
    return W, a, b, X, y


def counts(multiply_adds, design_passes):
    return {"multiply_adds": multiply_adds, "design_passes": design_passes}


# -- the design that counts -------------------------------------------------------------------


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(base, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(base, "_MIN_ROWS", 8)


def squares(P, rows):
    return (P * P)[:, :2]


@pytest.mark.usefixtures("small_blocks")
def test_counting_changes_no_bit_and_counts_every_row(library, dtype):
    X, V = (problem()[k].astype(dtype) for k in (3, 0))
    backend = get_backend(library, dtype)
    plain, directions = StoredDesign(X, backend), backend.asarray(V[:3])
    counted = CountedDesign(plain)
    assert (counted.n_samples, counted.dim, counted.backend) == (N, D, backend)

    def same(first, second):
        np.testing.assert_array_equal(backend.to_numpy(first), backend.to_numpy(second))

    same(counted.one_pass(directions, squares), plain.one_pass(directions, squares))
    assert counted.counts.to_json() == counts(N * D * (3 + 2), 1)
    same(counted.project(directions), plain.project(directions))
    assert counted.counts.to_json() == counts(N * D * (3 + 2 + 3), 2)
    blocks = list(counted.projections(directions))
    assert len(blocks) == 4
    same(blocks[3][1], list(plain.projections(directions))[3][1])
    assert counted.counts.to_json() == counts(N * D * (3 + 2 + 3 + 3), 3)
    np.testing.assert_array_equal(counted.reduce(X[0].astype(np.float64)), X[0])


@pytest.mark.usefixtures("small_blocks")
def test_an_interrupted_pass_is_a_pass_but_counts_only_its_rows():
    W, _, _, X, _ = problem()
    source = IterableRows([X], n_rows=N, dim=D)
    counted = CountedDesign(StreamedDesign(source, NumpyBackend("float64")))
    passing = counted.projections(W)
    assert counted.counts == OperationCounts()  # nothing was read yet
    rows, _ = next(iter(passing))
    del passing
    assert counted.counts.to_json() == counts(rows.stop * M * D, 1)


def test_two_designs_may_share_their_counts():
    W, _, _, X, _ = problem()
    total = OperationCounts()
    for rows in (slice(10), slice(10, N)):
        CountedDesign(StoredDesign(X[rows], NumpyBackend("float64")), total).project(W)
    assert total == OperationCounts(N * M * D, 2)


# -- the reference trainers' counts --------------------------------------------------------------


@pytest.mark.parametrize("backend", REQUIRED_BACKENDS)
@pytest.mark.parametrize(("symmetric", "neurons"), [(False, M), (True, M // 2)])
def test_a_step_costs_two_products_and_one_pass(backend, symmetric, neurons):
    """With a symmetric start half of the neurons go through."""
    W, a, b, X, y = problem(symmetric=symmetric)
    trainer, options = LayerwiseTrainer(backend=backend), OPTIONS | {"beta": 1 / OPTIONS["eta"]}
    trainer.trajectory(W, a, b, X, y, steps=3, **options)
    assert trainer.operation_counts() == counts(3 * 2 * N * neurons * D, 3)
    trainer.step(W, a, b, X, y, **options)
    assert trainer.operation_counts() == counts(2 * N * neurons * D, 1)
    trainer.trajectory(W, a, b, X, y, steps=0, **options)
    assert trainer.operation_counts() == counts(0, 0)


@pytest.mark.parametrize("dim", [10, 40])
def test_a_fit_costs_its_steps_and_a_projection(dim):
    """Stage 1: mirrored pairs on half of the rows. Stage 2: features of the other half."""
    n, m, steps = 4 * dim, 8, 3
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2 * n, dim))
    trainer = LayerwiseTrainer(neurons=m, steps=steps, readout_neurons=16)
    for _ in range(2):
        trainer.fit(X, X[:, 0] ** 2)
        first, second = 2 * n * (m // 2) * dim * steps, n * m * dim
        assert trainer.operation_counts() == counts(first + second, steps + 1)


def test_passes_for_a_linear_part_are_counted():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 4))
    y = X[:, 0] ** 2 + X[:, 1]
    without, removing = (
        LayerwiseTrainer(
            neurons=8, steps=1, readout_neurons=16, loss="squared", remove_linear_part=flag
        ).fit(X, y)
        for flag in (False, True)
    )
    assert (
        removing.operation_counts()["design_passes"]
        > without.operation_counts()["design_passes"] + 4
    )


def test_counts_before_any_training_are_refused():
    with pytest.raises(InputError, match="nothing was trained yet"):
        numpy_trainer().operation_counts()


# -- the interface ---------------------------------------------------------------------------------


def test_counts_come_through_both_handles():
    W, a, b, X, y = problem()
    with (
        InProcessTrainer(numpy_trainer) as here,
        SpawnedTrainer("mimverify:numpy_trainer", time_limit=60, threads=1) as there,
    ):
        for handle in (here, there):
            trainer = TrainerUnderTrial(handle)
            assert "operation counts" in trainer.capabilities
            found = trainer.counted_trajectory(W, a, b, X, y, steps=3, **OPTIONS)
            assert found == counts(3 * 2 * N * M * D, 3)


def test_steps_are_added_up_where_there_is_nothing_else():
    reference = numpy_trainer()
    bare = SimpleNamespace(step=reference.step, operation_counts=reference.operation_counts)
    with InProcessTrainer(lambda: bare) as handle:
        found = TrainerUnderTrial(handle).counted_trajectory(*problem(), steps=3, **OPTIONS)
    assert found == counts(3 * 2 * N * M * D, 3)


def test_counts_without_a_first_layer_are_no_capability():
    only = SimpleNamespace(predict=lambda X: X[:, 0], operation_counts=dict)
    assert TrainerUnderTrial(InProcessTrainer(lambda: only)).capabilities == frozenset()


@pytest.mark.parametrize("count", [np.int32(7), np.array(7), 7])
def test_whatever_is_an_integer_is_a_count(count):
    trainer = SimpleNamespace(operation_counts=lambda: counts(count, 2**63 - 1) | {"more": "ok"})
    result = call(trainer, "operation_counts", {}, {})
    assert result is not None
    assert result.dtype == np.int64
    assert dict(zip(OPERATION_COUNTS, result.tolist(), strict=True)) == counts(7, 2**63 - 1)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (counts(-3, 1), "multiply_adds=-3, expected 0 <= integer"),
        (counts(3, float("nan")), "design_passes=nan, expected 0 <= integer"),
        (counts(3.0, 1), "multiply_adds=3.0, expected 0 <= integer"),
        (counts(3, True), "design_passes=True, expected 0 <= integer"),
        (counts(2**63, 1), "multiply_adds=9223372036854775808, expected 0 <= integer"),
        (counts("many", 1), "multiply_adds='many', expected 0 <= integer"),
        (counts(np.arange(100.0).reshape(10, 10), 1), "multiply_adds=array([["),
        ({"multiply_adds": 3}, "{'multiply_adds': 3}, expected a dictionary with multiply_adds"),
        (None, "returned None, expected a dictionary"),
        ([3, 1], "returned [3, 1], expected a dictionary"),
    ],
)
def test_what_are_no_counts_is_the_trainers_error(value, words):
    trainer = SimpleNamespace(operation_counts=lambda: value)
    with pytest.raises(TrainerError) as caught:
        call(trainer, "operation_counts", {}, {})
    assert caught.value.kind == "dtype"
    message = str(caught.value)
    assert message.startswith("operation_counts() returned ")
    assert words in message
    assert "\n" not in message


def test_counting_that_raises_is_the_trainers_error():
    with pytest.raises(TrainerError, match="operation_counts\\(\\) raised InputError") as caught:
        call(numpy_trainer(), "operation_counts", {}, {})
    assert caught.value.kind == "raised"


# -- the claim -------------------------------------------------------------------------------------


UNHURRIED = replace(PROFILES["quick"], seconds=1e6)


def verdict_of(trainer, *, seed=0):
    with Session(trainer, profile=UNHURRIED, seed=seed, claims=["arithmetic"]) as session:
        return session.verdict(load_claims()["arithmetic"])


@pytest.mark.parametrize("trainer", [numpy_trainer, Counting])
def test_honest_trainers_pass(trainer):
    verdict = verdict_of(trainer)
    assert verdict.status is Status.PASSED, verdict
    assert verdict.statistic == 0  # these counts are monomials
    (record,) = verdict.evidence.records
    assert record.to_json()["counts"] == {
        "multiply_adds_over_2nmdT": 1,
        "passes_per_step": 2 if trainer is Counting else 1,
    }


@pytest.mark.parametrize(
    ("trainer", "words"),
    [
        (FormsTheCovariance, "multiply_adds grows from .* with twice the d and n"),
        (PassesPerNeuron, "design_passes grows from .* with twice the m, exponent 1: expected 0"),
        (StartsOver, "multiply_adds grows from .* with twice the T"),
        (CountsHalf, "multiply_adds=.* or more, without which no step can be taken"),
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_faults_are_named(trainer, words, seed):
    verdict = verdict_of(trainer, seed=seed)
    assert verdict.status is Status.FAILED, verdict
    assert re.search(words, verdict.message), verdict.message


class CubicOnce(Counting):
    """Adds d³ once, for any n: an eigendecomposition."""

    def descend_counted(self, W, task, steps):
        self.count(task.X.shape[1] ** 3)
        return super().descend_counted(W, task, steps)


class LowerOrders(Counting):
    """Counts lower orders too: twenty operations for every activation, and the update."""

    def descend_counted(self, W, task, steps):
        self.count(steps * (20 * len(task.y) * len(W) + 3 * W.size), passes=1)
        return super().descend_counted(W, task, steps)


@pytest.mark.parametrize("seed", range(4))
def test_a_cubic_term_shows_and_lower_orders_do_not_matter(seed):
    assert verdict_of(CubicOnce, seed=seed).status is Status.FAILED
    assert verdict_of(LowerOrders, seed=seed).status is Status.PASSED


@pytest.mark.parametrize("trainer", [Counting, FormsTheCovariance, PassesPerNeuron, StartsOver])
def test_only_the_cost_is_wrong(trainer):
    with Session(trainer, profile=UNHURRIED, claims=["trajectory"]) as session:
        verdicts = [session.verdict(claim) for claim in session.claims.values()]
    assert {verdict.status for verdict in verdicts} == {Status.PASSED}, verdicts


def test_a_trainer_without_counts_is_not_applicable():
    verdict = verdict_of(WrongSign)
    assert verdict.status is Status.NOT_APPLICABLE
    assert "operation_counts()" in verdict.message
