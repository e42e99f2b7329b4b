"""The competitors of `mimverify bench` under pytest-benchmark, with the facts of each stored.

    pytest asv_benchmarks/test_baselines.py --benchmark-json=baselines.json
    pytest asv_benchmarks/test_baselines.py -k "general-1024-64"

Each runs in a process of its own, which times the call alone.
pytest-benchmark runs one after the other: for ratios, use `mimverify bench`, which interleaves.
Outside `testpaths`, so that no ordinary run of the tests collects it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from mimverify.performance.competitors import (
    COMPETITORS,
    STARTS,
    CompetitorProcess,
    Problem,
    missing_packages,
)
from mimverify.support.machine import machine_facts

# d, m: a small one to try this file with, and those of `mimverify bench`.
SHAPES = ((64, 8), *product((512, 1024, 2048), (64, 16)))
ROWS_PER_DIM = 16
ROUNDS = 7


class Clock:
    """A timer that advances only by the times that a competitor reports."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def run(self, process: CompetitorProcess) -> None:
        self._now += process.time()


CLOCK = Clock()


@pytest.fixture
def process(name: str) -> Iterator[CompetitorProcess]:
    reason = missing_packages(COMPETITORS[name])
    if reason is not None:
        pytest.skip(f"{name} {reason}")
    with CompetitorProcess(name) as started:
        yield started


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize(("dim", "neurons"), SHAPES)
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", COMPETITORS)
def test_step(
    benchmark: Any, process: CompetitorProcess, name: str, start: str, dim: int, neurons: int
) -> None:
    problem = Problem(dim, neurons, ROWS_PER_DIM * dim, start=start)
    facts = process.prepare(problem)
    benchmark.group = f"d = {dim}, m = {neurons}, {start}"
    benchmark.extra_info.update(
        problem.to_json(), flops=problem.flops, bytes=problem.nbytes, **machine_facts(), **facts
    )
    # One round is a median of several repetitions, as in `mimverify bench`.
    benchmark.pedantic(CLOCK.run, args=(process,), rounds=ROUNDS, iterations=1)
