"""The mean of the labels, which is 0 for a link without a constant part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mimverify.studies.comparison import Comparison
from mimverify.studies.named_study import NamedStudy, StudyFigure
from mimverify.sweeps import Row, Sweep

__all__ = ["STUDY"]


def _sweeps(scale: str) -> list[Sweep]:
    runs = {"small": 8, "full": 80, "large": 800}[scale]
    fixed = {"link": "he2", "dim": 4, "samples": 500}
    return [Sweep("mean label", kind="mean-label", seeds=runs, fixed=fixed)]


def _compare(rows: Sequence[Row]) -> list[Comparison]:
    means = np.array([row.result["mean"] for row in rows if row.result is not None])
    if len(means) < 2:
        return []
    return [
        Comparison(
            {"link": "he2"}, "mean label", prediction=0.0, prediction_error=0.0,
            measurement=float(means.mean()), runs=len(means),
            standard_error=float(means.std(ddof=1) / np.sqrt(len(means))),
        )
    ]  # fmt: skip


def _figures(_: Sequence[Row]) -> list[StudyFigure]:
    return []


STUDY = NamedStudy(
    name="mean-labels",
    title="Mean labels",
    summary="The mean of the labels against the link's, which is 0.",
    sweeps=_sweeps,
    compare=_compare,
    figures=_figures,
)
