"""The n at which D1's alignment reaches a level, for T steps: a point of a contour."""

from __future__ import annotations

from collections.abc import Mapping

from mimverify.network.losses import get_loss
from mimverify.problems.links import get_link
from mimverify.studies.trials._parameters import PROBLEM, completed
from mimverify.support.strict_json import Json
from mimverify.theory import n_half
from mimverify.theory.spectrum.population import population_of

VERSION = 1

_NEEDED = ("link", "dim", "steps", "level")


def complete(given: Mapping[str, object]) -> Json:
    """All parameters, as of `mimverify predict`; `level` is an alignment."""
    return completed(given, _NEEDED, PROBLEM)


def cost(p: Json) -> float:
    """Seconds of one thread, very roughly."""
    return 0.2


def run(parameters: Json) -> Json:
    """`samples`: n, null where none reaches the level."""
    p = complete(parameters)
    population = population_of(get_link(p["link"]), get_loss(p["loss"]), noise=p["noise"])
    return {"samples": n_half(population.measure, p["dim"], p["steps"], level=p["level"])}
