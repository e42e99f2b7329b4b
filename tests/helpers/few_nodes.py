"""The theory on few nodes and with few losses, for tests of what does not depend on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import pytest

from mimverify.network.losses import LOSSES
from mimverify.theory import analysis, comparison, inspection, prediction, trajectory
from mimverify.theory.conditional import projection
from mimverify.theory.labels import law, quadrature
from mimverify.theory.spectrum import population

_MOST_NODES = {1: 40_000, 2: 30_000, 3: 20_000}
_POINTS = {projection.MAXIMUM_RANK: 2**12}
_LOSSES = {name: LOSSES[name] for name in ("squared", "l1", "huber")}


def _forgetful(function: Callable[..., Any]) -> Callable[..., Any]:
    """With a memory of its own: what is computed meanwhile is not to be found by other tests."""
    return lru_cache(function.__wrapped__)  # type: ignore[attr-defined]


@contextmanager
def few_nodes() -> Iterator[None]:
    """Coarse rules meanwhile, and inspections that look at three losses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quadrature, "_MOST_NODES", _MOST_NODES)
        patch.setattr(projection, "_POINTS", _POINTS)
        patch.setattr(inspection, "LOSSES", _LOSSES)
        patch.setattr(law, "_population", _forgetful(law._population))
        patch.setattr(analysis, "_analyse", _forgetful(analysis._analyse))
        of = _forgetful(population.population_of)
        for room in (population, prediction, trajectory, comparison):
            patch.setattr(room, "population_of", of)
        yield
