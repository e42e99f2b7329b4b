"""The scaling law of the theorem, measured: how many samples T steps need as d grows.

start → measurement → search → law → figure. Source: theory.md §4 (D3), §8.
"""

from typing import TYPE_CHECKING

from mimverify.support.lazy_package import lazy_names

if TYPE_CHECKING:
    from mimverify.scaling.measurement import half_bytes, measured_log_odds
    from mimverify.scaling.scaling_law import Exponent, ScalingLaw, ScalingPoint, measure_scaling
    from mimverify.scaling.search import HalfPoint, find_n_half
    from mimverify.scaling.start import balanced_start

__all__ = [
    "Exponent",
    "HalfPoint",
    "ScalingLaw",
    "ScalingPoint",
    "balanced_start",
    "find_n_half",
    "half_bytes",
    "measure_scaling",
    "measured_log_odds",
]

__getattr__, __dir__ = lazy_names(__name__, __file__)
