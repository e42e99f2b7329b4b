"""The exit codes of every verb: a table in code, one in docs/verdicts.md, a sentence in help."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

import mimverify
from mimverify.cli.app import _COMMANDS, app
from mimverify.cli.exit_codes import COMMON, UNVERIFIED, VERBS, exit_codes, keeps

PAGE = Path(mimverify.__file__).parents[1] / "docs" / "verdicts.md"


def table() -> dict[tuple[str, str], str]:
    """(verb, code) → meaning, as docs/verdicts.md has it."""
    section = PAGE.read_text(encoding="utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `?(.*?)`? \| (\d+) \| (.*) \|$", section, re.MULTILINE)
    return {(verb, code): meaning for verb, code, meaning in rows}


def test_the_page_has_the_codes_of_every_verb() -> None:
    expected = {}
    for verb, (success, failure) in VERBS.items():
        expected[verb, "0"] = success
        if failure is not None:
            expected[verb, "1"] = failure
        if verb in UNVERIFIED:
            expected[verb, "3"] = UNVERIFIED[verb]
    for code, meaning in COMMON.items():
        expected["any, but check" if keeps("check", code) else "any", code] = meaning
    assert table() == expected
    assert set(VERBS) == set(_COMMANDS)


@pytest.mark.parametrize("verb", sorted(_COMMANDS))
def test_the_help_of_a_verb_has_its_codes(verb: str) -> None:
    command = app.get_command(click.Context(app), verb)
    assert command is not None
    epilog = " ".join((command.epilog or "").split())
    assert epilog.count("Exit code") == 1
    assert exit_codes(verb) in epilog
    for (name, code), meaning in table().items():
        if name == verb or (name.startswith("any") and not keeps(verb, code)):
            assert f"{code} {meaning}" in epilog


def test_the_help_of_all_has_the_codes_of_all() -> None:
    for code, meaning in COMMON.items():
        assert f"{code} {meaning}" in (app.epilog or "")
