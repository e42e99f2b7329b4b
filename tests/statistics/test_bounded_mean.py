"""The sequential test of a bounded mean: its errors of both kinds, its power, its bounds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from mimverify.statistics import SequentialBinomial, SequentialMean
from mimverify.support.errors import InputError

#: Draws the next number, given those before; each has conditional mean 0.3 exactly.
Draw = Callable[[np.random.Generator, list[float]], float]


def doubles_after_losses(rng: np.random.Generator, before: list[float]) -> float:
    """Whoever chases a crossing: rare and large while below 0.3 on average, else nearly sure."""
    if not before or np.mean(before) < 0.3:
        return float(rng.random() < 0.3)
    return 0.3 + 0.01 * float(rng.choice([-1, 1]))


LAWS: dict[str, Draw] = {
    "coin": lambda rng, before: float(rng.random() < 0.3),
    "beta": lambda rng, before: float(rng.beta(0.6, 1.4)),
    "uniform": lambda rng, before: float(0.6 * rng.random()),
    "two values": lambda rng, before: float(0.3 / 0.7 * (rng.random() < 0.7)),
    "constant": lambda rng, before: 0.3,
    "adversary": doubles_after_losses,
}


def test_the_laws_have_the_mean_that_is_claimed() -> None:
    for name, draw in LAWS.items():
        rng, before = np.random.default_rng(5), list[float]()
        for _ in range(20_000):
            before.append(draw(rng, before[-50:]))
        assert np.mean(before) == pytest.approx(0.3, abs=0.02), name


def crossings(draw: Draw, mirrored: bool, sequences: int, runs: int) -> list[float]:
    """The largest log e-value of each sequence, against the side that the mean just keeps."""
    found = []
    for seed in range(sequences):
        rng, before, largest = np.random.default_rng(seed), list[float](), -math.inf
        test = SequentialMean(
            0.4 if mirrored else 0.3, 0.3, alpha=1e-30, beta=1e-30
        )  # never decides, so that all levels are read off one sequence
        for _ in range(runs):
            x = draw(rng, before)
            before.append(x)
            test.observe(1 - x if mirrored else x)
            log_e = test.log_e_value_below if mirrored else test.log_e_value
            largest = max(largest, log_e)
        found.append(largest)
    return found


@pytest.mark.parametrize("mirrored", [False, True], ids=["false alarms", "false passes"])
@pytest.mark.parametrize("law", LAWS)
def test_the_level_is_kept_at_the_boundary(law: str, mirrored: bool) -> None:
    """At any time within 100 numbers: 400 sequences, at 0.1 and 0.01, on both sides.

    The number of crossings is at most binomial; a right test fails here with probability 1e-6.
    """
    sequences = 400
    largest = crossings(LAWS[law], mirrored, sequences, 100)
    for level in (0.1, 0.01):
        alarms = sum(log_e >= -math.log(level) for log_e in largest)
        assert binom.sf(alarms - 1, sequences, level) > 1e-6, (level, alarms)


def test_the_level_is_nearly_used_up_by_coins() -> None:
    """The calibration above has power: coins reach the level within a factor of five."""
    largest = crossings(LAWS["coin"], False, 1000, 150)
    alarms = sum(log_e >= -math.log(0.1) for log_e in largest)
    assert alarms >= 1000 * 0.1 / 5


def test_the_e_value_is_a_martingale_exactly() -> None:
    """Its mean over both outcomes of a coin at the bound is the present value."""
    past = list(np.random.default_rng(3).random(20))

    def values(bound: float, last: float | None) -> tuple[float, float]:
        test = SequentialMean(bound, 0.25, alpha=1e-30)
        for x in [*past, *([] if last is None else [last])]:
            test.observe(x)
        return math.exp(test.log_e_value), math.exp(test.log_e_value_below)

    for bound in (0.1, 0.5):
        (above, below), (won, lost), (zero, gain) = (values(bound, x) for x in (None, 1.0, 0.0))
        assert bound * won + (1 - bound) * zero == pytest.approx(above, rel=1e-12)
        other = bound + 0.25
        assert other * lost + (1 - other) * gain == pytest.approx(below, rel=1e-12)


@pytest.mark.parametrize(("bound", "gap"), [(0.05, 0.2), (0.2, 0.2), (0.5, 0.3)])
def test_detectable_is_what_coins_of_that_mean_show(bound: float, gap: float) -> None:
    runs, sequences = 100, 1000
    test = SequentialMean(bound, gap, alpha=1e-4, beta=1e-3)
    detectable = test.detectable(runs=runs)
    assert detectable is not None
    for mean, least, most in ((detectable, 0.93, 0.97), (1.0, 1.0, 1.0)):
        failed = 0
        for seed in range(sequences):
            rng = np.random.default_rng([7, seed])
            one = SequentialMean(bound, gap, alpha=1e-4, beta=1e-3)
            while one.decision is None and one.runs < runs:
                one.observe(float(rng.random() < mean))
            failed += one.decision == "high"
        # Three standard deviations of a share of 0.95: 0.02.
        assert least <= failed / sequences <= most


def test_fewest_is_the_number_of_zeros_that_passes() -> None:
    for bound, gap in ((0.05, 0.2), (0.2, 0.5), (0.5, 0.3)):
        test = SequentialMean(bound, gap, alpha=1e-6, beta=1e-3)
        while test.observe(0.0) is None:
            pass
        assert test.decision == "low"
        assert test.runs == SequentialMean(bound, gap, alpha=1e-6, beta=1e-3).fewest


@pytest.mark.parametrize("shift", [1.5, 1.75, 2.0])
def test_a_shift_that_events_miss_is_found_on_the_same_runs(shift: float) -> None:
    """Of normal numbers, shifted by some deviations: their squares, against "|mean of four| ≤
    1.75" (3.5 deviations of such a mean), each within 400 runs at a level of 2e-8.

    The event has P = 0.69 at 1.5 deviations and P = 1/2 at 1.75: it fails seldom, or late.
    """
    runs, level = 400, 2e-8
    by_mean, by_event = [], []
    for seed in range(60):
        z = shift + np.random.default_rng([11, seed]).standard_normal(runs)
        test = SequentialMean(1.5 / 9, 2 / 9, alpha=level, beta=1e-3)
        event = SequentialBinomial(0.5, 0.9, alpha=level, beta=1e-3)
        used = [runs + 1, runs + 1]
        for k, x in enumerate(np.minimum(z**2, 9) / 9):
            if test.observe(float(x)) == "high":
                used[0] = k + 1
                break
        for k, x in enumerate(np.abs(z.reshape(-1, 4).mean(axis=1)) <= 1.75):
            if event.observe(bool(x)) == "low":
                used[1] = 4 * (k + 1)
                break
        by_mean.append(used[0])
        by_event.append(used[1])
    assert np.mean(np.array(by_mean) <= runs) >= np.mean(np.array(by_event) <= runs)
    assert np.median(by_mean) < np.median(by_event) / 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bound": 0.0, "gap": 0.1}, "bound=0.0"),
        ({"bound": 0.5, "gap": 0.5}, "gap=0.5"),
        ({"bound": 0.5, "gap": 0.0}, "gap=0.0"),
        ({"bound": math.nan, "gap": 0.1}, "bound=nan"),
        ({"bound": 0.5, "gap": 0.1, "alpha": 1.0}, "alpha=1.0"),
        ({"bound": 0.5, "gap": 0.1, "beta": 0.0}, "beta=0.0"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SequentialMean(**{"alpha": 0.1, **settings})


@pytest.mark.parametrize("x", [math.nan, -1e-9, 1.1, math.inf])
def test_numbers_outside_the_range_are_refused(x: float) -> None:
    with pytest.raises(InputError, match="x="):
        SequentialMean(0.2, 0.2, alpha=0.1).observe(x)


@pytest.mark.parametrize("options", [{"runs": 0}, {"runs": 5, "power": 1.0}])
def test_detectable_needs_a_power_and_runs(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        SequentialMean(0.2, 0.2, alpha=0.1).detectable(**options)  # type: ignore[arg-type]
