"""Every citation leads somewhere: sections and labels of docs/theory.md, links, names of files."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from mimverify.support.errors import InputError
from mimverify.trial import load_claims
from mimverify.trial.claims.source import THEORY, linked, references

ROOT = Path(__file__).parents[1]
FOLDERS = ("mimverify", "properties", "tests", "docs", "examples", "asv_benchmarks/benchmarks")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
SUFFIXES = {".py", ".md", ".ini", ".toml", ".txt", ".json"}
#: What is never in a clone.
FOREIGN = re.compile(r"\b(?:design|style)\.md\b|(?<![\w/])shared/|/work/")
#: Files of the repository, by their names or by paths from its root.
FILE = re.compile(
    r"(?<![\w./*{-])(?:[\w.-]+/)*[\w-]+\.md\b"
    r"|(?<![\w./*{-])(?:docs|tests|properties|mimverify|examples|asv_benchmarks)/"
    r"[\w./-]+\.(?:py|md|json|ini|toml)\b"
)
#: Tests that write files of their own, or look for what is missing.
WRITERS = ("tests/test_citations.py", "tests/test_contributing.py")


def texts() -> list[Path]:
    """All text files that say something about the project."""
    found = [ROOT / page for page in PAGES]
    for folder in FOLDERS:
        found += sorted(
            path
            for path in (ROOT / folder).rglob("*")
            if path.suffix in SUFFIXES and "__pycache__" not in path.parts
        )
    return found


def prose(path: Path) -> str:
    """The text without what stands between its words: comments' markers, links' targets."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return re.sub(r"\n\s*(?:#:?(?= ))?", "\n", text)
    return re.sub(r"(?<!\\)\[([^\]]*)\]\([^)\s]*\)", r"\1", text)


def unfenced(text: str) -> str:
    """A page without its examples."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(page: Path) -> set[str]:
    """What `page#…` can lead to: explicit anchors, and headings as GitHub spells them."""
    text = unfenced(page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#{1,6} +(.+?)\s*$", text, flags=re.MULTILINE)
    slugs = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings)
    return {*re.findall(r'<a id="([^"]+)"', text), *slugs}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


CITING = [path for path in texts() if name(path) not in WRITERS]


def cited(path: Path) -> list[str]:
    """The anchors that a file cites, or what is wrong with its citations."""
    try:
        return references(prose(path))
    except InputError as error:
        return [str(error)]


def test_citations_of_the_theory_have_their_anchors() -> None:
    there = anchors(ROOT / THEORY)
    found = {name(path): cited(path) for path in CITING}
    assert {path: bad for path, at in found.items() if (bad := [*{*at} - there])} == {}
    # And they were found: most files cite something, and most places are cited.
    assert sum(bool(at) for at in found.values()) > 60
    everywhere = {anchor for at in found.values() for anchor in at}
    assert {"E1", "D1", "D9", "N5", "s8", "stage1", "centring"} <= everywhere


def test_sections_are_those_of_a_citation() -> None:
    """A § that no citation holds is read by nobody, unless it says whose it is."""
    loose = {}
    for path in CITING:
        if path.suffix == ".py" and name(path) != "mimverify/trial/claims/source.py":
            left = linked(prose(path), lambda place, anchor: "")
            left = re.sub(r"(?:theory-engine\.md,? |Higham |Algorithms\*, )§[\d.]+", "", left)
            if "§" in left:
                loose[name(path)] = re.findall(r".{0,40}§.{0,20}", left)
    assert loose == {}


def test_files_that_are_named_are_in_a_clone() -> None:
    missing = []
    for path in CITING:
        text = path.read_text(encoding="utf-8")
        missing += [(name(path), found) for found in FOREIGN.findall(text)]
        places = (ROOT, ROOT / "docs", path.parent)
        missing += [
            (name(path), found)
            for found in FILE.findall(unfenced(text))
            if not any((place / found).is_file() for place in places)
        ]
    assert missing == []


def test_links_between_pages() -> None:
    broken = []
    for page in CITING:
        text = unfenced(page.read_text(encoding="utf-8")) if page.suffix == ".md" else ""
        for target in re.findall(r"(?<!\\)\]\(([^)\s]+)\)", text):
            file, _, anchor = target.partition("#")
            there = (page.parent / file).resolve() if file else page
            elsewhere = re.match(r"[a-z]+:", target)
            if not elsewhere and not (there.exists() and (not anchor or anchor in anchors(there))):
                broken.append((name(page), target))
    assert broken == []


def test_all_sections_and_labels_of_the_theory_are_anchors() -> None:
    labels = [
        f"{letter}{k}" for letter, n in (("E", 5), ("D", 9), ("N", 5)) for k in range(1, n + 1)
    ]
    assert {f"s{k}" for k in range(1, 10)} | set(labels) <= anchors(ROOT / THEORY)
    text = (ROOT / THEORY).read_text(encoding="utf-8")
    ids = re.findall(r'<a id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    # Each stands directly before what it names.
    for label in labels:
        assert re.search(rf'<a id="{label}"></a>\n\*\*{label} ', text), label
    for k in range(1, 10):
        assert f'<a id="s{k}"></a>\n## §{k} ' in text


def test_claims_that_the_theory_names_exist() -> None:
    text = (ROOT / THEORY).read_text(encoding="utf-8")
    named = [
        claim
        for mention in re.findall(r"\*[Cc]laims?\*:?((?:[\s,]+`[a-z-]+`)+)", text)
        for claim in re.findall(r"`([a-z-]+)`", mention)
    ]
    assert len(named) > 20
    assert set(named) <= set(load_claims())


def test_tests_that_the_theory_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / THEORY).read_text(encoding="utf-8")))
    defined = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    assert len(named) > 10
    assert {test for test in named if f"def {test}(" not in defined} == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("theory.md §4, D1", ["s4", "D1"]),
        ("theory.md §6, N1; abstract: 'generic'", ["s6", "N1"]),
        ("abstract: 'gradient descent'; theory.md §2, stage 1", ["s2", "stage1"]),
        ("Source: theory.md §2 step 3. The rows", ["s2", "stage2"]),
        ("theory.md §2, Cost; §3, E5", ["s2", "cost", "s3", "E5"]),
        ("theory.md §3, E4–E5", ["s3", "E4", "E5"]),
        ("(theory.md §4 (D2–D5, D7, D9) and §6 (N1))",
         ["s4", "D2", "D3", "D4", "D5", "D7", "D9", "s6", "N1"]),
        ("theory.md §5–§7.", ["s5", "s6", "s7"]),
        ("theory.md D3", ["D3"]),
        ("theory.md\n§2 and the table", ["s2"]),
        ("theory.md §4, D1 and D7; §2: 'full-batch'", ["s4", "D1", "D7", "s2"]),
        ("theory.md §4, D1: 'r = 1'; §6, N2", ["s4", "D1", "s6", "N2"]),
        ("theory.md §4, D1; theory.md §4, D9", ["s4", "D1", "D9"]),
        ("theory.md §3, E2: H changes its sign", ["s3", "E2"]),
        ("abstract: 'o_d(1) test error'", []),
        ("docs/theory.md and [it](theory.md)", []),
    ],
)  # fmt: skip
def test_references(text: str, expected: list[str]) -> None:
    assert references(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "theory.md says so",
        "theory.md, the fourth section",
        "theory.md 4, D1",
        "theory.md §4, D1x",
        "theory.md §4, D3-D5",
        "theory.md §4–D1",
        "theory.md §4, §",
        "theory.md §2, stage 10",
    ],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="source="):
        references(text)


def test_places_become_links() -> None:
    text = "abstract: 'D1'; theory.md §4, D3–D5: 'D1'; §2, stage 1 (D1)"
    assert linked(text, lambda place, anchor: f"<{place}|{anchor}>") == (
        "abstract: 'D1'; theory.md <§4|s4>, <D3|D3>–<D5|D5>: 'D1'; "
        "<§2|s2>, <stage 1|stage1> (<D1|D1>)"
    )
