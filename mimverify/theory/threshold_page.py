"""How near to the limit gradient descent is, as a page of Markdown: made, never written by hand."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from mimverify.theory.all_thresholds import LinkThresholds, LossThresholds
from mimverify.theory.limits.bayes_limits import NOT_COMPUTED, Threshold
from mimverify.theory.threshold_order import ORDERS, Compared, compared

__all__ = ["shown_ratio", "threshold_page"]

_WIDTH = 118
#: Digits that a reader compares; an error is shown where it is visible in them.
_DIGITS = 4
_NOT_COMPUTED = (
    "computed for one feature only; `mimverify limits LINK --ratio R` has what is reached at a "
    "ratio"
)

_FOREWORD = """# How near is near

Samples that learning takes, as ratios n/d in the limit of large d: what no estimator can beat,
what the best known polynomial algorithm needs, and what gradient descent on the first layer needs
under each built-in loss. This page is made by `mimverify thresholds --markdown docs/how-near.md`
(two minutes or so); `--json` has all digits and errors. Nothing in it is simulated or fitted.
[How every number
is computed](theory-engine.md) derives it: α_GD and α_spectral under
[Thresholds](theory-engine.md#7-thresholds), the others under
[The limit itself](theory-engine.md#11-the-limit-itself).

## What the numbers are

A label is y = g(U x) with x ~ N(0, I_d); the r rows of U are hidden, and n labels are given. For
n/d fixed and d → ∞ there are sharp ratios at which something begins:

- **α_IT**, weak recovery: below it *nothing* that can be computed from the data, in whatever
  time, has an overlap with U. At 0, a fixed multiple of d samples, however small, is enough.
- **α_IT, exact**: from it on the posterior determines U altogether.
- **α_c**: below it the best known polynomial algorithm, approximate message passing, stays at
  zero overlap; above, it leaves zero by itself. It exists where E[z | y] = 0. Otherwise the mean
  of f(y) x, for some f, already points into the span of U, and there is nothing to wait for.
- **α_alg**, exact: from it on that algorithm determines U. Between α_IT, exact and α_alg learning
  is *hard*: the data suffice, and no known algorithm gets by with them.
- **α_spectral**, for one loss: stage 1 of training multiplies by H = (1/n) Σ T(y_i) x_i x_iᵀ, T =
  −l′ at the fitted constant. From α_spectral on an eigenvalue of H stands out of its bulk, and
  its eigenvector has an overlap with U.
- **α_GD**, for one loss: from it on that eigenvalue is also the one of largest modulus, the one
  that power iteration (many steps of gradient descent) converges to. Where H's bulk reaches
  farther on the other side, this is later.
- **gap** = α_GD/α_c: how many times the samples of the best known algorithm gradient descent
  needs to find a first direction. 1 is the limit that the theorem's title speaks of. Without α_c
  there is no gap: there the algorithm uses first moments, to which stage 1, with an even
  activation, is blind.

*In the limit* means that n labels have shown all that the law of T has. **near from n** is the
power of ten of n from which all thresholds of a loss are within 5 % of theirs; before that
`mimverify inspect LINK --samples N` has those for N labels. A loss whose T is unbounded has no
limit (the largest label decides), only thresholds by n labels. Bold: the least α_GD, and what is
within 1 % of it, a tie. Thresholds later than the first (the second direction of r, …):
`mimverify inspect LINK`.

Errors (±) are estimates from computing everything twice on different quadratures; an error that
is not shown is below the last of four digits.
"""

_ORDERS = """## In which order they must lie

These inequalities are theorems. α_c comes from the law of x given a label, α_spectral from that
of T under a loss, α_IT and α_alg from the free entropy: so most of them test one computation by
another. The command exits with 1 if one is violated by more than the errors of its two sides.
"""

_NO_ORDER = """\
No theorem orders α_alg and α_GD: one is about all of U, the other about a first overlap. Nor is
α_GD of a loss bounded by anything: it may be infinite where the algorithm has no trouble.
"""


def threshold_page(found: Sequence[LinkThresholds]) -> str:
    """The page about these links: what the numbers mean, orders, an overview, then each link."""
    blocks = [_wrapped(_FOREWORD), _wrapped(_ORDERS), "\n".join(_orders(compared(found)))]
    blocks += [_wrapped(_NO_ORDER), "## All links", "\n".join(_overview(found))]
    for at in found:
        blocks += list(_section(at))
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def shown_ratio(threshold: Threshold) -> str:
    """The value to four digits, with its error where that is visible in them; "none" where it
    does not exist."""
    if threshold.value is None:
        return "not computed" if threshold.reason == NOT_COMPUTED else "none"
    return _within(threshold.value, threshold.error)


def _within(value: float, error: float | None) -> str:
    digits = f"{value:#.{_DIGITS}g}".rstrip(".")
    if value == 0:
        return "0"
    unit = 10.0 ** -len(digits.partition(".")[2]) if "e" not in digits else abs(value) * 1e-3
    if error is None or error < unit / 2:
        return digits
    return f"{digits} ± {error:.1g}"


def _orders(rows: Sequence[Compared]) -> Iterator[str]:
    yield "| theorem | because | compared on | violated |"
    yield "|---|---|---|---|"
    for order in ORDERS:
        mine = [row for row in rows if row.order is order]
        bad = "; ".join(row.where for row in mine if row.violated) or "nowhere"
        of = "pairs of link and loss" if order.of_loss else "links"
        yield f"| {order.statement} | {order.reason} | {len(mine)} {of} | {bad} |"


def _overview(found: Sequence[LinkThresholds]) -> Iterator[str]:
    yield "| link | r | α_IT | α_IT, exact | α_c | α_alg | best loss | its α_GD | gap |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for at in found:
        best = [at.losses[name] for name in at.best]
        first = min(best, key=lambda loss: loss.descent.value or 0.0, default=None)
        cells = [
            f"[{at.link.name}](#{_anchor(at.link.name)})",
            str(at.link.rank),
            *(shown_ratio(limit) for limit in _limits(at).values()),
            ", ".join(at.best) + (" (tie)" if len(at.best) > 1 else "") or "none",
            "none" if first is None else shown_ratio(first.descent),
            "none" if first is None or first.gap is None else _within(first.gap, first.gap_error),
        ]
        yield f"| {' | '.join(cells)} |"


def _section(at: LinkThresholds) -> Iterator[str]:
    yield f"## {at.link.name}"
    noise = f" + {at.noise:g} N(0, 1)" if at.noise else ""
    formula = f"`y = {at.link.formula}{noise}`, " if at.link.formula else ""
    known = {name: limit for name, limit in _limits(at).items() if limit.value is not None}
    limits = "; ".join(f"{name} = {shown_ratio(limit)}" for name, limit in known.items())
    of = "one hidden feature" if at.link.rank == 1 else f"{at.link.rank} hidden features"
    yield _wrapped(f"{formula}{of}. {limits or 'No limit is computed'}.")
    lines = ["| loss | α_spectral | α_GD | gap | near from n |", "|---|---|---|---|---|"]
    for name, loss in at.losses.items():
        mark = "**" if name in at.best else ""
        cells = [
            f"{mark}{name}{mark}",
            shown_ratio(loss.spectral),
            f"{mark}{shown_ratio(loss.descent)}{mark}",
            "none" if loss.gap is None else _within(loss.gap, loss.gap_error),
            _power(loss),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    yield "\n".join(lines)
    reasons = list(_reasons(at))
    if reasons:
        yield "\n".join(
            textwrap.fill(f"- {line}.", _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
            for line in reasons
        )


def _power(loss: LossThresholds) -> str:
    """From which n thresholds are near; nothing is near where there is none."""
    if loss.holds_from is None or loss.spectral.value is None:
        return "none"
    return f"{loss.holds_from:,}"


def _reasons(at: LinkThresholds) -> Iterator[str]:
    """Why there is no number, each reason once, with all that it is about."""
    about: dict[str, dict[str, list[str]]] = {}
    missing = [(name, "", limit) for name, limit in _limits(at).items()]
    for loss, found in at.losses.items():
        missing += [("α_spectral", loss, found.spectral), ("α_GD", loss, found.descent)]
    for quantity, loss, threshold in missing:
        if threshold.value is None:
            reason = threshold.reason or "unknown"
            about.setdefault(reason, {}).setdefault(quantity, []).append(loss)
    for reason, quantities in about.items():
        losses = next(iter(quantities.values()))  # the same ones for all of them, or none
        of = f" of {', '.join(losses)}" if losses != [""] else ""
        why = _NOT_COMPUTED if reason == NOT_COMPUTED else _text(reason)
        yield f"{' and '.join(quantities)}{of}: {why}"


def _limits(at: LinkThresholds) -> dict[str, Threshold]:
    return {
        "α_IT": at.alpha_it,
        "α_IT, exact": at.alpha_it_exact,
        "α_c": at.alpha_c,
        "α_alg": at.alpha_alg,
    }


def _anchor(heading: str) -> str:
    """As GitHub spells the anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _wrapped(text: str) -> str:
    """Paragraphs and list entries filled to one width; headings as they are."""
    blocks = []
    for block in text.strip("\n").split("\n\n"):
        if block.startswith("#"):
            blocks.append(block)
            continue
        entries = re.split(r"\n(?=- )", block)
        for k, entry in enumerate(entries):
            indent = "  " if entry.startswith("- ") else ""
            entries[k] = textwrap.fill(
                " ".join(entry.split()),
                _WIDTH,
                subsequent_indent=indent,
                break_on_hyphens=False,
                break_long_words=False,
            )
        blocks.append("\n".join(entries))
    return "\n\n".join(blocks)


def _text(text: str) -> str:
    """As it stands: no sign of a formula becomes markup."""
    for sign in "\\_*<[":
        text = text.replace(sign, f"\\{sign}")
    return text
