"""The label transform of a loss on given labels, of mean 0 and variance 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mimverify.network.losses import Loss
from mimverify.support.arrays import Float64Array
from mimverify.training.centring import fit_constant

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["in_deviations", "unit_transform", "without_copies"]


def in_deviations(y: Float64[Float64Array, " n"]) -> Float64[Float64Array, " n"]:
    """(y − mean)/deviation: what a loss's δ is measured in. Labels must not be constant."""
    with np.errstate(under="ignore"):
        y = y / np.abs(y).max()  # squares neither overflow nor vanish
        y = y - y.mean()
        y = y / np.abs(y).max()
        return np.asarray(y / y.std())


def unit_transform(
    loss: Loss, y: Float64[Float64Array, " n"]
) -> Float64[Float64Array, " n"] | None:
    """T(y) = −l'(c, y), centred and divided by its deviation; None where it is constant.

    It is a function of each label and of the set of all: permuting the labels permutes it.
    """
    centring = fit_constant(loss, y)
    T = np.asarray(loss.label_transform(y, centring.constant), dtype=np.float64)
    T = T - T.mean()
    deviation = float(T.std())
    return None if deviation <= 1e-12 * (1 + float(np.abs(T).max())) else T / deviation


def without_copies(
    named: Sequence[tuple[str, Float64Array | None]],
) -> tuple[dict[str, Float64Array], dict[str, str]]:
    """The different transforms by loss, and of each loss that is left out why."""
    kept: dict[str, Float64Array] = {}
    left: dict[str, str] = {}
    for name, T in named:
        if T is None:
            left[name] = "its T is constant on these labels"
            continue
        same = [other for other, S in kept.items() if abs(float(T @ S)) / len(T) > 1 - 1e-9]
        if same:
            left[name] = f"has the T of {same[0]} on these labels"
        else:
            kept[name] = T
    return kept, left
