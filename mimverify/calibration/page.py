"""A calibration as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from mimverify.calibration.rates import BOUND_RISK
from mimverify.calibration.result import TOTAL_RISK, Calibration
from mimverify.support.strict_json import Json
from mimverify.trial.decisions import POWER, USUALLY

__all__ = ["calibration_page"]


def calibration_page(calibration: Calibration, about: Json) -> str:
    """The page that shows alarms and events.

    **Arguments**

    - `about`: what was run: `command`, `claim_set`, `profile`, `sources` (their hash), `versions`,
      `left` (units that were not finished).
    """
    return "\n".join(_lines(calibration, about)) + "\n"


def _lines(calibration: Calibration, about: Json) -> Iterator[str]:
    plan = calibration.plan
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    yield "# False alarms, counted"
    yield ""
    yield "How [the calibration](calibration.md) came out. This page was written by"
    yield ""
    yield f"    {about['command']}"
    yield ""
    yield "| what | measured |"
    yield "|---|---|"
    yield f"| claim set | {about['claim_set']} |"
    yield f"| sources | `{about['sources']}` (hash of all files of mimverify and its claims) |"
    yield f"| profile | {about['profile']} |"
    yield f"| master seeds | {plan.seeds.start} to {plan.seeds.stop - 1} |"
    if about["left"]:
        yield f"| **unfinished** | {about['left']} of {plan.size} trials are missing |"
    yield f"| time | {calibration.seconds / 3600:.1f} h of trials, one after another |"
    yield f"| versions | {versions} |"
    yield ""
    yield "## Alarms"
    yield ""
    what = "a whole run's" if plan.whole else "a claim's own"
    yield (
        f"A level is {what} false-alarm probability; *exceeded* where p is below the row's part of "
        f"{TOTAL_RISK:g}. *Found*: the smallest true rate that would have been exceeded with "
        f"probability {POWER}. Bounds hold with probability {1 - BOUND_RISK:g} each."
    )
    yield ""
    yield (
        "| trainer | claim | level | alarms | allowed | undecided | rate ≤ | p | found | verdict |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for row in calibration.rows:
        start = f"| {row.trainer} | `{row.claim}` | {row.level:g} |"
        if not row.seeds:
            yield f"{start} – | – | – | – | – | – | no trials |"
            continue
        found = "–" if row.detectable is None else f"{row.detectable:.2g}"
        yield (
            f"{start} {len(row.alarms)}/{row.seeds} | {row.allowed} | {row.undecided} | "
            f"{row.upper_bound:.2g} | {row.p_value:.2g} | {found} | "
            f"{'**exceeded**' if row.exceeds else 'kept'} |"
        )
    yield ""
    if calibration.events:
        yield from _events(calibration)
    for (trainer, claim), (status, message) in calibration.problems.items():
        yield f"{trainer}: `{claim}`: {status}: {' '.join(message.split())}"
        yield ""


def _events(calibration: Calibration) -> Iterator[str]:
    yield "## Events"
    yield ""
    yield (
        f"The level is promised for events of probability P ≥ {USUALLY}. *Rarest*: the smallest "
        "fraction in any configuration. Means and laws have no events."
    )
    yield ""
    yield "| trainer | claim | event | happened | P ≥ | P ≤ | rarest |"
    yield "|---|---|---|---|---|---|---|"
    for event in calibration.events:
        name = event.name.replace("|", "\\|")
        yield (
            f"| {event.trainer} | `{event.claim}` | {name} | {event.happened}/{event.of} | "
            f"{event.lower_bound:.3f} | {event.upper_bound:.3f} | {event.rarest:.2f} |"
        )
    yield ""
