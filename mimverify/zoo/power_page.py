"""The power matrix as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mimverify.support.strict_json import Json
from mimverify.zoo.matrix import PowerMatrix, Row

__all__ = ["power_page"]


def power_page(matrices: Mapping[int, PowerMatrix], about: Json) -> str:
    """The page that shows the matrices of these master seeds.

    **Arguments**

    - `about`: what was run: `command`, `claim_set`, `profile`, `mode`, `sources` (their hash),
      `versions`, `left` (trials that were not finished).
    """
    return "\n".join(_lines(matrices, about)) + "\n"


def _lines(matrices: Mapping[int, PowerMatrix], about: Json) -> Iterator[str]:
    rows = [row for matrix in matrices.values() for row in matrix.rows]
    seconds = sum(row.report.seconds for row in rows if row.report is not None)
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    yield "# The power of the trial, measured"
    yield ""
    yield (
        "Which broken trainer of [the zoo](zoo.md) is caught by which claim. This page was written "
        "by"
    )
    yield ""
    yield f"    {about['command']}"
    yield ""
    yield "| what | measured |"
    yield "|---|---|"
    yield f"| claim set | {about['claim_set']} |"
    yield f"| sources | `{about['sources']}` (hash of all files of mimverify and its claims) |"
    yield f"| profile | {about['profile']} |"
    yield f"| master seeds | {', '.join(map(str, matrices))} |"
    yield f"| claims tried | {about['mode']} |"
    if about["left"]:
        yield f"| **unfinished** | {about['left']} trials are missing |"
    yield f"| time | {_duration(seconds)} of trials, one after another |"
    yield f"| versions | {versions} |"
    yield ""
    yield from _shares(matrices)
    yield from _mutants(matrices)
    yield from _claims(matrices)


def _shares(matrices: Mapping[int, PowerMatrix]) -> Iterator[str]:
    yield "## Caught"
    yield ""
    yield "| seed | mutants | caught | share | survivors |"
    yield "|---|---|---|---|---|"
    for seed, matrix in matrices.items():
        count, left = len(matrix.rows), matrix.survivors
        share = f"{(count - len(left)) / count:.1%}" if count else "–"
        survivors = ", ".join(row.mutant.name for row in left) or "none"
        yield f"| {seed} | {count} | {count - len(left)} | {share} | {survivors} |"
    yield ""


def _mutants(matrices: Mapping[int, PowerMatrix]) -> Iterator[str]:
    yield "## Mutants"
    yield ""
    yield (
        "*After*: what the decision of the fastest catch took until it failed. *Seconds*: of that "
        "claim's trial alone, on a machine that may have been busy. Of several seeds the first is "
        "shown, and how many caught it."
    )
    yield ""
    yield "| mutant | category | caught | fastest claim | after | seconds | caught by |"
    yield "|---|---|---|---|---|---|---|"
    of_mutant: dict[str, list[Row]] = {}
    for matrix in matrices.values():
        for row in matrix.rows:
            of_mutant.setdefault(row.mutant.name, []).append(row)
    for name, rows in of_mutant.items():
        catching = [row for row in rows if row.catches]
        shown = (catching or rows)[0]
        fastest = shown.catches[0] if shown.catches else None
        every = ", ".join(f"`{verdict.id}`" for verdict in shown.catches)
        yield (
            f"| `{name}` | {shown.mutant.category} | {len(catching)} of {len(rows)} | "
            f"{'**survived**: ' + _cell(shown.problem) if fastest is None else fastest.id} | "
            f"{shown.effort or '–'} | {'–' if fastest is None else f'{fastest.seconds:.1f}'} | "
            f"{every or '–'} |"
        )
    yield ""


def _claims(matrices: Mapping[int, PowerMatrix]) -> Iterator[str]:
    first = next(iter(matrices.values()))
    yield "## Claims"
    yield ""
    if not first.full:
        yield (
            "Not every claim was tried on every mutant, so that a claim without catches shows "
            "nothing of its power."
        )
        yield ""
    yield "| claim | tried on | catches | for instance |"
    yield "|---|---|---|---|"
    for claim in first.claims:
        names: dict[str, None] = {}
        tried = 0
        for matrix in matrices.values():
            names.update(dict.fromkeys(matrix.kills(claim)))
            tried += sum(any(v.id == claim for v in row.verdicts) for row in matrix.rows)
        some = ", ".join(list(names)[:3]) or first.justified.get(claim, "–")
        yield f"| `{claim}` | {tried} | {len(names)} | {_cell(some)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
