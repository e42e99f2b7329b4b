"""The mean label of a data set."""

from __future__ import annotations

from collections.abc import Mapping

from mimverify.problems import MultiIndexModel
from mimverify.studies.trials._parameters import PROBLEM, completed, derived_seed
from mimverify.support.strict_json import Json

VERSION = 1


def complete(given: Mapping[str, object]) -> Json:
    """All parameters: `link`, `dim`, `samples`, `noise`, `seed`."""
    return completed(given, ("link", "dim", "samples"), PROBLEM)


def run(parameters: Json) -> Json:
    """`mean` of the labels."""
    p = complete(parameters)
    seed = derived_seed("mean-label", p)
    model = MultiIndexModel(p["link"], p["dim"], noise=p["noise"], seed=seed)
    return {"mean": float(model.sample(p["samples"], seed=seed).y.mean())}
