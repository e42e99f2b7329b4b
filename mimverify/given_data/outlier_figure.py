"""The spectrum of H_n against that of permuted labels, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.given_data.result import Diagnosis
from mimverify.given_data.spectrum_test import SpectrumTest
from mimverify.pages.figure_style import COLOURS, GUIDE, MARKERS
from mimverify.support.arrays import Float64Array
from mimverify.support.strict_json import Json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SIZE", "outlier_data", "outlier_figure"]

SIZE = (11.0, 4.6)  # inches
_BAND = (0.05, 0.95)


def outlier_figure(diagnosis: Diagnosis, figure: Figure) -> None:
    """One panel for each test, under the loss that shows most."""
    tests = diagnosis.tests()
    panels = np.atleast_1d(figure.subplots(1, len(tests), sharey=True))
    for axes, test in zip(panels, tests, strict=True):
        _panel(axes, test)
    panels[0].set_ylabel("eigenvalue of H (T of variance 1)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)


def outlier_data(diagnosis: Diagnosis) -> Json:
    """The numbers that the figure draws."""
    return {
        test.null: {
            "loss": test.loss,
            "eigenvalues": np.sort(test.eigenvalues[test.loss]).tolist(),
            "null_low": _band(test)[0].tolist(),
            "null_high": _band(test)[1].tolist(),
            "threshold": test.threshold(),
        }
        for test in diagnosis.tests()
    }


def _band(test: SpectrumTest) -> tuple[Float64Array, Float64Array]:
    """Of the eigenvalue at each rank from below, quantiles over permutations."""
    low, high = np.quantile(np.sort(test.null_spectra[test.loss], axis=1), _BAND, axis=0)
    return low, high


def _panel(axes: Axes, test: SpectrumTest) -> None:
    values = np.sort(test.eigenvalues[test.loss])
    ranks = np.arange(1, len(values) + 1)
    low, high = _band(test)
    threshold = test.threshold()
    axes.fill_between(
        ranks, low, high, color=COLOURS[5], alpha=0.5, lw=0, step="mid",
        label="permuted labels, 5–95 %",
    )  # fmt: skip
    for sign in (-1, 1):
        label = f"threshold, p ≤ {test.alpha:g}" if sign > 0 else None
        axes.axhline(sign * threshold, color=GUIDE, ls=(0, (5, 2)), lw=1.2, label=label)
    # p ≤ alpha rather than beyond the line, which rounding may put on either side of a tie.
    sizes = np.abs(test.outliers)
    out = np.abs(values) >= (sizes.min() if len(sizes) else np.inf)
    axes.plot(
        ranks[~out], values[~out], ls="none", marker=MARKERS[0], ms=3.5, color=COLOURS[0],
        label="observed",
    )  # fmt: skip
    axes.plot(
        ranks[out], values[out], ls="none", marker=MARKERS[2], color=COLOURS[1],
        label="observed, outlier",
    )  # fmt: skip
    axes.set_xlabel(f"rank, of k = {test.components}")
    axes.set_title(f"Null: {test.null}\nloss {test.loss}, p = {test.p_value:.3g}")
