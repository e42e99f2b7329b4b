"""The evidence of a trial against its bounds, as a picture: how far each claim is from failing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mimverify.pages.figure_style import COLOURS, GUIDE, INK
from mimverify.pages.figures import Draw
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.trial.claims.claim_set import ClaimSet
from mimverify.trial.outcomes import Status
from mimverify.trial.running.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["EVIDENCE_CAPTION", "AgainstBound", "against_bounds", "evidence_figure", "figure_size"]

EVIDENCE_CAPTION = (
    "A mark for each decision, the configuration that came nearest to failing. To the left of the "
    "line at 1 a decision does not fail, to its right it does. Exact decisions: the largest error "
    "divided by its bound, which no correct trainer exceeds. Statistical ones: the evidence "
    "against the claim (an e-value, a likelihood ratio or 1/p) times the decision's false-alarm "
    "level. A triangle at an edge is a value beyond the axis, 0 and infinity included."
)

#: What the axes span at most, in powers of ten.
_DECADES = (-12.0, 12.0)
_AXIS = {
    True: "largest error / its bound",
    False: "evidence against the claim × its false-alarm level",
}
_HEADING = {True: "Exact decisions", False: "Statistical decisions"}
# Shape and colour of a status; the last one is open.
_LOOKS: dict[Status, tuple[str, str, bool]] = {
    Status.PASSED: ("o", COLOURS[2], True),
    Status.FAILED: ("X", COLOURS[1], True),
    Status.INCONCLUSIVE: ("D", COLOURS[4], False),
    Status.EXPECTED_FAILURE: ("P", COLOURS[3], True),
    Status.UNEXPECTED_PASS: ("^", COLOURS[0], False),
    Status.ERROR: ("s", INK, False),
}
_ROW, _AROUND = 0.19, 1.1  # inches: of a row, and of what stands around the rows
_LONGEST = 44  # characters of a name


@dataclass(frozen=True)
class AgainstBound:
    """One mark of the figure.

    **Arguments**

    - `claim`, `decision`: their names.
    - `exact`: whether the decision is.
    - `ratio`: the evidence over its bound, `DecisionEvidence.against_bound`.
    - `failed`: whether the decision failed.
    - `status`: of the claim.
    """

    claim: str
    decision: str
    exact: bool
    ratio: float
    failed: bool
    status: Status

    @property
    def mark(self) -> Status:
        """The status that is drawn: a claim fails by one of its decisions, the others passed."""
        wrong = (Status.FAILED, Status.EXPECTED_FAILURE)
        if self.status in wrong and not self.failed:
            return Status.PASSED
        return self.status

    def to_json(self) -> Json:
        """Names and numbers; an infinite ratio is null."""
        return {
            "claim": self.claim,
            "decision": self.decision,
            "kind": "exact" if self.exact else "statistical",
            "evidence_over_bound": self.ratio if math.isfinite(self.ratio) else None,
            "failed": self.failed,
            "status": str(self.status),
        }


def against_bounds(verdicts: Sequence[Verdict], claim_set: ClaimSet) -> list[AgainstBound]:
    """The marks of a trainer's verdicts, in the claims' order; decisions without a scale have
    none."""
    found = []
    for verdict in verdicts:
        claim = claim_set.claims.get(verdict.id)
        random = {d.name for d in claim.statistical} if claim is not None else set()
        for record in verdict.evidence.worst_records:
            ratio = record.against_bound
            if ratio is not None and not math.isnan(ratio):
                exact = record.decision not in random
                found.append(
                    AgainstBound(
                        verdict.id, record.decision, exact, ratio, record.failed, verdict.status
                    )
                )
    return found


def figure_size(trainers: Sequence[Sequence[AgainstBound]]) -> tuple[float, float]:
    """Width and height in inches that leave a row to each claim."""
    rows = sum(len(_claims(marks, exact)) for marks in trainers for exact in (True, False))
    panels = sum(bool(_claims(marks, exact)) for marks in trainers for exact in (True, False))
    return 8.0, 0.6 + _ROW * rows + _AROUND * max(panels, 1)


def evidence_figure(trainers: Sequence[tuple[str, Sequence[AgainstBound]]]) -> Draw:
    """Draws the marks of one or several trainers, those of exact and of statistical decisions on
    axes of their own.

    **Raises** `InputError` where there are none.
    """
    panels = [
        (name, marks, exact)
        for name, marks in trainers
        for exact in (True, False)
        if _claims(marks, exact)
    ]
    if not panels:
        raise InputError("no decision was made that has a bound: there is nothing to draw")
    return partial(_draw, panels, len(trainers) > 1)


def _claims(marks: Sequence[AgainstBound], exact: bool) -> list[str]:
    return list(dict.fromkeys(mark.claim for mark in marks if mark.exact is exact))


def _draw(
    panels: Sequence[tuple[str, Sequence[AgainstBound], bool]], named: bool, figure: Figure
) -> None:
    heights = [len(_claims(marks, exact)) + 2 for _, marks, exact in panels]
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
    shown: dict[Status, Artist] = {}
    for (name, marks, exact), axes in zip(panels, grid[:, 0], strict=True):
        shown |= _panel(axes, [mark for mark in marks if mark.exact is exact], exact)
        axes.set_title(f"{name}: {_HEADING[exact].lower()}" if named else _HEADING[exact])
    order = [status for status in _LOOKS if status in shown]
    figure.legend(
        [shown[status] for status in order],
        [str(status) for status in order],
        loc="outside lower center",
        ncols=len(order),
    )


def _panel(axes: Axes, marks: Sequence[AgainstBound], exact: bool) -> dict[Status, Artist]:
    from matplotlib.lines import Line2D

    low, high = _reach([mark.ratio for mark in marks])
    rows = {claim: row for row, claim in enumerate(_claims(marks, exact))}
    handles: dict[Status, Artist] = {}
    axes.axvspan(1, 10**high, color=COLOURS[1], alpha=0.08, lw=0)
    axes.axvline(1, color=INK, lw=1)
    for mark in marks:
        marker, colour, filled = _LOOKS.get(mark.mark, ("s", GUIDE, False))
        inside = min(max(mark.ratio, 10**low), 10**high)
        place = marker if inside == mark.ratio else "<" if mark.ratio < inside else ">"
        looks: dict[str, Any] = {
            "color": colour,
            "linestyle": "none",
            "mfc": colour if filled else "none",
        }
        axes.plot([inside], [rows[mark.claim]], marker=place, clip_on=False, zorder=3, **looks)
        handles.setdefault(mark.mark, Line2D([], [], marker=marker, **looks))
    axes.set(xscale="log", xlim=(10**low, 10**high), ylim=(len(rows) - 0.4, -0.6),
             xlabel=f"{_AXIS[exact]} (fails beyond 1)")  # fmt: skip
    names = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.tick_params(axis="y", length=0)
    return handles


def _reach(ratios: Sequence[float]) -> tuple[float, float]:
    """The axis in powers of ten: all ratios and a margin, within what it may span."""
    least, most = _DECADES
    logs = [math.log10(ratio) for ratio in ratios if 0 < ratio < math.inf] or [0.0]
    low = max(min(math.floor(min(logs) - 0.3), -1), least)
    high = min(max(math.ceil(max(logs) + 0.3), 1), most)
    return low, high
