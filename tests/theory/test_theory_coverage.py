"""Predicted intervals of runs, and the test of them that `compare` makes."""

from __future__ import annotations

import numpy as np
import pytest

from mimverify.problems.links import Link
from mimverify.theory import comparison
from mimverify.theory.comparison import LINKS, LOSSES, RATIOS, compare
from mimverify.theory.run_comparison import RunComparison
from mimverify.theory.spectrum.population import Population, population_of

#: Probability with which right predictions would be contradicted somewhere in a table.
FAMILY = 1e-3


def made_up(
    inside: int,
    *,
    runs: int = 100,
    gap: float = 0.0,
    doubt: float = 0.0,
    span: int | None = None,
) -> RunComparison:
    """Runs that were not simulated, at one step."""
    return RunComparison(
        neurons=32,
        runs=runs,
        predicted=np.array([0.5]),
        simulated=np.array([0.5 + gap]),
        standard_error=np.array([0.01]),
        doubt=np.array([doubt]),
        inside=np.array([inside]),
        inside_span=None if span is None else np.array([span]),
    )


def test_what_runs_contradict() -> None:
    """95 of 100 in an interval of 95 % are right, 80 are not (P = 1e-7); a mean 2 standard errors
    off is right, one 6 off is not; and where the prediction calls itself uncertain, nothing is."""
    assert made_up(95).contradicts(1e-3) == ()
    assert made_up(100).contradicts(1e-3) == ()
    assert made_up(80).contradicts(1e-3) == ("interval",)
    assert made_up(95, span=80).contradicts(1e-3) == ("span interval",)
    assert made_up(95, gap=0.02).contradicts(1e-3) == ()
    assert made_up(95, gap=-0.06).contradicts(1e-3) == ("mean",)
    assert made_up(95, gap=0.06, doubt=0.04).contradicts(1e-3) == ()
    assert made_up(50, gap=0.3, doubt=0.06, span=50).contradicts(1e-3) == ()
    assert made_up(50, doubt=0.06).uncertain.tolist() == [True]


def test_coverage_has_the_stated_level() -> None:
    """4000 × 100 runs, each inside with probability .95: rejected in at most 1 % + 4 errors."""
    counts = np.random.default_rng(0).binomial(100, 0.95, size=4000)
    rejected = np.mean([bool(made_up(int(k)).contradicts(0.01)) for k in counts])
    assert rejected <= 0.01 + 4 * np.sqrt(0.01 / 4000)


def test_small_comparison_covers() -> None:
    """CI's share of the table below: three links at d = 96, 60 runs each."""
    rows = list(
        compare(
            ["cos2z", "he2-mix", "relu-sum"], ["huber"], [8.0],
            dim=96, seeds=60, steps=5, spans=True,
        )
    )  # fmt: skip
    for row in rows:
        assert row.contradictions(FAMILY / len(rows)) == ()
        assert row.runs is not None
        assert row.runs.span_coverage is not None
        assert row.to_json()["runs"]["span_coverage"] == row.runs.span_coverage.tolist()


def test_run_means_are_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Huber with a bound that no label reaches, predicted by the law of all labels: ratios of
    means alone agree, means and intervals of runs do not; by the labels that n reach they do."""
    sizes = {"dim": 300, "seeds": 30, "steps": 8}
    case = (["phase-retrieval"], ["huber:20"], [6.0])
    right = next(compare(*case, **sizes))  # type: ignore[arg-type]
    assert right.realised
    assert right.contradictions(FAMILY) == ()

    def in_the_limit(link: Link, loss: str, *, noise: float, **options: int) -> Population:
        return population_of(link, loss, noise=noise)  # type: ignore[arg-type]

    monkeypatch.setattr(comparison, "limiting_population", in_the_limit)
    wrong = next(compare(*case, **sizes))  # type: ignore[arg-type]
    assert wrong.runs is not None
    assert "mean" in wrong.contradictions(FAMILY)


@pytest.mark.slow
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("loss", LOSSES)
def test_coverage_of_the_whole_table(loss: str, ratio: float) -> None:
    """12 links × 3 losses × 3 n/d, d = 256, 100 runs a cell: intervals of alignment and of span
    recovery cover, or the prediction says that it is uncertain. Half an hour in all."""
    rows = list(compare(LINKS, [loss], [ratio], dim=256, seeds=100, steps=6, spans=True))
    level = FAMILY / (len(LINKS) * len(LOSSES) * len(RATIOS))
    found = {row.link: row.contradictions(level) for row in rows}
    assert not {link: what for link, what in found.items() if what}
