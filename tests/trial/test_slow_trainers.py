"""Slow and compiling trainers: what counts as a claim's time, and what is said where it ends.

The trainers here advance a clock of their own, so that nothing depends on the machine.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from mimverify import numpy_trainer
from mimverify.trial import (
    KINDS,
    ONE_STEP_KINDS,
    PROFILES,
    Event,
    Inconclusive,
    InProcessTrainer,
    Rounding,
    Session,
    Status,
    TrainerUnderTrial,
    choices,
    claim,
    exact_cases,
    load_claims,
)
from mimverify.trial.running import session as session_module
from mimverify.trial.running.out_of_time import Progress, out_of_time
from mimverify.trial.trainer import adapter, time_share
from mimverify.trial.trainer.call_times import CallTimes
from mimverify.trial.trainer.time_share import TimeShare, TimeSpent

QUICK = PROFILES["quick"]


class Clock:
    """Time that passes only in the trainers' calls."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (adapter, time_share, session_module):
        monkeypatch.setattr(module, "time", clock)
    return clock


def trainer_that_takes(clock: Clock, *, steady: float, compiling: float = 0.0) -> Any:
    """A correct trainer that compiles for each new shape, activation, loss, dtype and T."""
    programs = set()

    class Slow:
        activations = ("log-cosh", "quadratic", "relu")
        losses = ("squared", "huber")
        calls = 0

        def _called(self, *program: object) -> None:
            Slow.calls += 1
            clock.now += steady + (0.0 if program in programs else compiling)
            programs.add(program)

        def step(self, W, a, b, X, y, *, eta, beta, activation, loss):
            self._called("step", W.shape, X.shape, X.dtype, activation, loss)
            return numpy_trainer().step(
                W, a, b, X, y, eta=eta, beta=beta, activation=activation, loss=loss
            )

        def trajectory(self, W0, a, b, X, y, *, steps, eta, beta, activation, loss):
            self._called("trajectory", W0.shape, X.shape, X.dtype, activation, loss, steps)
            return numpy_trainer().trajectory(
                W0, a, b, X, y, steps=steps, eta=eta, beta=beta, activation=activation, loss=loss
            )

        def fit(self, X, y):
            self._called("fit", X.shape, X.dtype)
            self.fitted = X.shape

        def predict(self, X):
            self._called("predict", X.shape, X.dtype)
            return np.full(len(X), float(self.fitted[0]))

    return Slow


EXACT = ["gradient-step", "trajectory", "equivariance", "one-pass", "antisymmetry"]


def statuses(trainer: object, claims: list[str]) -> dict[str, Status]:
    with Session(trainer, claims=claims) as session:
        return {name: session.verdict(claim).status for name, claim in session.claims.items()}


def test_compiling_is_no_reason_to_be_inconclusive(clock: Clock) -> None:
    trainer = trainer_that_takes(clock, steady=0.001, compiling=0.6)
    began = clock.now
    assert set(statuses(trainer, EXACT).values()) == {Status.PASSED}
    assert clock.now - began > QUICK.seconds  # it would have been cut off


def test_a_trainer_that_is_as_slow_the_second_time_gains_nothing(clock: Clock) -> None:
    trainer = trainer_that_takes(clock, steady=0.5)
    began = clock.now
    found = statuses(trainer, EXACT)
    assert Status.INCONCLUSIVE in found.values()
    assert clock.now - began <= QUICK.seconds + 2.0  # and the calls that were under way


@pytest.mark.parametrize("compiling", [5.0, 60.0])
def test_however_long_it_compiles_a_trial_ends(clock: Clock, compiling: float) -> None:
    trainer = trainer_that_takes(clock, steady=0.001, compiling=compiling)
    began = clock.now
    found = statuses(trainer, EXACT)
    assert Status.INCONCLUSIVE in found.values()
    # Three times the profile's time, and one call for each claim.
    assert clock.now - began <= 3 * QUICK.seconds + len(EXACT) * (compiling + 1)


def test_quick_trainers_are_never_called_twice(clock: Clock) -> None:
    quick = trainer_that_takes(clock, steady=0.001)
    assert statuses(quick, ["gradient-step"]) == {"gradient-step": Status.PASSED}
    # 3 activations × 2 losses × 2 dtypes: 3 rows of pairs in each kind, twice 3 in some.
    assert quick.calls == 3 * sum(1 + kind.every_dtype for kind in KINDS.values())


def test_the_message_says_how_far_it_came_and_what_helps(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    trainer = trainer_that_takes(clock, steady=0.11)
    with Session(trainer) as session:
        verdict = session.verdict(load_claims()["one-pass"])
    assert verdict.status is Status.INCONCLUSIVE
    kinds = len(KINDS) - len(ONE_STEP_KINDS)
    found = re.fullmatch(
        rf"its share of the profile's time \((.*) s\) was spent after (.*) of {kinds} "
        r"configurations at (.*) s each; it needs about (.*) s: "
        r"try --claim one-pass \(alone it has 55 s\) or -n 2",
        verdict.message,
    )
    assert found, verdict.message
    share, done, each, needed = map(float, found.groups())
    # Three combinations of four calls each; nothing of it is compiling.
    assert each == pytest.approx(3 * 4 * 0.11, rel=0.2)
    assert done * each == pytest.approx(share, rel=0.2)
    assert needed == pytest.approx(kinds * each, rel=0.1)


def test_the_message_of_a_statistical_claim_counts_runs(clock: Clock) -> None:
    @claim(
        id="stub", statement="s", source="here", measures="m", needs="regression",
        decisions=Event("always"), cases=choices(("case",)),
    )  # fmt: skip
    def stub(trial, case):
        def fits(seed):
            trial.trainer.fit(np.ones((4, 2)), np.ones(4))
            return True

        trial.decide(fits)

    trainer = trainer_that_takes(clock, steady=7.0, compiling=30.0)
    with Session(trainer) as session:
        message = session.verdict(stub).message
    assert re.search(r"after \d of at least 12 runs at \d+ s each, .* s of it compiling", message)
    assert "--claim stub --profile deep (alone it has 3600 s)" in message


def test_compiling_is_told_from_work_by_one_more_call_of_each_size(clock: Clock) -> None:
    trainer = trainer_that_takes(clock, steady=0.02, compiling=1.0)
    under_trial = TrainerUnderTrial(InProcessTrainer(trainer))
    rng = np.random.default_rng(0)
    under_trial.begin(TimeShare(3.0, compiling=50.0))
    options = {"eta": 0.1, "beta": 0.1, "activation": "relu", "loss": "huber"}
    for n in (8, 9, 10, 11, 4000, 4001, 4002, 4003):
        X, y = rng.standard_normal((n, 3)), rng.standard_normal(n)
        under_trial.step(np.ones((2, 3)), np.ones(2), np.ones(2), X, y, **options)
    assert under_trial.compiling == pytest.approx(8.0, abs=0.1)
    assert trainer.calls == 8 + 2  # with few rows and with many, each when the share was spent


@pytest.mark.parametrize("compiling", [4.0, 5.0, 6.0, 7.0, 8.0, 12.0])
def test_operations_are_those_of_the_call_that_is_asked_about(
    clock: Clock, compiling: float
) -> None:
    """However soon the time ends, no call that is repeated comes between."""
    slow = trainer_that_takes(clock, steady=0.001, compiling=compiling)

    class Counting(slow):  # type: ignore[valid-type, misc]
        def trajectory(self, W0, a, b, X, y, **options):
            self.inner = numpy_trainer()
            self._called("trajectory", W0.shape, X.shape, X.dtype, options["steps"])
            return self.inner.trajectory(W0, a, b, X, y, **options)

        step = None  # counted by `trajectory` alone

        def operation_counts(self):
            return self.inner.operation_counts()

    found = statuses(Counting, ["arithmetic"])["arithmetic"]
    assert found in (Status.PASSED, Status.INCONCLUSIVE)


def test_what_a_trainer_remembers_is_not_disturbed(clock: Clock) -> None:
    """`predict` is never repeated: it may belong to a fit that is no longer there."""
    trainer = trainer_that_takes(clock, steady=0.001, compiling=20.0)
    under_trial = TrainerUnderTrial(InProcessTrainer(trainer))
    under_trial.begin(TimeShare(5.0, compiling=30.0))
    seen = []

    def run(n: int) -> None:
        under_trial.fresh(n)
        under_trial.fit(np.ones((n, 2)), np.ones(n))
        seen.append(under_trial.predict(np.ones((3, 2)))[0])

    run(4)
    with pytest.raises(TimeSpent):
        run(5)
    assert seen == [4.0]
    assert trainer.calls == 2  # 40 s, of which 30 s are the most that may be compiling


class TestCallTimes:
    """The estimate itself."""

    X = np.ones((10, 4))
    arrays = {"X": X, "a": np.ones(3)}  # noqa: RUF012

    def times(self, *seconds: float, **options: object) -> CallTimes:
        times = CallTimes()
        for each in seconds:
            times.observe("step", self.arrays, options, each)
        return times

    def test_it_is_the_excess_over_the_fastest_repetition(self) -> None:
        assert self.times(5.0, 0.5, 0.25, 0.5).compiling() == pytest.approx(4.75)

    def test_a_single_call_of_a_step_is_no_evidence(self) -> None:
        assert self.times(5.0).compiling() == 0

    def test_a_rate_is_no_part_of_a_program_but_a_name_is(self) -> None:
        times = self.times(5.0, eta=0.5, loss="l1")
        times.observe("step", self.arrays, {"eta": 0.25, "loss": "l1"}, 0.5)
        assert len(times) == 1
        assert times.compiling() == pytest.approx(4.5)
        times.observe("step", self.arrays, {"eta": 0.25, "loss": "huber"}, 3.5)
        assert len(times) == 2
        assert times.compiling() == pytest.approx(4.5 + 3.0)

    def test_a_larger_call_is_allowed_to_take_longer(self) -> None:
        times = self.times(5.0, 0.5)
        times.observe("step", self.arrays | {"X": np.ones((80, 4))}, {}, 7.0)
        assert times.compiling() == pytest.approx(4.5 + (7.0 - 8 * 0.5))
        assert times.compiling(since=1) == pytest.approx(3.0)

    def test_the_first_fit_counts_as_compiling_until_the_next(self) -> None:
        times = CallTimes()
        times.observe("fit", {"X": self.X}, {}, 4.0)
        assert times.compiling() == 4.0
        times.observe("fit", {"X": self.X}, {}, 3.0)
        assert times.compiling() == 1.0


def progress(
    *, done: float = 2.0, seconds: float = 10.0, compiling: float = 0.0, share: float = 10.0
) -> Progress:
    return Progress(done, 8, "configuration", "", seconds, compiling, share)


@pytest.mark.parametrize(
    ("changes", "more", "expected"),
    [
        ({}, 9, "try --claim x (alone it has 55 s)"),  # 40 s
        ({"seconds": 20.0}, 9, "try --claim x --profile deep (alone it has 3600 s)"),
        ({"seconds": 20.0}, 99, "try a profile with more seconds (mimverify.trial.Profile)"),
        ({"seconds": 20.0}, 3, "try --claim x --profile standard (alone it has 290 s)"),
        ({"seconds": 20.0, "compiling": 15.0}, 9, "try --claim x (alone it has 55 s)"),
        ({"seconds": 14.0, "share": 30.0}, 9, " or -n 2"),
        ({"done": 0.0}, 9, "before the first configuration was finished: try --claim x"),
    ],
)
def test_the_remedies_are_those_that_the_estimate_allows(
    changes, more, expected, monkeypatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)

    def larger(profile):
        return 1 if profile is QUICK else more

    assert expected in out_of_time("x", QUICK, progress(**changes), larger)


def test_the_whole_claim_is_undecided_not_failed(clock: Clock) -> None:
    @claim(
        id="stub", statement="s", source="here", measures="m", needs="first layer",
        decisions=Rounding("x"), cases=exact_cases(),
    )  # fmt: skip
    def stub(trial, case):
        clock.now += 1e4
        trial.check_time()

    with Session(numpy_trainer) as session:
        verdict = session.verdict(stub)
    assert verdict.status is Status.INCONCLUSIVE
    assert issubclass(TimeSpent, Inconclusive)
