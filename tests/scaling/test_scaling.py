"""Tests of `mimverify.scaling`: the measured scaling law and its intervals."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binom

import mimverify.support.memory
from mimverify.cli.verbs.scaling import scaling
from mimverify.network import get_loss
from mimverify.problems import get_link, haar_subspace
from mimverify.scaling import (
    HalfPoint,
    balanced_start,
    find_n_half,
    half_bytes,
    measure_scaling,
    measured_log_odds,
)
from mimverify.scaling import scaling_law as law_module
from mimverify.scaling.figure import draw_scaling
from mimverify.scaling.search import Measurement
from mimverify.support.errors import InputError
from mimverify.theory import label_law, label_measure, n_half


def noisy(root: float, slope: float, scatter: float, seed: int) -> Measurement:
    """Log-odds that vanish at `root`, with a curvature, and scatter between data sets."""

    def measure(samples: int, index: int) -> float:
        x = math.log(samples / root)
        rng = np.random.default_rng([seed, index])
        return slope * x - 0.05 * x**2 + scatter * rng.standard_normal()

    return measure


# -- the start ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("rank", "repeats"), [(1, 1), (1, 3), (3, 2)])
def test_a_balanced_start_has_its_expected_share_in_the_subspace(rank: int, repeats: int) -> None:
    d = 40
    rng = np.random.default_rng(2)
    U = haar_subspace(rank, d, rng)
    network = balanced_start(U, rng, repeats=repeats)
    W, half = network.W, len(network.W) // 2
    assert len(W) == 4 * rank * repeats
    np.testing.assert_array_equal(W[:half], W[half:])
    np.testing.assert_array_equal(network.a[:half], -network.a[half:])
    np.testing.assert_allclose(np.linalg.norm(W, axis=1), 1e-2, rtol=1e-12)
    moments = W.T @ W
    variance = (W**2).sum() / d
    np.testing.assert_allclose(U @ moments @ U.T, variance * np.eye(rank), atol=1e-15)
    outside = np.eye(d) - U.T @ U
    np.testing.assert_allclose(U @ moments @ outside, 0, atol=1e-15)


def test_a_balanced_start_needs_a_complement() -> None:
    with pytest.raises(InputError, match="fewer rows than columns"):
        balanced_start(np.eye(3), np.random.default_rng(0))


# -- the search --------------------------------------------------------------------------------


@pytest.mark.parametrize("guess", [3.0, 900.0, 1e6])
def test_the_search_finds_a_root_from_anywhere(guess: float) -> None:
    found = find_n_half(noisy(1000.0, 2.0, 1e-6, 0), guess, precision=1e-3)
    assert found is not None
    assert abs(found.log_samples - math.log(1000)) < 2e-3  # sizes are whole numbers
    assert found.slope == pytest.approx(2.0, rel=0.02)


def test_its_intervals_cover() -> None:
    """95 % intervals miss in 5 % of the searches: more than 41 in 400 have P < 1e-5."""
    searches, missed = 400, 0
    for seed in range(searches):
        found = find_n_half(noisy(1e4, 2.0, 0.15, seed), 2e4, precision=0.01)
        assert found is not None
        low, high = found.interval()
        missed += not low <= 1e4 <= high
    assert binom.sf(41, searches, 0.05) < 1e-5
    assert missed <= 41


def test_it_reaches_the_wanted_precision() -> None:
    """In stages: the pilot's estimate of eight runs is corrected by later runs."""
    errors = []
    for seed in range(40):
        found = find_n_half(noisy(1e5, 2.0, 0.2, seed), 1e5, precision=0.01, most_runs=10_000)
        assert found is not None
        errors.append(found.log_error)
    assert 0.008 < float(np.mean(errors)) < 0.012
    few = find_n_half(noisy(1e5, 2.0, 0.2, 0), 1e5, precision=1e-6, most_runs=20)
    assert few is not None
    assert few.runs == 20


def test_it_gives_up_where_n_does_not_fit() -> None:
    assert find_n_half(noisy(1e6, 2.0, 0.1, 1), 1e4, highest=1e5) is None


def test_it_gives_up_without_a_slope() -> None:
    found = find_n_half(noisy(1e4, 0.0, 0.1, 1), 1e4, highest=1e5)
    assert found is None or found.log_error > 0.05


# -- measurements beside theory ----------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_the_measured_alignment_is_that_of_theory(backend: str) -> None:
    """At D1's n_half the mean log-odds of 12 runs vanish to their scatter and O(1/d)."""
    link, loss, d, steps = get_link("cos2z"), get_loss("huber"), 400, 2
    n = n_half(label_measure(label_law(link, loss)), d, steps)
    assert n is not None
    values = [
        measured_log_odds(
            link, loss, dim=d, samples=round(n), steps=steps, repeats=4, backend=backend, seed=seed
        )
        for seed in range(12)
    ]
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    # Finite-size terms are of order d/n + 1/d in the log-odds: .03 covers ten times that.
    assert abs(float(np.mean(values))) < 5 * error + 0.03
    assert error < 0.1


def test_a_small_law_from_end_to_end(tmp_path: Path) -> None:
    seen: list[str] = []
    law = measure_scaling(
        "cos2z", "huber", dims=(300, 60), steps=(2,), precision=0.02, most_runs=40,
        on_progress=lambda t, d, line: seen.append(f"{t} {d} {line}"),
    )  # fmt: skip
    (exponent,) = law.exponents
    assert exponent.dims == (60, 300)
    assert exponent.limit == 1.5
    assert exponent.low < exponent.measured < exponent.high
    # d = 60 is small for D1; a wrong exponent (2, or 4/3) is .15 away and more.
    assert exponent.predicted is not None
    assert abs(exponent.measured - exponent.predicted) < 0.08
    assert len(seen) > 16
    record = json.loads(json.dumps(law.to_json(), allow_nan=False))
    assert [point["dim"] for point in record["points"]] == [60, 300]
    for file_format, head in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        assert draw_scaling(law, file_format).startswith(head)


def test_a_law_says_where_memory_ends() -> None:
    law = measure_scaling("cos2z", "huber", dims=(50, 5000), steps=(1,), memory=2e6, most_runs=8)
    assert [point.dim for point in law.points] == [50, 5000]
    assert law.points[0].measured is not None
    assert law.points[1].measured is None
    assert "allowed are 2 MB" in law.points[1].why
    assert law.exponents == ()


def test_half_bytes_counts_bases_and_labels() -> None:
    # T = 2, r = 1, one repeat: U, w and two more on the right, four on the left.
    assert half_bytes(0, 1000, 1, 2, 1, "float32") >= 1000 * 8 * 4
    assert half_bytes(10, 0, 1, 2, 1, "float32") == 10 * 8 * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dims": (5,)}, "dims=5"),
        ({"steps": (0,)}, "steps=0"),
        ({"precision": 0.0}, "precision=0"),
        ({"most_runs": 2}, "most_runs=2"),
        ({"backend": "jax"}, "backend='jax'"),
        ({"memory": -1.0}, "memory=-1"),
        ({"noise": -1.0}, "noise=-1"),
        ({"dims": ()}, r"dims=\[\]"),
        ({"steps": ()}, r"steps=\[\]"),
        ({"seed": -1}, "seed=-1"),
        ({"threads": 0}, "threads=0"),
        ({"dtype": "foo"}, "dtype='foo'"),
        ({"link": "sign-z1z2z3"}, "Λ = 0"),
        ({"link": "cos3z"}, "link='cos3z'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure_scaling(**{"link": "cos2z", "dims": (50,), "steps": (1,), **arguments})


def test_nothing_measured_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimverify.support.memory, "physical_memory", lambda: 10**6)
    law = measure_scaling("cos2z", "squared", dims=(5000,), steps=(1,), memory=1e5)
    with pytest.raises(InputError, match="nothing was measured"):
        draw_scaling(law)


# -- the command -------------------------------------------------------------------------------


def test_the_command(tmp_path: Path) -> None:
    figure, record = tmp_path / "law.png", tmp_path / "law.json"
    done = CliRunner().invoke(
        scaling,
        ["cos2z", "-T", "2", "-d", "60", "-d", "240", "--most-runs", "8", "--loss", "huber",
         "--figure", str(figure), "--json", str(record)],
        catch_exceptions=False, standalone_mode=False,
    )  # fmt: skip
    assert done.return_value == 0
    assert "exponent" in done.output
    assert max(len(line) for line in done.output.splitlines()) <= 80
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert json.loads(record.read_text())["exponents"][0]["dims"] == [60, 240]


def test_an_interrupted_measurement_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is measured when Ctrl-C comes is in the table, the file and the picture."""
    real = measured_log_odds

    def measure(*arguments: Any, **options: Any) -> float:
        if options["dim"] > 100:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(law_module, "measured_log_odds", measure)
    record, figure = tmp_path / "law.json", tmp_path / "law.png"
    with pytest.raises((KeyboardInterrupt, click.Abort)):
        scaling.main(
            ["cos2z", "-T", "2", "-d", "60", "-d", "240", "--most-runs", "8", "--loss", "huber",
             "--json", str(record), "--figure", str(figure)],
            standalone_mode=False,
        )  # fmt: skip
    found = json.loads(record.read_text())
    assert found["complete"] is False
    assert [point["dim"] for point in found["points"]] == [60]
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_nothing_measured_is_still_told(tmp_path: Path) -> None:
    record, figure = tmp_path / "law.json", tmp_path / "law.png"
    done = CliRunner().invoke(
        scaling,
        ["cos2z", "--memory", "1000", "-d", "100", "-T", "2", "--json", str(record),
         "--figure", str(figure)],
        catch_exceptions=False,
    )  # fmt: skip
    assert "allowed are 1 kB" in " ".join(done.output.split())
    assert json.loads(record.read_text())["points"][0]["n_half"] is None
    assert not figure.exists()


def test_one_file_for_two_purposes_is_refused() -> None:
    with pytest.raises(InputError, match=r"both name 'a\.png'"):
        CliRunner().invoke(
            scaling, ["cos2z", "--figure", "a.png", "--json", "a.png"], catch_exceptions=False
        )


def test_the_command_refuses_a_picture_it_cannot_draw() -> None:
    with pytest.raises(InputError, match=r"--figure='law.gif'"):
        CliRunner().invoke(scaling, ["cos2z", "--figure", "law.gif"], catch_exceptions=False)


def test_an_interval_is_symmetric_in_the_logarithm() -> None:
    point = HalfPoint(math.log(100), 0.01, 10, 2.0, 0.1, 12)
    low, high = point.interval()
    assert low * high == pytest.approx(100**2)
    assert low < point.samples < high
