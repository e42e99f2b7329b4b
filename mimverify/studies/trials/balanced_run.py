"""One run of stage 1 from a balanced start on a design that is never stored: the log-odds of its
alignment, of which the n of alignment 1/2 is the zero."""

from __future__ import annotations

from collections.abc import Mapping

from scipy.special import expit

from mimverify.network.losses import get_loss
from mimverify.problems.links import get_link
from mimverify.problems.streams import DATA_DEFINITION
from mimverify.scaling import half_bytes, measured_log_odds
from mimverify.studies.trials._parameters import PROBLEM, completed, derived_seed
from mimverify.support.strict_json import Json

#: Results follow what seeds draw, too.
VERSION = f"1.{DATA_DEFINITION}"

_NEEDED = ("link", "dim", "samples", "steps")
_DEFAULTS = {**PROBLEM, "repeats": 1, "dtype": "float32"}


def complete(given: Mapping[str, object]) -> Json:
    """All parameters: those of `mimverify train`, and `repeats`, pairs of independent neurons for
    each direction of the subspace (`balanced_start`)."""
    return completed(given, _NEEDED, _DEFAULTS)


def memory(p: Json) -> int:
    """Bytes of a trial."""
    rank = get_link(p["link"]).rank
    return half_bytes(p["dim"], p["samples"], rank, p["steps"], p["repeats"], p["dtype"])


def cost(p: Json) -> float:
    """Seconds of one thread, very roughly."""
    directions = 2.0 * int(p["repeats"]) * int(p["steps"]) + 2
    return 0.01 + (int(p["samples"]) + int(p["dim"])) * directions * (40 + directions) / 2e9


def run(parameters: Json) -> Json:
    """`log_odds` of A after the last step, and `alignment`, A itself."""
    p = complete(parameters)
    log_odds = measured_log_odds(
        get_link(p["link"]),
        get_loss(p["loss"]),
        dim=p["dim"],
        samples=p["samples"],
        steps=p["steps"],
        repeats=p["repeats"],
        noise=p["noise"],
        dtype=p["dtype"],
        seed=derived_seed("balanced-run", p),
        threads=1,
    )
    return {"log_odds": log_odds, "alignment": float(expit(log_odds))}
