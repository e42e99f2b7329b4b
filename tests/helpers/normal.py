"""The standard normal law at single points: integrands of `quad` that SciPy's `norm`, made for
arrays, would slow down a hundredfold."""

from __future__ import annotations

import math


def phi(z: float) -> float:
    """Density."""
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def upper(z: float) -> float:
    """P(Z > z)."""
    return math.erfc(z / math.sqrt(2)) / 2
