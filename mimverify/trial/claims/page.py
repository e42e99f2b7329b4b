"""The claims as a page of Markdown, made from their records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mimverify.trial.claims.claim import CLAIM_SET_VERSION, Claim
from mimverify.trial.claims.claim_set import ClaimSet
from mimverify.trial.claims.source import linked
from mimverify.trial.decisions import DIRECTIONS

__all__ = ["claims_page"]

_FOREWORD = f"""# The claims, set {CLAIM_SET_VERSION}

What a trial tries, one record each. This page is made from the records in `properties/` by
`mimverify claims --markdown docs/claims.md`; [verdicts.md](verdicts.md) says how they are decided.
"""


def claims_page(claim_set: ClaimSet, claims: Iterable[Claim]) -> str:
    """The page that shows these claims: a table of contents, then a section for each."""
    claims = list(claims)
    lines = [_foreword(claim_set), "| claim | kind | needs | from profile |", "|---|---|---|---|"]
    lines += [
        f"| [{claim.id}](#{claim.id}) | {_kind(claim)} | {claim.needs} | {claim.profile} |"
        for claim in claims
    ]
    for claim in claims:
        lines += ["", *_section(claim)]
    return "\n".join(lines) + "\n"


def _foreword(claim_set: ClaimSet) -> str:
    if claim_set.origin is None:
        return _FOREWORD
    about = claim_set.about
    return f"# {_text(about.title)}, version {_text(about.version)}\n\nSource: {about.source}\n"


def _section(claim: Claim) -> Iterator[str]:
    yield f"## {claim.id}"
    yield ""
    yield _text(claim.statement)
    yield ""
    yield f"- *Source*: {linked(_text(claim.source), _link)}"
    if claim.assumptions:
        yield f"- *Assumptions*: {_text('; '.join(claim.assumptions))}"
    yield f"- *Decided by*: {_text(claim.measures)}"
    yield f"- *Fails*: {DIRECTIONS[claim.direction]}"
    yield f"- *Needs*: {claim.needs}, that is {claim.needed}"
    yield f"- *Decisions*: {_text('; '.join(f'{d.name} ({d.kind})' for d in claim.decisions))}"


def _link(place: str, anchor: str) -> str:
    return f"[{place}](theory.md#{anchor})"


def _kind(claim: Claim) -> str:
    return "exact" if claim.exact else "statistical"


def _text(text: str) -> str:
    """As it stands: no underscore, asterisk or bracket of a formula becomes markup."""
    for sign in "\\_*<[":
        text = text.replace(sign, f"\\{sign}")
    return text
