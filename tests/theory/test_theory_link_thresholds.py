"""All thresholds of a link, the order in which they must lie, and the page that shows them."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import mimverify
from mimverify.network.losses import LOSSES
from mimverify.problems.links import LINKS, Link, get_link
from mimverify.support.errors import InputError
from mimverify.theory import LinkThresholds, LossThresholds, Threshold, link_thresholds
from mimverify.theory.threshold_order import ORDERS, Order, compared
from mimverify.theory.threshold_page import shown_ratio, threshold_page

PAGE = Path(mimverify.__file__).parents[1] / "docs" / "how-near.md"
CHEAP = ("he2", "abs")
COMMAND = "mimverify thresholds --markdown docs/how-near.md"
NONE = Threshold(None, None, "made up")


@cache
def found(link: str) -> LinkThresholds:
    return link_thresholds(link)


def at(value: float, error: float = 1e-9) -> Threshold:
    return Threshold(value, error)


def made_up(**losses: float) -> LinkThresholds:
    """α_IT .5, exact 1, α_c .5, α_alg 1.1; α_spectral = α_GD by loss."""
    each = {name: LossThresholds(at(value), at(value)) for name, value in losses.items()}
    return LinkThresholds(get_link("he2"), 0.0, at(0.5), at(1.0), at(0.5), at(1.1), each)


# --- the record -------------------------------------------------------------------------------


def test_thresholds_of_the_square() -> None:
    """Closed forms: α_IT = α_c = 1/2, exact 1; l1's transform is symmetric: α_GD = α_spectral."""
    square = found("he2")
    for limit, value in ((square.alpha_it, 0.5), (square.alpha_c, 0.5), (square.alpha_it_exact, 1)):
        assert limit.value == pytest.approx(value, abs=1e-8)
    assert list(square.losses) == list(LOSSES)
    l1 = square.losses["l1"]
    assert l1.spectral.value == pytest.approx(1.70998, abs=1e-5)
    assert l1.descent.value == pytest.approx(l1.spectral.value)
    assert l1.descent.value is not None
    assert l1.gap == pytest.approx(2 * l1.descent.value, rel=1e-8)
    assert square.best == ("pseudo-huber",)
    unbounded = square.losses["squared"]
    assert unbounded.descent.value is unbounded.gap is unbounded.holds_from is None
    assert "unbounded" in (unbounded.descent.reason or "")
    for loss in set(LOSSES) - {"squared"}:
        for threshold in (square.losses[loss].spectral, square.losses[loss].descent):
            assert threshold.error is not None
            assert 0 <= threshold.error < 1e-4


def test_a_loss_that_cannot_be_analysed_has_its_reason() -> None:
    """Of labels beyond 1e70, which bounded losses do not mind."""
    steep = link_thresholds(Link("steep", 1, lambda z: np.exp(20 * np.abs(z[:, 0]))))
    reason = steep.losses["squared"].descent.reason
    assert steep.losses["squared"].spectral.value is None
    assert reason
    assert "loss='squared'" in reason
    assert steep.losses["l1"].descent.value == pytest.approx(1.70998, abs=1e-5)
    assert "α_spectral and α_GD of squared: loss='squared'" in threshold_page([steep])


def test_losses_within_one_per_cent_are_tied() -> None:
    assert made_up(huber=1.0, l1=1.009, squared=1.02).best == ("huber", "l1")
    assert LinkThresholds(get_link("he2"), 0.0, NONE, NONE, NONE, NONE, {}).best == ()


def test_a_link_of_four_features_is_refused() -> None:
    with pytest.raises(InputError, match="rank=4"):
        link_thresholds("quadratic:1,1,1,1")


# --- theorems ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "noise"), [("he2", 0.0), ("abs", 0.0), ("cos2z", 0.0), ("he2", 0.4)]
)
def test_theorems_hold(link: str, noise: float) -> None:
    rows = compared([found(link) if noise == 0 else link_thresholds(link, noise=noise)])
    assert [row.where + ": " + row.order.statement for row in rows if row.violated] == []
    # Some loss of each has both of its thresholds, so that no order is compared with nothing;
    # noisy labels are never exact.
    exact = {"α_IT ≤ α_IT, exact", "r ≤ α_IT, exact", "α_IT, exact ≤ α_alg", "α_c ≤ α_alg"}
    expected = {order.statement for order in ORDERS} - (exact if noise else set())
    assert {row.order.statement for row in rows} == expected


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.statement)
def test_a_violation_is_seen_beyond_the_errors(order: Order) -> None:
    """Each theorem is violated by a wrong number on either side, and by no other."""
    right = made_up(huber=0.7)
    assert not any(row.violated for row in compared([right]))
    wrong = {
        "α_IT ≤ α_IT, exact": replace(right, alpha_it_exact=at(0.4)),
        "r ≤ α_IT, exact": replace(right, alpha_it_exact=at(0.99)),
        "α_IT ≤ α_c": replace(right, alpha_c=at(0.4)),
        "α_IT, exact ≤ α_alg": replace(right, alpha_alg=at(0.9)),
        "α_c ≤ α_alg": replace(right, alpha_alg=at(0.4)),
        "α_c ≤ α_spectral": replace(right, alpha_c=at(0.8)),
        "α_IT ≤ α_spectral": replace(right, alpha_it=at(0.8)),
        "α_spectral ≤ α_GD": replace(right, losses={"huber": LossThresholds(at(0.7), at(0.6))}),
    }[order.statement]
    assert any(row.violated and row.order is order for row in compared([wrong]))


def test_errors_are_no_violation() -> None:
    near = replace(made_up(huber=0.4999), alpha_c=at(0.5, 1.5e-4))
    assert [row.order.statement for row in compared([near]) if row.violated] == [
        "α_IT ≤ α_spectral"  # whose sides have errors of 1e-9
    ]


# --- the page ---------------------------------------------------------------------------------


def sections(page: str) -> dict[str, str]:
    """The text under each heading of the second level; before the first under ""."""
    parts = re.split(r"^## +(.+)$", page, flags=re.MULTILINE)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def cells(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_is_of_the_links_and_losses_of_today() -> None:
    shown = sections(PAGE.read_text(encoding="utf-8"))
    names = [get_link(name).name for name in LINKS]
    assert [heading for heading in shown if heading][-len(names) :] == names, COMMAND
    overview = cells(shown["All links"])
    assert [row[0].partition("]")[0].strip("[") for row in overview[2:]] == names, COMMAND
    for name in names:
        heading, _, *rows = cells(shown[name])
        assert heading == ["loss", "α_spectral", "α_GD", "gap", "near from n"]
        assert [row[0] for row in rows] == list(LOSSES), name
        for row in rows:
            for number in row[1:]:
                assert re.fullmatch(r"none|[\d.,e+]+( ± [\d.e+-]+)?", number), (name, number)


def test_the_page_compares_every_theorem_and_finds_none_violated() -> None:
    rows = cells(sections(PAGE.read_text(encoding="utf-8"))["In which order they must lie"])[2:]
    assert [row[0] for row in rows] == [order.statement for order in ORDERS], COMMAND
    assert [row[1] for row in rows] == [order.reason for order in ORDERS], COMMAND
    assert all(row[3] == "nowhere" for row in rows)
    assert all(int(row[2].split()[0]) > 0 for row in rows)


def test_the_page_is_what_the_command_writes() -> None:
    """Its prose, and two links to the digit; the others in the deep profile."""
    shown = sections(PAGE.read_text(encoding="utf-8"))
    made = sections(threshold_page([found(link) for link in CHEAP]))
    for heading in ("", "What the numbers are", *CHEAP):
        assert shown[heading].strip() == made[heading].strip(), COMMAND
    rows = {row[0]: row for row in cells(shown["All links"])}
    for row in cells(made["All links"])[2:]:
        assert rows[row[0]] == row, COMMAND


@pytest.mark.slow
def test_the_whole_page_is_what_the_command_writes() -> None:
    every = [link_thresholds(link) for link in LINKS]
    assert [row.where for row in compared(every) if row.violated] == []
    assert digits(PAGE.read_text(encoding="utf-8")) == digits(threshold_page(every)), COMMAND


def digits(page: str) -> str:
    """The page, less numbers in the lists of reasons: some are rounding."""
    lines = [
        re.sub(r"[\d.]+(e[+-]\d+)?", "…", line) if line.startswith(("- ", "  ")) else line
        for line in page.splitlines()
    ]
    return "\n".join(lines)


def test_lines_of_the_page_are_short_but_for_its_tables() -> None:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        assert len(line) <= 120 or line.startswith("|"), line


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.5, 1e-9, "0.5000"),
        (1.0, 4e-4, "1.000"),
        (2.6666, 0.0393, "2.667 ± 0.04"),
        (0.59384, 9e-5, "0.5938 ± 9e-05"),
        (733.827, 0.63, "733.8 ± 0.6"),
        (1019.9, 0.1, "1020"),
        (75701478.9, 10, "7.570e+07"),
        (0.0, 0.0, "0"),
        (1.5, None, "1.500"),
    ],
)
def test_four_digits_and_an_error_that_is_visible_in_them(
    value: float, error: float | None, text: str
) -> None:
    assert shown_ratio(Threshold(value, error)) == text


def test_what_exists_and_is_not_computed_is_not_called_none() -> None:
    assert shown_ratio(NONE) == "none"
    several = link_thresholds("sign-z1z2")
    assert shown_ratio(several.alpha_it) == "not computed"
    assert shown_ratio(several.alpha_it_exact) == "none"  # finitely many values
