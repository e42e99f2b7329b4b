"""Pages that repeat what records say, say it as it is."""

from __future__ import annotations

import re
from pathlib import Path

import mimverify
from mimverify.cli.finding import verb_names
from mimverify.handles.methods import SIGNATURES
from mimverify.network import ACTIVATIONS, LOSSES
from mimverify.problems import LINKS, get_link
from mimverify.trial import (
    CLAIM_SET_VERSION,
    STANDARD_ACTIVATIONS,
    STANDARD_LOSSES,
    load_claims,
    select_claims,
)
from mimverify.trial.outcomes import Status
from mimverify.zoo import CATEGORIES, zoo

ROOT = Path(mimverify.__file__).parents[1]
WORDS = {16: "sixteen", 17: "seventeen", 18: "eighteen"}


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def column(text: str, heading: str, which: int = 0) -> list[str]:
    """Names in code of one column of the Markdown table with this heading."""
    lines = text[text.index(heading) :].splitlines()[2:]
    table = lines[
        : next((k for k, line in enumerate(lines) if not line.startswith("|")), len(lines))
    ]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1][which] for line in table]
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    return [name.partition("(")[0] for name in names]


def test_the_readme_names_what_a_trainer_is_asked_for() -> None:
    text = page("README.md")
    heading = "| loss | l(f, y), u = f − y | | activation | σ(z) |"
    assert sorted(column(text, heading, 0)) == sorted(STANDARD_LOSSES)
    assert sorted(column(text, heading, 3)) == sorted(STANDARD_ACTIVATIONS)
    methods = column(text, "| method | returns | opens the claims on |")
    assert sorted(methods) == sorted(SIGNATURES)


def defined(text: str, heading: str, name: int = 0) -> dict[str, str]:
    """What the README's table with this heading says each name is."""
    lines = text[text.index(heading) :].splitlines()[2:]
    found: dict[str, str] = {}
    for line in lines[: next(k for k, line in enumerate(lines) if not line.startswith("|"))]:
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for each in re.findall(r"`([^`]+)`", cells[name]):
            assert cells[name + 1], each
            found[each] = cells[name + 1].partition(", Φ")[0]
    return found


def test_every_name_of_an_activation_a_loss_or_a_link_is_defined_in_the_readme() -> None:
    """As its record writes it: all that README, commands or messages of a trial can name."""
    text = page("README.md")
    both = "| loss | l(f, y), u = f − y | | activation | σ(z) |"
    activations = defined(text, both, 3) | defined(text, "| further activation | σ(z) |")
    assert activations == {name: a.formula for name, a in ACTIVATIONS.items()}
    assert defined(text, both).keys() == LOSSES.keys()
    links = "| link | g(z) | | link | g(z) |"
    assert defined(text, links) | defined(text, links, 3) == {
        name: get_link(name).formula for name in LINKS
    }


def test_every_name_that_the_readme_uses_is_one_that_it_defines() -> None:
    """Of what follows an option or a keyword that takes a link, a loss or an activation."""
    text = page("README.md")
    for known, pattern in (
        (LINKS, r"mimverify (?:train|predict|inspect|limits|scaling) ([a-z][a-z0-9-]*)"),
        (LINKS, r"(?:MultiIndexModel|inspect_link|predict)\(\"([^\"]+)\""),
        (LOSSES, r"(?:--loss |loss=\")([a-z0-9-]+)"),
        (ACTIVATIONS, r"(?:--activation |activation=\")([a-z0-9-]+)"),
    ):
        used = re.findall(pattern, text)
        assert used or known is ACTIVATIONS
        assert set(used) <= known.keys(), set(used) - known.keys()


def test_the_readmes_verdict_table_is_of_the_claims_of_today() -> None:
    text = page("README.md")
    table = text[text.index("    Trial of numpy") : text.index("*Exact* claims compare")]
    quick = list(select_claims(None, "quick"))
    rows = re.findall(r"^    │ ([a-z-]+) +│ passed", table, re.MULTILINE)
    assert rows == [name for name in quick if name in rows]  # some of them, in their order
    left_out = sum(map(int, re.findall(r"^    │ ⋮ (\d+) more +│", table, re.MULTILINE)))
    assert len(rows) + left_out == len(quick)
    waiting = " ".join(table[table.index("Not tried") :].split())
    assert all(name in waiting for name in load_claims() if name not in quick)
    assert f"{len(quick)} passed in" in table
    assert all(str(status) in text for status in Status)


def test_the_changelog_counts_as_the_records_do() -> None:
    text = " ".join(page("CHANGELOG.md").split())
    assert (
        f"{len(load_claims())} claims of arXiv:2511.15120 (claim set {CLAIM_SET_VERSION})" in text
    )
    assert f"{len(list(zoo()))} broken trainers in {WORDS[len(CATEGORIES)]} categories" in text
    assert f"{WORDS[len(LINKS)]} named links" in text


def test_the_readme_has_an_example_of_every_verb() -> None:
    text = " ".join(page("README.md").split())
    assert [verb for verb in verb_names() if f"mimverify {verb}" not in text] == []


def test_the_page_on_the_zoo_has_a_row_for_every_category() -> None:
    text = page("docs/zoo.md")
    heading = "| category | what is wrong | for example |"
    lines = text[text.index(heading) :].splitlines()[2 : 2 + len(CATEGORIES)]
    assert [line.split("|")[1].strip() for line in lines] == list(CATEGORIES)


def test_the_readme_names_every_page_and_package() -> None:
    text = page("README.md")
    for path in (ROOT / "docs").glob("*.md"):
        assert f"docs/{path.name}" in text, path.name
