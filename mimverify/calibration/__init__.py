"""Calibration: how often the statistical claims raise a false alarm on correct trainers.

Claims are tried at inflated levels, from many master seeds, and the counted alarms are
compared with the levels of the ledger.
"""

from mimverify.calibration.counting import EventCount, Tried, try_at_levels
from mimverify.calibration.page import calibration_page
from mimverify.calibration.plan import Plan, Unit
from mimverify.calibration.rates import (
    BOUND_RISK,
    detectable_rate,
    exceedance,
    fewest_alarms,
    lower_bound,
    upper_bound,
)
from mimverify.calibration.result import TOTAL_RISK, WHOLE_RUN, Calibration, EventRate, Row
from mimverify.calibration.running import tries, try_unit

__all__ = [
    "BOUND_RISK",
    "TOTAL_RISK",
    "WHOLE_RUN",
    "Calibration",
    "EventCount",
    "EventRate",
    "Plan",
    "Row",
    "Tried",
    "Unit",
    "calibration_page",
    "detectable_rate",
    "exceedance",
    "fewest_alarms",
    "lower_bound",
    "tries",
    "try_at_levels",
    "try_unit",
    "upper_bound",
]
