"""`mimverify compare --test-error`: the table, the record and the page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table

from mimverify.support.exit_status import FAILED, NOTHING_VERIFIED, VERIFIED
from mimverify.support.strict_json import Json
from mimverify.theory.error_comparison import (
    ERROR_BIAS,
    ErrorComparison,
    pooled_bias,
    pooled_coverage,
)

_WIDTH = 100
_FOREWORD = """# The test error, predicted and trained

How well `mimverify predict --test-error` foresees what training gives. This page is made by

    {command}

in {minutes:.0f} minutes (of all rows together {training:.0f} s of training and {predicting:.0f}
s of predicting); `--json` has the errors of all runs. Every run is one of the reference trainer
with its defaults (m = 64, p = 256, ridge 10⁻³, T1 steps), on data of its own, with n samples for
each stage; a prediction draws runs without training anything
([derivation](theory-engine.md#12-the-test-error-of-the-trained-network)).

- **predicted**: the median of {drawn} drawn runs, with the interval in which another run lies with
  a probability of 95 %.
- **trained**: the median of {runs} runs, with its standard error.
- **bias**: trained over predicted median, minus 1, with the standard error of both.
- **in 95 %**: the share of the trained runs in the interval. By chance alone it has a standard
  deviation of {chance:.3f}, the interval's own ends included.
- **?** the prediction itself notes that it is poor (`mimverify predict` says why): the row is not
  tested. **!** the row contradicts the prediction: so few runs in the interval, or a bias so far
  beyond {bias:.0%}, have in all rows together a probability of {family:g}.
"""


def found_in(results: Sequence[ErrorComparison], family: float) -> dict[str, tuple[str, ...]]:
    """What the cells contradict, at level `family` for all of them together."""
    level = family / (2 * len(results))
    return {str(r.cell): what for r in results if (what := r.contradicts(level))}


def error_status(results: Sequence[ErrorComparison], family: float) -> int:
    """The exit status."""
    if found_in(results, family):
        return FAILED
    return VERIFIED if any(result.sure for result in results) else NOTHING_VERIFIED


def error_record(results: Sequence[ErrorComparison], family: float) -> Json:
    """The record of `--json`."""
    bias, coverage = pooled_bias(results), pooled_coverage(results)
    return {
        "rows": [result.to_json() for result in results],
        "contradictions": {cell: list(what) for cell, what in found_in(results, family).items()},
        "tested": sum(result.sure for result in results),
        "pooled_bias": bias[0],
        "pooled_bias_error": bias[1],
        "pooled_coverage": coverage[0],
        "pooled_coverage_error": coverage[1],
    }


def error_page(results: Sequence[ErrorComparison], family: float) -> list[RenderableType]:
    """The table, and the verdict."""
    table = Table(title="Test error, predicted and trained", title_justify="left")
    table.box, table.pad_edge = box.SIMPLE_HEAD, False
    table.add_column("link, loss", overflow="fold", min_width=10)
    for heading in ("d, n", "theory", "95 % of runs", "trained", "bias", "inside", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for result, mark in zip(results, _marks(results, family), strict=True):
        cell, expected = result.cell, result.predicted
        table.add_row(
            f"{cell.link} {cell.loss}",
            f"{cell.dim}, {cell.samples}",
            f"{expected.median:.4f}",
            f"{expected.low:.3f}…{expected.high:.3f}",
            f"{result.median:.4f}",
            f"{result.bias:+.0%} ± {result.bias_error:.0%}",
            f"{result.coverage:.2f}",
            mark,
        )
    return [table, verdict(results, family)]


def verdict(results: Sequence[ErrorComparison], family: float) -> str:
    """What all cells say together."""
    found = found_in(results, family)
    tested = sum(result.sure for result in results)
    (bias, bias_error), (coverage, coverage_error) = pooled_bias(results), pooled_coverage(results)
    text = (
        f"{len(found)} of {tested} cells tested contradict the prediction at level {family:g} for "
        f"all; mean bias {bias:+.1%} ± {bias_error:.1%}; coverage {coverage:.3f} ± "
        f"{coverage_error:.3f}."
    )
    if tested < len(results):
        text += f" {len(results) - tested} cells are not tested: the prediction calls itself poor."
    return " ".join([text, *(f"{cell}: {', '.join(what)}." for cell, what in found.items())])


def error_markdown(
    results: Sequence[ErrorComparison], family: float, *, command: str, seconds: float
) -> str:
    """The page of Markdown, with the command that made it and the time that it took."""
    runs = max(len(result.trained) for result in results)
    drawn = max(len(result.predicted.values) for result in results)
    foreword = _FOREWORD.format(
        command=command,
        minutes=seconds / 60,
        training=sum(result.training for result in results),
        predicting=sum(result.predicting for result in results),
        runs=runs,
        drawn=drawn,
        chance=(0.95 * 0.05 * (1 / runs + 1 / drawn)) ** 0.5,
        bias=ERROR_BIAS,
        family=family,
    )
    said = textwrap.fill(f"**{verdict(results, family)}**", _WIDTH, break_on_hyphens=False)
    lines = [
        "| link | loss | d | n | predicted | trained | bias | in 95 % | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for result, mark in zip(results, _marks(results, family), strict=True):
        cell, expected = result.cell, result.predicted
        cells = [
            cell.link,
            cell.loss,
            f"{cell.dim}",
            f"{cell.samples}",
            f"{expected.median:.4f} ({expected.low:.3f}…{expected.high:.3f})",
            f"{result.median:.4f} ± {result.standard_error:.4f}",
            f"{result.bias:+.1%} ± {result.bias_error:.1%}",
            f"{result.coverage:.3f}",
            f"**{mark}**" if mark else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([foreword, said, "", *lines, ""])


def _marks(results: Sequence[ErrorComparison], family: float) -> list[str]:
    found = found_in(results, family)
    return ["!" if str(r.cell) in found else "" if r.sure else "?" for r in results]
