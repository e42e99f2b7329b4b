"""Span recovery after every step, and the window of steps that recover the span, predicted."""

from __future__ import annotations

from collections.abc import Mapping

from mimverify.network.losses import get_loss
from mimverify.problems.links import get_link
from mimverify.studies.trials._parameters import PROBLEM, completed
from mimverify.support.strict_json import Json
from mimverify.theory import Resolvent, predict_span
from mimverify.theory.spectrum.population import drawn_measures, reached_measure
from mimverify.theory.steps import recommended_steps, span_window
from mimverify.training import default_steps

VERSION = 3

_NEEDED = ("link", "dim", "samples", "steps")
_DEFAULTS = {**PROBLEM, "neurons": 32, "dtype": "float32", "level": 0.9, "data_sets": 100}


def complete(given: Mapping[str, object]) -> Json:
    """All parameters, as of `mimverify predict`.

    - `dtype`, `level`: of the window (theory.md D5): span recovery, and whose rounding ends it.
    - `data_sets`: that are drawn.
    """
    return completed(given, _NEEDED, _DEFAULTS)


def cost(p: Json) -> float:
    """Seconds of one thread, very roughly."""
    return 0.02 * float(p["data_sets"]) * (1 + float(p["dim"]) / 256 + float(p["steps"]) / 16)


def run(parameters: Json) -> Json:
    """`mean`, `median`, `low`, `high` (95 % of runs) after 1 … T steps; `window` of steps,
    `recommended` and `default` numbers of steps."""
    p = complete(parameters)
    link, loss = get_link(p["link"]), get_loss(p["loss"])
    dim, samples, steps = p["dim"], p["samples"], p["steps"]
    measures = drawn_measures(
        link, loss, noise=p["noise"], dim=dim, samples=samples, steps=steps,
        count=p["data_sets"], seed=p["seed"],
    )  # fmt: skip
    span = predict_span(measures, dim, samples, steps, p["neurons"] // 2, seed=p["seed"])
    typical = reached_measure(link, loss, samples, noise=p["noise"])
    window = span_window(
        Resolvent(typical, samples / dim), span, level=p["level"], dtype=p["dtype"]
    )
    return {
        "mean": span.mean.tolist(),
        "median": span.median.tolist(),
        "low": span.low.tolist(),
        "high": span.high.tolist(),
        "data_sets": len(measures),
        "window": [window.first, window.last],
        "window_reason": window.reason,
        "recommended": recommended_steps(typical, dim, samples).steps,
        "default": default_steps(samples, dim),
    }
