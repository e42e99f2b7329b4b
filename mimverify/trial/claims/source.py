"""Citations of the page of theory, docs/theory.md: which of its anchors a text names.

A citation is the name of the page, then places in it: sections `§4`, labels `D1` (E1–E5, D1–D9,
N1–N5), ranges of either, and parts of §2 by name (`stage 1`, `Cost`, …), joined by commas,
semicolons, parentheses or "and"; a remark may follow after a colon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from mimverify.support.errors import InputError

__all__ = ["THEORY", "linked", "references"]

#: The page, from the root of the repository. An installed wheel does not have it.
THEORY = "docs/theory.md"

#: Parts of §2 that have names instead of labels, and their anchors.
_NAMED = {
    "step 1": "initialisation",
    "step 2": "stage1",
    "step 3": "stage2",
    "stage 1": "stage1",
    "stage 2": "stage2",
    "cost": "cost",
    "centring": "centring",
    "number of steps": "steps",
}

_PLACE = rf"(?:§\d+|[A-Z]\d+|(?i:{'|'.join(_NAMED)}))(?!\w)"
_JOINT = r"(?:–|[\s,;()]+(?:and\s+)?)"
_REMARK = r"(?:: '[^']*')?"  # quoted, so that places may follow it
_CITATION = re.compile(
    rf"(?<![\w/#-])theory\.md,?\s+(?P<places>{_PLACE}{_REMARK}(?:{_JOINT}{_PLACE}{_REMARK})*)"
)
_TOKEN = re.compile(rf"(?P<remark>: '[^']*')|(?P<place>{_PLACE})|(?P<range>–)")

# The page as such (`docs/theory.md`, a link to it) is no citation; its bare name has to be one.
_MENTION = re.compile(r"(?<![\w/#-])(?<!\]\()theory\.md(?![\w#]|\]\()", re.IGNORECASE)
# What would be a place if it were written as one.
_LEFTOVER = re.compile(r"[\s,;(–-]*(?:and\s+)?(?:§|[A-Z]\d|(?:stage|step)s? \d)")


def references(text: str) -> list[str]:
    """The anchors of docs/theory.md that a text cites, in its order, each once.

    "theory.md §4, D1 and D7" cites `s4`, `D1` and `D7`. Line breaks in a text count as spaces.

    **Raises** `InputError` for a mention of the page with no places behind it, or with something
    behind them that looks like another place and cannot be read as one.
    """
    found: dict[str, None] = {}
    read = {citation.start(): citation for citation in _CITATION.finditer(text)}
    for mention in _MENTION.finditer(text):
        citation = read.get(mention.start())
        if citation is None or _LEFTOVER.match(text, citation.end()):
            shown = " ".join(text[mention.start() :][:60].split())
            raise InputError(
                f"source={shown!r}: expected sections and labels, as in 'theory.md §4, D1 and D7'"
            )
        for _, _, anchors in _places(citation):
            found |= dict.fromkeys(anchors)
    return list(found)


def linked(text: str, link: Callable[[str, str], str]) -> str:
    """A text with every place that it cites replaced by `link(place, anchor)`."""
    parts, end = [], 0
    for citation in _CITATION.finditer(text):
        for start, stop, anchors in _places(citation):
            parts += [text[end:start], link(text[start:stop], anchors[-1])]
            end = stop
    return "".join([*parts, text[end:]])


def _places(citation: re.Match[str]) -> Iterator[tuple[int, int, list[str]]]:
    """Each place: where it stands, and its anchor; after a range's dash, all since the last."""
    last, ranged = "", False
    for token in _TOKEN.finditer(citation.string, *citation.span("places")):
        if token["remark"]:
            continue
        if token["range"]:
            ranged = True
            continue
        anchor = _anchor(" ".join(token[0].split()))
        yield token.start(), token.end(), [*(_between(last, anchor) if ranged else ()), anchor]
        last, ranged = anchor, False


def _anchor(place: str) -> str:
    return _NAMED.get(place.lower(), place.replace("§", "s"))


def _between(first: str, last: str) -> list[str]:
    """`D4` for D3 and D5."""
    if first[0] != last[0] or not (first[1:].isdigit() and last[1:].isdigit()):
        raise InputError(f"source={first}–{last}: expected a range of sections or of labels")
    return [f"{first[0]}{k}" for k in range(int(first[1:]) + 1, int(last[1:]))]
