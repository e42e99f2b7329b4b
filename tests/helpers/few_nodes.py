"""The theory on few nodes and with few losses, for tests of what does not depend on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import pytest

from mimverify.network.losses import LOSSES
from mimverify.theory import analysis, inspection, reach
from mimverify.theory.conditional import projection
from mimverify.theory.labels import label_law as law
from mimverify.theory.labels import quadrature
from mimverify.theory.labels.cache import cached
from mimverify.theory.spectrum import population

P = ParamSpec("P")
R = TypeVar("R")

_MOST_NODES = {1: 40_000, 2: 30_000, 3: 20_000}
_POINTS = {projection.MAXIMUM_RANK: 2**12}
_LOSSES = {name: LOSSES[name] for name in ("squared", "l1", "huber")}


def _recached(function: Callable[P, R]) -> Callable[P, R]:
    """With a cache of its own: what is computed meanwhile must not reach other tests."""
    return cached(maxsize=128)(function.__wrapped__)  # type: ignore[attr-defined]


@contextmanager
def few_nodes() -> Iterator[None]:
    """Coarse rules meanwhile, and inspections under three losses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quadrature, "_MOST_NODES", _MOST_NODES)
        patch.setattr(projection, "_POINTS", _POINTS)
        patch.setattr(inspection, "LOSSES", _LOSSES)
        patch.setattr(law, "_population", _recached(law._population))
        patch.setattr(analysis, "_analyse", _recached(analysis._analyse))
        patch.setattr(population, "population_of", _recached(population.population_of))
        patch.setattr(population, "_reached", _recached(population._reached))
        for name in ("_at", "_thresholds_at"):
            patch.setattr(reach, name, _recached(getattr(reach, name)))
        yield
