"""The exit codes of every verb: a table in code, one in docs/verdicts.md, a sentence in help."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mimverify
from mimverify.cli.app import app
from mimverify.cli.exit_codes import COMMON, ExitCodes
from mimverify.cli.finding import command_of, module_of, sections, verb_names

PAGE = Path(mimverify.__file__).parents[1] / "docs" / "verdicts.md"


def table() -> dict[tuple[str, str], str]:
    """(verb, code) → meaning, as docs/verdicts.md has it."""
    section = PAGE.read_text(encoding="utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `?(.*?)`? \| (\d+) \| (.*) \|$", section, re.MULTILINE)
    return {(verb, code): meaning for verb, code, meaning in rows}


def codes_of(verb: str) -> ExitCodes:
    codes = module_of(verb).EXIT_CODES
    assert isinstance(codes, ExitCodes)
    return codes


def test_the_page_has_the_codes_of_every_verb() -> None:
    expected: dict[tuple[str, str], str] = {}
    for verb in verb_names():
        expected |= {(verb, code): meaning for code, meaning in codes_of(verb).own.items()}
    # `check` alone keeps the code of its verdict where its output is lost.
    assert [verb for verb in verb_names() if codes_of(verb).common != COMMON] == ["check"]
    for code, meaning in COMMON.items():
        expected["any" if code in codes_of("check").common else "any, but check", code] = meaning
    assert table() == expected
    listed = [verb for verbs in sections().values() for verb in verbs]
    named = [verb for verb, _ in table() if not verb.startswith("any")]
    assert list(dict.fromkeys(named)) == listed  # in the order of `--help`


@pytest.mark.parametrize("verb", verb_names())
def test_the_help_of_a_verb_has_its_codes(verb: str) -> None:
    epilog = " ".join((command_of(verb).epilog or "").split())
    assert epilog.count("Exit code") == 1
    assert str(codes_of(verb)) in epilog
    for (name, code), meaning in table().items():
        if name == verb or (name.startswith("any") and code in codes_of(verb).common):
            assert f"{code} {meaning}" in epilog


def test_the_help_of_all_has_the_codes_of_all() -> None:
    for code, meaning in COMMON.items():
        assert f"{code} {meaning}" in (app.epilog or "")
